// One websocketpp connection for each socket, on the transport of ws_transport.h. A connection ends once, by Close or
// by itself, whichever comes first; the library then goes on for a while with the closing handshake and the lingering
// close, of which the handler hears nothing until the descriptor is closed. Frames are handed to the library as long as
// less than kUnwrittenMax of the socket's is on its way into the kernel.
#include "edge/ws_server.h"

// clang-format off: before websocketpp.
#include "edge/ws_utf8.h"
// clang-format on

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <asio.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
#include <websocketpp/concurrency/none.hpp>
#include <websocketpp/config/core.hpp>
#include <websocketpp/logger/stub.hpp>
#include <websocketpp/server.hpp>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "common/base/log.h"
#include "common/base/summed_line.h"
#include "common/process/incoming_request.h"
#include "edge/ws_transport.h"

namespace toolwire {
namespace {

// What an agent may have on its way into the kernel at once, as the memory it takes; the rest stays with the handler,
// where it can still be withdrawn, and so counts as NOT_SENT.
constexpr size_t kUnwrittenMax = 256u << 10;
// What the library keeps for a message beside its text: the object, its header, and how it is given back.
constexpr size_t kMessageBytes = 384;

// Our part of every websocketpp connection.
struct Peer {
  uint64_t id = 0;
  bool open = false;                         // The handshake is done.
  bool ended = false;                        // By Close, or OnEnd was called.
  size_t unwritten = 0;                      // Memory of what was handed to the library and not yet to the kernel.
  bool pong_waits = false;                   // One was handed to the library. Pings that come meanwhile get one answer,
  std::unique_ptr<std::string> newest_ping;  // the newest's.
};

// An upgrade that names no version, or one of a draft of 2011, which frame differently, goes on as one of version 13 up
// to CheckUpgrade: the library would take the former for the first draft, and offer the others to who names none of
// them.
class Request : public IncomingRequest {
 public:
  size_t consume(const char* bytes, size_t size) {
    const size_t consumed = IncomingRequest::consume(bytes, size);
    if (ready() && websocketpp::processor::is_websocket_handshake(*this)) {
      has_our_version_ = get_header("Sec-WebSocket-Version") == kVersion;
      replace_header("Sec-WebSocket-Version", kVersion);
    }
    return consumed;
  }
  bool has_our_version() const { return has_our_version_; }
  bool has_subprotocols() const { return head().has_subprotocols(); }

  static constexpr char kVersion[] = "13";

 private:
  bool has_our_version_ = true;
};

struct WsConfig : websocketpp::config::core {
  using type = WsConfig;
  using base = websocketpp::config::core;
  using concurrency_type = websocketpp::concurrency::none;
  using alog_type = websocketpp::log::stub;
  using elog_type = websocketpp::log::stub;
  using connection_base = Peer;
  using request_type = Request;
  static const bool enable_multithreading = false;
  static const bool enable_extensions = false;
  // Held by every connection, busy or idle: two typical messages.
  static const size_t connection_read_buffer_size = 1024;
  // No request here needs one; it would be held until its login's time is over.
  static const size_t max_http_body_size = 1 << 10;
  static const websocketpp::log::level alog_level = 0;
  static const websocketpp::log::level elog_level = 0;
  struct transport_config {
    using concurrency_type = type::concurrency_type;
    using alog_type = type::alog_type;
    using elog_type = type::elog_type;
  };
  using transport_type = ws::Endpoint<transport_config>;
};
using Server = websocketpp::server<WsConfig>;
using ConnectionPtr = Server::connection_ptr;
using Message = Server::message_ptr::element_type;

ConnectionPtr FromHandle(const websocketpp::connection_hdl& handle) {
  return std::static_pointer_cast<Server::connection_type>(handle.lock());
}

// 16 bytes in base64.
bool IsKey(const std::string& key) {
  const auto is_base64 = [](unsigned char c) { return absl::ascii_isalnum(c) || c == '+' || c == '/'; };
  return key.size() == 24 && std::all_of(key.begin(), key.begin() + 22, is_base64) && key.compare(22, 2, "==") == 0;
}

// One or more, with commas between, none twice, as the replaced server had it.
bool AreTokens(const std::string& list) {
  const auto is_of_token = [](unsigned char c) {
    return absl::ascii_isalnum(c) || std::string_view("!#$%&'*+-.^_`|~").find(static_cast<char>(c)) != std::string_view::npos;
  };
  std::vector<absl::string_view> tokens;
  for (absl::string_view one : absl::StrSplit(list, ',')) {
    one = absl::StripAsciiWhitespace(one);
    const bool is_known = std::find(tokens.begin(), tokens.end(), one) != tokens.end();
    if (one.empty() || is_known || !std::all_of(one.begin(), one.end(), is_of_token)) return false;
    tokens.push_back(one);
  }
  return true;
}

// What the library does not ask of an upgrade. The replaced server, too, took the first subprotocol that an agent
// offered, whatever it is.
bool CheckUpgrade(const ConnectionPtr& connection) {
  if (!connection->get_request().has_our_version()) {
    connection->set_status(websocketpp::http::status_code::upgrade_required);
    connection->append_header("Sec-WebSocket-Version", Request::kVersion);
    return false;
  }
  if (!IsKey(connection->get_request_header("Sec-WebSocket-Key"))) return false;
  if (!connection->get_request().has_subprotocols()) return true;
  if (!AreTokens(connection->get_request_header("Sec-WebSocket-Protocol"))) return false;
  const auto& offered = connection->get_requested_subprotocols();
  if (!offered.empty()) connection->select_subprotocol(offered.front());
  return !offered.empty();
}

}  // namespace
}  // namespace toolwire

