// Everything happens in rounds. The loop's thread handles whatever is ready (frames, completed writes, posted work);
// each event only marks what is left to do, and one Round at the end sends it: one frame to each control, one batch
// of writes to each agent. Under load rounds grow by themselves; alone, a call waits for nothing.
#include "edge/edge_loop.h"

// clang-format off: before websocketpp.
#include "common/base/mutex.h"
#include "edge/ws_utf8.h"
// clang-format on

#include <asio.hpp>
#include <thread>
#include <utility>
#include <websocketpp/concurrency/none.hpp>
#include <websocketpp/config/core.hpp>
#include <websocketpp/logger/stub.hpp>
#include <websocketpp/server.hpp>

#include "common/base/log.h"
#include "common/wire/names.h"
#include "edge/login_request.h"
#include "edge/session_table.h"
#include "edge/ws_transport.h"

namespace toolwire {
namespace {

// What an agent may have on its way into the kernel at once; the rest stays in the session's queue, where it can
// still be withdrawn, and so counts as NOT_SENT.
constexpr size_t kUnwrittenMax = 256u << 10;
// Frames that an agent sends before its login is decided: enough for the answers kept over a reconnect.
constexpr size_t kEarlyFramesMax = 256;
constexpr size_t kEarlyBytesMax = 1u << 20;
constexpr Duration kLoginTick = std::chrono::milliseconds(50);

// What is needed of a socket until its login is decided.
struct LoginState : TimerNode {
  void* connection = nullptr;
  MonoTime check_began{};  // When its secret went to the store.
  std::string address;
  std::string user_id;
  std::vector<std::string> early;
  size_t early_bytes = 0;
};

// Our part of every websocketpp connection. Loop thread only.
struct Peer {
  enum class State : uint8_t { kHandshake, kLogin, kLive, kEnding };
  SessionId id = 0;  // Of the socket, and of its session once it has one.
  State state = State::kHandshake;
  bool adopted = false;  // Counted by the admission.
  bool logged_in = false;
  size_t unwritten = 0;  // Bytes handed to the library and not yet to the kernel.
  std::unique_ptr<LoginState> login;
};

struct WsConfig : websocketpp::config::core {
  using type = WsConfig;
  using base = websocketpp::config::core;
  using concurrency_type = websocketpp::concurrency::none;
  using alog_type = websocketpp::log::stub;
  using elog_type = websocketpp::log::stub;
  using connection_base = Peer;
  static const bool enable_multithreading = false;
  static const bool enable_extensions = false;
  // Held by every connection, busy or idle: two typical messages.
  static const size_t connection_read_buffer_size = 1024;
  static const size_t max_http_body_size = 1 << 16;
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

}  // namespace

struct EdgeLoop::Impl {
  Impl(uint32_t loop_index, EdgeShared& edge_shared);
  ~Impl();

  // Runs `task` on the loop. Any thread.
  void Post(std::function<void()> task);
  void PostDeliveries(std::vector<CallForSession> deliveries);

  // --- everything below: loop thread only ---
  void Run();
  void DrainInbox();
  void ScheduleRound();
  void Round();
  void ArmTick();
  void OnTick();
  void RefreshHeard();

  void AdoptSocket(int fd, std::string address);
  void OnHttp(const ConnectionPtr& connection);
  void OnOpen(const ConnectionPtr& connection);
  void OnVerdict(SessionId id, Verdict verdict);
  void Claim(SessionId id, const LoginState& login);
  void OnClaimed(SessionId id, const std::string& user_id, absl::StatusOr<uint64_t> epoch);
  void OnMessage(const ConnectionPtr& connection, std::string& payload);
  bool OnReadingStopped(const websocketpp::connection_hdl& handle);
  void OnClosed(const ConnectionPtr& connection);

