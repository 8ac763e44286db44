// The edge's end of the links: the port that controls dial.
#ifndef TOOLWIRE_EDGE_RELAY_SERVER_H_
#define TOOLWIRE_EDGE_RELAY_SERVER_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "edge/edge.h"

namespace toolwire {

// Each connection is one control: attached to the edge when it has shown that it speaks the relay's protocol
// (common/link/relay_socket.h), detached when it breaks. Links run on the loops of the edge, in turn, so that a
// delivery needs no thread hop between its link and its session. At most 1,024 links, many times the controls of any
// cluster, and a share of them for each address. Connections that have not shown it take no link's place: of 64 one
// is cut when one more comes, the oldest of the address that has most.
class RelayServer {
 public:
  // `edge` outlives the server. Port 0: any free one. UNAVAILABLE: cannot listen.
  static absl::StatusOr<std::unique_ptr<RelayServer>> Start(const std::string& host, int port, Edge& edge,
                                                            size_t payload_bytes_max, int links_per_address_max);
  // Stops like Stop().
  ~RelayServer();
  // Ends every link once what waits for it is written, and cuts those whose controls do not end theirs within 2 s, or
  // by then.
  void Stop(MonoTime until);
  int port() const;

 private:
  class Impl;
  explicit RelayServer(std::shared_ptr<Impl> impl);
  const std::shared_ptr<Impl> impl_;
};

}  // namespace toolwire

#endif  // TOOLWIRE_EDGE_RELAY_SERVER_H_
