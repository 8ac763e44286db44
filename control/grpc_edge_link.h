// Control's end of a link over a socket: dials one edge's relay, and dials again.
#ifndef TOOLWIRE_CONTROL_GRPC_EDGE_LINK_H_
#define TOOLWIRE_CONTROL_GRPC_EDGE_LINK_H_

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "control/dispatcher.h"
#include "toolwire/v1/relay.grpc.pb.h"

namespace toolwire {

// Keeps one stream open to the edge at `address`; while it is up the dispatcher has a link to it. A broken stream is
// opened again after 50 ms, doubling to 2 s. A silent edge is found by keepalive within two seconds.
class GrpcEdgeLink {
 public:
  // Talks only to the edge with this id, since addresses are used again; an empty id stands for any. `on_edge` may be
  // empty; it is told the edge's id each time a link comes up. Everything outlives this.
  GrpcEdgeLink(std::string edge_id, std::string address, Dispatcher& dispatcher, size_t payload_bytes_max,
               std::function<void(const std::string& edge_id)> on_edge = {});
  // Breaks the stream and dials no more; returns when the dispatcher has been told.
  ~GrpcEdgeLink();

  const std::string& address() const { return address_; }
  // Whether the edge has said hello on the stream that is open now.
  bool up() const { return up_.load(std::memory_order_relaxed); }

 private:
  class Stream;

  void Run();

  const std::string wanted_edge_id_;
  const std::string address_;
  Dispatcher& dispatcher_;
  const size_t payload_bytes_max_;
  const std::function<void(const std::string&)> on_edge_;
  std::unique_ptr<v1::EdgeRelay::Stub> stub_;
  std::atomic<bool> up_{false};

  std::mutex mu_;
  std::condition_variable wake_;
  std::shared_ptr<Stream> stream_;  // Guarded by mu_.
  bool stopping_ = false;           // Guarded by mu_.
  std::thread thread_;
};

}  // namespace toolwire

#endif  // TOOLWIRE_CONTROL_GRPC_EDGE_LINK_H_
