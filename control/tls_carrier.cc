// A connection is two ways (control/carry), each of which waits for one thing at a time. It ends in one of three ways:
// - gRPC ends it: the caller gets what gRPC wrote, then the end of TLS and of TCP. What it still sends is read and
//   dropped for a moment, since a close with unread bytes is a reset, which may overtake gRPC's last words.
// - The caller ends it: gRPC gets what the caller wrote, then the end, and ends it itself.
// - Either is lost, or the caller breaks TLS: both descriptors are closed at once.
// The waits for errors notice a side that is lost while the way from it waits for the other side.
#include "control/tls_carrier.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <asio.hpp>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <thread>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "common/base/log.h"
#include "common/tls/tls_socket.h"
#include "control/carry.h"

namespace toolwire {
namespace {

using Next = CarryWay::Next;
using Descriptor = asio::posix::stream_descriptor;
using Moved = TlsStream::Moved;

// For a caller to take what gRPC wrote before it ended the connection; gRPC waits for nobody.
constexpr Duration kLastBytesMax = std::chrono::seconds(10);
// For a caller to close its side once it has everything.
constexpr Duration kLingerMax = std::chrono::seconds(1);

class TlsEnd final : public CarryEnd {
 public:
  TlsEnd(int fd, std::unique_ptr<TlsStream> tls) : fd_(fd), tls_(std::move(tls)) {}
  Moved Read(char* buffer, size_t size) override { return tls_->Read(buffer, size); }
  Moved Write(const char* data, size_t size) override { return tls_->Write(data, size); }
  bool HasBuffered() const override { return tls_->HasBuffered(); }
  void EndWrites() override {
    tls_->CloseNotify();
    shutdown(fd_, SHUT_WR);
  }
  const TlsStream& tls() const { return *tls_; }

 private:
  const int fd_;
  const std::unique_ptr<TlsStream> tls_;
};

class LocalEnd final : public CarryEnd {
 public:
  explicit LocalEnd(int fd) : fd_(fd) {}
  Moved Read(char* buffer, size_t size) override {
    const ssize_t got = recv(fd_, buffer, size, MSG_DONTWAIT);
    if (got > 0) return {TlsStream::Status::kDone, static_cast<size_t>(got)};
    return {got < 0 && IsForNow() ? TlsStream::Status::kWantsRead : TlsStream::Status::kClosed};
  }
  Moved Write(const char* data, size_t size) override {
    const ssize_t sent = send(fd_, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent > 0) return {TlsStream::Status::kDone, static_cast<size_t>(sent)};
    return {sent < 0 && IsForNow() ? TlsStream::Status::kWantsWrite : TlsStream::Status::kClosed};
  }
  bool HasBuffered() const override { return false; }
  void EndWrites() override { shutdown(fd_, SHUT_WR); }

 private:
  static bool IsForNow() { return errno == EAGAIN || errno == EINTR || errno == ENOBUFS; }
  const int fd_;
};

bool IsLost(Descriptor& descriptor) {
  pollfd state{descriptor.native_handle(), 0, 0};
  return poll(&state, 1, 0) == 1 && (state.revents & (POLLERR | POLLHUP | POLLNVAL)) != 0;
}

}  // namespace

struct TlsCarrier::Impl {
  class Carried;

  explicit Impl(TlsFiles& files) : files(files) {}
  void Ended(const std::shared_ptr<Carried>& one);
  void EndIfEmpty();

  TlsFiles& files;
  asio::io_context io{1};
  asio::executor_work_guard<asio::io_context::executor_type> work = asio::make_work_guard(io);
  std::thread thread;

  // Only the thread's.
  std::array<char, kHeldBytesMax> scratch{};
  absl::flat_hash_set<std::shared_ptr<Carried>> all;
  asio::steady_timer stop_timer{io};
  bool stopping = false;
};

class TlsCarrier::Impl::Carried : public std::enable_shared_from_this<Carried> {
 public:
  Carried(Impl& owner, Connection connection)
      : owner_(owner),
        caller_(owner.io),
        grpc_(owner.io),
        timer_(owner.io),
        tls_(connection.caller_fd, std::move(connection.tls)),
        local_(connection.grpc_fd),
        to_grpc_(tls_, local_),
        to_caller_(local_, tls_),
        address_(std::move(connection.address)) {
    to_grpc_.Put(std::move(connection.first));
  }

  // False if there is no memory; then the descriptors stay whose they were.
  bool Open(int caller_fd, int grpc_fd) {
    asio::error_code ec;
    caller_.assign(caller_fd, ec);
    if (ec) return false;
    grpc_.assign(grpc_fd, ec);
    if (ec) caller_.release();
    return !ec;
  }
  void Start() {
    AwaitLoss(caller_, [this] { Cut(); });
    AwaitLoss(grpc_, [this] { CutIn(kLastBytesMax); });
    RunToGrpc();
    RunToCaller();
  }
  // Both at once, whatever is held.
  void Cut() {
    if (!caller_.is_open()) return;
    asio::error_code ignored;
    timer_.cancel();
    caller_.close(ignored);
    grpc_.close(ignored);
    owner_.Ended(shared_from_this());
  }

