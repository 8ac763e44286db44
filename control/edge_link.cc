// A loop on one thread: dial, exchange hellos, hand the connection to the link, wait until it ends, dial again. The
// link is the conversation: the dispatcher hears of its beginning and its end only, and its calls wait while it has no
// connection, for at most kLostWait. The wait between two dials doubles from 50 ms, and begins anew after a connection
// that held.
#include "control/edge_link.h"

#include <algorithm>
#include <asio.hpp>
#include <atomic>
#include <chrono>
#include <future>
#include <optional>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "common/base/host_port.h"
#include "common/base/log.h"
#include "common/base/random_hex.h"
#include "common/link/link.h"
#include "control/link_to_edge.h"

namespace toolwire {
namespace {

// Calls that may wait for one edge: past it the edge counts as unavailable.
constexpr size_t kWaitingBytesMax = 256u << 20;
// A crashed edge's calls must fail over within two seconds or so.
constexpr Duration kSilenceMax = std::chrono::milliseconds(1500);
// Without a connection for so long, the conversation is over.
constexpr Duration kLostWait = std::chrono::seconds(2);
// From dialling one address to the edge's hello.
constexpr Duration kHelloWaitMax = std::chrono::seconds(2);
constexpr Duration kHelloWaitMaxInConversation = std::chrono::milliseconds(700);
constexpr Duration kRedialMin = std::chrono::milliseconds(50);
constexpr Duration kRedialMax = std::chrono::seconds(2);
// While calls wait for the connection.
constexpr Duration kRedialMaxInConversation = std::chrono::milliseconds(600);
// A connection that held for so long was good: the next is dialled at once.
constexpr Duration kHeld = std::chrono::seconds(5);
// What a stop gives the edge to hear of it.
constexpr Duration kEndWaitMax = std::chrono::milliseconds(200);
constexpr char kStopping[] = "control is stopping";

}  // namespace

// Everything but the constructor and the destructor runs on the loop of `io`. A sender and the resolver may come late,
// so it outlives the EdgeLink that made it.
struct EdgeLink::Impl : std::enable_shared_from_this<EdgeLink::Impl> {
  using tcp = asio::ip::tcp;

  Impl(std::string edge_id, std::string the_address, Dispatcher& the_dispatcher, size_t payload_bytes_max,
       TlsFiles* the_tls, std::function<void(const std::string&)> on_edge_up)
      : wanted_edge_id(std::move(edge_id)),
        address(std::move(the_address)),
        dispatcher(the_dispatcher),
        limits(LinkLimits(payload_bytes_max)),
        tls(the_tls),
        on_edge(std::move(on_edge_up)) {}

  // `done` is called when nothing is told to the dispatcher any more, with whether the loop ends now: a look-up of a
  // name cannot be ended.
  void Stop(std::function<void(bool ends)> done) {
    stopping = true;
    resolver.cancel();
    StopTimer();
    waiter.cancel();
    if (greeting) greeting->CloseNow(kStopping);
    asio::error_code ignored;
    dialled.close(ignored);
    // So that the edge gives up this control's calls at once.
    if (link) link->SayEnd();
    AwaitEnd(std::chrono::steady_clock::now() + kEndWaitMax, std::move(done));
  }

  void AwaitEnd(MonoTime until, std::function<void(bool ends)> done) {
    if (link && link->connected() && !link->all_acked() && std::chrono::steady_clock::now() < until) {
      waiter.expires_after(std::chrono::milliseconds(2));
      return waiter.async_wait([self = shared_from_this(), until, done = std::move(done)](const asio::error_code&) {
        self->AwaitEnd(until, done);
      });
    }
    EndConversation(kStopping);
    work.reset();
    done(!resolving);
  }

