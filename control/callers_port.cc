// Each connection is silent until its first bytes are there, then gRPC's. gRPC reports no end of a connection, so the
// port remembers the inode of each descriptor's socket: when the descriptor has another one or none, the connection has
// ended. All are looked at once a second, and when a limit is reached, but then no more often than every 50 ms. gRPC's
// statistics know a connection by its peer; of two with the same the later number belongs to the later descriptor.
#include "control/callers_port.h"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <asio.hpp>
#include <atomic>
#include <cerrno>
#include <map>
#include <optional>
#include <thread>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "common/base/by_address.h"
#include "common/base/host_port.h"
#include "common/base/log.h"
#include "common/process/tcp_listener.h"
#include "control/grpc_streams.h"

namespace toolwire {
namespace {

using asio::ip::tcp;

constexpr Duration kSweepEvery = std::chrono::seconds(1);
constexpr Duration kTick = std::chrono::milliseconds(100);
// A connection that sends less in a tick does not open streams by the thousand.
constexpr uint64_t kBusyBytes = 16 * 1024;
// So many times the streams that it may have: those that it has reset wait to be cleaned up.
constexpr int64_t kUnfinishedFactor = 3;
constexpr Duration kSweepAtLimitEvery = std::chrono::milliseconds(50);
// A peer that takes no data for so long is gone; without it the kernel tries for 15 minutes.
constexpr int kUserTimeoutMs = 30000;

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
  struct Silent {
    tcp::socket socket;
    std::string who;  // As of AddressKey.
    tcp::endpoint peer;
    MonoTime until;
  };
  struct Handed {
    ino_t inode;
    std::string who;
    tcp::endpoint peer;
    uint64_t received = 0;
    std::optional<int64_t> number;  // gRPC's, once it was looked up.
  };
  using SilentMap = std::map<uint64_t, Silent>;  // By numbers that grow: the oldest first.

  Impl(const Options& options, OnConnection on_connection)
      : options(options), on_connection(std::move(on_connection)), timer(io) {}

  void Accepted(int fd, const tcp::endpoint& peer);
  bool MakeRoom(const std::string& who);
  bool DropSilent(const std::string& who);
  void AwaitFirstBytes(uint64_t number, Silent& one);
  void Readable(SilentMap::iterator it);
  void Drop(SilentMap::iterator it);
  void Forget(const std::string& who);
  void Ended(int fd, const Handed& one);
  void CutFloods();
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

