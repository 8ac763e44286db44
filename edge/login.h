// A login, from the accepted socket to the open session, without I/O: upgrade requests, verdicts, claims and the time
// go in; sessions to open and sockets to close come out.
#ifndef TOOLWIRE_EDGE_LOGIN_H_
#define TOOLWIRE_EDGE_LOGIN_H_

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/base/summed_line.h"
#include "common/base/timer_wheel.h"
#include "common/registry/registry.h"
#include "edge/admission.h"
#include "edge/authenticator.h"
#include "edge/client_address.h"
#include "edge/close_reason.h"
#include "edge/login_limits.h"
#include "edge/proxy_protocol.h"
#include "edge/revocations.h"
#include "edge/session.h"
#include "edge/user_directory.h"

namespace toolwire {

// What the logins of all loops of one edge share. No pointer is null; everything outlives the loops and is safe to use
// from any thread.
struct LoginShared {
  std::string server_id;
  Duration login_timeout{};
  TrustedProxies trusted_proxies;
  const Clock* clock = nullptr;
  Registry* registry = nullptr;
  Authenticator* authenticator = nullptr;
  Admission* admission = nullptr;
  LoginLimits* login_limits = nullptr;
  UserDirectory* directory = nullptr;
  Revocations* revocations = nullptr;
  EdgeCounters* counters = nullptr;
  ProxyHeaderCounters* proxy_headers = nullptr;
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
  // reads no more bytes of them until then; what is more waits in the kernel. All sockets that may be there together,
  // 4,096, so hold 256 MiB at most while the store stands still.
  static constexpr size_t kEarlyFramesMax = 256;
  static constexpr size_t kEarlyBytesMax = 64u << 10;

  // What the loop does for its logins.
  class Handler {
   public:
    // Runs `task` on the loop's thread. Any thread.
    virtual void Post(std::function<void()> task) = 0;
    // The login has failed, or its session was replaced before it opened: then OpenSession was called just before. The
    // loop may call Cancel, LogOut and Closed inside.
    virtual void CloseSocket(SessionId id, const CloseReason& reason) = 0;
    // The login is a session from now on. `secret` is what it was opened with; `early`: the frames that have come
    // meanwhile.
    virtual void OpenSession(SessionId id, const std::string& user_id, uint64_t epoch, const SecretDigest& secret,
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
  // Its peer is a trusted proxy, which has named this client by the PROXY protocol; empty: nobody but itself; nullopt:
  // there was no header, so that it may be a health check, and no login.
  void Named(SessionId id, const std::optional<std::string>& client);
  // True, and counted, if it may not ask for anything else because there was no header.
  bool RefusesUnnamed(SessionId id);
  // It has sent a complete request, whether a login or another, in which proxies name `proxied` as the client.
  void Spoke(SessionId id, const std::string& proxied);
  // Where its peer is, or the peer of the trusted proxies that it came through.
  std::string AddressOf(SessionId id) const;
  // It became a WebSocket with this request.
  void Begin(SessionId id, const std::string& target, const std::string& authorization);
  // A frame came before the login was decided. Takes it, unless there is no login under way.
  void KeepEarly(SessionId id, std::string& text);
  // The socket is ending: a login under way opens no session, and others may have its place. Idempotent.
  void Cancel(SessionId id);
  // The socket is closed, whether or not it became a session. Once for each Accepted.
  void Closed(SessionId id);
  // A session that was opened here has ended. Gives back its room and, if it is the user's current one and no login of
  // the user is under way, the lease.
  void LogOut(SessionId id, const std::string& user_id, uint64_t epoch);

  // Closes sockets whose time to log in is over, counted from Accepted. Call every kTick while `has_timers()`.
  void Advance();
  bool has_timers() const { return !wheel_.empty(); }

 private:
  struct Login : TimerNode {
    SessionId id = 0;
    bool under_way = false;  // From Begin until it is decided.
    bool has_room = false;   // At the admission; passes to the session.
    enum class From {
      kClient,   // Or a proxy whose request may name one.
      kProxy,    // Which has named nobody: others wrote what its request says of a client.
      kUnnamed,  // A proxy that should have sent a header.
    };
    From from = From::kClient;
    bool spoke = false;
    bool over_share = false;  // Of its address too many logins are under way.
    bool closing = false;
    std::unique_ptr<Admission::Place> place;
    MonoTime came{};  // When the socket was accepted.
    std::string user_id;
    MonoTime check_began{};                               // When its secret went to the store.
    std::shared_ptr<std::atomic<bool>> claim_taken_back;  // Null until the lease is claimed.
    SecretDigest secret{};
    std::vector<std::string> early;
  };

  Login* UnderWay(SessionId id);
  static LoginLimits::Attempt AttemptOf(const Login& login) {
    return {login.place->address(), login.user_id, login.secret};
  }
  // Writes "login refused", some of them each second.
  void LogRefused(const Login& login, const char* why);
  void LogLate(const Login& login);
  void CountWrong(const Login& login);
  void OnVerdict(SessionId id, Verdict verdict);
  void OnClaimed(SessionId id, const std::string& user_id, const absl::StatusOr<uint64_t>& epoch);
  void Open(SessionId id, uint64_t epoch, bool current);
  void Fail(SessionId id, const CloseReason& reason);
  void FailAsLate(SessionId id);
  void FailAsRevoked(const Login& login);
  void Claim(SessionId id, Login* login);
  // `epoch` as UserPlace gives it out; 0: nothing.
  void Release(const std::string& user_id, uint64_t epoch);

  // The time, without that in which the loop was paused or busy since the last Advance.
  MonoTime Time() const;
  // Revocations are not remembered for longer than a login may take, by the clock.
  bool IsStale(const Login& login) const;

  const uint32_t loop_;
  const LoginShared& shared_;
  Handler& handler_;
  SummedLine refused_line_{std::chrono::seconds(1), /*at_once=*/10};
  SummedLine late_line_{std::chrono::seconds(1), /*at_once=*/10};
  SummedLine wait_line_{std::chrono::seconds(1)}, share_line_{std::chrono::seconds(1)};
  SummedLine unnamed_line_{std::chrono::minutes(1)};  // Health checks come again every few seconds.
  MonoTime advanced_at_;
  MonoTime time_;  // As of then.
  TimerWheel wheel_;
  // Of sockets that are no sessions, from Accepted to Closed.
  absl::flat_hash_map<SessionId, std::unique_ptr<Login>> logins_;
  absl::flat_hash_map<SessionId, std::string> addresses_;  // Of sessions.
};

}  // namespace toolwire

#endif  // TOOLWIRE_EDGE_LOGIN_H_
