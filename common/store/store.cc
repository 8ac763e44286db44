#include "common/store/store.h"

#include "absl/strings/str_cat.h"
#include "common/store/secret.h"
#include "common/wire/names.h"

namespace toolwire {

absl::Status CheckNewCredential(const Store::NewCredential& credential) {
  // What the edge would refuse must not get a secret, which no agent could use.
  if (const char* problem = CheckUserId(credential.user_id)) {
    return absl::InvalidArgumentError(absl::StrCat("the user id ", problem));
  }
  const std::string& platform = credential.platform;
  if (platform != "win32" && platform != "linux" && platform != "darwin") {
    return absl::InvalidArgumentError(
        absl::StrCat("the platform of user \"", credential.user_id, "\" is not win32, linux or darwin"));
  }
  return CheckNewSecret(credential.user_id, credential.stored_secret);
}

absl::Status CheckNewSecret(const std::string& user_id, const std::string& stored_secret) {
  if (stored_secret.empty() || !IsSafeText(stored_secret)) {
    return absl::InvalidArgumentError(absl::StrCat("the secret of user \"", user_id, "\" is empty or not UTF-8 text"));
  }
  if (stored_secret.compare(0, kRevokedPrefix.size(), kRevokedPrefix) == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("the secret of user \"", user_id, "\" begins like one that was revoked"));
  }
  return absl::OkStatus();
}

absl::Status NoCredentialError(const std::string& user_id) {
  return absl::NotFoundError(absl::StrCat("user \"", user_id, "\" has no credential, or it was revoked"));
}

absl::Status GoneError() { return absl::CancelledError("nobody waits for the list any more"); }

const char* StatusWord(AgentStatus status) {
  switch (status) {
    case AgentStatus::kPending:
      return "pending";
    case AgentStatus::kConnected:
      return "connected";
    case AgentStatus::kDisconnected:
      return "disconnected";
  }
  return "pending";
}

}  // namespace toolwire
