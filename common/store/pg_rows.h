// Rows that PostgreSQL sends: their columns, and those of the audit log in pieces of bounded size.
#ifndef TOOLWIRE_COMMON_STORE_PG_ROWS_H_
#define TOOLWIRE_COMMON_STORE_PG_ROWS_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <pqxx/pqxx>
#include <string>

#include "common/store/audit_row.h"
#include "common/store/pg_schema.h"

namespace toolwire {

inline constexpr int64_t kLatestMs = 253402300799999;  // The end of the year 9999.

// The nearest time that a column takes.
int64_t StorableMs(int64_t unix_ms);

// NULL reads as empty.
std::string TextAt(const pqxx::row& row, int column);
std::optional<int64_t> IntAt(const pqxx::row& row, int column);

// SQL for a time in Unix milliseconds, or for the nearest that has four digits of a year: a table may hold 'infinity'.
std::string ShownMs(const std::string& time);

// The statement that lists rows of the audit log is `begin`, conditions, order and limit, `end`. The rows of the
// replaced server may hold 1 GB in a column: what is over twice `audit_json_bytes_max` (jsonb is written with spaces)
// or over the limits on what is listed is cut where it is kept, and never sent.
struct PgAuditList {
  std::string begin, end;
};
// Of which JSON the server makes text, to know how long it is. kInRow: of no more than lies in the row itself, so that
// even rows that are a thousand times as long as they are kept take little of the server's time.
enum class PgTexts { kAll, kInRow };
PgAuditList AuditListFor(const PgTable& table, size_t audit_json_bytes_max, PgTexts texts);

// A row of that statement. What was cut reads as AuditMarkedJson, or ends with a note.
ListedAuditRow ListedRowOf(const pqxx::row& columns, size_t audit_json_bytes_max);

// A cursor's time in PostgreSQL's words, if it is none in microseconds of 1970.
std::optional<std::string> CursorTimeName(int64_t time);

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_STORE_PG_ROWS_H_
