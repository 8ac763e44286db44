// CallTool is a UnaryCall, a sink of its one call; Dispatch and WatchAgents are streams in files of their own, kept in
// a table so that they can be ended when control stops. GetAgent and ListAgents answer from the directory, GetAgent
// from the registry for a user whom the directory does not know.
#include "control/dispatch_service.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "control/grpc_threads.h"
#include "control/raw_message.h"
#include "control/salvage.h"

namespace toolwire {

using E = v1::CallError;

namespace {

grpc::Status ToStatus(const v1::CallFailure& failure) {
  return grpc::Status(static_cast<grpc::StatusCode>(failure.code()), failure.message(), PackStatusDetails(failure));
}

// The deadline that the caller gave to gRPC, on our clock.
std::optional<MonoTime> DeadlineOf(const grpc::CallbackServerContext& context, const Clock& clock) {
  const auto left = context.deadline() - std::chrono::system_clock::now();
  if (left > std::chrono::hours(24 * 365)) return std::nullopt;  // gRPC's "none" is a time in the far future.
  return clock.Now() + std::chrono::duration_cast<Duration>(left);
}

constexpr Duration kUnusedLookEvery = std::chrono::seconds(1);
constexpr size_t kLargeBytes = 64u << 10;

// One CallTool. Keeps itself alive until gRPC is done with it.
class UnaryCall final : public grpc::ServerUnaryReactor,
                        public CallSink,
                        public CallerBytes::Holder,
                        public std::enable_shared_from_this<UnaryCall> {
 public:
  UnaryCall(const Clock& clock, Dispatcher& dispatcher, grpc::ByteBuffer* response, CallerBytes& all,
            grpc::CallbackServerContext* context)
      : Holder(all), clock_(clock), dispatcher_(dispatcher), response_(response), context_(context) {}

  void Begin(CallRequests& requests, grpc::ByteBuffer bytes, std::optional<MonoTime> deadline) {
    self_ = shared_from_this();
    std::vector<Call> calls(1);
    Call& call = calls.front();
    call.call_id = call_id_ = dispatcher_.NextCallId();
    call.sink = self_;
    std::optional<v1::CallFailure> failure;
    v1::CallToolRequest request;
    const Shape shape = ShapeOf(ShapeOfCall, requests.bounds(), &bytes);
    if (shape == Shape::kFine && FromBuffer(&bytes, &request)) {
      if (request.has_params()) call.sink = std::make_shared<HandFormSink>(requests, self_);
      failure = requests.Read(std::move(request), deadline, &call);
    } else if (shape == Shape::kManyFields) {
      failure = requests.RefuseUnreadable(SalvagedCall(), &call);
    } else {
      SalvagedCall salvaged;
      if (!SalvageCall(BytesOf(bytes), requests.bounds().hand_form_bytes_max, &salvaged)) salvaged.bad_field = "params";
      failure = requests.RefuseUnreadable(std::move(salvaged), &call);
    }
    if (failure) {
      dispatcher_.RecordRejected(std::move(call), *failure);
      return Finish(ToStatus(*failure));
    }
    deadline_ = call.deadline;
    HoldLarge(call.params_json.size());
    dispatcher_.Begin(std::move(calls));
  }

  void Settle(v1::DispatchAnswer&& outcome) override {
    if (outcome.has_failure()) return Finish(ToStatus(outcome.failure()));
    *response_ = ToBuffer(outcome.response());
    HoldLarge(response_->Length());
    Finish(grpc::Status::OK);
  }
  void Flush() override {}
  void OnCancel() override {
    // gRPC also cancels when the deadline has passed; then the dispatcher settles the call as CALL_TIMEOUT.
    if (clock_.Now() < deadline_) dispatcher_.Cancel({call_id_});
  }
  void OnDone() override {
    {
      MutexLock lock(mu_);
      context_ = nullptr;
    }
    if (joined_) Leave();
    self_.reset();
  }
  void Drop() override {
    MutexLock lock(mu_);
    if (context_ != nullptr) context_->TryCancel();
  }

 private:
  // Smaller ones are bounded by the connection's streams; most calls take no lock here.
  void HoldLarge(size_t bytes) {
    Hold(bytes);
    if (bytes >= kLargeBytes && !std::exchange(joined_, true)) Join(weak_from_this());
  }

  const Clock& clock_;
  Dispatcher& dispatcher_;
  grpc::ByteBuffer* const response_;
  MonoTime deadline_{};  // Constant after Begin.
  uint64_t call_id_ = 0;
  bool joined_ = false;  // As one that holds much.
  std::shared_ptr<UnaryCall> self_;
  Mutex mu_;
  grpc::CallbackServerContext* context_ ABSL_GUARDED_BY(mu_);  // Null once gRPC is done.
};

// A stream that may not begin.
template <typename Reactor>
class Refused final : public Reactor {
 public:
  explicit Refused(const grpc::Status& status) { this->Finish(status); }
  void OnDone() override { delete this; }
};

v1::CallFailure TooManyStreams() {
  return MakeFailure(E::CALLER_BUSY, E::NOT_SENT, "", "too many streams are open on this control, or it is stopping");
}

}  // namespace

DispatchService::DispatchService(const Clock& clock, Dispatcher& dispatcher, AgentDirectory& directory,
                                 Registry& registry, const ControlOptions& options)
    : clock_(clock),
      dispatcher_(dispatcher),
      directory_(directory),
      registry_(registry),
      options_(options),
      requests_(clock, options),
      caller_bytes_(options.caller_bytes_max),
      turns_(clock, GrpcThreads::Serving(options.grpc_threads)) {}

grpc::ServerUnaryReactor* DispatchService::CallTool(grpc::CallbackServerContext* context,
                                                    const grpc::ByteBuffer* request, grpc::ByteBuffer* response) {
  auto call = std::make_shared<UnaryCall>(clock_, dispatcher_, response, caller_bytes_, context);
  call->Begin(requests_, *request, DeadlineOf(*context, clock_));
  return call.get();
}

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* DispatchService::Dispatch(
    grpc::CallbackServerContext* context) {
  auto stream =
      std::make_shared<DispatchStream>(dispatcher_, requests_, options_, counters_, caller_bytes_, turns_, context);
  const std::weak_ptr<DispatchStream> weak = stream;
  const uint64_t number = AdmitStream({[weak] {
                                         if (const auto alive = weak.lock()) alive->EndWhenIdle();
                                       },
                                       [weak, limit = options_.stream_idle_timeout](MonoTime now) {
                                         if (const auto alive = weak.lock()) alive->EndIfUnused(now, limit);
                                       }});
  if (number == 0) {
    return new Refused<grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>>(ToStatus(TooManyStreams()));
  }
  stream->Begin([this, number] { StreamDone(number); });
  return stream.get();
}

grpc::ServerUnaryReactor* DispatchService::GetAgent(grpc::CallbackServerContext*, const grpc::ByteBuffer* request,
                                                    grpc::ByteBuffer* response) {
  return RawUnary<v1::GetAgentRequest, v1::Agent>::Start(
      *request, response, [this](auto* answer, auto* in, auto* out) { Get(answer, in, out); });
}

grpc::ServerUnaryReactor* DispatchService::ListAgents(grpc::CallbackServerContext*, const grpc::ByteBuffer* request,
                                                      grpc::ByteBuffer* response) {
  return RawUnary<v1::ListAgentsRequest, v1::ListAgentsResponse>::Start(
      *request, response, [this](auto* answer, auto* in, auto* out) { List(answer, in, out); });
}

void DispatchService::Get(UnaryAnswer* answer, const v1::GetAgentRequest* request, v1::Agent* response) {
  if (request->user_id().empty()) {
    return answer->Finish(
        ToStatus(MakeFailure(E::INVALID_REQUEST, E::NOT_SENT, "", "user_id must not be empty", "user_id")));
  }
  const std::optional<Presence> known = directory_.Find(request->user_id());
  if (known) {
    *response = ToAgent(request->user_id(), known);
    return answer->Finish(grpc::Status::OK);
  }
  // A control that has just started, or is not linked to that edge, knows less than the registry.
  registry_.Lookup(request->user_id(), [answer, response, user_id = request->user_id()](auto lease) {
    if (!lease.ok()) {
      const std::string why(lease.status().message());
      return answer->Finish(ToStatus(MakeFailure(E::EDGE_UNAVAILABLE, E::NOT_SENT, "", "registry: " + why)));
    }
    std::optional<Presence> presence;
    if (*lease && (*lease)->epoch != 0) presence = Presence{(*lease)->edge_id, (*lease)->epoch, 0};
    *response = ToAgent(user_id, presence);
    answer->Finish(grpc::Status::OK);
  });
}

void DispatchService::List(UnaryAnswer* answer, const v1::ListAgentsRequest* request,
                           v1::ListAgentsResponse* response) {
  if (request->page_size() < 0) {
    return answer->Finish(
        ToStatus(MakeFailure(E::INVALID_REQUEST, E::NOT_SENT, "", "page_size must not be negative", "page_size")));
  }
  const size_t size = request->page_size() == 0 ? 100 : std::min(request->page_size(), 1000);
  // The token is the last user id of the page before, so that agents may come and go between pages.
  std::vector<v1::Agent> agents = directory_.List(request->page_token(), size + 1, request->server_id());
  if (agents.size() > size) {
    agents.pop_back();
    response->set_next_page_token(agents.back().user_id());
  }
  for (v1::Agent& agent : agents) *response->add_agents() = std::move(agent);
  const size_t total = request->server_id().empty() ? directory_.size() : directory_.size_of(request->server_id());
  response->set_total_connected(static_cast<int64_t>(total));
  answer->Finish(grpc::Status::OK);
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* DispatchService::WatchAgents(grpc::CallbackServerContext* context,
                                                                         const grpc::ByteBuffer* bytes) {
  using Ended = Refused<grpc::ServerWriteReactor<grpc::ByteBuffer>>;
  grpc::ByteBuffer message(*bytes);
  v1::WatchAgentsRequest request;
  if (ShapeOf(ShapeOfWatch, requests_.bounds(), &message) != Shape::kFine) {
    counters_.watch_users_full.Add();
    return new Ended(grpc::Status(grpc::StatusCode::INVALID_ARGUMENT,
                                  absl::StrCat("more than ", options_.watch_users_max, " user_ids")));
  }
  if (!FromBuffer(&message, &request)) {
    return new Ended(grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "not a WatchAgentsRequest"));
  }
  auto stream =
      std::make_shared<WatchStream>(directory_, counters_, caller_bytes_, options_.watch_unread_bytes_max, context);
  const std::weak_ptr<WatchStream> weak = stream;
  const auto end = [weak] {
    if (const auto alive = weak.lock()) alive->End(grpc::Status(grpc::StatusCode::UNAVAILABLE, "control is stopping"));
  };
  const uint64_t number = AdmitStream({end, nullptr});
  if (number == 0) return new Ended(ToStatus(TooManyStreams()));
  stream->Begin({request.user_ids().begin(), request.user_ids().end()}, [this, number] { StreamDone(number); });
  return stream.get();
}

uint64_t DispatchService::AdmitStream(OpenStream stream) {
  MutexLock lock(mu_);
  if (ending_) return 0;
  if (streams_.size() >= static_cast<size_t>(options_.streams_max)) {
    counters_.streams_full.Add();
    return 0;
  }
  streams_.emplace(++last_stream_, std::move(stream));
  return last_stream_;
}

void DispatchService::StreamDone(uint64_t number) {
  MutexLock lock(mu_);
  streams_.erase(number);
}

void DispatchService::EndStreams() {
  std::vector<std::function<void()>> ends;
  {
    MutexLock lock(mu_);
    ending_ = true;
    for (const auto& [number, stream] : streams_) ends.push_back(stream.end);
  }
  for (const auto& end : ends) end();
}

void DispatchService::EndUnusedStreams() {
  const MonoTime now = clock_.Now();
  if (now - unused_looked_at_ < kUnusedLookEvery) return;
  unused_looked_at_ = now;
  std::vector<std::function<void(MonoTime)>> ends;
  {
    MutexLock lock(mu_);
    for (const auto& [number, stream] : streams_) {
      if (stream.end_if_unused) ends.push_back(stream.end_if_unused);
    }
  }
  for (const auto& end : ends) end(now);
}

void DispatchService::AddSamples(std::vector<Sample>* out) const {
  AddGauge(out, "toolwire_control_streams", "Dispatch and watch streams open.", static_cast<double>(streams()));
  AddGauge(out, "toolwire_control_caller_bytes",
           "Bytes held for callers: what they have not read, params in flight, names they watch.",
           static_cast<double>(caller_bytes_.total()));
  counters_.AddSamples(out);
  caller_bytes_.counters().AddSamples(out);
  turns_.counters().AddSamples(out);
  requests_.counters().AddSamples(out);
}

size_t DispatchService::streams() const {
  MutexLock lock(mu_);
  return streams_.size();
}

}  // namespace toolwire
