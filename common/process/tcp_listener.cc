// Waits until the socket is readable, accepts one connection without blocking, and waits again. Whatever calls back
// after Close finds the socket closed and ends. Errors of accept are of two kinds: those of the connection at the head
// of the queue, which is gone by then, and all others, which come again at once: after these it pauses.
#include "common/process/tcp_listener.h"

#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <asio.hpp>
#include <cerrno>
#include <climits>
#include <system_error>
#include <utility>

#include "common/base/host_port.h"
#include "common/base/log.h"

namespace toolwire {
namespace {

constexpr Duration kPauseAfterError = std::chrono::milliseconds(50);
// Errors with less than this between them are one spell.
constexpr Duration kSpellEndsAfter = std::chrono::seconds(10);

// The last files: for Redis, PostgreSQL, the spool and looks at the metrics.
constexpr int kLastFiles = 16;

// The kernel gives the lowest free number: one from here on says that no other is left.
int FirstOfLastFiles() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur > INT_MAX) return INT_MAX;
  return static_cast<int>(limit.rlim_cur) - kLastFiles;
}

// Those that accept(2) has from the network, for a connection that it has taken out of the queue.
bool IsOfOneConnection(int error) {
  switch (error) {
    case ECONNABORTED:
    case EPROTO:
    case ENOPROTOOPT:
    case ENETDOWN:
    case ENETUNREACH:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ENONET:
    case ETIMEDOUT:
      return true;
    default:
      return false;
  }
}

}  // namespace

TcpListener::TcpListener(asio::io_context& loop, Options options, OnSocket on_socket)
    : options_(std::move(options)), on_socket_(std::move(on_socket)), socket_(loop), timer_(loop) {}

absl::StatusOr<std::shared_ptr<TcpListener>> TcpListener::Listen(asio::io_context& loop, Options options,
                                                                 OnSocket on_socket) {
  const std::shared_ptr<TcpListener> made(new TcpListener(loop, std::move(options), std::move(on_socket)));
  const auto& [name, host, port, delay, errors, takes_last_files] = made->options_;
  asio::error_code ec;
  const auto address = asio::ip::make_address(host == "localhost" ? "127.0.0.1" : host, ec);
  if (ec) return absl::InvalidArgumentError("--listen: not an IP address: " + host);
  const asio::ip::tcp::endpoint endpoint(address, static_cast<unsigned short>(port));
  auto& socket = made->socket_;
  socket.open(endpoint.protocol(), ec);
  if (!ec) socket.set_option(asio::socket_base::reuse_address(true), ec);
  if (!ec) socket.bind(endpoint, ec);
  // The kernel cuts this to its own limit; a storm of logins waits here while it is paced.
  if (!ec) socket.listen(65535, ec);
  if (!ec) socket.non_blocking(true, ec);
  if (!ec) made->port_ = socket.local_endpoint(ec).port();
  if (ec) {
    return absl::UnavailableError(std::string(name) + ": cannot listen on " + JoinHostPort(host, port) + ": " +
                                  ec.message());
  }
  made->fd_max_ = takes_last_files ? INT_MAX : FirstOfLastFiles();
  return made;
}

void TcpListener::Close() {
  asio::error_code ignored;
  socket_.close(ignored);
  timer_.cancel();
}

void TcpListener::AwaitPeer() {
  socket_.async_wait(asio::socket_base::wait_read, [self = shared_from_this()](const asio::error_code& ec) {
    if (!self->socket_.is_open()) return;
    if (ec) return self->Failed(ec.value());
    self->Accept();
  });
}

void TcpListener::Accept() {
  const Duration delay = options_.delay ? options_.delay() : Duration::zero();
  if (delay > Duration::zero()) return Pause(delay);
  asio::ip::tcp::endpoint peer;
  auto size = static_cast<socklen_t>(peer.capacity());
  const int fd = accept4(socket_.native_handle(), peer.data(), &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd >= fd_max_) {
    close(fd);
    return Failed(EMFILE);
  }
  if (fd >= 0) {
    peer.resize(size);
    on_socket_(fd, peer);
  } else if (errno != EAGAIN && errno != EINTR && !IsOfOneConnection(errno)) {
    return Failed(errno);
  }
  AwaitPeer();
}

void TcpListener::Failed(int error) {
  const bool no_files = error == EMFILE || error == ENFILE;
  options_.errors->Add();
  const MonoTime now = std::chrono::steady_clock::now();
  if (now >= quiet_from_) {
    log::Error(no_files ? "out of file descriptors" : "cannot accept",
               {{"port", options_.name}, {"error", std::generic_category().message(error)}});
  }
  quiet_from_ = now + kSpellEndsAfter;
  Pause(kPauseAfterError);
}

void TcpListener::Pause(Duration duration) {
  timer_.expires_after(duration);
  timer_.async_wait([self = shared_from_this()](const asio::error_code&) {
    if (self->socket_.is_open()) self->AwaitPeer();
  });
}

}  // namespace toolwire
