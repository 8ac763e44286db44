// DEEP: a call's life inside control: find the agent's edge, deliver, wait, settle exactly once.
#ifndef TOOLWIRE_CONTROL_DISPATCHER_H_
#define TOOLWIRE_CONTROL_DISPATCHER_H_

#include <atomic>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "common/audit/audit_log.h"
#include "common/audit/call_record.h"
#include "common/base/clock.h"
#include "common/base/counter.h"
#include "common/base/linked_list.h"
#include "common/base/mutex.h"
#include "common/base/timer_wheel.h"
#include "common/base/unanswered_requests.h"
#include "common/link/relay_port.h"
#include "common/registry/registry.h"
#include "common/store/secret.h"
#include "common/wire/outcome.h"
#include "control/agent_directory.h"
#include "control/caller_auth.h"
#include "control/revocation_acks.h"
#include "control/revoked_sessions.h"
#include "control/session_waits.h"
#include "toolwire/v1/dispatch.pb.h"
#include "toolwire/v1/relay.pb.h"

namespace toolwire {

// Of EDGE_UNAVAILABLE, NOT_SENT: the call came to a control that stops, or had not left it by then.
inline constexpr char kControlStopping[] = "this control is stopping";
// Of CALL_TIMEOUT, NOT_SENT.
inline constexpr char kOverdueOnArrival[] = "the call's time was up when control read it";

// Where the outcomes of calls go: one unary call, or one stream with many. Called from any thread with no lock held.
class CallSink {
 public:
  virtual ~CallSink() = default;
  // Takes the one outcome of the call that has `outcome.id()`. May keep it until `Flush`.
  virtual void Settle(v1::DispatchAnswer&& outcome) = 0;
  // No more outcomes for now: send what is kept.
  virtual void Flush() = 0;
};

// A call as the caller's side hands it over: validated, deadline clamped.
struct Call : CallRecord {  // Its call id is from Dispatcher::NextCallId().
  MonoTime deadline;
  // When nobody can be answered any more: then an edge that has said nothing is not waited for.
  MonoTime answer_by = MonoTime::max();
  uint64_t caller_id = 0;  // The `id` that the outcome will carry.
  std::shared_ptr<CallSink> sink;
  // The sink's, or null: set before all its calls are cancelled. Those that are not known here by then do not start.
  const std::atomic<bool>* cancelled_all = nullptr;
  // Who calls; null if control asks for no tokens. `caller` is its name.
  std::shared_ptr<Caller> from;

  void SetFrom(std::shared_ptr<Caller> who) {
    from = std::move(who);
    if (from != nullptr) caller = from->name;
  }
};

// The retry, deadline, cancel and failure policy, and nothing of gRPC or sockets: ARCHITECTURE.md, "What is known of a
// call" and "Failures".
//
// A call is looking (for its edge), leaving (in the queue to its link), delivered (the edge has it and settles deadline
// and cancel itself, because only the edge knows whether the frame left), waiting (it did not leave, and its agent is
// between two sessions), or lost (the frame left, its session or edge is gone; an answer may still come through the
// agent's next session). Every call settles exactly once: its sink gets
// the outcome and one audit row is appended. Only calls that certainly did not leave are delivered a second time.
//
// Thread-safe. State is guarded by mu_, which is never held while a sink, a link, the registry or the audit log is
// called; the directory has a lock of its own, taken with mu_ free.
class Dispatcher {
 public:
  struct Options {
    // How long past the deadline control waits for the edge to settle the call. After that the edge counts as silent.
    Duration edge_silence_max = std::chrono::milliseconds(250);
    // How long a cancel waits for the edge to report whether the frame had left.
    Duration cancel_wait_max = std::chrono::milliseconds(1000);
    // How long a sent call whose session or edge was lost waits for the answer through the agent's next session:
    // agents come back after 1 s.
    Duration lost_answer_wait = std::chrono::milliseconds(2000);
    // How long in all a call that did not leave waits for its agent's next session: as long as one that was sent waits
    // for its answer. An agent that replaces its session needs the registry's round trips, one that lost it dials again
    // after 1 s.
    Duration session_wait_max = std::chrono::milliseconds(2000);
    // Deliveries tried for one call while its agent moves.
    int delivery_attempts_max = 8;
    // Calls that were sent and not answered, whose ids are refused meanwhile.
    UnansweredRequests::Options unanswered;
  };
  struct Counters : CounterSet {
    Counter calls{this, "toolwire_control_calls_total", "Calls received."};
    Counter answered{this, "toolwire_control_calls_answered_total", "Calls answered by agents."};
    Counter redelivered{this, "toolwire_control_redelivered_total",
                        "Deliveries repeated because the first certainly did not leave."};
    Counter waited_for_session{this, "toolwire_control_calls_waited_for_session_total",
                               "Calls that waited for their agent's next session."};
    Counter strays_matched{this, "toolwire_control_stray_answers_matched_total",
                           "Answers that came through another session."};
    Counter strays_dropped{this, "toolwire_control_stray_answers_dropped_total", "Answers that match no call."};
    Counter strays_fetched{this, "toolwire_control_stray_answers_fetched_total",
                           "Large ones that an edge offered and a call waits for."};
    Counter late_answers{this, "toolwire_control_late_answers_total", "Answers to calls that were settled before."};
    LimitCounter unanswered_full{this, kControlLimitHits, "unanswered_requests"};

