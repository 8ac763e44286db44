// As parameters, each column is an array; for COPY, rows are lines of text, with a substitute for an absent value where a
// column must have one.

#include "common/store/pg_append.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>

#include "common/store/pg_errors.h"
#include "common/store/pg_rows.h"

namespace toolwire {
namespace {

std::optional<std::string_view> TextOrNull(const std::string& text) {
  if (text.empty()) return std::nullopt;
  return text;
}

// As PostgreSQL reads it in any of its settings.
std::string InstantText(int64_t unix_ms) {
  const std::time_t seconds = unix_ms / 1000;
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[64];
  const size_t end = std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &parts);
  std::snprintf(text + end, sizeof text - end, ".%03d+00", static_cast<int>(unix_ms % 1000));
  return text;
}

std::optional<int64_t> StorableExecutionTime(const AuditRow& row) {
  if (!row.execution_time_ms) return std::nullopt;
  using Column = std::numeric_limits<int32_t>;
  return std::clamp<int64_t>(*row.execution_time_ms, Column::min(), Column::max());
}

}  // namespace

PgParams PgRowParams(const std::vector<AuditRow>& rows) {
  const auto texts = [&](const auto& get) {
    std::vector<std::optional<std::string_view>> column;
    column.reserve(rows.size());
    for (const AuditRow& row : rows) column.push_back(get(row));
    return column;
  };
  const auto ints = [&](const auto& get) {
    std::vector<std::optional<int64_t>> column;
    column.reserve(rows.size());
    for (const AuditRow& row : rows) column.push_back(get(row));
    return column;
  };
  std::vector<bool> successes;
  for (const AuditRow& row : rows) successes.push_back(row.success);
  PgParams params;
  params.Texts(texts([](const AuditRow& row) { return std::string_view(row.user_id); }))
      .Texts(texts([](const AuditRow& row) { return std::string_view(row.request_id); }))
      .Texts(texts([](const AuditRow& row) { return std::string_view(row.tool); }))
      .Texts(texts([](const AuditRow& row) { return TextOrNull(row.params_json); }))
      .Texts(texts([](const AuditRow& row) { return TextOrNull(row.result_json); }))
      .Bools(successes)
      .Texts(texts([](const AuditRow& row) { return TextOrNull(row.error); }))
      .Ints(ints(StorableExecutionTime))
      .Ints(ints([](const AuditRow& row) { return StorableMs(row.created_at_ms); }))
      .Texts(texts([](const AuditRow& row) { return TextOrNull(row.call_id); }))
      .Texts(texts([](const AuditRow& row) { return TextOrNull(row.caller); }));
  return params;
}

bool PgCopyRows(PgSession& session, const char* doing, const PgStatements& statements,
                const std::vector<AuditRow>& rows) {
  static const auto* const columns =
      new std::vector<std::string>{"user_id", "request_id",        "tool_name",  "params",  "result", "success",
                                   "error",   "execution_time_ms", "created_at", "call_id", "caller"};
  const auto text_or = [](const std::string& text, const char* absent) { return text.empty() ? absent : text.c_str(); };
  const auto copy = [&](pqxx::transaction_base& transaction) {
    session.Copy(transaction, doing, "tool_execution_logs", *columns, [&](pqxx::stream_to& stream) {
      for (const AuditRow& row : rows) {
        const auto execution_time = StorableExecutionTime(row);
        const std::string execution_time_text = execution_time ? std::to_string(*execution_time) : "";
        const std::string time = InstantText(StorableMs(row.created_at_ms));
        stream << std::make_tuple(
            row.user_id.c_str(), row.request_id.c_str(), row.tool.c_str(),
            text_or(row.params_json, statements.no_params), text_or(row.result_json, statements.no_result),
            static_cast<const char*>(row.success ? "t" : "f"), text_or(row.error, statements.no_error),
            text_or(execution_time_text, statements.no_execution_time), time.c_str(), text_or(row.call_id, nullptr),
            text_or(row.caller, nullptr));
      }
      return static_cast<int64_t>(rows.size());
    });
  };
  try {
    session.Transact(copy);
  } catch (const pqxx::sql_error& error) {
    // Only of a row that is there already, and of tables that COPY does not know, as views, INSERT learns anything else.
    const std::string sqlstate = PgError(error.what()).sqlstate;
    const std::string_view group = std::string_view(sqlstate).substr(0, 2);
    if (sqlstate != "23505" && group != "0A" && group != "42") throw;
    return false;
  }
  return true;
}

}  // namespace toolwire
