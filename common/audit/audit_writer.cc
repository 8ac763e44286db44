// One bad row among 512 costs some 20 statements: nine that halve, three that find that the row is refused in every
// form, nine that double again. A batch that takes longer than the store's time limit, or fails after that long as when
// the connection is cut, is smaller at the next attempt, and stays about as large as what takes `slow`.

#include "common/audit/audit_writer.h"

#include <algorithm>
#include <iterator>
#include <string>

#include "common/base/log.h"
#include "common/store/pg_errors.h"

namespace toolwire {
namespace {

// A row the store has refused, without what it may have refused.
AuditRow Reduced(const AuditRow& row) {
  constexpr size_t kTextBytesMax = 1024;
  AuditRow reduced = AuditSafeRow(row, kTextBytesMax);
  if (!row.params_json.empty()) reduced.params_json = AuditMarkedJson(row.params_json, 0, "refused by the store");
  if (!row.result_json.empty()) reduced.result_json = AuditMarkedJson(row.result_json, 0, "refused by the store");
  return reduced;
}

// The same in ASCII, for databases whose encoding lacks a character. False if it is that already.
bool MakeAscii(AuditRow* reduced) {
  bool changed = false;
  for (std::string* text :
       {&reduced->user_id, &reduced->request_id, &reduced->tool, &reduced->error, &reduced->caller}) {
    std::string ascii = AsciiText(*text);
    changed |= ascii != *text;
    *text = std::move(ascii);
  }
  return changed;
}

}  // namespace

AuditVerdict VerdictOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return AuditVerdict::kTaken;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kCancelled:
    case absl::StatusCode::kResourceExhausted:
      return AuditVerdict::kUnavailable;
    case absl::StatusCode::kDeadlineExceeded:
      return AuditVerdict::kTooSlow;
    default:
      return StoreFaultOf(status) == StoreFault::kRowRefused ? AuditVerdict::kRefused : AuditVerdict::kStoreRefused;
  }
}

absl::Status AuditWriter::Append(std::vector<AuditRow>* rows, size_t first, size_t count) {
  absl::Status status;
  const MonoTime start = SystemClock().Now();
  if (first == 0 && count == rows->size()) {
    status = store_.AppendAudit(*rows);
  } else {
    const auto begin = rows->begin() + static_cast<ptrdiff_t>(first);
    const auto end = begin + static_cast<ptrdiff_t>(count);
    std::vector<AuditRow> part(std::make_move_iterator(begin), std::make_move_iterator(end));
    status = store_.AppendAudit(part);
    std::move(part.begin(), part.end(), begin);
  }
  const Duration took = SystemClock().Now() - start;
  if (!status.ok()) failures_.fetch_add(1, std::memory_order_relaxed);
  if (took > slow_) {
    size_ = std::max<size_t>(count / 2, 1);
  } else if (status.ok() && took <= slow_ / 4) {
    size_ = std::min(rows_max_, std::max(size_, 2 * count));
  }
  return status;
}

AuditWriter::Result AuditWriter::Write(std::vector<AuditRow>* rows, size_t first) {
  size_t count = std::min(size_, rows->size() - first);
  bool logged = false;
  while (true) {
    absl::Status status = Append(rows, first, count);
    const AuditVerdict verdict = VerdictOf(status);
    if (verdict == AuditVerdict::kTaken) return {verdict, count, std::move(status)};
    if (verdict == AuditVerdict::kUnavailable) return {verdict, 0, std::move(status)};
    // A value that the database cannot hold stays one. Others' locks, slow disks, triggers and constraints may be gone
    // at the next try, which would keep all of the row.
    if (count == 1 && IsUnstorableValue(status)) return WriteReduced((*rows)[first]);
    if (count == 1) return {verdict, 1, std::move(status)};
    if (!logged) {
      const bool slow = verdict == AuditVerdict::kTooSlow;
      log::Warn(slow ? "audit batch too slow, halving it" : "audit batch refused, halving it",
                {{"rows", count}, {"error", std::string(status.message())}});
    }
    logged = true;
    count /= 2;
    size_ = count;
  }
}

AuditWriter::Result AuditWriter::WriteReduced(const AuditRow& row) {
  absl::Status status;
  std::vector<AuditRow> reduced = {Reduced(row)};
  do {
    status = Append(&reduced, 0, 1);
    const AuditVerdict verdict = VerdictOf(status);
    if (verdict == AuditVerdict::kTaken) return {verdict, 1, std::move(status)};
    if (verdict == AuditVerdict::kUnavailable) return {verdict, 0, std::move(status)};
    if (verdict == AuditVerdict::kTooSlow) break;
  } while (MakeAscii(&reduced[0]));
  return {VerdictOf(status), 1, std::move(status)};
}

}  // namespace toolwire
