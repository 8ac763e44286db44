#include "control/stalls.h"

#include <algorithm>
#include <ctime>
#include <vector>

namespace toolwire {
namespace {

uint64_t TicksFor(Duration stood) {
  return std::clamp<uint64_t>(static_cast<uint64_t>(stood / Stalls::kTick), 1, Stalls::kTicksMax);
}

}  // namespace

Duration Stalls::CpuOfProcess() {
  timespec used{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  return std::chrono::seconds(used.tv_sec) + std::chrono::nanoseconds(used.tv_nsec);
}

Duration Stalls::StoodStill(MonoTime now) const {
  const Duration last(ticked_.load(std::memory_order_relaxed));
  const Duration passed = now.time_since_epoch() - last;
  if (last == Duration::zero() || passed < kStillMin) return Duration::zero();
  // Where several threads work, they use more than the time that passes.
  const Duration worked = cpu_() - Duration(cpu_then_.load(std::memory_order_relaxed));
  return 2 * worked < passed ? passed : Duration::zero();
}

uint64_t Stalls::MustWait() const {
  const MonoTime now = clock_.Now();
  Duration stood = StoodStill(now);
  if (stood == Duration::zero() && now.time_since_epoch().count() < until_.load(std::memory_order_relaxed)) {
    stood = Duration(stood_.load(std::memory_order_relaxed));
  }
  return stood == Duration::zero() ? 0 : TicksFor(stood);
}

void Stalls::Wait(uint64_t ticks, std::function<void()> resume) {
  counters_.held.Add();
  MutexLock lock(mu_);
  waiting_.emplace_back(tick_ + ticks, std::move(resume));
}

void Stalls::Tick() {
  const MonoTime now = clock_.Now();
  const Duration stood = StoodStill(now);
  ticked_.store(now.time_since_epoch().count(), std::memory_order_relaxed);
  cpu_then_.store(cpu_().count(), std::memory_order_relaxed);
  if (stood > Duration::zero()) {
    stood_.store(stood.count(), std::memory_order_relaxed);
    const Duration after = static_cast<int>(TicksFor(stood)) * kTick;
    until_.store((now + after).time_since_epoch().count(), std::memory_order_relaxed);
  }
  std::vector<std::function<void()>> resumed;
  {
    MutexLock lock(mu_);
    ++tick_;
    for (; !waiting_.empty() && tick_ >= waiting_.front().first; waiting_.pop_front()) {
      resumed.push_back(std::move(waiting_.front().second));
    }
  }
  for (const auto& resume : resumed) resume();
}

}  // namespace toolwire
