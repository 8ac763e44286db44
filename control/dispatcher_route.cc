// How a call of the Dispatcher finds its edge and leaves for it. Those of one link wait in its queue, which one thread
// at a time sends.
#include <algorithm>
#include <chrono>
#include <utility>

#include "control/dispatcher_call.h"

namespace toolwire {

using E = v1::CallError;

namespace {

// Of params in one frame; one call may have more.
constexpr size_t kFrameBytesMax = 1u << 20;

}  // namespace

// --- looking and delivering ------------------------------------------------------------------------------------------

void Dispatcher::DeliverLocked(Pending* call, uint64_t link_number, Lease at, bool listed, Work* work) {
  if (call->state == State::kWaiting) {
    waits_.Remove(call->user_id, call->call_id);
    wheel_.Arm(call, call->deadline);
  }
  call->state = State::kLeaving;
  call->link_number = link_number;
  call->tried = std::move(at);
  call->tried_listed = listed;
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
    SharedParams shared;
    {
      MutexLock lock(mu_);
      const auto found = queues_.find(link_number);
      if (found == queues_.end()) return;  // The link is down, and its calls are looked after there.
      if (found->second.leaving.empty() && found->second.cancels.empty()) return void(found->second.sending = false);
      FillLocked(&found->second, &frame, &shared, &work);
      to_edge = links_.find(link_number)->second.to_edge;
    }
    for (const auto& [delivery, params] : shared) frame.mutable_deliveries(delivery)->set_params_json(*params);
    const bool nothing = frame.deliveries_size() == 0 && frame.cancels_size() == 0;
    if (!nothing && !to_edge->Send(std::move(frame))) NotSent(link_number, frame);
    work.Run();
  }
}

