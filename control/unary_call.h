// One CallTool: a call of the dispatcher's for one request of gRPC's.
#ifndef TOOLWIRE_CONTROL_UNARY_CALL_H_
#define TOOLWIRE_CONTROL_UNARY_CALL_H_

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "control/call_request.h"
#include "control/caller_budgets.h"
#include "control/caller_bytes.h"
#include "control/caller_check.h"
#include "control/dispatcher.h"
#include "control/stalls.h"

namespace toolwire {

// Keeps itself alive until gRPC is done with it.
class UnaryCall final : public grpc::ServerUnaryReactor,
                        public CallSink,
                        public CallerBytes::Holder,
                        public std::enable_shared_from_this<UnaryCall> {
 public:
  // `context` is gRPC's of this call; null in tests. `peer`: as it has it. `from`: as of Call.
  UnaryCall(const Clock& clock, Dispatcher& dispatcher, CallRequests& requests, CallerBytes& all, Stalls& stalls,
            grpc::CallbackServerContext* context, grpc::ByteBuffer* response, std::string_view peer = "",
            std::shared_ptr<Caller> from = nullptr)
      : Holder(all, peer),
        clock_(clock),
        dispatcher_(dispatcher),
        requests_(requests),
        stalls_(stalls),
        response_(response),
        from_(std::move(from)),
        context_(context) {}

  // `place`: kept until gRPC is done.
  void Begin(grpc::ByteBuffer bytes, CallerBudgets::Place place = {});

  void Settle(v1::DispatchAnswer&& outcome) override;
  void Flush() override {}
  void OnCancel() override;
  void OnDone() override;
  // Cancels the call, which then ends with RESOURCE_EXHAUSTED; once it has ended, what is unread of it is given up.
  void Drop() override;

 private:
  void Place(grpc::ByteBuffer bytes, std::optional<MonoTime> deadline);
  void Start(grpc::ByteBuffer bytes, std::optional<MonoTime> deadline);
  std::optional<v1::CallFailure> Read(grpc::ByteBuffer bytes, std::optional<MonoTime> deadline, Call* call);
  void End(grpc::Status status);

  const Clock& clock_;
  Dispatcher& dispatcher_;
  CallRequests& requests_;
  Stalls& stalls_;
  grpc::ByteBuffer* const response_;
  const std::shared_ptr<Caller> from_;
  CallerBudgets::Place place_;
  uint64_t call_id_ = 0;     // Constant after Begin.
  size_t params_bytes_ = 0;  // Constant after Start.
  std::atomic<bool> cancelled_{false}, dropped_{false};
  std::shared_ptr<UnaryCall> self_;
  Mutex mu_;
  grpc::CallbackServerContext* context_ ABSL_GUARDED_BY(mu_);  // Null once gRPC is done.
  MonoTime deadline_ ABSL_GUARDED_BY(mu_) = MonoTime::max();   // Of the call, once it is known.
  bool ended_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace toolwire

#endif  // TOOLWIRE_CONTROL_UNARY_CALL_H_
