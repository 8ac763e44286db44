// Each method changes the maps under the lock and calls back after it, so callbacks may use the registry. A claim calls
// its `done` and then `replaced` of the edge that held the lease. Leases expire by the clock; their records stay.

#include "common/registry/memory_registry.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace toolwire {

MemoryRegistry::MemoryRegistry(const Clock& clock, Duration time_to_live, uint64_t last_epoch)
    : clock_(clock), time_to_live_(time_to_live), last_epoch_(last_epoch) {}

void MemoryRegistry::Claim(const ClaimRequest& request, ClaimDone done) {
  if (request.taken_back != nullptr && *request.taken_back) return done(absl::CancelledError("taken back"));
  uint64_t epoch = 0;
  std::string displaced;
  {
    MutexLock lock(mu_);
    const MonoTime now = clock_.Now();
    const MonoTime came = std::min(request.came, now);
    Entry& entry = leases_[request.user_id];
    const bool is_elsewhere = entry.IsHeld(now) && entry.lease.edge_id != request.edge_id;
    if (!is_elsewhere || entry.came <= came) {
      epoch = ++last_epoch_;
      // Also of a lease that has expired: its edge may have been paused.
      if (!entry.released && entry.lease.edge_id != request.edge_id) displaced = std::move(entry.lease.edge_id);
      entry = Entry{Lease{request.edge_id, epoch}, now + time_to_live_, came};
    }
  }
  if (epoch == 0) return done(absl::AbortedError("a newer connection of this user is at another edge"));
  done(epoch);
  if (!displaced.empty()) ReportReplaced(displaced, request.user_id, epoch);
}

void MemoryRegistry::Refresh(const std::string& edge_id, std::vector<Held> held) {
  std::vector<Held> newer;
  std::vector<std::pair<std::string, Held>> taken;  // From another edge.
  {
    MutexLock lock(mu_);
    const MonoTime now = clock_.Now();
    for (Held& one : held) {
      Entry& entry = leases_[one.user_id];
      if (entry.lease.epoch > one.epoch || (entry.lease.epoch == one.epoch && entry.released)) {
        newer.push_back({std::move(one.user_id), std::max(entry.lease.epoch, one.epoch + 1)});
      } else {
        const Lease& other = entry.lease;
        if (!other.edge_id.empty() && other.edge_id != edge_id && !entry.released) {
          taken.emplace_back(other.edge_id, one);
        }
        const MonoTime came = entry.lease.epoch == one.epoch ? entry.came : MonoTime();
        entry = Entry{Lease{edge_id, one.epoch}, now + time_to_live_, came};
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
    Entry& entry = leases_[user_id];
    if (entry.lease.epoch == 0 || (entry.lease.epoch == epoch && entry.lease.edge_id == edge_id)) {
      entry.lease.epoch = epoch;
      entry.released = true;
    } else {
      released = entry.lease.epoch < epoch || !entry.IsHeld(clock_.Now());
    }
  }
  if (done) done(released);
}

void MemoryRegistry::Lookup(const std::string& user_id, LookupDone done) {
  std::optional<Lease> found;
  {
    MutexLock lock(mu_);
    const auto it = leases_.find(user_id);
    if (it != leases_.end() && it->second.IsHeld(clock_.Now())) found = it->second.lease;
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
    for (auto& [user_id, entry] : leases_) entry.released |= entry.lease.edge_id == edge_id;
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

void MemoryRegistry::ListEdges(ListDone done) {
  std::vector<std::string> edge_ids;
  {
    MutexLock lock(mu_);
    for (const auto& [edge_id, edge] : edges_) edge_ids.push_back(edge_id);
  }
  done(std::move(edge_ids));
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

void SingleEdgeRegistry::ListEdges(ListDone done) {
  std::vector<std::string> edge_ids;
  {
    MutexLock lock(mu_);
    if (!edge_id_.empty()) edge_ids.push_back(edge_id_);
  }
  if (edge_ids.empty()) return done(absl::UnavailableError("the edge has not been linked yet"));
  done(std::move(edge_ids));
}

void SingleEdgeRegistry::Claim(const ClaimRequest&, ClaimDone done) {
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
