// A call that is delivered becomes a frame in the session's queue. While it waits there the call is NOT_SENT, and a
// cancel or a timeout withdraws the frame; once NextFrame has taken it the call is SENT. An answer, a refusal or the
// end of the session removes the call from the session, from the loop's map and from its timer, so each ends once.
#include "edge/session.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace toolwire {

using E = v1::CallError;

namespace {

// What this edge can do beyond the base protocol.
constexpr Capabilities kEdgeCapabilities = kCapabilityCancel | kCapabilityLimits | kCapabilityBusy | kCapabilityTimes;

// A frame keeps its text as JSON in `result_json`; the other things that the agent reports are copied.
void FillAnswer(AgentFrame* frame, v1::Answer* answer) {
  answer->set_success(frame->success);
  answer->set_result_json(frame->result_json.data(), frame->result_json.size());
  if (frame->error.empty()) answer->set_error_json(frame->error_json.data(), frame->error_json.size());
  answer->set_error(std::move(frame->error));
  const std::optional<int64_t>& time = frame->execution_time_ms;
  if (time) answer->set_execution_time_ms(*time);
  if (!time || std::to_string(*time) != frame->execution_time_json) {
    answer->set_execution_time_json(frame->execution_time_json.data(), frame->execution_time_json.size());
  }
}

// How long the answer is waited for, for an agent that can read it.
AnswerTimes TimesOf(Capabilities capabilities, const v1::Deliver& deliver) {
  if ((capabilities & kCapabilityTimes) == 0) return {};
  const auto ms_of = [](int64_t us) { return us / 1000 + (us % 1000 > 0 ? 1 : 0); };
  AnswerTimes times;
  times.timeout_ms = std::max<int64_t>(ms_of(deliver.timeout_us()), 0);
  if (deliver.lost_timeout_us() > 0) times.lost_timeout_ms = ms_of(deliver.lost_timeout_us());
  return times;
}

// What this edge takes, for an agent that can read it.
PayloadLimits ResultLimits(Capabilities capabilities, const PayloadOptions& payload) {
  if ((capabilities & kCapabilityLimits) == 0) return {};
  return {static_cast<int64_t>(payload.payload_bytes_max), payload.json_depth_max};
}

}  // namespace

void Refuse(LinkId link, uint64_t call_id, v1::Refusal::Cause cause, E::Delivery delivery, LinkBatches* out) {
  v1::Refusal* refusal = out->For(link)->add_refusals();
  refusal->set_call_id(call_id);
  refusal->set_cause(cause);
  refusal->set_delivery(delivery);
}

Session::~Session() = default;

v1::SessionEvent Session::Event(bool connected, bool replaced) const {
  v1::SessionEvent event;
  event.set_user_id(user_id_);
  event.set_epoch(epoch_);
  event.set_connected(connected);
  event.set_replaced(replaced);
  event.set_connected_at_ms(connected_at_ms_);
  return event;
}

void Session::Welcome(std::string_view server_id, const Context& context) {
  Queue(OutFrame::Kind::kReply, EncodeConnected(user_id_, context.wall_ms, server_id), nullptr, context);
}