  void Close(const ConnectionPtr& connection, const CloseReason& reason, bool answers_lost = false);
  void CloseAsRevoked(const ConnectionPtr& connection, const std::string& user_id);
  // Gives up what this edge claimed for the user, and says that the agent is gone unless it has moved.
  void Release(const std::string& user_id, uint64_t epoch);
  // The session of this socket ends now, whatever becomes of the socket. Idempotent.
  void EndSession(const ConnectionPtr& connection, bool answers_lost, bool replaced = false);
  void Pump(SessionId id);
  ConnectionPtr Find(SessionId id);
  ConnectionPtr FromHandle(const websocketpp::connection_hdl& handle);

  const uint32_t index;
  EdgeShared& shared;
  asio::io_context io{1};
  asio::executor_work_guard<asio::io_context::executor_type> work{io.get_executor()};
  asio::steady_timer tick{io};
  Duration slow_tick{};
  MonoTime next_refresh{};
  Duration tick_armed_for = Duration::max();  // How long the timer was set to wait; the greatest: it is not set.
  bool round_scheduled = false;
  uint64_t sockets_made = 0;
  SessionTable table;
  TimerWheel login_wheel;
  Server server;
  // Every socket of this loop, from adoption to close.
  absl::flat_hash_map<SessionId, std::weak_ptr<Server::connection_type>> sockets;
  absl::flat_hash_map<SessionId, uint64_t> leases;  // Epochs of live sessions.

  Mutex inbox_mu;
  std::vector<CallForSession> inbox_deliveries ABSL_GUARDED_BY(inbox_mu);
  std::vector<std::function<void()>> inbox_tasks ABSL_GUARDED_BY(inbox_mu);
  bool inbox_posted ABSL_GUARDED_BY(inbox_mu) = false;

