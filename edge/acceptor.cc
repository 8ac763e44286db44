#include "edge/acceptor.h"

#include <netinet/tcp.h>
#include <sys/socket.h>

#include <asio.hpp>
#include <chrono>
#include <thread>
#include <utility>

#include "common/process/tcp_listener.h"

namespace toolwire {
namespace {

// `user_timeout`: without it the kernel tries for 15 minutes. It also cuts a peer that acknowledges the probes of a
// closed window for so long, so an agent that lives, and reads nothing.
void SetSocketOptions(int fd, Duration user_timeout) {
  const auto timeout_ms =
      static_cast<unsigned>(std::chrono::duration_cast<std::chrono::milliseconds>(user_timeout).count());
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, sizeof timeout_ms);
}

}  // namespace

struct Acceptor::Impl {
  asio::io_context io{1};
  std::shared_ptr<TcpListener> listener;
  std::thread thread;
};

Acceptor::Acceptor(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

absl::StatusOr<std::unique_ptr<Acceptor>> Acceptor::Listen(const Options& options, OnSocket on_socket) {
  auto impl = std::make_unique<Impl>();
  auto listener = TcpListener::Listen(impl->io, {"agents", options.host, options.port, options.delay, options.errors},
                                      [user_timeout = options.user_timeout, on_socket = std::move(on_socket)](
                                          int fd, const asio::ip::tcp::endpoint& peer) {
                                        SetSocketOptions(fd, user_timeout);
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
