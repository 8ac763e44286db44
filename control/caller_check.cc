#include "control/caller_check.h"

#include <vector>

#include "control/caller_peer.h"

namespace toolwire {

CallerAuth::Admission AdmitCaller(CallerAuth& auth, const grpc::CallbackServerContext& context, std::string_view peer,
                                  Scope scope) {
  std::vector<std::string_view> values;
  const auto [begin, end] = context.client_metadata().equal_range("authorization");
  for (auto it = begin; it != end; ++it) values.emplace_back(it->second.data(), it->second.size());
  return auth.Admit(values, scope, peer);
}

std::string BudgetOf(std::string_view peer, const Caller* caller) {
  return caller != nullptr ? caller->name : AddressTextOfPeer(peer);
}

grpc::Status ToStatus(const v1::CallFailure& failure) {
  return grpc::Status(static_cast<grpc::StatusCode>(failure.code()), failure.message(), PackStatusDetails(failure));
}

}  // namespace toolwire
