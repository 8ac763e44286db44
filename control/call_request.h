// From the public request to a call: what is checked, what is filled in. No gRPC, no I/O.
#ifndef TOOLWIRE_CONTROL_CALL_REQUEST_H_
#define TOOLWIRE_CONTROL_CALL_REQUEST_H_

#include <atomic>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/clock.h"
#include "common/base/counter.h"
#include "control/control_options.h"
#include "control/dispatcher.h"
#include "toolwire/v1/tool.pb.h"

namespace toolwire {

// Checks requests against the rules of dispatch.proto and tool.proto, and clamps their deadlines. Thread-safe.
class CallRequests {
 public:
  struct Counters : CounterSet {
    LimitCounter params_too_large{this, kControlLimitHits, "payload_bytes"};
    LimitCounter params_too_deep{this, kControlLimitHits, "json_depth"};
    LimitCounter timeouts_cut{this, kControlLimitHits, "call_timeout"};
  };

  CallRequests(const Clock& clock, const ControlOptions& options);

  // Fills `*call` from `request`, whose strings are moved out. `caller_deadline` is the deadline of the gRPC call, if
  // there is one. On failure `*call` holds what can be audited of the request.
  std::optional<v1::CallFailure> Read(v1::CallToolRequest&& request, std::optional<MonoTime> caller_deadline,
                                      Call* call);

  // The failure of a request with a name that is not UTF-8, or with params or a timeout that protobuf cannot read.
  v1::CallFailure RefuseUnreadable(v1::CallToolRequest&& request, std::string_view bad_field, Call* call);

  // Adds `result` to the response of a request that used `params`; leaves it unset where protobuf cannot hold it.
  static void AddResultValue(v1::CallToolResponse* response);

  const Counters& counters() const { return counters_; }

 private:
  std::string MakeRequestId();

  const Clock& clock_;
  const ControlOptions options_;
  const std::string id_prefix_;
  std::atomic<uint64_t> ids_made_{0};
  Counters counters_;
};

}  // namespace toolwire

#endif  // TOOLWIRE_CONTROL_CALL_REQUEST_H_
