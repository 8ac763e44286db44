// Which peers count as one, and who of those that may have to make room goes first.
#ifndef TOOLWIRE_COMMON_BASE_BY_ADDRESS_H_
#define TOOLWIRE_COMMON_BASE_BY_ADDRESS_H_

#include <asio/ip/address_v6.hpp>
#include <cstddef>
#include <cstdint>
#include <list>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <utility>

#include "absl/container/node_hash_map.h"

namespace toolwire {

// An IP address as IPv6, in which an IPv4 address is ::ffff:0:0/96.
std::optional<asio::ip::address_v6> ParseAddress(const std::string& text);
// What the limits on one address count it as: an IPv4 address itself, also if it is mapped into IPv6; of an IPv6
// address its /64, since whoever has one address has them all.
std::string AddressKey(const std::string& address);

// Peers by their address, and of each address by age. Who has most makes room first, so that nobody is kept out by
// another address. Adding and removing cost the logarithm of how many addresses there are. Not thread-safe.
template <typename T>
class ByAddress {
  struct Share {
    std::string key;
    std::list<std::pair<uint64_t, T*>> members;  // By number, the oldest first.
  };

 public:
  // Base of T. It is in one queue at most, and has left it when it is destroyed.
  class Member {
    friend class ByAddress;
    Share* share_ = nullptr;
    typename std::list<std::pair<uint64_t, T*>>::iterator at_;
  };

  // As the newest of its address. `key`: as of AddressKey.
  void Add(T* one, const std::string& key) {
    Share& share = shares_.try_emplace(key).first->second;
    if (share.members.empty()) {
      share.key = key;
    } else {
      order_.erase(Rank(share));
    }
    Member* const member = one;
    member->share_ = &share;
    member->at_ = share.members.insert(share.members.end(), {++last_number_, one});
    order_.insert(Rank(share));
    ++size_;
  }
  // False, and nothing, if it is in no queue.
  bool Remove(T* one) {
    Member* const member = one;
    Share* const share = std::exchange(member->share_, nullptr);
    if (share == nullptr) return false;
    order_.erase(Rank(*share));
    share->members.erase(member->at_);
    --size_;
    if (share->members.empty()) {
      shares_.erase(shares_.find(share->key));
    } else {
      order_.insert(Rank(*share));
    }
    return true;
  }
  // The oldest of the address that has most; null if there is none.
  T* First() const { return order_.empty() ? nullptr : std::get<2>(*order_.begin())->members.front().second; }
  // The same, of those for which `ok`; looks at a few addresses only.
  template <typename Ok>
  T* FirstIf(Ok ok) const {
    int looks = 16;
    for (auto at = order_.begin(); at != order_.end() && looks > 0; ++at, --looks) {
      T* const one = std::get<2>(*at)->members.front().second;
      if (ok(*one)) return one;
    }
    return nullptr;
  }
  // The oldest of this address.
  T* FirstOf(const std::string& key) const {
    const auto found = shares_.find(key);
    return found == shares_.end() ? nullptr : found->second.members.front().second;
  }
  size_t size() const { return size_; }
  size_t SizeOf(const std::string& key) const {
    const auto found = shares_.find(key);
    return found == shares_.end() ? 0 : found->second.members.size();
  }

 private:
  // Who has most is first; of those that have as many, who has the oldest.
  using Order = std::tuple<int64_t, uint64_t, const Share*>;
  static Order Rank(const Share& share) {
    return {-static_cast<int64_t>(share.members.size()), share.members.front().first, &share};
  }

  absl::node_hash_map<std::string, Share> shares_;  // None is empty.
  std::set<Order> order_;                           // Of all shares.
  size_t size_ = 0;
  uint64_t last_number_ = 0;
};

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_BASE_BY_ADDRESS_H_
