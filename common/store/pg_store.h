// The store of production: the PostgreSQL database that the replaced server used, shared by all processes.
#ifndef TOOLWIRE_COMMON_STORE_PG_STORE_H_
#define TOOLWIRE_COMMON_STORE_PG_STORE_H_

#include <cstddef>
#include <memory>
#include <string>

#include "common/store/pg_options.h"
#include "common/store/store.h"

namespace toolwire {

// Uses the tables agent_credentials and tool_execution_logs as they are, makes them if they are missing, and adds to
// them only the column tool_execution_logs.call_id and indexes; the replaced server may go on using them
// meanwhile. This happens with the first connection, so a store opens also while the database is unavailable.
//
// While the database cannot be reached, methods are UNAVAILABLE, at once or after the connect timeout; they work again
// by themselves. They are UNAVAILABLE too for what an operator will mend: rights, a read-only standby, a missing table.
//
// Rows: JSON is kept as jsonb, so as a value and not byte for byte. Columns that an existing table wants to have a
// value get {}, null, an empty text or 0. If its user_id has a foreign key, rows for users who are unknown there are
// INVALID_ARGUMENT, and a batch with such a row is refused; AuditLog then writes the others one by one. A row without a
// call_id may be written twice, if the connection breaks in that moment.
class PgStore final : public Store {
 public:
  // Connects to nothing yet. INVALID_ARGUMENT if the options cannot be; at most 20 connections, as in the replaced
  // server. Larger params and results than `audit_json_bytes_max` are stored in a marked, shortened form.
  static absl::StatusOr<std::unique_ptr<PgStore>> Open(const PgOptions& options,
                                                       size_t audit_json_bytes_max = kAuditJsonBytesMax);
  ~PgStore() override;

  absl::StatusOr<std::vector<bool>> CheckCredentials(const std::vector<CredentialCheck>& checks) override;
  absl::Status UpdateStatus(const std::vector<StatusUpdate>& updates) override;
  absl::Status AppendAudit(const std::vector<AuditRow>& rows) override;
  absl::Status CreateCredentials(const std::vector<NewCredential>& credentials) override;
  absl::Status ReplaceSecret(const std::string& user_id, const std::string& stored_secret) override;
  absl::Status Revoke(const std::string& user_id) override;
  absl::StatusOr<std::vector<Credential>> ListCredentials(const std::string& after, int limit) override;
  absl::StatusOr<std::vector<ListedAuditRow>> ListAudit(const AuditQuery& query) override;

 private:
  struct Impl;
  explicit PgStore(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_STORE_PG_STORE_H_
