// Control's end of a link: dials one edge's relay, and dials again.
#ifndef TOOLWIRE_CONTROL_EDGE_LINK_H_
#define TOOLWIRE_CONTROL_EDGE_LINK_H_

#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "common/tls/tls_files.h"
#include "control/dispatcher.h"

namespace toolwire {

// Keeps a link to the edge at `address`, over one connection after another; while the conversation lasts the dispatcher
// has a link to it. A connection that breaks is dialled again at once, then after 50 ms, doubling to 2 s. The
// conversation ends when there is none for two seconds, when nobody listens, or when the edge has begun anew. Reads on a
// thread of its own.
class EdgeLink {
 public:
  // Talks only to the edge with this id, since addresses are used again; an empty id means any. `address` is
  // host:port, with an IPv6 host in brackets. `on_edge` may be empty; it gets the edge's id each time a conversation
  // begins. With `tls` the link is encrypted, both ends by certificates. Everything outlives this.
  EdgeLink(std::string edge_id, std::string address, Dispatcher& dispatcher, size_t payload_bytes_max,
           TlsFiles* tls = nullptr, std::function<void(const std::string& edge_id)> on_edge = {});
  // Ends the link and dials no more; returns when the dispatcher knows it and the thread has ended, but for one that
  // looks a name up.
  ~EdgeLink();

  const std::string& address() const;
  // Whether a conversation with the edge lasts.
  bool up() const;
  // The edge is there, somebody says: does not wait for the next time to dial. Any thread.
  void DialNow();

 private:
  struct Impl;
  const std::shared_ptr<Impl> impl_;
  std::thread loop_;
};

}  // namespace toolwire

#endif  // TOOLWIRE_CONTROL_EDGE_LINK_H_
