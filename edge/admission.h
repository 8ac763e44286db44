// Who may come in, and how fast: the limits on sockets and logins, without I/O.
#ifndef TOOLWIRE_EDGE_ADMISSION_H_
#define TOOLWIRE_EDGE_ADMISSION_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

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
    // Of those, logins under way of one address: room for a storm from behind one NAT, and a quarter of the places for
    // all others, of which each needs one for milliseconds. At most three quarters of `unauthenticated_max`.
    int logins_per_address_max = 3072;
    int handshakes_per_second_max = 5000;  // Beyond it new sockets wait in the kernel's queue: 10,000 in 2 s.
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
    LimitCounter address_logins_full{this, kEdgeLimitHits, "address_logins"};
  };

  // One socket, while it is no session: from Accepted, or SessionEnded, until this is destroyed. Any thread.
  class Place : public ByAddress<Place>::Member {
   public:
    Place(Admission& admission, uint64_t id, std::string address, MonoTime at)
        : id(id), accepted_at(at), admission_(admission), address_(std::move(address)), key_(AddressKey(address_)) {}
    ~Place();
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;

    // Of the socket's peer, or of the client as Spoke was told. By whoever calls Spoke.
    const std::string& address() const { return address_; }

    const uint64_t id;
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
    std::string address_;
    // Guarded by the admission's lock. The key, as of AddressKey, changes only in a state without a queue.
    std::string key_;
    State state_ = State::kNone;
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
  // Its peer is a proxy, which has named this client: it counts as the client's, and goes on being silent.
  void Named(Place* place, std::string client, MonoTime now);
  // The socket has sent its request, for a client at this address: it need not make room any more. False: of this
  // address there are too many such.
  bool Spoke(Place* place, std::string address);
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

  int sockets() const;
  int unauthenticated() const;
  const Counters& counters() const { return counters_; }
  Counters& counters() { return counters_; }

 private:
  using State = Place::State;
  void Move(Place* place, State to) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  ByAddress<Place>* QueueOf(State state) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Of one address.
  size_t silent_max() const;
  size_t logins_max() const;
  static bool IsSilentForLong(const Place& place, MonoTime now) { return now - place.accepted_at >= kSilentGrace; }
  Place* FirstSilent(MonoTime now) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Those that have to leave after this one became silent.
  std::vector<uint64_t> OverShareOf(const Place& place, MonoTime now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  static void Readdress(Place* place, std::string address);
  Duration PaceDelay(MonoTime now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Who has been silent for so long makes room: longer than a request is under way, also from afar or in a storm.
  static constexpr Duration kSilentGrace = std::chrono::seconds(1);

  const Options options_;
  const MakeRoom make_room_;
  Counters counters_;
  mutable Mutex mu_;
  int sockets_ ABSL_GUARDED_BY(mu_) = 0;
  int unauthenticated_ ABSL_GUARDED_BY(mu_) = 0;
  int leaving_ ABSL_GUARDED_BY(mu_) = 0;
  ByAddress<Place> silent_ ABSL_GUARDED_BY(mu_), spoken_ ABSL_GUARDED_BY(mu_);
  ByAddress<Place> closing_ ABSL_GUARDED_BY(mu_), ending_ ABSL_GUARDED_BY(mu_);
  int rooms_taken_ ABSL_GUARDED_BY(mu_) = 0;           // By sessions, and by logins whose secret was right.
  LimitCounter* full_ ABSL_GUARDED_BY(mu_) = nullptr;  // The limit on sockets that accepting waits at.
  double tokens_ ABSL_GUARDED_BY(mu_) = 1;
  MonoTime tokens_at_ ABSL_GUARDED_BY(mu_) = {};
};

}  // namespace toolwire

#endif  // TOOLWIRE_EDGE_ADMISSION_H_
