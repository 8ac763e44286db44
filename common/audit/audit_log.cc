// Rows are queued as batches, in their order, so that the writer takes a whole batch by a move. The writer waits for a
// first row, then for `gather_time`, a full batch or a flush, and writes. A batch that is refused is written row by
// row; while the store is unavailable it is tried again. Rows that are in the spool may be left out of memory; they are
// read from it when their turn comes. Between batches, the writer looks for spools of dead processes and writes those
// too.

#include "common/audit/audit_log.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/log.h"
#include "common/base/random_hex.h"

namespace toolwire {
namespace {

// However large these are, a transaction of them is small enough.
constexpr size_t kRecoveredBatchRows = 64;

// What a row takes in memory, near enough.
size_t BytesOf(const AuditRow& row) {
  return sizeof(AuditRow) + row.user_id.size() + row.request_id.size() + row.tool.size() + row.params_json.size() +
         row.result_json.size() + row.error.size();
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
    : store_(store),
      options_(std::move(options)),
      call_id_prefix_(RandomHex(8) + "-"),
      spool_(options_.spool.directory.empty() ? nullptr : std::make_unique<AuditSpool>(options_.spool)),
      thread_([this] { Run(); }) {}

bool AuditLog::Close(MonoTime until) {
  if (!thread_.joinable()) return Flush(Duration::zero());
  const bool written = Flush(until - SystemClock().Now());
  {
    MutexLock lock(mu_);
    stopping_ = true;
  }
  wake_.NotifyOne();
  thread_.join();
  return written;
}

AuditLog::~AuditLog() {
  Close(SystemClock().Now() + std::min<Duration>(options_.close_time, std::chrono::hours(24)));
  const uint64_t left = accepted_rows_ - settled_rows_ - unspooled_rows_;
  if (left > 0) log::Warn("audit rows left in the spool for the next process", {{"rows", left}});
  if (unspooled_rows_ > 0) {
    log::Error("audit rows lost: the store was unavailable to the end", {{"rows", unspooled_rows_}});
  }
}

std::string AuditLog::CallId(uint64_t number) const {
  // Of one width, so that the ids of one process sort as they were given: indexes grow at one end.
  return absl::StrCat(call_id_prefix_, absl::Hex(number, absl::kZeroPad8));
}

AuditTicket AuditLog::Begin(const AuditIntent& call) {
  AuditTicket ticket;
  ticket.number = last_number_.fetch_add(1, std::memory_order_relaxed) + 1;
  if (spool_ == nullptr) return ticket;
  if (call.params_json.size() > options_.json_bytes_max) {
    const std::string shortened = AuditSafeJson(std::string(call.params_json), options_.json_bytes_max);
    AuditIntent storable = call;
    storable.params_json = shortened;
    ticket.intent = spool_->AddIntent(storable, CallId(ticket.number));
  } else {
    ticket.intent = spool_->AddIntent(call, CallId(ticket.number));
  }
  return ticket;
}

void AuditLog::Settle(AuditTicket ticket, AuditRow row) {
  // Only what is too large: the store looks at the rest in its own time.
  for (std::string* json : {&row.params_json, &row.result_json}) {
    if (json->size() > options_.json_bytes_max) *json = AuditSafeJson(*json, options_.json_bytes_max);
  }
  for (std::string* text : {&row.user_id, &row.request_id, &row.tool, &row.error}) {
    if (text->size() > options_.json_bytes_max) *text = AuditSafeText(*text, options_.json_bytes_max);
  }
  if (ticket.number == 0) ticket.number = last_number_.fetch_add(1, std::memory_order_relaxed) + 1;
  row.call_id = CallId(ticket.number);
  AuditSpool::Spooled spooled;
  if (spool_ != nullptr) spooled = spool_->AddRow(row, ticket.intent);

  bool taken = false;
  bool wake = false;
  bool first_drop = false;
  uint64_t waiting = 0;
  {
    MutexLock lock(mu_);
    waiting = accepted_rows_ - settled_rows_;
    taken = EnqueueLocked(&row, spooled);
    if (taken) {
      // The writer waits for a first row, and then for a full batch.
      wake = queue_rows_ == 1 || queue_rows_ == options_.batch_rows_max;
    } else {
      ++counters_.dropped;
      first_drop = !std::exchange(dropping_, true);
    }
  }
  if (wake) wake_.NotifyOne();
  if (!taken && spool_ != nullptr) spool_->Done(&spooled, 1);
  if (first_drop) log::Error("audit queue full, dropping rows", {{"waiting", waiting}});
}

bool AuditLog::EnqueueLocked(AuditRow* row, const AuditSpool::Spooled& spooled) {
  const size_t bytes = BytesOf(*row);
  const bool room = memory_rows_ < options_.queue_rows_max && memory_bytes_ + bytes <= options_.queue_bytes_max;
  if (!room && !spooled.whole) return false;
  const bool last_is_full = queue_.empty() || queue_.back().spooled.size() >= options_.batch_rows_max ||
                            queue_.back().bytes >= options_.batch_bytes_max;
  bool in_memory = true;
  if (spooled.whole) {
    const bool last_is_in_spool = !last_is_full && !queue_.back().in_memory;
    in_memory = room && memory_bytes_ + bytes <= options_.spooled_in_memory_bytes_max && !last_is_in_spool;
  }
  if (last_is_full || queue_.back().in_memory != in_memory) {
    queue_.emplace_back();
    queue_.back().in_memory = in_memory;
  }
  Batch& batch = queue_.back();
  batch.spooled.push_back(spooled);
  batch.bytes += bytes;
  if (in_memory) {
    batch.rows.push_back(std::move(*row));
    ++memory_rows_;
    memory_bytes_ += bytes;
  }
  if (!spooled.whole) ++unspooled_rows_;
  ++queue_rows_;
  ++accepted_rows_;
  return true;
}

std::string AuditLog::Storable(const std::string& json) const {
  return json.size() > options_.json_bytes_max ? AuditSafeJson(json, options_.json_bytes_max) : json;
}

bool AuditLog::Flush(Duration limit) {
  MutexLock lock(mu_);
  const uint64_t target = accepted_rows_;
  if (settled_rows_ >= target) return true;
  flush_rows_ = std::max(flush_rows_, target);
  hurry_ = true;
  wake_.NotifyOne();
  // Capped, since a wait ends at a point in time, which must not overflow.
  const Duration wait = std::min<Duration>(limit, std::chrono::hours(24));
  return settled_.WaitFor(mu_, wait, [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return settled_rows_ >= target; });
}

AuditLog::Counters AuditLog::counters() const {
  Counters counters;
  {
    MutexLock lock(mu_);
    counters = counters_;
    counters.waiting = accepted_rows_ - settled_rows_;
  }
  if (spool_ != nullptr) {
    counters.spool_errors = spool_->errors();
    counters.spool_bytes = spool_->bytes();
  }
  return counters;
}

void AuditLog::Run() {
  MutexLock lock(mu_);
  while (true) {
    WaitForWork();
    if (stopping_) return;  // The destructor has flushed: what is left is more than there was time for.
    if (!queue_.empty()) {
      Batch batch = std::move(queue_.front());
      queue_.pop_front();
      queue_rows_ -= batch.spooled.size();
      lock.Unlock();
      if (!batch.in_memory) {
        for (const AuditSpool::Spooled& row : batch.spooled) batch.rows.push_back(spool_->Read(row.record));
      }
      if (!WriteOut(&batch)) return;
      lock.Lock();
    }
    if (spool_ == nullptr) continue;
    lock.Unlock();
    if (!Recover()) return;
    lock.Lock();
  }
}

// Waits for rows to write, or until it is time to look for dead processes.
void AuditLog::WaitForWork() {
  if (abandoned_ != nullptr) return;
  const auto has_rows = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return queue_rows_ > 0 || stopping_; };
  if (spool_ == nullptr) {
    wake_.Wait(mu_, has_rows);
  } else if (!wake_.WaitUntil(mu_, adopt_at_, has_rows)) {
    return;
  }
  wake_.WaitFor(mu_, options_.gather_time, [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return queue_rows_ >= options_.batch_rows_max || flush_rows_ > settled_rows_ || stopping_;
  });
}

bool AuditLog::Recover() {
  if (abandoned_ == nullptr) {
    const MonoTime now = SystemClock().Now();
    if (now < adopt_at_) return true;
    spool_->TryAgain();
    abandoned_ = spool_->AdoptOne();
    abandoned_rows_ = 0;
    if (abandoned_ == nullptr) {
      adopt_at_ = now + options_.adopt_every;
      return true;
    }
  }
  Batch batch;
  batch.recovered = true;
  const size_t rows_max = std::min(options_.batch_rows_max, kRecoveredBatchRows);
  batch.rows = abandoned_->Next(rows_max);
  abandoned_rows_ += batch.rows.size();
  if (!batch.rows.empty() && !WriteOut(&batch)) return false;
  if (batch.rows.size() == rows_max) return true;  // There may be more.
  const bool removed = abandoned_->Remove();
  if (abandoned_rows_ > 0 || !removed)
    log::Info("audit rows of a dead process recovered",
              {{"rows", abandoned_rows_}, {"spool", abandoned_->directory()}, {"removed", removed}});
  abandoned_.reset();
  return true;
}

bool AuditLog::WriteOut(Batch* batch) {
  Duration wait = options_.retry_min;
  while (!Write(batch)) {
    if (!WaitToRetry(&wait)) return false;
  }
  return true;
}

bool AuditLog::Write(Batch* batch) {
  if (!batch->by_row) {
    const absl::Status status = store_.AppendAudit(batch->rows);
    if (status.ok()) {
      NoteAvailable();
      Settled(batch, batch->rows.size(), true);
      return true;
    }
    {
      MutexLock lock(mu_);
      ++counters_.failed_batches;
    }
    if (IsUnavailable(status)) return false;
    log::Warn("audit batch refused, writing it row by row",
              {{"rows", batch->rows.size()}, {"code", absl::StatusCodeToString(status.code())}});
    batch->by_row = true;
  }
  while (batch->next < batch->rows.size()) {
    if (!WriteRow(batch)) return false;
  }
  return true;
}

bool AuditLog::WriteRow(Batch* batch) {
  const AuditRow& row = batch->rows[batch->next];
  absl::Status status = store_.AppendAudit({row});
  if (!status.ok() && !IsUnavailable(status)) status = store_.AppendAudit({Reduced(row)});
  if (status.ok()) {
    NoteAvailable();
    Settled(batch, 1, true);
    return true;
  }
  if (IsUnavailable(status)) return false;
  // The code only: a database's message may quote what it refused.
  log::Error("audit row refused", {{"user_id", row.user_id},
                                   {"request_id", row.request_id},
                                   {"tool", row.tool},
                                   {"success", row.success},
                                   {"code", absl::StatusCodeToString(status.code())}});
  Settled(batch, 1, false);
  return true;
}

bool AuditLog::WaitToRetry(Duration* wait) {
  if (spool_ != nullptr) spool_->TryAgain();
  MutexLock lock(mu_);
  wake_.WaitFor(mu_, *wait, [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return hurry_ || stopping_; });
  *wait = hurry_ ? options_.retry_min : std::min(*wait * 2, options_.retry_max);
  hurry_ = false;
  return !stopping_;
}

bool AuditLog::IsUnavailable(const absl::Status& error) {
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
  if (!unavailable_) log::Warn("audit store unavailable, rows wait", {{"error", std::string(error.message())}});
  unavailable_ = true;
  return true;
}

void AuditLog::NoteAvailable() {
  if (!unavailable_) return;
  unavailable_ = false;
  const Counters now = counters();
  log::Info("audit store back", {{"waiting", now.waiting}, {"dropped", now.dropped}});
}

void AuditLog::Settled(Batch* batch, size_t count, bool written) {
  const size_t first = batch->next;
  batch->next += count;
  if (batch->recovered) {
    MutexLock lock(mu_);
    counters_.recovered += count;
    return;
  }
  size_t bytes = 0;
  size_t unspooled = 0;
  for (size_t i = first; i < batch->next; ++i) {
    if (batch->in_memory) bytes += BytesOf(batch->rows[i]);
    if (!batch->spooled[i].whole) ++unspooled;
  }
  if (spool_ != nullptr) spool_->Done(&batch->spooled[first], count);

  MutexLock lock(mu_);
  (written ? counters_.written : counters_.refused) += count;
  if (batch->in_memory) memory_rows_ -= count;
  memory_bytes_ -= bytes;
  unspooled_rows_ -= unspooled;
  const bool someone_waits = settled_rows_ < flush_rows_;
  settled_rows_ += count;
  if (someone_waits) settled_.NotifyAll();
  // At half and not at once, so that a queue that stays nearly full is not logged for every batch.
  if (memory_rows_ <= options_.queue_rows_max / 2 && memory_bytes_ <= options_.queue_bytes_max / 2) dropping_ = false;
}

}  // namespace toolwire
