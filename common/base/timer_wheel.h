// Many timers that cost little to arm and disarm: a hashed wheel of intrusive lists.
#ifndef TOOLWIRE_COMMON_BASE_TIMER_WHEEL_H_
#define TOOLWIRE_COMMON_BASE_TIMER_WHEEL_H_

#include <cstddef>
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

  // Calls `fire(node)` for every node whose deadline has passed. The node is disarmed by then and may be armed again
  // or destroyed inside `fire`, as may any other; one that is armed there does not fire before the next tick. The wheel
  // itself must outlive the call. A `now` before the last one changes nothing.
  template <typename Fire>
  void Advance(MonoTime now, Fire fire) {
    if (now < last_) return;
    const size_t passed = static_cast<size_t>((now - last_) / tick_);
    if (passed == 0) return;
    const size_t visits = armed_ == 0 ? 0 : passed < heads_.size() ? passed : heads_.size();
    const size_t first = cursor_ + 1 + (passed - visits);
    last_ += tick_ * static_cast<Duration::rep>(passed);
    cursor_ += passed;
    TimerNode due;  // A list head of its own, so that `fire` may change any slot.
    InitHead(&due);
    for (size_t i = 0; i < visits; ++i) CollectDue(&heads_[(first + i) % heads_.size()], &due);
    while (due.next_ != &due) {
      TimerNode* node = due.next_;
      node->Unlink();
      fire(node);
    }
    due.prev_ = due.next_ = nullptr;
  }

  bool empty() const { return armed_ == 0; }
  size_t size() const { return armed_; }
  Duration tick() const { return tick_; }

 private:
  static void InitHead(TimerNode* head) { head->prev_ = head->next_ = head; }
  static void Link(TimerNode* head, TimerNode* node);
  // Moves what is due at `last_` from one list to the other.
  void CollectDue(TimerNode* head, TimerNode* due);

  const Duration tick_;
  std::vector<TimerNode> heads_;
  MonoTime last_;      // The tick that was advanced to.
  size_t cursor_ = 0;  // The number of `last_`'s tick.
  size_t armed_ = 0;
};

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_BASE_TIMER_WHEEL_H_
