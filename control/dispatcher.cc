// Life of a call in this class:
//
//            Begin              lease found            in a frame           answer / refusal / deadline
//   caller ---------> kLooking -------------> kLeaving -----------> kDelivered --------------------> settled
//                        ^   NOT_HERE, never left                      |                                ^
//                        +---------------------------------------------+   left, then session or edge   |
//                                                                      |   lost                         |
//                                                                      +-----------------------> kLost -+
//                                                                          stray answer, or the wait is over
// What a link is to get, deliveries and cancels, waits in its queue, which one thread at a time sends: so no cancel
// overtakes its call.
#include "control/dispatcher.h"

#include <algorithm>
#include <utility>

namespace toolwire {

using E = v1::CallError;

namespace {

// Of params in one frame, which are copied with the lock held; one call may have more.
constexpr size_t kFrameBytesMax = 1u << 20;

}  // namespace

struct Dispatcher::Pending : TimerNode, ListNode, Call {
  explicit Pending(Call&& call) : Call(std::move(call)) {}
  using Call::deadline;  // The caller's, not the timer's.

  State state = State::kLooking;
  bool cancelled = false;
  int attempts = 0;
  uint64_t link_number = 0;  // But kLooking: the link that is to get it, has or had it.
  Lease tried;               // The lease of the last delivery.
  // The caller's error if looking up again finds no other session.
  Reason last_reason = E::AGENT_NOT_CONNECTED;
};

class Dispatcher::Work {
 public:
  explicit Work(Dispatcher* dispatcher) : dispatcher_(dispatcher) {}

  // The link's queue is this work's to send.
  void SendTo(uint64_t link_number) { links_.push_back(link_number); }
  void Lookup(uint64_t call_id, std::string user_id) { lookups_.emplace_back(call_id, std::move(user_id)); }
  void Settle(std::shared_ptr<CallSink> sink, v1::DispatchAnswer&& outcome) {
    settled_.emplace_back(std::move(sink), std::move(outcome));
  }
  void Audit(const AuditTicket& ticket, AuditRow&& row) { audit_.emplace_back(ticket, std::move(row)); }

  // With no lock held. Links first: an agent works while the rest is done. Audit before the callers: if this process
  // is killed, the row of a call that was answered says so.
  void Run() {
    for (const uint64_t link_number : links_) dispatcher_->SendQueue(link_number);
    if (dispatcher_->audit_ != nullptr) {
      for (auto& [ticket, row] : audit_) dispatcher_->audit_->Settle(ticket, std::move(row));
    }
    for (auto& [sink, outcome] : settled_) sink->Settle(std::move(outcome));
    const CallSink* flushed = nullptr;
    for (auto& [sink, outcome] : settled_) {
      if (sink.get() != flushed) sink->Flush();
      flushed = sink.get();
    }
    for (auto& [call_id, user_id] : lookups_) {
      dispatcher_->registry_.Lookup(
          user_id, [dispatcher = dispatcher_, id = call_id](auto lease) { dispatcher->OnLease(id, std::move(lease)); });
    }
  }

