#include "control/caller_bytes.h"

#include <utility>

namespace toolwire {
namespace {

// Of one tick: what is cut gives its memory back a little later.
constexpr int kDropsMax = 64;

}  // namespace

void CallerBytes::Join(Holder* holder, std::weak_ptr<Holder> self) {
  MutexLock lock(mu_);
  holders_.emplace(holder, std::move(self));
}

void CallerBytes::Leave(Holder* holder) {
  MutexLock lock(mu_);
  holders_.erase(holder);
}

std::shared_ptr<CallerBytes::Holder> CallerBytes::TakeLargest() {
  MutexLock lock(mu_);
  auto largest = holders_.end();
  for (auto it = holders_.begin(); it != holders_.end(); ++it) {
    if (it->first->drops_ == 2 || it->first->held() == 0) continue;
    if (largest == holders_.end() || it->first->held() > largest->first->held()) largest = it;
  }
  if (largest == holders_.end()) return nullptr;
  ++largest->first->drops_;
  return largest->second.lock();
}

void CallerBytes::Tick() {
  for (int i = 0; i < kDropsMax && total() > bytes_max_; ++i) {
    const std::shared_ptr<Holder> largest = TakeLargest();
    if (largest == nullptr) return;
    counters_.full.Add();
    largest->Drop();
  }
}

}  // namespace toolwire
