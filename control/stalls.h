// What was read after this process stood still may be about callers who have gone meanwhile.
#ifndef TOOLWIRE_CONTROL_STALLS_H_
#define TOOLWIRE_CONTROL_STALLS_H_

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <utility>

#include "common/base/clock.h"
#include "common/base/counter.h"
#include "common/base/mutex.h"

namespace toolwire {

// A process that was stopped, or got no time, finds calls in its sockets, and behind them the word that nobody waits
// for them. gRPC hands them out in that order. So for a moment after it has stood still, calls wait, for as long as it
// stood, but no longer than some ticks: by then gRPC has read on, also on a busy machine, and those that are cancelled or
// whose streams have ended are not begun. Shorter standstills than kStillMin are left alone, as nobody can tell them from
// a network that is slow. Thread-safe.
class Stalls {
 public:
  struct Counters : CounterSet {
    Counter held{this, "toolwire_control_messages_held_total",
                 "Messages of callers that waited for up to 200 ms as this process had stood still."};
  };
  // Without a tick, and most of it without any work: a process that works, and whose ticks alone are late, reads on.
  static constexpr Duration kStillMin = std::chrono::milliseconds(100);
  static constexpr Duration kTick = std::chrono::milliseconds(10);
  // What is read waits for so many ticks at most.
  static constexpr uint64_t kTicksMax = 20;
  // The CPU time that this process has used.
  using CpuTime = Duration (*)();
  static Duration CpuOfProcess();

  explicit Stalls(const Clock& clock, CpuTime cpu = &CpuOfProcess) : clock_(clock), cpu_(cpu) {}

  // For how many ticks what was read now must wait. 0: it need not.
  uint64_t MustWait() const;
  // Runs `resume` once, from the last of so many `ticks` from now, at least one. In the order of the calls.
  void Wait(uint64_t ticks, std::function<void()> resume);
  // Call every kTick. Until the first call nothing waits.
  void Tick();
  const Counters& counters() const { return counters_; }

 private:
  // Since the last tick; zero: it did not.
  Duration StoodStill(MonoTime now) const;

  const Clock& clock_;
  const CpuTime cpu_;
  Counters counters_;
  std::atomic<Duration::rep> ticked_{0}, cpu_then_{0};  // The last tick, and the CPU time used by then.
  std::atomic<Duration::rep> until_{0}, stood_{0};      // What is read until then waits, as the process stood so long.
  Mutex mu_;
  uint64_t tick_ ABSL_GUARDED_BY(mu_) = 0;
  std::deque<std::pair<uint64_t, std::function<void()>>> waiting_ ABSL_GUARDED_BY(mu_);  // With the ticks they wait for.
};

}  // namespace toolwire

#endif  // TOOLWIRE_CONTROL_STALLS_H_
