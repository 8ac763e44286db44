// Logins that must not become sessions, although the secret was right when it was checked.
#ifndef TOOLWIRE_EDGE_REVOCATIONS_H_
#define TOOLWIRE_EDGE_REVOCATIONS_H_

#include <cstddef>
#include <string>

#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "common/base/recency_map.h"

namespace toolwire {

// Closes the gap between the check of a secret and the session that it opens, in which a revocation finds neither a
// wrong secret nor a session to close. A login makes its session findable first and asks `Covers` then; a revocation
// calls `Add` first and looks for the session then: whichever comes second sees the other.
//
// Thread-safe. A revocation is remembered for as long as a login can be under way that was begun before it. Bounded by
// `kUsersMax`: when more are revoked within that time, every login begun before is refused, of any user; agents
// dial again after a second.
class Revocations {
 public:
  static constexpr size_t kUsersMax = 10000;

  // No login asks more than `login_max` after its check began.
  Revocations(const Clock& clock, Duration login_max) : clock_(clock), login_max_(login_max) {}

  // The user's secret is good no longer: checks that begin from now on find the store changed.
  void Add(const std::string& user_id);

  // Whether a secret of this user that was right in a check begun then may have been revoked since.
  bool Covers(const std::string& user_id, MonoTime check_began);

 private:
  void ForgetLocked(MonoTime now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const Clock& clock_;
  const Duration login_max_;
  Mutex mu_;
  RecencyMap<std::string, MonoTime> users_ ABSL_GUARDED_BY(mu_);  // When each was last revoked.
  // Checks begun up to then are covered, of any user.
  MonoTime everyone_until_ ABSL_GUARDED_BY(mu_) = MonoTime::min();
};

}  // namespace toolwire

#endif  // TOOLWIRE_EDGE_REVOCATIONS_H_
