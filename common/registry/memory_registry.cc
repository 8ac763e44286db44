// Each method changes the maps under the lock and calls back after it, so callbacks may use the registry. A claim calls
// its `done` and then `replaced` of the edge that held the lease. Leases expire by the clock, and are removed when they
// are next touched.

#include "common/registry/memory_registry.h"

#include <optional>
#include <utility>

namespace toolwire {

MemoryRegistry::MemoryRegistry(const Clock& clock, Duration time_to_live)
    : clock_(clock), time_to_live_(time_to_live) {}

void MemoryRegistry::Claim(const std::string& user_id, const std::string& edge_id, ClaimDone done) {
  uint64_t epoch = 0;
  std::string displaced;
  {
    MutexLock lock(mu_);
    epoch = ++last_epoch_;
    Entry& entry = leases_[user_id];
    if (entry.lease.edge_id != edge_id) displaced = std::move(entry.lease.edge_id);
    entry = Entry{Lease{edge_id, epoch}, clock_.Now() + time_to_live_};
  }
  done(epoch);
  if (!displaced.empty()) ReportReplaced(displaced, user_id, epoch);
}

void MemoryRegistry::Refresh(const std::string& edge_id, std::vector<Held> held) {
  std::vector<Held> newer;
  std::vector<std::pair<std::string, Held>> taken;  // From another edge.
  {
    MutexLock lock(mu_);
    const MonoTime now = clock_.Now();
    for (Held& one : held) {
      Entry& entry = leases_[one.user_id];
      if (entry.lease.epoch > one.epoch && entry.expires > now) {
        newer.push_back({std::move(one.user_id), entry.lease.epoch});
      } else {
        const Lease& other = entry.lease;
        if (!other.edge_id.empty() && other.edge_id != edge_id && other.epoch < one.epoch) {
          taken.emplace_back(other.edge_id, one);
        }
        entry = Entry{Lease{edge_id, one.epoch}, now + time_to_live_};
      }
    }
  }
  for (const Held& one : newer) ReportReplaced(edge_id, one.user_id, one.epoch);
  for (const auto& [other, one] : taken) ReportReplaced(other, one.user_id, one.epoch);
}

void MemoryRegistry::Release(const std::string& user_id, const std::string& edge_id, uint64_t epoch, ReleaseDone done) {
  bool released = true;
  {
    MutexLock lock(mu_);
    auto it = leases_.find(user_id);
    if (it != leases_.end()) {
      const bool current = it->second.lease.epoch == epoch && it->second.lease.edge_id == edge_id;
      released = current || it->second.lease.epoch < epoch || it->second.expires <= clock_.Now();
      if (current) leases_.erase(it);
    }
  }
  if (done) done(released);
}

void MemoryRegistry::Lookup(const std::string& user_id, LookupDone done) {
  std::optional<Lease> found;
  {
    MutexLock lock(mu_);
    auto it = leases_.find(user_id);
    if (it != leases_.end()) {
      if (it->second.expires > clock_.Now()) {
        found = it->second.lease;
      } else {
        leases_.erase(it);
      }
    }
  }
  done(std::move(found));
}

void MemoryRegistry::Join(const EdgeAddress& self, EdgeEvents events) {
  {
    MutexLock lock(mu_);
    edges_[self.edge_id] = Edge{self, std::move(events)};
  }
  ReportEdges();
}

void MemoryRegistry::Leave(const std::string& edge_id, MonoTime) {
  {
    MutexLock lock(mu_);
    edges_.erase(edge_id);
    absl::erase_if(leases_, [&](const auto& entry) { return entry.second.lease.edge_id == edge_id; });
  }
  ReportEdges();
}

void MemoryRegistry::WatchEdges(EdgesChanged changed) {
  {
    MutexLock lock(mu_);
    edges_changed_ = std::move(changed);
  }
  ReportEdges();
}

void MemoryRegistry::ReportReplaced(const std::string& edge_id, const std::string& user_id, uint64_t epoch) {
  EdgeEvents events;
  {
    MutexLock lock(mu_);
    auto found = edges_.find(edge_id);
    if (found == edges_.end()) return;
    events = found->second.events;
  }
  events.replaced(user_id, epoch);
}

void MemoryRegistry::ReportEdges() {
  EdgesChanged changed;
  std::vector<EdgeAddress> edges;
  {
    MutexLock lock(mu_);
    changed = edges_changed_;
    for (const auto& [edge_id, edge] : edges_) edges.push_back(edge.address);
  }
  if (changed) changed(std::move(edges));
}

void SingleEdgeRegistry::SetEdge(const std::string& edge_id) {
  MutexLock lock(mu_);
  edge_id_ = edge_id;
}

void SingleEdgeRegistry::Claim(const std::string&, const std::string&, ClaimDone done) {
  done(absl::FailedPreconditionError("a control does not claim agents"));
}

void SingleEdgeRegistry::Lookup(const std::string&, LookupDone done) {
  Lease lease;
  {
    MutexLock lock(mu_);
    lease.edge_id = edge_id_;
  }
  done(std::optional<Lease>(std::move(lease)));
}

}  // namespace toolwire
