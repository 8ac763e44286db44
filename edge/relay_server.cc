// The listener runs on one loop and spreads the sockets over all. A link is attached to the edge when the peer's
// preface has come and detached when its socket closes; its own handlers keep it until then. A stop ends all links:
// first once what waits is written, then at once.
#include "edge/relay_server.h"

#include <unistd.h>

#include <asio.hpp>
#include <chrono>
#include <map>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "common/base/by_address.h"
#include "common/base/host_port.h"
#include "common/base/log.h"
#include "common/base/mutex.h"
#include "common/link/relay_socket.h"
#include "common/process/tcp_listener.h"

namespace toolwire {
namespace {

constexpr size_t kLinksMax = 1024;
// Connections that have not shown yet that they are controls.
constexpr size_t kStrangersMax = 64;
// The same, with those that were cut and are not closed yet because their loops are busy.
constexpr size_t kUnadmittedMax = 2 * kStrangersMax;
constexpr char kTooManyLinks[] = "too many links";
constexpr char kMadeRoom[] = "it made room for others to show that they are controls";
// Refusals with less than this between them are one spell, which is logged once.
constexpr Duration kSpellEndsAfter = std::chrono::seconds(10);
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

  // Loop thread, as all that follows from it. `admit` is asked once the peer has shown that it is a control.
  void Start(std::function<bool()> admit, std::function<void()> on_closed) {
    const auto self = shared_from_this();
    preface_timer_.expires_after(kPrefaceWaitMax);
    preface_timer_.async_wait([self](const asio::error_code& ec) {
      // After a pause of this process the preface may have been read a moment ago.
      if (!ec && self->link_ == 0) self->Close("no preface");
    });
    EdgeSocket::Events events;
    events.opened = [self, admit = std::move(admit)] {
      self->preface_timer_.cancel();
      if (!admit()) return self->Close(kTooManyLinks);
      self->link_ = self->edge_.Attach(self);
      log::Info("control linked", {{"peer", self->peer_}, {"link", self->link_}});
    };
    events.frame = [self](v1::ControlFrame&& frame) {
      if (self->link_ == 0) return false;  // Not admitted; its end is on its way.
      self->edge_.Receive(self->link_, std::move(frame));
      return true;
    };
    events.closed = [self, on_closed = std::move(on_closed)](const std::string& why) {
      self->preface_timer_.cancel();
      if (self->link_ != 0) {
        self->edge_.Detach(self->link_);
        log::Info("control unlinked", {{"peer", self->peer_}, {"link", self->link_}, {"why", why}});
      } else {
        // What strangers cause without end is counted instead.
        const bool counted = why == kTooManyLinks || why == kMadeRoom;
        log::Write(counted ? log::Level::kDebug : log::Level::kWarn, "relay: refused",
                   {{"peer", self->peer_}, {"why", why}});
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
  Impl(Edge& edge, size_t payload_bytes_max, int links_per_address_max)
      : edge_(edge),
        links_per_address_max_(static_cast<size_t>(links_per_address_max)),
        options_{kOutboxBytesMax, UnfinishedBytesMax(payload_bytes_max), kSilenceMax},
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

  void Stop(MonoTime until) {
    asio::post(listener_loop_, [self = shared_from_this()] {
      self->listener_->Close();
      MutexLock lock(self->mu_);
      self->listening_ = false;
      self->changed_.NotifyAll();
    });
    MutexLock lock(mu_);
    changed_.Wait(mu_, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return !listening_; });
    for (const auto& [number, connection] : links_) connection.link->EndWhenWritten();
    const auto none_left = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return links_.empty(); };
    if (changed_.WaitUntil(mu_, std::min(until, std::chrono::steady_clock::now() + kEndWaitMax), none_left)) return;
    for (const auto& [number, connection] : links_) connection.link->Close("the edge is stopping");
    changed_.Wait(mu_, none_left);
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
    const std::string address = endpoint.address().to_string();
    const std::string peer = JoinHostPort(address, endpoint.port());
    const auto executor = socket.get_executor();
    auto link = std::make_shared<Link>(edge_, std::move(socket), peer, options_);
    uint64_t number = 0;
    {
      MutexLock lock(mu_);
      if (links_.size() - admitted_ >= kUnadmittedMax) return edge_.counters().link_strangers_closed.Add();
      if (strangers_.size() >= kStrangersMax) {
        edge_.counters().link_strangers_closed.Add();
        Connection* const first = strangers_.First();
        first->link->Close(kMadeRoom);
        strangers_.Remove(first);
      }
      number = ++last_number_;
      Connection& connection = links_[number];
      connection.link = link;
      connection.address = AddressKey(address);
      strangers_.Add(&connection, connection.address);
    }
    asio::post(executor, [self = shared_from_this(), link, number, peer] {
      link->Start([self, number, peer] { return self->Admit(number, peer); }, [self, number] { self->Ended(number); });
    });
  }

  // Gives a stranger a link's place. False: there is none for it.
  bool Admit(uint64_t number, const std::string& peer) {
    MutexLock lock(mu_);
    Connection& connection = links_.at(number);
    if (!strangers_.Remove(&connection)) return false;  // It has had to go.
    size_t& of_address = of_address_[connection.address];
    LimitCounter* const full = admitted_ >= kLinksMax                 ? &edge_.counters().links_full
                               : of_address >= links_per_address_max_ ? &edge_.counters().address_links_full
                                                                      : nullptr;
    if (full == nullptr) {
      connection.admitted = true;
      ++admitted_;
      ++of_address;
      return true;
    }
    full->Add();
    if (of_address == 0) of_address_.erase(connection.address);
    const MonoTime now = std::chrono::steady_clock::now();
    const bool spell_begins = now >= quiet_from_;
    quiet_from_ = now + kSpellEndsAfter;
    lock.Unlock();
    if (spell_begins) log::Warn("relay: too many links", {{"peer", peer}});
    return false;
  }

  void Ended(uint64_t number) {
    MutexLock lock(mu_);
    auto ended = links_.extract(number);
    Connection& connection = ended.mapped();
    strangers_.Remove(&connection);
    if (connection.admitted) {
      --admitted_;
      auto of_address = of_address_.find(connection.address);
      if (--of_address->second == 0) of_address_.erase(of_address);
    }
    changed_.NotifyAll();
  }

  struct Connection : ByAddress<Connection>::Member {
    std::shared_ptr<Link> link;
    std::string address;  // As AddressKey.
    bool admitted = false;
  };

  Edge& edge_;
  const size_t links_per_address_max_;
  const EdgeSocket::Options options_;
  asio::io_context& listener_loop_;
  std::shared_ptr<TcpListener> listener_;  // Set once, by Listen.

  Mutex mu_;
  CondVar changed_;
  bool listening_ ABSL_GUARDED_BY(mu_) = true;
  uint64_t last_number_ ABSL_GUARDED_BY(mu_) = 0;
  std::map<uint64_t, Connection> links_ ABSL_GUARDED_BY(mu_);  // All that are not closed.
  ByAddress<Connection> strangers_ ABSL_GUARDED_BY(mu_);       // Of those, not admitted, and not cut either.
  size_t admitted_ ABSL_GUARDED_BY(mu_) = 0;
  absl::flat_hash_map<std::string, size_t> of_address_ ABSL_GUARDED_BY(mu_);  // Those that are admitted.
  MonoTime quiet_from_ ABSL_GUARDED_BY(mu_){};
};

RelayServer::RelayServer(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

absl::StatusOr<std::unique_ptr<RelayServer>> RelayServer::Start(const std::string& host, int port, Edge& edge,
                                                                size_t payload_bytes_max, int links_per_address_max) {
  auto impl = std::make_shared<Impl>(edge, payload_bytes_max, links_per_address_max);
  if (absl::Status status = impl->Listen(host, port); !status.ok()) return status;
  return std::unique_ptr<RelayServer>(new RelayServer(std::move(impl)));
}

RelayServer::~RelayServer() { Stop(std::chrono::steady_clock::now() + kStopGrace); }

void RelayServer::Stop(MonoTime until) { impl_->Stop(until); }

int RelayServer::port() const { return impl_->port(); }

}  // namespace toolwire
