// The socket under a websocketpp connection: websocketpp's transport policy on one TCP socket of one loop, with TLS on
// it or without.
//
// It replaces the library's own asio policy because an edge needs four things that policy does not give: no locks,
// strands and 2 KB of handler slots in each of 10,000 idle connections; the moment at which the library stops reading
// (a frame over the limit must fail its calls at once, not when the peer has acknowledged the close); a peer that is
// still sending when it is refused must be read dry, or the reset that follows would overtake the close frame; and of a
// peer that nobody knows yet no more is read than a bound, also of a frame that is not complete.
#ifndef TOOLWIRE_EDGE_WS_TRANSPORT_H_
#define TOOLWIRE_EDGE_WS_TRANSPORT_H_

#include <array>
#include <asio.hpp>
#include <chrono>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>
#include <websocketpp/common/connection_hdl.hpp>
#include <websocketpp/transport/base/connection.hpp>
#include <websocketpp/transport/base/endpoint.hpp>
#include <websocketpp/uri.hpp>

#include "common/process/tcp_heard.h"
#include "common/tls/tls_socket.h"
#include "edge/proxy_socket.h"

namespace toolwire::ws {

namespace transport = websocketpp::transport;

// How long a closed connection waits for its peer to close too.
constexpr std::chrono::seconds kLingerMax(2);

// What the connections of one loop share.
struct TransportContext {
  asio::io_context* io = nullptr;
  // Called on the loop when a read was handled and the library did not ask for the next: between the handshake and the
  // first frame, or because it refuses what came. True if the connection is closing: what still comes is thrown away.
  std::function<bool(const websocketpp::connection_hdl&)> reading_stopped;
  // Called on the loop when the header of the PROXY protocol has come: whom it names; nullopt: there is none.
  std::function<void(const websocketpp::connection_hdl&, std::optional<std::string> client)> proxied;
  // Called on the loop when the library is done with a connection; its socket may linger after that.
  std::function<void(const websocketpp::connection_hdl&)> shutting_down;
};

// Loop thread only. Lives as long as the websocketpp connection that derives from it, which every pending operation
// holds by shared pointer.
template <typename config>
class Connection : public std::enable_shared_from_this<Connection<config>> {
 public:
  using type = Connection<config>;
  using ptr = std::shared_ptr<type>;
  using concurrency_type = typename config::concurrency_type;
  using alog_type = typename config::alog_type;
  using elog_type = typename config::elog_type;
  using scoped_lock_type = typename concurrency_type::scoped_lock_type;
  using mutex_type = typename concurrency_type::mutex_type;
  using timer_ptr = std::shared_ptr<asio::steady_timer>;

  Connection(bool, const std::shared_ptr<alog_type>&, const std::shared_ptr<elog_type>&) {}

  ptr get_shared() { return this->shared_from_this(); }
  void set_secure(bool) {}
  bool is_secure() const { return false; }
  void set_uri(websocketpp::uri_ptr) {}
  // The library puts this into log lines only.
  std::string get_remote_endpoint() const { return "peer"; }
  websocketpp::connection_hdl get_handle() const { return handle_; }

  void Attach(const TransportContext* context) { context_ = context; }
  // Call before start().
  void Adopt(asio::ip::tcp::socket socket) { socket_.emplace(std::move(socket)); }
  // After Adopt: the header of the PROXY protocol comes before everything else.
  void AcceptProxyHeader(const std::string& proxy, ProxyHeaderCounters& counters) {
    proxy_ = std::make_unique<ProxySocket>(*socket_, proxy, counters);
  }
  // After Adopt: its handshake comes before everything else but that.
  void AcceptTls(TlsHandshakes& handshakes, const std::string& address) {
    tls_ = std::make_unique<TlsSocket>(*context_->io, *socket_, handshakes, address);
  }
  // After this many bytes, or one read more, the next read waits until ReadOn.
  void HoldReadsAfter(size_t bytes) { bytes_max_ = bytes; }
  // Reads on; if the connection is closing, to throw away what comes.
  void ReadOn() {
    bytes_max_ = std::numeric_limits<size_t>::max();
    if (held_read_) held_read_->cancel();
  }
  // Its handshake, as the client, comes before everything else.
  void ConnectTls(std::unique_ptr<TlsStream> stream) {
    tls_ = std::make_unique<TlsSocket>(*context_->io, *socket_, std::move(stream));
  }
  // What went wrong with TLS, for people; empty if nothing did.
  std::string tls_error() const { return tls_ ? tls_->error() : ""; }
  // Between Adopt and the shutdown.
  asio::ip::tcp::socket& socket() { return *socket_; }
  Duration SinceHeard() { return socket_ ? toolwire::SinceHeard(socket_->native_handle()) : Duration::max(); }
  bool HasUnread() const {
    asio::error_code ec;
    if (proxy_) return socket_->is_open() && proxy_->HasUnread();
    if (tls_) return tls_->HasUnread();
    return socket_ && socket_->available(ec) > 0;
  }
  // The shutdown does not linger.
  void CloseAtOnce() { lingers_ = false; }
  // The shutdown, also one that lingers, ends with a reset.
  void Reset() {
    lingers_ = false;
    asio::error_code ignored;
    if (socket_) socket_->set_option(asio::socket_base::linger(true, 0), ignored);
    if (linger_timer_) linger_timer_->cancel();
  }
  timer_ptr set_timer(long duration_ms, transport::timer_handler handler) {
    auto timer = std::make_shared<asio::steady_timer>(*context_->io, std::chrono::milliseconds(duration_ms));
    timer->async_wait([timer, handler = std::move(handler)](const asio::error_code& ec) {
      handler(ec == asio::error::operation_aborted
                  ? transport::error::make_error_code(transport::error::operation_aborted)
                  : ec);
    });
    return timer;
  }

