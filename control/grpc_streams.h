// How many streams each of gRPC's connections has that are not over.
#ifndef TOOLWIRE_CONTROL_GRPC_STREAMS_H_
#define TOOLWIRE_CONTROL_GRPC_STREAMS_H_

#include <cstdint>
#include <string>

#include "absl/container/flat_hash_map.h"

namespace toolwire {

// Reads gRPC's own statistics, which it calls channelz. Streams that the caller has reset count until gRPC has cleaned
// them up, which takes it longer than the caller takes to open and reset them.
class GrpcStreams {
 public:
  // `peer` as gRPC names it: `ipv4:127.0.0.1:80`. 0 if gRPC knows no such connection.
  int64_t Unfinished(const std::string& peer);
  // The connection has ended.
  void Forget(const std::string& peer) { sockets_.erase(peer); }

 private:
  void ReadNewSockets();

  int64_t next_socket_ = 0;
  absl::flat_hash_map<std::string, int64_t> sockets_;  // gRPC's numbers of them.
};

// That the kernel has received on a TCP connection; 0 if `fd` is none.
uint64_t BytesReceived(int fd);

}  // namespace toolwire

#endif  // TOOLWIRE_CONTROL_GRPC_STREAMS_H_
