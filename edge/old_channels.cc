// A command becomes a delivery to this edge's own session:
//
//   OnCommand -> kDelivered -> answer or refusal: settled
//                    |  ^
//                    |  +-- every tick -- kWaiting: the session is not open yet (NOT_SENT), for 2 s at most
//                    +------------------> kLost: sent, its session gone; an answer may come through any edge
//
// Whatever settles a call publishes its response, unless another edge has published it.
#include "edge/old_channels.h"

#include <algorithm>
#include <optional>

#include "common/audit/call_record.h"
#include "common/base/json_text.h"
#include "common/base/log.h"

namespace toolwire {

using E = v1::CallError;

namespace {

OldResponse FailureResponse(const std::string& user_id, std::string_view error) {
  OldResponse response;
  response.user_id = user_id;
  json::AppendQuoted(error, &response.error_json);
  return response;
}

OldResponse ResponseOf(const std::string& user_id, v1::Answer&& answer) {
  OldResponse response;
  response.user_id = user_id;
  response.success = answer.success();
  response.result_json = std::move(*answer.mutable_result_json());
  response.error_json = std::move(*answer.mutable_error_json());
  if (!answer.error().empty()) json::AppendQuoted(answer.error(), &response.error_json);
  response.execution_time_json = std::move(*answer.mutable_execution_time_json());
  if (response.execution_time_json.empty() && answer.has_execution_time_ms()) {
    response.execution_time_json = std::to_string(answer.execution_time_ms());
  }
  return response;
}

}  // namespace

struct OldChannels::Pending : TimerNode, CallRecord {
  MonoTime deadline;
  MonoTime wait_until{};  // Waiting for a session ends here; unset until it first waits.
  State state = State::kDelivered;
  // The row of the answer that another edge published, until this edge has noticed that the agent has moved there.
  std::optional<AuditRow> answered_elsewhere;
};

class OldChannels::Work {
 public:
  explicit Work(OldChannels* channels) : channels_(channels) {}

  v1::ControlFrame* frame() { return &frame_; }
  void Publish(std::string_view request_id, const OldResponse& response) {
    published_.emplace_back(ResponseChannel(request_id), EncodeOldResponse(response));
  }
  void SendToEdges(const v1::StrayAnswer& stray) {
    published_.emplace_back(kStrayAnswersChannel, stray.SerializeAsString());
  }
  void Audit(AuditTicket ticket, AuditRow&& row) { rows_.emplace_back(ticket, std::move(row)); }

  // With no lock held.
  void Run() {
    if (frame_.deliveries_size() > 0 || frame_.cancels_size() > 0) channels_->to_edge_(std::move(frame_));
    // Audit before the callers: if this process is killed, the row of a call that was answered says so.
    if (channels_->audit_ != nullptr) {
      for (auto& [ticket, row] : rows_) channels_->audit_->Settle(ticket, std::move(row));
    }
    for (auto& [channel, message] : published_) channels_->publish_(channel, std::move(message));
  }

