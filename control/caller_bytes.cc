// A holder that was told to drop gives its memory back a little later, once gRPC is done with it. Until then its bytes
// count as going, so that nobody is dropped in its stead; if they do not go in time, it is cut.
#include "control/caller_bytes.h"

#include <algorithm>
#include <utility>

namespace toolwire {
namespace {

// Of one tick.
constexpr size_t kDropsMax = 64;
// Ticks, of 10 ms each, in which a caller may read why its stream ends.
constexpr uint64_t kPatience = 100;

}  // namespace

void CallerBytes::Join(Holder* holder, std::weak_ptr<Holder> self) {
  MutexLock lock(mu_);
  holders_.emplace(holder, std::move(self));
}

void CallerBytes::Leave(Holder* holder) {
  MutexLock lock(mu_);
  holders_.erase(holder);
}

std::vector<std::shared_ptr<CallerBytes::Holder>> CallerBytes::TakeLargest() {
  std::vector<std::shared_ptr<Holder>> taken;
  std::vector<std::pair<size_t, Holder*>> rest;
  MutexLock lock(mu_);
  ++ticks_;
  const auto take = [&](Holder* holder) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    ++holder->drops_;
    holder->dropped_at_ = ticks_;
    if (auto alive = holders_.at(holder).lock()) taken.push_back(std::move(alive));
  };
  size_t staying = total();
  for (const auto& [holder, self] : holders_) {
    const size_t held = holder->held();
    if (held == 0) continue;
    if (holder->drops_ == 0) {
      rest.emplace_back(held, holder);
      continue;
    }
    staying -= std::min(staying, held);
    if (holder->drops_ == 1 && ticks_ - holder->dropped_at_ > kPatience) take(holder);
  }
  std::sort(rest.rbegin(), rest.rend());
  for (const auto& [held, holder] : rest) {
    if (staying <= bytes_max_ || taken.size() >= kDropsMax) break;
    staying -= std::min(staying, held);
    take(holder);
  }
  return taken;
}

void CallerBytes::Tick() {
  if (total() <= bytes_max_) return;
  for (const std::shared_ptr<Holder>& holder : TakeLargest()) {
    counters_.full.Add();
    holder->Drop();
  }
}

}  // namespace toolwire