void Session::Deliver(LinkId link, v1::Deliver&& deliver, const Context& context) {
  const auto refuse = [&](v1::Refusal::Cause cause) {
    context.counters->refused.Add();
    Refuse(link, deliver.call_id(), cause, E::NOT_SENT, context.out);
  };
  if (closing_) return refuse(v1::Refusal::NOT_HERE);
  if (FindCall(deliver.request_id(), context) != nullptr) return refuse(v1::Refusal::DUPLICATE_REQUEST);
  if (context.unanswered->Has(owner(), deliver.request_id(), context.now)) {
    return refuse(v1::Refusal::EARLIER_UNANSWERED);
  }
  if (std::string why = WhyNotTaken(deliver.params_json(), context); !why.empty()) {
    context.counters->params_refused.Add();
    refuse(v1::Refusal::PARAMS_REFUSED);
    v1::EdgeFrame* const frame = context.out->For(link);
    return frame->mutable_refusals(frame->refusals_size() - 1)->set_why(std::move(why));
  }
  if (calls_.size() >= static_cast<size_t>(context.limits->calls_in_flight_max)) {
    context.counters->busy_calls.Add();
    return refuse(v1::Refusal::AGENT_BUSY);
  }
  // One frame may always wait, however large: otherwise a call near the size limit could never be sent.
  const size_t bytes =
      deliver.params_json().size() + deliver.tool().size() + deliver.request_id().size() + OutFrame::kCallOverheadBytes;
  if (!queue_.empty() && queued_bytes_ + bytes > context.limits->queued_bytes_max) {
    context.counters->busy_bytes.Add();
    return refuse(v1::Refusal::AGENT_BUSY);
  }
  if (context.counters->calls_in_flight.load(std::memory_order_relaxed) >= context.limits->edge_calls_in_flight_max) {
    context.counters->busy_edge.Add();
    return refuse(v1::Refusal::EDGE_UNAVAILABLE);
  }
  const int64_t edge_bytes = context.counters->queued_bytes.load(std::memory_order_relaxed);
  if (edge_bytes + static_cast<int64_t>(bytes) > static_cast<int64_t>(context.limits->edge_queued_bytes_max)) {
    context.counters->busy_edge_bytes.Add();
    return refuse(v1::Refusal::EDGE_UNAVAILABLE);
  }
  auto call = std::make_unique<SessionCall>();
  call->session = this;
  call->link = link;
  call->call_id = deliver.call_id();
  call->request_id = std::move(*deliver.mutable_request_id());
  SessionCall* const raw = call.get();
  context.call_wheel->Arm(raw, context.now + std::chrono::microseconds(deliver.timeout_us()));
  context.calls->emplace(std::make_pair(link, raw->call_id), raw);
  context.counters->calls_in_flight.fetch_add(1, std::memory_order_relaxed);
  context.counters->delivered.Add();
  Queue(OutFrame::Kind::kCall,
        EncodeToolCall(raw->request_id, deliver.tool(), deliver.params_json(), TimesOf(capabilities_, deliver)), raw,
        context);
  calls_.emplace(std::string_view(raw->request_id), std::move(call));
}

std::string Session::WhyNotTaken(std::string_view params_json, const Context& context) const {
  const auto& [bytes_max, json_depth_max] = params_limits_;
  if (bytes_max && params_json.size() > static_cast<uint64_t>(*bytes_max)) {
    return absl::StrCat("params are longer than the ", *bytes_max, " bytes that the agent takes");
  }
  // Control has seen that they are no deeper than that; a look costs 1 ms for each megabyte.
  if (!json_depth_max || *json_depth_max >= context.limits->payload.json_depth_max) return "";
  if (json::Validate(params_json, static_cast<int>(*json_depth_max), nullptr) != json::Error::kTooDeep) return "";
  return absl::StrCat("params are nested deeper than the ", *json_depth_max, " levels that the agent takes");
}

void Session::Receive(std::string_view text, const Context& context) {
  if (closing_) return;
  AgentFrame frame;
  context.decoder->Decode(text, &frame);
  Receive(text, &frame, context);
}

void Session::Receive(std::string_view text, AgentFrame* frame, const Context& context) {
  if (closing_) return;
  context.counters->frames_in.Add();
  if (frame->type == AgentFrame::Type::kBad) return ReceiveBad(text, frame, context);
  last_heard_ = context.now;
  switch (frame->type) {
    case AgentFrame::Type::kHeartbeat:
      context.counters->heartbeats.Add();
      context.heartbeats->push_back(id_);
      return QueueReply(EncodeHeartbeatAck(context.wall_ms), context);
    case AgentFrame::Type::kToolResponse:
      return ReceiveResponse(frame, context);
    case AgentFrame::Type::kHello:
      capabilities_ = frame->capabilities & kEdgeCapabilities;
      params_limits_ = frame->limits;
      return QueueReply(EncodeHelloAck(capabilities_, ResultLimits(capabilities_, context.limits->payload)), context);
    case AgentFrame::Type::kToolBusy:
      return ReceiveBusy(*frame, context);
    case AgentFrame::Type::kUnknown:
      context.counters->unknown_frames.Add();
      return;
    case AgentFrame::Type::kBad:
      return;
  }
}

