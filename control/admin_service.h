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
#include "control/caller_budgets.h"
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

  AdminService(const Clock& clock, CallerAuth& auth, CallerBudgets& budgets, Store& store, Registry& registry,
               AgentDirectory& directory, Dispatcher& dispatcher);
  ~AdminService() override;

  // Requests that wait, and later ones, are answered UNAVAILABLE. Returns when those that run are done.
  void Stop();

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
  // Also true once this service stops. Valid until the request is answered.
  IsGone IsGoneOf(Asked asked) const;
  // Whether the caller may name this user.
  grpc::Status CheckMay(const Asked& asked, const std::string& user_id);
  void Create(Asked asked, const v1::CreateCredentialRequest* request, v1::CredentialSecret* response);
  void PrepareRotation(Asked asked, const v1::RotateCredentialRequest* request, v1::CredentialSecret* response);
  void Rotate(Asked asked, const v1::RotateCredentialRequest* request, v1::CredentialSecret* response);
  void Revoke(Asked asked, const v1::RevokeCredentialRequest* request, v1::RevokeCredentialResponse* response);
  void List(Asked asked, const v1::ListCredentialsRequest* request, v1::ListCredentialsResponse* response);
  void Disconnect(Asked asked, const v1::DisconnectAgentRequest* request, v1::DisconnectAgentResponse* response);
  void ListRows(Asked asked, const v1::ListExecutionsRequest* request, v1::ListExecutionsResponse* response);

  // What becomes of a request; nothing: `End` is called later, on any thread.
  using Outcome = std::optional<grpc::Status>;

  // What the store is asked for.
  enum class Kind { kChange, kListing };

  // Runs `work` on the kind's pool and ends the request with what it returns.
  // A request whose caller has cancelled is not begun: nobody would receive a new secret.
  void Run(Kind kind, Asked asked, std::function<Outcome()> work);
  // Ends the request with `bad`, unless it is OK, or runs `work`.
  void Handle(Kind kind, Asked asked, const grpc::Status& bad, std::function<Outcome()> work);
  // The same for what revokes a secret: checks the user's id, and gives `work` the epoch of the session that the
  // registry knew before.
  void HandleKnowingEpoch(Asked asked, const std::string& user_id, std::function<Outcome(uint64_t epoch)> work);

  const Clock& clock_;
  CallerAuth& auth_;
  CallerBudgets& budgets_;
  Store& store_;
  Registry& registry_;
  AgentDirectory& directory_;
  Dispatcher& dispatcher_;

  Mutex mu_;
  std::atomic<bool> stopping_{false};  // Set under mu_.
  // Of changes and of listings; null until they are needed.
  std::unique_ptr<asio::thread_pool> change_threads_ ABSL_GUARDED_BY(mu_), listing_threads_ ABSL_GUARDED_BY(mu_);
};

}  // namespace toolwire

#endif  // TOOLWIRE_CONTROL_ADMIN_SERVICE_H_
