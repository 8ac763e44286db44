// The gRPC service for callers, ToolDispatch: hands requests on and answers back, and decides nothing.
#ifndef TOOLWIRE_CONTROL_DISPATCH_SERVICE_H_
#define TOOLWIRE_CONTROL_DISPATCH_SERVICE_H_

#include <grpcpp/grpcpp.h>

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "control/agent_directory.h"
#include "control/call_request.h"
#include "control/caller_auth.h"
#include "control/caller_budgets.h"
#include "control/caller_bytes.h"
#include "control/control_options.h"
#include "control/dispatch_stream.h"
#include "control/dispatcher.h"
#include "control/life_signs.h"
#include "control/raw_unary.h"
#include "control/reading_turns.h"
#include "control/stalls.h"
#include "control/watch_stream.h"
#include "toolwire/v1/dispatch.grpc.pb.h"

namespace toolwire {

// All methods take their requests as bytes, see raw_message.h and raw_unary.h.
using DispatchServiceBase =
    v1::ToolDispatch::WithRawCallbackMethod_CallTool<v1::ToolDispatch::WithRawCallbackMethod_Dispatch<
        v1::ToolDispatch::WithRawCallbackMethod_GetAgent<v1::ToolDispatch::WithRawCallbackMethod_ListAgents<
            v1::ToolDispatch::WithRawCallbackMethod_WatchAgents<
                v1::ToolDispatch::WithRawCallbackMethod_FollowAgents<v1::ToolDispatch::Service>>>>>>;

// Runs on gRPC's threads; nothing blocks. All references outlive the gRPC server.
class DispatchService final : public DispatchServiceBase {
 public:
  DispatchService(const Clock& clock, CallerAuth& auth, CallerBudgets& budgets, Dispatcher& dispatcher,
                  AgentDirectory& directory, Registry& registry, const ControlOptions& options);

  grpc::ServerUnaryReactor* CallTool(grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
                                     grpc::ByteBuffer* response) override;
  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* Dispatch(grpc::CallbackServerContext* context) override;
  grpc::ServerUnaryReactor* GetAgent(grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
                                     grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* ListAgents(grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
                                       grpc::ByteBuffer* response) override;
  grpc::ServerWriteReactor<grpc::ByteBuffer>* WatchAgents(grpc::CallbackServerContext* context,
                                                          const grpc::ByteBuffer* request) override;
  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* FollowAgents(
      grpc::CallbackServerContext* context) override;

  // Control will stop: callers that understand it are told, and their streams end as soon as their calls have settled.
  void Drain();
  // Ends every stream as soon as its calls have settled; new ones end at once.
  void EndStreams();
  // Other tokens were taken: ends the streams of those that were removed. Walks all streams.
  void TokensChanged();
  size_t streams() const;
  // Call every 10 ms.
  void Tick() {
    stalls_.Tick();
    caller_bytes_.Tick();
    turns_.Tick();
    signs_.Tick();
    EndExpired();
    CutUnread();
    if (options_.stream_idle_timeout > Duration::zero()) EndUnusedStreams();
  }
  void AddSamples(std::vector<Sample>* out) const;

 private:
  // One request of a caller who may make it; `from` as of Call.
  struct Asked {
    UnaryAnswer* answer;
    std::shared_ptr<Caller> from;
  };
  void Get(const Asked& asked, const v1::GetAgentRequest* request, v1::Agent* response);
  void List(const Asked& asked, const v1::ListAgentsRequest* request, v1::ListAgentsResponse* response);
  template <typename Request, typename Response>
  grpc::ServerUnaryReactor* Ask(grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
                                grpc::ByteBuffer* response,
                                void (DispatchService::*method)(const Asked&, const Request*, Response*));
  struct OpenStream {
    std::function<void()> end, drain;         // The latter may be empty.
    std::function<void(MonoTime now)> end_if_unused;  // May be empty.
    std::shared_ptr<Caller> from;
    CallerBudgets::Place place;
    std::function<void()> end_expired, end_removed;
    std::function<void(MonoTime now)> cut_if_unread;  // After either of these: call each second.
    int64_t expires_ms = kNeverExpires;               // As it stands in `expiries_`.
  };
  // Of a watcher's.
  template <typename Stream>
  static OpenStream OpenWatch(const std::shared_ptr<Stream>& stream, std::shared_ptr<Caller> from);
  // Sets a number for the stream; or why it may not begin.
  std::optional<v1::CallFailure> AdmitStream(CallerBudgets::Kind kind, std::string_view peer, OpenStream stream,
                                             uint64_t* number);
  void StreamDone(uint64_t number);
  void EndUnusedStreams();
  void EndExpired();
  void CutUnread();
  void NoteExpiryLocked(uint64_t number, OpenStream* stream) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const Clock& clock_;
  CallerAuth& auth_;
  CallerBudgets& budgets_;
  Dispatcher& dispatcher_;
  AgentDirectory& directory_;
  Registry& registry_;
  const ControlOptions options_;
  StreamCounters counters_;
  CallerBytes caller_bytes_;
  ReadingTurns turns_;
  LifeSigns signs_;
  Stalls stalls_;
  const v1::StreamHello hello_;
  const std::string dispatch_hello_, follow_hello_;  // The first reply to callers that ask for one.
  CallRequests requests_;  // After what its thread uses.

  mutable Mutex mu_;
  bool draining_ ABSL_GUARDED_BY(mu_) = false, ending_ ABSL_GUARDED_BY(mu_) = false;
  uint64_t last_stream_ ABSL_GUARDED_BY(mu_) = 0;
  absl::flat_hash_map<uint64_t, OpenStream> streams_ ABSL_GUARDED_BY(mu_);
  std::set<std::pair<int64_t, uint64_t>> expiries_ ABSL_GUARDED_BY(mu_);  // Of tokens, in Unix ms, with their streams.
  std::set<uint64_t> without_token_ ABSL_GUARDED_BY(mu_);                 // Streams whose token has gone.
  MonoTime unused_looked_at_{}, unread_looked_at_{};                      // The ticking thread's.
};

}  // namespace toolwire

#endif  // TOOLWIRE_CONTROL_DISPATCH_SERVICE_H_
