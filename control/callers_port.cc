// Each connection is silent until its first bytes are there, then gRPC's. gRPC reports no end of a connection, so the
// port remembers the inode of each descriptor's socket: when the descriptor has another one or none, the connection has
// ended. All are looked at once a second, and when a limit is reached, but then no more often than every 50 ms. gRPC's
// statistics know a connection by its peer; of two with the same the later number belongs to the later descriptor.
// With TLS a connection stays silent until its handshake is done and the first bytes after it are there: it makes room
// for others in any step of it. What is remembered of it is the caller's own socket, in whose stead gRPC has one end of
// a pair, with a name that has the caller's address in it.
#include "control/callers_port.h"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <asio.hpp>
#include <atomic>
#include <cerrno>
#include <map>
#include <optional>
#include <string_view>
#include <thread>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "common/base/by_address.h"
#include "common/base/host_port.h"
#include "common/base/log.h"
#include "common/base/random_hex.h"
#include "common/process/tcp_listener.h"
#include "common/tls/tls_socket.h"
#include "control/caller_peer.h"
#include "control/grpc_streams.h"
#include "control/tls_carrier.h"

namespace toolwire {
namespace {

using asio::ip::tcp;

constexpr Duration kSweepEvery = std::chrono::seconds(1);
constexpr Duration kTick = std::chrono::milliseconds(100);
// A connection that sends less in a tick does not open streams by the thousand.
constexpr uint64_t kBusyBytes = 16 * 1024;
// So many times the streams that it may have: those that it has reset wait to be cleaned up.
constexpr int64_t kUnfinishedFactor = 3;
// Ticks, after which the streams of each connection were looked at: 4,096 take a hundredth of a core then.
constexpr int kStreamsLookTicks = 50;
constexpr Duration kSweepAtLimitEvery = std::chrono::milliseconds(50);
// A peer that takes no data for so long is gone; without it the kernel tries for 15 minutes.
constexpr int kUserTimeoutMs = 30000;
// In which a peer whose handshake failed may read why.
constexpr Duration kAlertWaitMax = std::chrono::seconds(1);

void SetSocketOptions(int fd) {
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &kUserTimeoutMs, sizeof kUserTimeoutMs);
}

std::optional<ino_t> InodeOf(int fd) {
  struct stat status {};
  if (fstat(fd, &status) != 0 || !S_ISSOCK(status.st_mode)) return std::nullopt;
  return status.st_ino;
}

asio::ip::address Unmapped(const asio::ip::address& address) {
  if (!address.is_v6() || !address.to_v6().is_v4_mapped()) return address;
  return asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6());
}

// What gRPC takes it for.
tcp::endpoint PeerOf(const tcp::endpoint& peer) { return {Unmapped(peer.address()), peer.port()}; }

std::string TextOf(const tcp::endpoint& peer) { return JoinHostPort(peer.address().to_string(), peer.port()); }

// Ends the connection at once, if `fd` still is it. shutdown(2) would leave gRPC megabytes to read that the kernel has
// received. gRPC may close the descriptor at any time and another socket get it, so what is looked at and what is cut
// is a duplicate. It lives for microseconds, since gRPC's registration in its epoll set lasts as long as the last one.
bool Cut(int fd, ino_t inode) {
  const int same = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (same < 0) return false;
  const bool is_it = InodeOf(same) == inode;
  sockaddr none{};
  none.sa_family = AF_UNSPEC;
  if (is_it) connect(same, &none, sizeof none);
  close(same);
  return is_it;
}

}  // namespace

struct CallersPort::Impl {
  // What handlers keep alive, since they run after it is closed, too.
  struct Socket {
    explicit Socket(asio::io_context& io) : raw(io) {}
    tcp::socket raw;
    std::unique_ptr<TlsSocket> tls;  // On raw. Null: plain.
    std::array<char, 1024> first{};  // After the handshake.
  };
  struct Silent {
    std::shared_ptr<Socket> socket;
    std::string who;  // As of AddressKey.
    tcp::endpoint peer;
    MonoTime until;
    bool failed = false;  // Its handshake; it only reads why.
  };
  struct Handed {
    ino_t inode;
    std::string who;
    tcp::endpoint peer;
    uint64_t received = 0;
    std::optional<int64_t> number;  // gRPC's, once it was looked up.
    int64_t unfinished = 0;         // Streams, when they were looked at.
  };
  using SilentMap = std::map<uint64_t, Silent>;  // By numbers that grow: the oldest first.