void Dispatcher::FillLocked(Queue* queue, v1::ControlFrame* frame, SharedParams* shared, Work* work) {
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
    wheel_.Arm(call, std::min(call->deadline + options_.edge_silence_max, call->answer_by));
    v1::Deliver* const deliver = frame->add_deliveries();
    call->FillDeliver(left, deliver);
    using Microseconds = std::chrono::microseconds;
    deliver->set_lost_timeout_us(std::chrono::duration_cast<Microseconds>(options_.lost_answer_wait).count());
    // By this reading, as the process may be stopped before the link sends it.
    deliver->set_as_of_us(static_cast<uint64_t>(
        std::chrono::duration_cast<std::chrono::microseconds>(now.time_since_epoch()).count()));
    if (call->shared_params) shared->emplace_back(frame->deliveries_size() - 1, call->shared_params);
    bytes += call->params_bytes();
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
    Pending* const call = found->second.get();
    call->last_reason = E::EDGE_UNAVAILABLE;
    call->agent_stays = links_.contains(link_number);  // Else it dials another edge.
    if (!call->agent_stays) call->tried = {};
    LookAgainLocked(call, work);
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

void Dispatcher::LookUp(uint64_t call_id, const std::string& user_id) {
  if (const std::optional<Presence> listed = directory_.Find(user_id)) {
    Work work(this);
    bool placed = false;
    {
      MutexLock lock(mu_);
      const auto found = calls_.find(call_id);
      if (found == calls_.end() || found->second->state != State::kLooking) return;
      placed = DeliverToListedLocked(found->second.get(), listed, &work);
    }
    work.Run();
    if (placed) return;
  }
  registry_.Lookup(user_id, [this, call_id, user_id](const LookedUp& lease) { OnLease(call_id, user_id, lease); });
}

void Dispatcher::OnLease(uint64_t call_id, const std::string& user_id, const LookedUp& lease) {
  const std::optional<Presence> listed = directory_.Find(user_id);
  Work work(this);
  {
    MutexLock lock(mu_);
    const auto found = calls_.find(call_id);
    if (found == calls_.end() || found->second->state != State::kLooking) return;
    Pending* const call = found->second.get();
    if (!DeliverToListedLocked(call, listed, &work)) PlaceLocked(call, lease, &work);
  }
  work.Run();
}

bool Dispatcher::DeliverToListedLocked(Pending* call, const std::optional<Presence>& listed, Work* work) {
  if (!listed) return false;
  const uint64_t link_number = LinkOfEdgeLocked(listed->edge_id);
  const bool tried = call->tried.edge_id == listed->edge_id && call->tried.epoch == listed->epoch;
  // What was refused before the directory knew the session came too early, and is delivered there again.
  if (link_number == 0 || listed->epoch < call->tried.epoch || (tried && call->tried_listed)) return false;
  DeliverLocked(call, link_number, Lease{listed->edge_id, listed->epoch}, /*listed=*/true, work);
  return true;
}

void Dispatcher::PlaceLocked(Pending* call, const LookedUp& lease, Work* work) {
  if (lease.ok() && !lease->has_value()) return FailLocked(call, E::AGENT_NOT_CONNECTED, E::NOT_SENT, work);
  // The agent of a call that was delivered before was there a moment ago, and may open its next session any moment.
  const bool first = call->attempts == 0;
  if (!lease.ok()) {
    if (first || call->agent_stays) return FailLocked(call, E::EDGE_UNAVAILABLE, E::NOT_SENT, work);
    return WaitForSessionLocked(call, work);
  }
  const Lease& at = **lease;
  const uint64_t link_number = LinkOfEdgeLocked(at.edge_id);
  if (!first && call->tried.edge_id == at.edge_id && call->tried.epoch == at.epoch) {
    // Without an epoch it is no claim, only the one edge that there is.
    if (call->agent_stays || at.epoch == 0) return FailLocked(call, call->last_reason, E::NOT_SENT, work);
    return WaitForSessionLocked(call, work);
  }
  if (link_number != 0) return DeliverLocked(call, link_number, at, /*listed=*/false, work);
  if (first) return FailLocked(call, E::EDGE_UNAVAILABLE, E::NOT_SENT, work);
  WaitForSessionLocked(call, work);
}

void Dispatcher::WaitForSessionLocked(Pending* call, Work* work) {
  const MonoTime now = clock_.Now();
  if (call->wait_until == MonoTime{}) {
    call->wait_until = std::min(call->deadline, now + options_.session_wait_max);
    counters_.waited_for_session.Add();
  }
  if (call->state == State::kWaiting) return;
  if (now >= call->wait_until) {
    return FailLocked(call, now < call->deadline ? call->last_reason : E::CALL_TIMEOUT, E::NOT_SENT, work);
  }
  call->state = State::kWaiting;
  wheel_.Arm(call, call->wait_until);
  waits_.Add(call->user_id, call->call_id, now);
}

void Dispatcher::WakeWaiting(const std::string& user_id, const LookedUp* lease) {
  const std::optional<Presence> listed = directory_.Find(user_id);
  std::vector<uint64_t> call_ids;
  {
    MutexLock lock(mu_);
    call_ids = waits_.CallsOf(user_id);
  }
  InSlices(call_ids.size(), [&](size_t i, Work* work) {
    mu_.AssertHeld();
    const auto found = calls_.find(call_ids[i]);
    if (found == calls_.end() || found->second->state != State::kWaiting) return;
    Pending* const call = found->second.get();
    if (!DeliverToListedLocked(call, listed, work) && lease != nullptr) PlaceLocked(call, *lease, work);
  });
}

// A session that opened while a call was about to wait woke nobody, and an agent that is gone reports nothing.
void Dispatcher::LookUpForWaiting() {
  std::vector<std::string> due;
  {
    MutexLock lock(mu_);
    if (waits_.calls() == 0) return;
    due = waits_.TakeDue(clock_.Now(), kAtOnce);
  }
  for (const std::string& user_id : due) {
    registry_.Lookup(user_id, [this, user_id](const LookedUp& lease) { WakeWaiting(user_id, &lease); });
  }
}

}  // namespace toolwire
