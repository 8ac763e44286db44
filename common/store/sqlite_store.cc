// Three connections to one file: one reads for credential checks, one for lists (SqliteLists), which may take long, and
// one writes everything that changes. In write-ahead mode none waits for another. Each has its statements prepared once
// and a mutex of its own; no method takes two.
//
// Times are INTEGER Unix milliseconds. params, result and metadata are TEXT that holds JSON.
//
// synchronous=NORMAL: a crash of the process loses nothing that was committed; a power failure may lose the last
// transactions, but never corrupts the file.

#include "common/store/sqlite_store.h"

#include <sqlite3.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <optional>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "common/base/file_id.h"
#include "common/base/mutex.h"
#include "common/base/random_hex.h"
#include "common/store/secret.h"
#include "common/store/sqlite_db.h"
#include "common/store/sqlite_lists.h"
#include "common/store/sqlite_steps.h"

namespace toolwire {
namespace {

using sqlite::Db;
using sqlite::ErrorOf;
using sqlite::Exec;
using sqlite::Prepare;
using sqlite::QueryText;
using sqlite::Run;
using sqlite::Statement;
using sqlite::Transaction;

constexpr char kFindSecret[] = "SELECT shared_secret FROM agent_credentials WHERE user_id = ?";
constexpr char kUpdateStatus[] =
    "UPDATE agent_credentials SET status = ?1, last_seen = max(coalesce(last_seen, ?2), ?2),"
    " status_epoch = max(coalesce(status_epoch, 0), ?4) WHERE user_id = ?3"
    " AND CASE WHEN ?4 = 0 THEN ?1 <> 'disconnected' OR last_seen IS NULL OR last_seen <= ?2"
    " ELSE ?4 > coalesce(status_epoch, 0) OR (?4 = status_epoch AND ?1 = 'disconnected') END";
constexpr char kAppendAudit[] =
    "INSERT INTO tool_execution_logs (user_id, request_id, tool_name, params, result, success, error,"
    " execution_time_ms, created_at, call_id, caller) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (call_id) WHERE call_id IS NOT NULL DO NOTHING";
constexpr char kCreateCredential[] =
    "INSERT INTO agent_credentials (user_id, shared_secret, platform, created_at) VALUES (?, ?, ?, ?)"
    " ON CONFLICT (user_id) DO UPDATE SET shared_secret = excluded.shared_secret, platform = excluded.platform,"
    " status = 'pending', created_at = excluded.created_at, last_seen = NULL"
    " WHERE substr(agent_credentials.shared_secret, 1, 8) = 'revoked:'";
constexpr char kReplaceSecret[] =
    "UPDATE agent_credentials SET shared_secret = ?2"
    " WHERE user_id = ?1 AND substr(shared_secret, 1, 8) <> 'revoked:'";
constexpr char kRevoke[] =
    "UPDATE agent_credentials SET status = 'disconnected',"
    " shared_secret = CASE WHEN substr(shared_secret, 1, 8) = 'revoked:' THEN shared_secret ELSE ?2 END"
    " WHERE user_id = ?1";

class SqliteStore final : public Store {
 public:
  explicit SqliteStore(size_t audit_json_bytes_max) : audit_json_bytes_max_(audit_json_bytes_max) {}
  // Call once, before all others. Without locks, as no other thread has it yet.
  absl::Status Open(const std::string& path) ABSL_NO_THREAD_SAFETY_ANALYSIS;

  void EndBy(MonoTime end) override { end_ = end.time_since_epoch().count(); }
  std::string Address() const override { return absl::StrCat("sqlite ", path_); }
  absl::StatusOr<std::string> Identity() override { return identity_; }
  absl::StatusOr<std::vector<bool>> CheckCredentials(const std::vector<CredentialCheck>& checks) override;
  absl::StatusOr<std::vector<bool>> CheckDigests(const std::vector<SecretCheck>& checks) override;
  absl::StatusOr<std::vector<StatusUpdate>> UpdateStatus(const std::vector<StatusUpdate>& updates) override;
  absl::Status AppendAudit(const std::vector<AuditRow>& rows) override;
  absl::Status CreateCredentials(const std::vector<NewCredential>& credentials) override;
  absl::StatusOr<bool> HasCredential(const std::string& user_id) override;
  absl::Status ReplaceSecret(const std::string& user_id, const std::string& stored_secret) override;
  absl::Status Revoke(const std::string& user_id) override;
  absl::StatusOr<std::vector<Credential>> ListCredentials(const std::string& after, int limit,
                                                          const IsGone& is_gone) override {
    if (absl::Status status = CheckFile(); !status.ok()) return status;
    return lists_.Credentials(after, limit, is_gone);
  }
  absl::StatusOr<std::vector<ListedAuditRow>> ListAudit(const AuditQuery& query, const IsGone& is_gone) override {
    if (absl::Status status = CheckFile(); !status.ok()) return status;
    return lists_.Audit(query, is_gone);
  }

