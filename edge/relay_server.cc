// The listener's loop takes the hellos; who has said one is handed over to the loop of its conversation, which begins
// or goes on there. A conversation is attached to the edge for as long as it lasts, over one connection after another.
// Everybody is accepted at once: connections wait for their handshakes here, in turns by address, and not in the
// kernel's queue, in which one who dials without end would be before all others.
#include "edge/relay_server.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <asio.hpp>
#include <atomic>
#include <chrono>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "common/base/by_address.h"
#include "common/base/host_port.h"
#include "common/base/log.h"
#include "common/base/mutex.h"
#include "common/base/summed_line.h"
#include "common/link/link.h"
#include "common/link/link_frames.h"
#include "common/process/tcp_listener.h"
#include "common/tls/tls_handshakes.h"
#include "common/tls/tls_socket.h"

namespace toolwire {
namespace {

constexpr size_t kLinksMax = 1024;
// Connections that have not said yet that they are controls.
constexpr size_t kStrangersMax = 64;
// The same, with those that were cut and are not closed yet because their loops are busy.
constexpr size_t kUnadmittedMax = 2 * kStrangersMax;
// Longer than controls let any call take.
constexpr int64_t kTimeoutMaxUs = 24ll * 3600 * 1'000'000;
// An id and a start, which are kept and logged.
constexpr size_t kNameBytesMax = 128;
// TLS handshakes in a second: a third of a core, as one with a client's certificate takes about a millisecond.
constexpr int kHandshakesPerSecondMax = 400;
// Lines about strangers in a second: anybody can cause them.
constexpr int kRefusedLinesMax = 10;
constexpr char kRefused[] = "refused";
constexpr char kStopping[] = "the edge is stopping";
constexpr char kMadeRoom[] = "it made room for others to show that they are controls";
// Refusals with less than this between them are one spell, which is logged once.
constexpr Duration kSpellEndsAfter = std::chrono::seconds(10);
// What may wait for one control: answers past it, or past a session's share of it, are lost, and told so.
constexpr size_t kWaitingBytesMax = 512u << 20;
// Long, since a control that was only paused for a moment would lose the answers to its calls.
constexpr Duration kSilenceMax = std::chrono::seconds(30);
// Without a connection for so long the conversation is over; twice what controls wait, so that they decide.
constexpr Duration kLostWait = std::chrono::seconds(4);
// A peer that does not say in time that it is a control.
constexpr Duration kHelloWaitMax = std::chrono::seconds(5);
constexpr Duration kEndWaitMax = std::chrono::seconds(2);

// One control's link, on one loop. What it has said to the edge stays while connections come and go.
class Talk final : public ToControl, public std::enable_shared_from_this<Talk> {
 public:
  Talk(Edge& edge, asio::io_context& loop, const RecordSender::Limits& limits, std::function<void()> on_ended)
      : edge_(edge), loop_(loop), limits_(limits), on_ended_(std::move(on_ended)), waiter_(loop) {}

  asio::io_context& loop() { return loop_; }

  // --- loop thread ---
  // A connection on which the control has said `hello`.
  void Take(asio::ip::tcp::socket socket, Connection::Tls tls, const std::string& peer, const v1::LinkHello& hello) {
    peer_ = peer;
    v1::LinkHello own = edge_.Hello(limits_);
    if (link_ && !link_->CanResume(hello, own.start())) End("the control began anew");
    if (ending_) End(kStopping);
    if (ended_) return;  // It dials again, and then this talk is not found any more.
    if (link_) {
      link_->Disconnect("another connection took its place");
      link_->SayWhere(&own);
    }
    waiter_.cancel();
    Connection::Options options;
    options.silence_max = kSilenceMax;
    options.drops_what_ended = true;
    options.greeted = true;
    const auto connection = std::make_shared<Connection>(std::move(socket), options, std::move(tls));
    connection->Start({});
    connection->Write(own.SerializeAsString());
    if (!link_) Begin(hello);
    link_->Connected(connection, hello);
  }
  void SayEnd() {
    ending_ = true;
    if (!link_ || !link_->connected()) return End(kStopping);  // Nobody can come back.
    link_->SayEnd();
  }
  // What was to be the connection cannot be one.
  void TakeNothing() {
    if (!link_) End("no connection");
  }
  void End(const std::string& why) {
    if (std::exchange(ended_, true)) return;
    waiter_.cancel();
    if (link_) {
      link_->End(why);
      edge_.Detach(id_);
      log::Info("control unlinked", {{"peer", peer_}, {"link", id_}, {"why", why}});
    }
    std::exchange(on_ended_, nullptr)();
  }

