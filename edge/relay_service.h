// The edge's end of the links over sockets: the gRPC service that controls dial.
#ifndef TOOLWIRE_EDGE_RELAY_SERVICE_H_
#define TOOLWIRE_EDGE_RELAY_SERVICE_H_

#include <grpcpp/grpcpp.h>

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "edge/edge.h"
#include "toolwire/v1/relay.grpc.pb.h"

namespace toolwire {

// Each stream is one control: it is attached to the edge when it opens and detached when it breaks.
class RelayService final : public v1::EdgeRelay::CallbackService {
 public:
  // `edge` outlives the service's server. `frame_bytes_max`: the largest frame that comes in pieces.
  RelayService(Edge& edge, size_t frame_bytes_max) : edge_(edge), frame_bytes_max_(frame_bytes_max) {}

  grpc::ServerBidiReactor<v1::ControlFrame, v1::EdgeFrame>* Link(grpc::CallbackServerContext* context) override;

  // Ends every link as soon as what waits for it has been written.
  void EndLinks();

 private:
  Edge& edge_;
  const size_t frame_bytes_max_;
  std::mutex mu_;
  std::vector<std::pair<std::weak_ptr<void>, std::function<void()>>> links_;  // Guarded by mu_. How to end each.
};

// The running gRPC server of a RelayService.
class RelayServer {
 public:
  static absl::StatusOr<std::unique_ptr<RelayServer>> Start(const std::string& host, int port, Edge& edge,
                                                            size_t payload_bytes_max);
  // Ends every link, and cuts those whose controls do not read within 2 s.
  ~RelayServer();
  int port() const { return port_; }

 private:
  RelayServer(Edge& edge, size_t frame_bytes_max) : service_(edge, frame_bytes_max) {}

  RelayService service_;
  std::unique_ptr<grpc::Server> server_;
  int port_ = 0;
};

}  // namespace toolwire

#endif  // TOOLWIRE_EDGE_RELAY_SERVICE_H_
