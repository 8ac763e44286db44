// A holder that was told to drop gives its memory back a little later, once gRPC is done with it. Until then its bytes
// count as going, so that nobody is dropped in its stead; if they do not go in time, it is cut.
#include "control/caller_bytes.h"

#include <algorithm>
#include <queue>
#include <string>
#include <utility>

#include "absl/container/node_hash_map.h"
#include "absl/hash/hash.h"
#include "control/caller_peer.h"

namespace toolwire {
namespace {

// Of one tick.
constexpr size_t kDropsMax = 256;
// Ticks, of 10 ms each, in which a caller may read why its stream ends.
constexpr uint64_t kPatience = 100;

// What is held in parts, of which the largest go first.
template <typename Part>
struct Parts {
  size_t held = 0;
  std::priority_queue<std::pair<size_t, Part>> largest;
};

}  // namespace

CallerBytes::Holder::Holder(CallerBytes& all, std::string_view peer)
    : all_(all), address_(absl::HashOf(AddressOfPeer(peer))), connection_(absl::HashOf(peer)) {}

void CallerBytes::Join(Holder* holder, std::weak_ptr<Holder> self) {
  MutexLock lock(mu_);
  holders_.emplace(holder, std::move(self));
}

void CallerBytes::Leave(Holder* holder) {
  MutexLock lock(mu_);
  holders_.erase(holder);
}

std::vector<std::shared_ptr<CallerBytes::Holder>> CallerBytes::TakeLargest() {
  using Connection = Parts<Holder*>;
  using Address = Parts<Connection*>;
  std::vector<std::shared_ptr<Holder>> taken;
  // What may still be dropped: each address, and of it each connection.
  absl::node_hash_map<size_t, std::pair<Address, absl::node_hash_map<size_t, Connection>>> addresses;
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
      auto& [address, connections] = addresses[holder->address_];
      Connection& connection = connections[holder->connection_];
      address.held += held;
      connection.held += held;
      connection.largest.emplace(held, holder);
      continue;
    }
    staying -= std::min(staying, held);
    if (holder->drops_ == 1 && ticks_ - holder->dropped_at_ > kPatience) take(holder);
  }
  std::priority_queue<std::pair<size_t, Address*>> largest;
  for (auto& [hash, one] : addresses) {
    for (auto& [connection_hash, connection] : one.second) one.first.largest.emplace(connection.held, &connection);
    largest.emplace(one.first.held, &one.first);
  }
  while (staying > bytes_max_ && taken.size() < kDropsMax && !largest.empty()) {
    Address* const address = largest.top().second;
    largest.pop();
    Connection* const connection = address->largest.top().second;
    address->largest.pop();
    const auto [held, holder] = connection->largest.top();
    connection->largest.pop();
    connection->held -= held;
    address->held -= held;
    if (!connection->largest.empty()) address->largest.emplace(connection->held, connection);
    if (!address->largest.empty()) largest.emplace(address->held, address);
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
