// Three connections to one file: one reads for credential checks, one for lists, which may take long, and one writes
// everything that changes. In write-ahead mode none waits for another. Each has its statements prepared once and a
// mutex of its own; no method takes two.
//
// Times are INTEGER Unix milliseconds. params, result and metadata are TEXT that holds JSON.
//
// synchronous=NORMAL: a crash of the process loses nothing that was committed; a power failure may lose the last
// transactions, but never corrupts the file.

#include "common/store/sqlite_store.h"

#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <limits>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/base/file_id.h"
#include "common/base/mutex.h"
#include "common/base/random_hex.h"
#include "common/store/secret.h"

namespace toolwire {
namespace {

// Step n brings a file from user_version n to n + 1. Steps are only ever added, and only add to the tables, so that
// an older program can go on using a file that a newer one has opened.
constexpr struct {
  const char* what;
  const char* sql;
} kMigrations[] = {
    {"tables agent_credentials and tool_execution_logs", R"sql(
CREATE TABLE IF NOT EXISTS agent_credentials (
  user_id TEXT NOT NULL PRIMARY KEY,
  shared_secret TEXT NOT NULL UNIQUE,  -- sha256:<64 hex digits>, or the plain secret in rows taken over
  platform TEXT NOT NULL CHECK (platform IN ('win32', 'linux', 'darwin')),
  status TEXT NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'connected', 'disconnected')),
  created_at INTEGER NOT NULL,         -- Unix time in milliseconds
  last_seen INTEGER,                   -- Unix time in milliseconds
  metadata TEXT
) WITHOUT ROWID;                       -- one look-up finds the secret, as one finds that a user is unknown
CREATE TABLE IF NOT EXISTS tool_execution_logs (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  user_id TEXT NOT NULL,
  request_id TEXT NOT NULL,
  tool_name TEXT NOT NULL,
  params TEXT,
  result TEXT,
  success INTEGER NOT NULL CHECK (success IN (0, 1)),
  error TEXT,
  execution_time_ms INTEGER,
  created_at INTEGER NOT NULL          -- Unix time in milliseconds
);
-- No index by user: rows of thousands of users would each touch a page of their own, at twice the cost of the row
-- itself, on the path of every call; who reads one user's rows by hand can wait for a scan from the newest.
)sql"},
    {"column call_id of tool_execution_logs, with its index", R"sql(
ALTER TABLE tool_execution_logs ADD COLUMN call_id TEXT;  -- NULL in rows of earlier versions
CREATE UNIQUE INDEX tool_execution_logs_call_id ON tool_execution_logs (call_id) WHERE call_id IS NOT NULL;
)sql"},
    {"index tool_execution_logs_created_at", R"sql(
CREATE INDEX tool_execution_logs_created_at ON tool_execution_logs (created_at);  -- and, in each index, the id
)sql"},
    {"column caller of tool_execution_logs", R"sql(
ALTER TABLE tool_execution_logs ADD COLUMN caller TEXT;  -- NULL: nobody was asked who calls
)sql"},
    {"column status_epoch of agent_credentials", R"sql(
ALTER TABLE agent_credentials ADD COLUMN status_epoch INTEGER;  -- of the lease that the status is of; NULL: unknown
)sql"},
};
constexpr int kSchemaVersion = static_cast<int>(sizeof(kMigrations) / sizeof(kMigrations[0]));

constexpr int kBusyLimitMs = 5000;
constexpr Duration kListLimit = std::chrono::seconds(10);  // A list that takes longer ends.
constexpr int kStepsBetweenLooks = 100000;                 // Of SQLite's machine, some milliseconds.

constexpr char kFindSecret[] = "SELECT shared_secret FROM agent_credentials WHERE user_id = ?";
constexpr char kListCredentials[] =
    "SELECT user_id, platform, status, created_at, last_seen, substr(shared_secret, 1, 8) = 'revoked:'"
    " FROM agent_credentials"
    " WHERE user_id > ? ORDER BY user_id LIMIT ?";
constexpr char kListAudit[] =
    "SELECT user_id, request_id, tool_name, params, result, success, error, execution_time_ms, created_at, call_id, id,"
    " caller"
    " FROM tool_execution_logs WHERE (?1 = '' OR user_id = ?1) AND created_at >= ?2 AND created_at < ?3"
    " AND (created_at, id) < (?4, ?5) AND substr(user_id, 1, length(?6)) = ?6"
    " ORDER BY created_at DESC, id DESC LIMIT ?7";
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

