// When a caller's stream has been without a word for so long that the caller may take control for dead.
#ifndef TOOLWIRE_CONTROL_LIFE_SIGNS_H_
#define TOOLWIRE_CONTROL_LIFE_SIGNS_H_

#include <functional>

#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "common/base/timer_wheel.h"

namespace toolwire {

// Timers of the streams that have calls in flight: a stream costs one look in each interval, and nothing while it has
// none. Thread-safe; streams are called with no lock held.
class LifeSigns {
 public:
  // One stream's.
  class Share : TimerNode {
    friend class LifeSigns;
    std::function<void()> due_;
    bool ended_ = false;
  };

  // 0: none are given.
  LifeSigns(const Clock& clock, Duration interval)
      : clock_(clock), interval_(interval), wheel_(kTick, 256, clock.Now()) {}

  bool given() const { return interval_ > Duration::zero(); }
  Duration interval() const { return interval_; }
  MonoTime Now() const { return clock_.Now(); }
  // Calls `due` once, from `Tick`, when `interval` has passed since `last`.
  void Await(Share* share, MonoTime last, std::function<void()> due);
  // The stream has ended: it is not called any more, but by a call that has begun.
  void Leave(Share* share);
  // Call every 10 ms.
  void Tick();

 private:
  static constexpr Duration kTick = std::chrono::milliseconds(10);

  const Clock& clock_;
  const Duration interval_;
  Mutex mu_;
  TimerWheel wheel_ ABSL_GUARDED_BY(mu_);
};

}  // namespace toolwire

#endif  // TOOLWIRE_CONTROL_LIFE_SIGNS_H_
