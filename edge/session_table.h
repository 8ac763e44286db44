// DEEP: the sessions of one loop and everything that happens to them. Still no I/O.
#ifndef TOOLWIRE_EDGE_SESSION_TABLE_H_
#define TOOLWIRE_EDGE_SESSION_TABLE_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "common/base/clock.h"
#include "common/base/timer_wheel.h"
#include "common/wire/wire_codec.h"
#include "edge/session.h"

namespace toolwire {

// Loop thread only. After each event the loop takes what came of it: frames for controls from `batches()`, sessions
// with frames to write from `writable()`, sessions to close from `closing()`; and clears all three.
class SessionTable {
 public:
  // How exactly deadlines of calls are kept, and how long one turn of the wheel is (4,096 ticks).
  static constexpr Duration kTick = std::chrono::milliseconds(8);
  // What concerns all calls or all sessions is done for so many at once, and for so many that close: each takes the
  // loop half a millisecond.
  static constexpr size_t kAtOnce = 1000;
  static constexpr size_t kClosesAtOnce = 50;

  // How long ago bytes of the session's agent came, read or not. Asked of those that sent no whole frame in time.
  using SinceHeard = std::function<Duration(SessionId id)>;

  // The references outlive the table.
  SessionTable(const Clock& clock, const SessionLimits& limits, EdgeCounters& counters, std::string server_id,
               SinceHeard since_heard);
  ~SessionTable();

  // The socket of an authenticated agent: queues `connected`. `id` is unique in the edge.
  void Open(SessionId id, const std::string& user_id, uint64_t epoch, const SecretDigest& secret = {});
  // Runs `event(session, context)` and notes what it left to do. False, and nothing happens, if there is no such
  // session.
  template <typename Event>
  bool At(SessionId id, Event event) {
    auto found = sessions_.find(id);
    if (found == sessions_.end()) return false;
    event(found->second->session, ContextNow());
    After(found->second.get());
    return true;
  }
  bool Receive(SessionId id, std::string_view text) {
    return At(id, [&](Session& session, const Session::Context& context) { session.Receive(text, context); });
  }
  // The same, decoded already.
  bool Receive(SessionId id, std::string_view text, AgentFrame* frame) {
    return At(id, [&](Session& session, const Session::Context& context) { session.Receive(text, frame, context); });
  }
  // The socket is gone, whichever side closed it. With `answers_lost` an answer broke a limit, or the edge is stopping;
  // `replaced`: a newer session of the user is here or elsewhere.
  void Close(SessionId id, bool answers_lost, bool replaced = false);

  void Deliver(SessionId id, LinkId link, v1::Deliver&& deliver);
  void Cancel(LinkId link, uint64_t call_id);
  // The same for many, by Advance.
  void CancelLater(LinkId link, const std::vector<uint64_t>& call_ids);
  // The link's calls are dropped: the first kAtOnce now, the others by Advance.
  void LinkDown(LinkId link);
  // Reports every session to a new link, kAtOnce in a call: `ids` are SessionIds() at first, then those that are left.
  void Snapshot(LinkId link, std::vector<SessionId>* ids);
  std::vector<SessionId> SessionIds() const;

  // Settles overdue and cancelled calls and finds silent agents. Call every kTick while `has_timers()`, otherwise every
  // second. False: there is more to do, by another call once other events have had their turn.
  bool Advance();
  bool has_timers() const { return !call_wheel_.empty(); }

  bool NextFrame(SessionId id, std::string* text);
  bool HasFrames(SessionId id) const;
  // Null if there is no such session.
  const Session* Find(SessionId id) const;
  const WireDecoder& decoder() const { return decoder_; }

  LinkBatches& batches() { return batches_; }
  std::vector<SessionId>& writable() { return writable_; }
  std::deque<std::pair<SessionId, CloseReason>>& closing() { return closing_; }
  // Of these, those to close now: the fewer, the more calls they have. The rest is for another call once other events
  // have had their turn.
  std::vector<std::pair<SessionId, CloseReason>> TakeClosing();

  // The sessions whose leases are due, as `visit(user_id, epoch)`: those that sent a heartbeat since the last call.
  template <typename Visit>
  void TakeHeartbeats(Visit visit) {
    const MonoTime now = clock_.Now();
    for (const SessionId id : heartbeats_) {
      auto found = sessions_.find(id);
      if (found != sessions_.end()) Refresh(found->second.get(), now, visit);
    }
    heartbeats_.clear();
  }
  bool has_heartbeats() const { return !heartbeats_.empty(); }
  // Those that were not refreshed since `since`: agents may live by other frames than heartbeats.
  template <typename Visit>
  void TakeUnrefreshed(MonoTime since, Visit visit) {
    const MonoTime now = clock_.Now();
    for (const auto& [id, entry] : sessions_) {
      if (entry->refreshed_at <= since) Refresh(entry.get(), now, visit);
    }
  }
  size_t size() const { return sessions_.size(); }
  size_t calls() const { return calls_.size(); }

 private:
  // A session and its heartbeat timer.
  struct Entry : TimerNode {
    Entry(SessionId id, const std::string& user_id, uint64_t epoch, MonoTime now, int64_t wall_ms,
          const SecretDigest& secret)
        : session(id, user_id, epoch, now, wall_ms, secret), refreshed_at(now) {}
    Session session;
    MonoTime refreshed_at;  // When its lease was last extended.
    bool close_announced = false;
  };

  // Once at a time, however many heartbeats an agent sends.
  template <typename Visit>
  static void Refresh(Entry* entry, MonoTime now, Visit visit) {
    if (std::exchange(entry->refreshed_at, now) != now) visit(entry->session.user_id(), entry->session.epoch());
  }

  Session::Context ContextNow();
  // Notes what an event left to do for the loop.
  void After(Entry* entry);
  // The same after a call ended without an answer, which closes no session.
  void NoteWritable(const Session& session);
  // Drops calls of links that are down, kAtOnce.
  void DropOrphans();
  // Cancels calls that are to be, kAtOnce.
  void CancelSome();

  const Clock& clock_;
  const SessionLimits& limits_;
  EdgeCounters& counters_;
  const std::string server_id_;
  const SinceHeard since_heard_;
  WireDecoder decoder_;
  TimerWheel call_wheel_;
  UnansweredRequests unanswered_;
  TimerWheel heartbeat_wheel_;
  LinkBatches batches_;
  std::vector<SessionId> heartbeats_;
  std::vector<SessionId> writable_;
  std::deque<std::pair<SessionId, CloseReason>> closing_;
  absl::flat_hash_map<std::pair<LinkId, uint64_t>, SessionCall*> calls_;
  std::deque<std::pair<LinkId, uint64_t>> cancels_;   // Calls to cancel; some may have ended since.
  std::vector<LinkId> links_down_;                    // Those of the orphans.
  std::vector<std::pair<LinkId, uint64_t>> orphans_;  // Calls to drop; some may have ended since.
  absl::flat_hash_map<SessionId, std::unique_ptr<Entry>> sessions_;
};

}  // namespace toolwire

#endif  // TOOLWIRE_EDGE_SESSION_TABLE_H_
