// The statement has three levels. The innermost finds the rows, and sorts no more than what they are kept as. The next
// makes text of their columns, once, unless it is plain that there is too much of it; OFFSET 0 keeps the planner from
// merging it into the outermost, which asks for lengths first and sends no more than fits.
//
// The time of the cursor is the column's own, in microseconds from its 1970, so that no time zone comes in.

#include "common/store/pg_rows.h"

#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"

namespace toolwire {
namespace {

constexpr int64_t kEarliestMs = -62135596800000;  // The beginning of the year 1.
// In cursors, times that are none in microseconds: 'infinity', '-infinity', and what is too late for 64 bits.
constexpr int64_t kCursorInfinity = std::numeric_limits<int64_t>::max();
constexpr int64_t kCursorMinusInfinity = std::numeric_limits<int64_t>::min();
constexpr int64_t kCursorTooLate = kCursorInfinity - 1;

size_t ListedBytesMax(size_t audit_json_bytes_max) {
  return std::min(2 * audit_json_bytes_max + 1024, kListedJsonBytesMax);
}

// No text is made of JSON that takes more where it is kept, compressed or not.
size_t KeptBytesMax(size_t audit_json_bytes_max, PgTexts texts) {
  // What lies in the row itself: compressed, 250 kB at the most.
  constexpr size_t kInRowBytesMax = 2700;
  return texts == PgTexts::kInRow ? kInRowBytesMax : 8 * ListedBytesMax(audit_json_bytes_max);
}

// Of a text that is cut, as JSON.
size_t PrefixBytesMax(size_t audit_json_bytes_max) {
  return std::min(audit_json_bytes_max, kListedJsonBytesMax / 2) / 2;
}

// SQL for a text of at most `bytes_max`, with a note if it is cut. A character takes four bytes at most.
std::string CutText(const char* column, size_t bytes_max) {
  return absl::StrCat("CASE WHEN octet_length(", column, ") <= ", bytes_max, " THEN ", column, " ELSE left(", column,
                      ", ", bytes_max / 8, ") || ' [cut: ' || octet_length(", column, ") || ' bytes]' END");
}

// SQL for the three columns that JsonAt reads.
std::string CutJson(const std::string& column, size_t audit_json_bytes_max) {
  return absl::StrCat("CASE WHEN octet_length(", column, ") <= ", ListedBytesMax(audit_json_bytes_max), " THEN ",
                      column, " ELSE left(", column, ", ", PrefixBytesMax(audit_json_bytes_max) / 4,
                      ") END, octet_length(", column, "), ", column, "_kept");
}
std::string JsonText(const std::string& column, size_t kept_bytes_max) {
  return absl::StrCat("CASE WHEN pg_column_size(", column, ") <= ", kept_bytes_max, " THEN ", column, "::text END AS ",
                      column, ", pg_column_size(", column, ") AS ", column, "_kept");
}

// As much of the text as was sent, how long it is, and what it takes where it is kept.
std::string JsonAt(const pqxx::row& row, int column, size_t audit_json_bytes_max) {
  const std::optional<int64_t> kept = IntAt(row, column + 2);
  if (!kept) return "";
  const auto bytes = static_cast<uint64_t>(IntAt(row, column + 1).value_or(*kept));
  std::string text = TextAt(row, column);
  if (text.size() == bytes) return text;
  return AuditMarkedJson(text, bytes, PrefixBytesMax(audit_json_bytes_max), "too large");
}

}  // namespace

int64_t StorableMs(int64_t unix_ms) { return std::clamp<int64_t>(unix_ms, 0, kLatestMs); }

std::string TextAt(const pqxx::row& row, int column) { return row[column].is_null() ? "" : row[column].c_str(); }

std::optional<int64_t> IntAt(const pqxx::row& row, int column) {
  if (row[column].is_null()) return std::nullopt;
  return row[column].as<int64_t>();
}

std::string ShownMs(const std::string& time) {
  const std::string instant = absl::StrCat("(", time, ")::timestamptz");
  return absl::StrCat("(CASE WHEN ", instant, " >= '9999-12-31 23:59:59.999+00' THEN ", kLatestMs, " WHEN ", instant,
                      " <= '0001-01-01 00:00:00+00' THEN ", kEarliestMs, " ELSE extract(epoch FROM ", instant,
                      ") * 1000 END)::bigint");
}

PgAuditList AuditListFor(const PgTable& table, size_t audit_json_bytes_max, PgTexts texts) {
  const size_t bytes_max = std::min(ListedBytesMax(audit_json_bytes_max), kListedTextBytesMax);
  const size_t kept_bytes_max = KeptBytesMax(audit_json_bytes_max, texts);
  const auto text = [&](const char* column) { return CutText(column, bytes_max); };
  PgAuditList list;
  list.begin = absl::StrCat(
      "SELECT ", text("user_id"), ", ", text("request_id"), ", ", text("tool_name"), ", ",
      CutJson("params", audit_json_bytes_max), ", ", CutJson("result", audit_json_bytes_max), ", success, ",
      text("error"), ", execution_time_ms, shown_ms, ", text("call_id"), ", cursor_time, cursor_id, ", text("caller"),
      " FROM (SELECT user_id::text, request_id::text, tool_name::text, ", JsonText("params", kept_bytes_max),
      ", ", JsonText("result", kept_bytes_max),
      ", success, error::text, execution_time_ms::bigint, ", ShownMs("created_at"),
      " AS shown_ms, call_id::text, CASE WHEN isfinite(row_time) THEN least(extract(epoch FROM row_time) * 1000000, ",
      kCursorTooLate, ")::bigint WHEN row_time > '2000-01-01' THEN ", kCursorInfinity, " ELSE ",
      kCursorMinusInfinity + 1, " - 1 END AS cursor_time, id::text AS cursor_id, caller::text FROM (SELECT user_id,"
      " request_id, tool_name, params, result, success, error, execution_time_ms, created_at, call_id, id, caller, ",
      PgRowTime(table), " AS row_time FROM tool_execution_logs");
  list.end = ") AS found OFFSET 0) AS texts";
  return list;
}

ListedAuditRow ListedRowOf(const pqxx::row& columns, size_t audit_json_bytes_max) {
  ListedAuditRow row;
  row.user_id = TextAt(columns, 0);
  row.request_id = TextAt(columns, 1);
  row.tool = TextAt(columns, 2);
  row.params_json = JsonAt(columns, 3, audit_json_bytes_max);
  row.result_json = JsonAt(columns, 6, audit_json_bytes_max);
  row.success = TextAt(columns, 9) == "t";
  row.error = TextAt(columns, 10);
  row.execution_time_ms = IntAt(columns, 11);
  row.created_at_ms = IntAt(columns, 12).value_or(0);
  row.call_id = TextAt(columns, 13);
  row.cursor = absl::StrCat(TextAt(columns, 14), ":", TextAt(columns, 15));
  row.caller = TextAt(columns, 16);
  return row;
}

std::optional<std::string> CursorTimeName(int64_t time) {
  if (time == kCursorInfinity) return "infinity";
  if (time == kCursorMinusInfinity) return "-infinity";
  if (time == kCursorTooLate) return "290000-01-01 00:00:00+00";
  return std::nullopt;
}

}  // namespace toolwire
