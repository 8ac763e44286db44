// CallTool is a UnaryCall; Dispatch and WatchAgents are streams in files of their own, kept in a table so that they can
// be ended when control stops. GetAgent and ListAgents answer from the directory, GetAgent from the registry for a user
// whom the directory does not know.
#include "control/dispatch_service.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "control/grpc_threads.h"
#include "control/raw_message.h"
#include "control/unary_call.h"

namespace toolwire {

using E = v1::CallError;

namespace {

constexpr Duration kUnusedLookEvery = std::chrono::seconds(1);

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
      caller_bytes_(options.caller_bytes_max),
      turns_(clock, GrpcThreads::Serving(options.grpc_threads)),
      requests_(clock, options) {}

grpc::ServerUnaryReactor* DispatchService::CallTool(grpc::CallbackServerContext* context,
                                                    const grpc::ByteBuffer* request, grpc::ByteBuffer* response) {
  auto call = std::make_shared<UnaryCall>(clock_, dispatcher_, requests_, caller_bytes_, context, response);
  // gRPC would keep the request until the call is over.
  grpc::ByteBuffer bytes;
  bytes.Swap(const_cast<grpc::ByteBuffer*>(request));
  call->Begin(std::move(bytes));
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
