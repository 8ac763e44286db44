// A call goes over a Dispatch stream of its own, so that cancelling it still brings its outcome. A watch is read
// through a completion queue, as gRPC's blocking stream knows no limit of time.

#include "cli/dispatch_client.h"

#include <grpcpp/grpcpp.h>

#include <iostream>
#include <limits>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cli/control_channel.h"
#include "common/wire/outcome.h"
#include "toolwire/v1/dispatch.grpc.pb.h"

namespace toolwire {
namespace {

constexpr std::chrono::seconds kLookUpMax(10);
// How much later than the call itself its answer may arrive: control reports what happened to a call that timed out.
constexpr std::chrono::seconds kReportMax(5);

// Every control takes smaller messages.
constexpr size_t kMessageBytesAsked = 1u << 20;
// How long a control may take to say what it takes. An older one never does.
constexpr std::chrono::seconds kHelloMax(3);

v1::CallFailure MessageTooLarge(size_t bytes, uint64_t bytes_max) {
  v1::CallFailure failure;
  failure.set_code(grpc::StatusCode::INVALID_ARGUMENT);
  failure.set_message(
      absl::StrCat("params: the request is ", bytes, " bytes long, more than the ", bytes_max, " that control takes"));
  failure.mutable_detail()->set_reason(v1::CallError::INVALID_REQUEST);
  failure.mutable_detail()->set_delivery(v1::CallError::NOT_SENT);
  return failure;
}

// The detail of a status. One without comes from gRPC itself, and the call may have left.
v1::CallFailure FailureOf(const grpc::Status& status) {
  v1::CallFailure failure;
  if (UnpackStatusDetails(status.error_details(), &failure)) return failure;
  failure.set_code(status.error_code());
  failure.set_message(status.error_message());
  // gRPC of control refuses a message over its limit before anybody reads it. Ours takes answers of any size.
  const bool too_large = status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED &&
                         absl::StrContains(status.error_message(), "essage larger than max");
  if (too_large) failure.set_message("the call is larger than control takes: " + status.error_message());
  failure.mutable_detail()->set_delivery(too_large ? v1::CallError::NOT_SENT : v1::CallError::SENT);
  return failure;
}

class GrpcWatch final : public AgentWatch {
 public:
  GrpcWatch(v1::ToolDispatch::Stub* stub, const v1::WatchAgentsRequest& request)
      : reader_(stub->AsyncWatchAgents(&context_, request, &queue_, Tag(kStarted))) {}

  Next Read(v1::WatchAgentsResponse* message, Time until) override {
    if (!waiting_) reader_->Read(&message_, Tag(kRead));
    waiting_ = true;
    void* tag = nullptr;
    bool ok = false;
    while (queue_.AsyncNext(&tag, &ok, until) != grpc::CompletionQueue::TIMEOUT) {
      if (tag == Tag(kFinished)) return Next::kEnded;
      if (!ok) {
        reader_->Finish(&status_, Tag(kFinished));
      } else if (tag == Tag(kStarted)) {
        reader_->Read(&message_, Tag(kRead));
      } else {
        waiting_ = false;
        message->Swap(&message_);
        return Next::kMessage;
      }
    }
    return Next::kTimeout;
  }

  absl::Status Finish() override { return ToStatus(status_); }
  void Cancel() override { context_.TryCancel(); }

 private:
  enum Step { kStarted = 1, kRead, kFinished };
  static void* Tag(Step step) { return reinterpret_cast<void*>(static_cast<intptr_t>(step)); }

  grpc::ClientContext context_;
  grpc::CompletionQueue queue_;
  std::unique_ptr<grpc::ClientAsyncReader<v1::WatchAgentsResponse>> reader_;
  v1::WatchAgentsResponse message_;
  grpc::Status status_;
  bool waiting_ = true;  // For the start, a message or the end.
};

class GrpcDispatchClient final : public DispatchClient {
 public:
  explicit GrpcDispatchClient(const std::shared_ptr<grpc::Channel>& channel)
      : stub_(v1::ToolDispatch::NewStub(channel)) {}

  absl::StatusOr<v1::Agent> GetAgent(const v1::GetAgentRequest& request) override {
    return Ask<v1::Agent>(&v1::ToolDispatch::Stub::GetAgent, request);
  }

  absl::StatusOr<v1::ListAgentsResponse> ListAgents(const v1::ListAgentsRequest& request) override {
    return Ask<v1::ListAgentsResponse>(&v1::ToolDispatch::Stub::ListAgents, request);
  }

  // On a Dispatch stream, and not as a CallTool: after cancelling that, the caller does not learn whether the tool may
  // have run.
  v1::DispatchAnswer Call(const v1::CallToolRequest& request, Duration timeout, Interrupt* interrupt) override {
    constexpr uint64_t kId = 1;
    v1::DispatchRequest message;
    v1::DispatchCall* const call = message.add_calls();
    call->set_id(kId);
    *call->mutable_call() = request;
    v1::DispatchAnswer answer;
    if (const size_t bytes = message.ByteSizeLong(); bytes > kMessageBytesAsked) {
      // A larger message ends the stream, and that would not show whether the call was read.
      const uint64_t bytes_max = MessageBytesMax();
      if (bytes > bytes_max) {
        *answer.mutable_failure() = MessageTooLarge(bytes, bytes_max);
        return answer;
      }
    }
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + timeout + kReportMax);
    const auto stream = stub_->Dispatch(&context);
    stream->Write(message);  // Whether it worked shows in what is read.
    interrupt->Set([&stream] {
      std::cerr << "cancelling; once more ends this without waiting\n";
      v1::DispatchRequest cancel;
      cancel.add_cancels(kId);
      stream->Write(cancel);
    });
    v1::DispatchReply reply;
    const bool answered = stream->Read(&reply) && reply.answers_size() > 0;
    interrupt->Set(nullptr);
    stream->WritesDone();
    v1::DispatchReply rest;
    while (answered && stream->Read(&rest)) {
    }
    const grpc::Status status = stream->Finish();
    if (answered) {
      answer.Swap(reply.mutable_answers(0));
    } else {
      *answer.mutable_failure() = FailureOf(status);
    }
    return answer;
  }

  std::unique_ptr<AgentWatch> Watch(const v1::WatchAgentsRequest& request) override {
    return std::make_unique<GrpcWatch>(stub_.get(), request);
  }

 private:
  template <typename Response, typename Request>
  absl::StatusOr<Response> Ask(grpc::Status (v1::ToolDispatch::Stub::*method)(grpc::ClientContext*, const Request&,
                                                                              Response*),
                               const Request& request) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kLookUpMax);
    Response response;
    const grpc::Status status = (stub_.get()->*method)(&context, request, &response);
    if (!status.ok()) return ToStatus(status);
    return response;
  }

  // What control says that it takes on a stream; without a limit if it does not say.
  uint64_t MessageBytesMax() {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kHelloMax);
    context.AddMetadata("toolwire-hello", "1");
    const auto stream = stub_->Dispatch(&context);
    v1::DispatchReply reply;
    const bool told = stream->Read(&reply) && reply.hello().message_bytes_max() > 0;
    context.TryCancel();
    stream->Finish();
    return told ? reply.hello().message_bytes_max() : std::numeric_limits<uint64_t>::max();
  }

  const std::unique_ptr<v1::ToolDispatch::Stub> stub_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<DispatchClient>> DispatchClient::Connect(const ControlTarget& target) {
  const auto channel = ConnectToControl(target);
  if (!channel.ok()) return channel.status();
  return std::make_unique<GrpcDispatchClient>(*channel);
}

}  // namespace toolwire
