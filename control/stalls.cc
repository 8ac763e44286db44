#include "control/stalls.h"

#include <vector>

namespace toolwire {

bool Stalls::StoodStill(Duration::rep last, MonoTime now) {
  return last != 0 && now.time_since_epoch() - Duration(last) > kStillMin;
}

bool Stalls::MustWait() const {
  const MonoTime now = clock_.Now();
  return now.time_since_epoch().count() < until_.load(std::memory_order_relaxed) ||
         StoodStill(ticked_.load(std::memory_order_relaxed), now);
}

void Stalls::Wait(std::function<void()> resume) {
  counters_.held.Add();
  MutexLock lock(mu_);
  waiting_.emplace_back(tick_, std::move(resume));
}

void Stalls::Tick() {
  const MonoTime now = clock_.Now();
  const Duration::rep last = ticked_.exchange(now.time_since_epoch().count(), std::memory_order_relaxed);
  if (StoodStill(last, now)) {
    until_.store((now + kAfter).time_since_epoch().count(), std::memory_order_relaxed);
  }
  std::vector<std::function<void()>> resumed;
  {
    MutexLock lock(mu_);
    ++tick_;
    for (; !waiting_.empty() && tick_ - waiting_.front().first >= kTicks; waiting_.pop_front()) {
      resumed.push_back(std::move(waiting_.front().second));
    }
  }
  for (const auto& resume : resumed) resume();
}

}  // namespace toolwire
