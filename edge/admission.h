// Who may come in, and how fast: the limits on sockets and logins, without I/O.
#ifndef TOOLWIRE_EDGE_ADMISSION_H_
#define TOOLWIRE_EDGE_ADMISSION_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "common/base/by_address.h"
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
    // Sockets that are closing and never were sessions: 5,000 refusals in a second take so many over a line of 200 ms.
    // An address may be a whole office's here, too.
    size_t closing_max = 1024;
    size_t closing_per_address_max = 256;
  };
  struct Counters : CounterSet {
    Counter accepted{this, "toolwire_edge_sockets_accepted_total", "Sockets accepted on the agents' port."};
    Counter accept_errors{this, "toolwire_edge_accept_errors_total",
                          "Accepts that failed for want of files or memory, on both ports, each followed by a pause."};
    LimitCounter sockets_full{this, kEdgeLimitHits, "sockets"};
    LimitCounter sessions_full{this, kEdgeLimitHits, "sessions"};
    LimitCounter unauthenticated_full{this, kEdgeLimitHits, "unauthenticated"};
    LimitCounter silent_closed{this, kEdgeLimitHits, "silent_sockets"};
    LimitCounter closing_cut{this, kEdgeLimitHits, "closing_sockets"};
    LimitCounter paced{this, kEdgeLimitHits, "handshakes_per_second"};
    LimitCounter addresses_rejected{this, kEdgeLimitHits, "failed_logins"};
    LimitCounter addresses_full{this, kEdgeLimitHits, "failed_logins_addresses"};
  };

  // One socket, while it is no session: from Accepted, or SessionEnded, until this is destroyed. Any thread.
  class Place : public ByAddress<Place>::Member {
   public:
    Place(Admission& admission, uint64_t id, std::string address, MonoTime at)
        : id(id), address(std::move(address)), key(AddressKey(this->address)), accepted_at(at), admission_(admission) {}
    ~Place();
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;

    const uint64_t id;
    const std::string address;
    const std::string key;  // As of AddressKey.
    const MonoTime accepted_at;

   private:
    friend class Admission;
    enum class State {
      kNone,
      kSilent,
      kSpoke,    // It has sent a request, and may log in.
      kClosing,  // It never was a session.
      kEnding,   // It was one.
      kLeaving,  // It was asked to make room.
    };
    Admission& admission_;
    State state_ = State::kNone;  // Guarded by the admission's lock.
  };

  // Asks a socket to make room: one that `is_closing` by a reset, a silent one by a close, unless it has been heard of
  // meanwhile. Any thread; must not block.
  using MakeRoom = std::function<void(uint64_t id, bool is_closing)>;
  explicit Admission(Options options, MakeRoom make_room = {}) : options_(options), make_room_(std::move(make_room)) {}

  // How long to wait before accepting the next socket: zero now, else ask again then. When all is full, one that is
  // closing, or has been silent for a second, has to make room for it: the oldest of the address that has most.
  Duration AcceptDelay(MonoTime now);
  // A socket was accepted; it is unauthenticated until it closes or becomes a session, and silent. If its address has
  // too many such, the oldest of them have to close. For each there is exactly one Closed.
  std::unique_ptr<Place> Accepted(uint64_t id, std::string address, MonoTime now);
  // The socket has sent its request: it need not make room any more.
  void Spoke(Place* place);
  // Its close has begun, which may take seconds: others may log in now. If too many are closing, the oldest is reset.
  void Closing(Place* place);
  // The socket that was to close has something unread: it stays, as the newest of the silent ones.
  void Keep(Place* place);
  // Asked before a login's secret is checked: whether this edge has room for one more session.
  bool HasRoom();
  // Takes the room of one session, with `beyond` though there is none. For each that was taken there is exactly one
  // GiveRoomBack or SessionEnded.
  bool TakeRoom(bool beyond);
  // The login has failed.
  void GiveRoomBack();
  // The session has ended, and gives its room back; its socket is closing.
  std::unique_ptr<Place> SessionEnded(uint64_t id, std::string address);
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
  using State = Place::State;
  void Move(Place* place, State to) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  ByAddress<Place>* QueueOf(State state) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  size_t silent_max() const;  // Of one address.
  static bool IsSilentForLong(const Place& place, MonoTime now) { return now - place.accepted_at >= kSilentGrace; }
  Place* FirstSilent(MonoTime now) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Duration PaceDelay(MonoTime now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Who has been silent for so long makes room: longer than a request is under way, also from afar or in a storm.
  static constexpr Duration kSilentGrace = std::chrono::seconds(1);
  struct Failures {
    MonoTime since;
    int count = 0;
    std::list<std::string>::iterator place;  // In failed_last_.
  };
  void Touch(const Failures& failures) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    failed_last_.splice(failed_last_.end(), failed_last_, failures.place);
  }

  const Options options_;
  const MakeRoom make_room_;
  Counters counters_;
  mutable Mutex mu_;
  int sockets_ ABSL_GUARDED_BY(mu_) = 0;
  int unauthenticated_ ABSL_GUARDED_BY(mu_) = 0;
  int leaving_ ABSL_GUARDED_BY(mu_) = 0;
  ByAddress<Place> silent_ ABSL_GUARDED_BY(mu_), closing_ ABSL_GUARDED_BY(mu_), ending_ ABSL_GUARDED_BY(mu_);
  int rooms_taken_ ABSL_GUARDED_BY(mu_) = 0;           // By sessions, and by logins whose secret was right.
  LimitCounter* full_ ABSL_GUARDED_BY(mu_) = nullptr;  // The limit on sockets that accepting waits at.
  double tokens_ ABSL_GUARDED_BY(mu_) = 1;
  MonoTime tokens_at_ ABSL_GUARDED_BY(mu_) = {};
  absl::flat_hash_map<std::string, Failures> failures_ ABSL_GUARDED_BY(mu_);  // By AddressKey.
  std::list<std::string> failed_last_ ABSL_GUARDED_BY(mu_);                   // Their keys; who failed last is last.
};

}  // namespace toolwire

#endif  // TOOLWIRE_EDGE_ADMISSION_H_
