// Enums and domains are asked to take each word in a CAST. A CHECK is evaluated over a few rows as Toolwire writes them,
// which are made by a subquery with the columns' names and types; like the server itself, this counts only what is
// false as refused, and not what is unknown.

#include "common/store/pg_refusals.h"

#include <chrono>
#include <functional>
#include <iterator>
#include <optional>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/store/pg_errors.h"

namespace toolwire {
namespace {

constexpr char kDoing[] = "looking at the tables' constraints";
constexpr PgTimeouts kLimits{std::chrono::seconds(1), std::chrono::milliseconds(100)};

// A column and the SQL of its value.
using SampleRow = std::vector<std::pair<const char*, std::string>>;
struct Samples {
  const char* table;
  const PgTable& found;
  std::vector<std::pair<const char*, SampleRow>> rows;  // Each with what it is, for people.
};

constexpr std::string_view kStatuses[] = {"pending", "connected", "disconnected"};
constexpr std::string_view kPlatforms[] = {"win32", "linux", "darwin"};

constexpr char kFindChecks[] = R"sql(
SELECT quote_ident(k.conname), pg_get_expr(k.conbin, k.conrelid),
  CASE WHEN cardinality(k.conkey) = 1 THEN
    (SELECT a.attname FROM pg_attribute a WHERE a.attrelid = k.conrelid AND a.attnum = k.conkey[1]) END
FROM pg_constraint k
WHERE k.contype = 'c' AND k.conrelid = to_regclass($1::text) AND NOT EXISTS
  (SELECT 1 FROM pg_attribute a
   WHERE a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey) AND a.attname <> ALL ($2::text[]))
ORDER BY 1)sql";

SampleRow CredentialRow(std::string_view platform, std::string_view status) {
  const std::string zeros(64, '0');
  return {{"user_id", "'user_1'"},
          {"shared_secret", absl::StrCat("'sha256:", zeros, "'")},
          {"platform", absl::StrCat("'", std::string(platform), "'")},
          {"status", absl::StrCat("'", std::string(status), "'")},
          {"created_at", "now()"},
          {"last_seen", status == "pending" ? "NULL" : "now()"},
          {"status_epoch", status == "pending" ? "NULL" : "1"}};
}

SampleRow AuditSample(const PgTable& table, bool success) {
  const auto or_substitute = [&](const char* column, const char* substitute) {
    return std::string(table.required(column) ? substitute : "NULL");
  };
  return {{"id", "1"},
          {"user_id", "'user_1'"},
          {"request_id", "'request-1'"},
          {"tool_name", "'read_file'"},
          {"params", "'{}'"},
          {"result", success ? "'{}'" : or_substitute("result", "'null'")},
          {"success", success ? "true" : "false"},
          {"error", success ? or_substitute("error", "''") : "'AGENT_NOT_CONNECTED'"},
          {"execution_time_ms", "1"},
          {"created_at", "now()"},
          {"call_id", "'0123456789abcdef-00000001'"},
          {"caller", "NULL"}};
}

// The rows as a subquery, in the columns' own types.
std::string SubqueryOf(const Samples& samples) {
  std::vector<std::string> selects;
  for (const auto& [what, row] : samples.rows) {
    std::vector<std::string> columns = {absl::StrCat("'", what, "'::text AS toolwire_sample")};
    for (const auto& [column, value] : row) {
      if (!samples.found.has(column)) continue;
      columns.push_back(absl::StrCat("CAST(", value, " AS ", samples.found.type(column), ") AS ", column));
    }
    selects.push_back(absl::StrCat("SELECT ", absl::StrJoin(columns, ", ")));
  }
  return absl::StrJoin(selects, " UNION ALL ");
}

// A look at the tables as far as it has come.
struct Look {
  PgSession& session;
  PgRefusals found;
};

// Runs a statement of its own, unless an earlier one has waited in vain. False if the server refuses it for a value; any
// other refusal tells nothing.
bool Takes(Look* look, const std::string& sql, const PgParams& params,
           const std::function<void(const pqxx::result&)>& use) {
  if (!look->found.all) return true;
  try {
    look->session.TransactWithin(kLimits, [&](pqxx::transaction_base& transaction) {
      use(look->session.Exec(transaction, kDoing, sql, params));
    });
  } catch (const pqxx::sql_error& error) {
    if (!look->session.connection().is_open()) throw;
    const StoreFault fault = StoreFaultOf(PgError(error.what()).sqlstate);
    look->found.all = fault != StoreFault::kAway;
    return fault != StoreFault::kRowRefused;
  }
  return true;
}

