// SEAM: credentials and the audit log.
#ifndef TOOLWIRE_COMMON_STORE_STORE_H_
#define TOOLWIRE_COMMON_STORE_STORE_H_

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
  bool revoked = false;
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

// A row as it is listed.
struct ListedAuditRow : AuditRow {
  std::string cursor;  // Its place in the order, for AuditQuery::after. Text that only its store reads.
};

// Which rows of the audit log, in the order of `created_at_ms`, newest first; of one time, in the order of writing.
struct AuditQuery {
  std::string user_id = {};  // Empty: everyone's.
  int limit = 50;
  // Rows of this time or later, and before that time, in Unix milliseconds.
  std::optional<int64_t> from_ms = {};
  std::optional<int64_t> until_ms = {};
  // Only rows behind this one, whatever rows were appended meanwhile. Empty: from the newest.
  std::string after = {};
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
  // HashSecret(). A revoked credential is replaced. ALREADY_EXISTS if a user has one that is not.
  struct NewCredential {
    std::string user_id;
    std::string platform;
    std::string stored_secret;
    int64_t created_at_ms = 0;
  };
  virtual absl::Status CreateCredentials(const std::vector<NewCredential>& credentials) = 0;

  // From now on this is the user's secret, in its stored form. NOT_FOUND if the user has no credential, or a revoked
  // one.
  virtual absl::Status ReplaceSecret(const std::string& user_id, const std::string& stored_secret) = 0;

  // From now on nothing is the user's secret, until CreateCredentials gives a new one; the user counts as disconnected.
  // The row stays, also for the audit log's sake. Repeating it changes nothing. NOT_FOUND if the user has no
  // credential.
  virtual absl::Status Revoke(const std::string& user_id) = 0;

  // Up to `limit` credentials with a user id after `after`, in order of user id.
  virtual absl::StatusOr<std::vector<Credential>> ListCredentials(const std::string& after, int limit) = 0;

  // The first `limit` rows that the query asks for. INVALID_ARGUMENT if its `after` is no cursor of this store.
  virtual absl::StatusOr<std::vector<ListedAuditRow>> ListAudit(const AuditQuery& query) = 0;
};

// The text that is stored in place of a secret: `sha256:` and 64 hex digits.
std::string HashSecret(const std::string& secret);

// A new secret: 32 bytes of the system's randomness as 64 hex digits.
std::string MakeSecret();

// What is stored in place of a secret that was revoked: this prefix and 64 random hex digits, as the column wants
// values that differ.
inline constexpr std::string_view kRevokedPrefix = "revoked:";
std::string MakeRevokedSecret();

// Whether `presented` is the secret that `stored` stands for (plain or `sha256:<hex>`), in constant time. An empty
// secret matches nothing; nothing matches a `sha256:` without 64 hex digits, or what was revoked.
bool SecretMatches(const std::string& presented, const std::string& stored);

// What every store refuses in new credentials, as INVALID_ARGUMENT: an empty user id or one that is no UTF-8 text
// without NUL, an unknown platform, a secret that is empty or reads as revoked.
absl::Status CheckNewCredential(const Store::NewCredential& credential);
// The same of a new secret alone.
absl::Status CheckNewSecret(const std::string& user_id, const std::string& stored_secret);

// What stores answer where there is nothing to replace or to revoke.
absl::Status NoCredentialError(const std::string& user_id);
// The parts of AuditQuery::after, which stores write as `time:id`, in units of their own. INVALID_ARGUMENT if it is
// none.
struct AuditCursor {
  int64_t time = 0;
  std::string id;
};
absl::StatusOr<AuditCursor> ReadAuditCursor(const std::string& text);
bool ReadInt(std::string_view text, int64_t* number);

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

#endif  // TOOLWIRE_COMMON_STORE_STORE_H_
