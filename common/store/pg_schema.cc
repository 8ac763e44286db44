// One statement reads the columns of both tables, one the indexes of the audit table. Whether an index is what we need
// is told by its columns: its name may be taken, by the index of a table that was renamed.

#include "common/store/pg_schema.h"

#include <algorithm>
#include <iterator>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace toolwire {
namespace {

constexpr char kDoing[] = "looking at the tables";

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
constexpr char kCallsTable[] = R"sql(
CREATE TABLE IF NOT EXISTS toolwire_audit_calls (
  call_id text PRIMARY KEY,            -- of rows that were written while the audit table had no unique index
  written_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS toolwire_audit_calls_written_at ON toolwire_audit_calls (written_at))sql";

// The columns that tables taken over lack. None has a default, so that no row is rewritten.
constexpr struct {
  const char* table;
  const char* column;
  const char* type;
} kOurColumns[] = {{"agent_credentials", "status_epoch", "bigint"},
                   {"tool_execution_logs", "call_id", "text"},
                   {"tool_execution_logs", "caller", "text"}};

constexpr char kUserTimeIndex[] = "toolwire_audit_user_time";
constexpr char kTimeIndex[] = "toolwire_audit_time";
constexpr char kCallIndex[] = "toolwire_audit_call_id";

constexpr char kFindTables[] = R"sql(
SELECT t.name, c.oid IS NOT NULL, coalesce(c.relkind::text, 'r'), coalesce(row_security_active(c.oid), false),
  coalesce((SELECT min(n.nspname) FROM pg_class o JOIN pg_namespace n ON n.oid = o.relnamespace
            WHERE o.relname = t.name AND o.relkind IN ('r', 'p', 'v')), ''),
  current_user::text
FROM (VALUES ('agent_credentials'), ('tool_execution_logs'), ('toolwire_audit_calls')) AS t(name)
LEFT JOIN pg_class c ON c.oid = to_regclass(t.name))sql";
constexpr char kFindColumns[] = R"sql(
SELECT t.name, a.attname, a.attnotnull OR y.typnotnull, format_type(a.atttypid, NULL),
  a.atthasdef OR a.attidentity <> '' OR y.typdefault IS NOT NULL,
  CASE WHEN y.typname IN ('varchar', 'bpchar') AND a.atttypmod > 4 THEN a.atttypmod - 4
    WHEN y.typbasetype IN ('varchar'::regtype, 'bpchar'::regtype) AND y.typtypmod > 4 THEN y.typtypmod - 4 ELSE 0 END,
  y.typtype IN ('e', 'd'),
  (WITH RECURSIVE base AS (SELECT y.oid, y.typtype, y.typbasetype UNION ALL
     SELECT u.oid, u.typtype, u.typbasetype FROM base JOIN pg_type u ON u.oid = base.typbasetype WHERE base.typtype = 'd')
   SELECT format_type(oid, NULL) FROM base WHERE typtype <> 'd')
FROM (VALUES ('agent_credentials'), ('tool_execution_logs')) AS t(name)
JOIN pg_attribute a ON a.attrelid = to_regclass(t.name) JOIN pg_type y ON y.oid = a.atttypid
WHERE a.attnum > 0 AND NOT a.attisdropped)sql";
// The condition is compared as it is kept, since to write it out would lock the table: 1 is IS NOT NULL.
constexpr char kFindIndexes[] = R"sql(
SELECT i.indexrelid::regclass::text, c.relname, i.indisvalid AND i.indisready, i.indisunique,
  coalesce(i.indnkeyatts = 1 AND i.indkey[0] = a.attnum AND (i.indpred IS NULL OR
    i.indpred::text LIKE '{NULLTEST :arg {VAR :varno 1 :varattno ' || a.attnum || ' %:nulltesttype 1 %'), false),
  i.indexrelid::bigint
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attname = 'call_id' AND NOT a.attisdropped
WHERE i.indrelid = to_regclass('tool_execution_logs'))sql";
// Whether a name of ours is taken by another table's index.
constexpr char kFindTakenNames[] = R"sql(
SELECT c.relname FROM pg_class c
WHERE c.relname LIKE 'toolwire\_audit\_%' AND c.relnamespace =
  (SELECT relnamespace FROM pg_class WHERE oid = to_regclass('tool_execution_logs')))sql";