// The library has no close code of its own for a length that is not minimal, and lets one of 2^63 pass.
template <>
inline websocketpp::lib::error_code
websocketpp::processor::hybi13<toolwire::WsConfig>::validate_incoming_extended_header(
    frame::basic_header header, frame::extended_header extended) const {
  const uint8_t code = frame::get_basic_size(header);
  const uint64_t size = frame::get_payload_size(header, extended);
  const bool is_minimal = code == frame::payload_size_code_64bit   ? size > frame::limits::payload_size_extended
                          : code == frame::payload_size_code_16bit ? size > frame::limits::payload_size_basic
                                                                   : true;
  return is_minimal && size >> 63 == 0 ? lib::error_code() : make_error_code(error::protocol_violation);
}

namespace toolwire {

struct WsServer::Impl {
  Impl(asio::io_context& loop_io, const Options& server_options, Handler& owner);

  void OnRequest(const ConnectionPtr& connection);
  void OnHttp(const ConnectionPtr& connection);
  void SetReply(const ConnectionPtr& connection, const HttpReply& reply);
  void OnOpen(const ConnectionPtr& connection);
  bool OnReadingStopped(const ConnectionPtr& connection);
  void OnTerminated(const ConnectionPtr& connection);
  void End(const ConnectionPtr& connection, bool too_big);
  void OnPing(const ConnectionPtr& connection, std::string payload);
  // Hands one frame to the library. `written` runs when its bytes are in the kernel, or while the connection is
  // destroyed.
  bool Send(const ConnectionPtr& connection, websocketpp::frame::opcode::value opcode, std::string text,
            std::function<void()> written);
  ConnectionPtr Find(uint64_t id) const;

