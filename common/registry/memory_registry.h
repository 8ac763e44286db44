// The registries that need no server: for one process, and for one edge at a fixed address.
#ifndef TOOLWIRE_COMMON_REGISTRY_MEMORY_REGISTRY_H_
#define TOOLWIRE_COMMON_REGISTRY_MEMORY_REGISTRY_H_

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "common/registry/registry.h"

namespace toolwire {

// Leases in this process's memory: the registry of `toolwire dev`, where edge and control share it. Callbacks run
// on the calling thread before the method returns, with no lock held. Edges that joined are alive until they leave.
// What was released is remembered for ever: bounded by the users who have credentials.
class MemoryRegistry final : public Registry {
 public:
  // `clock` outlives the registry.
  // Epochs are larger than `last_epoch`: where statuses outlive the process, they must grow from one to the next.
  MemoryRegistry(const Clock& clock, Duration time_to_live, uint64_t last_epoch = 0);

  using Registry::Claim;
  void Claim(const ClaimRequest& request, ClaimDone done) override;
  void Refresh(const std::string& edge_id, std::vector<Held> held) override;
  void Release(const std::string& user_id, const std::string& edge_id, uint64_t epoch, ReleaseDone done) override;
  void Lookup(const std::string& user_id, LookupDone done) override;
  void Join(const EdgeAddress& self, EdgeEvents events) override;
  void Leave(const std::string& edge_id, MonoTime until) override;
  void WatchEdges(EdgesChanged changed) override;
  void ListEdges(ListDone done) override;
  bool connected() const override { return true; }

 private:
  // The record of a user. Of a lease that was released, or has expired, the epoch is left.
  struct Entry {
    Lease lease;
    MonoTime expires;
    MonoTime came;  // When the connection did.
    bool released = false;
    bool IsHeld(MonoTime now) const { return !released && !lease.edge_id.empty() && expires > now; }
  };
  struct Edge {
    EdgeAddress address;
    EdgeEvents events;
  };

  void ReportReplaced(const std::string& edge_id, const std::string& user_id, uint64_t epoch) ABSL_LOCKS_EXCLUDED(mu_);
  void ReportEdges() ABSL_LOCKS_EXCLUDED(mu_);

  const Clock& clock_;
  const Duration time_to_live_;
  Mutex mu_;
  uint64_t last_epoch_ ABSL_GUARDED_BY(mu_);  // One counter for all users keeps epochs growing after a release.
  absl::flat_hash_map<std::string, Entry> leases_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, Edge> edges_ ABSL_GUARDED_BY(mu_);
  EdgesChanged edges_changed_ ABSL_GUARDED_BY(mu_);
};

// The registry of a control that is given one edge by address: every agent is there, if it is anywhere. The edge's
// answer "not here" is final. Only `Lookup` has an effect.
class SingleEdgeRegistry final : public Registry {
 public:
  // The edge has sent its id. Until then, and while its link is down, calls find no edge.
  void SetEdge(const std::string& edge_id);

  using Registry::Claim;
  void Claim(const ClaimRequest& request, ClaimDone done) override;
  void Refresh(const std::string&, std::vector<Held>) override {}
  void Release(const std::string&, const std::string&, uint64_t, ReleaseDone) override {}
  void Lookup(const std::string& user_id, LookupDone done) override;
  void Join(const EdgeAddress&, EdgeEvents) override {}
  void Leave(const std::string&, MonoTime) override {}
  void WatchEdges(EdgesChanged) override {}
  void ListEdges(ListDone done) override;
  bool connected() const override { return true; }

 private:
  Mutex mu_;
  std::string edge_id_ ABSL_GUARDED_BY(mu_);
};

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_REGISTRY_MEMORY_REGISTRY_H_