void Session::ReceiveBusy(const AgentFrame& frame, const Context& context) {
  SessionCall* const call = FindCall(frame.request_id, context);
  if (call == nullptr || !call->sent) {
    context.unanswered->Remove(owner(), frame.request_id);
    MayStray(frame.request_id.size(), context);
    return;
  }
  context.counters->agent_busy.Add();
  Report(*call, v1::Refusal::AGENT_BUSY, /*ran=*/false, context);
  Remove(call, context);
}

void Session::ReceiveBad(std::string_view text, AgentFrame* frame, const Context& context) {
  const bool ended = !frame->request_id.empty() && EndUnreadable(frame, context);
  if (ended) last_heard_ = context.now;
  if (!ended) context.counters->bad_frames.Add();
  // RFC 6455: text that is not UTF-8 ends the connection.
  if (!json::IsUtf8(text)) return CloseWith(close_reason::kInvalidUtf8);
  if (ended) return;
  BeginMinute(context.now);
  if (++bad_frames_ < context.limits->bad_frames_max) return;
  context.counters->bad_frames_full.Add();
  CloseWith(close_reason::kTooManyBadFrames);
}

bool Session::EndUnreadable(AgentFrame* frame, const Context& context) {
  v1::Answer answer;
  absl::string_view why = frame->why_bad;
  if (!absl::ConsumePrefix(&why, "tool_response: ")) absl::ConsumePrefix(&why, "tool_busy: ");
  answer.set_error(absl::StrCat("the agent's answer cannot be read: ", why, "; the tool may have run"));
  answer.set_unreadable(std::move(frame->why_bad));
  SessionCall* const call = FindCall(frame->request_id, context);
  if (call != nullptr && call->sent) {
    context.counters->bad_answers.Add();
    answer.set_call_id(call->call_id);
    answer.set_session(id_);
    *context.out->For(call->link)->add_answers() = std::move(answer);
    Remove(call, context);
    return true;
  }
  // Of an earlier session perhaps. As every such frame is also a bad one, they are few.
  const bool expected = context.unanswered->Remove(owner(), frame->request_id);
  if (expected && unanswered_ > 0) --unanswered_;
  v1::StrayAnswer& stray = context.out->strays()->emplace_back();
  stray.set_user_id(user_id_);
  stray.set_request_id(std::move(frame->request_id));
  *stray.mutable_answer() = std::move(answer);
  return expected;
}

void Session::BeginMinute(MonoTime now) {
  const bool counts = bad_frames_ > 0 || strays_ > 0;
  if (counts && now - minute_began_ <= std::chrono::minutes(1)) return;
  minute_began_ = now;
  bad_frames_ = 0;
  strays_ = 0;
  stray_bytes_ = 0;
}

bool Session::MayStray(size_t bytes, const Context& context) {
  context.counters->strays.Add();
  if (unanswered_ > 0) {
    --unanswered_;
    return true;
  }
  BeginMinute(context.now);
  stray_bytes_ += bytes;
  LimitCounter* const full = ++strays_ > context.limits->strays_max           ? &context.counters->strays_full
                             : stray_bytes_ > context.limits->stray_bytes_max ? &context.counters->stray_bytes_full
                                                                              : nullptr;
  if (full == nullptr) return true;
  full->Add();
  CloseWith(close_reason::kTooManyStrays);
  return false;
}

void Session::ReceiveResponse(AgentFrame* frame, const Context& context) {
  SessionCall* const call = FindCall(frame->request_id, context);
  if (frame->result_json.size() > context.limits->payload.payload_bytes_max) {
    context.counters->too_big.Add();
    if (call != nullptr && call->sent) Drop(call, v1::Refusal::ANSWER_LOST, context);
    return CloseWith(close_reason::kResultTooLarge);
  }
  if (call == nullptr || !call->sent) {
    // Late, duplicate, or the answer to a call of an earlier session, which another edge or a control may match.
    context.unanswered->Remove(owner(), frame->request_id);
    if (!MayStray(frame->result_json.size() + frame->error_json.size() + frame->request_id.size(), context)) return;
    context.out->strays()->emplace_back();
    v1::StrayAnswer& stray = context.out->strays()->back();
    stray.set_user_id(user_id_);
    stray.set_request_id(std::move(frame->request_id));
    return FillAnswer(frame, stray.mutable_answer());
  }
  context.counters->answered.Add();
  v1::Answer* answer = context.out->For(call->link)->add_answers();
  answer->set_call_id(call->call_id);
  answer->set_session(id_);
  FillAnswer(frame, answer);
  Remove(call, context);
}

