// Many timers that cost little to arm and disarm: a hashed wheel of intrusive lists.
#ifndef TOOLWIRE_COMMON_BASE_TIMER_WHEEL_H_
#define TOOLWIRE_COMMON_BASE_TIMER_WHEEL_H_

#include <cstddef>
#include <limits>
#include <vector>

#include "common/base/clock.h"

namespace toolwire {

// The part of an object that a wheel links. Unlinks itself when destroyed.
class TimerNode {
 public:
  TimerNode() = default;
  TimerNode(const TimerNode&) = delete;
  TimerNode& operator=(const TimerNode&) = delete;
  ~TimerNode() { Unlink(); }

  bool armed() const { return next_ != nullptr; }
  MonoTime deadline() const { return deadline_; }

 private:
  friend class TimerWheel;
  void Unlink() {
    if (next_ == nullptr) return;
    prev_->next_ = next_;
    next_->prev_ = prev_;
    prev_ = next_ = nullptr;
    --*armed_count_;
  }

  TimerNode* prev_ = nullptr;
  TimerNode* next_ = nullptr;
  size_t* armed_count_ = nullptr;
  MonoTime deadline_{};
};

// Arming, disarming and firing cost the same however many timers there are: 60 s deadlines of calls that are answered
// within a millisecond must not be remembered for 60 s. A timer fires in the first `Advance` at or after its deadline,
// rounded up to the tick (ticks are counted from the wheel's start). Timers that fire in one `Advance` do so in no
// particular order. Deadlines may be as far as MonoTime::max(), which never comes. Not thread-safe; the owner's thread
// or lock covers it.
class TimerWheel {
 public:
  // `slots` x `tick` is one turn; timers further away are looked at once per turn. Neither may be zero.
  TimerWheel(Duration tick, size_t slots, MonoTime now);
  ~TimerWheel();
  TimerWheel(const TimerWheel&) = delete;
  TimerWheel& operator=(const TimerWheel&) = delete;

  // Arms `node`, or moves it if it is armed, also from another wheel. A deadline that has passed fires at the next
  // tick.
  void Arm(TimerNode* node, MonoTime deadline);
  void Disarm(TimerNode* node) { node->Unlink(); }

  // Calls `fire(node)` for the nodes whose deadline has passed, `at_most` so many; false if more are left, for the next
  // call. The node is disarmed by then and may be armed again or destroyed inside `fire`, as may any other; one that is
  // armed there does not fire before the next tick. The wheel itself must outlive the call. A `now` before the last one
  // moves nothing.
  template <typename Fire>
  bool Advance(MonoTime now, Fire fire, size_t at_most = std::numeric_limits<size_t>::max()) {
    CollectDue(now);
    // From a list of their own, so that `fire` may change any slot.
    for (; at_most > 0 && due_.next_ != &due_; --at_most) {
      TimerNode* node = due_.next_;
      node->Unlink();
      fire(node);
    }
    return due_.next_ == &due_;
  }

  bool empty() const { return armed_ == 0; }
  size_t size() const { return armed_; }
  Duration tick() const { return tick_; }

 private:
  static void InitHead(TimerNode* head) { head->prev_ = head->next_ = head; }
  static void Link(TimerNode* head, TimerNode* node);
  void CollectDue(MonoTime now);

  const Duration tick_;
  std::vector<TimerNode> heads_;
  TimerNode due_;      // A list head, too.
  MonoTime last_;      // The tick that was advanced to.
  size_t cursor_ = 0;  // The number of `last_`'s tick.
  size_t armed_ = 0;
};

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_BASE_TIMER_WHEEL_H_