  Impl(const Options& options, TlsFiles* tls, OnConnection on_connection)
      : options(options), on_connection(std::move(on_connection)), timer(io) {
    if (tls == nullptr) return;
    carrier.emplace(*tls);
    handshakes.emplace(*tls, options.handshakes, counters.handshakes_paced);
  }

  void Accepted(int fd, const tcp::endpoint& peer);
  bool MakeRoom(const std::string& who);
  bool DropSilent(const std::string& who);
  void AwaitFirstBytes(uint64_t number, Silent& one);
  void Readable(SilentMap::iterator it);
  void BeginTls(uint64_t number, Silent& one);
  void Shaken(uint64_t number, TlsSocket::Shaken shaken);
  void ReadRest(uint64_t number);
  void HandOver(SilentMap::iterator it, std::string_view first);
  void Drop(SilentMap::iterator it);
  void Close(const std::shared_ptr<Socket>& socket);
  void Forget(const std::string& who);
  void Ended(int fd, Handed* one);
  void SetUnfinished(Handed* one, int64_t streams);
  void CutFloods();
  void CutMostStreams();
  void Sweep();
  void Tick();
  size_t size() const { return silent.size() + handed.size(); }
  bool IsFull() const { return size() >= static_cast<size_t>(options.connections_max); }
  bool IsFull(const std::string& who) const {
    const auto found = of_address.find(who);
    return found != of_address.end() && found->second >= options.address_connections_max;
  }

  const Options options;
  const OnConnection on_connection;
  Counters counters;
  std::atomic<size_t> open{0};
  asio::io_context io{1};
  std::shared_ptr<TcpListener> listener;
  asio::steady_timer timer;
  std::thread thread;
  // With TLS.
  std::optional<TlsCarrier> carrier;
  std::optional<TlsHandshakes> handshakes;
  const std::string pair_prefix = absl::StrCat("tw-", RandomHex(4), "-");

  // Only the thread's.
  SilentMap silent;
  uint64_t last_number = 0;
  absl::flat_hash_map<int, Handed> handed;  // By descriptor.
  std::map<tcp::endpoint, int> fd_of_peer;  // The newest of those with this peer.
  absl::flat_hash_map<std::string, int> of_address;
  absl::flat_hash_map<std::string, int64_t> streams_of_address;  // Of Handed::unfinished; none is 0.
  int64_t all_streams = 0;
  int ticks = 0;
  GrpcStreams streams;
  MonoTime swept_at{};
  bool ended = false;
};

void CallersPort::Impl::Accepted(int fd, const tcp::endpoint& peer) {
  counters.accepted.Add();
  // gRPC has closed this descriptor meanwhile.
  if (const auto old = handed.find(fd); old != handed.end()) {
    Ended(fd, &old->second);
    handed.erase(old);
  }
  std::string who = AddressKey(peer.address().to_string());
  if (!MakeRoom(who)) {
    close(fd);
    return;
  }
  auto socket = std::make_shared<Socket>(io);
  asio::error_code ec;
  socket->raw.assign(peer.protocol(), fd, ec);
  if (ec) {  // Out of memory; the descriptor is still ours.
    close(fd);
    return;
  }
  SetSocketOptions(fd);
  ++of_address[who];
  const MonoTime until = std::chrono::steady_clock::now() + options.connect_timeout;
  const uint64_t number = ++last_number;
  Silent& one = silent.emplace(number, Silent{std::move(socket), std::move(who), PeerOf(peer), until}).first->second;
  open = size();
  if (handshakes) {
    BeginTls(number, one);
  } else {
    AwaitFirstBytes(number, one);
  }
}

