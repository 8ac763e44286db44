// Callers by their JSON Web Tokens: the keys, and the tokens that were found good. No gRPC, no I/O.
#ifndef TOOLWIRE_CONTROL_JWT_AUTH_H_
#define TOOLWIRE_CONTROL_JWT_AUTH_H_

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "common/base/clock.h"
#include "common/base/counter.h"
#include "common/base/failures_by_address.h"
#include "common/base/mutex.h"
#include "common/base/recency_map.h"
#include "common/base/sha256.h"
#include "control/caller.h"
#include "control/jwks.h"
#include "control/jwt.h"

namespace toolwire {

// Of toolwire_control_calls_of_caller_total.
inline constexpr char kCallsOfCallerHelp[] =
    "Calls received, by the name of the caller's token, or of the program that a JSON Web Token was made for.";

struct JwtOptions {
  JwtRules rules;
  // Of tokens that were found good, as memory: some 60,000 users at once. Past it the one that was used longest ago is
  // checked again when it comes.
  size_t cache_bytes_max = 32u << 20;
  // Of tokens that were checked and are not good, from one address: 20 ms of a thread with ECDSA. An address may be
  // that of a proxy. 0: no limit.
  int failures_per_second_max = 200;
  size_t addresses_max = 10000;  // That are remembered for it.
};

// Thread-safe. To check a signature costs a hundred times what finding a known token does, and whoever knows the id of
// a key can have it checked: so what an address may fail at is limited, and what is known does not count.
class JwtAuth {
 public:
  struct Counters : CounterSet {
    Counter checked{this, "toolwire_control_jwts_checked_total", "Signatures of JSON Web Tokens that were checked."};
    Counter taken{this, "toolwire_control_jwks_taken_total", "Contents of the JWKS file that were taken."};
    Counter not_taken{this, "toolwire_control_jwks_refused_total",
                      "Contents of the JWKS file that were refused, or times it could not be read: the keys before "
                      "stay."};
    LimitCounter large{this, kControlLimitHits, "jwt_bytes"};
    LimitCounter lifetime{this, kControlLimitHits, "jwt_lifetime"};
    LimitCounter cache_full{this, kControlLimitHits, "jwt_cache_bytes"};
    LimitCounter failures{this, kControlLimitHits, "jwt_failures"};
    LimitCounter addresses_full{this, kControlLimitHits, "jwt_failures_addresses"};
  };
  // Of programs that are counted by their names; those that come later are counted together. Names are metrics' labels.
  static constexpr size_t kClientsMax = 100;

  JwtAuth(const Clock& clock, JwtOptions options);

  // From now on these are the keys. One that is still there, with the same id, keeps its callers; those of the others
  // are removed before this returns, and no token that they signed is known any more. INVALID_ARGUMENT: the file is not
  // valid, and nothing has changed. `skipped`: the keys that are not used, as of Jwks.
  absl::Status Take(std::string_view file, std::vector<std::string>* skipped);

  struct Found {
    std::shared_ptr<Caller> caller;  // It may have expired.
    JwtProblem problem = JwtProblem::kNone;
    bool busy = false;  // Not looked at: the address has failed too often in this second.
  };
  // Who shows this token, from this address: gRPC's name of the connection.
  Found Find(std::string_view token, std::string_view peer);

  bool has_keys() const;
  size_t keys() const;
  Counters& counters() { return counters_; }
  // With the calls of each program, also while it has no token here.
  void AddSamples(std::vector<Sample>* out) const;

 private:
  // A token that was found good, until it has to make room.
  struct Known {
    std::shared_ptr<Caller> caller;
    size_t bytes = 0;
  };
  using Counts = std::shared_ptr<Caller::Counts>;

  std::shared_ptr<Caller> FindKnown(const Sha256Digest& digest);
  std::shared_ptr<SigningKey> KeyOf(const std::string& kid) const;
  // Checks signature and claims.
  Found Check(const Jwt& jwt, const std::shared_ptr<SigningKey>& key, const Sha256Digest& digest);
  // Its caller; the one of another thread that was faster; or none, if the key has been removed.
  std::shared_ptr<Caller> Remember(const Sha256Digest& digest, const std::shared_ptr<SigningKey>& key,
                                   JwtClaims&& claims);
  void ForgetOldestLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Counts CountsOfLocked(const std::string& client) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool MayTry(const std::string& address);
  void NoteFailure(const std::string& address);

  const Clock& clock_;
  const JwtOptions options_;
  Counters counters_;

  mutable Mutex mu_;
  absl::flat_hash_map<std::string, std::shared_ptr<SigningKey>> keys_ ABSL_GUARDED_BY(mu_);  // By their ids.
  RecencyMap<Sha256Digest, Known> known_ ABSL_GUARDED_BY(mu_);
  size_t known_bytes_ ABSL_GUARDED_BY(mu_) = 0;
  absl::flat_hash_map<std::string, Counts> clients_ ABSL_GUARDED_BY(mu_);
  const Counts others_ = std::make_shared<Caller::Counts>();
  FailuresByAddress failures_ ABSL_GUARDED_BY(mu_);
};

}  // namespace toolwire

#endif  // TOOLWIRE_CONTROL_JWT_AUTH_H_
