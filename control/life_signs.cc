#include "control/life_signs.h"

#include <utility>
#include <vector>

namespace toolwire {

void LifeSigns::Await(Share* share, MonoTime last, std::function<void()> due) {
  MutexLock lock(mu_);
  if (share->ended_) return;
  share->due_ = std::move(due);
  wheel_.Arm(share, last + interval_);
}

void LifeSigns::Leave(Share* share) {
  MutexLock lock(mu_);
  share->ended_ = true;
  share->due_ = nullptr;
  wheel_.Disarm(share);
}

void LifeSigns::Tick() {
  std::vector<std::function<void()>> due;
  {
    MutexLock lock(mu_);
    wheel_.Advance(clock_.Now(), [&](TimerNode* node) { due.push_back(std::move(static_cast<Share*>(node)->due_)); });
  }
  for (const auto& say : due) say();
}

}  // namespace toolwire