// Silent connections make room for new ones: whoever speaks stays.
bool CallersPort::Impl::MakeRoom(const std::string& who) {
  if ((IsFull() || IsFull(who)) && std::chrono::steady_clock::now() >= swept_at + kSweepAtLimitEvery) Sweep();
  if (IsFull(who)) {
    counters.address_full.Add();
    auto oldest = silent.begin();
    while (oldest != silent.end() && oldest->second.who != who) ++oldest;
    if (oldest == silent.end()) return false;
    Drop(oldest);
  }
  if (IsFull()) {
    counters.connections_full.Add();
    if (!DropSilent(who)) return false;
  }
  if (silent.size() < static_cast<size_t>(options.silent_connections_max)) return true;
  counters.silent_full.Add();
  return DropSilent(who);
}

// The address with the most connections pays, by its oldest silent one: of those that have one, and `who` with its new
// one. False: that is the new one.
bool CallersPort::Impl::DropSilent(const std::string& who) {
  const auto count = [this](const std::string& address) {
    const auto found = of_address.find(address);
    return found == of_address.end() ? 0 : found->second;
  };
  auto pays = silent.end();
  int most = count(who) + 1;
  for (auto it = silent.begin(); it != silent.end(); ++it) {
    const int connections = count(it->second.who) + (it->second.who == who ? 1 : 0);
    if (connections < most || (connections == most && pays != silent.end())) continue;
    most = connections;
    pays = it;
  }
  if (pays == silent.end()) return false;
  Drop(pays);
  return true;
}

void CallersPort::Impl::AwaitFirstBytes(uint64_t number, Silent& one) {
  one.socket->raw.async_wait(tcp::socket::wait_read, [this, number](const asio::error_code& ec) {
    const auto it = silent.find(number);
    if (it == silent.end()) return;
    if (ec) return Drop(it);
    Readable(it);
  });
}

void CallersPort::Impl::Readable(SilentMap::iterator it) {
  auto& [number, one] = *it;
  char first;
  const ssize_t got = recv(one.socket->raw.native_handle(), &first, 1, MSG_PEEK | MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return AwaitFirstBytes(number, one);
  if (got <= 0) return Drop(it);
  HandOver(it, {});
}

void CallersPort::Impl::BeginTls(uint64_t number, Silent& one) {
  const std::shared_ptr<Socket>& socket = one.socket;
  socket->tls = std::make_unique<TlsSocket>(io, socket->raw, *handshakes, one.peer.address().to_string());
  socket->tls->Handshake([this, number, socket = socket](TlsSocket::Shaken shaken) { Shaken(number, shaken); });
}

void CallersPort::Impl::Shaken(uint64_t number, TlsSocket::Shaken shaken) {
  const auto it = silent.find(number);
  if (it == silent.end()) return;
  Silent& one = it->second;
  const std::shared_ptr<Socket>& socket = one.socket;
  switch (shaken) {
    case TlsSocket::Shaken::kOpen:
      return socket->tls->Read(socket->first.data(), socket->first.size(),
                               [this, number, socket = socket](const asio::error_code& ec, size_t bytes) {
                                 const auto found = silent.find(number);
                                 if (found == silent.end()) return;
                                 if (ec) return Drop(found);
                                 HandOver(found, {socket->first.data(), bytes});
                               });
    case TlsSocket::Shaken::kFailed:
      one.failed = true;
      one.until = std::min(one.until, std::chrono::steady_clock::now() + kAlertWaitMax);
      shutdown(socket->raw.native_handle(), SHUT_WR);
      return ReadRest(number);
    case TlsSocket::Shaken::kNobody:
      return Drop(it);
  }
}

// A close with unread bytes would be a reset, which overtakes the alert that says why.
void CallersPort::Impl::ReadRest(uint64_t number) {
  const auto it = silent.find(number);
  if (it == silent.end()) return;
  tcp::socket& socket = it->second.socket->raw;
  std::array<char, 4096> rest;
  const ssize_t got = recv(socket.native_handle(), rest.data(), rest.size(), MSG_DONTWAIT);
  if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) return Drop(it);
  socket.async_wait(tcp::socket::wait_read, [this, number, socket = it->second.socket](const asio::error_code& ec) {
    if (!ec) ReadRest(number);
  });
}