SessionCall* Session::FindCall(std::string_view request_id, const Context& context) {
  const auto found = calls_.find(request_id);
  if (found == calls_.end()) return nullptr;
  SessionCall* const call = found->second.get();
  const auto& down = *context.links_down;
  if (std::find(down.begin(), down.end(), call->link) == down.end()) return call;
  Orphan(call, context);
  return nullptr;
}

void Session::Queue(OutFrame::Kind kind, std::string text, SessionCall* call, const Context& context) {
  const auto frame = queue_.insert(queue_.end(), OutFrame{std::move(text), kind, call});
  if (call != nullptr) call->frame = frame;
  if (kind == OutFrame::Kind::kReply) ++replies_waiting_;
  queued_bytes_ += frame->bytes();
  context.counters->queued_bytes.fetch_add(static_cast<int64_t>(frame->bytes()), std::memory_order_relaxed);
}

std::string Session::Dequeue(std::list<OutFrame>::iterator frame, EdgeCounters* counters) {
  queued_bytes_ -= frame->bytes();
  counters->queued_bytes.fetch_sub(static_cast<int64_t>(frame->bytes()), std::memory_order_relaxed);
  if (frame->kind == OutFrame::Kind::kReply) --replies_waiting_;
  std::string text = std::move(frame->text);
  queue_.erase(frame);
  return text;
}

// Replies that the agent can provoke without end must not pile up when it does not read.
void Session::QueueReply(std::string text, const Context& context) {
  if (replies_waiting_ >= context.limits->queued_replies_max) {
    context.counters->slow_closed.Add();
    return CloseWith(close_reason::kNotReading);
  }
  Queue(OutFrame::Kind::kReply, std::move(text), nullptr, context);
}

bool Session::NextFrame(std::string* text, EdgeCounters* counters) {
  if (queue_.empty()) return false;
  if (SessionCall* const call = queue_.front().call) call->sent = true;
  *text = Dequeue(queue_.begin(), counters);
  return true;
}

void Session::EndUnanswered(SessionCall* call, v1::Refusal::Cause cause, const Context& context) {
  // No more of these wait than calls may be in flight: none is sent after the first of them until it is written.
  if (call->sent && !closing_ && (capabilities_ & kCapabilityCancel) != 0) {
    context.counters->tool_cancels.Add();
    Queue(OutFrame::Kind::kCancel, EncodeToolCancel(call->request_id), nullptr, context);
  }
  Drop(call, cause, context);
}

void Session::Drop(SessionCall* call, v1::Refusal::Cause cause, const Context& context) {
  Report(*call, cause, call->sent, context);
  Orphan(call, context);
}

void Session::Orphan(SessionCall* call, const Context& context) {
  if (call->sent) {
    ++unanswered_;
    context.unanswered->Add(owner(), call->request_id, 0, context.now);
  }
  Remove(call, context);
}

void Session::Report(const SessionCall& call, v1::Refusal::Cause cause, bool ran, const Context& context) {
  context.counters->refused.Add();
  Refuse(call.link, call.call_id, cause, ran ? E::SENT : E::NOT_SENT, context.out);
}

void Session::Remove(SessionCall* call, const Context& context) {
  Detach(call, context);
  // Out of the map first: its key lives in the call.
  auto node = calls_.extract(call->request_id);
}

void Session::Detach(SessionCall* call, const Context& context) {
  if (!call->sent) Dequeue(call->frame, context.counters);
  context.calls->erase(std::make_pair(call->link, call->call_id));
  context.counters->calls_in_flight.fetch_sub(1, std::memory_order_relaxed);
}

void Session::Lose(bool answers_lost, const Context& context) {
  closing_ = true;
  for (const auto& [request_id, call] : calls_) {
    const bool final = answers_lost && call->sent;
    Report(*call, final ? v1::Refusal::ANSWER_LOST : v1::Refusal::SESSION_LOST, call->sent, context);
    Detach(call.get(), context);
  }
  calls_.clear();
  while (!queue_.empty()) Dequeue(queue_.begin(), context.counters);
}

void Session::CloseWith(const CloseReason& reason) {
  if (closing_) return;
  closing_ = true;
  close_ = reason;
}

}  // namespace toolwire