 protected:
  void init(transport::init_handler handler) {
    if (!proxy_) return Shake(std::move(handler));
    proxy_->Read(
        [self = get_shared(), handler = std::move(handler)](ProxySocket::Outcome outcome, const std::string& client) {
          if (self->shut_down_) return;
          if (outcome == ProxySocket::Outcome::kClosing) {
            self->lingers_ = false;
            return handler(transport::error::make_error_code(transport::error::general));
          }
          const bool has_header = outcome == ProxySocket::Outcome::kHeader;
          self->context_->proxied(self->handle_, has_header ? std::optional(client) : std::nullopt);
          if (self->tls_ && !client.empty()) self->tls_->set_address(client);
          self->proxy_.reset();
          self->Shake(handler);
        });
  }
  void Shake(transport::init_handler handler) {
    if (!tls_) return handler(std::error_code());
    tls_->Handshake([self = get_shared(), handler = std::move(handler)](TlsSocket::Shaken shaken) {
      if (self->shut_down_) return;
      if (shaken == TlsSocket::Shaken::kOpen) return handler({});
      // Who gets an alert must be read dry, or a reset would overtake it.
      if (shaken == TlsSocket::Shaken::kNobody) self->lingers_ = false;
      handler(transport::error::make_error_code(transport::error::tls_error));
    });
  }
  void set_handle(websocketpp::connection_hdl handle) { handle_ = std::move(handle); }

  void async_read_at_least(size_t, char* buffer, size_t size, const transport::read_handler& handler) {
    reading_ = true;
    if (bytes_read_ <= bytes_max_) return Read(buffer, size, handler);
    // A timer that only ReadOn ends, so that its operation has the connection, as any other read would.
    held_read_ = std::make_shared<asio::steady_timer>(*context_->io, asio::steady_timer::time_point::max());
    held_read_->async_wait([self = get_shared(), timer = held_read_, buffer, size, handler](const asio::error_code&) {
      if (self->draining_) return;
      if (!self->context_->reading_stopped(self->handle_)) return self->Read(buffer, size, handler);
      self->draining_ = true;
      self->DrainInput();
    });
  }

  void async_write(const char* data, size_t size, const transport::write_handler& handler) {
    if (tls_) return WriteTls({asio::buffer(data, size)}, handler);
    asio::async_write(*socket_, asio::buffer(data, size),
                      [self = get_shared(), handler](const asio::error_code& ec, size_t) { handler(Mapped(ec)); });
  }

  void async_write(const std::vector<transport::buffer>& buffers, const transport::write_handler& handler) {
    std::vector<asio::const_buffer> sequence;
    sequence.reserve(buffers.size());
    for (const transport::buffer& one : buffers) sequence.emplace_back(one.buf, one.len);
    if (tls_) return WriteTls(std::move(sequence), handler);
    asio::async_write(*socket_, std::move(sequence),
                      [self = get_shared(), handler](const asio::error_code& ec, size_t) { handler(Mapped(ec)); });
  }

  // Later on this loop, never inside the call: the library relies on it to gather frames.
  std::error_code dispatch(transport::dispatch_handler handler) {
    asio::post(*context_->io, std::move(handler));
    return {};
  }
  std::error_code interrupt(transport::interrupt_handler handler) {
    asio::post(*context_->io, std::move(handler));
    return {};
  }