// `first`: what was read of it, with TLS.
void CallersPort::Impl::HandOver(SilentMap::iterator it, std::string_view first) {
  auto& [number, one] = *it;
  const std::shared_ptr<Socket> socket = one.socket;
  const std::optional<ino_t> inode = InodeOf(socket->raw.native_handle());
  int for_grpc = -1, for_carrier = -1;
  if (!inode) return Drop(it);
  if (socket->tls) {
    const std::string name = CallerSocketName(absl::StrCat(pair_prefix, absl::Hex(number)), one.peer);
    if (!TlsCarrier::MakePair(name, &for_grpc, &for_carrier)) {
      counters.accept_errors.Add();
      return Drop(it);
    }
  }
  asio::error_code ec;
  const int fd = socket->raw.release(ec);
  if (ec) {
    if (socket->tls) {
      close(for_grpc);
      close(for_carrier);
    }
    return Drop(it);
  }
  const tcp::endpoint peer = one.peer;
  fd_of_peer[peer] = fd;
  handed[fd] = {*inode, std::move(one.who), peer, 0, std::nullopt, 0};
  silent.erase(it);
  if (!socket->tls) return on_connection(fd);
  carrier->Carry({fd, socket->tls->Release(), for_carrier, std::string(first), peer.address().to_string()});
  on_connection(for_grpc);
}

void CallersPort::Impl::Drop(SilentMap::iterator it) {
  Forget(it->second.who);
  Close(it->second.socket);
  silent.erase(it);
  open = size();
}

// Once no handshake runs on it, which the loop waits for.
void CallersPort::Impl::Close(const std::shared_ptr<Socket>& socket) {
  const auto later = [this, socket, work = asio::make_work_guard(io)] { Close(socket); };
  if (socket->tls && !socket->tls->LetGo(later)) return;
  asio::error_code ignored;
  socket->raw.close(ignored);
}

void CallersPort::Impl::Forget(const std::string& who) {
  const auto found = of_address.find(who);
  if (--found->second == 0) of_address.erase(found);
}

void CallersPort::Impl::Ended(int fd, Handed* one) {
  SetUnfinished(one, 0);
  Forget(one->who);
  const auto newest = fd_of_peer.find(one->peer);
  if (newest != fd_of_peer.end() && newest->second == fd) fd_of_peer.erase(newest);
}

void CallersPort::Impl::SetUnfinished(Handed* one, int64_t streams) {
  const int64_t more = streams - std::exchange(one->unfinished, streams);
  if (more == 0) return;
  all_streams += more;
  const auto of_its = streams_of_address.try_emplace(one->who).first;
  of_its->second += more;
  if (of_its->second == 0) streams_of_address.erase(of_its);
}

// Callers that open and reset streams, or that open them without end before they have read how many they may.
void CallersPort::Impl::CutFloods() {
  std::vector<int> busy, others;
  ticks = (ticks + 1) % kStreamsLookTicks;
  for (auto& [fd, one] : handed) {
    const uint64_t received = BytesReceived(fd);
    if (received > one.received + kBusyBytes) {
      busy.push_back(fd);
    } else if (fd % kStreamsLookTicks == ticks) {
      others.push_back(fd);
    }
    one.received = received;
  }
  if (busy.empty() && others.empty()) return;
  streams.ReadNew([this](const tcp::endpoint& peer, int64_t number) {
    const auto newest = fd_of_peer.find(peer);
    if (newest != fd_of_peer.end()) handed.at(newest->second).number = number;
  });
  for (const int fd : others) {
    Handed& one = handed.at(fd);
    if (one.number) SetUnfinished(&one, streams.Unfinished(*one.number));
  }
  for (const int fd : busy) {
    Handed& one = handed.at(fd);
    if (!one.number) streams = {};  // Two that began at once may be there in the wrong order: all are read again.
    if (!one.number) continue;
    SetUnfinished(&one, streams.Unfinished(*one.number));
    if (one.unfinished <= kUnfinishedFactor * options.connection_streams_max) continue;
    if (!Cut(fd, one.inode)) continue;
    SetUnfinished(&one, 0);
    counters.streams_unfinished.Add();
    log::Warn("caller cut, its streams do not end", {{"caller", TextOf(one.peer)}});
  }
  CutMostStreams();
}

