// The listener runs on one loop and spreads the sockets over all. A link is attached to the edge when the peer's
// preface has come and detached when its socket closes; its own handlers keep it until then. A stop ends all links:
// first once what waits is written, then at once.
#include "edge/relay_server.h"

#include <unistd.h>

#include <asio.hpp>
#include <chrono>
#include <map>
#include <utility>

#include "common/base/host_port.h"
#include "common/base/log.h"
#include "common/base/mutex.h"
#include "common/link/relay_socket.h"
#include "common/process/tcp_listener.h"

namespace toolwire {
namespace {

constexpr size_t kLinksMax = 1024;
// What may wait for one control before its link is cut: a control that does not read loses its calls anyway.
constexpr size_t kOutboxBytesMax = 512u << 20;
// Long, since a control that was only paused for a moment would lose the answers to its calls.
constexpr Duration kSilenceMax = std::chrono::seconds(30);
// A peer that does not show in time that it is a control.
constexpr Duration kPrefaceWaitMax = std::chrono::seconds(5);
constexpr Duration kEndWaitMax = std::chrono::seconds(2);

// One control's link; the edge may hold it a little longer than the server does.
class Link final : public ToControl, public std::enable_shared_from_this<Link> {
 public:
  Link(Edge& edge, asio::ip::tcp::socket socket, std::string peer, const EdgeSocket::Options& options)
      : edge_(edge),
        peer_(std::move(peer)),
        preface_timer_(socket.get_executor()),
        socket_(std::make_shared<EdgeSocket>(std::move(socket), options)) {}

  // Loop thread, as all that follows from it.
  void Start(std::function<void()> on_closed) {
    const auto self = shared_from_this();
    preface_timer_.expires_after(kPrefaceWaitMax);
    preface_timer_.async_wait([self](const asio::error_code& ec) {
      if (!ec) self->Close("no preface");
    });
    EdgeSocket::Events events;
    events.opened = [self] {
      self->preface_timer_.cancel();
      self->link_ = self->edge_.Attach(self);
      log::Info("control linked", {{"peer", self->peer_}, {"link", self->link_}});
    };
    events.frame = [self](v1::ControlFrame&& frame) {
      self->edge_.Receive(self->link_, std::move(frame));
      return true;
    };
    events.closed = [self, on_closed = std::move(on_closed)](const std::string& why) {
      self->preface_timer_.cancel();
      if (self->link_ != 0) {
        self->edge_.Detach(self->link_);
        log::Info("control unlinked", {{"peer", self->peer_}, {"link", self->link_}, {"why", why}});
      } else {
        log::Warn("relay: refused", {{"peer", self->peer_}, {"why", why}});
      }
      on_closed();
    };
    socket_->Start(std::move(events));
  }

  void Send(v1::EdgeFrame&& frame) override {
    if (!socket_->Send(std::move(frame))) socket_->Close("the control does not read");
  }
  void EndWhenWritten() { socket_->EndWhenWritten(); }
  void Close(const char* why) { socket_->Close(why); }

 private:
  Edge& edge_;
  const std::string peer_;
  asio::steady_timer preface_timer_;
  const std::shared_ptr<EdgeSocket> socket_;
  LinkId link_ = 0;  // 0 until the preface came.
};

}  // namespace

// Lives for as long as a handler may come to it.
class RelayServer::Impl : public std::enable_shared_from_this<Impl> {
 public:
  Impl(Edge& edge, size_t payload_bytes_max)
      : edge_(edge),
        // A frame that comes in pieces holds one payload; several may be unfinished at once.
        options_{kOutboxBytesMax, 16 * payload_bytes_max + (1u << 20), kSilenceMax},
        listener_loop_(edge.LinkLoop()) {}

  absl::Status Listen(const std::string& host, int port) {
    // After Close, which Stop waits for, nothing is called any more.
    auto listener = TcpListener::Listen(listener_loop_, {"relay", host, port, {}, &edge_.accept_errors()},
                                        [this](int fd, const asio::ip::tcp::endpoint& peer) { Begin(fd, peer); });
    if (!listener.ok()) return listener.status();
    listener_ = *std::move(listener);
    asio::post(listener_loop_, [listener = listener_] { listener->Start(); });
    return absl::OkStatus();
  }

  void Stop() {
    asio::post(listener_loop_, [self = shared_from_this()] {
      self->listener_->Close();
      MutexLock lock(self->mu_);
      self->listening_ = false;
      self->changed_.NotifyAll();
    });
    MutexLock lock(mu_);
    changed_.Wait(mu_, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return !listening_; });
    for (const auto& [number, link] : links_) link->EndWhenWritten();
    if (changed_.WaitFor(mu_, kEndWaitMax, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return links_.empty(); }))
      return;
    for (const auto& [number, link] : links_) link->Close("the edge is stopping");
    changed_.Wait(mu_, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return links_.empty(); });
  }

  int port() const { return listener_->port(); }

 private:
  void Begin(int fd, const asio::ip::tcp::endpoint& endpoint) {
    // The socket belongs to the loop that will run the link.
    asio::ip::tcp::socket socket(edge_.LinkLoop());
    asio::error_code ec;
    socket.assign(endpoint.protocol(), fd, ec);
    if (ec) {
      close(fd);
      return;
    }
    const std::string peer = JoinHostPort(endpoint.address().to_string(), endpoint.port());
    const auto executor = socket.get_executor();
    auto link = std::make_shared<Link>(edge_, std::move(socket), peer, options_);
    uint64_t number = 0;
    {
      MutexLock lock(mu_);
      if (links_.size() >= kLinksMax) return log::Warn("relay: too many links", {{"peer", peer}});
      number = ++last_number_;
      links_.emplace(number, link);
    }
    asio::post(executor, [self = shared_from_this(), link, number] {
      link->Start([self, number] {
        MutexLock lock(self->mu_);
        self->links_.erase(number);
        self->changed_.NotifyAll();
      });
    });
  }

  Edge& edge_;
  const EdgeSocket::Options options_;
  asio::io_context& listener_loop_;
  std::shared_ptr<TcpListener> listener_;  // Set once, by Listen.

  Mutex mu_;
  CondVar changed_;
  bool listening_ ABSL_GUARDED_BY(mu_) = true;
  uint64_t last_number_ ABSL_GUARDED_BY(mu_) = 0;
  std::map<uint64_t, std::shared_ptr<Link>> links_ ABSL_GUARDED_BY(mu_);
};

RelayServer::RelayServer(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

absl::StatusOr<std::unique_ptr<RelayServer>> RelayServer::Start(const std::string& host, int port, Edge& edge,
                                                                size_t payload_bytes_max) {
  auto impl = std::make_shared<Impl>(edge, payload_bytes_max);
  if (absl::Status status = impl->Listen(host, port); !status.ok()) return status;
  return std::unique_ptr<RelayServer>(new RelayServer(std::move(impl)));
}

RelayServer::~RelayServer() { impl_->Stop(); }

int RelayServer::port() const { return impl_->port(); }

}  // namespace toolwire
