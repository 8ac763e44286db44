#include "common/store/sqlite_steps.h"

#include <unistd.h>

#include <cstdlib>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace toolwire {
namespace {

using sqlite::Db;
using sqlite::ErrorOf;
using sqlite::Exec;
using sqlite::QueryText;
using sqlite::Transaction;

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

constexpr char kDoingSteps[] = "bringing the tables up to date";

// How many steps the file has had.
absl::StatusOr<int> VersionOf(const Db& db) {
  absl::StatusOr<std::string> text = QueryText(db, "PRAGMA user_version", kDoingSteps);
  if (!text.ok()) return text.status();
  return std::atoi(text->c_str());
}

}  // namespace

absl::Status TakeSqliteSteps(const Db& db) {
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

absl::StatusOr<std::vector<MigrationStep>> FindSqliteSteps(const std::string& path) {
  int have = 0;
  if (access(path.c_str(), F_OK) == 0) {
    sqlite3* made = nullptr;
    const int rc = sqlite3_open_v2(path.c_str(), &made, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, nullptr);
    const Db db(made);
    if (rc != SQLITE_OK) return ErrorOf(made, rc, absl::StrCat("opening the database \"", path, "\""));
    sqlite3_busy_timeout(made, sqlite::kBusyLimitMs);
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
