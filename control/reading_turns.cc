#include "control/reading_turns.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace toolwire {
namespace {

using std::chrono::microseconds;
using std::chrono::nanoseconds;

// Measured on a machine of 2 cores: gRPC's read and the callbacks of a message, a small call, a cancel; a byte of JSON
// and one of a Struct.
constexpr Duration kMessageCost = microseconds(3), kCallCost = microseconds(3), kCancelCost = nanoseconds(200);
// A call that is refused costs its caller two bytes, and the audit log a row, which its threads write.
constexpr Duration kRejectedCost = microseconds(20);
constexpr Duration kByteCost = nanoseconds(2), kParamsByteCost = nanoseconds(12);
// Ticks: after a long message so many are used up at most, and so often one goes on however busy the threads are.
constexpr int kTicksMax = 10;

}  // namespace

Duration ReadingTurns::Message::Cost() const {
  return kMessageCost + kCallCost * calls + kRejectedCost * rejected + kCancelCost * cancels +
         (params ? kParamsByteCost : kByteCost) * bytes;
}

bool ReadingTurns::MustWait(MonoTime began, const Message& message, Share* share, std::function<void()> resume) {
  const uint64_t tick = tick_.load(std::memory_order_relaxed);
  if (std::exchange(share->tick, tick) != tick) share->cost = Duration::zero();
  const Duration cost = message.Cost();
  share->cost += cost;
  const Duration took = clock_.Now() - began + kRejectedCost * message.rejected;
  const Duration busy(busy_.fetch_add(took.count(), std::memory_order_relaxed) + took.count());
  if (busy <= busy_max_ || share->cost <= kOwnCostMax) return false;
  counters_.waits.Add();
  MutexLock lock(mu_);
  if (share->ended) return true;
  share->place = ++last_place_;
  waiting_.emplace(share->place, Waiting{cost, std::move(resume)});
  return true;
}

void ReadingTurns::Leave(Share* share) {
  MutexLock lock(mu_);
  share->ended = true;
  waiting_.erase(share->place);
}

void ReadingTurns::Tick() {
  const uint64_t tick = tick_.fetch_add(1, std::memory_order_relaxed) + 1;
  const Duration busy(busy_.load(std::memory_order_relaxed));
  const Duration kept = std::clamp<Duration>(busy - busy_max_, Duration::zero(), kTicksMax * busy_max_);
  busy_.fetch_sub((busy - kept).count(), std::memory_order_relaxed);
  std::vector<std::function<void()>> resumed;
  {
    MutexLock lock(mu_);
    Duration left = busy_max_ - kept;
    while (!waiting_.empty() && (left > Duration::zero() || tick - resumed_at_ >= kTicksMax)) {
      const auto first = waiting_.begin();
      left -= first->second.cost;
      resumed_at_ = tick;
      resumed.push_back(std::move(first->second.resume));
      waiting_.erase(first);
    }
  }
  for (const auto& resume : resumed) resume();
}

size_t ReadingTurns::waiting() const {
  MutexLock lock(mu_);
  return waiting_.size();
}

}  // namespace toolwire
