#include "common/base/timer_wheel.h"

#include <cassert>

namespace toolwire {

TimerWheel::TimerWheel(Duration tick, size_t slots, MonoTime now) : tick_(tick), heads_(slots), last_(now) {
  assert(tick > Duration::zero() && slots > 0);
  for (TimerNode& head : heads_) InitHead(&head);
}

TimerWheel::~TimerWheel() {
  for (TimerNode& head : heads_) {
    while (head.next_ != &head) head.next_->Unlink();
    head.prev_ = head.next_ = nullptr;  // A head is linked to itself and counts for nothing.
  }
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

void TimerWheel::CollectDue(TimerNode* head, TimerNode* due) {
  for (TimerNode* node = head->next_; node != head;) {
    TimerNode* next = node->next_;
    if (node->deadline_ <= last_) {
      node->prev_->next_ = node->next_;
      node->next_->prev_ = node->prev_;
      Link(due, node);
    }
    node = next;
  }
}

}  // namespace toolwire