    Counters();
    // Calls that failed for this reason, which the outcome table has.
    Counter& failed(Reason reason) { return failed_[reason]; }
    const Counter& failed(Reason reason) const { return failed_[reason]; }

   private:
    std::deque<Counter> failed_;  // By reason. A deque, since a counter stays where it was made.
  };

  // All references outlive the dispatcher. `audit` may be null: no audit log.
  Dispatcher(const Clock& clock, Registry& registry, AgentDirectory& directory, AuditLog* audit, Options options);
  ~Dispatcher();

  // --- from callers -------------------------------------------------------------------------------------------------
  uint64_t NextCallId() { return last_call_id_.fetch_add(1, std::memory_order_relaxed) + 1; }
  // Starts the calls; each settles later, or before this returns.
  void Begin(std::vector<Call> calls);
  // The callers have cancelled these calls. Each still settles exactly once.
  void Cancel(const std::vector<uint64_t>& call_ids);
  // Cancels the calls whose token was removed. Walks all calls.
  void CancelRemoved();
  // Counts and audits a call that may not start, such as one with invalid params. The caller's side answers it.
  void RecordRejected(Call&& call, const v1::CallFailure& failure);

  // --- from operators -----------------------------------------------------------------------------------------------
  // The user's secret was revoked in the store: ends the user's sessions and logins at every edge, also at those that
  // link later (see RevokedSessions). `epoch` is the session's that the registry knew before the
  // store was changed, or 0. `done` is called once, when every edge has confirmed or after RevocationAcks::kWaitMax,
  // perhaps before this returns.
  void EndRevoked(const std::string& user_id, uint64_t epoch, RevocationAcks::Done done);
  // The user's secret was replaced by one with this digest, and the session stays.
  void KeepSession(const std::string& user_id, const SecretDigest& digest);
  // Calls `done` for all revocations that wait.
  void EndWaiting() { acks_->EndAll(); }
  // Ends this session of the user, if it is not gone by then. False if its edge is not linked.
  bool EndSession(const std::string& user_id, const Lease& session);

  // --- from links ---------------------------------------------------------------------------------------------------
  // As AgentDirectory::Await and Settle: a link will be tried, and it has failed or is no more.
  void AwaitEdge(const std::string& edge_id) { directory_.Await(edge_id); }
  void SettleEdge(const std::string& edge_id) { directory_.Settle(edge_id); }
  // A link to an edge is up; it replaces an earlier one of the same edge. Returns the link's number for the methods
  // below, which ignore numbers that are no longer current. `login_max` is how long a login may take at that edge;
  // 0: not known.
  uint64_t LinkUp(const std::string& edge_id, std::shared_ptr<ToEdge> link, Duration login_max = Duration::zero());
  void Receive(uint64_t link_number, v1::EdgeFrame&& frame);
  // The link broke. `unsent` are calls that never left this process: their edge is looked up again.
  void LinkDown(uint64_t link_number, const std::vector<uint64_t>& unsent);

  // --- time and stopping --------------------------------------------------------------------------------------------
  // Settles what is overdue. Call every `kTick`.
  void Tick();
  static constexpr Duration kTick = std::chrono::milliseconds(10);
  // Calls of one event that are dealt with before others have their turn, as each takes up to 1 us.
  static constexpr size_t kAtOnce = 1000;
  // From now on calls are refused with EDGE_UNAVAILABLE, as control is stopping. Calls in flight go on.
  void StopAccepting();
  // Waits until no call is in flight or `limit` has passed.
  bool WaitIdle(Duration limit);
  // Settles every call in flight: NOT_SENT if it has not left, else AGENT_LOST.
  void FailAll();

  size_t in_flight() const;
  size_t waiting_for_session() const;
  size_t unanswered() const;
  size_t links() const;
  const Counters& counters() const { return counters_; }

 private:
  enum class State { kLooking, kLeaving, kDelivered, kWaiting, kLost };
  using LookedUp = absl::StatusOr<std::optional<Lease>>;
  struct Pending;
  struct Link {
    std::string edge_id;
    std::shared_ptr<ToEdge> to_edge;
    uint64_t order = 0;    // Among all links and revocations.
    Duration login_max{};  // For RevokedSessions::EndRevoked.
  };
  // What a link is to get, and what it has.
  struct Queue {
    LinkedList<Pending> leaving, delivered;
    std::vector<uint64_t> cancels;  // Of calls that were delivered.
    bool sending = false;           // A thread sends it now, until it is empty, or will when it has released the lock.
  };
  // What a locked section decided, carried out after the lock is released.
  class Work;
  using RequestKey = std::pair<std::string_view, std::string_view>;  // user id, request id