  // --- dialling ---
  void Dial() {
    if (stopping || dialling || greeting || (link && link->connected())) return;
    const auto at = ParseHostPort(address);
    if (!at.ok()) return Failed(std::string(at.status().message()));
    dialling = resolving = true;
    resolver.async_resolve(
        at->host, std::to_string(at->port.value_or(0)),
        [self = shared_from_this()](const asio::error_code& ec, const tcp::resolver::results_type& found) {
          self->resolving = false;
          if (self->stopping) return;
          if (ec) return self->Failed(ec.message());
          self->addresses.assign(found.begin(), found.end());
          // The one that was good comes first, so that a dead one cannot outlast the conversation.
          std::stable_partition(self->addresses.begin(), self->addresses.end(),
                                [&](const tcp::endpoint& one) { return one == self->last_good; });
          self->nobody_listens = true;
          self->DialNext();
        });
  }

  // Each address gets its time: one that does not answer hides no other.
  void DialNext() {
    if (addresses.empty()) return Failed(why_not);
    const tcp::endpoint address = addresses.front();
    addresses.erase(addresses.begin());
    dialled = tcp::socket(io);
    TimerIn(link ? kHelloWaitMaxInConversation : kHelloWaitMax, [self = shared_from_this()] {
      asio::error_code ignored;
      if (self->greeting) return self->greeting->CloseNow("no hello");
      self->dialled.close(ignored);
    });
    dialled.async_connect(address, [self = shared_from_this(), address](const asio::error_code& ec) {
      if (self->stopping) return;
      self->dialled_at = address;
      if (!ec) return self->Greet();
      self->why_not = ec == asio::error::operation_aborted ? "no answer in time" : ec.message();
      self->nobody_listens = self->nobody_listens && ec == asio::error::connection_refused;
      self->DialNext();
    });
  }

  void Greet() {
    nobody_listens = false;
    Connection::Options options;
    options.silence_max = kSilenceMax;
    Connection::Tls secured;
    if (tls != nullptr) {
      // Whom the certificate names is in the files' options: the address may be a pod's.
      secured = {TlsStream::Connect(*tls->Current(), dialled.native_handle(), ""), &tls->counters()};
      if (!secured.stream) return Failed("no memory for TLS");
    }
    greeting = std::make_shared<Connection>(std::move(dialled), options, std::move(secured));
    Connection::Events events;
    events.message = [self = shared_from_this()](std::string_view message) { return self->Greeted(message); };
    events.writable = [raw = greeting.get()] { raw->WriteRest(); };
    events.closed = [self = shared_from_this()](const std::string& why) {
      self->greeting = nullptr;
      self->why_not = why;
      if (!self->stopping) self->DialNext();
    };
    greeting->Start(std::move(events));
    v1::LinkHello hello = MakeHello(id, start, limits);
    if (link) link->SayWhere(&hello);
    greeting->Write(hello.SerializeAsString());
  }

  // The edge's hello. False: another edge than the wanted one, or no hello.
  bool Greeted(std::string_view message) {
    v1::LinkHello hello;
    if (!hello.ParseFromArray(message.data(), static_cast<int>(message.size())) || hello.start().empty()) return false;
    if (!wanted_edge_id.empty() && hello.id() != wanted_edge_id) return false;
    // The conversation that this side's hello has named may have ended meanwhile: the edge would go on with it.
    if (!link && !hello.peer_start().empty()) return false;
    StopTimer();
    dialling = false;
    const std::shared_ptr<Connection> connection = std::exchange(greeting, nullptr);
    last_good = dialled_at;
    if (link && !link->CanResume(hello, start)) EndConversation("the edge began anew");
    if (!link) BeginConversation(hello);
    waiter.cancel();
    connected_at = std::chrono::steady_clock::now();
    complained = false;
    link->Connected(connection, hello);
    return true;
  }

  void Failed(const std::string& why) {
    dialling = false;
    if (stopping) return;
    dispatcher.SettleEdge(wanted_edge_id);
    if (nobody_listens) EndConversation(why);
    if (!link && !std::exchange(complained, true)) {
      log::Warn("edge cannot be reached; still trying", {{"address", address}, {"why", why}});
    }
    DialLater();
  }

