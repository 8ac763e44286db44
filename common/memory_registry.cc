#include "common/memory_registry.h"

#include <optional>
#include <utility>

namespace toolwire {

MemoryRegistry::MemoryRegistry(const Clock& clock, Duration time_to_live)
    : clock_(clock), time_to_live_(time_to_live) {}

void MemoryRegistry::Claim(const std::string& user_id, const std::string& edge_id, ClaimDone done) {
  uint64_t epoch = 0;
  {
    std::lock_guard<std::mutex> lock(mu_);
    epoch = ++last_epoch_;
    leases_[user_id] = Entry{Lease{edge_id, epoch}, clock_.Now() + time_to_live_};
  }
  done(epoch);
}

void MemoryRegistry::Refresh(const std::vector<Held>& held) {
  std::lock_guard<std::mutex> lock(mu_);
  const MonoTime now = clock_.Now();
  for (const Held& one : held) {
    auto it = leases_.find(one.user_id);
    if (it == leases_.end()) continue;
    if (it->second.expires <= now) {
      // Stays gone: its holder claims again, as it would after the registry was emptied.
      leases_.erase(it);
    } else if (it->second.lease.epoch == one.epoch) {
      it->second.expires = now + time_to_live_;
    }
  }
}

void MemoryRegistry::Release(const std::string& user_id, uint64_t epoch) {
  std::lock_guard<std::mutex> lock(mu_);
  auto it = leases_.find(user_id);
  if (it != leases_.end() && it->second.lease.epoch == epoch) leases_.erase(it);
}

void MemoryRegistry::Lookup(const std::string& user_id, LookupDone done) {
  std::optional<Lease> found;
  {
    std::lock_guard<std::mutex> lock(mu_);
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

void SingleEdgeRegistry::SetEdge(const std::string& edge_id) {
  std::lock_guard<std::mutex> lock(mu_);
  edge_id_ = edge_id;
}

void SingleEdgeRegistry::Claim(const std::string&, const std::string&, ClaimDone done) {
  done(absl::FailedPreconditionError("a control does not claim agents"));
}

void SingleEdgeRegistry::Lookup(const std::string&, LookupDone done) {
  Lease lease;
  {
    std::lock_guard<std::mutex> lock(mu_);
    lease.edge_id = edge_id_;
  }
  done(std::optional<Lease>(std::move(lease)));
}

}  // namespace toolwire
