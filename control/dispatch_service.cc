// CallTool is a UnaryCall; Dispatch and WatchAgents are streams in files of their own, kept in a table so that they can
// be ended when control stops or their token is no longer good. GetAgent and ListAgents answer from the directory,
// GetAgent from the registry for a user whom the directory does not know.
#include "control/dispatch_service.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/wire/names.h"
#include "control/caller_check.h"
#include "control/follow_stream.h"
#include "control/grpc_threads.h"
#include "control/raw_message.h"
#include "control/stream_hello.h"
#include "control/unary_call.h"

namespace toolwire {

using E = v1::CallError;

namespace {

constexpr Duration kLookEvery = std::chrono::seconds(1);
// For whoever has no token any more to read what is left; others want the stream's place.
constexpr Duration kEndedUnreadMax = std::chrono::seconds(10);

bool AsksForHello(const grpc::CallbackServerContext& context) {
  const auto asked = context.client_metadata().find(kHelloMetadata);
  return asked != context.client_metadata().end() && asked->second == "1";
}

UserBound BoundOf(const std::shared_ptr<Caller>& from) { return from == nullptr ? UserBound() : from->users; }

}  // namespace

DispatchService::DispatchService(const Clock& clock, CallerAuth& auth, CallerBudgets& budgets, Dispatcher& dispatcher,
                                 AgentDirectory& directory, Registry& registry, const ControlOptions& options)
    : clock_(clock),
      auth_(auth),
      budgets_(budgets),
      dispatcher_(dispatcher),
      directory_(directory),
      registry_(registry),
      options_(options),
      caller_bytes_(options.caller_bytes_max),
      turns_(clock, GrpcThreads::Serving(options.grpc_threads)),
      signs_(clock, options.stream_life_interval),
      stalls_(clock),
      hello_(StreamHelloOf(options)),
      dispatch_hello_(DispatchHelloOf(hello_)),
      follow_hello_(FollowHelloOf(hello_)),
      requests_(clock, auth, options) {}

grpc::ServerUnaryReactor* DispatchService::CallTool(grpc::CallbackServerContext* context,
                                                    const grpc::ByteBuffer* request, grpc::ByteBuffer* response) {
  const std::string peer = context->peer();
  CallerAuth::Admission admitted = AdmitCaller(auth_, *context, peer, Scope::kCall);
  if (admitted.refused) return new RefusedRpc<grpc::ServerUnaryReactor>(*admitted.refused);
  CallerBudgets::Place place;
  const auto full = budgets_.Take(CallerBudgets::kUnaryCalls, BudgetOf(peer, admitted.caller.get()), &place);
  if (full) return new RefusedRpc<grpc::ServerUnaryReactor>(*full);
  auto call = std::make_shared<UnaryCall>(clock_, dispatcher_, requests_, caller_bytes_, stalls_, context, response,
                                          peer, std::move(admitted.caller));
  // gRPC would keep the request until the call is over.
  grpc::ByteBuffer bytes;
  bytes.Swap(const_cast<grpc::ByteBuffer*>(request));
  call->Begin(std::move(bytes), std::move(place));
  return call.get();
}

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* DispatchService::Dispatch(
    grpc::CallbackServerContext* context) {
  using Refused = RefusedRpc<grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>>;
  const std::string peer = context->peer();
  const CallerAuth::Admission admitted = AdmitCaller(auth_, *context, peer, Scope::kCall);
  if (admitted.refused) return new Refused(*admitted.refused);
  auto stream = std::make_shared<DispatchStream>(dispatcher_, requests_, options_, counters_, caller_bytes_, turns_,
                                                 signs_, stalls_, context, admitted.caller);
  const bool asks_for_hello = AsksForHello(*context);
  const std::weak_ptr<DispatchStream> weak = stream;
  const auto calling = [weak](void (DispatchStream::*end)()) {
    return [weak, end] {
      if (const auto alive = weak.lock()) (alive.get()->*end)();
    };
  };
  OpenStream open;
  open.end = calling(&DispatchStream::EndWhenIdle);
  if (asks_for_hello) open.drain = calling(&DispatchStream::Drain);
  open.end_if_unused = [weak, limit = options_.stream_idle_timeout](MonoTime now) {
    if (const auto alive = weak.lock()) alive->EndIfUnused(now, limit);
  };
  open.from = admitted.caller;
  open.end_expired = calling(&DispatchStream::EndExpired);
  open.end_removed = calling(&DispatchStream::EndRemoved);
  open.cut_if_unread = [weak](MonoTime now) {
    if (const auto alive = weak.lock()) alive->CutIfUnread(now, kEndedUnreadMax);
  };
  uint64_t number = 0;
  const auto refused = AdmitStream(CallerBudgets::kStreams, peer, std::move(open), &number);
  if (refused) return new Refused(*refused);
  stream->Begin([this, number] { StreamDone(number); }, asks_for_hello ? dispatch_hello_ : std::string());
  return stream.get();
}

template <typename Request, typename Response>
grpc::ServerUnaryReactor* DispatchService::Ask(grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
                                               grpc::ByteBuffer* response,
                                               void (DispatchService::*method)(const Asked&, const Request*,
                                                                               Response*)) {
  const std::string peer = context->peer();
  const CallerAuth::Admission admitted = AdmitCaller(auth_, *context, peer, Scope::kRead);
  if (admitted.refused) return new RefusedRpc<grpc::ServerUnaryReactor>(*admitted.refused);
  CallerBudgets::Place place;
  const auto full = budgets_.Take(CallerBudgets::kUnaryCalls, BudgetOf(peer, admitted.caller.get()), &place);
  if (full) return new RefusedRpc<grpc::ServerUnaryReactor>(*full);
  return RawUnary<Request, Response>::Start(*request, response, std::move(place),
                                            [&](UnaryAnswer* answer, Request* in, Response* out) {
                                              (this->*method)({answer, admitted.caller}, in, out);
                                            });
}

grpc::ServerUnaryReactor* DispatchService::GetAgent(grpc::CallbackServerContext* context,
                                                    const grpc::ByteBuffer* request, grpc::ByteBuffer* response) {
  return Ask(context, request, response, &DispatchService::Get);
}

grpc::ServerUnaryReactor* DispatchService::ListAgents(grpc::CallbackServerContext* context,
                                                      const grpc::ByteBuffer* request, grpc::ByteBuffer* response) {
  return Ask(context, request, response, &DispatchService::List);
}

void DispatchService::Get(const Asked& asked, const v1::GetAgentRequest* request, v1::Agent* response) {
  UnaryAnswer* const answer = asked.answer;
  if (const char* problem = CheckUserId(request->user_id())) {
    return answer->Finish(ToStatus(
        MakeFailure(E::INVALID_REQUEST, E::NOT_SENT, "", absl::StrCat("user_id ", problem), "user_id")));
  }
  if (const auto refused = auth_.CheckUser(asked.from.get(), request->user_id())) {
    return answer->Finish(ToStatus(*refused));
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

void DispatchService::List(const Asked& asked, const v1::ListAgentsRequest* request, v1::ListAgentsResponse* response) {
  UnaryAnswer* const answer = asked.answer;
  if (request->page_size() < 0) {
    return answer->Finish(
        ToStatus(MakeFailure(E::INVALID_REQUEST, E::NOT_SENT, "", "page_size must not be negative", "page_size")));
  }
  const size_t size = request->page_size() == 0 ? 100 : std::min(request->page_size(), 1000);
  // The token is the last user id of the page before, so that agents may come and go between pages.
  const UserBound bound = BoundOf(asked.from);
  std::vector<v1::Agent> agents = directory_.List(request->page_token(), size + 1, request->server_id(), bound);
  if (agents.size() > size) {
    agents.pop_back();
    response->set_next_page_token(agents.back().user_id());
  }
  for (v1::Agent& agent : agents) *response->add_agents() = std::move(agent);
  size_t total = request->server_id().empty() ? directory_.size() : directory_.size_of(request->server_id());
  if (bound.kind != UserBound::Kind::kAll) {
    // Not counted beyond this page: that would be a walk over all of them.
    const bool all_here = request->page_token().empty() && response->next_page_token().empty();
    total = all_here ? static_cast<size_t>(response->agents_size()) : 0;
  }
  response->set_total_connected(static_cast<int64_t>(total));
  answer->Finish(grpc::Status::OK);
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* DispatchService::WatchAgents(grpc::CallbackServerContext* context,
                                                                         const grpc::ByteBuffer* bytes) {
  using Ended = RefusedRpc<grpc::ServerWriteReactor<grpc::ByteBuffer>>;
  const std::string peer = context->peer();
  const CallerAuth::Admission admitted = AdmitCaller(auth_, *context, peer, Scope::kRead);
  if (admitted.refused) return new Ended(*admitted.refused);
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
  for (const std::string& user_id : request.user_ids()) {
    if (const char* problem = CheckUserId(user_id)) {
      return new Ended(ToStatus(
          MakeFailure(E::INVALID_REQUEST, E::NOT_SENT, "", absl::StrCat("each of user_ids ", problem), "user_ids")));
    }
    if (const auto refused = auth_.CheckUser(admitted.caller.get(), user_id)) return new Ended(*refused);
  }
  std::set<std::string> users(request.user_ids().begin(), request.user_ids().end());
  UserBound bound = BoundOf(admitted.caller);
  if (users.empty() && bound.kind == UserBound::Kind::kOne) users.insert(bound.text);
  auto stream =
      std::make_shared<WatchStream>(directory_, counters_, caller_bytes_, options_.watch_unread_bytes_max, context);
  uint64_t number = 0;
  const auto refused = AdmitStream(CallerBudgets::kWatches, peer, OpenWatch(stream, admitted.caller), &number);
  if (refused) return new Ended(*refused);
  stream->Begin(
      std::move(users), [this, number] { StreamDone(number); }, std::move(bound));
  return stream.get();
}

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* DispatchService::FollowAgents(
    grpc::CallbackServerContext* context) {
  using Refused = RefusedRpc<grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>>;
  const std::string peer = context->peer();
  const CallerAuth::Admission admitted = AdmitCaller(auth_, *context, peer, Scope::kRead);
  if (admitted.refused) return new Refused(*admitted.refused);
  auto stream = std::make_shared<FollowStream>(directory_, auth_, requests_.bounds(), counters_, caller_bytes_, signs_,
                                               options_.watch_unread_bytes_max, context, admitted.caller);
  uint64_t number = 0;
  const auto refused = AdmitStream(CallerBudgets::kWatches, peer, OpenWatch(stream, admitted.caller), &number);
  if (refused) return new Refused(*refused);
  stream->Begin([this, number] { StreamDone(number); }, AsksForHello(*context) ? follow_hello_ : std::string());
  return stream.get();
}

template <typename Stream>
DispatchService::OpenStream DispatchService::OpenWatch(const std::shared_ptr<Stream>& stream,
                                                       std::shared_ptr<Caller> from) {
  const std::weak_ptr<Stream> weak = stream;
  const auto ending = [weak](grpc::Status status) {
    return [weak, status = std::move(status)] {
      if (const auto alive = weak.lock()) alive->End(status);
    };
  };
  OpenStream open;
  open.end = ending(grpc::Status(grpc::StatusCode::UNAVAILABLE, kControlStopping));
  open.from = std::move(from);
  open.end_expired = ending(ToStatus(CallerAuth::Expired()));
  open.end_removed = ending(ToStatus(CallerAuth::Removed()));
  open.cut_if_unread = [weak](MonoTime now) {
    if (const auto alive = weak.lock()) alive->CutIfUnread(now, kEndedUnreadMax);
  };
  return open;
}

std::optional<v1::CallFailure> DispatchService::AdmitStream(CallerBudgets::Kind kind, std::string_view peer,
                                                            OpenStream stream, uint64_t* number) {
  if (auto full = budgets_.Take(kind, BudgetOf(peer, stream.from.get()), &stream.place)) return full;
  MutexLock lock(mu_);
  // Whoever knows what `draining` means has it said at once; others are told with each call.
  if (ending_ || (draining_ && stream.drain)) {
    return MakeFailure(E::EDGE_UNAVAILABLE, E::NOT_SENT, "", kControlStopping);
  }
  // Removed since it was admitted: then TokensChanged may have walked the streams before this one is there.
  if (stream.from != nullptr && stream.from->IsRemoved()) return CallerAuth::Removed();
  *number = ++last_stream_;
  NoteExpiryLocked(*number, &streams_.emplace(*number, std::move(stream)).first->second);
  return std::nullopt;
}

void DispatchService::NoteExpiryLocked(uint64_t number, OpenStream* stream) {
  const int64_t expires_ms = stream->from == nullptr ? kNeverExpires : stream->from->expires_ms.load();
  expiries_.erase({stream->expires_ms, number});
  stream->expires_ms = expires_ms;
  if (expires_ms != kNeverExpires) expiries_.emplace(expires_ms, number);
}

void DispatchService::StreamDone(uint64_t number) {
  OpenStream done;  // Its place is given back with no lock held.
  MutexLock lock(mu_);
  const auto found = streams_.find(number);
  if (found == streams_.end()) return;
  done = std::move(found->second);
  expiries_.erase({done.expires_ms, number});
  without_token_.erase(number);
  streams_.erase(found);
}

void DispatchService::TokensChanged() {
  std::vector<std::function<void()>> ends;
  {
    MutexLock lock(mu_);
    for (auto& [number, stream] : streams_) {
      if (stream.from != nullptr && stream.from->IsRemoved()) {
        ends.push_back(stream.end_removed);
        without_token_.insert(number);
      }
      NoteExpiryLocked(number, &stream);
    }
  }
  for (const auto& end : ends) end();
}

void DispatchService::EndExpired() {
  std::vector<std::function<void()>> ends;
  {
    MutexLock lock(mu_);
    while (!expiries_.empty() && expiries_.begin()->first <= clock_.WallMs()) {
      const uint64_t number = expiries_.begin()->second;
      OpenStream& stream = streams_.find(number)->second;
      ends.push_back(stream.end_expired);
      without_token_.insert(number);
      stream.expires_ms = kNeverExpires;
      expiries_.erase(expiries_.begin());
    }
  }
  for (const auto& end : ends) end();
}

void DispatchService::CutUnread() {
  const MonoTime now = clock_.Now();
  if (now - unread_looked_at_ < kLookEvery) return;
  unread_looked_at_ = now;
  std::vector<std::function<void(MonoTime)>> cuts;
  {
    MutexLock lock(mu_);
    for (const uint64_t number : without_token_) cuts.push_back(streams_.find(number)->second.cut_if_unread);
  }
  for (const auto& cut : cuts) cut(now);
}

void DispatchService::Drain() {
  std::vector<std::function<void()>> drains;
  {
    MutexLock lock(mu_);
    if (std::exchange(draining_, true)) return;
    for (const auto& [number, stream] : streams_) {
      if (stream.drain) drains.push_back(stream.drain);
    }
  }
  for (const auto& drain : drains) drain();
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
  if (now - unused_looked_at_ < kLookEvery) return;
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
  stalls_.counters().AddSamples(out);
  requests_.counters().AddSamples(out);
}

size_t DispatchService::streams() const {
  MutexLock lock(mu_);
  return streams_.size();
}

}  // namespace toolwire
