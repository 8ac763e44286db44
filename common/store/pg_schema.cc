// Tables that are complete are only looked at. Missing ones are made, and our columns added, in one transaction under
// an advisory lock, so that several processes can start at once. Indexes are built CONCURRENTLY, under another advisory
// lock, one after the other; one that was left invalid is dropped and built again. What is to be done is a list of
// steps, which servers carry out when they start and `toolwire migrate` before that, or only shows.

#include "common/store/pg_schema.h"

#include <algorithm>
#include <chrono>
#include <iterator>
#include <map>
#include <set>
#include <thread>

#include "absl/strings/ascii.h"
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
// The columns that tables taken over lack. None has a default, so that no row is rewritten.
constexpr const char* kOurColumns[] = {"call_id", "caller"};
std::string AddColumn(const std::string& column) {
  return absl::StrCat("ALTER TABLE tool_execution_logs ADD COLUMN IF NOT EXISTS ", column, " text");
}
// A change of a table waits for all who use it, and all others wait behind it; so it fails soon and is tried again.
constexpr char kLockTimeout[] = "SET LOCAL lock_timeout = '2s'";

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
        "created_at", "call_id", "caller"}},
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

bool IsOurs(const std::string& column) {
  return std::find(std::begin(kOurColumns), std::end(kOurColumns), column) != std::end(kOurColumns);
}

bool HasColumn(const Tables& tables, const std::string& column) {
  const auto logs = tables.find("tool_execution_logs");
  return logs != tables.end() && logs->second.count(column) > 0;
}

bool HasOurColumns(const Tables& tables) {
  return std::all_of(std::begin(kOurColumns), std::end(kOurColumns),
                     [&](const char* column) { return HasColumn(tables, column); });
}

// What the tables lack.
std::vector<MigrationStep> TableSteps(const Tables& tables) {
  const auto table = [](const char* name, const char* sql) {
    return MigrationStep{absl::StrCat("table ", name), std::string(absl::StripAsciiWhitespace(sql)),
                         "nothing that is there"};
  };
  std::vector<MigrationStep> steps;
  if (tables.count("agent_credentials") == 0) steps.push_back(table("agent_credentials", kCredentialsTable));
  const bool is_new = tables.count("tool_execution_logs") == 0;
  if (is_new) steps.push_back(table("tool_execution_logs", kAuditTable));
  // Executed only if a column is missing: even to change nothing, it would wait for an index that is being built.
  for (const char* column : kOurColumns) {
    if (HasColumn(tables, column)) continue;
    steps.push_back({absl::StrCat("column ", column, " of tool_execution_logs"), AddColumn(column),
                     is_new ? "nothing that is there"
                            : "tool_execution_logs against all others (ACCESS EXCLUSIVE) for an instant, as no row is "
                              "rewritten; waits 2 s for that lock at most, then lets others go first and tries again"});
  }
  return steps;
}

void MakeTables(PgSession& session) {
  pqxx::work transaction(session.connection());
  session.Exec(transaction, kDoing, kLockTimeout);
  session.Exec(transaction, kDoing, kLockTables);
  for (const MigrationStep& step : TableSteps(FindTables(session, transaction))) {
    session.Exec(transaction, kDoing, step.statement);
  }
  transaction.commit();
  log::Info("database tables made or extended");
}

struct Index {
  const char* name;
  std::string sql;
};

// In the order in which they are built.
std::vector<Index> IndexesOf(const PgAuditTable& table) {
  const auto create = [](const char* kind, const char* name, const std::string& columns) {
    return Index{name, absl::StrCat("CREATE ", kind, " CONCURRENTLY IF NOT EXISTS ", name, " ON tool_execution_logs (",
                                    columns)};
  };
  return {create("UNIQUE INDEX", kCallIndex, "call_id) WHERE call_id IS NOT NULL"),
          create("INDEX", kUserTimeIndex, absl::StrCat("user_id, (", table.time(), "), id)")),
          create("INDEX", kTimeIndex, absl::StrCat("(", table.time(), "), id)"))};
}

enum class IndexState { kMissing, kUnfinished, kValid };

