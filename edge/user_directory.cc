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

UserDirectory::Inserted UserDirectory::Insert(const std::string& user_id, const SessionRef& ref) {
  Shard& shard = ShardOf(user_id);
  MutexLock lock(shard.mu);
  auto [it, is_new] = shard.users.try_emplace(user_id, ref);
  if (is_new) return {true, std::nullopt};
  if (it->second.epoch > ref.epoch) return {false, std::nullopt};
  Inserted inserted{true, it->second};
  it->second = ref;
  return inserted;
}

bool UserDirectory::Remove(const std::string& user_id, SessionId id) {
  Shard& shard = ShardOf(user_id);
  MutexLock lock(shard.mu);
  auto found = shard.users.find(user_id);
  if (found == shard.users.end() || found->second.id != id) return false;
  shard.users.erase(found);
  return true;
}

std::optional<SessionRef> UserDirectory::Find(const std::string& user_id) const {
  const Shard& shard = ShardOf(user_id);
  MutexLock lock(shard.mu);
  auto found = shard.users.find(user_id);
  if (found == shard.users.end()) return std::nullopt;
  return found->second;
}

std::vector<std::string> UserDirectory::Users() const {
  std::vector<std::string> users;
  for (const Shard& shard : shards_) {
    MutexLock lock(shard.mu);
    for (const auto& [user_id, ref] : shard.users) users.push_back(user_id);
  }
  std::sort(users.begin(), users.end());
  return users;
}

}  // namespace toolwire
