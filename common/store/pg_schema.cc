// Tables that are complete are only looked at. Missing ones are made, and call_id added, in one transaction under an
// advisory lock, so that several processes can start at once. Indexes are built CONCURRENTLY, under another advisory
// lock, one after the other; one that was left invalid is dropped and built again.

#include "common/store/pg_schema.h"

#include <chrono>
#include <map>
#include <set>
#include <thread>

#include "absl/strings/str_cat.h"
#include "common/base/log.h"

namespace toolwire {
namespace {

constexpr char kDoing[] = "preparing the tables";
constexpr char kDoingIndexes[] = "preparing the indexes";

// Advisory locks of ours: a number that other programs are unlikely to use, and one for each step.
constexpr char kLockTables[] = "SELECT pg_advisory_xact_lock(1953460076, 1)";
constexpr char kTryLockIndexes[] = "SELECT pg_try_advisory_lock(1953460076, 2)";

constexpr char kCredentialsTable[] = R"sql(
CREATE TABLE IF NOT EXISTS agent_credentials (
  user_id text PRIMARY KEY,
  shared_secret text NOT NULL UNIQUE,  -- sha256:<64 hex digits>, or the plain secret in rows taken over
  platform text NOT NULL CHECK (platform IN ('win32', 'linux', 'darwin')),
  status text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'connected', 'disconnected')),
  created_at timestamptz NOT NULL DEFAULT now(),
  last_seen timestamptz,
  metadata jsonb
))sql";
constexpr char kAuditTable[] = R"sql(
CREATE TABLE IF NOT EXISTS tool_execution_logs (
  id bigserial PRIMARY KEY,
  user_id text NOT NULL,
  request_id text NOT NULL,
  tool_name text NOT NULL,
  params jsonb,
  result jsonb,
  success boolean NOT NULL,
  error text,
  execution_time_ms integer,
  created_at timestamptz NOT NULL DEFAULT now()
))sql";
constexpr char kCallIdColumn[] = "ALTER TABLE tool_execution_logs ADD COLUMN IF NOT EXISTS call_id text";

constexpr char kCallIndex[] = "toolwire_audit_call_id";
// The index toolwire_audit_user that earlier versions made is left where it is.
constexpr char kUserTimeIndex[] = "toolwire_audit_user_time";
constexpr char kTimeIndex[] = "toolwire_audit_time";

constexpr char kFindColumns[] = R"sql(
SELECT t.name, a.attname, a.attnotnull, format_type(a.atttypid, NULL) AS type
FROM (VALUES ('agent_credentials'), ('tool_execution_logs')) AS t(name)
JOIN pg_attribute a ON a.attrelid = to_regclass(t.name)
WHERE a.attnum > 0 AND NOT a.attisdropped)sql";
constexpr char kFindIndex[] = R"sql(
SELECT i.indexrelid::regclass::text, i.indisvalid
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE i.indrelid = to_regclass('tool_execution_logs') AND c.relname = $1::text)sql";
constexpr char kFindForeignKey[] = R"sql(
SELECT 1 FROM pg_constraint k JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey)
WHERE k.contype = 'f' AND k.conrelid = to_regclass('tool_execution_logs') AND a.attname = 'user_id' LIMIT 1)sql";

struct Column {
  bool required = false;
  std::string type;
};
using Columns = std::map<std::string, Column>;
using Tables = std::map<std::string, Columns>;

// Of each table, what we read and write.
const std::map<std::string, std::set<std::string>>& NeededColumns() {
  static const auto* const needed = new std::map<std::string, std::set<std::string>>{
      {"agent_credentials", {"user_id", "shared_secret", "platform", "status", "created_at", "last_seen"}},
      {"tool_execution_logs",
       {"id", "user_id", "request_id", "tool_name", "params", "result", "success", "error", "execution_time_ms",
        "created_at", "call_id"}},
  };
  return *needed;
}

Tables FindTables(PgSession& session, pqxx::transaction_base& transaction) {
  Tables tables;
  for (const auto& row : session.Exec(transaction, kDoing, kFindColumns)) {
    tables[row[0].as<std::string>()][row[1].as<std::string>()] = {row[2].as<bool>(), row[3].as<std::string>()};
  }
  return tables;
}

bool HasCallId(const Tables& tables) {
  const auto logs = tables.find("tool_execution_logs");
  return logs != tables.end() && logs->second.count("call_id") > 0;
}

void MakeTables(PgSession& session) {
  pqxx::work transaction(session.connection());
  // A change of a table waits for all who use it, and all others wait behind it; so it fails soon and is tried again.
  session.Exec(transaction, kDoing, "SET LOCAL lock_timeout = '2s'");
  session.Exec(transaction, kDoing, kLockTables);
  const Tables tables = FindTables(session, transaction);
  if (tables.count("agent_credentials") == 0) session.Exec(transaction, kDoing, kCredentialsTable);
  if (tables.count("tool_execution_logs") == 0) session.Exec(transaction, kDoing, kAuditTable);
  // Executed only if the column is missing: even to change nothing, it would wait for an index that is being built.
  if (!HasCallId(tables)) session.Exec(transaction, kDoing, kCallIdColumn);
  transaction.commit();
  log::Info("database tables made or extended");
}

enum class IndexState { kMissing, kUnfinished, kValid };

