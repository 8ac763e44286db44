// The gRPC service for operators, AgentAdmin: checks requests and passes them to the store and the dispatcher.
#ifndef TOOLWIRE_CONTROL_ADMIN_SERVICE_H_
#define TOOLWIRE_CONTROL_ADMIN_SERVICE_H_

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "common/registry/registry.h"
#include "common/store/store.h"
#include "control/agent_directory.h"
#include "control/caller_auth.h"
#include "control/dispatcher.h"
#include "control/raw_unary.h"
#include "toolwire/v1/admin.grpc.pb.h"

namespace asio {
class thread_pool;
}

namespace toolwire {

// All methods take their requests as bytes, see raw_unary.h.
using AdminServiceBase = v1::AgentAdmin::WithRawCallbackMethod_CreateCredential<
    v1::AgentAdmin::WithRawCallbackMethod_RotateCredential<v1::AgentAdmin::WithRawCallbackMethod_RevokeCredential<
        v1::AgentAdmin::WithRawCallbackMethod_ListCredentials<v1::AgentAdmin::WithRawCallbackMethod_DisconnectAgent<
            v1::AgentAdmin::WithRawCallbackMethod_ListExecutions<v1::AgentAdmin::Service>>>>>>;

// Requests are checked on gRPC's threads; what asks the store, which may block, runs on small pools of its own, made
// by the first request: most controls never see one. All references outlive the service.
class AdminService final : public AdminServiceBase {
 public:
  // For changes, and as many for listings, which may take long: a revocation does not wait for them. Two, so that one
  // request that hangs in the store does not block the others of its kind.
  static constexpr size_t kThreads = 2;
  // Running and waiting of each kind, also for edges to confirm a revocation. A store takes some milliseconds for each, so the last
  // of so many waits about a second; a store that hangs would otherwise gather requests whose callers have long gone.
  static constexpr size_t kRequestsMax = 256;
  struct Counters : CounterSet {
    LimitCounter requests_full{this, kControlLimitHits, "operators_requests"};
  };

  AdminService(const Clock& clock, CallerAuth& auth, Store& store, Registry& registry, AgentDirectory& directory,
               Dispatcher& dispatcher);
  ~AdminService() override;

  // Requests that wait, and later ones, are answered UNAVAILABLE. Returns when those that run are done.
  void Stop();
  const Counters& counters() const { return counters_; }

  grpc::ServerUnaryReactor* CreateCredential(grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
                                             grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* RotateCredential(grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
                                             grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* RevokeCredential(grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
                                             grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* ListCredentials(grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
                                            grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* DisconnectAgent(grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
                                            grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* ListExecutions(grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
                                           grpc::ByteBuffer* response) override;

 private:
  // One request, until it is answered.
  struct Asked {
    grpc::CallbackServerContext* context;
    UnaryAnswer* answer;
    std::shared_ptr<Caller> from;  // As of Call.
  };
  // Has `method` answer, if the caller may do this.
  template <typename Request, typename Response>
  grpc::ServerUnaryReactor* Ask(Scope scope, grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
                                grpc::ByteBuffer* response,
                                void (AdminService::*method)(Asked, const Request*, Response*));
  // Whether the caller may name this user.
  grpc::Status CheckMay(const Asked& asked, const std::string& user_id);
  void Create(Asked asked, const v1::CreateCredentialRequest* request, v1::CredentialSecret* response);
  void Rotate(Asked asked, const v1::RotateCredentialRequest* request, v1::CredentialSecret* response);
  void Revoke(Asked asked, const v1::RevokeCredentialRequest* request, v1::RevokeCredentialResponse* response);
  void List(Asked asked, const v1::ListCredentialsRequest* request, v1::ListCredentialsResponse* response);
  void Disconnect(Asked asked, const v1::DisconnectAgentRequest* request, v1::DisconnectAgentResponse* response);
  void ListRows(Asked asked, const v1::ListExecutionsRequest* request, v1::ListExecutionsResponse* response);

  // What becomes of a request; nothing: `End` is called later, on any thread.
  using Outcome = std::optional<grpc::Status>;

  // What the store is asked for.
  enum class Kind { kChange, kListing };

  // Runs `work` on the kind's pool and ends the request with what it returns; or ends it at once if there are too many.
  // A request whose caller has cancelled is not begun: nobody would receive a new secret.
  void Run(Kind kind, Asked asked, std::function<Outcome()> work);
  // Ends a request whose work has run.
  void End(Kind kind, Asked asked, const grpc::Status& status);
  // Ends the request with `bad`, unless it is OK, or runs `work`.
  void Handle(Kind kind, Asked asked, const grpc::Status& bad, std::function<Outcome()> work);
  // The same for what revokes a secret: checks the user's id, and gives `work` the epoch of the session that the
  // registry knew before.
  void HandleKnowingEpoch(Asked asked, const std::string& user_id, std::function<Outcome(uint64_t epoch)> work);

  const Clock& clock_;
  CallerAuth& auth_;
  Store& store_;
  Registry& registry_;
  AgentDirectory& directory_;
  Dispatcher& dispatcher_;
  Counters counters_;

  Mutex mu_;
  std::atomic<bool> stopping_{false};  // Set under mu_.
  struct Lane {
    size_t requests = 0;
    std::unique_ptr<asio::thread_pool> threads;  // Null until it is needed.
  };
  Lane& LaneOf(Kind kind) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return kind == Kind::kChange ? changes_ : listings_; }
  Lane changes_ ABSL_GUARDED_BY(mu_), listings_ ABSL_GUARDED_BY(mu_);
};

}  // namespace toolwire

#endif  // TOOLWIRE_CONTROL_ADMIN_SERVICE_H_