  void CountCall(const Call& call);
  template <typename Step>
  void InSlices(size_t count, Step step);
  Pending* AdmitLocked(Call&& call, Work* work) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // `listed`: the directory knows the lease's session.
  void DeliverLocked(Pending* call, uint64_t link_number, Lease at, bool listed, Work* work)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool CancelAtEdgeLocked(Pending* call, Work* work) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void SendQueue(uint64_t link_number) ABSL_LOCKS_EXCLUDED(mu_);
  // The frame's deliveries that are still to get their params, by their place in it.
  using SharedParams = std::vector<std::pair<int, std::shared_ptr<const std::string>>>;
  void FillLocked(Queue* queue, v1::ControlFrame* frame, SharedParams* shared, Work* work)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void NotSent(uint64_t link_number, const v1::ControlFrame& frame) ABSL_LOCKS_EXCLUDED(mu_);
  void LookAgainLocked(Pending* call, Work* work) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Where a call that looks for its edge goes: where the directory knows the agent to be, or the registry.
  void LookUp(uint64_t call_id, const std::string& user_id) ABSL_LOCKS_EXCLUDED(mu_);
  void OnLease(uint64_t call_id, const std::string& user_id, const LookedUp& lease) ABSL_LOCKS_EXCLUDED(mu_);
  // False if that session is not known, is not linked, or does not have the call's agent.
  bool DeliverToListedLocked(Pending* call, const std::optional<Presence>& listed, Work* work)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void PlaceLocked(Pending* call, const LookedUp& lease, Work* work) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void WaitForSessionLocked(Pending* call, Work* work) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The user's agent has opened a session, or `lease` was looked up for its waiting calls.
  void WakeWaiting(const std::string& user_id, const LookedUp* lease) ABSL_LOCKS_EXCLUDED(mu_);
  void LookUpForWaiting() ABSL_LOCKS_EXCLUDED(mu_);
  void AnswerLocked(Pending* call, v1::Answer&& answer, Work* work) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void RefuseLocked(Pending* call, const v1::Refusal& refusal, MonoTime now, Work* work)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void StrayLocked(v1::StrayAnswer&& stray, Work* work) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void FetchStrays(uint64_t link_number, const v1::EdgeFrame& frame) ABSL_LOCKS_EXCLUDED(mu_);
  void LoseLocked(Pending* call, MonoTime now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // `message` empty: the reason's sentence.
  void FailLocked(Pending* call, Reason reason, Delivery delivery, Work* work, std::string_view message = {})
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The same where no answer can come any more, or what came is none.
  void SettleFailedLocked(Pending* call, Reason reason, Delivery delivery, Work* work, std::string_view message)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void SettleLocked(Pending* call, v1::DispatchAnswer&& outcome, AuditRow&& row, Work* work)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void OverdueLocked(Pending* call, Work* work) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  static bool NeverLeft(const Pending& call);
  Pending* FindOnLinkLocked(uint64_t call_id, uint64_t link_number) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  uint64_t LinkOfEdgeLocked(const std::string& edge_id) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const Clock& clock_;
  Registry& registry_;
  AgentDirectory& directory_;
  AuditLog* const audit_;
  const Options options_;
  Counters counters_;
  std::atomic<uint64_t> last_call_id_{0};

  mutable Mutex mu_;
  CondVar idle_;
  bool accepting_ ABSL_GUARDED_BY(mu_) = true;
  absl::flat_hash_map<uint64_t, std::unique_ptr<Pending>> calls_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<RequestKey, Pending*> by_request_ ABSL_GUARDED_BY(mu_);  // Keys point into the pending calls.
  absl::flat_hash_map<uint64_t, Link> links_ ABSL_GUARDED_BY(mu_);
  std::map<uint64_t, Queue> queues_ ABSL_GUARDED_BY(mu_);                         // Of each link that is up.
  absl::flat_hash_map<std::string, uint64_t> link_of_edge_ ABSL_GUARDED_BY(mu_);  // The current link of each edge.
  uint64_t last_link_number_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t last_order_ ABSL_GUARDED_BY(mu_) = 0;
  TimerWheel wheel_ ABSL_GUARDED_BY(mu_);
  UnansweredRequests unanswered_ ABSL_GUARDED_BY(mu_);
  SessionWaits waits_ ABSL_GUARDED_BY(mu_);  // The calls that are kWaiting.
  RevokedSessions revoked_;                  // With a lock of its own, so that links can report sessions without mu_.
  const std::shared_ptr<RevocationAcks> acks_ = std::make_shared<RevocationAcks>();
};

}  // namespace toolwire

#endif  // TOOLWIRE_CONTROL_DISPATCHER_H_