  // With jitter, so that many controls do not come at once.
  void DialLater() {
    if (stopping) return;
    const Duration longest = link ? kRedialMaxInConversation : kRedialMax;
    back_off = std::min(back_off, longest);
    const double part = std::uniform_real_distribution<double>(0.5, 1)(random);
    TimerIn(std::chrono::duration_cast<Duration>(back_off * part), [self = shared_from_this()] { self->Dial(); });
    back_off = std::min(2 * back_off, longest);
  }

  // The edge has announced itself.
  void DialNow() {
    if (stopping || dialling || (link && link->connected())) return;
    back_off = kRedialMin;
    StopTimer();
    Dial();
  }

  // One thing at a time. What a timer has that was stopped or set anew does not happen, also if its time was up.
  void TimerIn(Duration duration, std::function<void()> then) {
    timer.expires_after(duration);
    timer.async_wait(
        [self = shared_from_this(), turn = ++timer_turn, then = std::move(then)](const asio::error_code& ec) {
          if (!ec && turn == self->timer_turn && !self->stopping) then();
        });
  }
  void StopTimer() {
    ++timer_turn;
    timer.cancel();
  }

  // --- the conversation ---
  void BeginConversation(const v1::LinkHello& hello) {
    edge_id = hello.id();
    if (wanted_edge_id.empty() && !std::exchange(was_linked, true)) {
      dispatcher.AwaitEdge(edge_id);
      dispatcher.SettleEdge(wanted_edge_id);
    }
    Link::Events events;
    events.frame = [self = shared_from_this()](std::string& bytes) {
      if (!self->incoming.ParseFromString(bytes)) return false;
      self->dispatcher.Receive(self->number, std::move(self->incoming));
      self->incoming.Clear();
      return true;
    };
    events.expired = [self = shared_from_this()](const std::vector<uint64_t>& call_ids) {
      self->to_edge->Expired(call_ids);
    };
    events.lost = [self = shared_from_this()](const std::string& why) { self->Lost(why); };
    events.over = [self = shared_from_this()](const std::string& why) {
      if (self->stopping) return;  // AwaitEnd sees it.
      self->EndConversation(why);
      if (std::chrono::steady_clock::now() - self->connected_at >= kHeld) self->back_off = kRedialMin;
      self->DialLater();
    };
    link = std::make_shared<Link>(hello, limits, kWaitingBytesMax, std::move(events));
    to_edge = std::make_shared<LinkToEdge>(
        link, [&to = dispatcher](uint64_t of, v1::EdgeFrame&& refusals) { to.Receive(of, std::move(refusals)); });
    number = dispatcher.LinkUp(edge_id, to_edge, std::chrono::milliseconds(hello.login_timeout_ms()));
    to_edge->SetNumber(number);
    up = true;
    if (on_edge) on_edge(edge_id);
    log::Info("edge linked", {{"edge", edge_id}, {"address", address}});
  }

  void EndConversation(const std::string& why) {
    if (!link) return;
    const std::shared_ptr<Link> ended = std::exchange(link, nullptr);
    const RecordSender::Unsent unsent = ended->End(why);
    std::vector<uint64_t> call_ids = unsent.refs;
    v1::ControlFrame frame;
    for (const std::string& bytes : unsent.frames) {
      if (!frame.ParseFromString(bytes)) continue;
      for (const v1::Deliver& deliver : frame.deliveries()) call_ids.push_back(deliver.call_id());
    }
    waiter.cancel();
    up = false;
    complained = false;
    log::Warn("edge unlinked", {{"edge", edge_id}, {"address", address}, {"why", why}});
    dispatcher.LinkDown(std::exchange(number, 0), call_ids);
    dispatcher.SettleEdge(edge_id);
    to_edge = nullptr;
  }