 private:
  // Statements go before their connection when the store is destroyed.
  struct Reader {
    Mutex mu;
    Db db ABSL_GUARDED_BY(mu);
    Statement find_secret ABSL_GUARDED_BY(mu);
  };
  struct Writer {
    Mutex mu;
    Db db ABSL_GUARDED_BY(mu);
    Statement update_status ABSL_GUARDED_BY(mu), append_audit ABSL_GUARDED_BY(mu);
    Statement create_credential ABSL_GUARDED_BY(mu), replace_secret ABSL_GUARDED_BY(mu), revoke ABSL_GUARDED_BY(mu);
  };

  // UNAVAILABLE if the path leads to another file by now, or to none: what is written then, nobody would find.
  absl::Status CheckFile() const;
  // Reads what marks this file, and makes it if there is none yet.
  absl::Status FindIdentity() ABSL_NO_THREAD_SAFETY_ANALYSIS;
  // Whether `matches(check, stored secret)`, for each.
  template <typename Check, typename Matches>
  absl::StatusOr<std::vector<bool>> CheckAll(const std::vector<Check>& checks, Matches matches);
  // Runs a statement of the writer with these two parameters; NOT_FOUND unless it changed a row.
  absl::Status ChangeSecret(Statement Writer::*statement, const std::string& user_id, const std::string& stored_secret,
                            const char* doing);