  // --- any thread ---
  void Send(v1::EdgeFrame&& frame) override {
    if (link_->SayNow(frame)) return;
    std::vector<LinkItem> refused, words;
    std::vector<LinkItem> items = ItemsOf(std::move(frame));
    link_->Push(&items, &refused);
    v1::EdgeFrame lost;
    for (const LinkItem& item : refused) {
      if (item.ref == 0) continue;  // A stray, which nobody may wait for.
      v1::Refusal* const refusal = lost.add_refusals();
      refusal->set_call_id(item.ref);
      refusal->set_cause(v1::Refusal::ANSWER_LOST);
      refusal->set_delivery(v1::CallError::SENT);
    }
    if (!refused.empty()) edge_.counters().link_waiting_full.Add(refused.size());
    if (lost.refusals_size() == 0) return;
    items = ItemsOf(std::move(lost));
    link_->Push(&items, &words);
  }
  // Null until the first connection.
  const Link* link() const { return seen_.load(); }

 private:
  void Begin(const v1::LinkHello& hello) {
    // The link does not keep what keeps it.
    const std::weak_ptr<Talk> weak = weak_from_this();
    Link::Events events;
    events.frame = [weak](std::string& bytes) {
      const auto self = weak.lock();
      return self && self->Receive(bytes);
    };
    events.lost = [weak](const std::string& why) {
      if (const auto self = weak.lock()) self->Lost(why);
    };
    events.over = [weak](const std::string& why) {
      if (const auto self = weak.lock()) self->End(why);
    };
    link_ = std::make_shared<Link>(hello, limits_, kWaitingBytesMax, std::move(events));
    seen_ = link_.get();
    id_ = edge_.Attach(shared_from_this());
    log::Info("control linked", {{"peer", peer_}, {"link", id_}, {"control", hello.id()}});
  }

  bool Receive(const std::string& bytes) {
    if (!incoming_.ParseFromString(bytes)) return false;
    const MonoTime now = std::chrono::steady_clock::now();
    for (v1::Deliver& deliver : *incoming_.mutable_deliveries()) {
      const Duration age = link_->Age(deliver.as_of_us(), now);
      const int64_t left = std::clamp<int64_t>(deliver.timeout_us(), 0, kTimeoutMaxUs);
      deliver.set_timeout_us(left - std::chrono::duration_cast<std::chrono::microseconds>(age).count());
    }
    edge_.Receive(id_, std::move(incoming_));
    incoming_.Clear();
    return true;
  }

  void Lost(const std::string& why) {
    if (ended_) return;
    if (ending_) return End(why);
    log::Info("control's connection lost", {{"peer", peer_}, {"link", id_}, {"why", why}});
    waiter_.expires_after(kLostWait);
    waiter_.async_wait([self = shared_from_this(), why](const asio::error_code& ec) {
      if (!ec && !self->link_->connected()) self->End(why);
    });
  }

  Edge& edge_;
  asio::io_context& loop_;
  const RecordSender::Limits limits_;
  std::function<void()> on_ended_;
  asio::steady_timer waiter_;  // While there is no connection.
  std::string peer_;
  std::shared_ptr<Link> link_;  // Set once, before the edge knows of it.
  LinkId id_ = 0;
  v1::ControlFrame incoming_;
  std::atomic<Link*> seen_{nullptr};
  bool ending_ = false;
  bool ended_ = false;
};

}  // namespace

// Lives for as long as a handler may come to it.
class RelayServer::Impl : public std::enable_shared_from_this<Impl> {
 public:
  Impl(Edge& edge, size_t payload_bytes_max, int links_per_address_max, TlsFiles* tls)
      : edge_(edge),
        tls_(tls),
        links_per_address_max_(static_cast<size_t>(links_per_address_max)),
        limits_(LinkLimits(payload_bytes_max)),
        listener_loop_(edge.LinkLoop()) {
    if (tls != nullptr) {
      handshakes_ = std::make_unique<TlsHandshakes>(*tls, HandshakeQueue::Options{kHandshakesPerSecondMax},
                                                    edge.counters().link_handshakes_paced);
    }
  }

