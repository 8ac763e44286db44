#include "common/store/sqlite_db.h"

#include <chrono>

#include "absl/strings/str_cat.h"

namespace toolwire::sqlite {
namespace {

// Called while another process has the file locked, for the `tries`th time; 0: do not wait on.
int WaitWhileBusy(void* end, int tries) {
  constexpr int kPauseMs = 10;
  const MonoTime until{Duration(static_cast<End*>(end)->load())};
  if (tries * kPauseMs >= kBusyLimitMs || std::chrono::steady_clock::now() >= until) return 0;
  sqlite3_sleep(tries < kPauseMs ? 1 : kPauseMs);
  return 1;
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

}  // namespace

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

absl::StatusOr<std::string> QueryText(const Db& db, const char* sql, const std::string& doing) {
  Statement statement;
  if (absl::Status status = Prepare(db, sql, &statement); !status.ok()) return status;
  Run run(statement);
  const int rc = run.Step();
  if (rc != SQLITE_ROW) return ErrorOf(db.get(), rc, doing);
  return run.TextAt(0);
}

absl::Status Connect(const std::string& path, End* end, Db* db) {
  sqlite3* made = nullptr;
  int rc = sqlite3_open_v2(path.c_str(), &made, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, nullptr);
  db->reset(made);
  const std::string doing = absl::StrCat("opening the database \"", path, "\"");
  if (rc != SQLITE_OK) return ErrorOf(made, rc, doing);
  sqlite3_extended_result_codes(made, 1);
  // While another connection switches a new file to write-ahead mode, SQLite fails at once and does not wait as it
  // does elsewhere. It is also the first statement that reads the file: here it turns out if it is no database.
  rc = SetWriteAheadLog(made);
  sqlite3_busy_handler(made, WaitWhileBusy, end);
  if (rc != SQLITE_OK) return ErrorOf(made, rc, doing);
  const absl::StatusOr<std::string> mode = QueryText(*db, "PRAGMA journal_mode", doing);
  if (!mode.ok()) return mode.status();
  if (*mode != "wal") return absl::InternalError(absl::StrCat(doing, ": its file system allows no write-ahead log"));
  return Exec(*db, "PRAGMA synchronous = NORMAL; PRAGMA journal_size_limit = 67108864", doing);
}

absl::Status ConnectReader(const std::string& path, End* end, Db* db) {
  if (absl::Status status = Connect(path, end, db); !status.ok()) return status;
  return Exec(*db, "PRAGMA query_only = 1", "opening");
}

}  // namespace toolwire::sqlite
