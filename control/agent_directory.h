// Who is connected where, as the edges report it: the route cache, and the answer to GetAgent, ListAgents, WatchAgents.
#ifndef TOOLWIRE_CONTROL_AGENT_DIRECTORY_H_
#define TOOLWIRE_CONTROL_AGENT_DIRECTORY_H_

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "control/user_bound.h"
#include "toolwire/v1/dispatch.pb.h"
#include "toolwire/v1/relay.pb.h"

namespace toolwire {

// What is known of one user's live session.
struct Presence {
  std::string edge_id;
  uint64_t epoch = 0;
  int64_t connected_at_ms = 0;  // Unix time in milliseconds.
};

// Fed by the edges' session events. Of two events about one user the greater epoch wins, in whatever order they
// come, so that a late disconnect never hides a newer session. Bounded by the agents that are connected.
//
// Thread-safe. Watchers are called with the directory's lock held, in the order of the changes: they only queue.
class AgentDirectory {
 public:
  // The bytes of a WatchAgentsResponse with some events, shared by all watchers that get them. Such bytes one after the
  // other are one message.
  using WatchBytes = std::shared_ptr<const std::string>;
  using Watcher = std::function<void(const WatchBytes& events)>;

  // Agents of one step of a watcher's snapshot: some 90 KB, and a lock for a third of a millisecond. Of what edges
  // report, too, where each watcher that is notified counts as one more.
  static constexpr size_t kSnapshotStep = 1000;

  // How long an agent that is moving may be on its way before it counts as gone.
  static constexpr Duration kMoveMax = std::chrono::seconds(5);

  // Applies the events of one frame from `edge_id`, in order. An agent whose session was replaced elsewhere is moving:
  // no longer to be called there, still connected, until the event of the other edge comes.
  void Apply(const std::string& edge_id, const google::protobuf::RepeatedPtrField<v1::SessionEvent>& events,
             MonoTime now = {});
  // Forgets agents that have been moving for too long. Call now and then.
  void Expire(MonoTime now);
  // A link to the edge is up and its snapshot will follow: what was known of it is marked, and forgotten at the
  // snapshot's end unless it was named again. Later links have greater numbers.
  void BeginSnapshot(const std::string& edge_id, uint64_t link_number);
  // The link is gone: so are the edge's sessions, unless a later link to it has begun.
  void RemoveEdge(const std::string& edge_id, uint64_t link_number);
  // The edge answered that it does not have this session: forget it, unless something newer is known.
  void Forget(const std::string& user_id, const std::string& edge_id, uint64_t epoch);

  // Until the edge's next snapshot has ended, or Settle is called, no watcher's snapshot is complete: a control that
  // has just started knows no agent, which does not mean that none is connected. Any name may stand for what is
  // awaited.
  void Await(const std::string& edge_id);
  void Settle(const std::string& edge_id);

  std::optional<Presence> Find(const std::string& user_id) const;
  // Up to `limit` agents with a user id after `after`, in order; of one edge if `edge_id` is not empty.
  std::vector<v1::Agent> List(const std::string& after, size_t limit, const std::string& edge_id = {},
                              const UserBound& bound = {}) const;
  size_t size() const;
  size_t size_of(const std::string& edge_id) const;

  // `Continue` reports what is connected, in the order of user ids, and at its end SNAPSHOT_COMPLETE, or by itself
  // later if edges are awaited. Changes of users that were reported follow at once, until `Unwatch` returns. Empty
  // `users` means everyone within `bound`.
  uint64_t Watch(std::set<std::string> users, Watcher watcher, UserBound bound = {});
  // A watcher of the users that `Follow` names.
  uint64_t WatchNamed(Watcher watcher);
  // What a watcher of named users follows.
  struct Followed {
    size_t users = 0;
    size_t bytes = 0;  // Of their ids.
  };
  // Reports each of these users, CONNECTED or DISCONNECTED: at once, or as soon as every edge that is awaited has
  // reported. Then changes follow until `Unfollow` returns. A user that is followed already is reported again. At most
  // kSnapshotStep at a time. False if more than `users_max` would be followed: the rest is not.
  bool Follow(uint64_t watch_id, const std::vector<std::string>& users, size_t users_max, Followed* followed);
  void Unfollow(uint64_t watch_id, const std::vector<std::string>& users, Followed* followed);
  // Whether a user that it follows was never reported, as an edge that is awaited may have the agent.
  bool OwesReport(uint64_t watch_id) const;
  // The next step of the watcher's snapshot, for which it has room now. So an unread snapshot takes no memory. True:
  // it is complete.
  bool Continue(uint64_t watch_id);
  void Unwatch(uint64_t watch_id);