// The tables that hold the partitioned log's rows: their names, numbers, an index $1 of theirs that was left unfinished,
// and whether there is a finished one.
constexpr char kFindPartitions[] = R"sql(
SELECT p.relid::regclass::text, p.relid::oid::bigint,
  coalesce(min(i.indexrelid::regclass::text) FILTER (WHERE NOT i.indisvalid), ''),
  coalesce(bool_or(i.indisvalid AND i.indisready), false)
FROM pg_partition_tree(to_regclass('tool_execution_logs')) AS p JOIN pg_class t ON t.oid = p.relid AND t.relkind = 'r'
LEFT JOIN (pg_index i JOIN pg_class c ON c.oid = i.indexrelid)
  ON i.indrelid = p.relid AND c.relname ~ ('^' || $1::text || '(_[0-9]+)?$')
WHERE p.isleaf
GROUP BY 1, 2 ORDER BY 1)sql";
constexpr char kFindForeignKey[] = R"sql(
SELECT 1 FROM pg_constraint k JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey)
WHERE k.contype = 'f' AND k.conrelid = to_regclass('tool_execution_logs') AND a.attname = 'user_id' LIMIT 1)sql";

// Who may write the audit table, and lacks a right on toolwire_audit_calls that this role can give. 0 is PUBLIC.
constexpr char kFindCallsRights[] = R"sql(
WITH rights AS (SELECT c.relname, c.relowner, x.grantee, x.privilege_type
  FROM pg_class c, aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) AS x
  WHERE c.oid IN (to_regclass('tool_execution_logs'), to_regclass('toolwire_audit_calls'))),
writers AS (SELECT DISTINCT grantee FROM rights WHERE relname = 'tool_execution_logs' AND privilege_type = 'INSERT')
SELECT CASE WHEN w.grantee = 0 THEN 'PUBLIC' ELSE w.grantee::regrole::text END FROM writers w
WHERE CASE WHEN to_regclass('toolwire_audit_calls') IS NULL
  THEN w.grantee <> (SELECT oid FROM pg_roles WHERE rolname = current_user)
  ELSE (SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = to_regclass('toolwire_audit_calls'))
    AND (SELECT count(DISTINCT privilege_type) FROM rights WHERE relname = 'toolwire_audit_calls'
         AND grantee IN (w.grantee, 0) AND privilege_type IN ('SELECT', 'INSERT', 'DELETE')) < 3 END
ORDER BY 1)sql";
constexpr char kMayUseCalls[] = R"sql(
SELECT bool_and(has_table_privilege(to_regclass('toolwire_audit_calls'), p))
FROM unnest(ARRAY['SELECT', 'INSERT', 'DELETE']) AS p)sql";

struct FoundIndex {
  std::string quoted, name;
  bool valid = false, unique = false, on_call_id = false;
  int64_t oid = 0;
};

std::vector<FoundIndex> FindIndexes(PgSession& session, pqxx::transaction_base& transaction) {
  std::vector<FoundIndex> found;
  for (const auto& row : session.Exec(transaction, kDoing, kFindIndexes)) {
    found.push_back({row[0].c_str(), row[1].c_str(), row[2].as<bool>(), row[3].as<bool>(), row[4].as<bool>(),
                     row[5].as<int64_t>()});
  }
  return found;
}

// What ON CONFLICT (call_id) WHERE call_id IS NOT NULL finds.
bool IsCallIndex(const FoundIndex& index) {
  return index.unique && index.on_call_id;
}

// A name of ours may end in _2, _3, ... where the plain one was taken.
bool IsNamed(const FoundIndex& index, const std::string& name) {
  return index.name == name || (absl::StartsWith(index.name, name + "_") &&
                                std::all_of(index.name.begin() + static_cast<ptrdiff_t>(name.size()) + 1,
                                            index.name.end(), absl::ascii_isdigit));
}