 private:
  OldChannels* const channels_;
  v1::ControlFrame frame_;
  std::vector<std::pair<std::string, std::string>> published_;
  std::vector<std::pair<AuditTicket, AuditRow>> rows_;
};

OldChannels::OldChannels(const Clock& clock, Publish publish, AuditLog* audit, Options options, PayloadOptions payload)
    : clock_(clock),
      publish_(std::move(publish)),
      audit_(audit),
      options_(options),
      payload_(payload),
      wheel_(kTick, 1024, clock.Now()) {}

OldChannels::~OldChannels() = default;

// --- from backends ---------------------------------------------------------------------------------------------------

void OldChannels::OnCommand(const std::string& user_id, const std::string& message) {
  OldCommand command = DecodeOldCommand(message, payload_.json_depth_max);
  if (command.why_bad.empty() && command.params_json.size() > payload_.payload_bytes_max) {
    command.why_bad = "params are too large";
    command.params_json.clear();
  }
  counters_.commands.Add();
  if (!command.why_bad.empty()) {
    counters_.bad_commands.Add();
    log::Warn("old command refused", {{"user", user_id}, {"why", std::string(command.why_bad)}});
    if (command.request_id.empty()) return;  // There is no channel for a response.
  }
  auto pending = std::make_unique<Pending>();
  Pending* const call = pending.get();
  call->user_id = user_id;
  call->request_id = std::move(command.request_id);
  call->tool = std::move(command.tool);
  call->params_json = std::move(command.params_json);
  call->deadline = clock_.Now() + options_.call_timeout;
  call->Begin(audit_, clock_.WallMs());
  Work work(this);
  {
    MutexLock lock(mu_);
    call->call_id = ++last_call_id_;
    if (!command.why_bad.empty()) {
      FailLocked(call, E::INVALID_REQUEST, true, &work);
    } else if (!by_request_.emplace(RequestKey(call->user_id, call->request_id), call).second) {
      // A response on their common channel would end the wait for the first.
      FailLocked(call, E::DUPLICATE_REQUEST, false, &work);
    } else if (calls_.size() >= static_cast<size_t>(options_.calls_max)) {
      counters_.calls_full.Add();
      FailLocked(call, E::EDGE_UNAVAILABLE, true, &work);
    } else {
      calls_.emplace(call->call_id, std::move(pending));
      DeliverLocked(call, &work);
    }
  }
  work.Run();
}

void OldChannels::DeliverLocked(Pending* call, Work* work) {
  const Duration left = call->deadline - clock_.Now();
  if (left <= Duration::zero()) return FailLocked(call, E::CALL_TIMEOUT, true, work);
  call->state = State::kDelivered;
  wheel_.Disarm(call);  // The edge keeps the deadline.
  call->FillDeliver(left, work->frame()->add_deliveries());
}

// --- from the edge ---------------------------------------------------------------------------------------------------

void OldChannels::Send(v1::EdgeFrame&& frame) {
  Work work(this);
  {
    MutexLock lock(mu_);
    for (v1::Answer& answer : *frame.mutable_answers()) {
      if (Pending* call = FindLocked(answer.call_id())) AnswerLocked(call, std::move(answer), &work);
    }
    for (const v1::Refusal& refusal : frame.refusals()) {
      if (Pending* call = FindLocked(refusal.call_id())) RefuseLocked(call, refusal, &work);
    }
    for (v1::StrayAnswer& stray : *frame.mutable_strays()) StrayLocked(std::move(stray), &work);
  }
  work.Run();
}

void OldChannels::AnswerLocked(Pending* call, v1::Answer&& answer, Work* work) {
  counters_.answered.Add();
  AuditRow row = RowOfAnswer(audit_, answer);
  work->Publish(call->request_id, ResponseOf(call->user_id, std::move(answer)));
  SettleLocked(call, std::move(row), work);
}

void OldChannels::RefuseLocked(Pending* call, const v1::Refusal& refusal, Work* work) {
  const bool sent = refusal.delivery() != E::NOT_SENT;
  if (!sent) call->answered_elsewhere.reset();  // The answer was to an earlier call of this id.
  switch (refusal.cause()) {
    case v1::Refusal::NOT_HERE:
    case v1::Refusal::SESSION_LOST:
      if (call->answered_elsewhere) return SettleElsewhereLocked(call, work);
      if (sent) {
        call->state = State::kLost;
        return wheel_.Arm(call, call->deadline);
      }
      // The lease is here, so the session is about to open, or to be opened again by an agent that comes back.
      call->state = State::kWaiting;
      if (call->wait_until == MonoTime{}) {
        call->wait_until = std::min(call->deadline, clock_.Now() + options_.session_wait);
      }
      return wheel_.Arm(call, clock_.Now() + kTick);
    default:
      return FailLocked(call, ReasonOf(refusal.cause()), true, work);
  }
}

void OldChannels::StrayLocked(v1::StrayAnswer&& stray, Work* work) {
  auto found = by_request_.find(RequestKey(stray.user_id(), stray.request_id()));
  if (found != by_request_.end() && found->second->state != State::kWaiting) {
    return AnswerLocked(found->second, std::move(*stray.mutable_answer()), work);
  }
  counters_.strays_published.Add();
  work->Publish(stray.request_id(), ResponseOf(stray.user_id(), v1::Answer(stray.answer())));
  if (audit_ != nullptr) {
    std::string* result = stray.mutable_answer()->mutable_result_json();
    *result = audit_->Storable(*result);
  }
  work->SendToEdges(stray);
}

void OldChannels::OnStrayAnswer(const std::string& message) {
  v1::StrayAnswer stray;
  if (!stray.ParseFromString(message)) return;
  Work work(this);
  {
    MutexLock lock(mu_);
    const auto found = by_request_.find(RequestKey(stray.user_id(), stray.request_id()));
    if (found == by_request_.end()) return;
    Pending* const call = found->second;
    if (call->state == State::kWaiting) return;  // Not sent yet, so the answer is to an earlier call of this id.
    call->answered_elsewhere = RowOfAnswer(audit_, stray.answer());
    // As long as the session seems to be here, an answer of its own comes first.
    if (call->state == State::kLost) SettleElsewhereLocked(call, &work);
  }
  work.Run();
}

// --- settling --------------------------------------------------------------------------------------------------------

// The caller has its answer already.
void OldChannels::SettleElsewhereLocked(Pending* call, Work* work) {
  counters_.answered.Add();
  AuditRow row = *std::move(call->answered_elsewhere);
  SettleLocked(call, std::move(row), work);
}

void OldChannels::FailLocked(Pending* call, Reason reason, bool publish, Work* work) {
  if (call->answered_elsewhere) return SettleElsewhereLocked(call, work);
  counters_.failed.Add();
  if (publish) work->Publish(call->request_id, FailureResponse(call->user_id, RowOf(reason).sentence));
  SettleLocked(call, RowOfFailure(reason), work);
}

// The one way out. `call` may be gone when this returns.
void OldChannels::SettleLocked(Pending* call, AuditRow&& row, Work* work) {
  auto by_request = by_request_.find(RequestKey(call->user_id, call->request_id));
  if (by_request != by_request_.end() && by_request->second == call) by_request_.erase(by_request);
  const uint64_t call_id = call->call_id;
  call->MoveInto(&row, clock_.WallMs());
  work->Audit(call->ticket, std::move(row));
  calls_.erase(call_id);
}

void OldChannels::Tick() {
  Work work(this);
  {
    MutexLock lock(mu_);
    const MonoTime now = clock_.Now();
    wheel_.Advance(now, [&](TimerNode* node) {
      mu_.AssertHeld();
      auto* call = static_cast<Pending*>(node);
      if (call->state == State::kLost) return FailLocked(call, E::AGENT_LOST, true, &work);
      if (now >= call->wait_until) return FailLocked(call, E::AGENT_NOT_CONNECTED, true, &work);
      DeliverLocked(call, &work);
    });
  }
  work.Run();
}

void OldChannels::FailAll() {
  Work work(this);
  {
    MutexLock lock(mu_);
    std::vector<Pending*> left;
    for (auto& [call_id, call] : calls_) left.push_back(call.get());
    for (Pending* call : left) {
      // An agent that comes back elsewhere may still answer a call that was sent: the caller waits for that.
      const bool sent = call->state != State::kWaiting;
      FailLocked(call, sent ? E::AGENT_LOST : E::EDGE_UNAVAILABLE, !sent, &work);
    }
  }
  work.Run();
}

size_t OldChannels::in_flight() const {
  MutexLock lock(mu_);
  return calls_.size();
}

void OldChannels::AddSamples(std::vector<Sample>* out) const {
  AddGauge(out, "toolwire_edge_old_calls_in_flight", "Calls of the old Redis channels that are not settled.",
           static_cast<double>(in_flight()));
  counters_.AddSamples(out);
}

OldChannels::Pending* OldChannels::FindLocked(uint64_t call_id) {
  auto found = calls_.find(call_id);
  return found == calls_.end() ? nullptr : found->second.get();
}

}  // namespace toolwire
