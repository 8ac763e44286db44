// Who may come in, and how fast: the limits on sockets and logins, without I/O.
#ifndef TOOLWIRE_EDGE_ADMISSION_H_
#define TOOLWIRE_EDGE_ADMISSION_H_

#include <cstdint>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "common/base/clock.h"
#include "common/base/counter.h"
#include "common/base/mutex.h"

namespace toolwire {

// Thread-safe: the acceptor asks before each accept, the loops report logins and closed sockets. Storms are slowed
// down, not refused: a socket that is not accepted yet waits in the kernel's queue.
class Admission {
 public:
  struct Options {
    int sessions_max = 0;            // Agents logged in. Default: see Validate in edge_options.h.
    int spare_sockets_max = 128;     // Open beside those of `sessions_max`: for health checks and polite refusals.
    int unauthenticated_max = 4096;  // Sockets not logged in yet; at the limit no more are accepted for now.
    int handshakes_per_second_max = 5000;    // Beyond it new sockets wait in the kernel's queue: 10,000 in 2 s.
    int failed_logins_per_minute_max = 600;  // For one address, which may be a whole office's; 0: no limit.
    size_t addresses_max = 10000;            // Addresses remembered for their failed logins.
  };
  struct Counters : CounterSet {
    Counter accepted{this, "toolwire_edge_sockets_accepted_total", "Sockets accepted on the agents' port."};
    Counter accept_errors{this, "toolwire_edge_accept_errors_total",
                          "Accepts that failed for want of files or memory, on both ports, each followed by a pause."};
    LimitCounter sockets_full{this, kEdgeLimitHits, "sockets"};
    LimitCounter sessions_full{this, kEdgeLimitHits, "sessions"};
    LimitCounter unauthenticated_full{this, kEdgeLimitHits, "unauthenticated"};
    LimitCounter paced{this, kEdgeLimitHits, "handshakes_per_second"};
    LimitCounter addresses_rejected{this, kEdgeLimitHits, "failed_logins"};
    LimitCounter addresses_full{this, kEdgeLimitHits, "failed_logins_addresses"};
  };

  explicit Admission(Options options) : options_(options) {}

  // How long to wait before accepting the next socket: zero now, else ask again then.
  Duration AcceptDelay(MonoTime now);
  // A socket was accepted; it is unauthenticated. For each there is exactly one Closed.
  void Accepted(MonoTime now);
  // Asked before a login's secret is checked: whether this edge has room for one more session.
  bool HasRoom();
  // Takes the room of one session, with `beyond` though there is none. For each that was taken there is exactly one
  // GiveRoomBack.
  bool TakeRoom(bool beyond);
  // The login has failed, or its session has ended; the socket may linger.
  void GiveRoomBack();
  // The socket is a session's now, whose room was taken before.
  void LoggedIn();
  void Closed(bool was_logged_in);

  // Whether this address may try to log in, or has failed too often within the last minute.
  bool MayLogIn(const std::string& address, MonoTime now);
  void LoginFailed(const std::string& address, MonoTime now);

  int sockets() const;
  int unauthenticated() const;
  const Counters& counters() const { return counters_; }
  Counters& counters() { return counters_; }

 private:
  struct Failures {
    MonoTime since;
    int count = 0;
  };

  const Options options_;
  Counters counters_;
  mutable Mutex mu_;
  int sockets_ ABSL_GUARDED_BY(mu_) = 0;
  int unauthenticated_ ABSL_GUARDED_BY(mu_) = 0;
  int rooms_taken_ ABSL_GUARDED_BY(mu_) = 0;           // By sessions, and by logins whose secret was right.
  LimitCounter* full_ ABSL_GUARDED_BY(mu_) = nullptr;  // The limit on sockets that accepting waits at.
  double tokens_ ABSL_GUARDED_BY(mu_) = 1;
  MonoTime tokens_at_ ABSL_GUARDED_BY(mu_) = {};
  absl::flat_hash_map<std::string, Failures> failures_ ABSL_GUARDED_BY(mu_);
};

}  // namespace toolwire

#endif  // TOOLWIRE_EDGE_ADMISSION_H_
