// The one table of how calls fail: reason, gRPC code, the replaced server's HTTP status, and the sentence people read.
#ifndef TOOLWIRE_COMMON_WIRE_OUTCOME_H_
#define TOOLWIRE_COMMON_WIRE_OUTCOME_H_

#include <string>
#include <string_view>

#include "toolwire/v1/relay.pb.h"
#include "toolwire/v1/tool.pb.h"

namespace toolwire {

using Reason = v1::CallError::Reason;
using Delivery = v1::CallError::Delivery;

// One row of the table. gRPC codes are plain numbers here, so that this file needs no gRPC.
struct OutcomeRow {
  Reason reason;
  const char* name;  // As in logs, metrics and audit rows.
  int grpc_code;
  int http_status;
  const char* sentence;  // The default message.
  int retry_after_ms;    // 0: trying again does not help.
};

// The row of a reason. Every reason has one.
const OutcomeRow& RowOf(Reason reason);

// The sentence of a DUPLICATE_REQUEST whose earlier call is not in flight any more.
inline constexpr char kEarlierUnanswered[] = "an earlier call with this id may still be answered";

// A failed call. `message` empty: the row's sentence. `field` only for INVALID_REQUEST.
v1::CallFailure MakeFailure(Reason reason, Delivery delivery, std::string_view request_id,
                            std::string_view message = {}, std::string_view field = {});

// What a refusal of the edge means for the caller. NOT_HERE and SESSION_LOST are not final (the dispatcher looks
// the user up again, or waits); this is the reason for when that has led to nothing.
Reason ReasonOf(v1::Refusal::Cause cause);

// The serialized `StatusDetails` that carries `failure` in the `grpc-status-details-bin` trailer.
std::string PackStatusDetails(const v1::CallFailure& failure);

// Reads what PackStatusDetails wrote. False if `packed` holds no CallError.
bool UnpackStatusDetails(const std::string& packed, v1::CallFailure* failure);

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_WIRE_OUTCOME_H_