  absl::Status Listen(const std::string& host, int port) {
    // After Close, which Stop waits for, nothing is called any more.
    auto listener = TcpListener::Listen(listener_loop_, {"relay", host, port, {}, &edge_.accept_errors()},
                                        [this](int fd, const asio::ip::tcp::endpoint& peer) { Greet(fd, peer); });
    if (!listener.ok()) return listener.status();
    listener_ = *std::move(listener);
    asio::post(listener_loop_, [listener = listener_] { listener->Start(); });
    return absl::OkStatus();
  }

  // What is said from now on is not waited for: refusals go on for as long as calls come.
  bool WaitSaid(MonoTime until) {
    std::vector<std::pair<std::shared_ptr<Talk>, std::optional<uint64_t>>> waited;
    MutexLock lock(mu_);
    for (const auto& [start, one] : talks_) waited.emplace_back(one.talk, std::nullopt);
    const auto heard = [](auto& one) {
      const Link* const link = one.first->link();
      if (link == nullptr) return true;
      if (!one.second) one.second = link->last_said();
      return one.second && link->heard(*one.second);
    };
    while (!std::all_of(waited.begin(), waited.end(), heard)) {
      if (std::chrono::steady_clock::now() >= until) return false;
      changed_.WaitFor(mu_, std::chrono::milliseconds(5));
    }
    return true;
  }

