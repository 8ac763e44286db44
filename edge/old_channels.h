// The raw-Redis protocol of the replaced server, for unchanged backends. To the edge it is one more kind of control.
#ifndef TOOLWIRE_EDGE_OLD_CHANNELS_H_
#define TOOLWIRE_EDGE_OLD_CHANNELS_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "common/audit/audit_log.h"
#include "common/base/clock.h"
#include "common/base/counter.h"
#include "common/base/mutex.h"
#include "common/base/timer_wheel.h"
#include "common/base/unanswered_requests.h"
#include "common/link/relay_port.h"
#include "common/wire/old_protocol.h"
#include "common/wire/outcome.h"
#include "common/wire/payload_options.h"
#include "edge/late_answers.h"
#include "edge/owed_answers.h"
#include "edge/session.h"

namespace toolwire {

// Carries serialized toolwire.v1.StrayNotes to every edge. Each edge also listens to `toolwire:strays:{instance}`.
inline constexpr char kStrayNotesChannel[] = "toolwire:strays";

// Turns what is published on `agent:{userId}:commands` into deliveries to this edge's sessions and publishes each
// call's one response on `response:{requestId}`, failures included, so that callers need not wait for their timeout: it
// is owed (OwedAnswers) for as long as they wait. Each call leaves one audit row. The time of a call counts from when
// its command may have come at the earliest; one for which nobody waits any more is not run.
//
// A call whose session is lost after its frame left stays open until its deadline, since the agent may answer through
// its next session, at any edge. Only an answer of the user whose call it is is published, by the edge that has the
// call: the edge that gets an answer to no call of its own sends it to all edges on `kStrayNotesChannel`. All edges
// listen there from their start, since one that began to listen when it lost a session could come too late. An answer
// over `kStrayWholeBytesMax` is only offered there, by the edge that keeps it, until the edge whose call it is fetches
// it; that edge fetches one at a time, as Redis cuts subscribers for which more than 32 MB wait.
//
// An edge that stops leaves a key `toolwire:owed:…` for each call that was sent and not answered. Whichever edge gets
// the answer takes the key and publishes the answer.
//
// Thread-safe. `mu_` guards the state and is never held while the edge, Redis or the audit log is called. Bounded by
// `calls_max` and `calls_bytes_max`, and by LateAnswers and OwedAnswers.
class OldChannels final : public ToControl, public std::enable_shared_from_this<OldChannels> {
 public:
  struct Options {
    Duration call_timeout = std::chrono::seconds(60);  // As long as the backends wait.
    // How long a command waits for the session whose lease has just been made.
    Duration session_wait = std::chrono::seconds(2);
    // More in flight are refused with EDGE_UNAVAILABLE, for the memory they take. Of those that were sent and not
    // answered as many ids are refused meanwhile.
    int calls_max = 20000;
    // Params of these calls. More are refused alike; one call is always taken.
    size_t calls_bytes_max = 256u << 20;
    // Responses that Redis has not acknowledged: one of 16 MiB from each of sixteen agents.
    size_t answers_bytes_max = 256u << 20;
  };
  // What it needs of Redis. Nothing blocks, and nothing calls back before it returns.
  struct Redis {
    std::function<void(const std::string& channel, std::string message)> publish;
    // Publishes what may have been published before under the same name, once.
    using Published = std::function<void(absl::StatusOr<int64_t> receivers)>;
    std::function<void(const std::string& name, const std::string& channel, std::string message, Published done)>
        answer;
    // Sets a key that expires; deletes one, and reports whether it was there.
    std::function<void(const std::string& key, Duration life, std::function<void(const absl::Status&)> done)> set;
    std::function<void(const std::string& key, std::function<void(bool there)> done)> take;
  };
  struct Counters : CounterSet {
    Counter commands{this, "toolwire_edge_old_commands_total", "Messages on agent:{userId}:commands."};
    Counter bad_commands{this, "toolwire_edge_old_commands_bad_total", "Those that were not valid."};
    Counter late_commands{this, "toolwire_edge_old_commands_late_total",
                          "Those for which nobody waited any more when they were read."};
    Counter answered{this, "toolwire_edge_old_calls_answered_total", "Calls of the old channels answered by agents."};
    Counter failed{this, "toolwire_edge_old_calls_failed_total", "Calls of the old channels without an answer."};
    Counter strays_sent{this, "toolwire_edge_old_strays_sent_total",
                        "Answers to no call of this edge, sent or offered to the other edges."};
    Counter strays_matched{this, "toolwire_edge_old_strays_matched_total",
                           "Calls of the old channels whose answer came through another edge."};
    Counter strays_published{this, "toolwire_edge_old_strays_published_total",
                             "Answers published for calls of edges that have stopped."};
    LimitCounter calls_full{this, kEdgeLimitHits, "old_calls"};
    LimitCounter calls_bytes_full{this, kEdgeLimitHits, "old_call_bytes"};
    LimitCounter unanswered_full{this, kEdgeLimitHits, "old_unanswered_requests"};
    LimitCounter late_full{this, kEdgeLimitHits, "old_late_answers"};
  };

  // References outlive this; `audit` may be null.
  OldChannels(const Clock& clock, Redis redis, AuditLog* audit, Options options, PayloadOptions payload);
  ~OldChannels() override;