  // The connection has ended; the conversation waits for the next.
  void Lost(const std::string& why) {
    if (stopping) return;
    log::Info("edge's connection lost", {{"edge", edge_id}, {"address", address}, {"why", why}});
    const MonoTime now = std::chrono::steady_clock::now();
    Wait(now + kLostWait, why);
    if (now - connected_at < kHeld) return DialLater();
    back_off = kRedialMin;
    Dial();
  }

  void Wait(MonoTime until, const std::string& why) {
    waiter.expires_after(Link::kWake);
    waiter.async_wait([self = shared_from_this(), until, why](const asio::error_code& ec) {
      // A connection may be there since this time was up.
      if (ec || !self->link || self->link->connected()) return;
      if (std::chrono::steady_clock::now() >= until) {
        self->EndConversation(why);
        if (!self->dialling && !self->greeting) self->DialLater();
        return;
      }
      self->link->Expire();
      self->Wait(until, why);
    });
  }

  const std::string wanted_edge_id;
  const std::string address;
  Dispatcher& dispatcher;
  const RecordSender::Limits limits;
  TlsFiles* const tls;
  const std::function<void(const std::string&)> on_edge;
  bool was_linked = false;
  const std::string id = "control-" + RandomHex(4);  // For people.
  const std::string start = RandomHex(16);           // Whoever knows it can take the conversation over.
  std::atomic<bool> up{false};

  asio::io_context io{1};
  std::optional<asio::executor_work_guard<asio::io_context::executor_type>> work{io.get_executor()};
  tcp::resolver resolver{io};
  asio::steady_timer timer{io};  // Of what is dialled, and until it is dialled again.
  uint64_t timer_turn = 0;
  asio::steady_timer waiter{io};  // While the conversation has no connection.
  std::minstd_rand random{std::random_device()()};

  // Dialling.
  std::vector<tcp::endpoint> addresses;  // That are left to try.
  tcp::endpoint dialled_at, last_good;
  tcp::socket dialled{io};               // Until it is connected,
  std::shared_ptr<Connection> greeting;  // and from then on until the edge's hello.
  bool dialling = false;
  bool resolving = false;
  bool nobody_listens = false;  // At any address so far.
  std::string why_not;          // Of the last address.
  Duration back_off = kRedialMin;
  bool complained = false;
  bool stopping = false;

  // The conversation, if there is one.
  std::shared_ptr<Link> link;
  std::shared_ptr<LinkToEdge> to_edge;
  uint64_t number = 0;  // The dispatcher's number of it.
  std::string edge_id;
  MonoTime connected_at{};
  v1::EdgeFrame incoming;
};

EdgeLink::EdgeLink(std::string edge_id, std::string address, Dispatcher& dispatcher, size_t payload_bytes_max,
                   TlsFiles* tls, std::function<void(const std::string& edge_id)> on_edge)
    : impl_(std::make_shared<Impl>(std::move(edge_id), std::move(address), dispatcher, payload_bytes_max, tls,
                                   std::move(on_edge))) {
  dispatcher.AwaitEdge(impl_->wanted_edge_id);
  asio::post(impl_->io, [impl = impl_] { impl->Dial(); });
  loop_ = std::thread([impl = impl_] { impl->io.run(); });
}

// The loop is waited for, since OpenSSL must have all of the connection back before the process ends. A look-up that
// hangs would hold up who ends the link; a loop that looks up has no connection.
EdgeLink::~EdgeLink() {
  const auto ends = std::make_shared<std::promise<bool>>();
  asio::post(impl_->io, [this, ends] { impl_->Stop([ends](bool now) { ends->set_value(now); }); });
  if (ends->get_future().get()) {
    loop_.join();
  } else {
    loop_.detach();
  }
  impl_->dispatcher.SettleEdge(impl_->wanted_edge_id);
}

const std::string& EdgeLink::address() const { return impl_->address; }

bool EdgeLink::up() const { return impl_->up; }

void EdgeLink::DialNow() {
  asio::post(impl_->io, [impl = impl_] { impl->DialNow(); });
}

}  // namespace toolwire