// Of an enum or a domain, the words that it does not take.
void AddRefusedWords(Look* look, const PgTable& table, const char* column, const std::vector<std::string_view>& words) {
  const auto found = table.columns.find(column);
  if (found == table.columns.end() || !found->second.is_narrow) return;
  std::vector<std::string> refused;
  for (const std::string_view word : words) {
    const std::string quoted = absl::StrCat("'", std::string(word), "'");
    const std::string sql = absl::StrCat("SELECT CAST(", quoted, " AS ", found->second.declared, ")");
    if (!Takes(look, sql, {}, [](const pqxx::result&) {})) refused.push_back(quoted);
  }
  if (refused.empty()) return;
  look->found.sentences.push_back(absl::StrCat(
      "agent_credentials.", column, " is of the type ", found->second.declared, ", which does not take ",
      absl::StrJoin(refused, ", "), ": let it (ALTER TYPE ... ADD VALUE, for an enum), or ALTER TABLE agent_credentials "
      "ALTER COLUMN ", column, " TYPE text"));
}

void AddRefusingChecks(Look* look, const Samples& samples) {
  std::vector<std::optional<std::string_view>> ours;
  for (const auto& [column, value] : samples.rows.front().second) ours.push_back(column);
  struct Check {
    std::string name, expression, column;
  };
  std::vector<Check> checks;
  Takes(look, kFindChecks, PgParams().Text(samples.table).Texts(ours), [&](const pqxx::result& found) {
    for (const auto& row : found) checks.push_back({row[0].c_str(), row[1].c_str(), row[2].is_null() ? "" : row[2].c_str()});
  });
  const std::string rows = SubqueryOf(samples);
  for (const Check& check : checks) {
    // What refuses rows of each kind says little by their values, but of one column it says all.
    const std::string shown = check.column.empty() ? "toolwire_sample" : absl::StrCat(check.column, "::text");
    std::vector<std::string> refused;
    Takes(look,
          absl::StrCat("SELECT DISTINCT ", shown, " FROM (", rows, ") AS sample WHERE NOT (", check.expression, ")"), {},
          [&](const pqxx::result& found) {
            refused.clear();
            for (const auto& row : found) refused.push_back(row[0].is_null() ? "NULL" : row[0].c_str());
          });
    if (refused.empty()) continue;
    const std::string what =
        check.column.empty() ? absl::StrJoin(refused, ", ")
                             : absl::StrCat(check.column, " = ", absl::StrJoin(refused, ", "));
    look->found.sentences.push_back(absl::StrCat("the CHECK ", check.name, " of ", samples.table, " refuses ", what,
                                                 ", which Toolwire writes: ALTER TABLE ", samples.table,
                                                 " DROP CONSTRAINT ", check.name, ", or let it allow that"));
  }
}

}  // namespace

PgRefusals FindPgRefusals(PgSession& session, const PgTables& tables) {
  Look look{session, {}};
  if (tables.CredentialsProblem().empty()) {
    AddRefusedWords(&look, tables.credentials, "status", {std::begin(kStatuses), std::end(kStatuses)});
    AddRefusedWords(&look, tables.credentials, "platform", {std::begin(kPlatforms), std::end(kPlatforms)});
    Samples samples{"agent_credentials", tables.credentials, {}};
    samples.rows = {{"new credentials", CredentialRow("win32", "pending")},
                    {"agents that connect", CredentialRow("linux", "connected")},
                    {"agents that disconnect", CredentialRow("darwin", "disconnected")}};
    AddRefusingChecks(&look, samples);
  }
  if (tables.AuditProblem().empty()) {
    Samples samples{"tool_execution_logs", tables.audit, {}};
    samples.rows = {{"rows of calls that succeeded", AuditSample(tables.audit, true)},
                    {"rows of calls that failed", AuditSample(tables.audit, false)}};
    AddRefusingChecks(&look, samples);
  }
  return std::move(look.found);
}

}  // namespace toolwire
