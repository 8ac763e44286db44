// A holder that was told to drop gives its memory back a little later, once gRPC is done with it. Until then its bytes
// count as going, so that nobody is dropped in its stead; if they do not go in time, it is cut.
#include "control/caller_bytes.h"

#include <algorithm>
#include <queue>
#include <utility>

namespace toolwire {
namespace {

// Of one tick.
constexpr size_t kDropsMax = 256;
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
  struct Peer {
    size_t held = 0;
    std::vector<std::pair<size_t, Holder*>> parts;
  };
  absl::flat_hash_map<size_t, Peer> peers;  // What may still be dropped.
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
      Peer& peer = peers[holder->peer_];
      peer.held += held;
      peer.parts.emplace_back(held, holder);
      continue;
    }
    staying -= std::min(staying, held);
    if (holder->drops_ == 1 && ticks_ - holder->dropped_at_ > kPatience) take(holder);
  }
  std::priority_queue<std::pair<size_t, Peer*>> largest;
  for (auto& [hash, peer] : peers) {
    std::make_heap(peer.parts.begin(), peer.parts.end());
    largest.emplace(peer.held, &peer);
  }
  while (staying > bytes_max_ && taken.size() < kDropsMax && !largest.empty()) {
    Peer* const peer = largest.top().second;
    largest.pop();
    std::pop_heap(peer->parts.begin(), peer->parts.end());
    const auto [held, holder] = peer->parts.back();
    peer->parts.pop_back();
    peer->held -= held;
    if (!peer->parts.empty()) largest.emplace(peer->held, peer);
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
