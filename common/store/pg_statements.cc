// Parameters are cast to the columns' own types, which are what the replaced server or its operators made of them. Rows
// are told apart by the unique index on call_id, or, until it is there and in partitioned tables, by the call ids in
// toolwire_audit_calls.

#include "common/store/pg_statements.h"

#include <optional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace toolwire {
namespace {

// Call ids outlive any retry of their rows by far, and the rows that wait in a spool as a rule. One process at a time,
// so that none waits for another.
constexpr char kForgetCalls[] =
    "DELETE FROM toolwire_audit_calls WHERE call_id = ANY (ARRAY(SELECT call_id FROM toolwire_audit_calls"
    " WHERE written_at < now() - interval '30 days' AND (SELECT pg_try_advisory_xact_lock(1953460076, 3))"
    " ORDER BY written_at LIMIT 5000))";

std::string Cast(const std::string& value, const std::string& type) {
  return absl::StrCat("CAST(", value, " AS ", type, ")");
}

// Rows that others hold locked are passed over and returned, so that nobody waits for them. The newest lease decides,
// and of one lease its end; without one, the time.
std::string UpdateStatusSql(const PgTable& table) {
  const std::string user = table.type("user_id"), seen = table.type("last_seen");
  const bool has_epoch = table.has("status_epoch");
  const std::string wanted = absl::StrCat("c.user_id = ANY ($1::text[]::", user, "[])");
  const std::string at = Cast("to_timestamp(u.at_ms / 1000.0)", seen);
  const std::string by_time =
      "u.word <> 'disconnected' OR c.last_seen IS NULL OR c.last_seen::timestamptz <= to_timestamp(u.at_ms / 1000.0)";
  return absl::StrCat(
      "WITH u AS (SELECT ", Cast("x.user_id", user), " AS user_id, x.word, x.at_ms, x.epoch"
      " FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[]) AS x (user_id, word, at_ms, epoch)),"
      " free AS MATERIALIZED (SELECT c.user_id FROM agent_credentials AS c WHERE ", wanted,
      " FOR NO KEY UPDATE SKIP LOCKED),"
      " done AS (UPDATE agent_credentials AS c SET status = ", Cast("u.word", table.type("status")),
      ", last_seen = greatest(c.last_seen, ", at, ")",
      has_epoch ? ", status_epoch = greatest(c.status_epoch, nullif(u.epoch, 0))" : "",
      " FROM u WHERE c.user_id = u.user_id AND c.user_id IN (SELECT user_id FROM free) AND ",
      has_epoch ? absl::StrCat("CASE WHEN u.epoch = 0 THEN ", by_time, " ELSE u.epoch > coalesce(c.status_epoch, 0)"
                               " OR (u.epoch = c.status_epoch AND u.word = 'disconnected') END")
                : absl::StrCat("(", by_time, ")"),
      ") SELECT c.user_id::text FROM agent_credentials AS c WHERE ", wanted,
      " AND NOT EXISTS (SELECT 1 FROM free WHERE free.user_id = c.user_id)");
}

void AddCredentialStatements(const PgTable& table, PgStatements* statements) {
  const std::string user = table.type("user_id");
  const auto of = [&](const char* value, const char* column) { return Cast(value, table.type(column)); };
  const std::string revoked = "left(c.shared_secret::text, 8) = 'revoked:'";
  const std::string rows =
      " FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[]) AS u (user_id, secret, platform, at_ms)";
  const std::string created = of("to_timestamp(u.at_ms / 1000.0)", "created_at");
  statements->find_secrets = absl::StrCat("SELECT user_id::text, shared_secret::text FROM agent_credentials"
                                          " WHERE user_id = ANY ($1::text[]::", user, "[])");
  statements->update_status = UpdateStatusSql(table);
  // Two steps, as a single statement cannot pass over a secret that is in use and replace a credential that was
  // revoked.
  statements->replace_revoked = absl::StrCat(
      "UPDATE agent_credentials AS c SET shared_secret = u.secret, platform = ", of("u.platform", "platform"),
      ", status = ", of("'pending'", "status"), ", created_at = ", created, ", last_seen = NULL", rows,
      " WHERE c.user_id = ", Cast("u.user_id", user), " AND ", revoked, " RETURNING c.user_id::text");
  statements->create_credentials = absl::StrCat(
      "INSERT INTO agent_credentials (user_id, shared_secret, platform, status, created_at) SELECT ",
      Cast("u.user_id", user), ", u.secret, ", of("u.platform", "platform"), ", ", of("'pending'", "status"), ", ",
      created, rows, " ON CONFLICT DO NOTHING RETURNING user_id::text");
  const std::string of_user = absl::StrCat(" WHERE c.user_id = ", Cast("$1::text", user));
  statements->replace_secret = absl::StrCat("UPDATE agent_credentials AS c SET shared_secret = $2::text", of_user,
                                            " AND NOT ", revoked, " RETURNING 1");
  statements->revoke = absl::StrCat(
      "UPDATE agent_credentials AS c SET status = ", of("'disconnected'", "status"), ", shared_secret = CASE WHEN ",
      revoked, " THEN c.shared_secret ELSE $2::text END", of_user, " RETURNING 1");
  // In the order of the key's own index, whatever its collation.
  const std::string columns = absl::StrCat("SELECT c.user_id::text, c.platform::text, c.status::text, ",
                                           ShownMs("c.created_at"), ", ", ShownMs("c.last_seen"), ", ", revoked,
                                           " FROM agent_credentials AS c");
  statements->list_first_credentials = absl::StrCat(columns, " ORDER BY c.user_id LIMIT $1::bigint");
  statements->list_credentials = absl::StrCat(columns, " WHERE c.user_id > ", Cast("$2::text", user),
                                              " ORDER BY c.user_id LIMIT $1::bigint");
}

std::string AppendSql(const PgTable& table, bool has_call_index) {
  // These always have a value; a substitute of another type than text would be refused even if none is needed.
  const auto given = [&](const char* from, const char* column) { return Cast(from, table.type(column)); };
  const auto value = [&](const char* from, const char* column, const char* substitute) {
    const std::string cast = Cast(from, table.type(column));
    if (!table.required(column)) return cast;
    return absl::StrCat("coalesce(", cast, ", ", Cast(substitute, table.type(column)), ")");
  };
  const std::string rows =
      " FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::boolean[], $7::text[],"
      " $8::bigint[], $9::bigint[], $10::text[], $11::text[])"
      " AS u (user_id, request_id, tool, params, result, success, error, time_ms, at_ms, call_id, caller)";
  const std::string insert = absl::StrCat(
      "INSERT INTO tool_execution_logs (user_id, request_id, tool_name, params, result, success, error,"
      " execution_time_ms, created_at, call_id, caller) SELECT ",
      given("u.user_id", "user_id"), ", ", given("u.request_id", "request_id"), ", ", given("u.tool", "tool_name"), ", ",
      value("u.params", "params", "'{}'"), ", ",
      value("u.result", "result", "'null'"), ", ", given("u.success", "success"), ", ",
      value("u.error", "error", "''"), ", ", value("u.time_ms", "execution_time_ms", "0"), ", ",
      Cast("to_timestamp(u.at_ms / 1000.0)", table.type("created_at")), ", u.call_id, u.caller");
  if (has_call_index) {
    return absl::StrCat(insert, rows, " ON CONFLICT (call_id) WHERE call_id IS NOT NULL DO NOTHING");
  }
  return absl::StrCat("WITH fresh AS (INSERT INTO toolwire_audit_calls (call_id) SELECT i.call_id"
                      " FROM unnest($10::text[]) AS i (call_id) WHERE i.call_id IS NOT NULL"
                      " ON CONFLICT DO NOTHING RETURNING call_id) ",
                      insert, rows, " WHERE u.call_id IS NULL OR u.call_id IN (SELECT call_id FROM fresh)");
}

}  // namespace