// Of each table, what we read and write.
const std::map<std::string, std::set<std::string>>& NeededColumns() {
  static const auto* const needed = new std::map<std::string, std::set<std::string>>{
      {"agent_credentials", {"user_id", "shared_secret", "platform", "status", "created_at", "last_seen"}},
      {"tool_execution_logs",
       {"id", "user_id", "request_id", "tool_name", "params", "result", "success", "error", "execution_time_ms",
        "created_at"}},
  };
  return *needed;
}

// Why the table cannot be used at all, whatever its columns.
std::string Absence(const PgTable& table, const std::string& name, const std::string& role) {
  if (table.exists) return "";
  if (table.other_schema.empty()) return absl::StrCat("there is no table ", name, ": ", kRunMigrate);
  return absl::StrCat("the table ", name, " is in the schema ", table.other_schema,
                      ", which is not on the search_path of ", role, ": ALTER ROLE ", role,
                      " SET search_path = ", table.other_schema, ", public");
}

std::string MissingColumn(const PgTable& table, const std::string& name) {
  for (const std::string& column : NeededColumns().at(name)) {
    if (!table.has(column)) {
      return absl::StrCat("the table ", name, " has no column ", column,
                          ": add it, or let DATABASE_URL name another database");
    }
  }
  return "";
}

// The first column that must have a value and gets none of us.
std::string UnfilledColumn(const PgTable& table, const std::string& name) {
  const std::set<std::string>& ours = NeededColumns().at(name);
  for (const auto& [column, what] : table.columns) {
    if (!what.required || what.has_default || ours.count(column) > 0) continue;
    return absl::StrCat(name, ".", column, " must have a value, and Toolwire knows none: ALTER TABLE ", name,
                        " ALTER COLUMN ", column, " SET DEFAULT ..., or DROP NOT NULL");
  }
  return "";
}

void WarnOfLengths(const PgTable& table, const std::string& name,
                   const std::vector<std::pair<const char*, int>>& longest, std::vector<std::string>* warnings) {
  for (const auto& [column, characters] : longest) {
    const auto found = table.columns.find(column);
    if (found == table.columns.end() || found->second.characters_max == 0) continue;
    if (found->second.characters_max >= characters) continue;
    warnings->push_back(absl::StrCat(name, ".", column, " takes ", found->second.characters_max,
                                     " characters, and Toolwire writes up to ", characters, ": ALTER TABLE ", name,
                                     " ALTER COLUMN ", column, " TYPE text"));
  }
}

MigrationStep TableStep(const char* name, const char* sql) {
  return {absl::StrCat("table ", name), std::string(absl::StripAsciiWhitespace(sql)), "nothing that is there"};
}

}  // namespace

std::string PgTable::type(const std::string& column) const {
  const auto found = columns.find(column);
  return found == columns.end() ? "text" : found->second.type;
}

bool PgTable::required(const std::string& column) const {
  const auto found = columns.find(column);
  return found != columns.end() && found->second.required;
}

std::string PgTables::CredentialsProblem() const {
  if (std::string why = Absence(credentials, "agent_credentials", role); !why.empty()) return why;
  return MissingColumn(credentials, "agent_credentials");
}

std::string PgTables::AuditProblem() const {
  constexpr char kName[] = "tool_execution_logs";
  if (std::string why = Absence(audit, kName, role); !why.empty()) return why;
  if (audit.kind == 'v' || audit.kind == 'm') {
    return absl::StrCat(kName, " is a view, on which no index can tell calls apart: let search_path or DATABASE_URL "
                               "lead to the table behind it");
  }
  if (std::string why = MissingColumn(audit, kName); !why.empty()) return why;
  for (const char* column : {"call_id", "caller"}) {
    if (!audit.has(column)) return absl::StrCat("the table ", kName, " has no column ", column, ": ", kRunMigrate);
  }
  if (std::string why = UnfilledColumn(audit, kName); !why.empty()) return why;
  if (!has_call_index && !has_calls_table) {
    return absl::StrCat("the table ", kName, " has no unique index on call_id, and there is no table "
                        "toolwire_audit_calls instead: ", kRunMigrate);
  }
  if (!has_call_index && !may_use_calls) {
    return absl::StrCat("the table ", kName, " has no unique index on call_id, and ", role, " may not use "
                        "toolwire_audit_calls instead: GRANT SELECT, INSERT, DELETE ON toolwire_audit_calls TO ", role,
                        ", which toolwire migrate does for all who may write the log");
  }
  return "";
}

