// What one edge has of one user: logins that claim the lease, the lease, and the session that stands on it.
#ifndef TOOLWIRE_EDGE_USER_PLACE_H_
#define TOOLWIRE_EDGE_USER_PLACE_H_

#include <cstdint>
#include <optional>

#include "edge/session.h"

namespace toolwire {

// How another thread names a session: a weak handle, valid or not.
struct SessionRef {
  uint32_t loop = 0;
  SessionId id = 0;
  uint64_t epoch = 0;
};

// The lease belongs to this place, not to a socket:
//
//   none -- BeginClaim --> claiming -- Open --> held -- Close --> releasing, if no login claims any more
//                              ^                 |
//                              +-- BeginClaim ---+  a further login, while the session goes on
//
// What is claimed by a login that comes to nothing stays for the session that lives, or for the other logins under way.
// Only when neither is left has the place to be released: the epoch to release comes out once, and the place is empty.
// Epochs are of claims; none is 0. Without I/O.
class UserPlace {
 public:
  struct Opened {
    bool current = false;                 // False: a newer session of this user is here already.
    std::optional<SessionRef> displaced;  // The older session that this one replaced.
  };

  // Each ends with one of the next two.
  void BeginClaim() { ++claims_; }
  // The claim was answered with `ref.epoch`, and the session opens. Of two sessions the one with the greater epoch
  // stays, in whatever order they come.
  Opened Open(const SessionRef& ref);
  // The login comes to nothing; `epoch` is what its claim was answered with, 0 if it was not. Returns the epoch to
  // release, or 0.
  uint64_t GiveUp(uint64_t epoch);
  // The session has ended: the epoch to release, or 0. Nothing if it was not the current one, which changes nothing.
  std::optional<uint64_t> Close(SessionId id);

  const std::optional<SessionRef>& session() const { return session_; }
  // What the edge holds: the epoch of the last claim, which may be newer than the session.
  uint64_t lease() const { return lease_; }
  // Nothing is left of it.
  bool empty() const { return claims_ == 0 && lease_ == 0 && !session_; }

 private:
  void EndClaim(uint64_t epoch);
  uint64_t ReleaseIfUnused();

  uint32_t claims_ = 0;  // Under way.
  uint64_t lease_ = 0;
  std::optional<SessionRef> session_;
};

}  // namespace toolwire

#endif  // TOOLWIRE_EDGE_USER_PLACE_H_
