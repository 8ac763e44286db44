#include "control/revocation_acks.h"

namespace toolwire {

uint64_t RevocationAcks::Begin(const std::vector<std::pair<uint64_t, std::string>>& links,
                               const std::string& session_edge, MonoTime now, Done done) {
  MutexLock lock(mu_);
  Revocation& revocation = revocations_[++last_id_];
  for (const auto& [number, edge_id] : links) {
    revocation.waiting.emplace(number, edge_id);
    revocation.asked.insert(edge_id);
  }
  revocation.session_edge = session_edge;
  revocation.until = now + kWaitMax;
  revocation.done = std::move(done);
  return last_id_;
}

void RevocationAcks::Named(uint64_t id, const std::optional<std::vector<std::string>>& edges) {
  Ended ended;
  {
    MutexLock lock(mu_);
    const auto found = revocations_.find(id);
    if (found == revocations_.end()) return;
    Revocation& revocation = found->second;
    revocation.named = true;
    revocation.unknown = !edges;
    if (edges) {
      for (const std::string& edge_id : *edges) {
        if (revocation.asked.count(edge_id) == 0) revocation.not_heard.insert(edge_id);
      }
    }
    EndLocked(found, false, &ended);
  }
  Report(std::move(ended));
}

void RevocationAcks::Confirmed(uint64_t link, uint64_t id) { Settle(link, id, true); }

void RevocationAcks::NotSent(uint64_t link, uint64_t id) { Settle(link, id, false); }

void RevocationAcks::Settle(uint64_t link, uint64_t id, bool confirmed) {
  Ended ended;
  {
    MutexLock lock(mu_);
    const auto found = revocations_.find(id);
    if (found == revocations_.end()) return;
    auto waiting = found->second.waiting.extract(link);
    if (!waiting) return;
    if (!confirmed) found->second.not_heard.insert(std::move(waiting.mapped()));
    EndLocked(found, false, &ended);
  }
  Report(std::move(ended));
}

void RevocationAcks::LinkDown(uint64_t link) {
  Ended ended;
  {
    MutexLock lock(mu_);
    for (auto next = revocations_.begin(); next != revocations_.end();) {
      const auto found = next++;
      auto waiting = found->second.waiting.extract(link);
      if (!waiting) continue;
      found->second.not_heard.insert(std::move(waiting.mapped()));
      EndLocked(found, false, &ended);
    }
  }
  Report(std::move(ended));
}

void RevocationAcks::Tick(MonoTime now) {
  Ended ended;
  {
    MutexLock lock(mu_);
    while (!revocations_.empty() && revocations_.begin()->second.until <= now) {
      EndLocked(revocations_.begin(), true, &ended);
    }
  }
  Report(std::move(ended));
}

void RevocationAcks::EndLocked(std::map<uint64_t, Revocation>::iterator found, bool in_any_case, Ended* ended) {
  Revocation& revocation = found->second;
  const bool complete = revocation.named && revocation.waiting.empty();
  if (!complete && !in_any_case) return;
  for (auto& [number, edge_id] : revocation.waiting) revocation.not_heard.insert(std::move(edge_id));
  Reach reach;
  reach.everywhere = revocation.named && !revocation.unknown && revocation.not_heard.empty();
  reach.session_closed =
      revocation.asked.count(revocation.session_edge) > 0 && revocation.not_heard.count(revocation.session_edge) == 0;
  reach.not_heard.assign(revocation.not_heard.begin(), revocation.not_heard.end());
  ended->emplace_back(std::move(revocation.done), std::move(reach));
  revocations_.erase(found);
}

void RevocationAcks::Report(Ended ended) {
  for (auto& [done, reach] : ended) done(std::move(reach));
}

}  // namespace toolwire
