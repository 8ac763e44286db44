// The Lua scripts of the Redis registry: every change of a lease is one of them. Only redis_registry.cc uses this.
#ifndef TOOLWIRE_COMMON_REGISTRY_REDIS_SCRIPTS_H_
#define TOOLWIRE_COMMON_REGISTRY_REDIS_SCRIPTS_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace toolwire {

// Indexes into RegistryScripts(). `hash` is the number of the hash that has the user's epoch; times are in ms;
// `channels` is "1" to mark changes for the claiming edge's messages, or "".
enum RegistryScript : size_t {
  kClaimScript,     // user hash edge ttl channels → epoch
  kRefreshScript,   // edge ttl channels (user hash epoch)... → for each user one of the outcomes below
  kReleaseScript,   // user hash edge epoch
  kLookupScript,    // user hash → nil or {edge, epoch}
  kAnnounceScript,  // edge value ttl → the edge's value before
  kLeaveScript,     // edge value
  kEdgesScript,     // → {edge, value, edge, value, ...}
};

// What became of a lease that was refreshed; anything greater is the epoch of the lease that replaced it.
constexpr int64_t kLeaseKept = 0;
constexpr int64_t kLeaseMadeAgain = 1;

const std::vector<std::string>& RegistryScripts();

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_REGISTRY_REDIS_SCRIPTS_H_