std::vector<std::string> PgTables::Warnings() const {
  std::vector<std::string> warnings;
  if (credentials.exists) {
    constexpr char kName[] = "agent_credentials";
    // The length of sha256:<64 hex digits>, and of revoked:<32 hex digits>.
    WarnOfLengths(credentials, kName, {{"user_id", 256}, {"shared_secret", 71}}, &warnings);
    if (std::string why = UnfilledColumn(credentials, kName); !why.empty()) warnings.push_back(std::move(why));
    if (credentials.hides_rows) {
      warnings.push_back(absl::StrCat("row-level security of agent_credentials applies to ", role,
                                      ": agents whose rows it hides are unknown; ALTER ROLE ", role, " BYPASSRLS"));
    }
    if (!credentials.has("status_epoch")) {
      warnings.push_back(absl::StrCat("the table agent_credentials has no column status_epoch, so that an agent's "
                                      "status may be an older edge's: ", kRunMigrate));
    }
  }
  if (audit.exists) {
    constexpr char kName[] = "tool_execution_logs";
    WarnOfLengths(audit, kName, {{"user_id", 256}, {"request_id", 256}, {"tool_name", 256}, {"error", 4096}},
                  &warnings);
    if (audit.hides_rows) {
      warnings.push_back(absl::StrCat("row-level security of tool_execution_logs applies to ", role,
                                      ": rows that it refuses wait in the spool; ALTER ROLE ", role, " BYPASSRLS"));
    }
    if (has_user_key) {
      warnings.push_back(
          "tool_execution_logs.user_id is a foreign key: calls for users it does not know leave no audit row");
    }
    if (!has_call_index && has_calls_table && audit.kind != 'p') {
      warnings.push_back(absl::StrCat("the unique index on tool_execution_logs.call_id is not there yet: rows are "
                                      "told apart by toolwire_audit_calls until ", "toolwire migrate has built it"));
    }
    if (!has_list_indexes && audit.has("call_id")) {
      warnings.push_back(absl::StrCat("the indexes of tool_execution_logs that lists read are not there yet, so that "
                                      "lists read the whole table: ", kRunMigrate));
    }
  }
  return warnings;
}

PgTables LookAtPgTables(PgSession& session, pqxx::transaction_base& transaction) {
  PgTables tables;
  for (const auto& row : session.Exec(transaction, kDoing, kFindTables)) {
    const std::string name = row[0].c_str();
    tables.role = row[5].c_str();
    if (name == "toolwire_audit_calls") {
      tables.has_calls_table = row[1].as<bool>();
      continue;
    }
    PgTable& table = name == "agent_credentials" ? tables.credentials : tables.audit;
    table.exists = row[1].as<bool>();
    table.kind = *row[2].c_str();
    table.hides_rows = row[3].as<bool>();
    if (!table.exists) table.other_schema = row[4].c_str();
  }
  for (const auto& row : session.Exec(transaction, kDoing, kFindColumns)) {
    const std::string name = row[0].c_str();
    PgColumn column{row[7].c_str(), row[3].c_str(), row[2].as<bool>(), row[4].as<bool>(), row[5].as<int>(),
                    row[6].as<bool>()};
    if (column.type == "character") column.type = "bpchar";  // Which has no length in a CAST.
    (name == "agent_credentials" ? tables.credentials : tables.audit).columns[row[1].c_str()] = std::move(column);
  }
  bool by_user = false, by_time = false;
  for (const FoundIndex& index : FindIndexes(session, transaction)) {
    if (!index.valid) continue;
    if (IsCallIndex(index)) {
      tables.has_call_index = true;
      tables.call_index = index.oid;
    }
    by_user |= IsNamed(index, kUserTimeIndex);
    by_time |= IsNamed(index, kTimeIndex);
  }
  tables.has_list_indexes = by_user && by_time;
  tables.has_user_key = !session.Exec(transaction, kDoing, kFindForeignKey).empty();
  if (tables.has_calls_table) tables.may_use_calls = session.Exec(transaction, kDoing, kMayUseCalls)[0][0].as<bool>();
  for (const auto& row : session.Exec(transaction, kDoing, kFindCallsRights)) {
    tables.without_calls.push_back(row[0].c_str());
  }
  return tables;
}

