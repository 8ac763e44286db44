// What the dispatcher sees of a link to an edge.
#ifndef TOOLWIRE_CONTROL_LINK_TO_EDGE_H_
#define TOOLWIRE_CONTROL_LINK_TO_EDGE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "common/base/mutex.h"
#include "common/link/link.h"
#include "common/link/relay_port.h"

namespace toolwire {

// Calls that do not leave are refused as an edge would refuse them, so that the dispatcher need not know why. What a
// frame cancels or ends is taken out of what waits, which it would overtake otherwise. Thread-safe.
class LinkToEdge final : public ToEdge {
 public:
  // `refused` gets what was refused here, as if the link with that number had sent it; with no lock held.
  using Refused = std::function<void(uint64_t number, v1::EdgeFrame&& refusals)>;
  LinkToEdge(std::shared_ptr<Link> link, Refused refused) : link_(std::move(link)), refused_(std::move(refused)) {}

  // False: `frame` names every call that has not left, also those that it took out.
  bool Send(v1::ControlFrame&& frame) override;
  // The time of these calls is up; they were taken out.
  void Expired(const std::vector<uint64_t>& call_ids);
  // The dispatcher may send before it has told anyone the link's number; what is refused until then waits for that.
  void SetNumber(uint64_t number);

 private:
  void Give(v1::EdgeFrame&& refusals);

  const std::shared_ptr<Link> link_;
  const Refused refused_;
  Mutex mu_;
  uint64_t number_ ABSL_GUARDED_BY(mu_) = 0;
  v1::EdgeFrame refused_early_ ABSL_GUARDED_BY(mu_);
};

}  // namespace toolwire

#endif  // TOOLWIRE_CONTROL_LINK_TO_EDGE_H_