 private:
  Dispatcher* const dispatcher_;
  std::vector<uint64_t> links_;
  std::vector<std::pair<std::shared_ptr<CallSink>, v1::DispatchAnswer>> settled_;
  std::vector<std::pair<AuditTicket, AuditRow>> audit_;
  std::vector<std::pair<uint64_t, std::string>> lookups_;
};

// For each of many calls, with the lock held for kAtOnce of them: others must not wait for all.
template <typename Step>
void Dispatcher::InSlices(size_t count, Step step) {
  for (size_t i = 0; i < count;) {
    Work work(this);
    {
      MutexLock lock(mu_);
      for (const size_t end = std::min(count, i + kAtOnce); i < end; ++i) step(i, &work);
    }
    work.Run();
  }
}

Dispatcher::Counters::Counters() {
  for (int reason = 0; reason < E::Reason_ARRAYSIZE; ++reason) {
    failed_.emplace_back(this, "toolwire_control_calls_failed_total", "Calls without an answer, by reason.", "reason",
                         RowOf(static_cast<Reason>(reason)).name);
  }
}

Dispatcher::Dispatcher(const Clock& clock, Registry& registry, AgentDirectory& directory, AuditLog* audit,
                       Options options)
    : clock_(clock),
      registry_(registry),
      directory_(directory),
      audit_(audit),
      options_(options),
      wheel_(kTick, 4096, clock.Now()) {}

Dispatcher::~Dispatcher() = default;

// --- from callers ----------------------------------------------------------------------------------------------------

void Dispatcher::Begin(std::vector<Call> calls) {
  std::vector<std::optional<Presence>> presences;
  presences.reserve(calls.size());
  const int64_t wall_ms = clock_.WallMs();
  for (Call& call : calls) {
    presences.push_back(directory_.Find(call.user_id));
    call.Begin(audit_, wall_ms);
  }
  InSlices(calls.size(), [&](size_t i, Work* work) {
    mu_.AssertHeld();
    Pending* const call = AdmitLocked(std::move(calls[i]), work);
    if (call == nullptr) return;
    std::optional<Presence>& known = presences[i];
    const uint64_t link_number = known ? LinkOfEdgeLocked(known->edge_id) : 0;
    if (link_number == 0) return LookAgainLocked(call, work);
    call->tried.edge_id = std::move(known->edge_id);
    DeliverLocked(call, link_number, known->epoch, work);
  });
}

// Takes the call in, or settles it at once and returns null.
Dispatcher::Pending* Dispatcher::AdmitLocked(Call&& call, Work* work) {
  counters_.calls.Add();
  auto pending = std::make_unique<Pending>(std::move(call));
  Pending* const raw = pending.get();
  const auto refuse = [&](Reason reason) -> Pending* {
    mu_.AssertHeld();
    FailLocked(raw, reason, E::NOT_SENT, work);
    return nullptr;
  };
  if (raw->cancelled_all != nullptr && *raw->cancelled_all) return refuse(E::CALLER_CANCELLED);
  if (!accepting_) return refuse(E::EDGE_UNAVAILABLE);
  if (clock_.Now() >= raw->deadline) return refuse(E::CALL_TIMEOUT);
  if (!by_request_.emplace(RequestKey(raw->user_id, raw->request_id), raw).second) return refuse(E::DUPLICATE_REQUEST);
  wheel_.Arm(raw, raw->deadline);
  calls_.emplace(raw->call_id, std::move(pending));
  return raw;
}

void Dispatcher::Cancel(const std::vector<uint64_t>& call_ids) {
  InSlices(call_ids.size(), [&](size_t i, Work* work) {
    mu_.AssertHeld();
    auto found = calls_.find(call_ids[i]);
    if (found == calls_.end() || found->second->cancelled) return;
    Pending* call = found->second.get();
    if (NeverLeft(*call)) return FailLocked(call, E::CALLER_CANCELLED, E::NOT_SENT, work);
    if (!CancelAtEdgeLocked(call, work)) return FailLocked(call, E::CALLER_CANCELLED, E::SENT, work);
    call->cancelled = true;
    wheel_.Arm(call, clock_.Now() + options_.cancel_wait_max);
  });
}

void Dispatcher::RecordRejected(Call&& call, const v1::CallFailure& failure) {
  counters_.calls.Add();
  counters_.failed(failure.detail().reason()).Add();
  if (audit_ == nullptr) return;
  AuditRow row = RowOfFailure(failure.detail().reason());
  call.MoveInto(&row, clock_.WallMs());
  audit_->Append(std::move(row));
}

// --- looking and delivering ------------------------------------------------------------------------------------------

void Dispatcher::DeliverLocked(Pending* call, uint64_t link_number, uint64_t epoch, Work* work) {
  call->state = State::kLeaving;
  call->link_number = link_number;
  call->tried.epoch = epoch;
  if (++call->attempts > 1) counters_.redelivered.Add();
  Queue& queue = queues_[link_number];
  queue.leaving.PushBack(call);
  if (!std::exchange(queue.sending, true)) work->SendTo(link_number);
}

// False if the call is at no edge that is linked.
bool Dispatcher::CancelAtEdgeLocked(Pending* call, Work* work) {
  const auto found = queues_.find(call->link_number);
  if (call->state != State::kDelivered || found == queues_.end()) return false;
  found->second.cancels.push_back(call->call_id);
  if (!std::exchange(found->second.sending, true)) work->SendTo(call->link_number);
  return true;
}

// What others put into the queue meanwhile is sent as well, by this thread alone.
void Dispatcher::SendQueue(uint64_t link_number) {
  for (;;) {
    Work work(this);
    std::shared_ptr<ToEdge> to_edge;
    v1::ControlFrame frame;
    {
      MutexLock lock(mu_);
      const auto found = queues_.find(link_number);
      if (found == queues_.end()) return;  // The link is down, and its calls are looked after there.
      if (found->second.leaving.empty() && found->second.cancels.empty()) return void(found->second.sending = false);
      FillLocked(&found->second, &frame, &work);
      to_edge = links_.find(link_number)->second.to_edge;
    }
    const bool nothing = frame.deliveries_size() == 0 && frame.cancels_size() == 0;
    if (!nothing && !to_edge->Send(std::move(frame))) NotSent(link_number, frame);
    work.Run();
  }
}

void Dispatcher::FillLocked(Queue* queue, v1::ControlFrame* frame, Work* work) {
  const MonoTime now = clock_.Now();
  size_t bytes = 0;
  for (size_t i = 0; i < kAtOnce && bytes < kFrameBytesMax && !queue->leaving.empty(); ++i) {
    Pending* const call = queue->leaving.front();
    const Duration left = call->deadline - now;
    if (left <= Duration::zero()) {
      FailLocked(call, E::CALL_TIMEOUT, E::NOT_SENT, work);
      continue;
    }
    call->state = State::kDelivered;
    queue->delivered.PushBack(call);
    wheel_.Arm(call, call->deadline + options_.edge_silence_max);
    call->FillDeliver(left, frame->add_deliveries());
    bytes += call->params_json.size();
  }
  for (const uint64_t call_id : queue->cancels) frame->add_cancels(call_id);
  queue->cancels.clear();
}

// The link was down already: nothing of the frame left.
void Dispatcher::NotSent(uint64_t link_number, const v1::ControlFrame& frame) {
  InSlices(static_cast<size_t>(frame.deliveries_size()), [&](size_t i, Work* work) {
    mu_.AssertHeld();
    auto found = calls_.find(frame.deliveries(static_cast<int>(i)).call_id());
    // Also if the link's end was noticed meanwhile and the call counts as lost: this frame certainly did not leave.
    if (found == calls_.end() || found->second->link_number != link_number) return;
    found->second->last_reason = E::EDGE_UNAVAILABLE;
    LookAgainLocked(found->second.get(), work);
  });
}

void Dispatcher::LookAgainLocked(Pending* call, Work* work) {
  if (call->cancelled) return FailLocked(call, E::CALLER_CANCELLED, E::NOT_SENT, work);
  if (call->attempts >= options_.delivery_attempts_max) {
    return FailLocked(call, call->last_reason, E::NOT_SENT, work);
  }
  call->state = State::kLooking;
  call->link_number = 0;
  call->Leave();
  wheel_.Arm(call, call->deadline);
  work->Lookup(call->call_id, call->user_id);
}

void Dispatcher::OnLease(uint64_t call_id, absl::StatusOr<std::optional<Lease>> lease) {
  Work work(this);
  {
    MutexLock lock(mu_);
    auto found = calls_.find(call_id);
    if (found == calls_.end() || found->second->state != State::kLooking) return;
    Pending* call = found->second.get();
    if (!lease.ok()) {
      FailLocked(call, E::EDGE_UNAVAILABLE, E::NOT_SENT, &work);
    } else if (!lease->has_value()) {
      FailLocked(call, E::AGENT_NOT_CONNECTED, E::NOT_SENT, &work);
    } else {
      Lease& at = **lease;
      const uint64_t link_number = LinkOfEdgeLocked(at.edge_id);
      if (link_number == 0) {
        FailLocked(call, E::EDGE_UNAVAILABLE, E::NOT_SENT, &work);
      } else if (call->attempts > 0 && call->tried.edge_id == at.edge_id && call->tried.epoch == at.epoch) {
        FailLocked(call, call->last_reason, E::NOT_SENT, &work);  // It was delivered there already.
      } else {
        call->tried.edge_id = std::move(at.edge_id);
        DeliverLocked(call, link_number, at.epoch, &work);
      }
    }
  }
  work.Run();
}

// --- from operators --------------------------------------------------------------------------------------------------

bool Dispatcher::EndRevoked(const std::string& user_id, uint64_t epoch) {
  const std::optional<Presence> known = directory_.Find(user_id);
  std::vector<Link> links;
  {
    MutexLock lock(mu_);
    // In one step: an edge is linked now and gets the message below, or it links later and `revoked_` ends its session.
    revoked_.Add(user_id, ++last_order_, std::max(epoch, known ? known->epoch : 0), clock_.WallMs(), clock_.Now());
    for (const auto& [number, link] : links_) links.push_back(link);
  }
  bool sent = false;
  for (const Link& link : links) {
    v1::ControlFrame frame;
    v1::Disconnect* disconnect = frame.add_disconnects();
    disconnect->set_user_id(user_id);
    disconnect->set_cause(v1::Disconnect::CREDENTIAL_REVOKED);
    if (link.to_edge->Send(std::move(frame)) && known && known->edge_id == link.edge_id) sent = true;
  }
  return sent;
}

bool Dispatcher::EndSession(const std::string& user_id, const Lease& session) {
  std::shared_ptr<ToEdge> to_edge;
  {
    MutexLock lock(mu_);
    const auto found = links_.find(LinkOfEdgeLocked(session.edge_id));
    if (found == links_.end()) return false;
    to_edge = found->second.to_edge;
  }
  v1::ControlFrame frame;
  v1::Disconnect* disconnect = frame.add_disconnects();
  disconnect->set_user_id(user_id);
  disconnect->set_cause(v1::Disconnect::BY_OPERATOR);
  disconnect->set_epoch_max(session.epoch);
  return to_edge->Send(std::move(frame));
}

// --- from links ------------------------------------------------------------------------------------------------------

uint64_t Dispatcher::LinkUp(const std::string& edge_id, std::shared_ptr<ToEdge> link, Duration login_max) {
  uint64_t replaced = 0;
  uint64_t number = 0;
  {
    MutexLock lock(mu_);
    replaced = LinkOfEdgeLocked(edge_id);
    number = ++last_link_number_;
  }
  directory_.BeginSnapshot(edge_id, number);
  if (replaced != 0) LinkDown(replaced, {});
  MutexLock lock(mu_);
  links_.emplace(number, Link{edge_id, std::move(link), ++last_order_, login_max});
  uint64_t& current = link_of_edge_[edge_id];
  current = std::max(current, number);
  return number;
}

void Dispatcher::Receive(uint64_t link_number, v1::EdgeFrame&& frame) {
  if (frame.sessions_size() > 0) {
    Link link;
    {
      MutexLock lock(mu_);
      auto found = links_.find(link_number);
      if (found == links_.end()) return;
      link = found->second;
    }
    directory_.Apply(link.edge_id, frame.sessions(), clock_.Now());
    v1::ControlFrame must_end;
    revoked_.EndRevoked(link.order, link.login_max, frame.sessions(), clock_.Now(), &must_end);
    if (must_end.disconnects_size() > 0) link.to_edge->Send(std::move(must_end));
  }
  Work work(this);
  std::vector<std::pair<std::string, Lease>> forget;
  {
    MutexLock lock(mu_);
    const MonoTime now = clock_.Now();
    for (v1::Answer& answer : *frame.mutable_answers()) {
      if (Pending* call = FindOnLinkLocked(answer.call_id(), link_number)) {
        AnswerLocked(call, std::move(answer), &work);
      } else {
        counters_.late_answers.Add();
      }
    }
    for (const v1::Refusal& refusal : frame.refusals()) {
      Pending* call = FindOnLinkLocked(refusal.call_id(), link_number);
      if (call == nullptr) continue;
      if (refusal.cause() == v1::Refusal::NOT_HERE) forget.emplace_back(call->user_id, call->tried);
      RefuseLocked(call, refusal, now, &work);
    }
    for (v1::StrayAnswer& stray : *frame.mutable_strays()) StrayLocked(std::move(stray), &work);
  }
  for (const auto& [user_id, lease] : forget) directory_.Forget(user_id, lease.edge_id, lease.epoch);
  work.Run();
}

void Dispatcher::LinkDown(uint64_t link_number, const std::vector<uint64_t>& unsent) {
  std::string edge_id;
  LinkedList<Pending> never_left, lost;  // Guarded by mu_, as long as anything is in them.
  {
    MutexLock lock(mu_);
    auto found = links_.find(link_number);
    if (found == links_.end()) return;
    edge_id = found->second.edge_id;
    links_.erase(found);
    auto of_edge = link_of_edge_.find(edge_id);
    if (of_edge != link_of_edge_.end() && of_edge->second == link_number) link_of_edge_.erase(of_edge);
    Queue& queue = queues_[link_number];
    never_left.TakeAll(&queue.leaving);
    lost.TakeAll(&queue.delivered);
    queues_.erase(link_number);
  }
  directory_.RemoveEdge(edge_id, link_number);
  const auto look_again = [this](Pending* call, Work* work) {
    mu_.AssertHeld();
    call->last_reason = E::EDGE_UNAVAILABLE;
    LookAgainLocked(call, work);
  };
  InSlices(unsent.size(), [&](size_t i, Work* work) {
    mu_.AssertHeld();
    if (Pending* call = FindOnLinkLocked(unsent[i], link_number)) look_again(call, work);
  });
  // Those that are left, until their turn comes, end as they would have.
  for (bool more = true; more;) {
    InSlices(kAtOnce, [&](size_t, Work* work) {
      mu_.AssertHeld();
      if (!never_left.empty()) return look_again(never_left.front(), work);
      more = !lost.empty();
      if (!more) return;
      Pending* const call = lost.front();
      if (call->cancelled) return FailLocked(call, E::CALLER_CANCELLED, E::SENT, work);
      LoseLocked(call, clock_.Now());
    });
  }
}

void Dispatcher::AnswerLocked(Pending* call, v1::Answer&& answer, Work* work) {
  counters_.answered.Add();
  AuditRow row = RowOfAnswer(audit_, answer);
  v1::DispatchAnswer outcome;
  v1::CallToolResponse* response = outcome.mutable_response();
  response->set_success(answer.success());
  response->set_result_json(std::move(*answer.mutable_result_json()));
  response->set_error(std::move(*answer.mutable_error()));
  if (answer.has_execution_time_ms()) response->set_execution_time_ms(answer.execution_time_ms());
  response->set_request_id(call->request_id);
  SettleLocked(call, std::move(outcome), std::move(row), work);
}

void Dispatcher::RefuseLocked(Pending* call, const v1::Refusal& refusal, MonoTime now, Work* work) {
  const bool sent = refusal.delivery() != E::NOT_SENT;  // Unspecified counts as sent: never repeat what may have run.
  const Reason reason = ReasonOf(refusal.cause());
  if (call->cancelled) return FailLocked(call, E::CALLER_CANCELLED, sent ? E::SENT : E::NOT_SENT, work);
  switch (refusal.cause()) {
    case v1::Refusal::NOT_HERE:
    case v1::Refusal::EDGE_UNAVAILABLE:
      if (sent) return FailLocked(call, E::AGENT_LOST, E::SENT, work);  // The edge contradicts itself.
      call->last_reason = reason;
      return LookAgainLocked(call, work);
    case v1::Refusal::SESSION_LOST:
      if (sent) return LoseLocked(call, now);
      call->last_reason = E::AGENT_NOT_CONNECTED;
      return LookAgainLocked(call, work);
    default:
      return FailLocked(call, reason, sent ? E::SENT : E::NOT_SENT, work);
  }
}

void Dispatcher::StrayLocked(v1::StrayAnswer&& stray, Work* work) {
  auto found = by_request_.find(RequestKey(stray.user_id(), stray.request_id()));
  // A call that never left has not been sent: the answer is to an older call with the same id.
  if (found == by_request_.end() || NeverLeft(*found->second)) {
    counters_.strays_dropped.Add();
    return;
  }
  counters_.strays_matched.Add();
  AnswerLocked(found->second, std::move(*stray.mutable_answer()), work);
}

void Dispatcher::LoseLocked(Pending* call, MonoTime now) {
  call->state = State::kLost;
  call->Leave();
  wheel_.Arm(call, std::min(call->deadline, now + options_.lost_answer_wait));
}

// --- settling --------------------------------------------------------------------------------------------------------

void Dispatcher::FailLocked(Pending* call, Reason reason, Delivery delivery, Work* work) {
  counters_.failed(reason).Add();
  v1::DispatchAnswer outcome;
  *outcome.mutable_failure() = MakeFailure(reason, delivery, call->request_id);
  SettleLocked(call, std::move(outcome), RowOfFailure(reason), work);
}

// The one way out. `call` may be gone when this returns.
void Dispatcher::SettleLocked(Pending* call, v1::DispatchAnswer&& outcome, AuditRow&& row, Work* work) {
  outcome.set_id(call->caller_id);
  work->Settle(std::move(call->sink), std::move(outcome));
  auto by_request = by_request_.find(RequestKey(call->user_id, call->request_id));
  if (by_request != by_request_.end() && by_request->second == call) by_request_.erase(by_request);
  const uint64_t call_id = call->call_id;
  call->MoveInto(&row, clock_.WallMs());
  work->Audit(call->ticket, std::move(row));
  calls_.erase(call_id);
  if (calls_.empty()) idle_.NotifyAll();
}

void Dispatcher::Tick() {
  const MonoTime now = clock_.Now();
  directory_.Expire(now);
  for (bool more = true; more;) {
    Work work(this);
    const auto overdue = [&](TimerNode* node) {
      mu_.AssertHeld();
      OverdueLocked(static_cast<Pending*>(node), &work);
    };
    {
      MutexLock lock(mu_);
      more = !wheel_.Advance(now, overdue, kAtOnce);
    }
    work.Run();
  }
}

void Dispatcher::OverdueLocked(Pending* call, Work* work) {
  switch (call->state) {
    case State::kLooking:
    case State::kLeaving:
      return FailLocked(call, E::CALL_TIMEOUT, E::NOT_SENT, work);
    case State::kLost:
      return FailLocked(call, E::AGENT_LOST, E::SENT, work);
    case State::kDelivered:
      // The edge is silent: whether the frame left is unknown, so it counts as sent.
      if (!call->cancelled) CancelAtEdgeLocked(call, work);
      return FailLocked(call, call->cancelled ? E::CALLER_CANCELLED : E::CALL_TIMEOUT, E::SENT, work);
  }
}

// --- stopping, statistics --------------------------------------------------------------------------------------------

void Dispatcher::StopAccepting() {
  MutexLock lock(mu_);
  accepting_ = false;
}

bool Dispatcher::WaitIdle(Duration limit) {
  MutexLock lock(mu_);
  return idle_.WaitFor(mu_, limit, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return calls_.empty(); });
}