 private:
  void RunToGrpc() {
    if (!grpc_.is_open()) return;
    const Next next = to_grpc_.Go(owner_.scratch.data(), owner_.scratch.size());
    const auto again = [this] { RunToGrpc(); };
    switch (next) {
      case Next::kFromReadable:
        return Await(caller_, Descriptor::wait_read, again);
      case Next::kFromWritable:
        return Await(caller_, Descriptor::wait_write, again);
      case Next::kToReadable:
      case Next::kToWritable:
        return Await(grpc_, Descriptor::wait_write, again);
      case Next::kTurn:
        return asio::post(owner_.io, [self = shared_from_this()] { self->RunToGrpc(); });
      case Next::kEnded:
        caller_ended_ = true;
        return;
      case Next::kToLost:  // gRPC has ended it; its last bytes are on the other way.
        return;
      case Next::kFromFailed:
        owner_.files.counters().Failed(tls_.tls().failure());
        LogTlsFailure(owner_.files.options().port, address_, tls_.tls().error());
        return Cut();
    }
  }
  void RunToCaller() {
    if (!grpc_.is_open()) return;
    const Next next = to_caller_.Go(owner_.scratch.data(), owner_.scratch.size());
    const auto again = [this] { RunToCaller(); };
    switch (next) {
      case Next::kFromReadable:
      case Next::kFromWritable:
        return Await(grpc_, Descriptor::wait_read, again);
      case Next::kToReadable:
        return Await(caller_, Descriptor::wait_read, again);
      case Next::kToWritable:
        return Await(caller_, Descriptor::wait_write, again);
      case Next::kTurn:
        return asio::post(owner_.io, [self = shared_from_this()] { self->RunToCaller(); });
      case Next::kEnded:
        return Linger();
      case Next::kToLost:
      case Next::kFromFailed:
        return Cut();
    }
  }

  void Linger() {
    if (caller_ended_) return Cut();
    asio::error_code ignored;
    grpc_.close(ignored);
    CutIn(kLingerMax);
    DropRest();
  }
  // Reads what is no TLS any more, of a caller that has got everything.
  void DropRest() {
    if (!caller_.is_open()) return;
    const ssize_t got = recv(caller_.native_handle(), owner_.scratch.data(), owner_.scratch.size(), MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) return Cut();
    Await(caller_, Descriptor::wait_read, [this] { DropRest(); });
  }

  void CutIn(Duration time) {
    timer_.expires_after(time);
    timer_.async_wait([self = shared_from_this()](const asio::error_code& ec) {
      if (!ec) self->Cut();
    });
  }
  // `then` uses `this`, which the wait keeps alive; it is not called if the descriptor is closed meanwhile.
  template <typename Then>
  void Await(Descriptor& descriptor, Descriptor::wait_type what, Then then) {
    descriptor.async_wait(what, [self = shared_from_this(), then](const asio::error_code& ec) {
      if (!ec) then();
    });
  }
  template <typename Then>
  void AwaitLoss(Descriptor& descriptor, Then then) {
    Await(descriptor, Descriptor::wait_error, [this, &descriptor, then] {
      if (!descriptor.is_open()) return;
      if (!IsLost(descriptor)) return AwaitLoss(descriptor, then);  // Urgent data.
      then();
    });
  }

  Impl& owner_;
  Descriptor caller_, grpc_;
  asio::steady_timer timer_;
  TlsEnd tls_;
  LocalEnd local_;
  CarryWay to_grpc_, to_caller_;
  const std::string address_;
  bool caller_ended_ = false;  // And gRPC knows.
};

void TlsCarrier::Impl::Ended(const std::shared_ptr<Carried>& one) {
  all.erase(one);
  EndIfEmpty();
}

void TlsCarrier::Impl::EndIfEmpty() {
  if (!stopping || !all.empty()) return;
  stop_timer.cancel();
  work.reset();
}

TlsCarrier::TlsCarrier(TlsFiles& files) : impl_(std::make_unique<Impl>(files)) {
  impl_->thread = std::thread([impl = impl_.get()] { impl->io.run(); });
}

TlsCarrier::~TlsCarrier() { Stop(std::chrono::steady_clock::now()); }

bool TlsCarrier::MakePair(const std::string& name, int* grpc_end, int* our_end) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (name.size() >= sizeof address.sun_path) {
    errno = ENAMETOOLONG;
    return false;
  }
  // In the abstract namespace: a zero, then the name.
  std::memcpy(address.sun_path + 1, name.data(), name.size());
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0) return false;
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  const int bytes = kToGrpcBytesMax / 2;  // The kernel takes twice as much.
  if (bind(ends[1], reinterpret_cast<const sockaddr*>(&address), size) != 0 ||
      setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes) != 0) {
    const int error = errno;
    close(ends[0]);
    close(ends[1]);
    errno = error;
    return false;
  }
  *grpc_end = ends[0];
  *our_end = ends[1];
  return true;
}

void TlsCarrier::Carry(Connection connection) {
  asio::post(impl_->io, [impl = impl_.get(), connection = std::make_shared<Connection>(std::move(connection))] {
    const int caller_fd = connection->caller_fd, grpc_fd = connection->grpc_fd;
    auto carried = std::make_shared<Impl::Carried>(*impl, std::move(*connection));
    if (!carried->Open(caller_fd, grpc_fd)) {
      close(caller_fd);
      close(grpc_fd);
      return;
    }
    impl->all.insert(carried);
    carried->Start();
  });
}

void TlsCarrier::Stop(MonoTime until) {
  if (!impl_->thread.joinable()) return;
  asio::post(impl_->io, [impl = impl_.get(), until] {
    impl->stopping = true;
    impl->stop_timer.expires_at(until);
    impl->stop_timer.async_wait([impl](const asio::error_code& ec) {
      if (ec) return;
      const auto left = std::exchange(impl->all, {});
      for (const auto& one : left) one->Cut();
      impl->EndIfEmpty();
    });
    impl->EndIfEmpty();
  });
  impl_->thread.join();
}

}  // namespace toolwire
