// A listening socket for agents: accepts as fast as it may and hands each socket to a loop.
#ifndef TOOLWIRE_EDGE_ACCEPTOR_H_
#define TOOLWIRE_EDGE_ACCEPTOR_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/base/counter.h"

namespace toolwire {

// Accepts on a thread of its own (common/process/tcp_listener.h).
class Acceptor {
 public:
  // `address` is where the peer is, without its port. Called on the acceptor's thread; takes over the descriptor.
  using OnSocket = std::function<void(int fd, std::string address)>;

  struct Options {
    std::string host;
    int port = 0;                     // 0: a free one.
    std::function<Duration()> delay;  // As of TcpListener::Options.
    Counter* errors = nullptr;
    Duration user_timeout{};  // A peer that takes none of what was sent to it for so long is cut.
  };
  static absl::StatusOr<std::unique_ptr<Acceptor>> Listen(const Options& options, OnSocket on_socket);
  // Stops like Stop().
  ~Acceptor();

  int port() const;
  // Closes the listening socket; when it returns no more sockets are handed over.
  void Stop();

 private:
  struct Impl;
  explicit Acceptor(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace toolwire

#endif  // TOOLWIRE_EDGE_ACCEPTOR_H_
