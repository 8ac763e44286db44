#include "cli/agent/answer_room.h"

namespace toolwire {

bool AnswerBudget::Change(size_t from, size_t to) {
  size_t taken = taken_;
  for (;;) {
    const size_t others = taken - from;
    const bool fits = others == 0 || (to <= bytes_max_ && others <= bytes_max_ - to);
    if (to > from && !fits) return false;
    if (taken_.compare_exchange_weak(taken, others + to)) return true;
  }
}

bool AnswerRoom::Resize(size_t bytes) {
  MutexLock lock(mu_);
  return ResizeLocked(bytes);
}

bool AnswerRoom::Use(size_t used, size_t bytes) {
  MutexLock lock(mu_);
  used_ = used;
  return ResizeLocked(bytes);
}

void AnswerRoom::YieldUnused() {
  MutexLock lock(mu_);
  if (used_ < bytes_) ResizeLocked(used_);
}

bool AnswerRoom::ResizeLocked(size_t bytes) {
  if (bytes <= kFreeBytesMax) bytes = 0;
  if (abandoned_ || !budget_->Change(bytes_, bytes)) return false;
  bytes_ = bytes;
  return true;
}

void AnswerRoom::Abandon() {
  MutexLock lock(mu_);
  abandoned_ = true;
  budget_->Change(bytes_, 0);
  bytes_ = 0;
}

}  // namespace toolwire
