// One accept at a time: the admission is asked before each, and a timer runs while it says to wait, in which peers wait
// in the kernel's queue. Out of descriptors, the spare one is closed to accept and close the peer at the head of that
// queue, and taken again.
#include "edge/acceptor.h"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <asio.hpp>
#include <thread>
#include <utility>

#include "common/base/host_port.h"
#include "common/base/log.h"

namespace toolwire {
namespace {

constexpr Duration kNoFilesWait = std::chrono::milliseconds(50);
// A peer that takes no data for so long is gone; without it the kernel tries for 15 minutes.
constexpr int kUserTimeoutMs = 30000;

void SetSocketOptions(int fd) {
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &kUserTimeoutMs, sizeof kUserTimeoutMs);
}

}  // namespace

struct Acceptor::Impl {
  Impl(const Clock& the_clock, Admission& the_admission, OnSocket handler)
      : clock(the_clock), admission(the_admission), on_socket(std::move(handler)) {}

  void AcceptNext() {
    const Duration delay = admission.AcceptDelay(clock.Now());
    if (delay > Duration::zero()) return Wait(delay);
    listener.async_accept([this](const asio::error_code& ec, asio::ip::tcp::socket socket) {
      if (ec == asio::error::operation_aborted) return;
      if (ec == asio::error::no_descriptors || ec == std::errc::too_many_files_open_in_system) return RefuseOne();
      if (!ec) HandOver(std::move(socket));
      AcceptNext();
    });
  }

  void HandOver(asio::ip::tcp::socket socket) {
    asio::error_code ec;
    const auto peer = socket.remote_endpoint(ec);
    if (ec) return;  // The peer has closed it already.
    SetSocketOptions(socket.native_handle());
    socket.non_blocking(true, ec);
    const int fd = socket.release(ec);
    if (ec) return;
    admission.Accepted(clock.Now());
    on_socket(fd, peer.address().to_string());
  }

  // Without this the peer at the head of the queue would wait for ever and the listener would spin.
  void RefuseOne() {
    log::Error("out of file descriptors", {{"sockets", admission.sockets()}});
    close(spare_fd);
    asio::error_code ec;
    asio::ip::tcp::socket refused(io);
    listener.accept(refused, ec);
    refused.close(ec);
    spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    Wait(kNoFilesWait);
  }

  void Wait(Duration delay) {
    timer.expires_after(delay);
    timer.async_wait([this](const asio::error_code& ec) {
      if (!ec) AcceptNext();
    });
  }

  const Clock& clock;
  Admission& admission;
  const OnSocket on_socket;
  asio::io_context io{1};
  asio::ip::tcp::acceptor listener{io};
  asio::steady_timer timer{io};
  int spare_fd = -1;
  std::thread thread;
};

Acceptor::Acceptor(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

absl::StatusOr<std::unique_ptr<Acceptor>> Acceptor::Listen(const std::string& host, int port, const Clock& clock,
                                                           Admission& admission, OnSocket on_socket) {
  auto impl = std::make_unique<Impl>(clock, admission, std::move(on_socket));
  asio::error_code ec;
  const auto address = asio::ip::make_address(host == "localhost" ? "127.0.0.1" : host, ec);
  if (ec) return absl::InvalidArgumentError("--listen: not an IP address: " + host);
  const asio::ip::tcp::endpoint endpoint(address, static_cast<unsigned short>(port));
  impl->listener.open(endpoint.protocol(), ec);
  if (!ec) impl->listener.set_option(asio::socket_base::reuse_address(true), ec);
  if (!ec) impl->listener.bind(endpoint, ec);
  // The kernel cuts this to its own limit; a storm of logins waits here while it is paced.
  if (!ec) impl->listener.listen(65535, ec);
  if (ec) return absl::UnavailableError("cannot listen on " + JoinHostPort(host, port) + ": " + ec.message());
  impl->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
  impl->AcceptNext();
  impl->thread = std::thread([raw = impl.get()] { raw->io.run(); });
  return std::unique_ptr<Acceptor>(new Acceptor(std::move(impl)));
}

Acceptor::~Acceptor() {
  Stop();
  if (impl_->spare_fd >= 0) close(impl_->spare_fd);
}

int Acceptor::port() const {
  asio::error_code ec;
  return impl_->listener.local_endpoint(ec).port();
}

void Acceptor::Stop() {
  if (!impl_->thread.joinable()) return;
  asio::post(impl_->io, [raw = impl_.get()] {
    asio::error_code ignored;
    raw->listener.close(ignored);
    raw->timer.cancel();
  });
  impl_->thread.join();
}

}  // namespace toolwire