  // A lingering close: our side ends, and what the peer still sends is read and thrown away until it ends too. Closing
  // at once with input unread would send a reset, which destroys the close frame on its way to the peer.
  void async_shutdown(const transport::shutdown_handler& handler) {
    asio::error_code ec;
    if (!socket_ || !socket_->is_open()) return handler(ec);
    shut_down_ = true;
    if (tls_ && !tls_->LetGo([self = get_shared(), handler] { self->async_shutdown(handler); })) return;
    ReadOn();
    context_->shutting_down(handle_);
    if (tls_) tls_->CloseNotify();
    if (lingers_) socket_->shutdown(asio::socket_base::shutdown_send, ec);
    if (ec || !lingers_) {
      socket_->close(ec);
      return handler({});
    }
    // Over when the time is, or when the input has ended and cancels the timer. The handler keeps this connection, so
    // the timer's operation has it, which goes with the loop, and not the connection itself.
    linger_timer_ = std::make_shared<asio::steady_timer>(*context_->io, kLingerMax);
    linger_timer_->async_wait([self = get_shared(), timer = linger_timer_, handler](const asio::error_code&) {
      asio::error_code ignored;
      self->socket_->close(ignored);
      handler({});
    });
    if (!std::exchange(draining_, true)) DrainInput();
  }

 private:
  static std::error_code Mapped(const asio::error_code& ec) {
    if (!ec) return {};
    if (ec == asio::error::eof) return transport::error::make_error_code(transport::error::eof);
    if (ec == asio::error::operation_aborted) {
      return transport::error::make_error_code(transport::error::operation_aborted);
    }
    return transport::error::make_error_code(transport::error::pass_through);
  }

  void Read(char* buffer, size_t size, const transport::read_handler& handler) {
    auto read = [self = get_shared(), handler](const asio::error_code& ec, size_t bytes) {
      self->OnRead(ec, bytes, handler);
    };
    if (tls_) return tls_->Read(buffer, size, std::move(read));
    socket_->async_read_some(asio::buffer(buffer, size), std::move(read));
  }

  void WriteTls(std::vector<asio::const_buffer> buffers, const transport::write_handler& handler) {
    tls_->Write(std::move(buffers),
                [self = get_shared(), handler](const asio::error_code& ec, size_t) { handler(Mapped(ec)); });
  }

  void OnRead(const asio::error_code& ec, size_t bytes, const transport::read_handler& handler) {
    reading_ = false;
    bytes_read_ += bytes;
    handler(Mapped(ec), bytes);
    if (reading_ || ec) return;
    if (context_->reading_stopped(handle_) && socket_->is_open() && !std::exchange(draining_, true)) DrainInput();
  }

  // Of the socket itself, with TLS too: nobody wants to know what it was.
  void DrainInput() {
    auto scratch = std::make_shared<std::array<char, 16384>>();
    socket_->async_read_some(asio::buffer(*scratch),
                             [self = get_shared(), scratch](const asio::error_code& ec, size_t) {
                               if (!ec) return self->DrainInput();
                               self->draining_ = false;
                               // Else the library's close timer will come to async_shutdown.
                               if (self->linger_timer_) self->linger_timer_->cancel();
                             });
  }

  const TransportContext* context_ = nullptr;
  std::optional<asio::ip::tcp::socket> socket_;
  std::unique_ptr<ProxySocket> proxy_;  // Until its header has come; null: there is none.
  std::unique_ptr<TlsSocket> tls_;      // On socket_; null: the bytes are plain.
  websocketpp::connection_hdl handle_;
  size_t bytes_max_ = std::numeric_limits<size_t>::max();
  size_t bytes_read_ = 0;
  timer_ptr held_read_;     // The read that waits for ReadOn.
  timer_ptr linger_timer_;  // Set while lingering.
  bool reading_ = false;
  bool draining_ = false;
  bool lingers_ = true;
  bool shut_down_ = false;
};

// The factory's side: hands every new connection the loop's context.
template <typename config>
class Endpoint {
 public:
  using type = Endpoint<config>;
  using ptr = std::shared_ptr<type>;
  using concurrency_type = typename config::concurrency_type;
  using alog_type = typename config::alog_type;
  using elog_type = typename config::elog_type;
  using transport_con_type = Connection<config>;
  using transport_con_ptr = typename transport_con_type::ptr;

  void set_secure(bool) {}
  // Whether it is is each connection's matter; the library refuses wss:// otherwise.
  bool is_secure() const { return true; }
  TransportContext* transport_context() { return &context_; }

 protected:
  void init_logging(const std::shared_ptr<alog_type>&, const std::shared_ptr<elog_type>&) {}
  std::error_code init(const transport_con_ptr& connection) {
    connection->Attach(&context_);
    return {};
  }

 private:
  TransportContext context_;
};

}  // namespace toolwire::ws

#endif  // TOOLWIRE_EDGE_WS_TRANSPORT_H_
