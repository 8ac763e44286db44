// A map that knows which of its entries was used longest ago, for what is forgotten when it is full.
#ifndef TOOLWIRE_COMMON_BASE_RECENCY_MAP_H_
#define TOOLWIRE_COMMON_BASE_RECENCY_MAP_H_

#include <cstddef>
#include <iterator>
#include <list>
#include <utility>

#include "absl/container/flat_hash_map.h"

namespace toolwire {

// Each method costs the same, however many entries there are. A value stays where it is until its entry is dropped. Not
// thread-safe.
template <typename Key, typename Value>
class RecencyMap {
 public:
  using Entry = std::pair<const Key, Value>;

  RecencyMap() = default;
  RecencyMap(const RecencyMap&) = delete;
  RecencyMap& operator=(const RecencyMap&) = delete;

  size_t size() const { return places_.size(); }

  // Null if there is none. Does not count as a use.
  Value* Find(const Key& key) {
    const auto found = places_.find(key);
    return found == places_.end() ? nullptr : &found->second->second;
  }
  // The same, and it is the one that was used last.
  Value* Use(const Key& key) {
    const auto found = places_.find(key);
    if (found == places_.end()) return nullptr;
    entries_.splice(entries_.end(), entries_, found->second);
    return &found->second->second;
  }
  // As the one that was used last. REQUIRES: there is none of this key.
  Value* Add(const Key& key, Value value) {
    entries_.emplace_back(key, std::move(value));
    places_.emplace(key, std::prev(entries_.end()));
    return &entries_.back().second;
  }

  // The one that was used, or else added, longest ago. REQUIRES: there is one.
  const Entry& oldest() const { return entries_.front(); }
  void DropOldest() {
    places_.erase(entries_.front().first);
    entries_.pop_front();
  }

 private:
  std::list<Entry> entries_;  // The one that was used last is last.
  absl::flat_hash_map<Key, typename std::list<Entry>::iterator> places_;
};

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_BASE_RECENCY_MAP_H_