  std::thread thread;
};

EdgeLoop::Impl::Impl(uint32_t loop_index, EdgeShared& edge_shared)
    : index(loop_index),
      shared(edge_shared),
      slow_tick(std::clamp<Duration>(edge_shared.limits.heartbeat_timeout / 10, std::chrono::milliseconds(10),
                                     std::chrono::seconds(1))),
      table(*shared.clock, shared.limits, *shared.counters, shared.server_id),
      login_wheel(kLoginTick, 256, shared.clock->Now()) {
  server.set_user_agent("");
  server.set_max_message_size(shared.frame_bytes_max);
  server.set_open_handshake_timeout(
      std::chrono::duration_cast<std::chrono::milliseconds>(shared.login_timeout).count());
  server.transport_context()->io = &io;
  server.transport_context()->reading_stopped = [this](const auto& handle) { return OnReadingStopped(handle); };
  server.transport_context()->shutting_down = [this](const auto& handle) {
    if (const ConnectionPtr connection = FromHandle(handle)) EndSession(connection, false);
  };
  server.set_http_handler([this](auto handle) { OnHttp(FromHandle(handle)); });
  // The library would also speak drafts of 2011, which frame differently.
  server.set_validate_handler([this](auto handle) {
    const ConnectionPtr connection = FromHandle(handle);
    if (connection->get_request_header("Sec-WebSocket-Version") == "13") return true;
    connection->set_status(websocketpp::http::status_code::upgrade_required);
    connection->append_header("Sec-WebSocket-Version", "13");
    return false;
  });
  server.set_open_handler([this](auto handle) { OnOpen(FromHandle(handle)); });
  server.set_message_handler(
      [this](auto handle, auto message) { OnMessage(FromHandle(handle), message->get_raw_payload()); });
  // Pongs are queued without bound: none for a peer that does not read.
  server.set_ping_handler([this](auto handle, const std::string&) {
    const ConnectionPtr connection = FromHandle(handle);
    return connection && connection->get_buffered_amount() < kUnwrittenMax;
  });
  thread = std::thread([this] { Run(); });
}

EdgeLoop::Impl::~Impl() {
  asio::post(io, [this] { io.stop(); });
  thread.join();
  // Connections live in handlers that `io` destroys last; their messages must not look for sessions then.
  for (const auto& [id, weak] : sockets) {
    if (const ConnectionPtr connection = weak.lock()) connection->state = Peer::State::kEnding;
  }
}

void EdgeLoop::Impl::Run() {
  ArmTick();
  while (!io.stopped()) {
    try {
      io.run();
    } catch (const std::exception& error) {
      // A handler of one connection failed; the others go on.
      log::Error("edge loop caught an exception", {{"loop", index}, {"error", error.what()}});
    }
  }
}

// --- work from other threads -----------------------------------------------------------------------------------------

void EdgeLoop::Impl::Post(std::function<void()> task) {
  MutexLock lock(inbox_mu);
  inbox_tasks.push_back(std::move(task));
  if (!std::exchange(inbox_posted, true)) asio::post(io, [this] { DrainInbox(); });
}

void EdgeLoop::Impl::PostDeliveries(std::vector<CallForSession> deliveries) {
  MutexLock lock(inbox_mu);
  if (inbox_deliveries.empty()) {
    inbox_deliveries = std::move(deliveries);
  } else {
    std::move(deliveries.begin(), deliveries.end(), std::back_inserter(inbox_deliveries));
  }
  if (!std::exchange(inbox_posted, true)) asio::post(io, [this] { DrainInbox(); });
}

void EdgeLoop::Impl::DrainInbox() {
  std::vector<CallForSession> deliveries;
  std::vector<std::function<void()>> tasks;
  {
    MutexLock lock(inbox_mu);
    deliveries.swap(inbox_deliveries);
    tasks.swap(inbox_tasks);
    inbox_posted = false;
  }
  for (CallForSession& one : deliveries) table.Deliver(one.session, one.link, std::move(one.deliver));
  for (const std::function<void()>& task : tasks) task();
  Round();
}

// --- rounds and time -------------------------------------------------------------------------------------------------

void EdgeLoop::Impl::ScheduleRound() {
  if (std::exchange(round_scheduled, true)) return;
  // Behind everything that is ready now.
  asio::post(io, [this] { Round(); });
}

void EdgeLoop::Impl::Round() {
  round_scheduled = false;
  // Controls first: they know of a session before its agent learns that it may expect calls.
  if (!table.batches().empty()) {
    shared.send_to_controls(&table.batches());
    table.batches().Clear();
  }
  const auto closing = std::exchange(table.closing(), {});
  for (const auto& [id, reason] : closing) {
    if (const ConnectionPtr connection = Find(id)) Close(connection, reason);
  }
  const auto writable = std::exchange(table.writable(), {});
  for (const SessionId id : writable) Pump(id);
  ArmTick();
}

void EdgeLoop::Impl::ArmTick() {
  const Duration wait = table.has_timers()    ? SessionTable::kTick
                        : login_wheel.empty() ? slow_tick
                                              : std::min(kLoginTick, slow_tick);
  if (tick_armed_for <= wait) return;  // To set it again would put the tick off.
  tick_armed_for = wait;
  tick.expires_after(wait);
  tick.async_wait([this](const asio::error_code& ec) {
    if (!ec) OnTick();
  });
}

void EdgeLoop::Impl::OnTick() {
  tick_armed_for = Duration::max();
  table.Advance();
  login_wheel.Advance(shared.clock->Now(), [this](TimerNode* node) {
    auto* connection = static_cast<Server::connection_type*>(static_cast<LoginState*>(node)->connection);
    log::Warn("login timed out", {{"user", connection->login->user_id}});
    shared.counters->logins_late.Add();
    Close(connection->get_shared(), close_reason::kLoginTimedOut);
  });
  if (table.has_heartbeats() && shared.clock->Now() >= next_refresh) RefreshHeard();
  Round();
}

// Heartbeats extend leases, gathered for a while: one batch of the registry's instead of one command for each.
void EdgeLoop::Impl::RefreshHeard() {
  next_refresh = shared.clock->Now() + slow_tick;
  std::vector<Registry::Held> held;
  table.TakeHeartbeats([&](const std::string& user_id, uint64_t epoch) { held.push_back({user_id, epoch}); });
  if (!held.empty()) shared.registry->Refresh(shared.server_id, std::move(held));
}

// --- a socket's life -------------------------------------------------------------------------------------------------

void EdgeLoop::Impl::AdoptSocket(int fd, std::string address) {
  const ConnectionPtr connection = server.get_connection();
  asio::ip::tcp::socket socket(io);
  asio::error_code ec;
  sockaddr_storage name{};
  socklen_t size = sizeof name;
  getsockname(fd, reinterpret_cast<sockaddr*>(&name), &size);
  socket.assign(name.ss_family == AF_INET6 ? asio::ip::tcp::v6() : asio::ip::tcp::v4(), fd, ec);
  if (!connection || ec) {
    close(fd);
    shared.admission->Closed(false);
    return;
  }
  Peer& peer = *connection;
  peer.id = (static_cast<uint64_t>(index) << 48) | ++sockets_made;
  peer.adopted = true;
  peer.login = std::make_unique<LoginState>();
  peer.login->connection = connection.get();
  peer.login->address = std::move(address);
  sockets.emplace(peer.id, connection);
  // The one handler that runs for every end: close, failed handshake, answered HTTP request.
  connection->set_termination_handler([this](const ConnectionPtr& ended) { OnClosed(ended); });
  connection->Adopt(std::move(socket));
  connection->start();
}

void EdgeLoop::Impl::OnHttp(const ConnectionPtr& connection) {
  std::string path = connection->get_resource();
  path = path.substr(0, path.find('?'));
  const EdgeShared::HttpReply reply = shared.http(path);
  connection->set_status(static_cast<websocketpp::http::status_code::value>(reply.status));
  connection->append_header("Content-Type", "application/json");
  connection->append_header("Connection", "close");
  connection->set_body(reply.body);
}

void EdgeLoop::Impl::OnOpen(const ConnectionPtr& connection) {
  Peer& peer = *connection;
  const auto& request = connection->get_request();
  auto check = ParseLoginRequest(request.get_uri(), request.get_header("Authorization"));
  // The parsed request would live as long as the connection.
  const_cast<WsConfig::request_type&>(request) = WsConfig::request_type();
  if (!check) {
    log::Info("login refused", {{"why", "missing credentials"}, {"address", peer.login->address}});
    return Close(connection, close_reason::kMissingCredentials);
  }
  if (!shared.admission->MayLogIn(peer.login->address, shared.clock->Now())) {
    return Close(connection, close_reason::kTooManyFailedLogins);
  }
  // Who is here already takes no further room: the older session ends.
  if (!shared.directory->Find(check->user_id) && !shared.admission->HasRoom()) {
    return Close(connection, close_reason::kEdgeFull);
  }
  peer.state = Peer::State::kLogin;
  peer.login->user_id = check->user_id;
  if (CheckUserId(check->user_id) != nullptr) return OnVerdict(peer.id, Verdict::kWrong);
  peer.login->check_began = shared.clock->Now();
  login_wheel.Arm(peer.login.get(), peer.login->check_began + shared.login_timeout);
  ArmTick();
  shared.authenticator->Check(std::move(*check), [this, id = peer.id](Verdict verdict) {
    Post([this, id, verdict] { OnVerdict(id, verdict); });
  });
}

void EdgeLoop::Impl::OnVerdict(SessionId id, Verdict verdict) {
  const ConnectionPtr connection = Find(id);
  if (!connection || connection->state != Peer::State::kLogin) return;
  LoginState& login = *connection->login;
  switch (verdict) {
    case Verdict::kRight:
      // A claim would end a session elsewhere that was opened with a newer secret.
      if (shared.revocations->Covers(login.user_id, login.check_began))
        return CloseAsRevoked(connection, login.user_id);
      return Claim(id, login);
    case Verdict::kWrong:
      shared.admission->LoginFailed(login.address, shared.clock->Now());
      log::Warn("login refused", {{"why", "invalid credentials"}, {"user", login.user_id}, {"address", login.address}});
      return Close(connection, close_reason::kInvalidCredentials);
    case Verdict::kStoreAway:
      return Close(connection, close_reason::kStoreUnavailable);
    case Verdict::kInternal:
      return Close(connection, close_reason::kInternalError);
  }
}

void EdgeLoop::Impl::Claim(SessionId id, const LoginState& login) {
  // On this loop again by the time it is used, since the registry may answer from a thread of its own.
  shared.registry->Claim(login.user_id, shared.server_id,
                         [this, id, user_id = login.user_id](absl::StatusOr<uint64_t> epoch) {
                           Post([this, id, user_id, epoch = std::move(epoch)] { OnClaimed(id, user_id, epoch); });
                         });
}

void EdgeLoop::Impl::OnClaimed(SessionId id, const std::string& user_id, absl::StatusOr<uint64_t> epoch) {
  const ConnectionPtr connection = Find(id);
  if (!connection || connection->state != Peer::State::kLogin) {
    if (epoch.ok()) shared.registry->Release(user_id, shared.server_id, *epoch, {});  // The socket has gone meanwhile.
    return;
  }
  if (!epoch.ok()) return Close(connection, close_reason::kRegistryUnavailable);
  Peer& peer = *connection;
  const MonoTime check_began = peer.login->check_began;
  if (shared.clock->Now() - check_began > shared.login_timeout) {
    // The timer is late: a busy loop. Revocations are not remembered for longer than this.
    shared.counters->logins_late.Add();
    shared.registry->Release(user_id, shared.server_id, *epoch, {});
    return Close(connection, close_reason::kLoginTimedOut);
  }
  const auto inserted = shared.directory->Insert(user_id, SessionRef{index, id, *epoch});
  // After the insert: a revocation that comes later finds the session.
  const bool revoked = shared.revocations->Covers(user_id, check_began);
  if (inserted.displaced) shared.close_displaced(*inserted.displaced, revoked);
  if (revoked) {
    if (shared.directory->Remove(user_id, id)) Release(user_id, *epoch);
    return CloseAsRevoked(connection, user_id);
  }
  const std::unique_ptr<LoginState> login = std::move(peer.login);
  peer.state = Peer::State::kLive;
  peer.logged_in = true;
  shared.admission->LoggedIn();
  leases.emplace(id, *epoch);
  table.Open(id, user_id, *epoch);
  log::Info("agent connected", {{"user", user_id}, {"epoch", *epoch}, {"address", login->address}});
  if (!inserted.current) {
    // A newer connection of this user got through the login first.
    shared.counters->sessions_replaced.Add();
    return Close(connection, close_reason::kReplaced);
  }
  shared.authenticator->ReportStatus({user_id, AgentStatus::kConnected, shared.clock->WallMs()});
  for (const std::string& frame : login->early) table.Receive(id, frame);
  ScheduleRound();
}

void EdgeLoop::Impl::OnMessage(const ConnectionPtr& connection, std::string& payload) {
  if (!connection) return;
  Peer& peer = *connection;
  if (peer.state == Peer::State::kLive) {
    table.Receive(peer.id, payload);
    ScheduleRound();
  } else if (peer.state == Peer::State::kLogin) {
    LoginState& login = *peer.login;
    login.early_bytes += payload.size();
    if (login.early.size() >= kEarlyFramesMax || login.early_bytes > kEarlyBytesMax) {
      shared.counters->early_full.Add();
      return Close(connection, close_reason::kTooMuchBeforeLogin);
    }
    login.early.push_back(std::move(payload));
  }
}

bool EdgeLoop::Impl::OnReadingStopped(const websocketpp::connection_hdl& handle) {
  const ConnectionPtr connection = FromHandle(handle);
  if (!connection || connection->get_state() != websocketpp::session::state::closing) return false;
  if (connection->state == Peer::State::kEnding) return true;
  // The library refused what came and has queued its close frame.
  const bool too_big = connection->get_local_close_code() == websocketpp::close::status::message_too_big;
  if (too_big) shared.counters->too_big.Add();
  log::Warn("agent broke the protocol", {{"code", connection->get_local_close_code()}});
  EndSession(connection, too_big);
  return true;
}

void EdgeLoop::Impl::OnClosed(const ConnectionPtr& connection) {
  EndSession(connection, false);
  Peer& peer = *connection;
  if (std::exchange(peer.adopted, false)) shared.admission->Closed(peer.logged_in);
  peer.login.reset();
  sockets.erase(peer.id);
}

void EdgeLoop::Impl::CloseAsRevoked(const ConnectionPtr& connection, const std::string& user_id) {
  shared.counters->logins_revoked.Add();
  log::Warn("login refused", {{"why", "credentials revoked"}, {"user", user_id}});
  Close(connection, close_reason::kCredentialsRevoked);
}

void EdgeLoop::Impl::Close(const ConnectionPtr& connection, const CloseReason& reason, bool answers_lost) {
  EndSession(connection, answers_lost, reason.code == CloseCode::kReplaced);
  if (connection->get_state() == websocketpp::session::state::closing) return;
  std::error_code ec;
  connection->close(static_cast<websocketpp::close::status::value>(reason.code), reason.text, ec);
  if (ec) connection->terminate(ec);
}

void EdgeLoop::Impl::EndSession(const ConnectionPtr& connection, bool answers_lost, bool replaced) {
  Peer& peer = *connection;
  const Peer::State was = std::exchange(peer.state, Peer::State::kEnding);
  if (peer.login) login_wheel.Disarm(peer.login.get());
  if (was != Peer::State::kLive) return;
  shared.admission->LoggedOut();
  const std::string user_id = table.UserOf(peer.id);
  table.Close(peer.id, answers_lost, replaced);
  const auto lease = leases.extract(peer.id);
  // Only the user's current session may clean up: a replaced one would take the newer one's lease and status away.
  if (shared.directory->Remove(user_id, peer.id)) Release(user_id, lease.mapped());
  log::Info("agent disconnected", {{"user", user_id}, {"epoch", lease.mapped()}});
  ScheduleRound();
}

void EdgeLoop::Impl::Release(const std::string& user_id, uint64_t epoch) {
  shared.registry->Release(user_id, shared.server_id, epoch,
                           [this, user_id, at_ms = shared.clock->WallMs()](bool nowhere) {
                             // An agent that has moved is not gone.
                             if (!nowhere) return;
                             shared.authenticator->ReportStatus({user_id, AgentStatus::kDisconnected, at_ms});
                           });
}

// Hands the session's next frames to the library, as far as the kernel keeps up.
void EdgeLoop::Impl::Pump(SessionId id) {
  const ConnectionPtr connection = Find(id);
  if (!connection || connection->state != Peer::State::kLive) return;
  Peer* const peer = connection.get();
  std::string text;
  while (peer->unwritten < kUnwrittenMax && table.NextFrame(id, &text)) {
    const size_t bytes = text.size();
    const auto written = [this, peer, bytes](Message* message) {
      delete message;
      // Runs when the bytes are in the kernel, or while the connection is destroyed: its base is still there.
      peer->unwritten -= bytes;
      if (peer->state == Peer::State::kLive && table.HasFrames(peer->id)) {
        table.writable().push_back(peer->id);
        ScheduleRound();
      }
    };
    const Server::message_ptr message(new Message(nullptr, websocketpp::frame::opcode::text, 0), written);
    const websocketpp::frame::basic_header basic(websocketpp::frame::opcode::text, bytes, true, false);
    const websocketpp::frame::extended_header extended(bytes);
    message->set_header(websocketpp::frame::prepare_header(basic, extended));
    message->get_raw_payload() = std::move(text);
    message->set_prepared(true);
    peer->unwritten += bytes;
    shared.counters->frames_out.Add();
    if (connection->send(message)) return;  // Closing: the close handler settles what was in flight.
  }
}

ConnectionPtr EdgeLoop::Impl::Find(SessionId id) {
  auto found = sockets.find(id);
  return found == sockets.end() ? nullptr : found->second.lock();
}

ConnectionPtr EdgeLoop::Impl::FromHandle(const websocketpp::connection_hdl& handle) {
  return std::static_pointer_cast<Server::connection_type>(handle.lock());
}

// --- the public face -------------------------------------------------------------------------------------------------

EdgeLoop::EdgeLoop(uint32_t index, EdgeShared& shared) : impl_(std::make_unique<Impl>(index, shared)) {}
EdgeLoop::~EdgeLoop() = default;

asio::io_context& EdgeLoop::io() { return impl_->io; }

void EdgeLoop::Adopt(int fd, std::string address) {
  impl_->Post([this, fd, address = std::move(address)] { impl_->AdoptSocket(fd, address); });
}

void EdgeLoop::Deliver(std::vector<CallForSession> deliveries) { impl_->PostDeliveries(std::move(deliveries)); }

void EdgeLoop::CancelCalls(LinkId link, std::vector<uint64_t> call_ids) {
  impl_->Post([this, link, call_ids = std::move(call_ids)] {
    for (const uint64_t call_id : call_ids) impl_->table.Cancel(link, call_id);
  });
}

void EdgeLoop::LinkDown(LinkId link) {
  impl_->Post([this, link] { impl_->table.LinkDown(link); });
}

void EdgeLoop::Snapshot(LinkId link, std::function<void()> done) {
  impl_->Post([this, link, done = std::move(done)] {
    impl_->table.Snapshot(link);
    impl_->Round();  // Before `done` says that it is complete.
    done();
  });
}

void EdgeLoop::CloseSession(SessionId id, CloseReason reason, bool answers_lost) {
  impl_->Post([this, id, reason, answers_lost] {
    if (const ConnectionPtr connection = impl_->Find(id)) {
      impl_->Close(connection, reason, answers_lost);
    }
  });
}

void EdgeLoop::CloseAll(CloseReason reason) {
  impl_->Post([this, reason] {
    std::vector<ConnectionPtr> open;
    for (const auto& [id, weak] : impl_->sockets) {
      if (ConnectionPtr connection = weak.lock()) open.push_back(std::move(connection));
    }
    for (const ConnectionPtr& connection : open) {
      if (connection->state == Peer::State::kHandshake) {
        connection->terminate(websocketpp::error::make_error_code(websocketpp::error::general));
      } else {
        impl_->Close(connection, reason);
      }
    }
  });
}

void EdgeLoop::Replaced(const std::string& user_id, uint64_t epoch) {
  impl_->Post([this, user_id, epoch] {
    const auto ref = impl_->shared.directory->Find(user_id);
    if (!ref || ref->loop != impl_->index || ref->epoch >= epoch) return;
    const ConnectionPtr connection = impl_->Find(ref->id);
    if (!connection) return;
    impl_->shared.counters->sessions_replaced.Add();
    // Lease and status are the newer one's now.
    impl_->shared.directory->Remove(user_id, ref->id);
    impl_->Close(connection, close_reason::kReplaced);
  });
}

void EdgeLoop::RefreshLeases(Duration unless_within) {
  impl_->Post([this, since = impl_->shared.clock->Now() - unless_within] {
    std::vector<Registry::Held> held;
    impl_->table.TakeUnrefreshed(since, [&](const std::string& user_id, uint64_t epoch) {
      held.push_back({user_id, epoch});
    });
    if (!held.empty()) impl_->shared.registry->Refresh(impl_->shared.server_id, std::move(held));
  });
}

}  // namespace toolwire
