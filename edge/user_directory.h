// The places of this edge's users, and so which session is a user's current one: the only state that the loops share.
#ifndef TOOLWIRE_EDGE_USER_DIRECTORY_H_
#define TOOLWIRE_EDGE_USER_DIRECTORY_H_

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "common/base/mutex.h"
#include "edge/user_place.h"

namespace toolwire {

// Thread-safe: sixteen maps by the user's hash, each with a lock of its own that is never held while anything else is
// called. Bounded by the sessions and logins of this edge.
class UserDirectory {
 public:
  using Inserted = UserPlace::Opened;

  // As the methods of UserPlace.
  void BeginClaim(const std::string& user_id);
  Inserted Insert(const std::string& user_id, const SessionRef& ref);
  uint64_t GiveUp(const std::string& user_id, uint64_t epoch);
  std::optional<uint64_t> Remove(const std::string& user_id, SessionId id);

  // The epoch under which the lease of the user's current session is held. 0: the session with `epoch` is not that.
  uint64_t LeaseOf(const std::string& user_id, uint64_t epoch) const;
  std::optional<SessionRef> Find(const std::string& user_id) const;
  // Every user who has a session, in order.
  std::vector<std::string> Users() const;

 private:
  struct alignas(64) Shard {
    mutable Mutex mu;
    absl::flat_hash_map<std::string, UserPlace> users ABSL_GUARDED_BY(mu);
  };
  Shard& ShardOf(const std::string& user_id);
  const Shard& ShardOf(const std::string& user_id) const;

  std::array<Shard, 16> shards_;
};

}  // namespace toolwire

#endif  // TOOLWIRE_EDGE_USER_DIRECTORY_H_