struct CloseDb {
  void operator()(sqlite3* db) const { sqlite3_close_v2(db); }
};
struct FinalizeStatement {
  void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};
using Db = std::unique_ptr<sqlite3, CloseDb>;
using Statement = std::unique_ptr<sqlite3_stmt, FinalizeStatement>;

// What went wrong in `db`, where `rc` is not success. SQLite's messages name tables and columns, never values.
absl::Status ErrorOf(sqlite3* db, int rc, const std::string& doing) {
  std::string message = absl::StrCat(doing, ": ", db != nullptr ? sqlite3_errmsg(db) : sqlite3_errstr(rc));
  switch (rc & 0xFF) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return absl::UnavailableError(absl::StrCat(message, " (another process has held it for 5 s)"));
    case SQLITE_INTERRUPT:
      return absl::UnavailableError(absl::StrCat(doing, ": took longer than 10 s, ask for less"));
    case SQLITE_FULL:
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_NOMEM:
    case SQLITE_PROTOCOL:
      return absl::UnavailableError(message);
    case SQLITE_CONSTRAINT:
      if (rc == SQLITE_CONSTRAINT_PRIMARYKEY || rc == SQLITE_CONSTRAINT_UNIQUE) {
        return absl::AlreadyExistsError(message);
      }
      return absl::InvalidArgumentError(message);
    case SQLITE_TOOBIG:
      return absl::InvalidArgumentError(message);
    default:
      return absl::InternalError(message);
  }
}

// One run of a prepared statement. Going out of scope makes the statement ready for the next run and forgets what
// was bound. Bound text must live as long as the run.
class Run {
 public:
  explicit Run(const Statement& statement) : statement_(statement.get()) {}
  ~Run() {
    sqlite3_reset(statement_);
    sqlite3_clear_bindings(statement_);
  }
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;

  // Parameters, in their order.
  Run& Text(std::string_view text) {
    return Keep(sqlite3_bind_text64(statement_, ++bound_, text.data(), text.size(), SQLITE_STATIC, SQLITE_UTF8));
  }
  Run& TextOrNull(std::string_view text) { return text.empty() ? Null() : Text(text); }
  Run& Int(int64_t number) { return Keep(sqlite3_bind_int64(statement_, ++bound_, number)); }
  Run& IntOrNull(const std::optional<int64_t>& number) { return number ? Int(*number) : Null(); }
  Run& Null() { return Keep(sqlite3_bind_null(statement_, ++bound_)); }

  // SQLITE_ROW, SQLITE_DONE, or an error (also of an earlier bind).
  int Step() { return rc_ != SQLITE_OK ? rc_ : sqlite3_step(statement_); }

  // Columns of the current row; NULL reads as empty and 0.
  std::string TextAt(int column) const { return std::string(ViewAt(column)); }
  // Until the next Step.
  std::string_view ViewAt(int column) const {
    const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement_, column));
    if (text == nullptr) return {};
    return {text, static_cast<size_t>(sqlite3_column_bytes(statement_, column))};
  }
  int64_t IntAt(int column) const { return sqlite3_column_int64(statement_, column); }
  std::optional<int64_t> OptionalIntAt(int column) const {
    if (sqlite3_column_type(statement_, column) == SQLITE_NULL) return std::nullopt;
    return IntAt(column);
  }

 private:
  Run& Keep(int rc) {
    if (rc_ == SQLITE_OK) rc_ = rc;
    return *this;
  }

  sqlite3_stmt* const statement_;
  int bound_ = 0;
  int rc_ = SQLITE_OK;
};

// A transaction that is undone unless it was committed.
class Transaction {
 public:
  explicit Transaction(const Db& db) : db_(db.get()) {}
  ~Transaction() {
    if (sqlite3_get_autocommit(db_) == 0) sqlite3_exec(db_, "ROLLBACK", nullptr, nullptr, nullptr);
  }
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;

  // One state of the file for all reads.
  int BeginRead() { return sqlite3_exec(db_, "BEGIN", nullptr, nullptr, nullptr); }
  // Takes the write lock at once: a lock that is taken later can fail without waiting.
  int BeginWrite() { return sqlite3_exec(db_, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr); }
  int Commit() { return sqlite3_exec(db_, "COMMIT", nullptr, nullptr, nullptr); }

 private:
  sqlite3* const db_;
};

absl::Status Exec(const Db& db, const char* sql, const std::string& doing) {
  const int rc = sqlite3_exec(db.get(), sql, nullptr, nullptr, nullptr);
  return rc == SQLITE_OK ? absl::OkStatus() : ErrorOf(db.get(), rc, doing);
}

