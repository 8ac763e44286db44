// Who may come in, and how fast: the limits on sockets and logins, without I/O.
#ifndef TOOLWIRE_EDGE_ADMISSION_H_
#define TOOLWIRE_EDGE_ADMISSION_H_

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/node_hash_map.h"
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
    // Of those, sockets of one address that have sent nothing for a second: room for a storm from behind one NAT. At
    // most a quarter of `unauthenticated_max`.
    int silent_per_address_max = 1024;
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
    LimitCounter silent_closed{this, kEdgeLimitHits, "silent_sockets"};
    LimitCounter paced{this, kEdgeLimitHits, "handshakes_per_second"};
    LimitCounter addresses_rejected{this, kEdgeLimitHits, "failed_logins"};
    LimitCounter addresses_full{this, kEdgeLimitHits, "failed_logins_addresses"};
  };

  struct Share;
  // One socket among those that are not logged in, from Accepted until this is destroyed. Any thread.
  class Place {
   public:
    Place(Admission& admission, uint64_t id, std::string address, MonoTime at)
        : id(id), address(std::move(address)), accepted_at(at), admission_(admission) {}
    ~Place();
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;

    const uint64_t id;
    const std::string address;
    const MonoTime accepted_at;

   private:
    friend class Admission;
    Admission& admission_;
    // Guarded by the admission's lock. While the socket is silent it is in both lists; `share` is null when it is not.
    Share* share_ = nullptr;
    std::list<Place*>::iterator in_all_, in_share_;
  };
  // The silent sockets of one address, the oldest first.
  struct Share {
    std::string address;
    std::list<Place*> silent;
  };

  // Has a socket closed that is to make room, unless it has been heard of meanwhile. Any thread; must not block.
  using CloseSilent = std::function<void(uint64_t id)>;
  explicit Admission(Options options, CloseSilent close_silent = {})
      : options_(options), close_silent_(std::move(close_silent)) {}

  // How long to wait before accepting the next socket: zero now, else ask again then. When all is full, the oldest
  // sockets that have been silent for a second have to close.
  Duration AcceptDelay(MonoTime now);
  // A socket was accepted; it is unauthenticated for as long as it has its place, and silent. If its address has too
  // many such, the oldest of them have to close. For each there is exactly one Closed.
  std::unique_ptr<Place> Accepted(uint64_t id, std::string address, MonoTime now);
  // The socket has sent its request: it need not make room any more.
  void Spoke(Place* place);
  // The socket that was to close has something unread: it stays, as the newest of the silent ones.
  void Keep(Place* place);
  // Asked before a login's secret is checked: whether this edge has room for one more session.
  bool HasRoom();
  // Takes the room of one session, with `beyond` though there is none. For each that was taken there is exactly one
  // GiveRoomBack.
  bool TakeRoom(bool beyond);
  // The login has failed, or its session has ended; the socket may linger.
  void GiveRoomBack();
  // The descriptor is closed.
  void Closed();

  // Whether this address may try to log in, or has failed too often within the last minute.
  bool MayLogIn(const std::string& address, MonoTime now);
  void LoginFailed(const std::string& address, MonoTime now);

  int sockets() const;
  int unauthenticated() const;
  const Counters& counters() const { return counters_; }
  Counters& counters() { return counters_; }

 private:
  void MarkSilent(Place* place) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Adds to `ids` those of `silent`, the oldest first, that have to close so that `left` are left.
  void TakeSilent(const std::list<Place*>& silent, size_t left, MonoTime now, std::vector<uint64_t>* ids)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void UnmarkSilent(Place* place) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  struct Failures {
    MonoTime since;
    int count = 0;
    std::list<std::string>::iterator place;  // In failed_last_.
  };
  void Touch(const Failures& failures) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    failed_last_.splice(failed_last_.end(), failed_last_, failures.place);
  }

  const Options options_;
  const CloseSilent close_silent_;
  Counters counters_;
  mutable Mutex mu_;
  int sockets_ ABSL_GUARDED_BY(mu_) = 0;
  int unauthenticated_ ABSL_GUARDED_BY(mu_) = 0;
  std::list<Place*> silent_ ABSL_GUARDED_BY(mu_);                        // Of all addresses, the oldest first.
  absl::node_hash_map<std::string, Share> shares_ ABSL_GUARDED_BY(mu_);  // By AddressKey; none is empty.
  int rooms_taken_ ABSL_GUARDED_BY(mu_) = 0;           // By sessions, and by logins whose secret was right.
  LimitCounter* full_ ABSL_GUARDED_BY(mu_) = nullptr;  // The limit on sockets that accepting waits at.
  double tokens_ ABSL_GUARDED_BY(mu_) = 1;
  MonoTime tokens_at_ ABSL_GUARDED_BY(mu_) = {};
  absl::flat_hash_map<std::string, Failures> failures_ ABSL_GUARDED_BY(mu_);  // By AddressKey.
  std::list<std::string> failed_last_ ABSL_GUARDED_BY(mu_);                   // Their keys; who failed last is last.
};

}  // namespace toolwire

#endif  // TOOLWIRE_EDGE_ADMISSION_H_
