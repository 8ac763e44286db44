#include "common/store/sqlite_lists.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <string_view>

#include "absl/strings/str_cat.h"

namespace toolwire {
namespace {

using sqlite::ErrorOf;
using sqlite::Run;

constexpr Duration kListLimit = std::chrono::seconds(10);  // A list that takes longer ends.
constexpr int kStepsBetweenLooks = 100000;                 // Of SQLite's machine, some milliseconds.

constexpr char kListCredentials[] =
    "SELECT user_id, platform, status, created_at, last_seen, substr(shared_secret, 1, 8) = 'revoked:'"
    " FROM agent_credentials"
    " WHERE user_id > ? ORDER BY user_id LIMIT ?";
constexpr char kListAudit[] =
    "SELECT user_id, request_id, tool_name, params, result, success, error, execution_time_ms, created_at, call_id, id,"
    " caller"
    " FROM tool_execution_logs WHERE (?1 = '' OR user_id = ?1) AND created_at >= ?2 AND created_at < ?3"
    " AND (created_at, id) < (?4, ?5) AND substr(user_id, 1, length(?6)) = ?6"
    " ORDER BY created_at DESC, id DESC LIMIT ?7";

AgentStatus StatusOfWord(const std::string& word) {
  for (AgentStatus status : {AgentStatus::kConnected, AgentStatus::kDisconnected}) {
    if (word == StatusWord(status)) return status;
  }
  return AgentStatus::kPending;
}

// JSON as it is listed.
std::string JsonAt(const Run& run, int column) {
  const std::string_view json = run.ViewAt(column);
  if (json.size() <= kListedJsonBytesMax) return std::string(json);
  return AuditMarkedJson(json.substr(0, kListedJsonBytesMax / 4), json.size(), kListedJsonBytesMax / 4, "too large");
}

ListedAuditRow RowOf(const Run& run) {
  const auto text = [&](int column) { return AuditSafeText(run.TextAt(column), kListedTextBytesMax); };
  ListedAuditRow row;
  row.user_id = text(0);
  row.request_id = text(1);
  row.tool = text(2);
  row.params_json = JsonAt(run, 3);
  row.result_json = JsonAt(run, 4);
  row.success = run.IntAt(5) != 0;
  row.error = text(6);
  row.execution_time_ms = run.OptionalIntAt(7);
  row.created_at_ms = run.IntAt(8);
  row.call_id = text(9);
  row.cursor = absl::StrCat(row.created_at_ms, ":", run.IntAt(10));
  row.caller = text(11);
  return row;
}

}  // namespace

int SqliteLists::Ends(void* lists) {
  const auto* const self = static_cast<SqliteLists*>(lists);
  const MonoTime end{Duration(self->end_.load())};
  const bool is_over = std::chrono::steady_clock::now() >= std::min(self->list_end_, end);
  return is_over || (self->is_gone_ && self->is_gone_()) ? 1 : 0;
}

absl::Status SqliteLists::Open(const std::string& path) {
  if (absl::Status status = sqlite::ConnectReader(path, &end_, &db_); !status.ok()) return status;
  sqlite3_progress_handler(db_.get(), kStepsBetweenLooks, Ends, this);
  if (absl::Status status = sqlite::Prepare(db_, kListCredentials, &credentials_); !status.ok()) return status;
  return sqlite::Prepare(db_, kListAudit, &audit_);
}

absl::StatusOr<std::vector<Credential>> SqliteLists::Credentials(const std::string& after, int limit,
                                                                 const IsGone& is_gone) {
  std::vector<Credential> listed;
  if (limit <= 0) return listed;  // To SQLite a negative limit is none.
  MutexLock lock(mu_);
  list_end_ = std::chrono::steady_clock::now() + kListLimit;
  is_gone_ = is_gone;
  Run run(credentials_);
  run.Text(after).Int(limit);
  int rc = SQLITE_DONE;
  while ((rc = run.Step()) == SQLITE_ROW) {
    listed.push_back({run.TextAt(0), run.TextAt(1), StatusOfWord(run.TextAt(2)), run.IntAt(3), run.OptionalIntAt(4),
                      run.IntAt(5) != 0});
  }
  if (rc == SQLITE_INTERRUPT && is_gone && is_gone()) return GoneError();
  if (rc != SQLITE_DONE) return ErrorOf(db_.get(), rc, "listing credentials");
  return listed;
}

absl::StatusOr<std::vector<ListedAuditRow>> SqliteLists::Audit(const AuditQuery& query, const IsGone& is_gone) {
  constexpr int64_t kLast = std::numeric_limits<int64_t>::max();
  int64_t after_ms = kLast, after_id = kLast;
  if (!query.after.empty()) {
    const absl::StatusOr<AuditCursor> cursor = ReadAuditCursor(query.after);
    if (!cursor.ok()) return cursor.status();
    after_ms = cursor->time;
    if (!ReadInt(cursor->id, &after_id)) return absl::InvalidArgumentError("the cursor is not one of this store");
  }
  std::vector<ListedAuditRow> listed;
  if (query.limit <= 0) return listed;
  MutexLock lock(mu_);
  list_end_ = std::chrono::steady_clock::now() + kListLimit;
  is_gone_ = is_gone;
  Run run(audit_);
  run.Text(query.user_id).Int(query.from_ms.value_or(std::numeric_limits<int64_t>::min()));
  run.Int(query.until_ms.value_or(kLast)).Int(after_ms).Int(after_id);
  run.Text(query.user_prefix).Int(query.limit);
  int rc = SQLITE_DONE;
  while ((rc = run.Step()) == SQLITE_ROW) listed.push_back(RowOf(run));
  if (rc == SQLITE_INTERRUPT && is_gone && is_gone()) return GoneError();
  if (rc != SQLITE_DONE) return ErrorOf(db_.get(), rc, "listing audit rows");
  return listed;
}

}  // namespace toolwire