  // Only the thread's.
  SilentMap silent;
  uint64_t last_number = 0;
  absl::flat_hash_map<int, Handed> handed;  // By descriptor.
  std::map<tcp::endpoint, int> fd_of_peer;  // The newest of those with this peer.
  absl::flat_hash_map<std::string, int> of_address;
  GrpcStreams streams;
  MonoTime swept_at{};
  bool ended = false;
};

void CallersPort::Impl::Accepted(int fd, const tcp::endpoint& peer) {
  counters.accepted.Add();
  // gRPC has closed this descriptor meanwhile.
  if (const auto old = handed.find(fd); old != handed.end()) {
    Ended(fd, old->second);
    handed.erase(old);
  }
  std::string who = AddressKey(peer.address().to_string());
  if (!MakeRoom(who)) {
    close(fd);
    return;
  }
  tcp::socket socket(io);
  asio::error_code ec;
  socket.assign(peer.protocol(), fd, ec);
  if (ec) {  // Out of memory; the descriptor is still ours.
    close(fd);
    return;
  }
  SetSocketOptions(fd);
  ++of_address[who];
  const MonoTime until = std::chrono::steady_clock::now() + options.connect_timeout;
  const uint64_t number = ++last_number;
  Silent one{std::move(socket), std::move(who), PeerOf(peer), until};
  AwaitFirstBytes(number, silent.emplace(number, std::move(one)).first->second);
  open = size();
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
  one.socket.async_wait(tcp::socket::wait_read, [this, number](const asio::error_code& ec) {
    const auto it = silent.find(number);
    if (it == silent.end()) return;
    if (ec) return Drop(it);
    Readable(it);
  });
}

void CallersPort::Impl::Readable(SilentMap::iterator it) {
  auto& [number, one] = *it;
  char first;
  const ssize_t got = recv(one.socket.native_handle(), &first, 1, MSG_PEEK | MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return AwaitFirstBytes(number, one);
  const std::optional<ino_t> inode = InodeOf(one.socket.native_handle());
  if (got <= 0 || !inode) return Drop(it);
  asio::error_code ec;
  const int fd = one.socket.release(ec);
  if (ec) return Drop(it);
  fd_of_peer[one.peer] = fd;
  handed[fd] = {*inode, std::move(one.who), one.peer, 0, std::nullopt};
  silent.erase(it);
  on_connection(fd);
}

void CallersPort::Impl::Drop(SilentMap::iterator it) {
  Forget(it->second.who);
  silent.erase(it);  // Closes it.
  open = size();
}

void CallersPort::Impl::Forget(const std::string& who) {
  const auto found = of_address.find(who);
  if (--found->second == 0) of_address.erase(found);
}

void CallersPort::Impl::Ended(int fd, const Handed& one) {
  Forget(one.who);
  const auto newest = fd_of_peer.find(one.peer);
  if (newest != fd_of_peer.end() && newest->second == fd) fd_of_peer.erase(newest);
}

// Callers that open and reset streams, or that open them without end before they have read how many they may.
void CallersPort::Impl::CutFloods() {
  std::vector<int> busy;
  for (auto& [fd, one] : handed) {
    const uint64_t received = BytesReceived(fd);
    if (received > one.received + kBusyBytes) busy.push_back(fd);
    one.received = received;
  }
  if (busy.empty()) return;
  streams.ReadNew([this](const tcp::endpoint& peer, int64_t number) {
    const auto newest = fd_of_peer.find(peer);
    if (newest != fd_of_peer.end()) handed.at(newest->second).number = number;
  });
  for (const int fd : busy) {
    const Handed& one = handed.at(fd);
    if (!one.number) streams = {};  // Two that began at once may be there in the wrong order: all are read again.
    if (!one.number || streams.Unfinished(*one.number) <= kUnfinishedFactor * options.connection_streams_max) continue;
    if (!Cut(fd, one.inode)) continue;
    counters.streams_unfinished.Add();
    log::Warn("caller cut, its streams do not end", {{"caller", TextOf(one.peer)}});
  }
}

void CallersPort::Impl::Sweep() {
  swept_at = std::chrono::steady_clock::now();
  absl::erase_if(handed, [this](const auto& one) {
    if (InodeOf(one.first) == one.second.inode) return false;
    Ended(one.first, one.second);
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
    while (!silent.empty() && silent.begin()->second.until <= std::chrono::steady_clock::now()) {
      counters.silent_too_long.Add();
      Drop(silent.begin());
    }
    Tick();
  });
}

CallersPort::CallersPort(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

absl::StatusOr<std::unique_ptr<CallersPort>> CallersPort::Listen(const std::string& host, int port,
                                                                 const Options& options, OnConnection on_connection) {
  auto impl = std::make_unique<Impl>(options, std::move(on_connection));
  auto listener =
      TcpListener::Listen(impl->io, {"callers", host, port, nullptr, &impl->counters.accept_errors},
                          [raw = impl.get()](int fd, const tcp::endpoint& peer) { raw->Accepted(fd, peer); });
  if (!listener.ok()) return listener.status();
  impl->listener = *std::move(listener);
  return std::unique_ptr<CallersPort>(new CallersPort(std::move(impl)));
}

CallersPort::~CallersPort() { Stop(); }

void CallersPort::Stop() {
  if (!impl_->thread.joinable()) return;
  asio::post(impl_->io, [raw = impl_.get()] {
    raw->ended = true;
    raw->listener->Close();
    raw->timer.cancel();
    raw->silent.clear();
  });
  impl_->thread.join();
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
