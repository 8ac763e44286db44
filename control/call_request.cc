// Checks the names first and fills them in as far as they are valid, so that a rejected call has an audit row; then the
// params, which are kept as text (only the Struct form is converted), and last the deadline. The first thing that is
// wrong ends the check.
#include "control/call_request.h"

#include <google/protobuf/unknown_field_set.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/json_text.h"
#include "common/base/random_hex.h"
#include "common/wire/names.h"
#include "control/hand_form.h"

namespace toolwire {

using E = v1::CallError;

namespace {

// How long before the deadline of the caller's gRPC a call's own is, so that its answer comes first: time for the edge
// to report, whose timers have 8 ms, and for control, whose have 10. Of a short deadline its parts.
constexpr Duration kDeadlineMargin = std::chrono::milliseconds(40), kAnswerMargin = std::chrono::milliseconds(20);
// What gRPC clients receive by default, less what is around one response. A result that does not fit beside its text is
// left out.
constexpr size_t kResponseBytesMax = (4u << 20) - 1024;
// Made at once: that takes up to 50 us.
constexpr size_t kSmallResultBytesMax = 4096;
// Around the result: DispatchReply, DispatchAnswer and CallToolResponse.
constexpr int kResultLevel = 3;

v1::CallFailure Invalid(const Call& call, std::string_view field, const std::string& message) {
  return MakeFailure(E::INVALID_REQUEST, E::NOT_SENT, call.request_id, message, field);
}

}  // namespace

CallRequests::CallRequests(const Clock& clock, CallerAuth& auth, const ControlOptions& options)
    : clock_(clock),
      auth_(auth),
      options_(options),
      bounds_{static_cast<size_t>(options.message_calls_max), static_cast<size_t>(options.stream_calls_in_flight_max),
              static_cast<size_t>(options.watch_users_max), options.hand_form_bytes_max},
      id_prefix_("req_" + RandomHex(6) + "_") {}

std::string CallRequests::MakeRequestId() {
  return absl::StrCat(id_prefix_, absl::Hex(ids_made_.fetch_add(1, std::memory_order_relaxed) + 1));
}

std::optional<v1::CallFailure> CallRequests::Read(v1::CallToolRequest&& request,
                                                  std::optional<MonoTime> caller_deadline, Call* call,
                                                  std::optional<MonoTime> sent_at) {
  call->user_id = std::move(*request.mutable_user_id());
  call->tool = std::move(*request.mutable_tool());
  call->request_id = std::move(*request.mutable_request_id());
  const char* const bad_id = CheckRequestId(call->request_id);
  if (bad_id != nullptr) CutName(&call->request_id);
  if (call->request_id.empty()) call->request_id = MakeRequestId();
  if (bad_id != nullptr) return Invalid(*call, "request_id", absl::StrCat("request_id ", bad_id));
  if (const char* problem = CheckUserId(call->user_id)) {
    CutName(&call->user_id);
    return Invalid(*call, "user_id", absl::StrCat("user_id ", problem));
  }
  if (auto refused = auth_.CheckUser(call->from.get(), call->user_id, call->request_id)) return refused;
  if (const char* problem = CheckToolName(call->tool)) {
    CutName(&call->tool);
    return Invalid(*call, "tool", absl::StrCat("tool ", problem));
  }

  std::string_view params_field = "params_json";
  if (request.has_params()) {
    if (!request.params_json().empty()) return Invalid(*call, "params", "set either params or params_json, not both");
    params_field = "params";
    if (!AppendJson(request.params(), &call->params_json)) {
      call->params_json.clear();
      return Invalid(*call, "params", "params hold a number that JSON does not have, or a value of no kind");
    }
    if (call->params_json.size() > options_.hand_form_bytes_max) {
      call->params_json.clear();
      return ParamsTooLarge(*call);
    }
  } else {
    call->params_json = std::move(*request.mutable_params_json());
  }
  if (call->params_json.empty()) call->params_json = "{}";
  if (call->params_json.size() > options_.payload.payload_bytes_max) {
    counters_.params_too_large.Add();
    const size_t bytes = call->params_json.size();
    call->params_json.clear();  // Not worth an audit row of its size.
    return Invalid(*call, params_field,
                   absl::StrCat("params are ", bytes, " bytes, more than ", options_.payload.payload_bytes_max));
  }
  json::Kind kind = json::Kind::kNull;
  const json::Error error = json::Validate(call->params_json, options_.payload.json_depth_max, &kind);
  if (error != json::Error::kNone) {
    if (error == json::Error::kTooDeep) counters_.params_too_deep.Add();
    return Invalid(*call, params_field, absl::StrCat("params are not valid: ", json::ErrorText(error)));
  }
  if (kind != json::Kind::kObject) return Invalid(*call, params_field, "params must be a JSON object");

  Duration timeout = options_.call_timeout_default;
  const Duration longest = options_.call_timeout_max;
  if (request.has_timeout()) {
    const auto& asked = request.timeout();
    if (asked.seconds() < 0 || asked.nanos() < 0 || (asked.seconds() == 0 && asked.nanos() == 0)) {
      return Invalid(*call, "timeout", "timeout must be positive");
    }
    const auto longest_seconds = std::chrono::duration_cast<std::chrono::seconds>(longest).count();
    timeout = std::chrono::seconds(std::min<int64_t>(asked.seconds(), longest_seconds + 1)) +
              std::chrono::nanoseconds(asked.nanos());
  }
  const MonoTime now = clock_.Now();
  if (timeout > longest && (!caller_deadline || *caller_deadline - now > longest)) counters_.timeouts_cut.Add();
  call->deadline = sent_at.value_or(now) + std::min(timeout, longest);
  if (caller_deadline) {
    // A little before the caller's own gRPC ends the call, which would not report whether the tool may have run.
    const Duration left = std::max(*caller_deadline - now, Duration::zero());
    call->deadline = std::min(call->deadline, *caller_deadline - std::min<Duration>(left / 5 * 3, kDeadlineMargin));
    call->answer_by = *caller_deadline - std::min<Duration>(left / 3, kAnswerMargin);
  }
  return std::nullopt;
}

v1::CallFailure CallRequests::ParamsTooLarge(const Call& call) {
  counters_.hand_form_large.Add();
  return Invalid(call, "params",
                 absl::StrCat("params are more than ", options_.hand_form_bytes_max, " bytes: send params_json"));
}

v1::CallFailure CallRequests::RefuseUnreadable(SalvagedCall&& salvaged, Call* call) {
  salvaged.request.clear_timeout();                       // It is not cut.
  Read(std::move(salvaged.request), std::nullopt, call);  // Fills in what the audit row can hold.
  if (salvaged.params_too_large) return ParamsTooLarge(*call);
  const std::string& field = salvaged.bad_field;
  if (field.empty()) return Invalid(*call, "", "too many repeated or unknown fields");
  const bool message = field == "params" || field == "timeout";
  return Invalid(*call, field, field + (message ? " cannot be read" : " is not UTF-8"));
}

void CallRequests::SettleInHandForm(const std::shared_ptr<CallSink>& sink, v1::DispatchAnswer&& outcome) {
  const size_t bytes = outcome.response().result_json().size();
  if (bytes <= kSmallResultBytesMax || bytes > options_.hand_form_bytes_max) {
    if (outcome.has_response()) AddResultValue(outcome.mutable_response());
    return sink->Settle(std::move(outcome));
  }
  const auto kept = std::make_shared<v1::DispatchAnswer>(std::move(outcome));
  const bool taken = thread_.Post(bytes, [this, sink, kept] {
    AddResultValue(kept->mutable_response());
    sink->Settle(std::move(*kept));
    sink->Flush();
  });
  if (taken) return;
  counters_.hand_form_queue_full.Add();
  kept->mutable_response()->set_result_omitted(true);
  sink->Settle(std::move(*kept));
}

// The value is made as bytes, and is a field of the response that this process does not know: objects of it would take
// ten times its text, and be serialized once more.
void CallRequests::AddResultValue(v1::CallToolResponse* response) {
  const std::string& json = response->result_json();
  if (json.empty()) return;
  const size_t rest = std::min(response->ByteSizeLong(), kResponseBytesMax);
  std::string value;
  if (json.size() > options_.hand_form_bytes_max) {
    counters_.hand_form_large.Add();
  } else if (AppendValue(json, kResultLevel, kResponseBytesMax - rest, &value)) {
    *response->GetReflection()->MutableUnknownFields(response)->AddLengthDelimited(
        v1::CallToolResponse::kResultFieldNumber) = std::move(value);
    return;
  }
  response->set_result_omitted(true);
}

}  // namespace toolwire