absl::Status Prepare(const Db& db, const char* sql, Statement* statement) {
  sqlite3_stmt* made = nullptr;
  const int rc = sqlite3_prepare_v3(db.get(), sql, -1, SQLITE_PREPARE_PERSISTENT, &made, nullptr);
  statement->reset(made);
  return rc == SQLITE_OK ? absl::OkStatus() : ErrorOf(db.get(), rc, "preparing a statement");
}

// The single text that `sql` yields.
absl::StatusOr<std::string> QueryText(const Db& db, const char* sql, const std::string& doing) {
  Statement statement;
  if (absl::Status status = Prepare(db, sql, &statement); !status.ok()) return status;
  Run run(statement);
  const int rc = run.Step();
  if (rc != SQLITE_ROW) return ErrorOf(db.get(), rc, doing);
  return run.TextAt(0);
}

int SetWriteAheadLog(sqlite3* db) {
  constexpr int kPauseMs = 10;
  int rc = SQLITE_BUSY;
  for (int waited_ms = 0; waited_ms < kBusyLimitMs && (rc & 0xFF) == SQLITE_BUSY; waited_ms += kPauseMs) {
    if (waited_ms > 0) sqlite3_sleep(kPauseMs);
    rc = sqlite3_exec(db, "PRAGMA journal_mode = WAL", nullptr, nullptr, nullptr);
  }
  return rc;
}

absl::Status Connect(const std::string& path, Db* db) {
  sqlite3* made = nullptr;
  int rc = sqlite3_open_v2(path.c_str(), &made, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, nullptr);
  db->reset(made);
  const std::string doing = absl::StrCat("opening the database \"", path, "\"");
  if (rc != SQLITE_OK) return ErrorOf(made, rc, doing);
  sqlite3_extended_result_codes(made, 1);
  // While another connection switches a new file to write-ahead mode, SQLite fails at once and does not wait as it
  // does elsewhere. It is also the first statement that reads the file: here it turns out if it is no database.
  rc = SetWriteAheadLog(made);
  sqlite3_busy_timeout(made, kBusyLimitMs);
  if (rc != SQLITE_OK) return ErrorOf(made, rc, doing);
  const absl::StatusOr<std::string> mode = QueryText(*db, "PRAGMA journal_mode", doing);
  if (!mode.ok()) return mode.status();
  if (*mode != "wal") return absl::InternalError(absl::StrCat(doing, ": its file system allows no write-ahead log"));
  return Exec(*db, "PRAGMA synchronous = NORMAL; PRAGMA journal_size_limit = 67108864", doing);
}

constexpr char kDoingSteps[] = "bringing the tables up to date";

// How many steps the file has had.
absl::StatusOr<int> VersionOf(const Db& db) {
  absl::StatusOr<std::string> text = QueryText(db, "PRAGMA user_version", kDoingSteps);
  if (!text.ok()) return text.status();
  return std::atoi(text->c_str());
}

absl::Status TakeSteps(const Db& db) {
  absl::StatusOr<int> have = VersionOf(db);
  if (!have.ok() || *have >= kSchemaVersion) return have.status();
  Transaction transaction(db);
  if (int rc = transaction.BeginWrite(); rc != SQLITE_OK) return ErrorOf(db.get(), rc, kDoingSteps);
  have = VersionOf(db);  // Again under the lock: another process may have been faster.
  if (!have.ok()) return have.status();
  for (int step = *have; step < kSchemaVersion; ++step) {
    if (absl::Status status = Exec(db, kMigrations[step].sql, kDoingSteps); !status.ok()) return status;
    const std::string sql = absl::StrCat("PRAGMA user_version = ", step + 1);
    if (absl::Status status = Exec(db, sql.c_str(), kDoingSteps); !status.ok()) return status;
  }
  const int rc = transaction.Commit();
  return rc == SQLITE_OK ? absl::OkStatus() : ErrorOf(db.get(), rc, kDoingSteps);
}

AgentStatus StatusOfWord(const std::string& word) {
  for (AgentStatus status : {AgentStatus::kConnected, AgentStatus::kDisconnected}) {
    if (word == StatusWord(status)) return status;
  }
  return AgentStatus::kPending;
}

// JSON as it is listed.
std::string JsonAt(const Run& run, int column) {
  const std::string_view json = run.ViewAt(column);
  if (json.size() <= kListedJsonBytesMax) return std::string(json);
  return AuditMarkedJson(json.substr(0, kListedJsonBytesMax / 4), json.size(), kListedJsonBytesMax / 4, "too large");
}

