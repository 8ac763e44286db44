// Sessions that must end although the edge that holds them was not linked when their secret was revoked.
#ifndef TOOLWIRE_CONTROL_REVOKED_SESSIONS_H_
#define TOOLWIRE_CONTROL_REVOKED_SESSIONS_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "common/base/recency_map.h"
#include "toolwire/v1/relay.pb.h"

namespace toolwire {

// Remembers each revoked (or replaced) secret for `kKept`, and checks the sessions that later links report: one that
// was opened before the revocation must end, one that was opened after it has a new secret and must not. A session is
// of before if either
//   - its epoch is one that was known before the revocation, or an earlier one: exact, whatever clocks say; or
//   - it began, by its edge's clock, no later than the longest login at that edge after the revocation, by this
//     control's. This finds sessions whose epoch was not known, and logins that were under way.
// So a session can only be closed in error, and only within the time of a login (and the clocks' difference) after a
// revocation, at an edge that was unavailable at that time; its agent comes back with its good secret.
//
// Who counts: `order` numbers revocations and links in one sequence. A link with a smaller number than a revocation got
// the message about it at once, and its sessions are not checked against it. Thread-safe.
class RevokedSessions {
 public:
  static constexpr Duration kKept = std::chrono::minutes(10);
  static constexpr size_t kUsersMax = 10000;  // About 1 MB; beyond it the user whose last one is oldest is forgotten.
  // The longest login of edges that report none, and the least that is counted with.
  static constexpr Duration kLoginMaxLeast = std::chrono::milliseconds(5000);

  // `epoch`: the greatest that was known of the user's sessions before the secret was revoked; 0: none was known.
  void Add(const std::string& user_id, uint64_t order, uint64_t epoch, int64_t at_ms, MonoTime now);

  // Adds to `frame` what must be sent back on the link with this number, which reported these events. `login_max` is
  // the longest time from the check of a secret to its session at the link's edge; 0: not known.
  void EndRevoked(uint64_t link_order, Duration login_max,
                  const google::protobuf::RepeatedPtrField<v1::SessionEvent>& events, MonoTime now,
                  v1::ControlFrame* frame);

 private:
  struct Revocation {
    uint64_t order = 0;
    uint64_t epoch = 0;
    int64_t at_ms = 0;  // Unix time in milliseconds.
    MonoTime added;
  };
  void ForgetLocked(MonoTime now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  Mutex mu_;
  RecencyMap<std::string, Revocation> users_ ABSL_GUARDED_BY(mu_);  // The newest of each user.
};

}  // namespace toolwire

#endif  // TOOLWIRE_CONTROL_REVOKED_SESSIONS_H_
