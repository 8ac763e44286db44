// Which session of this edge is a user's current one: the only state that the loops share.
#ifndef TOOLWIRE_EDGE_USER_DIRECTORY_H_
#define TOOLWIRE_EDGE_USER_DIRECTORY_H_

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "common/base/mutex.h"
#include "edge/session.h"

namespace toolwire {

// How another thread names a session: a weak handle, valid or not.
struct SessionRef {
  uint32_t loop = 0;
  SessionId id = 0;
  uint64_t epoch = 0;
};

// Thread-safe: sixteen maps by the user's hash, each with a lock of its own that is never held while anything else is
// called. Bounded by the sessions of this edge.
class UserDirectory {
 public:
  struct Inserted {
    bool current = false;                 // False: a newer session of this user is here already.
    std::optional<SessionRef> displaced;  // The older session that this one replaced.
  };
  // Of two sessions the one with the greater epoch stays, in whatever order they come.
  Inserted Insert(const std::string& user_id, const SessionRef& ref);
  // True if that session was the user's current one; false changes nothing.
  bool Remove(const std::string& user_id, SessionId id);
  std::optional<SessionRef> Find(const std::string& user_id) const;
  // Every user, in order.
  std::vector<std::string> Users() const;

 private:
  struct alignas(64) Shard {
    mutable Mutex mu;
    absl::flat_hash_map<std::string, SessionRef> users ABSL_GUARDED_BY(mu);
  };
  Shard& ShardOf(const std::string& user_id);
  const Shard& ShardOf(const std::string& user_id) const;

  std::array<Shard, 16> shards_;
};

}  // namespace toolwire

#endif  // TOOLWIRE_EDGE_USER_DIRECTORY_H_
