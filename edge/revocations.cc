#include "edge/revocations.h"

namespace toolwire {

void Revocations::Add(const std::string& user_id) {
  MutexLock lock(mu_);
  const MonoTime now = clock_.Now();
  ForgetLocked(now);
  if (in_order_.size() >= kUsersMax) {
    everyone_until_ = now;
    users_.clear();
    in_order_.clear();
    return;
  }
  users_[user_id] = now;
  in_order_.emplace_back(now, user_id);
}

bool Revocations::Covers(const std::string& user_id, MonoTime check_began) {
  MutexLock lock(mu_);
  ForgetLocked(clock_.Now());
  if (check_began <= everyone_until_) return true;
  auto found = users_.find(user_id);
  return found != users_.end() && check_began <= found->second;
}

void Revocations::ForgetLocked(MonoTime now) {
  while (!in_order_.empty() && now - in_order_.front().first > login_max_) {
    auto found = users_.find(in_order_.front().second);
    // It may have been revoked once more since.
    if (found != users_.end() && found->second == in_order_.front().first) users_.erase(found);
    in_order_.pop_front();
  }
}

}  // namespace toolwire
