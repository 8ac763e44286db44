// One connection and one read-only transaction, which asks the server's catalogue and its functions about rights.

#include "common/store/pg_inspection.h"

#include "absl/strings/str_cat.h"
#include "common/store/pg_connections.h"
#include "common/store/pg_refusals.h"
#include "common/store/pg_schema.h"

namespace toolwire {
namespace {

constexpr char kDoing[] = "inspecting the database";

constexpr char kServer[] = R"sql(
SELECT current_user::text, current_setting('server_version'), current_setting('server_version_num')::int,
  current_setting('server_encoding'), pg_is_in_recovery() OR current_setting('default_transaction_read_only')::boolean,
  coalesce((SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl), ''),
  (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')::int,
  current_setting('max_connections')::int,
  current_schema() IS NOT NULL AND has_schema_privilege(current_schema(), 'CREATE'),
  coalesce((SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = to_regclass('tool_execution_logs')), true)
)sql";

constexpr char kClock[] = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";

// What the processes do, and may not.
constexpr char kPrivileges[] = R"sql(
SELECT p.privilege || ' on ' || p.name FROM (VALUES
  ('agent_credentials', 'SELECT'), ('agent_credentials', 'INSERT'), ('agent_credentials', 'UPDATE'),
  ('tool_execution_logs', 'SELECT'), ('tool_execution_logs', 'INSERT')) AS p(name, privilege)
WHERE to_regclass(p.name) IS NOT NULL AND NOT has_table_privilege(to_regclass(p.name), p.privilege)
UNION ALL
SELECT 'USAGE on ' || s.name FROM
  (SELECT pg_get_serial_sequence(to_regclass('tool_execution_logs')::text, a.attname) AS name FROM pg_attribute a
   WHERE a.attrelid = to_regclass('tool_execution_logs') AND a.attname = 'id') AS s
WHERE s.name IS NOT NULL AND NOT has_sequence_privilege(s.name, 'USAGE'))sql";

// Returns the tables it found.
PgTables Inspect(PgSession& session, PgInspection* found) {
  pqxx::read_transaction transaction(session.connection());
  const int64_t before = WallUs();
  const int64_t server = session.Exec(transaction, kDoing, kClock)[0][0].as<int64_t>();
  found->clock = ReadClock(server, before, WallUs());

  const pqxx::result rows = session.Exec(transaction, kDoing, kServer);
  const pqxx::row row = rows[0];
  found->role = row[0].as<std::string>();
  found->version = row[1].as<std::string>();
  found->version_number = row[2].as<int>();
  found->encoding = row[3].as<std::string>();
  found->read_only = row[4].as<bool>();
  found->tls = row[5].as<std::string>();
  found->connections = row[6].as<int>();
  found->connections_max = row[7].as<int>();
  found->may_create_tables = row[8].as<bool>();
  found->owns_audit_table = row[9].as<bool>();

  const PgTables tables = LookAtPgTables(session, transaction);
  found->credentials_table = tables.credentials.exists;
  found->audit_table = tables.audit.exists;
  found->our_columns = HasOurPgColumns(tables);
  found->call_index = tables.has_call_index;
  found->missing_columns = MissingPgColumns(tables);
  found->problems.clear();
  for (std::string problem : {tables.CredentialsProblem(), tables.AuditProblem()}) {
    if (!problem.empty()) found->problems.push_back(std::move(problem));
  }
  found->warnings = tables.Warnings();
  found->missing_privileges.clear();
  for (const auto& privilege : session.Exec(transaction, kDoing, kPrivileges)) {
    found->missing_privileges.push_back(privilege[0].as<std::string>());
  }
  return tables;
}

}  // namespace

absl::StatusOr<PgInspection> InspectPg(const std::string& database_url, Duration timeout) {
  PgOptions options;
  options.url = database_url;
  options.connections_max = 1;
  options.statement_timeout = timeout;
  options.connect_timeout = timeout;
  const auto connections = PgConnections::Open(options);
  if (!connections.ok()) return connections.status();
  PgInspection found;
  found.address = (*connections)->address();
  found.protection = (*connections)->protection();
  const absl::Status status = (*connections)->Run(PgLane::kListings, [&](PgSession& session) {
    const PgTables tables = Inspect(session, &found);
    PgRefusals refusals = FindPgRefusals(session, tables);
    for (std::string& refusal : refusals.sentences) found.warnings.push_back(std::move(refusal));
    if (!refusals.all) {
      found.warnings.push_back(
          "the constraints of the tables could not be looked at, as others hold a table locked: ask again later");
    }
    return absl::OkStatus();
  });
  if (!status.ok()) return status;
  return found;
}

}  // namespace toolwire