void Dispatcher::FailAll() {
  std::vector<uint64_t> left;
  {
    MutexLock lock(mu_);
    for (const auto& [call_id, call] : calls_) left.push_back(call_id);
  }
  InSlices(left.size(), [&](size_t i, Work* work) {
    mu_.AssertHeld();
    auto found = calls_.find(left[i]);
    if (found == calls_.end()) return;
    Pending* const call = found->second.get();
    const bool left_here = !NeverLeft(*call);
    const Reason reason = call->cancelled ? E::CALLER_CANCELLED : left_here ? E::AGENT_LOST : E::EDGE_UNAVAILABLE;
    FailLocked(call, reason, left_here ? E::SENT : E::NOT_SENT, work);
  });
}

size_t Dispatcher::in_flight() const {
  MutexLock lock(mu_);
  return calls_.size();
}

size_t Dispatcher::links() const {
  MutexLock lock(mu_);
  return links_.size();
}

bool Dispatcher::NeverLeft(const Pending& call) {
  return call.state == State::kLooking || call.state == State::kLeaving;
}

Dispatcher::Pending* Dispatcher::FindOnLinkLocked(uint64_t call_id, uint64_t link_number) {
  auto found = calls_.find(call_id);
  if (found == calls_.end()) return nullptr;
  Pending* call = found->second.get();
  return call->state == State::kDelivered && call->link_number == link_number ? call : nullptr;
}

uint64_t Dispatcher::LinkOfEdgeLocked(const std::string& edge_id) const {
  auto found = link_of_edge_.find(edge_id);
  return found == link_of_edge_.end() ? 0 : found->second;
}

}  // namespace toolwire