 private:
  struct Entry {
    Presence presence;
    uint64_t named_in = 0;  // The snapshot of its edge that was the last when it was reported.
    bool moving = false;    // Left its edge for another, which has not reported it yet.
  };
  struct Watch_ {
    std::set<std::string> users;
    UserBound bound;
    Watcher watcher;
    std::string reported_to;  // The last user id of the snapshot so far.
    bool complete = false;    // All were reported; changes of all users follow.
    bool is_said = false;     // That it is complete.
    // Of a watcher of named users: those that were not reported yet, and the bytes of all names.
    absl::flat_hash_set<std::string> unsaid;
    size_t name_bytes = 0;
  };
  using Agents = std::map<std::string, Entry>;  // Ordered, for paging.
  using Watches = absl::flat_hash_set<Watch_*>;
  struct Edge {
    uint64_t link = 0;       // The newest to it.
    uint64_t snapshots = 0;  // Begun. Agents named in an earlier one go when this one ends.
    std::map<std::string_view, Agents::iterator> agents;
  };

  // Makes room in the lock for those who wait for it: the thread that has just released it would get it before them.
  void LetOthersIn() const ABSL_LOCKS_EXCLUDED(mu_);
  void ApplyLocked(const std::string& edge_id, const v1::SessionEvent& event, MonoTime now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Forgets agents of the edge that were named in no snapshot after the `last` one, by and by. Stops if a link after
  // `link_number` begins.
  void ForgetNamedUntil(const std::string& edge_id, uint64_t last, uint64_t link_number) ABSL_LOCKS_EXCLUDED(mu_);
  void ConnectedLocked(const std::string& edge_id, const v1::SessionEvent& event) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void RemoveLocked(Agents::iterator it) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // No edge is awaited any more: says so to those who wait for that, by and by.
  void SayComplete() ABSL_LOCKS_EXCLUDED(mu_);
  // Those who watch everyone, or everyone whose id begins with some text.
  void IndexLocked(Watch_* watch) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void UnindexLocked(Watch_* watch) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void NotifyLocked(v1::WatchAgentsResponse::Kind kind, const std::string& user_id, const Presence& presence)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  mutable std::atomic<int> waiting_{0};  // Threads that wait for mu_ to find an agent.
  mutable Mutex mu_;
  uint64_t work_ ABSL_GUARDED_BY(mu_) = 0;  // Agents that were looked at and watchers notified.
  Agents agents_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<std::string, Agents::iterator> index_ ABSL_GUARDED_BY(mu_);  // For the call path.
  absl::flat_hash_map<std::string, Edge> edges_ ABSL_GUARDED_BY(mu_);
  std::set<std::string> awaited_ ABSL_GUARDED_BY(mu_);
  std::map<uint64_t, Watch_> watches_ ABSL_GUARDED_BY(mu_);
  Watches watches_of_all_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<std::string, Watches> watches_of_user_ ABSL_GUARDED_BY(mu_);
  // By the text of their bounds; and how many texts there are of each length.
  absl::flat_hash_map<std::string, Watches> watches_of_prefix_ ABSL_GUARDED_BY(mu_);
  std::map<size_t, size_t> prefix_sizes_ ABSL_GUARDED_BY(mu_);
  struct Move {
    MonoTime since;
    std::string user_id;
    uint64_t epoch = 0;
  };
  std::deque<Move> moves_ ABSL_GUARDED_BY(mu_);  // In the order of their times.
  uint64_t last_watch_id_ ABSL_GUARDED_BY(mu_) = 0;
};

// The public form of what is known of a user.
v1::Agent ToAgent(const std::string& user_id, const std::optional<Presence>& presence);

}  // namespace toolwire

#endif  // TOOLWIRE_CONTROL_AGENT_DIRECTORY_H_
