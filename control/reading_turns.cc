#include "control/reading_turns.h"

#include <utility>

namespace toolwire {

bool ReadingTurns::MustWait(MonoTime began, size_t calls, Share* share, std::function<void()> resume) {
  const Duration took = clock_.Now() - began;
  const uint64_t tick = tick_.load(std::memory_order_relaxed);
  if (share->tick != tick) *share = Share{tick, 0};
  share->calls += calls;
  const Duration busy(busy_.fetch_add(took.count(), std::memory_order_relaxed) + took.count());
  if (busy <= busy_max_ || share->calls <= kOwnCallsMax) return false;
  counters_.waits.Add();
  MutexLock lock(mu_);
  waiting_.push_back(std::move(resume));
  return true;
}

void ReadingTurns::Tick() {
  tick_.fetch_add(1, std::memory_order_relaxed);
  busy_.store(0, std::memory_order_relaxed);
  std::function<void()> resume;
  {
    MutexLock lock(mu_);
    if (waiting_.empty()) return;
    resume = std::move(waiting_.front());
    waiting_.pop_front();
  }
  resume();
}

}  // namespace toolwire
