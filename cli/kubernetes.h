// Secrets and ConfigMaps of the Kubernetes namespace in whose pod this process runs, by the API and the pod's service
// account.
#ifndef TOOLWIRE_CLI_KUBERNETES_H_
#define TOOLWIRE_CLI_KUBERNETES_H_

#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "cli/doctor/doctor_http.h"

namespace toolwire {

// Where Kubernetes mounts a pod's token, its namespace and the API's CA.
inline constexpr char kServiceAccountDir[] = "/var/run/secrets/kubernetes.io/serviceaccount";

// Each request takes 30 s at most. Errors name the object, the API's answer and what the account lacks, and never data.
class KubernetesApi {
 public:
  enum class Kind { kSecret, kConfigMap };
  using Data = std::map<std::string, std::string>;

  // FAILED_PRECONDITION if this is no pod that may ask the API.
  static absl::StatusOr<KubernetesApi> OfThisPod(const std::string& service_account_dir);

  // NOT_FOUND, PERMISSION_DENIED, UNAVAILABLE.
  absl::StatusOr<Data> Read(Kind kind, const std::string& name) const;
  // ALREADY_EXISTS if it is there.
  absl::Status Create(Kind kind, const std::string& name, const Data& data) const;
  // Sets these keys of one that is there, all at once, and leaves the others.
  absl::Status Update(Kind kind, const std::string& name, const Data& data) const;

 private:
  absl::StatusOr<std::string> Ask(Kind kind, const std::string& name, HttpRequest request) const;

  EdgeUrl url_;
  std::string ca_file_;
  std::string namespace_;
  std::string token_;
};

}  // namespace toolwire

#endif  // TOOLWIRE_CLI_KUBERNETES_H_