IndexState FindIndex(PgSession& session, pqxx::transaction_base& transaction, const char* name, std::string* quoted) {
  const pqxx::result found = session.Exec(transaction, kDoingIndexes, kFindIndex, PgParams().Text(name));
  if (found.empty()) return IndexState::kMissing;
  *quoted = found[0][0].as<std::string>();
  return found[0][1].as<bool>() ? IndexState::kValid : IndexState::kUnfinished;
}

void BuildIndex(PgSession& session, pqxx::transaction_base& transaction, const char* name, const std::string& sql) {
  std::string quoted;
  const IndexState state = FindIndex(session, transaction, name, &quoted);
  if (state == IndexState::kValid) return;
  if (state == IndexState::kUnfinished) {
    session.Exec(transaction, kDoingIndexes, absl::StrCat("DROP INDEX CONCURRENTLY IF EXISTS ", quoted));
  }
  const MonoTime start = std::chrono::steady_clock::now();
  session.Exec(transaction, kDoingIndexes, sql);
  const Duration took = std::chrono::steady_clock::now() - start;
  log::Info("database index built",
            {{"index", name}, {"ms", std::chrono::duration_cast<std::chrono::milliseconds>(took).count()}});
}

}  // namespace

std::string PgAuditTable::time() const {
  if (created_at_required) return "created_at";
  return absl::StrCat("coalesce(created_at, CAST('1970-01-01 00:00:00+00' AS ", time_type, "))");
}

absl::StatusOr<PgAuditTable> PreparePgTables(PgSession& session) {
  Tables tables;
  {
    pqxx::nontransaction transaction(session.connection());
    tables = FindTables(session, transaction);
  }
  if (tables.count("agent_credentials") == 0 || !HasCallId(tables)) MakeTables(session);

  pqxx::nontransaction transaction(session.connection());
  tables = FindTables(session, transaction);
  for (const auto& [table, columns] : NeededColumns()) {
    for (const std::string& column : columns) {
      if (tables[table].count(column) > 0) continue;
      log::Error("database table lacks a column", {{"table", table}, {"column", column}});
      return absl::UnavailableError(absl::StrCat("the table ", table, " has no column ", column));
    }
  }
  Columns& columns = tables["tool_execution_logs"];
  PgAuditTable table;
  table.id_type = columns["id"].type;
  table.time_type = columns["created_at"].type;
  table.created_at_required = columns["created_at"].required;
  table.params_required = columns["params"].required;
  table.result_required = columns["result"].required;
  table.error_required = columns["error"].required;
  table.execution_time_required = columns["execution_time_ms"].required;
  table.has_user_key = !session.Exec(transaction, kDoing, kFindForeignKey).empty();
  std::string quoted;
  table.has_call_index = FindIndex(session, transaction, kCallIndex, &quoted) == IndexState::kValid;
  table.has_list_indexes = FindIndex(session, transaction, kUserTimeIndex, &quoted) == IndexState::kValid &&
                           FindIndex(session, transaction, kTimeIndex, &quoted) == IndexState::kValid;
  return table;
}

PgTablesFound FindPgTables(PgSession& session, pqxx::transaction_base& transaction) {
  const Tables tables = FindTables(session, transaction);
  PgTablesFound found;
  found.credentials = tables.count("agent_credentials") > 0;
  found.audit = tables.count("tool_execution_logs") > 0;
  found.call_id = HasCallId(tables);
  for (const auto& [table, columns] : tables) {
    for (const std::string& column : NeededColumns().at(table)) {
      if (column == "call_id" || columns.count(column) > 0) continue;
      found.missing_columns.push_back(absl::StrCat(table, ".", column));
    }
  }
  std::string quoted;
  found.call_index = FindIndex(session, transaction, kCallIndex, &quoted) == IndexState::kValid;
  return found;
}

void BuildPgIndexes(PgSession& session, const PgAuditTable& table, const std::function<void()>& on_call_index,
                    const std::function<bool()>& stopping) {
  session.LiftTimeout();
  pqxx::nontransaction transaction(session.connection());
  // Polled, not waited for: CREATE INDEX CONCURRENTLY waits for all statements that began before it, and so would wait
  // for one that waits for this lock. The lock is held until the connection is closed, so for as long as the server
  // builds, even when this process is gone: an index that is unfinished while we hold the lock is built by nobody.
  while (!session.Exec(transaction, kDoingIndexes, kTryLockIndexes)[0][0].as<bool>()) {
    if (stopping()) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  BuildIndex(session, transaction, kCallIndex,
             absl::StrCat("CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS ", kCallIndex,
                          " ON tool_execution_logs (call_id) WHERE call_id IS NOT NULL"));
  on_call_index();
  if (stopping()) return;
  BuildIndex(session, transaction, kUserTimeIndex,
             absl::StrCat("CREATE INDEX CONCURRENTLY IF NOT EXISTS ", kUserTimeIndex,
                          " ON tool_execution_logs (user_id, (", table.time(), "), id)"));
  if (stopping()) return;
  BuildIndex(session, transaction, kTimeIndex,
             absl::StrCat("CREATE INDEX CONCURRENTLY IF NOT EXISTS ", kTimeIndex, " ON tool_execution_logs ((",
                          table.time(), "), id)"));
}

}  // namespace toolwire
