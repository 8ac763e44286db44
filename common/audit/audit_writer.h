// How a batch of audit rows that the store does not take is judged and divided.
#ifndef TOOLWIRE_COMMON_AUDIT_AUDIT_WRITER_H_
#define TOOLWIRE_COMMON_AUDIT_AUDIT_WRITER_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "common/base/clock.h"
#include "common/store/store.h"

namespace toolwire {

// What the store's answer to some rows means. This is the one place where that is decided.
enum class AuditVerdict {
  kTaken,
  kUnavailable,   // The store is: nothing was learned of the rows.
  kTooSlow,       // So many rows take longer than the store allows; fewer may not.
  kRefused,       // A row of them is bad, or the store is. Only the fate of other rows tells which.
  kStoreRefused,  // The store is bad, though perhaps not for other rows: a damaged page, a partition that is missing.
};
AuditVerdict VerdictOf(const absl::Status& status);

// Writes rows with as few statements as the store allows: what is too slow or refused is halved until it is taken or a
// single row, and what is taken doubles the next. What takes long and then fails, for whatever reason, is never tried
// again unchanged. Used by one thread.
class AuditWriter {
 public:
  // `rows_max` in one statement. One that takes longer than `slow` makes the next smaller.
  AuditWriter(Store& store, size_t rows_max, Duration slow) : store_(store), rows_max_(rows_max), slow_(slow) {}

  struct Result {
    AuditVerdict verdict = AuditVerdict::kTaken;
    size_t rows = 0;      // Taken: so many, from `first` on. Else 0 or, of a single row that was judged, 1.
    absl::Status status;  // Of the last attempt.
  };
  // Writes `rows` from `first` on, or the first of them. kRefused, kStoreRefused and kTooSlow are verdicts on the row
  // at `first` alone, as it is, since it must not lose what another try would keep. Only one with a value that the
  // database cannot hold is tried as by WriteReduced at once. Leaves `rows` as they were.
  Result Write(std::vector<AuditRow>* rows, size_t first);
  // Writes the row without params and result, and then in ASCII too, in place of what the store does not take.
  Result WriteReduced(const AuditRow& row);

  // Attempts that failed, for whatever reason. Any thread.
  uint64_t failures() const { return failures_.load(std::memory_order_relaxed); }

 private:
  absl::Status Append(std::vector<AuditRow>* rows, size_t first, size_t count);

  Store& store_;
  const size_t rows_max_;
  const Duration slow_;
  size_t size_ = rows_max_;  // Rows that are tried next.
  std::atomic<uint64_t> failures_{0};
};

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_AUDIT_AUDIT_WRITER_H_
