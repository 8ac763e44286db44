// SEAM: which edge holds which agent.
#ifndef TOOLWIRE_COMMON_REGISTRY_H_
#define TOOLWIRE_COMMON_REGISTRY_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace toolwire {

// The claim "this user's agent is at this edge". Of two leases of one user, the one with the greater epoch is the
// newer connection, wherever in the cluster it was made.
struct Lease {
  std::string edge_id;
  uint64_t epoch = 0;
};

// Leases of all agents.
//
// Guarantees: epochs of one user only grow. A claim always wins over every earlier claim of that user. Release and
// refresh with an epoch that is not the current one change nothing, so a slow clean-up never removes a newer lease.
// A lease that is not refreshed within its time to live expires.
// Not guaranteed: that the edge of a lease is alive. Whoever follows a lease must be ready for "not here".
//
// Any thread may call. No method blocks: results come through `done`, on the calling thread before the method
// returns or later on a thread of the registry; `done` must not block. Errors: UNAVAILABLE when the registry is out
// of reach.
class Registry {
 public:
  using ClaimDone = std::function<void(absl::StatusOr<uint64_t> epoch)>;
  using LookupDone = std::function<void(absl::StatusOr<std::optional<Lease>> lease)>;
  struct Held {
    std::string user_id;
    uint64_t epoch = 0;
  };

  virtual ~Registry() = default;

  // Makes `edge_id` the holder of the user's agent and returns the new epoch.
  virtual void Claim(const std::string& user_id, const std::string& edge_id, ClaimDone done) = 0;

  // Extends the leases that are still current by their full time to live.
  virtual void Refresh(const std::vector<Held>& held) = 0;

  // Removes the lease if `epoch` is still the current one.
  virtual void Release(const std::string& user_id, uint64_t epoch) = 0;

  // The current lease, or nullopt if there is none or it has expired.
  virtual void Lookup(const std::string& user_id, LookupDone done) = 0;
};

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_REGISTRY_H_