ListedAuditRow RowOf(const Run& run) {
  const auto text = [&](int column) { return AuditSafeText(run.TextAt(column), kListedTextBytesMax); };
  ListedAuditRow row;
  row.user_id = text(0);
  row.request_id = text(1);
  row.tool = text(2);
  row.params_json = JsonAt(run, 3);
  row.result_json = JsonAt(run, 4);
  row.success = run.IntAt(5) != 0;
  row.error = text(6);
  row.execution_time_ms = run.OptionalIntAt(7);
  row.created_at_ms = run.IntAt(8);
  row.call_id = text(9);
  row.cursor = absl::StrCat(row.created_at_ms, ":", run.IntAt(10));
  row.caller = text(11);
  return row;
}

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
                                                          const IsGone& is_gone) override;
  absl::StatusOr<std::vector<ListedAuditRow>> ListAudit(const AuditQuery& query, const IsGone& is_gone) override;

 private:
  // Statements go before their connection when the store is destroyed.
  struct Reader {
    Mutex mu;
    Db db ABSL_GUARDED_BY(mu);
    Statement find_secret ABSL_GUARDED_BY(mu);
  };
  struct Lister {
    Mutex mu;
    Db db ABSL_GUARDED_BY(mu);
    Statement credentials ABSL_GUARDED_BY(mu), audit ABSL_GUARDED_BY(mu);
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
  // Called while another process has the file locked, for the `tries`th time; 0: do not wait on.
  static int WaitWhileBusy(void* store, int tries) {
    constexpr int kPauseMs = 10;
    const MonoTime end{Duration(static_cast<SqliteStore*>(store)->end_.load())};
    if (tries * kPauseMs >= kBusyLimitMs || std::chrono::steady_clock::now() >= end) return 0;
    sqlite3_sleep(tries < kPauseMs ? 1 : kPauseMs);
    return 1;
  }
  // Called while a list runs, by its thread; not 0: it ends.
  static int EndsList(void* store) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    const auto* const self = static_cast<SqliteStore*>(store);
    const MonoTime end{Duration(self->end_.load())};
    const bool is_over = std::chrono::steady_clock::now() >= std::min(self->list_end_, end);
    return is_over || (self->list_is_gone_ && self->list_is_gone_()) ? 1 : 0;
  }
  // Whether `matches(check, stored secret)`, for each.
  template <typename Check, typename Matches>
  absl::StatusOr<std::vector<bool>> CheckAll(const std::vector<Check>& checks, Matches matches);
  // Runs a statement of the writer with these two parameters; NOT_FOUND unless it changed a row.
  absl::Status ChangeSecret(Statement Writer::*statement, const std::string& user_id, const std::string& stored_secret,
                            const char* doing);

  std::string path_;  // Absolute. These are set by Open.
  std::string identity_;
  std::optional<FileId> file_id_;
  std::atomic<Duration::rep> end_{MonoTime::max().time_since_epoch().count()};
  const size_t audit_json_bytes_max_;
  // In stored form. Checked in place of an unknown user's.
  const std::string nobodys_secret_ = HashSecret(MakeSecret());
  Reader reader_;
  Lister lister_;
  MonoTime list_end_ ABSL_GUARDED_BY(lister_.mu);    // Of the list that runs.
  IsGone list_is_gone_ ABSL_GUARDED_BY(lister_.mu);  // The same; may be null.
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
  if (absl::Status status = Connect(path, &writer_.db); !status.ok()) return status;
  sqlite3_busy_handler(writer_.db.get(), WaitWhileBusy, this);
  // Copying the log to the file less often saves CPU time; status updates of many users touch many pages.
  constexpr char kWriterSettings[] = "PRAGMA cache_size = -8192; PRAGMA wal_autocheckpoint = 4096";  // 8 MB, 16 MB
  if (absl::Status status = Exec(writer_.db, kWriterSettings, "opening"); !status.ok()) return status;
  if (absl::Status status = TakeSteps(writer_.db); !status.ok()) return status;
  if (absl::Status status = FindIdentity(); !status.ok()) return status;
  for (Db* db : {&reader_.db, &lister_.db}) {
    if (absl::Status status = Connect(path, db); !status.ok()) return status;
    sqlite3_busy_handler(db->get(), WaitWhileBusy, this);
    if (absl::Status status = Exec(*db, "PRAGMA query_only = 1", "opening"); !status.ok()) return status;
  }
  sqlite3_progress_handler(lister_.db.get(), kStepsBetweenLooks, EndsList, this);

  const struct {
    const Db& db;
    const char* sql;
    Statement* statement;
  } statements[] = {
      {reader_.db, kFindSecret, &reader_.find_secret},
      {lister_.db, kListCredentials, &lister_.credentials},
      {lister_.db, kListAudit, &lister_.audit},
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

absl::StatusOr<std::vector<Credential>> SqliteStore::ListCredentials(const std::string& after, int limit,
                                                                     const IsGone& is_gone) {
  std::vector<Credential> listed;
  if (limit <= 0) return listed;  // To SQLite a negative limit is none.
  if (absl::Status status = CheckFile(); !status.ok()) return status;
  MutexLock lock(lister_.mu);
  list_end_ = std::chrono::steady_clock::now() + kListLimit;
  list_is_gone_ = is_gone;
  Run run(lister_.credentials);
  run.Text(after).Int(limit);
  int rc = SQLITE_DONE;
  while ((rc = run.Step()) == SQLITE_ROW) {
    listed.push_back({run.TextAt(0), run.TextAt(1), StatusOfWord(run.TextAt(2)), run.IntAt(3), run.OptionalIntAt(4),
                      run.IntAt(5) != 0});
  }
  if (rc == SQLITE_INTERRUPT && is_gone && is_gone()) return GoneError();
  if (rc != SQLITE_DONE) return ErrorOf(lister_.db.get(), rc, "listing credentials");
  return listed;
}

absl::StatusOr<std::vector<ListedAuditRow>> SqliteStore::ListAudit(const AuditQuery& query,
                                                                   const IsGone& is_gone) {
  constexpr int64_t kLast = std::numeric_limits<int64_t>::max();
  int64_t after_ms = kLast, after_id = kLast;
  if (!query.after.empty()) {
    const absl::StatusOr<AuditCursor> cursor = ReadAuditCursor(query.after);
    if (!cursor.ok()) return cursor.status();
    after_ms = cursor->time;
    if (!ReadInt(cursor->id, &after_id)) return absl::InvalidArgumentError("the cursor is not one of this store");
  }
  std::vector<ListedAuditRow> listed;
  if (query.limit <= 0) return listed;
  if (absl::Status status = CheckFile(); !status.ok()) return status;
  MutexLock lock(lister_.mu);
  list_end_ = std::chrono::steady_clock::now() + kListLimit;
  list_is_gone_ = is_gone;
  Run run(lister_.audit);
  run.Text(query.user_id).Int(query.from_ms.value_or(std::numeric_limits<int64_t>::min()));
  run.Int(query.until_ms.value_or(kLast)).Int(after_ms).Int(after_id);
  run.Text(query.user_prefix).Int(query.limit);
  int rc = SQLITE_DONE;
  while ((rc = run.Step()) == SQLITE_ROW) listed.push_back(RowOf(run));
  if (rc == SQLITE_INTERRUPT && is_gone && is_gone()) return GoneError();
  if (rc != SQLITE_DONE) return ErrorOf(lister_.db.get(), rc, "listing audit rows");
  return listed;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Store>> OpenSqliteStore(const std::string& path, size_t audit_json_bytes_max) {
  auto store = std::make_unique<SqliteStore>(audit_json_bytes_max);
  if (absl::Status status = store->Open(path); !status.ok()) return status;
  return store;
}

absl::StatusOr<std::vector<MigrationStep>> FindSqliteSteps(const std::string& path) {
  int have = 0;
  if (access(path.c_str(), F_OK) == 0) {
    sqlite3* made = nullptr;
    const int rc = sqlite3_open_v2(path.c_str(), &made, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, nullptr);
    const Db db(made);
    if (rc != SQLITE_OK) return ErrorOf(made, rc, absl::StrCat("opening the database \"", path, "\""));
    sqlite3_busy_timeout(made, kBusyLimitMs);
    const absl::StatusOr<int> version = VersionOf(db);
    if (!version.ok()) return version.status();
    have = *version;
  }
  std::vector<MigrationStep> steps;
  for (int step = have; step < kSchemaVersion; ++step) {
    steps.push_back(
        {kMigrations[step].what, std::string(absl::StripAsciiWhitespace(kMigrations[step].sql)),
         have == 0 ? "nothing that others use" : "the file against writing, while it reads the table once"});
  }
  return steps;
}

}  // namespace toolwire
