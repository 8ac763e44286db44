#include "common/audit_log.h"

#include <algorithm>
#include <utility>

#include "common/log.h"

namespace toolwire {
namespace {

// What a row takes in memory, near enough.
size_t BytesOf(const AuditRow& row) {
  return sizeof(AuditRow) + row.user_id.size() + row.request_id.size() + row.tool.size() + row.params_json.size() +
         row.result_json.size() + row.error.size();
}

size_t BytesOf(const std::vector<AuditRow>& rows) {
  size_t bytes = 0;
  for (const AuditRow& row : rows) bytes += BytesOf(row);
  return bytes;
}

// A row the store has refused, without what it may have refused.
AuditRow Reduced(const AuditRow& row) {
  constexpr size_t kTextBytesMax = 1024;
  AuditRow reduced = AuditSafeRow(row, kTextBytesMax);
  if (!row.params_json.empty()) reduced.params_json = AuditMarkedJson(row.params_json, 0, "refused by the store");
  if (!row.result_json.empty()) reduced.result_json = AuditMarkedJson(row.result_json, 0, "refused by the store");
  return reduced;
}

}  // namespace

AuditLog::AuditLog(Store& store, Options options)
    : store_(store), options_(std::move(options)), thread_([this] { Run(); }) {}

AuditLog::~AuditLog() {
  Flush(options_.close_time);
  {
    std::lock_guard<std::mutex> lock(mu_);
    stopping_ = true;
  }
  wake_.notify_one();
  thread_.join();
  if (const uint64_t lost = counters().waiting; lost > 0) {
    log::Error("audit rows lost: the store was out of reach to the end", {{"rows", lost}});
  }
}

void AuditLog::Append(AuditRow row) {
  // Only what is too large: the store looks at the rest in its own time.
  if (row.params_json.size() > options_.json_bytes_max) {
    row.params_json = AuditSafeJson(row.params_json, options_.json_bytes_max);
  }
  if (row.result_json.size() > options_.json_bytes_max) {
    row.result_json = AuditSafeJson(row.result_json, options_.json_bytes_max);
  }
  if (row.error.size() > options_.json_bytes_max) row.error = AuditSafeText(row.error, options_.json_bytes_max);
  const size_t bytes = BytesOf(row);

  bool wake = false;
  bool first_drop = false;
  uint64_t waiting = 0;
  {
    std::lock_guard<std::mutex> lock(mu_);
    waiting = accepted_rows_ - settled_rows_;
    if (waiting >= options_.queue_rows_max || waiting_bytes_ + bytes > options_.queue_bytes_max) {
      ++counters_.dropped;
      first_drop = !dropping_;
      dropping_ = true;
    } else {
      if (queue_.empty() || queue_.back().size() >= options_.batch_rows_max) queue_.emplace_back();
      queue_.back().push_back(std::move(row));
      ++queue_rows_;
      ++accepted_rows_;
      waiting_bytes_ += bytes;
      // The writer waits for a first row, and then for a full batch.
      wake = queue_rows_ == 1 || queue_rows_ == options_.batch_rows_max;
    }
  }
  if (wake) wake_.notify_one();
  if (first_drop) log::Error("audit queue full, dropping rows", {{"waiting", waiting}});
}

std::string AuditLog::Storable(const std::string& json) const {
  return json.size() > options_.json_bytes_max ? AuditSafeJson(json, options_.json_bytes_max) : json;
}

bool AuditLog::Flush(Duration limit) {
  std::unique_lock<std::mutex> lock(mu_);
  const uint64_t target = accepted_rows_;
  if (settled_rows_ >= target) return true;
  flush_rows_ = std::max(flush_rows_, target);
  hurry_ = true;
  wake_.notify_one();
  // Capped, since a wait ends at a point in time, which must not overflow.
  const Duration wait = std::min<Duration>(limit, std::chrono::hours(24));
  return settled_.wait_for(lock, wait, [&] { return settled_rows_ >= target; });
}

AuditLog::Counters AuditLog::counters() const {
  std::lock_guard<std::mutex> lock(mu_);
  Counters counters = counters_;
  counters.waiting = accepted_rows_ - settled_rows_;
  return counters;
}

void AuditLog::Run() {
  std::unique_lock<std::mutex> lock(mu_);
  while (true) {
    wake_.wait(lock, [&] { return queue_rows_ > 0 || stopping_; });
    wake_.wait_for(lock, options_.gather_time,
                   [&] { return queue_rows_ >= options_.batch_rows_max || flush_rows_ > settled_rows_ || stopping_; });
    if (stopping_) return;  // The destructor has flushed: what is left is more than there was time for.
    Batch batch;
    batch.rows = std::move(queue_.front());
    queue_.pop_front();
    queue_rows_ -= batch.rows.size();
    lock.unlock();
    Duration wait = options_.retry_min;
    while (!Write(&batch)) {
      if (!WaitToRetry(&wait)) return;
    }
    lock.lock();
  }
}

bool AuditLog::Write(Batch* batch) {
  if (!batch->by_row) {
    const absl::Status status = store_.AppendAudit(batch->rows);
    if (status.ok()) {
      NoteBack();
      Settle(batch->rows.size(), 0, BytesOf(batch->rows));
      return true;
    }
    {
      std::lock_guard<std::mutex> lock(mu_);
      ++counters_.failed_batches;
    }
    if (IsAway(status)) return false;
    log::Warn("audit batch refused, writing it row by row",
              {{"rows", batch->rows.size()}, {"code", absl::StatusCodeToString(status.code())}});
    batch->by_row = true;
  }
  for (; batch->next < batch->rows.size(); ++batch->next) {
    if (!WriteRow(batch->rows[batch->next])) return false;
  }
  return true;
}

bool AuditLog::WriteRow(const AuditRow& row) {
  absl::Status status = store_.AppendAudit({row});
  if (!status.ok() && !IsAway(status)) status = store_.AppendAudit({Reduced(row)});
  if (status.ok()) {
    NoteBack();
    Settle(1, 0, BytesOf(row));
    return true;
  }
  if (IsAway(status)) return false;
  // The code only: a database's message may quote what it refused.
  log::Error("audit row refused", {{"user_id", row.user_id},
                                   {"request_id", row.request_id},
                                   {"tool", row.tool},
                                   {"success", row.success},
                                   {"code", absl::StatusCodeToString(status.code())}});
  Settle(0, 1, BytesOf(row));
  return true;
}

bool AuditLog::WaitToRetry(Duration* wait) {
  std::unique_lock<std::mutex> lock(mu_);
  wake_.wait_for(lock, *wait, [&] { return hurry_ || stopping_; });
  *wait = hurry_ ? options_.retry_min : std::min(*wait * 2, options_.retry_max);
  hurry_ = false;
  return !stopping_;
}

bool AuditLog::IsAway(const absl::Status& error) {
  switch (error.code()) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kCancelled:
    case absl::StatusCode::kResourceExhausted:
      break;
    default:
      return false;
  }
  if (!away_) log::Warn("audit store out of reach, rows wait", {{"error", std::string(error.message())}});
  away_ = true;
  return true;
}

void AuditLog::NoteBack() {
  if (!away_) return;
  away_ = false;
  const Counters now = counters();
  log::Info("audit store back", {{"waiting", now.waiting}, {"dropped", now.dropped}});
}

void AuditLog::Settle(size_t written, size_t refused, size_t bytes) {
  std::lock_guard<std::mutex> lock(mu_);
  counters_.written += written;
  counters_.refused += refused;
  waiting_bytes_ -= bytes;
  const bool someone_waits = settled_rows_ < flush_rows_;
  settled_rows_ += written + refused;
  if (someone_waits) settled_.notify_all();
  // At half and not at once, so that a queue that stays nearly full is not logged for every batch.
  if (accepted_rows_ - settled_rows_ <= options_.queue_rows_max / 2 && waiting_bytes_ <= options_.queue_bytes_max / 2) {
    dropping_ = false;
  }
}

}  // namespace toolwire
