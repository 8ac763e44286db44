// SEAM: credentials and the audit log.
#ifndef TOOLWIRE_COMMON_STORE_H_
#define TOOLWIRE_COMMON_STORE_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace toolwire {

// What an agent presents when it connects.
struct CredentialCheck {
  std::string user_id;
  std::string secret;
};

enum class AgentStatus { kPending, kConnected, kDisconnected };

// An agent came or went. `last_seen` is set to `at_ms` as well.
struct StatusUpdate {
  std::string user_id;
  AgentStatus status = AgentStatus::kPending;
  int64_t at_ms = 0;  // Unix time in milliseconds.
};

// One row of `agent_credentials`, without the secret.
struct Credential {
  std::string user_id;
  std::string platform;  // win32, linux, darwin
  AgentStatus status = AgentStatus::kPending;
  int64_t created_at_ms = 0;
  std::optional<int64_t> last_seen_ms;
};

// One row of `tool_execution_logs`: a settled call. `params_json` and `result_json` are JSON text as it travelled;
// the store marks and shortens what its database cannot hold, and never drops the row.
struct AuditRow {
  std::string user_id;
  std::string request_id;
  std::string tool;
  std::string params_json;
  std::string result_json;  // Empty: no result.
  bool success = false;
  std::string error;  // The tool's error, or the reason why there was no answer.
  std::optional<int64_t> execution_time_ms;
  int64_t created_at_ms = 0;  // Unix time in milliseconds.
  // Unique among all calls of all processes, and what makes writing a row twice harmless: the store keeps the first.
  // Empty: the row is kept as it is, like those of the server before.
  std::string call_id;
};

// Credentials and the audit log. Every method may block on disk or network and may be called from any thread.
// Errors: UNAVAILABLE when the database is out of reach (try again), INVALID_ARGUMENT, ALREADY_EXISTS, NOT_FOUND,
// INTERNAL when the database refuses something it should not. No message contains a secret.
class Store {
 public:
  virtual ~Store() = default;

  // One verdict for each check, in order: true if the user exists and the secret is right. Compared in constant
  // time, and a stored `sha256:<hex>` is compared with the hash of what was presented.
  virtual absl::StatusOr<std::vector<bool>> CheckCredentials(const std::vector<CredentialCheck>& checks) = 0;

  // Applies the updates in order. Users who are unknown by now are passed over, and so is a disconnect from before the
  // user was last seen: it comes late, from an edge that the agent has left for another.
  virtual absl::Status UpdateStatus(const std::vector<StatusUpdate>& updates) = 0;

  // Appends all rows or none; those whose `call_id` is in the log already are passed over, and that is no error.
  virtual absl::Status AppendAudit(const std::vector<AuditRow>& rows) = 0;

  // Stores new credentials in one step, all or none; `stored_secret` is what goes in the table, normally
  // HashSecret(). ALREADY_EXISTS if a user has some.
  struct NewCredential {
    std::string user_id;
    std::string platform;
    std::string stored_secret;
    int64_t created_at_ms = 0;
  };
  virtual absl::Status CreateCredentials(const std::vector<NewCredential>& credentials) = 0;

  // Up to `limit` credentials with a user id after `after`, in order of user id.
  virtual absl::StatusOr<std::vector<Credential>> ListCredentials(const std::string& after, int limit) = 0;

  // The newest `limit` rows, newest first; of one user if `user_id` is not empty.
  virtual absl::StatusOr<std::vector<AuditRow>> ListAudit(const std::string& user_id, int limit) = 0;
};

// The text that is stored in place of a secret: `sha256:` and 64 hex digits.
std::string HashSecret(const std::string& secret);

// A new secret: 32 bytes of the system's randomness as 64 hex digits.
std::string MakeSecret();

// Whether `presented` is the secret that `stored` stands for (plain or `sha256:<hex>`), in constant time. An empty
// secret matches nothing, nor does a `sha256:` without 64 hex digits.
bool SecretMatches(const std::string& presented, const std::string& stored);

// What every store refuses in new credentials, as INVALID_ARGUMENT: an empty user id or one that is no UTF-8 text
// without NUL, an unknown platform, an empty secret.
absl::Status CheckNewCredential(const Store::NewCredential& credential);

// The word for a status in the database: pending, connected, disconnected.
const char* StatusWord(AgentStatus status);

// What an audit column can hold of a JSON text: the text itself when it is at most `cap_bytes` and PostgreSQL's
// jsonb takes it, else a marked object: {"toolwire_truncated":true,"bytes":N,"prefix":"...","reason":"..."}, where
// the reason is "too large" or "not storable". jsonb refuses \u0000, lone surrogates and numbers beyond any use.
// The result is always valid JSON, at most `cap_bytes` long for caps from 256 on, or empty if `json` is: the column
// is NULL then.
std::string AuditSafeJson(const std::string& json, size_t cap_bytes);

// The marked object itself, with a prefix that takes at most `prefix_bytes` once it is quoted.
std::string AuditMarkedJson(std::string_view json, size_t prefix_bytes, std::string_view reason);

// What a text column can hold of a text: NUL and bytes that are not UTF-8 become '?', and of a text over `cap_bytes`
// the first half of the cap is kept, with a note.
std::string AuditSafeText(const std::string& text, size_t cap_bytes);

// A row with every column safe in this sense. All stores apply it, so that rows read the same from each.
AuditRow AuditSafeRow(const AuditRow& row, size_t cap_bytes);

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_STORE_H_
