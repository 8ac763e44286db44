// The Lua scripts of the Redis registry: every change of a lease is one of them. Only redis_*.cc use this.
#ifndef TOOLWIRE_COMMON_REGISTRY_REDIS_SCRIPTS_H_
#define TOOLWIRE_COMMON_REGISTRY_REDIS_SCRIPTS_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace toolwire {

// Indexes into RegistryScripts(). `hash` is the number of the hash that has the user's record; times are in ms, an age
// in us; `channels` is "1" to mark changes for the claiming edge's messages, `shown` to write the user's status, or "".
enum RegistryScript : size_t {
  kClaimScript,    // user hash edge ttl channels shown age until → epoch; or kNewerConnection, kLateClaim
  kRefreshScript,  // edge ttl channels shown (user hash epoch)... → for each user one of the outcomes below, or an error's
                   // text
  kReleaseScript,  // user hash edge epoch → 1 if no lease remains, else 0
  kLookupScript,   // user hash → nil or {edge, epoch}
  kAnnounceScript,  // edge value ttl environment take database → {the edge's value before, the other environment or ""}
  kLeaveScript,     // edge value
  kEdgesScript,     // → {edge, value, edge, value, ...}
  kSweepScript,  // hash age → how many records of this age, of which no lease is left, were removed; or an error's text
  kProbeScript,   // Writes something of each kind.
  kAnswerScript,  // name channel text life → how many receive it, or 1 if they did when it was run before
};

// The lease of a connection that came later is there.
constexpr char kNewerConnection[] = "newer";
// It was run after `until`, a time of Redis's clock in us. Followed by what the clock shows.
constexpr char kLateClaim[] = "late ";

// What became of a lease that was refreshed; anything greater is the epoch of the lease that replaced it, or of the
// release.
constexpr int64_t kLeaseKept = 0;
constexpr int64_t kLeaseMadeAgain = 1;

// `prefix`: of our channels' names; without quotes.
std::vector<std::string> RegistryScripts(const std::string& prefix);

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_REGISTRY_REDIS_SCRIPTS_H_
