#include "common/base/timer_wheel.h"

#include <algorithm>
#include <cassert>

namespace toolwire {

TimerWheel::TimerWheel(Duration tick, size_t slots, MonoTime now) : tick_(tick), heads_(slots), last_(now) {
  assert(tick > Duration::zero() && slots > 0);
  for (TimerNode& head : heads_) InitHead(&head);
  InitHead(&due_);
}

TimerWheel::~TimerWheel() {
  const auto clear = [](TimerNode* head) {
    while (head->next_ != head) head->next_->Unlink();
    head->prev_ = head->next_ = nullptr;  // A head is linked to itself and counts for nothing.
  };
  for (TimerNode& head : heads_) clear(&head);
  clear(&due_);
}

void TimerWheel::Link(TimerNode* head, TimerNode* node) {
  node->prev_ = head->prev_;
  node->next_ = head;
  head->prev_->next_ = node;
  head->prev_ = node;
}

void TimerWheel::Arm(TimerNode* node, MonoTime deadline) {
  node->Unlink();
  // Rounded up, and never into the tick that has already been advanced to. No sum or difference here overflows, not
  // even for MonoTime::max(), the deadline of what has none.
  size_t ticks = 1;
  if (deadline > last_) ticks += static_cast<size_t>((deadline - last_ - Duration(1)) / tick_);
  node->deadline_ = deadline;
  node->armed_count_ = &armed_;
  ++armed_;
  Link(&heads_[(cursor_ + ticks) % heads_.size()], node);
}

// Moves what is due at `now` out of the slots of the ticks that have passed.
void TimerWheel::CollectDue(MonoTime now) {
  if (now < last_) return;
  const size_t passed = static_cast<size_t>((now - last_) / tick_);
  if (passed == 0) return;
  const size_t visits = armed_ == 0 ? 0 : std::min(passed, heads_.size());
  const size_t first = cursor_ + 1 + (passed - visits);
  last_ += tick_ * static_cast<Duration::rep>(passed);
  cursor_ += passed;
  for (size_t i = 0; i < visits; ++i) {
    TimerNode* const head = &heads_[(first + i) % heads_.size()];
    for (TimerNode* node = head->next_; node != head;) {
      TimerNode* const next = node->next_;
      if (node->deadline_ <= last_) {
        node->prev_->next_ = node->next_;
        node->next_->prev_ = node->prev_;
        Link(&due_, node);
      }
      node = next;
    }
  }
}

}  // namespace toolwire