PgStatements PgStatementsFor(const PgTables& tables, size_t audit_json_bytes_max) {
  PgStatements statements;
  statements.credentials_problem = tables.CredentialsProblem();
  statements.audit_problem = tables.AuditProblem();
  statements.has_call_index = tables.has_call_index;
  statements.call_index = tables.call_index;
  statements.complete = statements.credentials_problem.empty() && statements.audit_problem.empty() &&
                        tables.credentials.has("status_epoch") &&
                        (tables.has_call_index || tables.audit.kind == 'p');
  if (statements.credentials_problem.empty()) AddCredentialStatements(tables.credentials, &statements);
  const PgTable& table = tables.audit;
  if (!statements.audit_problem.empty()) return statements;
  statements.append = AppendSql(table, tables.has_call_index);
  if (!tables.has_call_index) statements.forget_calls = kForgetCalls;
  statements.time = PgRowTime(table);
  statements.time_type = table.type("created_at");
  statements.id_type = table.type("id");
  statements.user_type = table.type("user_id");
  statements.takes_instants = statements.time_type == "timestamp with time zone";
  if (table.required("params")) statements.no_params = "{}";
  if (table.required("result")) statements.no_result = "null";
  if (table.required("error")) statements.no_error = "";
  if (table.required("execution_time_ms")) statements.no_execution_time = "0";
  statements.list = AuditListFor(table, audit_json_bytes_max, PgTexts::kAll);
  statements.quick_list = AuditListFor(table, audit_json_bytes_max, PgTexts::kInRow);
  return statements;
}

