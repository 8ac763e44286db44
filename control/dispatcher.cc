// Life of a call in this class:
//
//            Begin              lease found            in a frame           answer / refusal / deadline
//   caller ---------> kLooking -------------> kLeaving -----------> kDelivered --------------------> settled
//                        ^   NOT_HERE, never left              ^       |                                ^
//                        +-------------------------------------|-------+   left, then session or edge   |
//                        |   the same lease, or none that      |       |   lost                         |
//                        |   is linked        a session opens, |       +-----------------------> kLost -+
//                        +---------------------> kWaiting -----+           stray answer, or the wait is over
//                                                or another lease
// What a link is to get, deliveries and cancels, waits in its queue, which one thread at a time sends: so no cancel
// overtakes its call.
#include "control/dispatcher.h"

#include <algorithm>
#include <utility>

#include "control/dispatcher_call.h"

namespace toolwire {

using E = v1::CallError;

constexpr char kParamsField[] = "params_json";

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
      wheel_(kTick, 4096, clock.Now()),
      unanswered_(options.unanswered, &counters_.unanswered_full),
      waits_(kTick, clock.Now()) {}

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
    DeliverLocked(call, link_number, Lease{std::move(known->edge_id), known->epoch}, /*listed=*/true, work);
  });
}

// Takes the call in, or settles it at once and returns null.
Dispatcher::Pending* Dispatcher::AdmitLocked(Call&& call, Work* work) {
  CountCall(call);
  auto pending = std::make_unique<Pending>(std::move(call));
  Pending* const raw = pending.get();
  const MonoTime now = clock_.Now();
  const auto refuse = [&](Reason reason, std::string_view message = {}) -> Pending* {
    mu_.AssertHeld();
    FailLocked(raw, reason, E::NOT_SENT, work, message);
    return nullptr;
  };
  if (raw->cancelled_all != nullptr && *raw->cancelled_all) return refuse(E::CALLER_CANCELLED);
  if (raw->from != nullptr && raw->from->IsRemoved()) return refuse(E::UNAUTHENTICATED);
  if (!accepting_) return refuse(E::EDGE_UNAVAILABLE, kControlStopping);
  if (now >= raw->deadline) return refuse(E::CALL_TIMEOUT, kOverdueOnArrival);
  if (unanswered_.Has(raw->user_id, raw->request_id, now)) return refuse(E::DUPLICATE_REQUEST, kEarlierUnanswered);
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

void Dispatcher::CancelRemoved() {
  std::vector<uint64_t> removed;
  {
    MutexLock lock(mu_);
    for (const auto& [call_id, call] : calls_) {
      if (call->from != nullptr && call->from->IsRemoved()) removed.push_back(call_id);
    }
  }
  Cancel(removed);
}

void Dispatcher::CountCall(const Call& call) {
  counters_.calls.Add();
  if (call.from != nullptr) call.from->counts->calls.fetch_add(1, std::memory_order_relaxed);
}

void Dispatcher::RecordRejected(Call&& call, const v1::CallFailure& failure) {
  CountCall(call);
  counters_.failed(failure.detail().reason()).Add();
  if (audit_ == nullptr) return;
  AuditRow row = RowOfFailure(failure.detail().reason());
  call.MoveInto(&row, clock_.WallMs());
  audit_->Append(std::move(row));
}

// --- from operators --------------------------------------------------------------------------------------------------

void Dispatcher::EndRevoked(const std::string& user_id, uint64_t epoch, RevocationAcks::Done done) {
  const std::optional<Presence> known = directory_.Find(user_id);
  std::vector<std::pair<uint64_t, std::string>> asked;
  std::vector<std::shared_ptr<ToEdge>> to_edges;
  {
    MutexLock lock(mu_);
    // In one step: an edge is linked now and gets the message below, or it links later and `revoked_` ends its session.
    revoked_.Add(user_id, ++last_order_, std::max(epoch, known ? known->epoch : 0), clock_.WallMs(), clock_.Now());
    for (const auto& [number, link] : links_) {
      asked.emplace_back(number, link.edge_id);
      to_edges.push_back(link.to_edge);
    }
  }
  const uint64_t id = acks_->Begin(asked, known ? known->edge_id : std::string(), clock_.Now(), std::move(done));
  for (size_t i = 0; i < asked.size(); ++i) {
    v1::ControlFrame frame;
    v1::Disconnect* disconnect = frame.add_disconnects();
    disconnect->set_user_id(user_id);
    disconnect->set_cause(v1::Disconnect::CREDENTIAL_REVOKED);
    disconnect->set_id(id);
    if (!to_edges[i]->Send(std::move(frame))) acks_->NotSent(asked[i].first, id);
  }
  // The registry may keep this for longer than the dispatcher lives.
  registry_.ListEdges([acks = acks_, id](absl::StatusOr<std::vector<std::string>> edge_ids) {
    acks->Named(id, edge_ids.ok() ? std::optional(*std::move(edge_ids)) : std::nullopt);
  });
}

void Dispatcher::KeepSession(const std::string& user_id, const SecretDigest& digest) {
  std::vector<std::shared_ptr<ToEdge>> to_edges;
  {
    MutexLock lock(mu_);
    for (const auto& [number, link] : links_) to_edges.push_back(link.to_edge);
  }
  for (const auto& to_edge : to_edges) {
    v1::ControlFrame frame;
    v1::KeptSession* kept = frame.add_kept_sessions();
    kept->set_user_id(user_id);
    kept->set_secret_digest(digest.data(), digest.size());
    to_edge->Send(std::move(frame));
  }
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
  std::vector<std::string> waited_for;
  {
    MutexLock lock(mu_);
    const MonoTime now = clock_.Now();
    if (waits_.calls() > 0) {
      for (const v1::SessionEvent& event : frame.sessions()) {
        if (event.connected() && waits_.HasCallsOf(event.user_id())) waited_for.push_back(event.user_id());
      }
    }
    for (v1::Answer& answer : *frame.mutable_answers()) {
      if (Pending* call = FindOnLinkLocked(answer.call_id(), link_number)) {
        AnswerLocked(call, std::move(answer), &work);
      } else {
        counters_.late_answers.Add();
        unanswered_.RemoveAttempt(answer.call_id());
      }
    }
    for (const v1::Refusal& refusal : frame.refusals()) {
      Pending* call = FindOnLinkLocked(refusal.call_id(), link_number);
      if (call == nullptr) {
        // The edge's word comes late: the call that counted as sent was not.
        if (refusal.delivery() == E::NOT_SENT) unanswered_.RemoveAttempt(refusal.call_id());
        continue;
      }
      // A session that was reported after the delivery is not the one that was not there.
      if (refusal.cause() == v1::Refusal::NOT_HERE && call->tried_listed)
        forget.emplace_back(call->user_id, call->tried);
      RefuseLocked(call, refusal, now, &work);
    }
    for (v1::StrayAnswer& stray : *frame.mutable_strays()) StrayLocked(std::move(stray), &work);
  }
  for (const auto& [user_id, lease] : forget) directory_.Forget(user_id, lease.edge_id, lease.epoch);
  work.Run();
  for (const std::string& user_id : waited_for) WakeWaiting(user_id, nullptr);
  if (frame.stray_offers_size() > 0) FetchStrays(link_number, frame);
  for (const uint64_t id : frame.disconnects_done()) acks_->Confirmed(link_number, id);
}

// Of what the edge offers, what calls wait for. A lost call waits anew: its answer is on its way.
void Dispatcher::FetchStrays(uint64_t link_number, const v1::EdgeFrame& frame) {
  v1::ControlFrame fetches;
  std::shared_ptr<ToEdge> to_edge;
  {
    MutexLock lock(mu_);
    const auto link = links_.find(link_number);
    if (link == links_.end()) return;
    to_edge = link->second.to_edge;
    for (const v1::StrayOffer& offer : frame.stray_offers()) {
      const auto found = by_request_.find(RequestKey(offer.user_id(), offer.request_id()));
      if (found == by_request_.end() || NeverLeft(*found->second)) {
        counters_.strays_dropped.Add();
        unanswered_.Remove(offer.user_id(), offer.request_id());
        continue;
      }
      counters_.strays_fetched.Add();
      if (found->second->state == State::kLost) LoseLocked(found->second, clock_.Now());
      v1::StrayName* const name = fetches.add_stray_fetches();
      name->set_user_id(offer.user_id());
      name->set_request_id(offer.request_id());
    }
  }
  if (fetches.stray_fetches_size() > 0) to_edge->Send(std::move(fetches));
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
  acks_->LinkDown(link_number);
  directory_.RemoveEdge(edge_id, link_number);
  const auto look_again = [this](Pending* call, Work* work) {
    mu_.AssertHeld();
    call->last_reason = E::EDGE_UNAVAILABLE;
    call->tried = {};
    call->agent_stays = false;
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
  if (!answer.unreadable().empty()) {
    return SettleFailedLocked(call, call->cancelled ? E::CALLER_CANCELLED : E::AGENT_LOST, E::SENT, work,
                              call->cancelled ? std::string_view() : answer.error());
  }
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
      call->agent_stays = refusal.cause() == v1::Refusal::EDGE_UNAVAILABLE;
      return LookAgainLocked(call, work);
    case v1::Refusal::SESSION_LOST:
      if (sent) return LoseLocked(call, now);
      call->last_reason = E::AGENT_NOT_CONNECTED;
      call->agent_stays = false;
      return LookAgainLocked(call, work);
    case v1::Refusal::AGENT_BUSY:  // Of the edge, or the agent's last word to it.
      return SettleFailedLocked(call, reason, sent ? E::SENT : E::NOT_SENT, work, {});
    case v1::Refusal::PARAMS_REFUSED:
      return FailLocked(call, reason, sent ? E::SENT : E::NOT_SENT, work, refusal.why());
    case v1::Refusal::EARLIER_UNANSWERED:
      return FailLocked(call, reason, sent ? E::SENT : E::NOT_SENT, work, kEarlierUnanswered);
    default:
      return FailLocked(call, reason, sent ? E::SENT : E::NOT_SENT, work);
  }
}

void Dispatcher::StrayLocked(v1::StrayAnswer&& stray, Work* work) {
  auto found = by_request_.find(RequestKey(stray.user_id(), stray.request_id()));
  // A call that never left has not been sent: the answer is to an older call with the same id.
  if (found == by_request_.end() || NeverLeft(*found->second)) {
    counters_.strays_dropped.Add();
    unanswered_.Remove(stray.user_id(), stray.request_id());
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

void Dispatcher::FailLocked(Pending* call, Reason reason, Delivery delivery, Work* work, std::string_view message) {
  if (delivery != E::NOT_SENT) unanswered_.Add(call->user_id, call->request_id, call->call_id, clock_.Now());
  SettleFailedLocked(call, reason, delivery, work, message);
}

void Dispatcher::SettleFailedLocked(Pending* call, Reason reason, Delivery delivery, Work* work,
                                    std::string_view message) {
  counters_.failed(reason).Add();
  v1::DispatchAnswer outcome;
  // What is wrong with a request was found before it came here, but for what the agent does not take.
  const std::string_view field = reason == E::INVALID_REQUEST ? kParamsField : std::string_view();
  *outcome.mutable_failure() = MakeFailure(reason, delivery, call->request_id, message, field);
  SettleLocked(call, std::move(outcome), RowOfFailure(reason), work);
}

// The one way out. `call` may be gone when this returns.
void Dispatcher::SettleLocked(Pending* call, v1::DispatchAnswer&& outcome, AuditRow&& row, Work* work) {
  outcome.set_id(call->caller_id);
  if (call->state == State::kWaiting) waits_.Remove(call->user_id, call->call_id);
  work->Settle(std::move(call->sink), std::move(outcome));
  auto by_request = by_request_.find(RequestKey(call->user_id, call->request_id));
  if (by_request != by_request_.end() && by_request->second == call) by_request_.erase(by_request);
  const uint64_t call_id = call->call_id;
  call->MoveInto(&row, clock_.WallMs());
  work->Audit(call->ticket, std::move(row), std::move(call->shared_params));
  calls_.erase(call_id);
  if (calls_.empty()) idle_.NotifyAll();
}

void Dispatcher::Tick() {
  const MonoTime now = clock_.Now();
  directory_.Expire(now);
  acks_->Tick(now);
  for (bool more = true; more;) {
    Work work(this);
    const auto overdue = [&](TimerNode* node) {
      mu_.AssertHeld();
      OverdueLocked(static_cast<Pending*>(node), &work);
    };
    {
      MutexLock lock(mu_);
      more = !wheel_.Advance(now, overdue, kAtOnce);
      unanswered_.Expire(now);
    }
    work.Run();
  }
  LookUpForWaiting();
}

void Dispatcher::OverdueLocked(Pending* call, Work* work) {
  switch (call->state) {
    case State::kLooking:
    case State::kLeaving:
      return FailLocked(call, E::CALL_TIMEOUT, E::NOT_SENT, work);
    case State::kWaiting:
      return FailLocked(call, clock_.Now() < call->deadline ? call->last_reason : E::CALL_TIMEOUT, E::NOT_SENT, work);
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
    FailLocked(call, reason, left_here ? E::SENT : E::NOT_SENT, work,
               reason == E::EDGE_UNAVAILABLE ? kControlStopping : std::string_view());
  });
}

size_t Dispatcher::in_flight() const {
  MutexLock lock(mu_);
  return calls_.size();
}

size_t Dispatcher::waiting_for_session() const {
  MutexLock lock(mu_);
  return waits_.calls();
}

size_t Dispatcher::unanswered() const {
  MutexLock lock(mu_);
  return unanswered_.size();
}

size_t Dispatcher::links() const {
  MutexLock lock(mu_);
  return links_.size();
}

bool Dispatcher::NeverLeft(const Pending& call) {
  return call.state == State::kLooking || call.state == State::kLeaving || call.state == State::kWaiting;
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