  asio::io_context& io;
  const Options options;
  Handler& handler;
  Server server;
  SummedLine broken_line{std::chrono::seconds(1), /*at_once=*/10};
  absl::flat_hash_map<uint64_t, std::weak_ptr<Server::connection_type>> sockets;  // From Adopt to OnClosed.
  // Their requests wait for Reply; no pending operation has them meanwhile.
  absl::flat_hash_map<uint64_t, ConnectionPtr> unanswered;
};

WsServer::Impl::Impl(asio::io_context& loop_io, const Options& server_options, Handler& owner)
    : io(loop_io), options(server_options), handler(owner) {
  server.set_user_agent("");
  server.set_max_message_size(options.frame_bytes_max);
  server.set_open_handshake_timeout(0);  // The owner has a deadline for the whole login.
  server.transport_context()->io = &io;
  server.transport_context()->reading_stopped = [this](const auto& handle) {
    const ConnectionPtr connection = FromHandle(handle);
    return connection && OnReadingStopped(connection);
  };
  server.transport_context()->proxied = [this](const auto& handle, const auto& client) {
    if (const ConnectionPtr connection = FromHandle(handle)) handler.OnProxyHeader(connection->id, client);
  };
  server.transport_context()->shutting_down = [this](const auto& handle) {
    if (const ConnectionPtr connection = FromHandle(handle)) End(connection, false);
  };
  server.set_http_handler([this](auto handle) { OnHttp(FromHandle(handle)); });
  server.set_validate_handler([this](auto handle) {
    const ConnectionPtr connection = FromHandle(handle);
    OnRequest(connection);
    return CheckUpgrade(connection);
  });
  server.set_open_handler([this](auto handle) { OnOpen(FromHandle(handle)); });
  server.set_message_handler([this](auto handle, auto message) {
    const ConnectionPtr connection = FromHandle(handle);
    if (connection && !connection->ended) handler.OnFrame(connection->id, message->get_raw_payload());
  });
  // The library would queue pongs without bound.
  server.set_ping_handler([this](auto handle, const std::string& payload) {
    if (const ConnectionPtr connection = FromHandle(handle)) OnPing(connection, payload);
    return false;
  });
}

void WsServer::Impl::OnRequest(const ConnectionPtr& connection) {
  const std::string& name = options.proxy_header;
  handler.OnRequest(connection->id, name.empty() ? name : connection->get_request_header(name));
}

void WsServer::Impl::OnHttp(const ConnectionPtr& connection) {
  OnRequest(connection);
  std::string path = connection->get_resource();
  path = path.substr(0, path.find('?'));
  const std::optional<HttpReply> reply = handler.OnHttp(connection->id, path);
  if (!reply) {
    connection->defer_http_response();
    unanswered.emplace(connection->id, connection);
    return;
  }
  SetReply(connection, *reply);
}

void WsServer::Impl::SetReply(const ConnectionPtr& connection, const HttpReply& reply) {
  connection->set_status(static_cast<websocketpp::http::status_code::value>(reply.status));
  connection->append_header("Content-Type", "application/json");
  connection->append_header("Connection", "close");
  if (connection->get_request().get_method() != "HEAD") return connection->set_body(reply.body);
  connection->append_header("Content-Length", std::to_string(reply.body.size()));
}

void WsServer::Impl::OnOpen(const ConnectionPtr& connection) {
  const auto& request = connection->get_request();
  const std::string target = request.get_uri();
  const std::string authorization = request.get_header("Authorization");
  // The parsed request would live as long as the connection.
  const_cast<WsConfig::request_type&>(request) = WsConfig::request_type();
  connection->open = true;
  handler.OnOpen(connection->id, target, authorization);
}

// True if the connection is closing, so that what still comes is thrown away.
bool WsServer::Impl::OnReadingStopped(const ConnectionPtr& connection) {
  if (connection->get_state() != websocketpp::session::state::closing) return false;
  if (connection->ended) return true;
  // The library refused what came and has queued its close frame.
  const auto code = connection->get_local_close_code();
  if (const auto others = broken_line.Take(std::chrono::steady_clock::now())) {
    log::Warn("agent broke the protocol", {{"code", code}, {"others", *others}});
  }
  End(connection, code == websocketpp::close::status::message_too_big);
  return true;
}

// The one handler that runs for every end: close, failed handshake, answered HTTP request.
void WsServer::Impl::OnTerminated(const ConnectionPtr& connection) {
  End(connection, false);
  unanswered.erase(connection->id);
  if (sockets.erase(connection->id) > 0) handler.OnClosed(connection->id);
}

void WsServer::Impl::End(const ConnectionPtr& connection, bool too_big) {
  if (!std::exchange(connection->ended, true)) handler.OnEnd(connection->id, too_big);
}

void WsServer::Impl::OnPing(const ConnectionPtr& connection, std::string payload) {
  if (connection->ended) return;
  if (std::exchange(connection->pong_waits, true)) {
    connection->newest_ping = std::make_unique<std::string>(std::move(payload));
    return;
  }
  Peer* const peer = connection.get();
  Send(connection, websocketpp::frame::opcode::pong, std::move(payload), [this, peer] {
    peer->pong_waits = false;
    if (peer->ended || peer->newest_ping == nullptr) return;
    const std::unique_ptr<std::string> newest = std::move(peer->newest_ping);
    if (const ConnectionPtr alive = Find(peer->id)) OnPing(alive, std::move(*newest));
  });
}

bool WsServer::Impl::Send(const ConnectionPtr& connection, websocketpp::frame::opcode::value opcode, std::string text,
                          std::function<void()> written) {
  Peer* const peer = connection.get();  // Still there when the last message is given back: the connection's base.
  const size_t size = text.size();
  const size_t memory = text.capacity() + kMessageBytes;
  const Server::message_ptr message(new Message(nullptr, opcode, 0),
                                    [peer, memory, written = std::move(written)](Message* sent) {
                                      delete sent;
                                      peer->unwritten -= memory;
                                      written();
                                    });
  const websocketpp::frame::basic_header basic(opcode, size, true, false);
  const websocketpp::frame::extended_header extended(size);
  message->set_header(websocketpp::frame::prepare_header(basic, extended));
  message->get_raw_payload() = std::move(text);
  message->set_prepared(true);
  peer->unwritten += memory;
  return !connection->send(message);
}

ConnectionPtr WsServer::Impl::Find(uint64_t id) const {
  auto found = sockets.find(id);
  return found == sockets.end() ? nullptr : found->second.lock();
}

WsServer::WsServer(asio::io_context& io, const Options& options, Handler& handler)
    : impl_(std::make_unique<Impl>(io, options, handler)) {}

WsServer::~WsServer() {
  // Connections live in handlers that the loop destroys later, and their messages with them.
  for (const auto& [id, weak] : impl_->sockets) {
    if (const ConnectionPtr connection = weak.lock()) connection->ended = true;
  }
}

void WsServer::Adopt(uint64_t id, int fd, const Arrival& arrival) {
  const ConnectionPtr connection = impl_->server.get_connection();
  asio::ip::tcp::socket socket(impl_->io);
  asio::error_code ec;
  sockaddr_storage name{};
  socklen_t size = sizeof name;
  getsockname(fd, reinterpret_cast<sockaddr*>(&name), &size);
  socket.assign(name.ss_family == AF_INET6 ? asio::ip::tcp::v6() : asio::ip::tcp::v4(), fd, ec);
  if (!connection || ec) {
    close(fd);
    return impl_->handler.OnClosed(id);
  }
  connection->id = id;
  impl_->sockets.emplace(id, connection);
  connection->set_termination_handler([impl = impl_.get()](const ConnectionPtr& ended) { impl->OnTerminated(ended); });
  connection->Adopt(std::move(socket));
  if (arrival.proxy_header) connection->AcceptProxyHeader(arrival.address, *impl_->options.proxy_headers);
  if (arrival.tls != nullptr) connection->AcceptTls(*arrival.tls, arrival.address);
  connection->HoldReadsAfter(impl_->options.early_bytes_max);
  connection->start();
}

// Not to close a socket that has sent more: an agent may answer a large call as soon as it is back, before its login is
// decided. Until then the rest waits in the kernel.
void WsServer::TrustPeer(uint64_t id) {
  if (const ConnectionPtr connection = impl_->Find(id)) connection->ReadOn();
}

void WsServer::HoldReads(uint64_t id) {
  if (const ConnectionPtr connection = impl_->Find(id)) connection->HoldReadsAfter(0);
}

void WsServer::ReadOn(uint64_t id) {
  if (const ConnectionPtr connection = impl_->Find(id)) connection->ReadOn();
}

void WsServer::Reply(uint64_t id, const HttpReply& reply) {
  auto found = impl_->unanswered.extract(id);
  if (!found || found.mapped()->ended) return;
  const ConnectionPtr& connection = found.mapped();
  impl_->SetReply(connection, reply);
  std::error_code ec;
  connection->send_http_response(ec);
  if (ec) connection->terminate(ec);
}

void WsServer::WriteFrames(uint64_t id) {
  const ConnectionPtr connection = impl_->Find(id);
  // In the closing handshake nothing leaves any more: the frames stay with the handler, unsent, until OnEnd.
  if (!connection || connection->ended || connection->get_state() != websocketpp::session::state::open) return;
  Peer* const peer = connection.get();
  Handler* const handler = &impl_->handler;
  std::string text;
  while (peer->unwritten < kUnwrittenMax && handler->NextFrame(id, &text)) {
    const bool sent = impl_->Send(connection, websocketpp::frame::opcode::text, std::move(text), [handler, peer] {
      if (!peer->ended) handler->OnWritable(peer->id);
    });
    if (!sent) return;  // Closing: OnEnd comes.
  }
}

void WsServer::Close(uint64_t id, const CloseReason& reason) {
  const ConnectionPtr connection = impl_->Find(id);
  if (!connection) return;
  connection->ended = true;
  if (!connection->open) {
    // Its peer was sent nothing that a reset could overtake: the descriptor is free at once.
    connection->CloseAtOnce();
    return connection->terminate(websocketpp::error::make_error_code(websocketpp::error::general));
  }
  if (connection->get_state() == websocketpp::session::state::closing) return;
  std::error_code ec;
  connection->close(static_cast<websocketpp::close::status::value>(reason.code), reason.text, ec);
  if (ec) connection->terminate(ec);
  connection->ReadOn();
}

void WsServer::Cut(uint64_t id) {
  const ConnectionPtr connection = impl_->Find(id);
  if (!connection || !connection->ended) return;
  connection->Reset();
  // Does nothing while it lingers.
  connection->terminate(websocketpp::error::make_error_code(websocketpp::error::general));
}

Duration WsServer::SinceHeard(uint64_t id) const {
  const ConnectionPtr connection = impl_->Find(id);
  return connection ? connection->SinceHeard() : Duration::max();
}

bool WsServer::HasUnread(uint64_t id) const {
  const ConnectionPtr connection = impl_->Find(id);
  return connection && connection->HasUnread();
}

std::vector<uint64_t> WsServer::Sockets() const {
  std::vector<uint64_t> ids;
  ids.reserve(impl_->sockets.size());
  for (const auto& [id, weak] : impl_->sockets) ids.push_back(id);
  return ids;
}

}  // namespace toolwire