std::string PgRowTime(const PgTable& audit) {
  if (!audit.exists || audit.required("created_at")) return "created_at";
  return absl::StrCat("coalesce(created_at, CAST('1970-01-01 00:00:00+00' AS ", audit.type("created_at"), "))");
}

std::vector<std::string> MissingPgColumns(const PgTables& tables) {
  std::vector<std::string> missing;
  for (const auto& [name, columns] : NeededColumns()) {
    const PgTable& table = name == "agent_credentials" ? tables.credentials : tables.audit;
    if (!table.exists) continue;
    for (const std::string& column : columns) {
      if (!table.has(column)) missing.push_back(absl::StrCat(name, ".", column));
    }
  }
  return missing;
}

bool HasOurPgColumns(const PgTables& tables) {
  return std::all_of(std::begin(kOurColumns), std::end(kOurColumns), [&](const auto& one) {
    return (one.table == std::string_view("agent_credentials") ? tables.credentials : tables.audit).has(one.column);
  });
}

std::vector<MigrationStep> FindPgTableSteps(const PgTables& tables) {
  std::vector<MigrationStep> steps;
  if (!tables.credentials.exists) steps.push_back(TableStep("agent_credentials", kCredentialsTable));
  if (!tables.audit.exists) steps.push_back(TableStep("tool_execution_logs", kAuditTable));
  if (!tables.has_calls_table) steps.push_back(TableStep("toolwire_audit_calls", kCallsTable));
  for (const std::string& role : tables.without_calls) {
    steps.push_back({absl::StrCat("rights of ", role, " on toolwire_audit_calls"),
                     absl::StrCat("GRANT SELECT, INSERT, DELETE ON toolwire_audit_calls TO ", role), "nothing"});
  }
  // Executed only if a column is missing: even to change nothing, it would wait for whoever reads.
  for (const auto& one : kOurColumns) {
    const PgTable& table = one.table == std::string_view("agent_credentials") ? tables.credentials : tables.audit;
    if (table.has(one.column)) continue;
    steps.push_back({absl::StrCat("column ", one.column, " of ", one.table),
                     absl::StrCat("ALTER TABLE ", one.table, " ADD COLUMN IF NOT EXISTS ", one.column, " ", one.type),
                     !table.exists ? "nothing that is there"
                                   : absl::StrCat(one.table,
                                                  " against all others (ACCESS EXCLUSIVE) for an instant, as no row is "
                                                  "rewritten; waits 200 ms for that lock at most, then lets others go "
                                                  "first and tries again, for minutes")});
  }
  return steps;
}