  // Where deliveries go, and where the answers are that the edge has offered. Set once, before the first command.
  using TakeStray =
      std::function<std::optional<v1::StrayAnswer>(const std::string& user_id, const std::string& request_id)>;
  void SetEdge(std::function<void(v1::ControlFrame&& frame)> to_edge, TakeStray take_stray) {
    to_edge_ = std::move(to_edge);
    take_stray_ = std::move(take_stray);
  }

  // A backend published `message` for the user, whose lease this edge holds, at `born` or later.
  void OnCommand(const std::string& user_id, const std::string& message, MonoTime born);
  // An edge, perhaps this one, published `message` on `kStrayNotesChannel` or on `notes_channel()`.
  void OnStrayNote(const std::string& message);
  std::string notes_channel() const;
  // ToControl: what the edge reports of deliveries and sessions, and its unmatched answers.
  void Send(v1::EdgeFrame&& frame) override;
  // Settles what is overdue. Call every `kTick`.
  void Tick();
  static constexpr Duration kTick = std::chrono::milliseconds(20);
  // Calls of one tick, or of FailAll, for which the lock is held at once.
  static constexpr size_t kAtOnce = 500;
  // Settles every call: the edge is stopping.
  void FailAll();

  // Waits until Redis has all responses, and the keys of what is owed after a stop; true if it has.
  bool WaitAcknowledged(MonoTime until) { return owed_.WaitNone(until) && keys_.WaitNone(until); }

  size_t in_flight() const;
  const OwedAnswers& owed() const { return owed_; }
  void AddSamples(std::vector<Sample>* out) const;
  const Counters& counters() const { return counters_; }

 private:
  // kWaiting: tried again when its session opens, and after pauses that double. kLost: its frame left, its session is
  // gone.
  enum class State { kWaiting, kDelivered, kLost };
  struct Pending;
  // What a locked section decided, carried out after the lock is released.
  class Work;
  using RequestKey = std::pair<std::string_view, std::string_view>;  // user id, request id

  void DeliverLocked(Pending* call, Work* work) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The user's session is open: its calls need not wait.
  void WakeLocked(const std::string& user_id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void AnswerLocked(Pending* call, v1::Answer&& answer, Work* work) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void RefuseLocked(Pending* call, const v1::Refusal& refusal, Work* work) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void StrayLocked(v1::StrayAnswer&& stray, Work* work) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void OfferLocked(const v1::StrayOffer& offer, Work* work) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The edge had offered this answer.
  void OnTaken(v1::StrayAnswer&& stray);
  void LoseLocked(Pending* call, Work* work) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The answer that came through another edge, if one did.
  bool SettleElsewhereLocked(Pending* call, Work* work) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void FetchLocked(Work* work) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Whether an edge that has stopped owed the answer.
  void OnOwed(const v1::StrayAnswer& names, bool owed, bool offered);
  // `sent`: the agent may still answer it. `sentence` empty: the reason's.
  void FailLocked(Pending* call, Reason reason, bool sent, bool publish, Work* work, std::string_view sentence = {})
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void SettleLocked(Pending* call, AuditRow&& row, Work* work) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool HasRoomLocked(const Pending& call) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Pending* FindLocked(uint64_t call_id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The call that this answers, if it was sent: an answer to one that was not is to an earlier call of its id.
  Pending* FindSentLocked(const v1::StrayAnswer& stray) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const Clock& clock_;
  const Redis redis_;
  AuditLog* const audit_;
  const Options options_;
  const PayloadOptions payload_;
  const std::string instance_;
  std::function<void(v1::ControlFrame&&)> to_edge_;
  TakeStray take_stray_;
  Counters counters_;
  OwedAnswers owed_;
  OwedAnswers keys_;  // `toolwire:owed:…`, each with its life in ms, until Redis has it.

  mutable Mutex mu_;
  uint64_t last_call_id_ ABSL_GUARDED_BY(mu_) = 0;
  absl::flat_hash_map<uint64_t, std::unique_ptr<Pending>> calls_ ABSL_GUARDED_BY(mu_);
  size_t calls_bytes_ ABSL_GUARDED_BY(mu_) = 0;                                   // Of their params.
  absl::flat_hash_map<RequestKey, Pending*> by_request_ ABSL_GUARDED_BY(mu_);     // Keys point into the pending calls.
  std::set<std::pair<std::string_view, uint64_t>> waiting_ ABSL_GUARDED_BY(mu_);  // User and number, likewise.
  TimerWheel wheel_ ABSL_GUARDED_BY(mu_);
  UnansweredRequests unanswered_ ABSL_GUARDED_BY(mu_);
  LateAnswers late_ ABSL_GUARDED_BY(mu_);  // Those that everybody got, until Redis has said whether they are owed.
  std::deque<uint64_t> to_fetch_ ABSL_GUARDED_BY(mu_);  // Lost calls whose answers are offered, each once.
  uint64_t fetching_ ABSL_GUARDED_BY(mu_) = 0;          // The one whose answer is on its way; 0: none.
  MonoTime fetching_until_ ABSL_GUARDED_BY(mu_){};
};

}  // namespace toolwire

#endif  // TOOLWIRE_EDGE_OLD_CHANNELS_H_
