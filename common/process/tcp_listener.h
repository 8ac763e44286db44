// A port that takes TCP connections: how accepts fail, wait and end, in one place.
#ifndef TOOLWIRE_COMMON_PROCESS_TCP_LISTENER_H_
#define TOOLWIRE_COMMON_PROCESS_TCP_LISTENER_H_

#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/base/counter.h"

namespace toolwire {

// Accepts on the loop that it is given, one connection at a time. An error that is not about one connection is counted,
// logged once for its spell, and followed by a pause. The process's last open files are left to what it needs itself: a
// connection that would take one of them counts as such an error and is closed, so that its peer learns of it.
class TcpListener : public std::enable_shared_from_this<TcpListener> {
 public:
  struct Options {
    const char* name;  // Of the port, in logs and messages.
    std::string host;  // An IP address or `localhost`.
    int port = 0;      // 0: any free one.
    // How long the next connection has to stay in the kernel's queue; asked only if there is one. May be empty.
    std::function<Duration()> delay;
    Counter* errors;
    // For operators, who look when files run out.
    bool takes_last_files = false;
  };
  // Takes over the descriptor, which is non-blocking. On the loop's thread.
  using OnSocket = std::function<void(int fd, const asio::ip::tcp::endpoint& peer)>;

  // Listens; accepts from Start on. INVALID_ARGUMENT or UNAVAILABLE: cannot listen.
  static absl::StatusOr<std::shared_ptr<TcpListener>> Listen(asio::io_context& loop, Options options,
                                                             OnSocket on_socket);

  // Loop thread, or before the loop runs.
  void Start() { AwaitPeer(); }
  // Loop thread only. OnSocket is not called any more, and the loop has nothing more to do for it.
  void Close();
  int port() const { return port_; }

 private:
  TcpListener(asio::io_context& loop, Options options, OnSocket on_socket);
  void AwaitPeer();
  void Accept();
  void Failed(int error);
  void Pause(Duration duration);

  const Options options_;
  const OnSocket on_socket_;
  asio::ip::tcp::acceptor socket_;
  asio::steady_timer timer_;
  int port_ = 0;
  int fd_max_ = 0;         // Descriptors from here on are the last files.
  MonoTime quiet_from_{};  // When the spell of errors is over, unless there is another.
};

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_PROCESS_TCP_LISTENER_H_
