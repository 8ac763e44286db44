// The edge's end of the links: the port that controls dial.
#ifndef TOOLWIRE_EDGE_RELAY_SERVER_H_
#define TOOLWIRE_EDGE_RELAY_SERVER_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/tls/tls_files.h"
#include "edge/edge.h"

namespace toolwire {

// Each control that has said a hello has a link (common/link/link.h), which is attached to the edge for as long as the
// conversation lasts: until the control ends it or begins anew, or has no connection for four seconds. Links run on the
// loops of the edge, in turn, so that a delivery needs no thread hop between its link and its session. At most 1,024
// links, many times the controls of any cluster, and a share of them for each address. Connections without a hello take
// no link's place: of 64 one is cut when one more comes, the oldest of the address that has most.
class RelayServer {
 public:
  // With `tls` links are encrypted, and only those get in whose certificate is a control's. `edge` and `tls` outlive the
  // server. Port 0: any free one. UNAVAILABLE: cannot listen.
  static absl::StatusOr<std::unique_ptr<RelayServer>> Start(const std::string& host, int port, Edge& edge,
                                                            size_t payload_bytes_max, int links_per_address_max,
                                                            TlsFiles* tls = nullptr);
  // Stops like Stop().
  ~RelayServer();
  // Waits until every control has acknowledged all that was said to it. False: not by then.
  bool WaitSaid(MonoTime until);
  // Ends every link once its control has all that was said, and cuts those whose controls take longer than 2 s, or until
  // then.
  void Stop(MonoTime until);
  int port() const;

 private:
  class Impl;
  explicit RelayServer(std::shared_ptr<Impl> impl);
  const std::shared_ptr<Impl> impl_;
};

}  // namespace toolwire

#endif  // TOOLWIRE_EDGE_RELAY_SERVER_H_
