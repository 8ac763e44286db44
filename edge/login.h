// A login, from the accepted socket to the open session, without I/O: upgrade requests, verdicts, claims and the time
// go in; sessions to open and sockets to close come out.
#ifndef TOOLWIRE_EDGE_LOGIN_H_
#define TOOLWIRE_EDGE_LOGIN_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/base/timer_wheel.h"
#include "common/registry/registry.h"
#include "edge/admission.h"
#include "edge/authenticator.h"
#include "edge/close_reason.h"
#include "edge/revocations.h"
#include "edge/session.h"
#include "edge/user_directory.h"

namespace toolwire {

// What the logins of all loops of one edge share. No pointer is null; everything outlives the loops and is safe to use
// from any thread.
struct LoginShared {
  std::string server_id;
  Duration login_timeout{};
  const Clock* clock = nullptr;
  Registry* registry = nullptr;
  Authenticator* authenticator = nullptr;
  Admission* admission = nullptr;
  UserDirectory* directory = nullptr;
  Revocations* revocations = nullptr;
  EdgeCounters* counters = nullptr;
  // Closes the session that a newer login of the same user displaced, on any loop: as replaced, or as
  // `revoked` if the credentials were while that login was under way.
  std::function<void(const SessionRef& ref, bool revoked)> close_displaced;
};

// The logins of one loop. Loop thread only. A socket has the id of the session that it may become. What a login holds
// (room at the admission, its lease, its place in the directory) is given back exactly once: by the login if it does
// not become a session, by LogOut if it does.
class Logins {
 public:
  static constexpr Duration kTick = std::chrono::milliseconds(50);
  // Frames that an agent sends before its login is decided: enough for the answers kept over a reconnect. The loop
  // reads no more bytes of them until then.
  static constexpr size_t kEarlyFramesMax = 256;
  static constexpr size_t kEarlyBytesMax = 1u << 20;

  // What the loop does for its logins.
  class Handler {
   public:
    // Runs `task` on the loop's thread. Any thread.
    virtual void Post(std::function<void()> task) = 0;
    // The login has failed, or its session was replaced before it opened: then OpenSession was called just before. The
    // loop may call Cancel, LogOut and Closed inside.
    virtual void CloseSocket(SessionId id, const CloseReason& reason) = 0;
    // The login is a session from now on. `early`: the frames that have come meanwhile.
    virtual void OpenSession(SessionId id, const std::string& user_id, uint64_t epoch,
                             std::vector<std::string> early) = 0;

   protected:
    ~Handler() = default;
  };

  // `loop` numbers the loop in the directory.
  Logins(uint32_t loop, const LoginShared& shared, Handler& handler);

  // A socket was accepted, and has this place at the admission.
  void Accepted(std::unique_ptr<Admission::Place> place);
  // It has to make room if it is silent still, and nothing of it waits `unread`: true.
  bool MakeRoom(SessionId id, bool unread);
  // It has sent a complete request, whether a login or another.
  void Spoke(SessionId id);
  // Where its peer is.
  std::string AddressOf(SessionId id) const;
  // It became a WebSocket with this request.
  void Begin(SessionId id, const std::string& target, const std::string& authorization);
  // A frame came before the login was decided. Takes it, unless there is no login under way.
  void KeepEarly(SessionId id, std::string& text);
  // The socket is ending: a login under way opens no session, and others may have its place. Idempotent.
  void Cancel(SessionId id);
  // The socket is closed, whether or not it became a session. Once for each Accepted.
  void Closed(SessionId id);
  // A session that was opened here has ended. Gives back its room and, if it is the user's current one, its lease.
  void LogOut(SessionId id, const std::string& user_id, uint64_t epoch);

  // Closes sockets whose time to log in is over, counted from Accepted. Call every kTick while `has_timers()`.
  void Advance();
  bool has_timers() const { return !wheel_.empty(); }

 private:
  struct Login : TimerNode {
    SessionId id = 0;
    bool under_way = false;  // From Begin until it is decided.
    bool has_room = false;   // At the admission; passes to the session.
    bool spoke = false;
    bool closing = false;
    std::unique_ptr<Admission::Place> place;
    std::string user_id;
    MonoTime check_began{};  // When its secret went to the store.
    std::vector<std::string> early;
  };

  Login* UnderWay(SessionId id);
  void OnVerdict(SessionId id, Verdict verdict);
  void OnClaimed(SessionId id, const std::string& user_id, const absl::StatusOr<uint64_t>& epoch);
  void Open(SessionId id, uint64_t epoch, bool current);
  void Fail(SessionId id, const CloseReason& reason);
  void FailAsLate(SessionId id);
  void FailAsRevoked(SessionId id, const std::string& user_id);
  void Release(const std::string& user_id, uint64_t epoch);

  // The time, without that in which the loop was paused or busy since the last Advance.
  MonoTime Time() const;
  // Revocations are not remembered for longer than a login may take, by the clock.
  bool IsStale(const Login& login) const;

  const uint32_t loop_;
  const LoginShared& shared_;
  Handler& handler_;
  MonoTime advanced_at_;
  MonoTime time_;  // As of then.
  TimerWheel wheel_;
  // Of sockets that are no sessions, from Accepted to Closed.
  absl::flat_hash_map<SessionId, std::unique_ptr<Login>> logins_;
  absl::flat_hash_map<SessionId, std::string> addresses_;  // Of sessions.
};

}  // namespace toolwire

#endif  // TOOLWIRE_EDGE_LOGIN_H_
