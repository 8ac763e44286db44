// A port for a server that cannot say which one it took.
#ifndef TOOLWIRE_TESTS_SUPPORT_FREE_PORT_H_
#define TOOLWIRE_TESTS_SUPPORT_FREE_PORT_H_

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

namespace toolwire {

// Of 127.0.0.1, and free when this returns; 0 if there is none.
inline int FreePort() {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  const bool found = bind(fd, reinterpret_cast<sockaddr*>(&address), size) == 0 &&
                     getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0;
  close(fd);
  return found ? ntohs(address.sin_port) : 0;
}

}  // namespace toolwire

#endif  // TOOLWIRE_TESTS_SUPPORT_FREE_PORT_H_
