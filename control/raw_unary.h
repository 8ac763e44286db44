// One call of a method whose request is small. gRPC's generated code parses whatever comes, up to the size that a
// CallTool may have: 16 MiB of unknown fields take some 300 MiB. So these methods take bytes, too.
#ifndef TOOLWIRE_CONTROL_RAW_UNARY_H_
#define TOOLWIRE_CONTROL_RAW_UNARY_H_

#include <grpcpp/grpcpp.h>

#include <utility>

#include "control/caller_budgets.h"
#include "control/caller_check.h"
#include "control/raw_message.h"

namespace toolwire {

// What answers the call, once, from any thread.
class UnaryAnswer {
 public:
  virtual ~UnaryAnswer() = default;
  // With the response, if the status is OK.
  virtual void Finish(const grpc::Status& status) = 0;
};

constexpr size_t kSmallRequestBytesMax = 16u << 10;

// Owns request and response until gRPC is done with the call.
template <typename Request, typename Response>
class RawUnary final : public grpc::ServerUnaryReactor, public UnaryAnswer {
 public:
  // Calls `handle(call, request, response)` if the bytes are a request. Returns the call's reactor.
  template <typename Handle>
  static grpc::ServerUnaryReactor* Start(const grpc::ByteBuffer& bytes, grpc::ByteBuffer* out,
                                         CallerBudgets::Place place, Handle&& handle) {
    auto* const call = new RawUnary(out, std::move(place));
    grpc::ByteBuffer message(bytes);
    if (message.Length() > kSmallRequestBytesMax) {
      call->Finish(Invalid("the request is larger than 16 KiB"));
    } else if (!FromBuffer(&message, &call->request_)) {
      call->Finish(Invalid("the request cannot be read: it has text that is not UTF-8, or is none of this method's"));
    } else {
      handle(static_cast<UnaryAnswer*>(call), &call->request_, &call->response_);
    }
    return call;
  }

  void Finish(const grpc::Status& status) override {
    if (status.ok()) *out_ = ToBuffer(response_);
    grpc::ServerUnaryReactor::Finish(status);
  }
  void OnDone() override { delete this; }

 private:
  RawUnary(grpc::ByteBuffer* out, CallerBudgets::Place place) : out_(out), place_(std::move(place)) {}

  static grpc::Status Invalid(const char* why) {
    return ToStatus(MakeFailure(v1::CallError::INVALID_REQUEST, v1::CallError::NOT_SENT, "", why));
  }

  grpc::ByteBuffer* const out_;
  const CallerBudgets::Place place_;
  Request request_;
  Response response_;
};

}  // namespace toolwire

#endif  // TOOLWIRE_CONTROL_RAW_UNARY_H_
