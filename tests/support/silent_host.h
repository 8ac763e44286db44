// A host that takes connections and says nothing.
#ifndef TOOLWIRE_TESTS_SUPPORT_SILENT_HOST_H_
#define TOOLWIRE_TESTS_SUPPORT_SILENT_HOST_H_

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace toolwire {

// At a port of 127.0.0.1: the kernel takes the connections, and nobody else does.
class SilentHost {
 public:
  SilentHost() : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0)) {
    address_.sin_family = AF_INET;
    address_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address_;
    EXPECT_EQ(bind(socket_, reinterpret_cast<sockaddr*>(&address_), size), 0);
    EXPECT_EQ(listen(socket_, 100), 0);
    EXPECT_EQ(getsockname(socket_, reinterpret_cast<sockaddr*>(&address_), &size), 0);
  }
  ~SilentHost() { close(socket_); }
  SilentHost(const SilentHost&) = delete;
  SilentHost& operator=(const SilentHost&) = delete;

  int port() const { return ntohs(address_.sin_port); }
  // Whether somebody has dialled it since `dials` was last called.
  bool IsDialled() const {
    pollfd watched{socket_, POLLIN, 0};
    return poll(&watched, 1, 0) == 1;
  }
  // How often it was dialled since this was last called. Ends those connections.
  int dials() {
    int count = 0;
    for (int peer = -1; (peer = accept(socket_, nullptr, nullptr)) >= 0; ++count) close(peer);
    return count;
  }

 private:
  const int socket_;
  sockaddr_in address_{};
};

}  // namespace toolwire

#endif  // TOOLWIRE_TESTS_SUPPORT_SILENT_HOST_H_
