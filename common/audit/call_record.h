// What every call has, whoever made it: its names, its delivery to the edge, and its one audit row.
#ifndef TOOLWIRE_COMMON_AUDIT_CALL_RECORD_H_
#define TOOLWIRE_COMMON_AUDIT_CALL_RECORD_H_

#include <chrono>
#include <cstdint>
#include <string>
#include <utility>

#include "common/audit/audit_log.h"
#include "common/base/clock.h"
#include "common/wire/outcome.h"
#include "toolwire/v1/relay.pb.h"

namespace toolwire {

struct CallRecord {
  uint64_t call_id = 0;  // On the links of this process.
  std::string user_id;
  std::string request_id;
  std::string tool;
  std::string params_json;  // One valid JSON object.
  std::string caller;       // The name of the caller's token; empty: none was asked for.
  AuditTicket ticket;

  // From here on the log knows that the call has begun. `log` may be null: no audit log.
  void Begin(AuditLog* log, int64_t wall_ms) {
    if (log != nullptr) ticket = log->Begin({user_id, request_id, tool, params_json, wall_ms, caller});
  }

  void FillDeliver(Duration left, v1::Deliver* deliver) const {
    deliver->set_call_id(call_id);
    deliver->set_user_id(user_id);
    deliver->set_request_id(request_id);
    deliver->set_tool(tool);
    deliver->set_params_json(params_json);
    deliver->set_timeout_us(std::chrono::duration_cast<std::chrono::microseconds>(left).count());
  }

  // The last use of the record: moves its names and params into the row of its outcome.
  void MoveInto(AuditRow* row, int64_t wall_ms) {
    row->user_id = std::move(user_id);
    row->request_id = std::move(request_id);
    row->tool = std::move(tool);
    row->params_json = std::move(params_json);
    row->caller = std::move(caller);
    row->created_at_ms = wall_ms;
  }
};

// How a call ended, as its row has it. Without a log nothing is copied of the result.
inline AuditRow RowOfAnswer(const AuditLog* log, const v1::Answer& answer) {
  AuditRow row;
  row.success = answer.success();
  if (log != nullptr) row.result_json = log->Storable(answer.result_json());
  row.error = answer.error();
  if (answer.has_execution_time_ms()) row.execution_time_ms = answer.execution_time_ms();
  return row;
}

inline AuditRow RowOfFailure(Reason reason) {
  AuditRow row;
  row.error = RowOf(reason).name;
  return row;
}

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_AUDIT_CALL_RECORD_H_
