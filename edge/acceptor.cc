#include "edge/acceptor.h"

#include <netinet/tcp.h>
#include <sys/socket.h>

#include <asio.hpp>
#include <thread>
#include <utility>

#include "common/process/tcp_listener.h"

namespace toolwire {
namespace {

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
  asio::io_context io{1};
  std::shared_ptr<TcpListener> listener;
  std::thread thread;
};

Acceptor::Acceptor(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

absl::StatusOr<std::unique_ptr<Acceptor>> Acceptor::Listen(const std::string& host, int port, const Clock& clock,
                                                           Admission& admission, OnSocket on_socket) {
  auto impl = std::make_unique<Impl>();
  auto listener = TcpListener::Listen(
      impl->io,
      {"agents", host, port, [&] { return admission.AcceptDelay(clock.Now()); }, &admission.counters().accept_errors},
      [&, on_socket = std::move(on_socket)](int fd, const asio::ip::tcp::endpoint& peer) {
        SetSocketOptions(fd);
        on_socket(fd, peer.address().to_string());
      });
  if (!listener.ok()) return listener.status();
  impl->listener = *std::move(listener);
  impl->listener->Start();
  impl->thread = std::thread([raw = impl.get()] { raw->io.run(); });
  return std::unique_ptr<Acceptor>(new Acceptor(std::move(impl)));
}

Acceptor::~Acceptor() { Stop(); }

int Acceptor::port() const { return impl_->listener->port(); }

void Acceptor::Stop() {
  if (!impl_->thread.joinable()) return;
  asio::post(impl_->io, [raw = impl_.get()] { raw->listener->Close(); });
  impl_->thread.join();
}

}  // namespace toolwire
