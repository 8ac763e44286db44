// One row for each reason, read wherever a failure is reported: to gRPC, in audit rows, logs and metrics, and on the
// old channels. What an edge refuses becomes a reason first. A failure's details travel in the wire form of
// google.rpc.Status, written by messages of our own, so that this file needs no gRPC.
#include "common/wire/outcome.h"

namespace toolwire {
namespace {

using E = v1::CallError;

// Codes: 1 CANCELLED, 3 INVALID_ARGUMENT, 4 DEADLINE_EXCEEDED, 6 ALREADY_EXISTS, 7 PERMISSION_DENIED,
// 8 RESOURCE_EXHAUSTED, 10 ABORTED, 13 INTERNAL, 14 UNAVAILABLE, 16 UNAUTHENTICATED. An agent that lost its connection
// dials again after 1 s at the earliest (its back-off), a full queue drains within milliseconds.
constexpr OutcomeRow kRows[] = {
    {E::REASON_UNSPECIFIED, "INTERNAL", 13, 500, "internal error", 0},
    {E::AGENT_NOT_CONNECTED, "AGENT_NOT_CONNECTED", 14, 503, "no agent is connected for this user", 1000},
    {E::EDGE_UNAVAILABLE, "EDGE_UNAVAILABLE", 14, 503, "the edge that holds the agent is not available", 1000},
    {E::AGENT_BUSY, "AGENT_BUSY", 8, 429, "the agent has too many calls in flight", 100},
    {E::CALL_TIMEOUT, "CALL_TIMEOUT", 4, 504, "the agent did not answer in time", 0},
    {E::AGENT_LOST, "AGENT_LOST", 10, 502, "the agent was lost before it answered; the tool may have run", 0},
    {E::CALLER_CANCELLED, "CALLER_CANCELLED", 1, 499, "the caller cancelled", 0},
    {E::INVALID_REQUEST, "INVALID_REQUEST", 3, 400, "the request is not valid", 0},
    {E::DUPLICATE_REQUEST, "DUPLICATE_REQUEST", 6, 409, "a call with this request_id is in flight for this user", 0},
    {E::CALLER_BUSY, "CALLER_BUSY", 8, 429, "the caller has too many calls in flight on this stream", 100},
    {E::UNAUTHENTICATED, "UNAUTHENTICATED", 16, 401, "the token is not one that this control knows", 0},
    {E::PERMISSION_DENIED, "PERMISSION_DENIED", 7, 403, "the token may not do this", 0},
};

constexpr char kDetailType[] = "type.googleapis.com/toolwire.v1.CallError";

}  // namespace

const OutcomeRow& RowOf(Reason reason) {
  for (const OutcomeRow& row : kRows) {
    if (row.reason == reason) return row;
  }
  return kRows[0];
}

v1::CallFailure MakeFailure(Reason reason, Delivery delivery, std::string_view request_id, std::string_view message,
                            std::string_view field) {
  const OutcomeRow& row = RowOf(reason);
  v1::CallFailure failure;
  failure.set_code(row.grpc_code);
  if (message.empty()) {
    failure.set_message(row.sentence);
  } else {
    failure.set_message(message.data(), message.size());
  }
  v1::CallError* detail = failure.mutable_detail();
  detail->set_reason(reason);
  detail->set_delivery(delivery);
  detail->set_request_id(request_id.data(), request_id.size());
  if (!field.empty()) detail->set_field(field.data(), field.size());
  if (row.retry_after_ms > 0 && delivery == E::NOT_SENT) {
    detail->mutable_retry_after()->set_seconds(row.retry_after_ms / 1000);
    detail->mutable_retry_after()->set_nanos(row.retry_after_ms % 1000 * 1000000);
  }
  return failure;
}

Reason ReasonOf(v1::Refusal::Cause cause) {
  switch (cause) {
    case v1::Refusal::NOT_HERE:
      return E::AGENT_NOT_CONNECTED;
    case v1::Refusal::EDGE_UNAVAILABLE:
      return E::EDGE_UNAVAILABLE;
    case v1::Refusal::AGENT_BUSY:
      return E::AGENT_BUSY;
    case v1::Refusal::TIMED_OUT:
      return E::CALL_TIMEOUT;
    case v1::Refusal::CANCELLED:
      return E::CALLER_CANCELLED;
    case v1::Refusal::DUPLICATE_REQUEST:
    case v1::Refusal::EARLIER_UNANSWERED:
      return E::DUPLICATE_REQUEST;
    case v1::Refusal::PARAMS_REFUSED:
      return E::INVALID_REQUEST;
    case v1::Refusal::SESSION_LOST:
    case v1::Refusal::ANSWER_LOST:
      return E::AGENT_LOST;
    default:
      return E::REASON_UNSPECIFIED;
  }
}

std::string PackStatusDetails(const v1::CallFailure& failure) {
  v1::StatusDetails details;
  details.set_code(failure.code());
  details.set_message(failure.message());
  v1::PackedDetail* packed = details.add_details();
  packed->set_type_url(kDetailType);
  failure.detail().SerializeToString(packed->mutable_value());
  return details.SerializeAsString();
}

bool UnpackStatusDetails(const std::string& packed, v1::CallFailure* failure) {
  v1::StatusDetails details;
  if (!details.ParseFromString(packed)) return false;
  failure->set_code(details.code());
  failure->set_message(details.message());
  for (const v1::PackedDetail& detail : details.details()) {
    if (detail.type_url() == kDetailType) return failure->mutable_detail()->ParseFromString(detail.value());
  }
  return false;
}

}  // namespace toolwire
