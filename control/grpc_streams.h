// gRPC's connections, and how many streams each has that are not over.
#ifndef TOOLWIRE_CONTROL_GRPC_STREAMS_H_
#define TOOLWIRE_CONTROL_GRPC_STREAMS_H_

#include <asio/ip/tcp.hpp>
#include <cstdint>
#include <functional>

namespace toolwire {

// Reads gRPC's own statistics, which it calls channelz.
class GrpcStreams {
 public:
  // gRPC's numbers of the connections that it has begun to serve since the last call, with their peers.
  void ReadNew(const std::function<void(const asio::ip::tcp::endpoint& peer, int64_t number)>& on_connection);
  // Streams that the caller has reset count until gRPC has cleaned them up, which takes it longer than the caller takes
  // to open and reset them. 0 if gRPC has no such connection any more.
  static int64_t Unfinished(int64_t number);

 private:
  int64_t next_ = 0;
};

// That the kernel has received on a TCP connection; 0 if `fd` is none.
uint64_t BytesReceived(int fd);

}  // namespace toolwire

#endif  // TOOLWIRE_CONTROL_GRPC_STREAMS_H_
