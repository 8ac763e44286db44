// Logins that fail: who has to wait before the next attempt, without I/O.
#ifndef TOOLWIRE_EDGE_LOGIN_LIMITS_H_
#define TOOLWIRE_EDGE_LOGIN_LIMITS_H_

#include <chrono>
#include <cstddef>
#include <string>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "common/base/clock.h"
#include "common/base/counter.h"
#include "common/base/mutex.h"
#include "common/base/recency_map.h"
#include "common/store/secret.h"

namespace toolwire {

// Two counts of failures: of an address, and of one user at one address. At its limit each has to wait, each time
// longer. Nobody's failures count against a user elsewhere, and a secret that was right at this edge before is let
// through whatever else fails, so that strangers keep nobody out by failing for them. Thread-safe; what it holds is
// bounded, and each call costs the same.
class LoginLimits {
 public:
  struct Options {
    int failures_per_minute_max = 600;  // Of one address, which may be a whole office's; 0: no limit.
    int user_failures_max = 10;  // Of one user at one address, before waits begin; 0: no limit. A typing error is few.
    // The longest wait of an address. The first is a minute; each one after that is twice as long.
    Duration wait_max = std::chrono::minutes(5);
    size_t addresses_max = 10000;  // Addresses remembered for their failed logins,
    size_t users_max = 10000;      // and users at addresses.
    size_t known_max = 200000;     // Right secrets remembered: twice as many as an edge has agents. 20 bytes each.
  };
  struct Counters : CounterSet {
    LimitCounter addresses_rejected{this, kEdgeLimitHits, "failed_logins"};
    LimitCounter addresses_full{this, kEdgeLimitHits, "failed_logins_addresses"};
    LimitCounter users_rejected{this, kEdgeLimitHits, "user_failed_logins"};
    LimitCounter users_full{this, kEdgeLimitHits, "failed_logins_users"};
  };
  // The first wait of a user at an address, and the longest: as long as agents in the field wait between two dials.
  static constexpr Duration kUserWaitMin = std::chrono::seconds(1), kUserWaitMax = std::chrono::seconds(60);
  // Without a failure for so long a user's count at an address begins anew.
  static constexpr Duration kUserForgotten = std::chrono::minutes(10);

  explicit LoginLimits(const Options& options) : options_(options) {}

  struct Attempt {
    std::string address;
    std::string user_id;  // Perhaps one that nobody can have.
    SecretDigest secret{};
  };
  // Whether its secret may be checked now, or the verdict told. False is counted.
  bool MayLogIn(const Attempt& attempt, MonoTime now);
  // The waits that begin with this failure; zero: none.
  struct Waits {
    Duration address{}, user{};
  };
  Waits Failed(const Attempt& attempt, MonoTime now);
  void Succeeded(const Attempt& attempt);

  const Counters& counters() const { return counters_; }

 private:
  struct Failures {
    MonoTime since;  // The first that counts; of a user: the last.
    int count = 0;
    int waits = 0;  // One after the other.
    MonoTime wait_until{};
  };
  using Table = RecencyMap<std::string, Failures>;

  // Its entry as the newest; a new one has count 0. Full, who has not failed, nor been rejected, for longest is
  // forgotten, and counted by `full`: the failures of others make room for new ones, and never for those of one that
  // goes on.
  static Failures* UseOrAdd(Table* table, const std::string& key, size_t size_max, MonoTime now, LimitCounter* full);
  static std::string UserKey(const Attempt& attempt);
  static SecretDigest KnownKey(const Attempt& attempt);
  bool IsKnown(const Attempt& attempt) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Duration FailedOfAddress(const Attempt& attempt, MonoTime now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Duration FailedOfUser(const Attempt& attempt, MonoTime now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const Options options_;
  Counters counters_;
  Mutex mu_;
  Table addresses_ ABSL_GUARDED_BY(mu_), users_ ABSL_GUARDED_BY(mu_);
  // Users with their secrets, as of KnownKey: those that logged in since the other set was full, and that set.
  absl::flat_hash_set<SecretDigest> known_ ABSL_GUARDED_BY(mu_), known_before_ ABSL_GUARDED_BY(mu_);
};

}  // namespace toolwire

#endif  // TOOLWIRE_EDGE_LOGIN_LIMITS_H_