// Of the address with the most streams that are not over, the connection with the most of them, until there are no
// longer too many.
void CallersPort::Impl::CutMostStreams() {
  while (!streams_of_address.empty()) {
    const auto most = std::max_element(streams_of_address.begin(), streams_of_address.end(),
                                       [](const auto& one, const auto& other) { return one.second < other.second; });
    if (most->second <= options.address_unfinished_streams_max && all_streams <= options.unfinished_streams_max) return;
    const auto pays = std::max_element(handed.begin(), handed.end(), [&](const auto& one, const auto& other) {
      const auto streams_of = [&](const Handed& of) { return of.who == most->first ? of.unfinished : -1; };
      return streams_of(one.second) < streams_of(other.second);
    });
    Handed& one = pays->second;
    const int64_t had = one.unfinished;
    SetUnfinished(&one, 0);
    if (!Cut(pays->first, one.inode)) continue;  // It has ended.
    counters.streams_full.Add();
    log::Warn("caller cut, too many streams are not over", {{"caller", TextOf(one.peer)}, {"streams", had}});
  }
}

void CallersPort::Impl::Sweep() {
  swept_at = std::chrono::steady_clock::now();
  absl::erase_if(handed, [this](auto& one) {
    if (InodeOf(one.first) == one.second.inode) return false;
    Ended(one.first, &one.second);
    return true;
  });
  open = size();
}

void CallersPort::Impl::Tick() {
  timer.expires_after(kTick);
  timer.async_wait([this](const asio::error_code&) {
    if (ended) return;
    CutFloods();
    if (std::chrono::steady_clock::now() >= swept_at + kSweepEvery) Sweep();
    const MonoTime now = std::chrono::steady_clock::now();
    for (auto next = silent.begin(); next != silent.end();) {
      const auto it = next++;
      if (it->second.until > now) continue;
      if (!it->second.failed) counters.silent_too_long.Add();
      Drop(it);
    }
    Tick();
  });
}

CallersPort::CallersPort(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

absl::StatusOr<std::unique_ptr<CallersPort>> CallersPort::Listen(const std::string& host, int port,
                                                                 const Options& options, TlsFiles* tls,
                                                                 OnConnection on_connection) {
  auto impl = std::make_unique<Impl>(options, tls, std::move(on_connection));
  auto listener =
      TcpListener::Listen(impl->io, {"callers", host, port, nullptr, &impl->counters.accept_errors},
                          [raw = impl.get()](int fd, const tcp::endpoint& peer) { raw->Accepted(fd, peer); });
  if (!listener.ok()) return listener.status();
  impl->listener = *std::move(listener);
  return std::unique_ptr<CallersPort>(new CallersPort(std::move(impl)));
}

CallersPort::~CallersPort() {
  Stop();
  EndTls(std::chrono::steady_clock::now());
}

void CallersPort::Stop() {
  if (!impl_->thread.joinable()) return;
  asio::post(impl_->io, [raw = impl_.get()] {
    raw->ended = true;
    raw->listener->Close();
    raw->timer.cancel();
    while (!raw->silent.empty()) raw->Drop(raw->silent.begin());
  });
  impl_->thread.join();
  impl_->handshakes.reset();
}

void CallersPort::EndTls(MonoTime until) {
  if (impl_->carrier) impl_->carrier->Stop(until);
}

void CallersPort::Start() {
  impl_->listener->Start();
  impl_->Tick();
  impl_->thread = std::thread([raw = impl_.get()] { raw->io.run(); });
}

int CallersPort::port() const { return impl_->listener->port(); }

void CallersPort::AddSamples(std::vector<Sample>* out) const {
  AddGauge(out, "toolwire_control_connections", "Callers' connections open.", static_cast<double>(impl_->open.load()));
  impl_->counters.AddSamples(out);
}

}  // namespace toolwire
