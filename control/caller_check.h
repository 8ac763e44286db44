// The caller of one RPC, by its metadata.
#ifndef TOOLWIRE_CONTROL_CALLER_CHECK_H_
#define TOOLWIRE_CONTROL_CALLER_CHECK_H_

#include <grpcpp/grpcpp.h>

#include <string>
#include <string_view>

#include "control/caller_auth.h"

namespace toolwire {

// In the reactor and not by gRPC's AuthMetadataProcessor, which aborts the process on a port without TLS.
// `peer`: as `context` has it; gRPC makes a new text of it each time it is asked.
CallerAuth::Admission AdmitCaller(CallerAuth& auth, const grpc::CallbackServerContext& context, std::string_view peer,
                                  Scope scope);

// Whose budget the RPC takes its place of: the token's name, or the address. `caller`: null if no tokens are asked for.
std::string BudgetOf(std::string_view peer, const Caller* caller);

grpc::Status ToStatus(const v1::CallFailure& failure);

// An RPC that may not begin.
template <typename Reactor>
class RefusedRpc final : public Reactor {
 public:
  explicit RefusedRpc(const grpc::Status& status) { this->Finish(status); }
  explicit RefusedRpc(const v1::CallFailure& failure) : RefusedRpc(ToStatus(failure)) {}
  void OnDone() override { delete this; }
};

}  // namespace toolwire

#endif  // TOOLWIRE_CONTROL_CALLER_CHECK_H_
