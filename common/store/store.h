// SEAM: credentials and the audit log.
#ifndef TOOLWIRE_COMMON_STORE_STORE_H_
#define TOOLWIRE_COMMON_STORE_STORE_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/store/audit_row.h"
#include "common/store/secret.h"

namespace toolwire {

// What an agent presents when it connects.
struct CredentialCheck {
  std::string user_id;
  std::string secret;
};

// What an open session keeps of that.
struct SecretCheck {
  std::string user_id;
  SecretDigest digest{};
};

enum class AgentStatus { kPending, kConnected, kDisconnected };

// An agent came or went. `last_seen` becomes `at_ms`, unless it is later already.
struct StatusUpdate {
  std::string user_id;
  AgentStatus status = AgentStatus::kPending;
  int64_t at_ms = 0;  // Unix time in milliseconds.
  // Of the lease that was held; it says what is newer, whatever the clocks of edges say. 0: unknown.
  uint64_t epoch = 0;
};

// Whether of two updates of one user, the one that was reported later is the newer.
inline bool Supersedes(const StatusUpdate& later, const StatusUpdate& earlier) {
  if (later.epoch == 0 || earlier.epoch == 0) return true;
  if (later.epoch != earlier.epoch) return later.epoch > earlier.epoch;
  return earlier.status != AgentStatus::kDisconnected;
}

// One row of `agent_credentials`, without the secret.
struct Credential {
  std::string user_id;
  std::string platform;  // win32, linux, darwin
  AgentStatus status = AgentStatus::kPending;
  int64_t created_at_ms = 0;
  std::optional<int64_t> last_seen_ms;
  bool revoked = false;
};

// Whether whoever asked for a list has gone. Any thread, many times; must not block.
using IsGone = std::function<bool()>;

// Credentials and the audit log. Every method may block on disk or network and may be called from any thread. Checks,
// status, changes, listings and the audit log do not wait for each other, as far as there are connections.
// Errors: UNAVAILABLE while the database is (try again), INVALID_ARGUMENT, ALREADY_EXISTS, NOT_FOUND,
// INTERNAL when the database refuses something it should not. No message contains a secret.
class Store {
 public:
  virtual ~Store() = default;

  // Why not all of it can be used, as was found when it was last asked for: a sentence for operators that says what to
  // do; or why checks, statuses or audit rows, which are tried until they succeed, failed at last, though not for a
  // row's sake. Empty: it can, as far as is known. Never blocks on the store.
  virtual std::string NotReady() { return ""; }

  // The process is stopping: from now on no call lasts beyond `end`, also of those under way; they are UNAVAILABLE.
  virtual void EndBy(MonoTime) {}

  // Where the store is, for comparisons; known at once. Empty: nobody compares.
  virtual std::string Address() const { return ""; }
  // What it says it is, which no other store says and which does not change with its address. Empty: it does not say.
  // Finds out for NotReady on the way.
  virtual absl::StatusOr<std::string> Identity() { return std::string(); }

  // Whether audit rows would be taken now; writes none. What nobody has asked the store for lately, NotReady says only
  // after this.
  virtual absl::Status Probe() { return absl::OkStatus(); }

  // One verdict for each check, in order: true if the user exists and the secret is right. Compared in constant
  // time, and a stored `sha256:<hex>` is compared with the hash of what was presented.
  virtual absl::StatusOr<std::vector<bool>> CheckCredentials(const std::vector<CredentialCheck>& checks) = 0;

  // The same for sessions that are open: whether the user's secret is still the one with this digest.
  virtual absl::StatusOr<std::vector<bool>> CheckDigests(const std::vector<SecretCheck>& checks) = 0;

  // Applies the updates in order. Users who are unknown by now are passed over, and so is what is late, from an edge
  // that the agent has left for another: an update of an older lease than the newest that was applied, or of the same
  // one after its disconnect; without an epoch, a disconnect from before the user was last seen. Returns the updates
  // whose rows others hold locked, which were not applied: try again.
  virtual absl::StatusOr<std::vector<StatusUpdate>> UpdateStatus(const std::vector<StatusUpdate>& updates) = 0;

  // Appends all rows or none; those whose `call_id` is in the log already are passed over, and that is no error.
  virtual absl::Status AppendAudit(const std::vector<AuditRow>& rows) = 0;

  // Stores new credentials in one step, all or none; `stored_secret` is what goes in the table, normally
  // HashSecret(). A revoked credential is replaced. ALREADY_EXISTS if a user has one that is not.
  struct NewCredential {
    std::string user_id;
    std::string platform;
    std::string stored_secret;
    int64_t created_at_ms = 0;
  };
  virtual absl::Status CreateCredentials(const std::vector<NewCredential>& credentials) = 0;

  // Whether ReplaceSecret would find the user. By default yes, as it decides.
  virtual absl::StatusOr<bool> HasCredential(const std::string&) { return true; }

  // From now on this is the user's secret, in its stored form. NOT_FOUND if the user has no credential, or a revoked
  // one.
  virtual absl::Status ReplaceSecret(const std::string& user_id, const std::string& stored_secret) = 0;

  // From now on nothing is the user's secret, until CreateCredentials gives a new one; the user counts as disconnected.
  // The row stays, also for the audit log's sake. Repeating it changes nothing. NOT_FOUND if the user has no
  // credential.
  virtual absl::Status Revoke(const std::string& user_id) = 0;

  // Up to `limit` credentials with a user id after `after`, in order of user id. CANCELLED soon after `is_gone` became
  // true, if there is one.
  virtual absl::StatusOr<std::vector<Credential>> ListCredentials(const std::string& after, int limit,
                                                                  const IsGone& is_gone) = 0;
  absl::StatusOr<std::vector<Credential>> ListCredentials(const std::string& after, int limit) {
    return ListCredentials(after, limit, nullptr);
  }

  // The first `limit` rows that the query asks for. INVALID_ARGUMENT if its `after` is no cursor of this store;
  // CANCELLED as above.
  virtual absl::StatusOr<std::vector<ListedAuditRow>> ListAudit(const AuditQuery& query, const IsGone& is_gone) = 0;
  absl::StatusOr<std::vector<ListedAuditRow>> ListAudit(const AuditQuery& query) { return ListAudit(query, nullptr); }
};

// What every store refuses in new credentials, as INVALID_ARGUMENT: a user id that CheckUserId refuses, an unknown
// platform, a secret that is empty or reads as revoked.
absl::Status CheckNewCredential(const Store::NewCredential& credential);
// The same of a new secret alone.
absl::Status CheckNewSecret(const std::string& user_id, const std::string& stored_secret);

// What stores answer where there is nothing to replace or to revoke.
absl::Status NoCredentialError(const std::string& user_id);
// The word for a status in the database: pending, connected, disconnected.
const char* StatusWord(AgentStatus status);
// What a list ends with whose caller has gone.
absl::Status GoneError();

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_STORE_STORE_H_
