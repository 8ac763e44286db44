// The request is read into a call and let go of before the call begins. What is held for the caller until gRPC is done
// counts: the call and its params, then the response.
#include "control/unary_call.h"

#include <grpc/support/time.h>
#include <grpcpp/impl/codegen/proto_utils.h>

#include <algorithm>
#include <chrono>
#include <utility>
#include <vector>

#include "control/raw_message.h"
#include "control/salvage.h"

namespace toolwire {

using E = v1::CallError;

namespace {

// Beside the call, gRPC's own call and stream: 4,000 that were not answered took 16 kB each, with an edge's part.
constexpr size_t kGrpcCallBytes = 14u << 10;

// Larger ones with `params` are read by a thread of their own: 250 KiB take gRPC's thread 3 ms.
constexpr size_t kSmallBytesMax = 4096;

bool UsesParams(const RequestBounds& bounds, grpc::ByteBuffer* bytes) {
  grpc::ProtoBufferReader reader(bytes);
  return HasParams(&reader, bounds);
}

// Of the request's headers, of which a token may be 16 KiB; gRPC keeps them until the call is over.
size_t HeaderBytes(const grpc::CallbackServerContext& context) {
  size_t bytes = 0;
  for (const auto& [name, value] : context.client_metadata()) bytes += name.size() + value.size();
  return bytes;
}

// The deadline that the caller gave to gRPC, on our clock.
std::optional<MonoTime> DeadlineOf(const grpc::CallbackServerContext& context, const Clock& clock) {
  // gRPC's "none" is a time in the far future; those behind the year 2262 are none that std::chrono's clocks have.
  constexpr int64_t kYear = 24 * 3600 * 365;
  const gpr_timespec left = gpr_time_sub(context.raw_deadline(), gpr_now(context.raw_deadline().clock_type));
  if (left.tv_sec > kYear) return std::nullopt;
  return clock.Now() + std::chrono::seconds(std::max<int64_t>(left.tv_sec, -kYear)) +
         std::chrono::nanoseconds(left.tv_nsec);
}

}  // namespace

void UnaryCall::Begin(grpc::ByteBuffer bytes, CallerBudgets::Place place) {
  place_ = std::move(place);
  self_ = shared_from_this();
  std::optional<MonoTime> deadline;
  size_t header_bytes = 0;
  {
    MutexLock lock(mu_);
    if (context_ != nullptr) {
      deadline = DeadlineOf(*context_, clock_);
      header_bytes = HeaderBytes(*context_);
    }
  }
  Hold(CallerBytes::kCallBytes + kGrpcCallBytes + header_bytes);
  Join(weak_from_this());
  call_id_ = dispatcher_.NextCallId();
  const uint64_t ticks = stalls_.MustWait();
  if (ticks == 0) return Place(std::move(bytes), deadline);
  stalls_.Wait(ticks, [self = self_, bytes, deadline] { self->Place(bytes, deadline); });
}

// On this thread, or one of its own.
void UnaryCall::Place(grpc::ByteBuffer bytes, std::optional<MonoTime> deadline) {
  const size_t size = bytes.Length();
  if (size <= kSmallBytesMax || !UsesParams(requests_.bounds(), &bytes)) return Start(std::move(bytes), deadline);
  const auto start = [self = self_, bytes, deadline] { self->Start(bytes, deadline); };
  bytes.Clear();
  if (requests_.thread().Post(size, start)) return;
  requests_.CountHandFormQueueFull();
  const v1::CallFailure failure =
      MakeFailure(E::CALLER_BUSY, E::NOT_SENT, "", "too many large params wait: send params_json");
  Call rejected;
  rejected.SetFrom(from_);
  dispatcher_.RecordRejected(std::move(rejected), failure);
  End(ToStatus(failure));
}

void UnaryCall::Start(grpc::ByteBuffer bytes, std::optional<MonoTime> deadline) {
  std::vector<Call> calls(1);
  Call& call = calls.front();
  call.call_id = call_id_;
  call.sink = self_;
  call.cancelled_all = &cancelled_;
  call.SetFrom(from_);
  if (const auto failure = Read(std::move(bytes), deadline, &call)) {
    dispatcher_.RecordRejected(std::move(call), *failure);
    return End(ToStatus(*failure));
  }
  {
    MutexLock lock(mu_);
    deadline_ = call.deadline;
  }
  params_bytes_ = call.params_json.size();
  Hold(params_bytes_);
  dispatcher_.Begin(std::move(calls));
}

std::optional<v1::CallFailure> UnaryCall::Read(grpc::ByteBuffer bytes, std::optional<MonoTime> deadline, Call* call) {
  v1::CallToolRequest request;
  const Shape shape = ShapeOf(ShapeOfCall, requests_.bounds(), &bytes);
  if (shape == Shape::kFine && FromBuffer(&bytes, &request)) {
    if (request.has_params()) call->sink = std::make_shared<HandFormSink>(requests_, self_);
    return requests_.Read(std::move(request), deadline, call);
  }
  SalvagedCall salvaged;
  if (shape != Shape::kManyFields && !SalvageCall(BytesOf(bytes), requests_.bounds().hand_form_bytes_max, &salvaged)) {
    salvaged.bad_field = "params";
  }
  return requests_.RefuseUnreadable(std::move(salvaged), call);
}

void UnaryCall::Settle(v1::DispatchAnswer&& outcome) {
  Release(params_bytes_);
  if (outcome.has_failure()) return End(ToStatus(outcome.failure()));
  *response_ = ToBuffer(outcome.response());
  outcome.Clear();  // A large result is not held twice.
  Hold(response_->Length());
  End(grpc::Status::OK);
}

void UnaryCall::End(grpc::Status status) {
  {
    MutexLock lock(mu_);
    ended_ = true;
  }
  if (dropped_ && !status.ok()) {
    status = grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, CallerBytes::kFull, status.error_details());
  }
  Finish(std::move(status));
}

void UnaryCall::OnCancel() {
  // gRPC also cancels when the deadline has passed; then the dispatcher settles the call as CALL_TIMEOUT.
  {
    MutexLock lock(mu_);
    if (clock_.Now() >= deadline_) return;
  }
  cancelled_ = true;
  dispatcher_.Cancel({call_id_});
}

void UnaryCall::OnDone() {
  {
    MutexLock lock(mu_);
    context_ = nullptr;
  }
  Leave();
  self_.reset();  // May delete this.
}

void UnaryCall::Drop() {
  dropped_ = cancelled_ = true;
  {
    MutexLock lock(mu_);
    if (ended_ && context_ != nullptr) context_->TryCancel();
  }
  dispatcher_.Cancel({call_id_});
}

}  // namespace toolwire
