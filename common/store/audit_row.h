// A row of the audit log, and what the databases can hold of it.
#ifndef TOOLWIRE_COMMON_STORE_AUDIT_ROW_H_
#define TOOLWIRE_COMMON_STORE_AUDIT_ROW_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace toolwire {

// Larger params and results are kept in a marked, shortened form, unless an option names another size: a log, not an
// archive.
inline constexpr size_t kAuditJsonBytesMax = 64u << 10;

// One row of `tool_execution_logs`: a settled call. `params_json` and `result_json` are JSON text as it travelled;
// the store marks and shortens what its database cannot hold, and never drops the row.
struct AuditRow {
  std::string user_id;
  std::string request_id;
  std::string tool;
  std::string params_json;
  std::string result_json;  // Empty: no result.
  bool success = false;
  std::string error;  // The tool's error, or the reason why there was no answer.
  std::optional<int64_t> execution_time_ms;
  int64_t created_at_ms = 0;  // Unix time in milliseconds.
  // Unique among all calls of all processes, and what makes writing a row twice harmless: the store keeps the first.
  // Empty: the row is kept as it is, like those of the replaced server.
  std::string call_id;
  // Who called, by the name of the token. Empty: control asked for none, or the call came through the old channels.
  std::string caller;
};

// As much of a JSON text, and of any other, is listed of a row, whatever the table holds or an option allowed to be
// written: a page of 3 MiB always has room for a row. What is longer reads as AuditMarkedJson, or ends with a note.
inline constexpr size_t kListedJsonBytesMax = 1u << 20;
inline constexpr size_t kListedTextBytesMax = 128u << 10;

// A row as it is listed.
struct ListedAuditRow : AuditRow {
  std::string cursor;  // Its place in the order, for AuditQuery::after. Text that only its store reads.
};

// Which rows of the audit log, in the order of `created_at_ms`, newest first; of one time, in the order of writing.
struct AuditQuery {
  std::string user_id = {};  // Empty: everyone's.
  int limit = 50;
  // Rows of this time or later, and before that time, in Unix milliseconds.
  std::optional<int64_t> from_ms = {};
  std::optional<int64_t> until_ms = {};
  // Only rows behind this one, whatever rows were appended meanwhile. Empty: from the newest.
  std::string after = {};
  // Only of users whose ids begin so.
  std::string user_prefix = {};
};

// The parts of AuditQuery::after, which stores write as `time:id`, in units of their own. INVALID_ARGUMENT if it is
// none.
struct AuditCursor {
  int64_t time = 0;
  std::string id;
};
absl::StatusOr<AuditCursor> ReadAuditCursor(const std::string& text);
bool ReadInt(std::string_view text, int64_t* number);

// Whether a text column can hold this text as it is: UTF-8 without NUL.
bool IsSafeText(std::string_view text);

// What an audit column can hold of a JSON text: the text itself when it is at most `cap_bytes`, also once its numbers
// are written out, and PostgreSQL's jsonb takes it, else a marked object:
// {"toolwire_truncated":true,"bytes":N,"prefix":"...","reason":"..."}, where the reason is "too large" or "not
// storable". jsonb refuses \u0000, lone surrogates and numbers beyond any use; and it writes 1e9999 out.
// The result is always valid JSON, at most `cap_bytes` long for caps from 256 on, or empty if `json` is: the column
// is NULL then.
std::string AuditSafeJson(const std::string& json, size_t cap_bytes);

// The marked object itself, with a prefix that takes at most `prefix_bytes` once it is quoted.
std::string AuditMarkedJson(std::string_view json, size_t prefix_bytes, std::string_view reason);
// The same of a text of `bytes`, of which no more than `start` is at hand.
std::string AuditMarkedJson(std::string_view start, uint64_t bytes, size_t prefix_bytes, std::string_view reason);

// What a text column can hold of a text: NUL and bytes that are not UTF-8 become '?', and of a text over `cap_bytes`
// the first half of the cap is kept, with a note.
std::string AuditSafeText(const std::string& text, size_t cap_bytes);

// Each character beyond ASCII as its code point, `\u9053`: for databases whose encoding lacks some.
std::string AsciiText(const std::string& text);

// A row with every column safe in this sense. All stores apply it, so that rows read the same from each.
AuditRow AuditSafeRow(const AuditRow& row, size_t cap_bytes);

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_STORE_AUDIT_ROW_H_