  void Stop(MonoTime until) {
    asio::post(listener_loop_, [self = shared_from_this()] {
      self->listener_->Close();
      MutexLock lock(self->mu_);
      self->listening_ = false;
      const auto strangers = self->strangers_;
      self->changed_.NotifyAll();
      lock.Unlock();
      for (const auto& [number, stranger] : strangers) self->Cut(stranger, kStopping);
    });
    MutexLock lock(mu_);
    changed_.Wait(mu_, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return !listening_; });
    for (const auto& [start, one] : talks_) asio::post(one.talk->loop(), [talk = one.talk] { talk->SayEnd(); });
    const auto none_left = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return talks_.empty() && strangers_.empty(); };
    if (changed_.WaitUntil(mu_, std::min(until, std::chrono::steady_clock::now() + kEndWaitMax), none_left)) return;
    for (const auto& [start, one] : talks_) {
      asio::post(one.talk->loop(), [talk = one.talk] { talk->End(kStopping); });
    }
    changed_.Wait(mu_, none_left);
  }

  int port() const { return listener_->port(); }

 private:
  // A connection that has not said yet that it is a control's.
  struct Stranger : ByAddress<Stranger>::Member {
    Stranger(asio::io_context& loop, uint64_t its_number)
        : number(its_number), socket(loop), timer(loop, kHelloWaitMax) {}
    const uint64_t number;
    asio::ip::tcp::socket socket;            // Until it is the connection's,
    std::unique_ptr<TlsSocket> tls;          // and of the handshake on it.
    std::shared_ptr<Connection> connection;  // Once that is done.
    asio::steady_timer timer;
    std::string address, peer;  // As AddressKey; to print.
  };
  using StrangerPtr = std::shared_ptr<Stranger>;
  struct OfControl {
    std::shared_ptr<Talk> talk;
    std::string address;
  };

  // --- listener's loop ---
  void Greet(int fd, const asio::ip::tcp::endpoint& endpoint) {
    const auto stranger = std::make_shared<Stranger>(listener_loop_, ++last_number_);
    asio::error_code ec;
    stranger->socket.assign(endpoint.protocol(), fd, ec);
    if (ec) {
      close(fd);
      return;
    }
    const std::string address = endpoint.address().to_string();
    stranger->address = AddressKey(address);
    stranger->peer = JoinHostPort(address, endpoint.port());
    if (!Admit(stranger)) return;
    stranger->timer.async_wait(
        [self = shared_from_this(), weak = std::weak_ptr(stranger)](const asio::error_code& cancelled) {
          // After a pause of this process the hello may have been read a moment ago; then it is not this connection's
          // any more.
          const StrangerPtr silent = weak.lock();
          if (!cancelled && silent) self->Cut(silent, "no hello");
        });
    if (!handshakes_) return Hear(stranger, {});
    stranger->tls = std::make_unique<TlsSocket>(listener_loop_, stranger->socket, *handshakes_, address);
    stranger->tls->LogNoFailures();
    stranger->tls->Handshake([self = shared_from_this(), stranger](TlsSocket::Shaken shaken) {
      if (shaken != TlsSocket::Shaken::kOpen) return self->Cut(stranger, stranger->tls->error());
      self->Hear(stranger, {stranger->tls->Release(), &self->tls_->counters(), /*shaken=*/true});
    });
  }

  // Whoever has most places makes room by its oldest.
  bool Admit(const StrangerPtr& stranger) {
    StrangerPtr longest;
    {
      MutexLock lock(mu_);
      if (!listening_ || strangers_.size() >= kUnadmittedMax) {
        edge_.counters().link_strangers_closed.Add();
        return false;
      }
      if (by_address_.size() >= kStrangersMax) {
        edge_.counters().link_strangers_closed.Add();
        longest = strangers_.at(by_address_.First()->number);
        by_address_.Remove(longest.get());
      }
      strangers_.emplace(stranger->number, stranger);
      by_address_.Add(stranger.get(), stranger->address);
    }
    if (longest) Cut(longest, kMadeRoom);
    return true;
  }

  void Hear(const StrangerPtr& stranger, Connection::Tls tls) {
    Connection::Options options;
    options.silence_max = kSilenceMax;
    stranger->connection = std::make_shared<Connection>(std::move(stranger->socket), options, std::move(tls));
    Connection::Events events;
    events.message = [self = shared_from_this(), raw = stranger.get()](std::string_view message) {
      return self->Greeted(*raw, message);
    };
    events.writable = [raw = stranger->connection.get()] { raw->WriteRest(); };
    events.closed = [self = shared_from_this(), number = stranger->number](const std::string& why) {
      self->Gone(number, why);
    };
    stranger->connection->Start(std::move(events));
  }

  // `why` is empty if there is nothing to say.
  void Cut(const StrangerPtr& stranger, const std::string& why) {
    if (stranger->connection) return stranger->connection->Close(why);
    const auto later = [self = shared_from_this(), stranger, why] { self->Cut(stranger, why); };
    if (!stranger->tls->LetGo(later)) return;
    asio::error_code ignored;
    stranger->socket.close(ignored);
    Gone(stranger->number, why);
  }

  // False: it is no control, or there is no place for it.
  bool Greeted(Stranger& stranger, std::string_view message) {
    v1::LinkHello hello;
    if (!hello.ParseFromArray(message.data(), static_cast<int>(message.size())) || hello.start().empty()) return false;
    if (hello.start().size() > kNameBytesMax || hello.id().size() > kNameBytesMax) return false;
    if (hello.id().empty()) {  // It only wants to see ours.
      stranger.connection->Write(edge_.Hello(limits_).SerializeAsString());
      return false;
    }
    const std::shared_ptr<Talk> talk = TalkOf(hello.start(), stranger);
    if (!talk) return false;
    // From here on it belongs to the loop of its talk.
    stranger.timer.cancel();
    Connection::Released released = stranger.connection->Release();
    const std::string peer = stranger.peer;
    Forget(stranger.number);
    asio::post(talk->loop(), [self = shared_from_this(), talk, released = std::move(released), peer,
                              hello = std::move(hello)]() mutable {
      const int fd = released.fd;
      if (fd < 0) return talk->TakeNothing();
      asio::ip::tcp::socket socket(talk->loop());
      asio::error_code ec;
      sockaddr_storage address{};
      socklen_t size = sizeof address;
      getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
      socket.assign(address.ss_family == AF_INET6 ? asio::ip::tcp::v6() : asio::ip::tcp::v4(), fd, ec);
      if (ec) {
        close(fd);
        return talk->TakeNothing();
      }
      talk->Take(std::move(socket), std::move(released.tls), peer, hello);
    });
    return true;
  }
  // The control's talk, or a new one if there is a place for it.
  std::shared_ptr<Talk> TalkOf(const std::string& start, const Stranger& stranger) {
    MutexLock lock(mu_);
    if (const auto found = talks_.find(start); found != talks_.end()) return found->second.talk;
    size_t& of_address = of_address_[stranger.address];
    LimitCounter* const full = talks_.size() >= kLinksMax             ? &edge_.counters().links_full
                               : of_address >= links_per_address_max_ ? &edge_.counters().address_links_full
                                                                      : nullptr;
    if (full == nullptr && listening_) {
      ++of_address;
      auto ended = [self = shared_from_this(), start] { self->Ended(start); };
      auto talk = std::make_shared<Talk>(edge_, edge_.LinkLoop(), limits_, std::move(ended));
      talks_[start] = {talk, stranger.address};
      return talk;
    }
    if (of_address == 0) of_address_.erase(stranger.address);
    if (full == nullptr) return nullptr;
    full->Add();
    const MonoTime now = std::chrono::steady_clock::now();
    const bool spell_begins = now >= quiet_from_;
    quiet_from_ = now + kSpellEndsAfter;
    lock.Unlock();
    if (spell_begins) log::Warn("relay: too many links", {{"peer", stranger.peer}});
    return nullptr;
  }

  void Gone(uint64_t number, const std::string& why) {
    const StrangerPtr stranger = Forget(number);
    if (!stranger) return;
    stranger->timer.cancel();
    // What strangers cause without end is counted instead. Who only looks whether the port is open has done nothing.
    const bool counted = why == kMadeRoom || why == kRefused || why == Connection::kPeerEnded || why.empty();
    if (counted) return log::Debug("relay: refused", {{"peer", stranger->peer}, {"why", why}});
    if (const auto others = refused_line_.Take(std::chrono::steady_clock::now())) {
      log::Warn("relay: refused", {{"peer", stranger->peer}, {"why", why}, {"others", *others}});
    }
  }

  StrangerPtr Forget(uint64_t number) {
    MutexLock lock(mu_);
    auto found = strangers_.extract(number);
    if (found.empty()) return nullptr;
    by_address_.Remove(found.mapped().get());
    changed_.NotifyAll();
    return found.mapped();
  }

  // --- any loop ---
  void Ended(const std::string& start) {
    MutexLock lock(mu_);
    auto ended = talks_.extract(start);
    if (ended.empty()) return;
    const auto of_address = of_address_.find(ended.mapped().address);
    if (--of_address->second == 0) of_address_.erase(of_address);
    changed_.NotifyAll();
  }

  Edge& edge_;
  TlsFiles* const tls_;                        // Null: plain.
  std::unique_ptr<TlsHandshakes> handshakes_;  // With TLS. They take none of the time of loops, which have calls.
  const size_t links_per_address_max_;
  const RecordSender::Limits limits_;
  asio::io_context& listener_loop_;
  std::shared_ptr<TcpListener> listener_;  // Set once, by Listen.
  // The listener's loop only.
  uint64_t last_number_ = 0;
  SummedLine refused_line_{std::chrono::seconds(1), kRefusedLinesMax};

  Mutex mu_;
  CondVar changed_;
  bool listening_ ABSL_GUARDED_BY(mu_) = true;
  std::map<uint64_t, StrangerPtr> strangers_ ABSL_GUARDED_BY(mu_);            // All that are not closed.
  ByAddress<Stranger> by_address_ ABSL_GUARDED_BY(mu_);                       // Of those, not cut either.
  absl::flat_hash_map<std::string, OfControl> talks_ ABSL_GUARDED_BY(mu_);    // By the control's start.
  absl::flat_hash_map<std::string, size_t> of_address_ ABSL_GUARDED_BY(mu_);  // How many of those.
  MonoTime quiet_from_ ABSL_GUARDED_BY(mu_){};
};

RelayServer::RelayServer(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

absl::StatusOr<std::unique_ptr<RelayServer>> RelayServer::Start(const std::string& host, int port, Edge& edge,
                                                                size_t payload_bytes_max, int links_per_address_max,
                                                                TlsFiles* tls) {
  auto impl = std::make_shared<Impl>(edge, payload_bytes_max, links_per_address_max, tls);
  if (absl::Status status = impl->Listen(host, port); !status.ok()) return status;
  return std::unique_ptr<RelayServer>(new RelayServer(std::move(impl)));
}

RelayServer::~RelayServer() { Stop(std::chrono::steady_clock::now() + kStopGrace); }

bool RelayServer::WaitSaid(MonoTime until) { return impl_->WaitSaid(until); }

void RelayServer::Stop(MonoTime until) { impl_->Stop(until); }

int RelayServer::port() const { return impl_->port(); }

}  // namespace toolwire
