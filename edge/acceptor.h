// The agents' listening socket: accepts as fast as the admission allows and hands each socket to a loop.
#ifndef TOOLWIRE_EDGE_ACCEPTOR_H_
#define TOOLWIRE_EDGE_ACCEPTOR_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "edge/admission.h"

namespace toolwire {

// Accepts on a thread of its own (common/process/tcp_listener.h).
class Acceptor {
 public:
  // `address` is where the peer is, without its port. Called on the acceptor's thread; takes over the descriptor.
  using OnSocket = std::function<void(int fd, std::string address)>;

  // Listens; port 0 takes a free one. A peer that takes none of what was sent to it for `user_timeout` is cut. `clock`
  // and `admission` outlive the acceptor.
  static absl::StatusOr<std::unique_ptr<Acceptor>> Listen(const std::string& host, int port, const Clock& clock,
                                                          Admission& admission, Duration user_timeout,
                                                          OnSocket on_socket);
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
