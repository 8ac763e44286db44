// From the public request to a call: what is checked, what is filled in. No gRPC, no I/O.
#ifndef TOOLWIRE_CONTROL_CALL_REQUEST_H_
#define TOOLWIRE_CONTROL_CALL_REQUEST_H_

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "common/base/clock.h"
#include "common/base/counter.h"
#include "common/base/low_priority_thread.h"
#include "control/control_options.h"
#include "control/dispatcher.h"
#include "control/request_shape.h"
#include "control/salvage.h"
#include "toolwire/v1/tool.pb.h"

namespace toolwire {

// Checks requests against the rules of dispatch.proto and tool.proto, and clamps their deadlines. Thread-safe.
class CallRequests {
 public:
  struct Counters : CounterSet {
    LimitCounter params_too_large{this, kControlLimitHits, "payload_bytes"};
    LimitCounter params_too_deep{this, kControlLimitHits, "json_depth"};
    LimitCounter hand_form_large{this, kControlLimitHits, "hand_form_bytes"};
    LimitCounter hand_form_queue_full{this, kControlLimitHits, "hand_form_queue_bytes"};
    LimitCounter timeouts_cut{this, kControlLimitHits, "call_timeout"};
  };

  // Of params in the hand form, and of results as JSON, that wait: some 200 ms of work. One may always wait.
  static constexpr size_t kHandFormQueueBytesMax = 16u << 20;

  CallRequests(const Clock& clock, CallerAuth& auth, const ControlOptions& options);

  // Fills `*call`, which names who calls, from `request`, whose strings are moved out. `caller_deadline` is the
  // deadline of the gRPC call, if there is one; `sent_at`: from when on the request's own time counts, if not from now.
  // On failure `*call` holds what can be audited of the request.
  std::optional<v1::CallFailure> Read(v1::CallToolRequest&& request, std::optional<MonoTime> caller_deadline, Call* call,
                                      std::optional<MonoTime> sent_at = std::nullopt);

  // The failure of a request with a name that is not UTF-8, or with params or a timeout that protobuf cannot read, or
  // with params that are too large for their form.
  v1::CallFailure RefuseUnreadable(SalvagedCall&& salvaged, Call* call);

  // Adds `result` to the response of a request that used `params`, as bytes; or says that it is left out.
  void AddResultValue(v1::CallToolResponse* response);
  // Settles with it, later if that takes long.
  void SettleInHandForm(const std::shared_ptr<CallSink>& sink, v1::DispatchAnswer&& outcome);

  void CountHandFormQueueFull() { counters_.hand_form_queue_full.Add(); }
  // Reads params and makes results of some size: gRPC's thread, which reads all callers, and links' threads, which
  // settle calls, must not wait for that.
  LowPriorityThread& thread() { return thread_; }
  const RequestBounds& bounds() const { return bounds_; }
  const Counters& counters() const { return counters_; }

 private:
  std::string MakeRequestId();
  v1::CallFailure ParamsTooLarge(const Call& call);

  const Clock& clock_;
  CallerAuth& auth_;
  const ControlOptions options_;
  const RequestBounds bounds_;
  const std::string id_prefix_;
  std::atomic<uint64_t> ids_made_{0};
  Counters counters_;
  LowPriorityThread thread_{kHandFormQueueBytesMax};  // Last: it uses the others.
};

// Between the dispatcher and the sink of a call that used `params`: adds the result in that form.
class HandFormSink final : public CallSink {
 public:
  HandFormSink(CallRequests& requests, std::shared_ptr<CallSink> sink) : requests_(requests), sink_(std::move(sink)) {}

  void Settle(v1::DispatchAnswer&& outcome) override { requests_.SettleInHandForm(sink_, std::move(outcome)); }
  void Flush() override { sink_->Flush(); }

 private:
  CallRequests& requests_;
  const std::shared_ptr<CallSink> sink_;
};

}  // namespace toolwire

#endif  // TOOLWIRE_CONTROL_CALL_REQUEST_H_
