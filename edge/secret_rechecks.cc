#include "edge/secret_rechecks.h"

#include <algorithm>

namespace toolwire {

void SecretRechecks::Add(SessionId id) {
  if (slots_.empty()) return;
  // Multiples of the golden ratio: sessions that come together, which have numbers in sequence, are spread evenly.
  slots_[(id * 0x9E3779B97F4A7C15) >> 56].push_back(id);
}

void SecretRechecks::Done(const std::vector<SessionId>& batch) {
  out_ = false;
  slots_[slot_].insert(slots_[slot_].end(), batch.begin(), batch.end());
}

void SecretRechecks::TryAgain(const std::vector<SessionId>& batch, MonoTime now) {
  out_ = false;
  due_.insert(due_.end(), batch.begin(), batch.end());
  not_before_ = now + kRetryWait;
}

bool SecretRechecks::Turn(MonoTime now) {
  if (now < next_turn_) return false;
  // After a pause each session is due once, however long it was.
  const Duration slot = interval_ / kSlots;
  next_turn_ = std::max(next_turn_, now - interval_ + slot) + slot;
  slot_ = (slot_ + 1) % kSlots;
  due_.swap(slots_[slot_]);
  return true;
}

}  // namespace toolwire