  std::string path_;  // Absolute. These are set by Open.
  std::string identity_;
  std::optional<FileId> file_id_;
  sqlite::End end_{MonoTime::max().time_since_epoch().count()};
  const size_t audit_json_bytes_max_;
  // In stored form. Checked in place of an unknown user's.
  const std::string nobodys_secret_ = HashSecret(MakeSecret());
  Reader reader_;
  SqliteLists lists_{end_};
  Writer writer_;
};

absl::Status SqliteStore::Open(const std::string& path) {
  if (path.empty() || path == ":memory:") {
    return absl::InvalidArgumentError("the database must be a file: it is opened twice");
  }
  // Made here for its mode, which the log and index files beside it inherit. Not by open(): closing any descriptor of
  // a file ends all locks this process has on it, and so those of a store that is open already.
  if (mknod(path.c_str(), S_IFREG | 0600, 0) != 0 && errno != EEXIST) {
    return absl::UnavailableError(absl::StrCat("creating the database \"", path, "\": ", std::strerror(errno)));
  }
  std::error_code ec;
  path_ = std::filesystem::absolute(path, ec);
  file_id_ = FileIdOf(path_);
  if (absl::Status status = sqlite::Connect(path, &end_, &writer_.db); !status.ok()) return status;
  // Copying the log to the file less often saves CPU time; status updates of many users touch many pages.
  constexpr char kWriterSettings[] = "PRAGMA cache_size = -8192; PRAGMA wal_autocheckpoint = 4096";  // 8 MB, 16 MB
  if (absl::Status status = Exec(writer_.db, kWriterSettings, "opening"); !status.ok()) return status;
  if (absl::Status status = TakeSqliteSteps(writer_.db); !status.ok()) return status;
  if (absl::Status status = FindIdentity(); !status.ok()) return status;
  if (absl::Status status = sqlite::ConnectReader(path, &end_, &reader_.db); !status.ok()) return status;
  if (absl::Status status = lists_.Open(path); !status.ok()) return status;

  const struct {
    const Db& db;
    const char* sql;
    Statement* statement;
  } statements[] = {
      {reader_.db, kFindSecret, &reader_.find_secret},
      {writer_.db, kUpdateStatus, &writer_.update_status},
      {writer_.db, kAppendAudit, &writer_.append_audit},
      {writer_.db, kCreateCredential, &writer_.create_credential},
      {writer_.db, kReplaceSecret, &writer_.replace_secret},
      {writer_.db, kRevoke, &writer_.revoke},
  };
  for (const auto& one : statements) {
    if (absl::Status status = Prepare(one.db, one.sql, one.statement); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status SqliteStore::FindIdentity() {
  constexpr char kDoing[] = "marking the database";
  // A number in the file's header that is an application's to choose. 0: nobody has.
  constexpr char kMark[] = "PRAGMA application_id";
  absl::StatusOr<std::string> mark = QueryText(writer_.db, kMark, kDoing);
  if (mark.ok() && *mark == "0") {
    Transaction transaction(writer_.db);
    if (int rc = transaction.BeginWrite(); rc != SQLITE_OK) return ErrorOf(writer_.db.get(), rc, kDoing);
    mark = QueryText(writer_.db, kMark, kDoing);  // Again under the lock: another process may have been faster.
    const std::string sql = absl::StrCat(kMark, " = 0x1", RandomHex(4).substr(1));
    if (mark.ok() && *mark == "0") {
      if (absl::Status status = Exec(writer_.db, sql.c_str(), kDoing); !status.ok()) return status;
    }
    if (int rc = transaction.Commit(); rc != SQLITE_OK) return ErrorOf(writer_.db.get(), rc, kDoing);
    mark = QueryText(writer_.db, kMark, kDoing);
  }
  if (!mark.ok()) return mark.status();
  identity_ = absl::StrCat("sqlite ", *mark);
  return absl::OkStatus();
}

absl::Status SqliteStore::CheckFile() const {
  if (FileIdOf(path_) == file_id_) return absl::OkStatus();
  return absl::UnavailableError(
      absl::StrCat("the database \"", path_, "\" was moved, removed or replaced: put it back, or restart"));
}

template <typename Check, typename Matches>
absl::StatusOr<std::vector<bool>> SqliteStore::CheckAll(const std::vector<Check>& checks, Matches matches) {
  constexpr char kDoing[] = "checking credentials";
  std::vector<std::string> stored(checks.size());
  std::vector<bool> verdicts(checks.size());
  if (absl::Status status = CheckFile(); !status.ok()) return status;
  {
    MutexLock lock(reader_.mu);
    Transaction transaction(reader_.db);
    if (int rc = transaction.BeginRead(); rc != SQLITE_OK) return ErrorOf(reader_.db.get(), rc, kDoing);
    for (size_t i = 0; i < checks.size(); ++i) {
      Run run(reader_.find_secret);
      const int rc = run.Text(checks[i].user_id).Step();
      if (rc != SQLITE_ROW && rc != SQLITE_DONE) return ErrorOf(reader_.db.get(), rc, kDoing);
      verdicts[i] = rc == SQLITE_ROW;
      stored[i] = rc == SQLITE_ROW ? run.TextAt(0) : nobodys_secret_;
    }
    // Only ends the reading, so nothing depends on how it ends.
    transaction.Commit();
  }
  for (size_t i = 0; i < checks.size(); ++i) {
    // The comparison comes first: an unknown user costs as much as a wrong secret.
    verdicts[i] = matches(checks[i], stored[i]) && verdicts[i];
  }
  return verdicts;
}

absl::StatusOr<std::vector<bool>> SqliteStore::CheckCredentials(const std::vector<CredentialCheck>& checks) {
  return CheckAll(checks, [](const CredentialCheck& check, const std::string& stored) {
    return SecretMatches(check.secret, stored);
  });
}

absl::StatusOr<std::vector<bool>> SqliteStore::CheckDigests(const std::vector<SecretCheck>& checks) {
  return CheckAll(
      checks, [](const SecretCheck& check, const std::string& stored) { return DigestMatches(check.digest, stored); });
}

absl::StatusOr<std::vector<StatusUpdate>> SqliteStore::UpdateStatus(const std::vector<StatusUpdate>& updates) {
  constexpr char kDoing[] = "updating agents' status";
  std::vector<StatusUpdate> none;  // The file as a whole is locked, never a row.
  if (updates.empty()) return none;
  if (absl::Status status = CheckFile(); !status.ok()) return status;
  MutexLock lock(writer_.mu);
  Transaction transaction(writer_.db);
  if (int rc = transaction.BeginWrite(); rc != SQLITE_OK) return ErrorOf(writer_.db.get(), rc, kDoing);
  for (const StatusUpdate& update : updates) {
    Run run(writer_.update_status);
    const int rc = run.Text(StatusWord(update.status))
                       .Int(update.at_ms)
                       .Text(update.user_id)
                       .Int(static_cast<int64_t>(update.epoch))
                       .Step();
    if (rc != SQLITE_DONE) return ErrorOf(writer_.db.get(), rc, kDoing);
  }
  const int rc = transaction.Commit();
  if (rc != SQLITE_OK) return ErrorOf(writer_.db.get(), rc, kDoing);
  return none;
}

absl::Status SqliteStore::AppendAudit(const std::vector<AuditRow>& rows) {
  constexpr char kDoing[] = "appending audit rows";
  if (rows.empty()) return absl::OkStatus();
  std::vector<AuditRow> safe;
  safe.reserve(rows.size());
  for (const AuditRow& row : rows) safe.push_back(AuditSafeRow(row, audit_json_bytes_max_));
  if (absl::Status status = CheckFile(); !status.ok()) return status;
  MutexLock lock(writer_.mu);
  Transaction transaction(writer_.db);
  if (int rc = transaction.BeginWrite(); rc != SQLITE_OK) return ErrorOf(writer_.db.get(), rc, kDoing);
  for (const AuditRow& row : safe) {
    Run run(writer_.append_audit);
    run.Text(row.user_id).Text(row.request_id).Text(row.tool);
    run.TextOrNull(row.params_json).TextOrNull(row.result_json).Int(row.success ? 1 : 0).TextOrNull(row.error);
    run.IntOrNull(row.execution_time_ms).Int(row.created_at_ms).TextOrNull(row.call_id).TextOrNull(row.caller);
    const int rc = run.Step();
    if (rc != SQLITE_DONE) return ErrorOf(writer_.db.get(), rc, kDoing);
  }
  const int rc = transaction.Commit();
  return rc == SQLITE_OK ? absl::OkStatus() : ErrorOf(writer_.db.get(), rc, kDoing);
}

absl::Status SqliteStore::CreateCredentials(const std::vector<NewCredential>& credentials) {
  constexpr char kDoing[] = "creating credentials";
  for (const NewCredential& one : credentials) {
    if (absl::Status status = CheckNewCredential(one); !status.ok()) return status;
  }
  if (credentials.empty()) return absl::OkStatus();
  if (absl::Status status = CheckFile(); !status.ok()) return status;
  MutexLock lock(writer_.mu);
  Transaction transaction(writer_.db);
  if (int rc = transaction.BeginWrite(); rc != SQLITE_OK) return ErrorOf(writer_.db.get(), rc, kDoing);
  for (const NewCredential& one : credentials) {
    Run run(writer_.create_credential);
    const int rc = run.Text(one.user_id).Text(one.stored_secret).Text(one.platform).Int(one.created_at_ms).Step();
    if (rc == SQLITE_DONE && sqlite3_changes(writer_.db.get()) == 0) {
      return absl::AlreadyExistsError(absl::StrCat("user \"", one.user_id, "\" has credentials already"));
    }
    if (rc == SQLITE_CONSTRAINT_UNIQUE) {
      return absl::AlreadyExistsError(absl::StrCat("the secret for user \"", one.user_id, "\" is in use already"));
    }
    if (rc != SQLITE_DONE) return ErrorOf(writer_.db.get(), rc, kDoing);
  }
  const int rc = transaction.Commit();
  return rc == SQLITE_OK ? absl::OkStatus() : ErrorOf(writer_.db.get(), rc, kDoing);
}

absl::Status SqliteStore::ChangeSecret(Statement Writer::*statement, const std::string& user_id,
                                       const std::string& stored_secret, const char* doing) {
  if (absl::Status status = CheckFile(); !status.ok()) return status;
  MutexLock lock(writer_.mu);
  Run run(writer_.*statement);
  const int rc = run.Text(user_id).Text(stored_secret).Step();
  if (rc == SQLITE_CONSTRAINT_UNIQUE) return absl::AlreadyExistsError("the secret is in use already");
  if (rc != SQLITE_DONE) return ErrorOf(writer_.db.get(), rc, doing);
  return sqlite3_changes(writer_.db.get()) > 0 ? absl::OkStatus() : NoCredentialError(user_id);
}

absl::StatusOr<bool> SqliteStore::HasCredential(const std::string& user_id) {
  const std::vector<SecretCheck> checks = {{user_id, {}}};
  const auto is_good = [](const SecretCheck&, const std::string& stored) {
    return stored.compare(0, kRevokedPrefix.size(), kRevokedPrefix) != 0;
  };
  const absl::StatusOr<std::vector<bool>> found = CheckAll(checks, is_good);
  if (!found.ok()) return found.status();
  return found->front();
}

absl::Status SqliteStore::ReplaceSecret(const std::string& user_id, const std::string& stored_secret) {
  if (absl::Status status = CheckNewSecret(user_id, stored_secret); !status.ok()) return status;
  return ChangeSecret(&Writer::replace_secret, user_id, stored_secret, "replacing a secret");
}

absl::Status SqliteStore::Revoke(const std::string& user_id) {
  return ChangeSecret(&Writer::revoke, user_id, MakeRevokedSecret(), "revoking a credential");
}

}  // namespace

absl::StatusOr<std::unique_ptr<Store>> OpenSqliteStore(const std::string& path, size_t audit_json_bytes_max) {
  auto store = std::make_unique<SqliteStore>(audit_json_bytes_max);
  if (absl::Status status = store->Open(path); !status.ok()) return status;
  return store;
}

}  // namespace toolwire
