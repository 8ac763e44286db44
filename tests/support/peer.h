// A TCP connection as any stranger makes one, and a scrape over it.
#ifndef TOOLWIRE_TESTS_SUPPORT_PEER_H_
#define TOOLWIRE_TESTS_SUPPORT_PEER_H_

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "common/base/process_options.h"

namespace toolwire {

// A connection that is made, whether it is accepted or not.
class Peer {
 public:
  // From the address 127.0.0.`from`.
  explicit Peer(int port, uint8_t from = 1) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK - 1 + from);
    EXPECT_EQ(bind(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  }
  ~Peer() { close(fd_); }
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  void Send(const std::string& text) const { send(fd_, text.data(), text.size(), MSG_NOSIGNAL); }
  // Whether the other end has closed it.
  bool IsClosed() const {
    char byte = 0;
    return recv(fd_, &byte, 1, MSG_DONTWAIT) == 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
  }
  ssize_t ReadSome(char* into, size_t size) const { return recv(fd_, into, size, 0); }
  // All that comes until the other end closes it.
  std::string Read() const {
    std::string text;
    char bytes[4096];
    for (ssize_t size; (size = recv(fd_, bytes, sizeof bytes, 0)) > 0;) text.append(bytes, static_cast<size_t>(size));
    return text;
  }

 private:
  const int fd_;
};

// What the port answers to one request.
inline std::string Ask(int port, const std::string& request) {
  const Peer peer(port);
  peer.Send(request);
  return peer.Read();
}

inline constexpr char kScrape[] = "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

// The value of a line that begins with `name`, as a scrape shows it; -1: there is none.
inline double Scraped(int port, const std::string& name) {
  const std::string text = Ask(port, kScrape);
  const size_t at = text.find("\n" + name + " ");
  return at == std::string::npos ? -1 : std::strtod(text.c_str() + at + name.size() + 2, nullptr);
}

inline ListenOptions MetricsPort() {
  ListenOptions listen;
  listen.metrics_port = 0;
  return listen;
}

}  // namespace toolwire

#endif  // TOOLWIRE_TESTS_SUPPORT_PEER_H_