namespace {

constexpr char kBuildLocks[] =
    " against changes of the table and VACUUM (SHARE UPDATE EXCLUSIVE), while its rows are read twice; reads and writes "
    "go on; waits for older transactions";
constexpr char kWholeLocks[] =
    "tool_execution_logs and its partitions against writes (SHARE) for an instant, as their own indexes are taken over; "
    "waits 200 ms for that lock at most, then lets others go first and tries again, for minutes";

struct WantedIndex {
  const char* name;
  const char* kind;
  std::string columns;
  bool is_call_index;
};

std::vector<WantedIndex> WantedIndexes(const PgTable& audit) {
  const std::string time = PgRowTime(audit);
  std::vector<WantedIndex> wanted = {{kCallIndex, "UNIQUE INDEX", "(call_id) WHERE call_id IS NOT NULL", true},
                                     {kUserTimeIndex, "INDEX", absl::StrCat("(user_id, (", time, "), id)"), false},
                                     {kTimeIndex, "INDEX", absl::StrCat("((", time, "), id)"), false}};
  // A unique index of a partitioned table must have the column that it is partitioned by: calls are told apart by
  // toolwire_audit_calls there.
  if (audit.kind == 'p') wanted.erase(wanted.begin());
  return wanted;
}

// `name`, or with a number at its end where that is taken.
std::string FreeName(const std::string& name, const std::set<std::string>& taken) {
  std::string free = name;
  for (int number = 2; taken.count(free) > 0; ++number) free = absl::StrCat(name, "_", number);
  return free;
}

// What an index of a partitioned table lacks: first one on each partition, built beside the traffic, then one on the
// whole, which takes them over and has new partitions made with one.
void AddPartitionSteps(PgSession& session, pqxx::transaction_base& transaction, const WantedIndex& index,
                       const std::string& name, std::vector<MigrationStep>* steps) {
  for (const auto& row : session.Exec(transaction, kDoing, kFindPartitions, PgParams().Text(index.name))) {
    const std::string partition = row[0].c_str(), dropped = row[2].c_str();
    if (row[3].as<bool>()) continue;
    const std::string create = absl::StrCat("CREATE INDEX CONCURRENTLY IF NOT EXISTS ", index.name, "_", row[1].c_str(),
                                            " ON ", partition, " ", index.columns);
    const std::string drop = dropped.empty() ? "" : absl::StrCat("DROP INDEX CONCURRENTLY IF EXISTS ", dropped, ";\n");
    steps->push_back({absl::StrCat("index ", index.name, " of ", partition), absl::StrCat(drop, create),
                      absl::StrCat(partition, kBuildLocks)});
  }
  steps->push_back({absl::StrCat("index ", index.name),
                    absl::StrCat("CREATE INDEX IF NOT EXISTS ", name, " ON tool_execution_logs ", index.columns),
                    kWholeLocks, true});
}

}  // namespace

std::vector<MigrationStep> FindPgIndexSteps(PgSession& session, pqxx::transaction_base& transaction,
                                            const PgTables& tables) {
  // Before version 12 the server cannot say which partitions there are.
  const bool is_partitioned = tables.audit.kind == 'p';
  if (is_partitioned && session.connection().server_version() < 120000) return {};
  const std::vector<FoundIndex> found = FindIndexes(session, transaction);
  std::set<std::string> taken;
  if (tables.audit.exists) {
    for (const auto& row : session.Exec(transaction, kDoing, kFindTakenNames)) taken.insert(row[0].c_str());
  }
  std::vector<MigrationStep> steps;
  for (const WantedIndex& index : WantedIndexes(tables.audit)) {
    std::string dropped;
    bool is_there = false;
    for (const FoundIndex& one : found) {
      const bool is_it = index.is_call_index ? IsCallIndex(one) : IsNamed(one, index.name);
      if (is_it && one.valid) is_there = true;
      if (is_it && !one.valid && IsNamed(one, index.name) && !is_partitioned) dropped = one.quoted;
      if (is_it && !one.valid && !is_partitioned) taken.erase(one.name);
    }
    if (is_there) continue;
    const std::string name = FreeName(index.name, taken);
    if (is_partitioned) {
      AddPartitionSteps(session, transaction, index, name, &steps);
      continue;
    }
    const std::string create = absl::StrCat("CREATE ", index.kind, " CONCURRENTLY IF NOT EXISTS ", name,
                                            " ON tool_execution_logs ", index.columns);
    steps.push_back({absl::StrCat("index ", index.name),
                     dropped.empty() ? create
                                     : absl::StrCat("DROP INDEX CONCURRENTLY IF EXISTS ", dropped, ";\n", create),
                     tables.audit.exists ? absl::StrCat("tool_execution_logs", kBuildLocks) : "nothing that is there"});
  }
  return steps;
}

}  // namespace toolwire
