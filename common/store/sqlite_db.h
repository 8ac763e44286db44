// One connection to a SQLite file, its statements and transactions. Only the sqlite_* files include sqlite3.
#ifndef TOOLWIRE_COMMON_STORE_SQLITE_DB_H_
#define TOOLWIRE_COMMON_STORE_SQLITE_DB_H_

#include <sqlite3.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/clock.h"

namespace toolwire::sqlite {

struct CloseDb {
  void operator()(sqlite3* db) const { sqlite3_close_v2(db); }
};
struct FinalizeStatement {
  void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};
using Db = std::unique_ptr<sqlite3, CloseDb>;
using Statement = std::unique_ptr<sqlite3_stmt, FinalizeStatement>;

// How long a connection waits for another process that has the file locked.
inline constexpr int kBusyLimitMs = 5000;

// When waiting ends in any case, in ticks of the monotonic clock. Any thread.
using End = std::atomic<Duration::rep>;

// What went wrong in `db`, where `rc` is not success. SQLite's messages name tables and columns, never values.
absl::Status ErrorOf(sqlite3* db, int rc, const std::string& doing);

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

absl::Status Exec(const Db& db, const char* sql, const std::string& doing);
absl::Status Prepare(const Db& db, const char* sql, Statement* statement);
// The single text that `sql` yields.
absl::StatusOr<std::string> QueryText(const Db& db, const char* sql, const std::string& doing);

// Opens a file that is there, in write-ahead mode. `end` outlives the connection.
absl::Status Connect(const std::string& path, End* end, Db* db);
// The same, for a connection that changes nothing.
absl::Status ConnectReader(const std::string& path, End* end, Db* db);

}  // namespace toolwire::sqlite

#endif  // TOOLWIRE_COMMON_STORE_SQLITE_DB_H_
