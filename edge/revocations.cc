#include "edge/revocations.h"

namespace toolwire {

void Revocations::Add(const std::string& user_id) {
  MutexLock lock(mu_);
  const MonoTime now = clock_.Now();
  ForgetLocked(now);
  if (MonoTime* const last = users_.Use(user_id)) {
    *last = now;
  } else if (users_.size() < kUsersMax) {
    users_.Add(user_id, now);
  } else {
    everyone_until_ = now;
    while (users_.size() > 0) users_.DropOldest();
  }
}

bool Revocations::Covers(const std::string& user_id, MonoTime check_began) {
  MutexLock lock(mu_);
  ForgetLocked(clock_.Now());
  if (check_began <= everyone_until_) return true;
  const MonoTime* const last = users_.Find(user_id);
  return last != nullptr && check_began <= *last;
}

void Revocations::ForgetLocked(MonoTime now) {
  while (users_.size() > 0 && now - users_.oldest().second > login_max_) users_.DropOldest();
}

}  // namespace toolwire