absl::StatusOr<std::string> PgListStatement(const PgStatements& statements, PgTexts texts, const AuditQuery& query,
                                            PgParams* params) {
  int bound = 0;
  const auto int_param = [&](int64_t number) {
    params->Int(number);
    return absl::StrCat("$", ++bound, "::bigint");
  };
  const auto text_param = [&](const std::string& text, const std::string& type) {
    params->Text(text);
    return absl::StrCat("CAST($", ++bound, "::text AS ", type, ")");
  };
  const auto instant = [&](int64_t unix_ms) {
    return absl::StrCat("CAST(timestamptz 'epoch' + ", int_param(StorableMs(unix_ms)),
                        " * interval '1 millisecond' AS ", statements.time_type, ")");
  };
  std::vector<std::string> conditions;
  if (!query.user_id.empty()) conditions.push_back(absl::StrCat("user_id = ", text_param(query.user_id, statements.user_type)));
  if (!query.user_prefix.empty()) {
    const std::string prefix = text_param(query.user_prefix, "text");
    conditions.push_back(absl::StrCat("left(user_id::text, length(", prefix, ")) = ", prefix));
  }
  if (query.from_ms) conditions.push_back(absl::StrCat(statements.time, " >= ", instant(*query.from_ms)));
  if (query.until_ms) conditions.push_back(absl::StrCat(statements.time, " < ", instant(*query.until_ms)));
  if (!query.after.empty()) {
    const absl::StatusOr<AuditCursor> cursor = ReadAuditCursor(query.after);
    if (!cursor.ok()) return cursor.status();
    const std::optional<std::string> named = CursorTimeName(cursor->time);
    // A product with an interval is a `double`, which counts microseconds exactly for 285 years.
    constexpr int64_t kMicrosPerDay = int64_t{24} * 60 * 60 * 1000000;
    const std::string time =
        named ? absl::StrCat("CAST('", *named, "' AS ", statements.time_type, ")")
              : absl::StrCat("CAST('1970-01-01 00:00:00+00' AS ", statements.time_type, ") + ",
                             int_param(cursor->time / kMicrosPerDay), " * interval '24 hours' + ",
                             int_param(cursor->time % kMicrosPerDay), " * interval '1 microsecond'");
    conditions.push_back(absl::StrCat("(", statements.time, ", id) < (", time, ", ",
                                      text_param(cursor->id, statements.id_type), ")"));
  }
  const PgAuditList& list = texts == PgTexts::kAll ? statements.list : statements.quick_list;
  return absl::StrCat(list.begin, conditions.empty() ? "" : " WHERE ", absl::StrJoin(conditions, " AND "),
                      " ORDER BY ", statements.time, " DESC, id DESC LIMIT ", int_param(query.limit), list.end);
}

}  // namespace toolwire