IndexState FindIndex(PgSession& session, pqxx::transaction_base& transaction, const char* name, std::string* quoted) {
  const pqxx::result found = session.Exec(transaction, kDoingIndexes, kFindIndex, PgParams().Text(name));
  if (found.empty()) return IndexState::kMissing;
  *quoted = found[0][0].as<std::string>();
  return found[0][1].as<bool>() ? IndexState::kValid : IndexState::kUnfinished;
}

std::string DropIndex(const std::string& quoted) { return absl::StrCat("DROP INDEX CONCURRENTLY IF EXISTS ", quoted); }

void BuildIndex(PgSession& session, pqxx::transaction_base& transaction, const Index& index) {
  std::string quoted;
  const IndexState state = FindIndex(session, transaction, index.name, &quoted);
  if (state == IndexState::kValid) return;
  if (state == IndexState::kUnfinished) session.Exec(transaction, kDoingIndexes, DropIndex(quoted));
  const MonoTime start = std::chrono::steady_clock::now();
  session.Exec(transaction, kDoingIndexes, index.sql);
  const Duration took = std::chrono::steady_clock::now() - start;
  log::Info("database index built",
            {{"index", index.name}, {"ms", std::chrono::duration_cast<std::chrono::milliseconds>(took).count()}});
}

// What of the table decides how its indexes are made. A table that is to be made has the defaults.
PgAuditTable ShapeOf(Tables& tables) {
  PgAuditTable table;
  if (tables.count("tool_execution_logs") == 0) return table;
  Columns& columns = tables["tool_execution_logs"];
  table.id_type = columns["id"].type;
  table.time_type = columns["created_at"].type;
  table.created_at_required = columns["created_at"].required;
  table.params_required = columns["params"].required;
  table.result_required = columns["result"].required;
  table.error_required = columns["error"].required;
  table.execution_time_required = columns["execution_time_ms"].required;
  return table;
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
  if (tables.count("agent_credentials") == 0 || !HasOurColumns(tables)) MakeTables(session);

  pqxx::nontransaction transaction(session.connection());
  tables = FindTables(session, transaction);
  for (const auto& [table, columns] : NeededColumns()) {
    for (const std::string& column : columns) {
      if (tables[table].count(column) > 0) continue;
      log::Error("database table lacks a column", {{"table", table}, {"column", column}});
      return absl::UnavailableError(absl::StrCat("the table ", table, " has no column ", column));
    }
  }
  PgAuditTable table = ShapeOf(tables);
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
  found.our_columns = HasOurColumns(tables);
  for (const auto& [table, columns] : tables) {
    for (const std::string& column : NeededColumns().at(table)) {
      if (IsOurs(column) || columns.count(column) > 0) continue;
      found.missing_columns.push_back(absl::StrCat(table, ".", column));
    }
  }
  std::string quoted;
  found.call_index = FindIndex(session, transaction, kCallIndex, &quoted) == IndexState::kValid;
  return found;
}

std::vector<MigrationStep> FindPgSteps(PgSession& session, pqxx::transaction_base& transaction) {
  Tables tables = FindTables(session, transaction);
  std::vector<MigrationStep> steps = TableSteps(tables);
  const bool is_new = tables.count("tool_execution_logs") == 0;
  for (const Index& index : IndexesOf(ShapeOf(tables))) {
    std::string quoted;
    const IndexState state = FindIndex(session, transaction, index.name, &quoted);
    if (state == IndexState::kValid) continue;
    steps.push_back({absl::StrCat("index ", index.name),
                     state == IndexState::kUnfinished ? absl::StrCat(DropIndex(quoted), ";\n", index.sql) : index.sql,
                     is_new ? "nothing that is there"
                            : "tool_execution_logs against changes of the table and VACUUM (SHARE UPDATE EXCLUSIVE), "
                              "while its rows are read twice; reads and writes go on; waits for older transactions"});
  }
  return steps;
}

void BuildPgIndexes(PgSession& session, const PgAuditTable& table, const std::function<void(const char*)>& on_index,
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
  for (const Index& index : IndexesOf(table)) {
    BuildIndex(session, transaction, index);
    on_index(index.name);
    if (stopping()) return;
  }
}

}  // namespace toolwire
