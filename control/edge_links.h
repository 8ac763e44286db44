// A link to every edge that is alive, as the registry names them.
#ifndef TOOLWIRE_CONTROL_EDGE_LINKS_H_
#define TOOLWIRE_CONTROL_EDGE_LINKS_H_

#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "common/base/mutex.h"
#include "common/registry/registry.h"
#include "control/edge_link.h"

namespace toolwire {

// Edges that join are dialled at once. One that the registry no longer names keeps its link for as long as that holds
// (the registry may have been emptied), and is dialled no more when it breaks. Links come and go on a thread of its
// own, since ending one waits for its thread.
class EdgeLinks {
 public:
  // All references outlive this; the registry calls it from now on.
  EdgeLinks(Registry& registry, Dispatcher& dispatcher, size_t payload_bytes_max, TlsFiles* tls = nullptr);
  // Ends every link.
  ~EdgeLinks();

 private:
  void Run();
  void Reconcile(const std::vector<EdgeAddress>& edges, bool news);

  Dispatcher& dispatcher_;
  const size_t payload_bytes_max_;
  TlsFiles* const tls_;  // Of all links; null: plain.
  std::map<std::string, std::unique_ptr<EdgeLink>> links_;  // By edge id. The thread's own.

  // Shared with the callback that the registry may keep longer than this lives.
  struct News {
    Mutex mu;
    CondVar wake;
    std::vector<EdgeAddress> edges ABSL_GUARDED_BY(mu);
    bool changed ABSL_GUARDED_BY(mu) = false;
    bool stopping ABSL_GUARDED_BY(mu) = false;
  };
  const std::shared_ptr<News> news_;
  std::thread thread_;
};

}  // namespace toolwire

#endif  // TOOLWIRE_CONTROL_EDGE_LINKS_H_
