#include "edge/user_directory.h"

#include <algorithm>

#include "absl/hash/hash.h"

namespace toolwire {

UserDirectory::Shard& UserDirectory::ShardOf(const std::string& user_id) {
  return shards_[absl::Hash<std::string>()(user_id) % shards_.size()];
}

const UserDirectory::Shard& UserDirectory::ShardOf(const std::string& user_id) const {
  return shards_[absl::Hash<std::string>()(user_id) % shards_.size()];
}

void UserDirectory::BeginClaim(const std::string& user_id) {
  Shard& shard = ShardOf(user_id);
  MutexLock lock(shard.mu);
  shard.users[user_id].BeginClaim();
}

UserDirectory::Inserted UserDirectory::Insert(const std::string& user_id, const SessionRef& ref) {
  Shard& shard = ShardOf(user_id);
  MutexLock lock(shard.mu);
  return shard.users[user_id].Open(ref);
}

uint64_t UserDirectory::GiveUp(const std::string& user_id, uint64_t epoch) {
  Shard& shard = ShardOf(user_id);
  MutexLock lock(shard.mu);
  const auto place = shard.users.try_emplace(user_id).first;
  const uint64_t release = place->second.GiveUp(epoch);
  if (place->second.empty()) shard.users.erase(place);
  return release;
}

std::optional<uint64_t> UserDirectory::Remove(const std::string& user_id, SessionId id) {
  Shard& shard = ShardOf(user_id);
  MutexLock lock(shard.mu);
  const auto place = shard.users.find(user_id);
  if (place == shard.users.end()) return std::nullopt;
  const std::optional<uint64_t> release = place->second.Close(id);
  if (place->second.empty()) shard.users.erase(place);
  return release;
}

uint64_t UserDirectory::LeaseOf(const std::string& user_id, uint64_t epoch) const {
  const Shard& shard = ShardOf(user_id);
  MutexLock lock(shard.mu);
  const auto place = shard.users.find(user_id);
  const bool is_current =
      place != shard.users.end() && place->second.session() && place->second.session()->epoch == epoch;
  return is_current ? place->second.lease() : 0;
}

std::optional<SessionRef> UserDirectory::Find(const std::string& user_id) const {
  const Shard& shard = ShardOf(user_id);
  MutexLock lock(shard.mu);
  const auto place = shard.users.find(user_id);
  return place == shard.users.end() ? std::nullopt : place->second.session();
}

std::vector<std::string> UserDirectory::Users() const {
  std::vector<std::string> users;
  for (const Shard& shard : shards_) {
    MutexLock lock(shard.mu);
    for (const auto& [user_id, place] : shard.users) {
      if (place.session()) users.push_back(user_id);
    }
  }
  std::sort(users.begin(), users.end());
  return users;
}

}  // namespace toolwire
