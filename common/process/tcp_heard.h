// When a TCP socket was last heard of, by the kernel's account.
#ifndef TOOLWIRE_COMMON_PROCESS_TCP_HEARD_H_
#define TOOLWIRE_COMMON_PROCESS_TCP_HEARD_H_

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "common/base/clock.h"

namespace toolwire {

// How long ago the last bytes came from the peer, read or not, whole frames or parts; acknowledgements do not count.
// Who judges a peer by it judges what has come, not what a paused or busy process has read. The greatest if `fd` is no
// TCP socket.
inline Duration SinceHeard(int fd) {
  tcp_info info{};
  socklen_t size = sizeof info;
  if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return Duration::max();
  return std::chrono::milliseconds(info.tcpi_last_data_recv);
}

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_PROCESS_TCP_HEARD_H_
