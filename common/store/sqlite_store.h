// The store of the embedded default: one SQLite file. The only module that includes sqlite3.
#ifndef TOOLWIRE_COMMON_STORE_SQLITE_STORE_H_
#define TOOLWIRE_COMMON_STORE_SQLITE_STORE_H_

#include <cstddef>
#include <memory>
#include <string>

#include "common/store/store.h"

namespace toolwire {

// Several processes may open the same file at once (write-ahead log; a writer waits up to 5 s for another). Within a
// process, reads and writes use separate connections, so a credential check never waits for an audit batch.
class SqliteStore final : public Store {
 public:
  // Opens or creates the file and its tables; the directory of `path` must exist. Created with mode 0600, since it
  // holds secrets' hashes. Larger params and results than `audit_json_bytes_max` are stored in a marked, shortened
  // form.
  static absl::StatusOr<std::unique_ptr<SqliteStore>> Open(const std::string& path,
                                                           size_t audit_json_bytes_max = kAuditJsonBytesMax);
  ~SqliteStore() override;

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
  explicit SqliteStore(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_STORE_SQLITE_STORE_H_
