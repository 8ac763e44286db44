// Control's end of a link: dials one edge's relay, and dials again.
#ifndef TOOLWIRE_CONTROL_EDGE_LINK_H_
#define TOOLWIRE_CONTROL_EDGE_LINK_H_

#include <atomic>
#include <functional>
#include <memory>
#include <string>

#include "control/dispatcher.h"

namespace toolwire {

// Keeps one connection open to the edge at `address`; while it is up the dispatcher has a link to it. A broken one is
// made again after 50 ms, doubling to 2 s. A silent edge is cut within two seconds. Reads on a thread of its own.
class EdgeLink {
 public:
  // Talks only to the edge with this id, since addresses are used again; an empty id means any. `address` is
  // host:port, with an IPv6 host in brackets. `on_edge` may be empty; it gets the edge's id each time the link comes
  // up. Everything outlives this.
  EdgeLink(std::string edge_id, std::string address, Dispatcher& dispatcher, size_t payload_bytes_max,
           std::function<void(const std::string& edge_id)> on_edge = {});
  // Breaks the link and dials no more; returns when the dispatcher knows it.
  ~EdgeLink();

  const std::string& address() const { return address_; }
  // Whether the edge has said hello on the connection that is open now.
  bool up() const { return up_.load(std::memory_order_relaxed); }

 private:
  struct Impl;

  const std::string address_;
  std::atomic<bool> up_{false};
  std::unique_ptr<Impl> impl_;  // Last: its thread uses the others.
};

}  // namespace toolwire

#endif  // TOOLWIRE_CONTROL_EDGE_LINK_H_
