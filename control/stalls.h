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
// for them. gRPC hands them out in that order. So for a moment after it has stood still, calls wait for some ticks: by then
// gRPC has read on, also on a busy machine, and those whose streams have ended are not begun. Thread-safe.
class Stalls {
 public:
  struct Counters : CounterSet {
    Counter held{this, "toolwire_control_messages_held_total",
                 "Messages of callers that waited for 200 ms as this process had stood still."};
  };
  // Without a tick: a thread that is only late on a busy machine is not so late.
  static constexpr Duration kStillMin = std::chrono::milliseconds(500);
  // How long what is read counts as from before.
  static constexpr Duration kAfter = std::chrono::milliseconds(300);
  // Ticks that it waits.
  static constexpr uint64_t kTicks = 20;

  explicit Stalls(const Clock& clock) : clock_(clock) {}

  // Whether what was read now must wait.
  bool MustWait() const;
  // Runs `resume` once, from the last of kTicks from now.
  void Wait(std::function<void()> resume);
  // Call every 10 ms. Until the first call nothing waits.
  void Tick();
  const Counters& counters() const { return counters_; }

 private:
  static bool StoodStill(Duration::rep last, MonoTime now);

  const Clock& clock_;
  Counters counters_;
  std::atomic<Duration::rep> ticked_{0}, until_{0};  // The last tick; what is read until then waits.
  Mutex mu_;
  uint64_t tick_ ABSL_GUARDED_BY(mu_) = 0;
  std::deque<std::pair<uint64_t, std::function<void()>>> waiting_ ABSL_GUARDED_BY(mu_);  // With the ticks they came in.
};

}  // namespace toolwire

#endif  // TOOLWIRE_CONTROL_STALLS_H_
