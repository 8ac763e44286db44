// SEAM: which edge holds which agent, and which edges there are.
#ifndef TOOLWIRE_COMMON_REGISTRY_REGISTRY_H_
#define TOOLWIRE_COMMON_REGISTRY_REGISTRY_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/clock.h"

namespace toolwire {

// Life of a lease that is not refreshed: as in the replaced server.
inline constexpr Duration kLeaseTtl = std::chrono::minutes(2);

// The claim "this user's agent is at this edge". Of two leases of one user, the one with the greater epoch is the
// newer connection, wherever in the cluster it was made.
struct Lease {
  std::string edge_id;
  uint64_t epoch = 0;
};

// An edge and where controls reach it.
struct EdgeAddress {
  std::string edge_id;
  std::string relay_address;  // host:port
  std::string instance_id;    // Different for every start of the process.
};

// Leases of all agents, and the edges that are alive.
//
// Guarantees: epochs of one user only grow. A claim wins over every earlier claim of that user, unless that was for a
// connection that came later. Release and refresh with an epoch that is not the current one change nothing, so a slow
// clean-up never removes a newer lease, and what was released or claimed since is never made again, for a day. The edge
// that had the lease is notified before anything else happens under the new one, also if the registry was emptied in
// between. A lease that is not refreshed within its time to live expires.
// Not guaranteed: that the edge of a lease still has the agent. Code that follows a lease must expect the answer "not
// here".
//
// Any thread may call. No method blocks but Leave: results come through `done`, on the calling thread before the
// method returns or later on a thread of the registry; callbacks must not block. Errors: UNAVAILABLE while
// the registry is.
class Registry {
 public:
  using ClaimDone = std::function<void(absl::StatusOr<uint64_t> epoch)>;
  using LookupDone = std::function<void(absl::StatusOr<std::optional<Lease>> lease)>;
  // true: no lease remains; false: a newer claim holds it.
  using ReleaseDone = std::function<void(bool released)>;
  using EdgesChanged = std::function<void(std::vector<EdgeAddress> edges)>;
  struct Held {
    std::string user_id;
    uint64_t epoch = 0;
  };
  struct ClaimRequest {
    std::string user_id;
    std::string edge_id;
    MonoTime came = MonoTime::max();  // When the agent's connection did; the greatest: now.
    // Set once nobody wants the lease any more. Null: that never happens.
    std::shared_ptr<const std::atomic<bool>> taken_back;
  };
  // What an edge receives once it has joined. For one user, a claim's `done` comes before everything that follows it.
  struct EdgeEvents {
    // A newer connection of this user was made at another edge, with this epoch.
    std::function<void(const std::string& user_id, uint64_t epoch)> replaced;
    // The registry was unavailable and is available again, perhaps empty: refresh everything that is held.
    std::function<void()> restored;
    // A message for a user whose lease this edge holds came through the old Redis channels. Every message goes to
    // the one edge that held the lease when it was published, which was at `born` or later.
    std::function<void(const std::string& user_id, std::string message, MonoTime born)> command;
  };

  virtual ~Registry() = default;

  // --- leases ---
  // Makes the edge the holder of the user's agent and returns the new epoch. While the registry is unavailable the
  // claim waits for some seconds before it fails. ABORTED: another edge has the lease of a connection that came later.
  // CANCELLED: it was taken back before it was made.
  virtual void Claim(const ClaimRequest& request, ClaimDone done) = 0;
  void Claim(const std::string& user_id, const std::string& edge_id, ClaimDone done) {
    Claim(ClaimRequest{user_id, edge_id, MonoTime::max(), nullptr}, std::move(done));
  }

  // Extends the leases by their full time to live. One that is gone (it had expired, or the registry was emptied) is
  // made again; one that was released, or replaced by a newer claim, is reported through EdgeEvents::replaced.
  virtual void Refresh(const std::string& edge_id, std::vector<Held> held) = 0;

  // Removes the lease if `epoch` is still the current one. `done` may be empty. While the registry is
  // unavailable its outcome is not known: then `done` waits until it is available again, or is called with true when
  // the edge leaves.
  virtual void Release(const std::string& user_id, const std::string& edge_id, uint64_t epoch, ReleaseDone done) = 0;

  // The current lease, or nullopt if there is none, it has expired, or its edge is not alive.
  virtual void Lookup(const std::string& user_id, LookupDone done) = 0;

  // --- edges ---
  // From now on this edge is alive, until Leave or the end of the process.
  virtual void Join(const EdgeAddress& self, EdgeEvents events) = 0;
  // The edge is gone. No event runs after this returns; that the leases are gone is waited for until then, at most.
  virtual void Leave(const std::string& edge_id, MonoTime until) = 0;
  // Calls `changed` with all edges that are alive, now and whenever that changes. Call once.
  virtual void WatchEdges(EdgesChanged changed) = 0;

  // The ids of all edges that are alive.
  using ListDone = std::function<void(absl::StatusOr<std::vector<std::string>> edge_ids)>;
  virtual void ListEdges(ListDone done) = 0;

  // Whether the registry is available, for health checks.
  virtual bool connected() const = 0;
};

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_REGISTRY_REGISTRY_H_
