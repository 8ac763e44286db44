// Rows are queued as batches, in their order, so that the writer takes a whole batch by a move. The writer waits for a
// first row, then for `gather_time`, a full batch or a flush, and writes. While the store is unavailable it tries
// again. Rows that are in the spool may be left out of memory; they are read from it when their turn comes. Between
// batches, the writer looks for spools of dead processes and writes those too.
//
// A row that is refused goes to aside_ with the number of statements that were taken until then. Once that number has
// grown, the row is tried again, then without what may be why, and dropped if all is refused. If it has not, the store
// may be what is bad: one row of aside_ is tried from time to time, and a few of those that wait, in search of one that
// is taken. Rows of held_, which are refused for reasons that are never a row's, are tried from time to time, and never
// dropped.

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
// At a batch's first row: moving rows as the batch grows costs more than their place.
constexpr size_t kRowsReserved = 64;
// Rows that are refused in turn before the next wait: a store that refuses all is not asked for each.
constexpr int kRefusedInTurnMax = 8;
// A row that is too slow alone, so often while others are taken, is as bad as a refused one.
constexpr int kTooSlowMax = 3;

// What a row takes in memory, near enough.
size_t BytesOf(const AuditRow& row) {
  return sizeof(AuditRow) + row.user_id.size() + row.request_id.size() + row.tool.size() + row.caller.size() +
         row.params_json.size() + row.result_json.size() + row.error.size();
}

std::unique_ptr<AuditSpool> MakeSpool(AuditSpool::Options options, const Store& store) {
  if (options.directory.empty()) return nullptr;
  options.store_address = store.Address();
  return std::make_unique<AuditSpool>(std::move(options));
}

}  // namespace

AuditLog::AuditLog(Store& store, Options options)
    : store_(store),
      options_(std::move(options)),
      call_id_prefix_(RandomHex(8) + "-"),
      spool_(MakeSpool(options_.spool, store)),
      writer_(store, options_.batch_rows_max, options_.slow_write),
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
    if (in_memory) queue_.back().rows.reserve(std::min(options_.batch_rows_max, kRowsReserved));
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
  const auto is_done = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return settled_rows_ >= target && aside_rows_ == 0; };
  if (is_done()) return true;
  flush_rows_ = std::max(flush_rows_, target);
  hurry_ = true;
  wake_.NotifyOne();
  // Capped, since a wait ends at a point in time, which must not overflow.
  const Duration wait = std::min<Duration>(limit, std::chrono::hours(24));
  return settled_.WaitFor(mu_, wait, is_done);
}

AuditLog::Counters AuditLog::counters() const {
  Counters counters;
  {
    MutexLock lock(mu_);
    counters = counters_;
    counters.waiting = accepted_rows_ - settled_rows_;
    counters.aside = aside_rows_;
  }
  counters.failed_batches = writer_.failures();
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
    const bool hurry = std::exchange(hurry_, false);
    lock.Unlock();
    RetryAside(hurry || (HasAside() && SystemClock().Now() >= aside_at_));
    if (spool_ != nullptr && !Recover()) return;
    lock.Lock();
  }
}

// Waits for rows to write, or until it is time to look for dead processes, or to try what is set aside.
void AuditLog::WaitForWork() {
  if (abandoned_ != nullptr) return;
  MonoTime until = spool_ == nullptr ? MonoTime::max() : adopt_at_;
  if (HasAside()) until = std::min(until, aside_at_);
  const auto has_work = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return queue_rows_ > 0 || stopping_ || (hurry_ && HasAside());
  };
  if (until == MonoTime::max()) {
    wake_.Wait(mu_, has_work);
  } else if (!wake_.WaitUntil(mu_, until, has_work)) {
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
    AskStore();
    abandoned_ = spool_->AdoptOne();
    abandoned_rows_ = 0;
    recovered_is_kept_ = false;
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
  const bool removed = !recovered_is_kept_ && abandoned_->Remove();
  if (abandoned_rows_ > 0 || !removed)
    log::Info("audit rows of a dead process recovered",
              {{"rows", abandoned_rows_}, {"spool", abandoned_->directory()}, {"removed", removed}});
  abandoned_.reset();
  return true;
}

// So that what this process leaves is found also if the store's address changes. A store that took no row since this
// was last called is asked whether it would: there may be none for hours, and NotReady is to know.
void AuditLog::AskStore() {
  if (!store_is_named_) {
    const absl::StatusOr<std::string> identity = store_.Identity();
    if (!identity.ok()) return;
    store_is_named_ = true;
    spool_->NameStore(*identity);
  }
  if (taken_ == std::exchange(taken_when_asked_, taken_) || !store_.NotReady().empty()) {
    store_.Probe().IgnoreError();  // What it says, NotReady says too.
  }
}

bool AuditLog::WriteOut(Batch* batch) {
  Duration wait = options_.retry_min;
  while (!Write(batch)) {
    if (!WaitToRetry(&wait)) return false;
    if (!unavailable_) RetryAside(true);
  }
  return true;
}

bool AuditLog::Write(Batch* batch) {
  while (batch->next < batch->rows.size()) {
    const AuditWriter::Result result = writer_.Write(&batch->rows, batch->next);
    Note(result);
    switch (result.verdict) {
      case AuditVerdict::kTaken:
        Written(batch, result.rows);
        break;
      case AuditVerdict::kUnavailable:
        return false;
      case AuditVerdict::kTooSlow:
      case AuditVerdict::kRefused:
      case AuditVerdict::kStoreRefused:
        SetAside(batch, result);
        // What a dead process left must not hold up the rows of this one.
        while (batch->recovered && result.verdict == AuditVerdict::kStoreRefused && batch->next < batch->rows.size()) {
          SetAside(batch, result);
        }
        if (++refused_in_turn_ < kRefusedInTurnMax && result.verdict != AuditVerdict::kTooSlow) break;
        refused_in_turn_ = 0;
        return false;
    }
  }
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

void AuditLog::Note(const AuditWriter::Result& result) {
  if (result.verdict == AuditVerdict::kUnavailable) {
    if (!unavailable_) {
      log::Warn("audit store unavailable, rows wait", {{"error", std::string(result.status.message())}});
    }
    unavailable_ = true;
    return;
  }
  if (result.verdict == AuditVerdict::kTaken) {
    ++taken_;
    refused_in_turn_ = 0;
  }
  if (!std::exchange(unavailable_, false)) return;
  const Counters now = counters();
  log::Info("audit store back", {{"waiting", now.waiting}, {"dropped", now.dropped}});
}

void AuditLog::CountSettledLocked(size_t count) {
  const bool someone_waits = settled_rows_ < flush_rows_ || aside_rows_ > 0;
  settled_rows_ += count;
  if (someone_waits) settled_.NotifyAll();
  // At half and not at once, so that a queue that stays nearly full is not logged for every batch.
  if (memory_rows_ <= options_.queue_rows_max / 2 && memory_bytes_ <= options_.queue_bytes_max / 2) dropping_ = false;
}

void AuditLog::Written(Batch* batch, size_t count) {
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
  counters_.written += count;
  if (batch->in_memory) memory_rows_ -= count;
  memory_bytes_ -= bytes;
  unspooled_rows_ -= unspooled;
  CountSettledLocked(count);
}

// --- rows that are set aside -----------------------------------------------------------------------------------------

void AuditLog::LogAside(const AsideRows& list, const AuditRow& row, const absl::Status& status) const {
  if (!list.empty()) return;  // Once for all that follow.
  // Of aside_, nobody knows until others are taken whether the row is bad or the store is.
  log::Error(&list == &held_ ? "audit store refuses rows by its own fault, they wait until it is mended"
                             : "audit row refused, it waits until others are taken",
             {{"user_id", row.user_id},
              {"request_id", row.request_id},
              {"tool", row.tool},
              {"error", std::string(status.message())}});
}

void AuditLog::SetAside(Batch* batch, const AuditWriter::Result& result) {
  AuditRow& row = batch->rows[batch->next];
  AsideRows& list = result.verdict == AuditVerdict::kStoreRefused ? held_ : aside_;
  LogAside(list, row, result.status);
  if (!HasAside()) {
    aside_wait_ = options_.retry_min;
    aside_at_ = SystemClock().Now() + aside_wait_;
  }
  Aside aside;
  aside.recovered = batch->recovered;
  aside.taken_count = taken_;
  aside.bytes = BytesOf(row);
  if (!batch->recovered) aside.spooled = batch->spooled[batch->next];
  // What a dead process left becomes this process's own, so that the rest of it can be removed.
  if (batch->recovered) aside.spooled = spool_->AddRow(row, 0);
  if (batch->recovered && !aside.spooled.whole) recovered_is_kept_ = true;
  const size_t bytes = aside.bytes;
  const bool leaves_memory = aside.spooled.whole && batch->in_memory && !batch->recovered;
  if (!aside.spooled.whole) aside.row = std::move(row);
  list.push_back(std::move(aside));
  ++batch->next;
  MutexLock lock(mu_);
  ++aside_rows_;
  if (!leaves_memory) return;
  --memory_rows_;
  memory_bytes_ -= bytes;
}

AuditRow AuditLog::RowOf(const Aside& aside) const {
  return aside.spooled.whole ? spool_->Read(aside.spooled.record) : aside.row;
}

std::vector<AuditRow> AuditLog::FirstOf(const AsideRows& list, size_t count) const {
  std::vector<AuditRow> rows;
  for (size_t i = 0; i < count; ++i) rows.push_back(RowOf(list[i]));
  return rows;
}

void AuditLog::RetryAside(bool probe) {
  if (!probe && aside_.empty()) return;
  if (probe) RetryHeld();
  while (!aside_.empty()) {
    size_t count = 0, bytes = 0;
    while (count < aside_.size() && count < options_.batch_rows_max && bytes < options_.batch_bytes_max &&
           aside_[count].taken_count < taken_) {
      bytes += aside_[count++].bytes;
    }
    if (count == 0 && !std::exchange(probe, false)) return;
    if (!JudgeAside(std::max<size_t>(count, 1))) break;
  }
  aside_wait_ = std::clamp(2 * aside_wait_, options_.retry_min, options_.retry_max);
  aside_at_ = SystemClock().Now() + aside_wait_;
}

void AuditLog::RetryHeld() {
  while (!held_.empty()) {
    size_t count = 0, bytes = 0;
    while (count < held_.size() && count < options_.batch_rows_max && bytes < options_.batch_bytes_max) {
      bytes += held_[count++].bytes;
    }
    std::vector<AuditRow> rows = FirstOf(held_, count);
    for (size_t next = 0; next < rows.size();) {
      const AuditWriter::Result result = writer_.Write(&rows, next);
      Note(result);
      if (result.verdict == AuditVerdict::kUnavailable) return;
      next += result.rows;
      if (result.verdict == AuditVerdict::kTaken) {
        SettleAside(&held_, result.rows, true);
        continue;
      }
      // Behind the others: the next attempt begins with another one.
      const bool is_held = result.verdict == AuditVerdict::kStoreRefused;
      MoveAside(&held_, is_held ? &held_ : &aside_);
      if (is_held) return;
    }
  }
}

bool AuditLog::JudgeAside(size_t count) {
  std::vector<AuditRow> rows = FirstOf(aside_, count);
  for (size_t next = 0; next < rows.size();) {
    AuditWriter::Result result = writer_.Write(&rows, next);
    const bool others_were_taken = aside_.front().taken_count < taken_;
    const bool refused = others_were_taken && result.verdict == AuditVerdict::kRefused;
    const bool too_slow =
        others_were_taken && result.verdict == AuditVerdict::kTooSlow && ++aside_.front().too_slow >= kTooSlowMax;
    // In the end, without what may be why.
    if (refused || too_slow) result = writer_.WriteReduced(rows[next]);
    Note(result);
    if (result.verdict == AuditVerdict::kUnavailable) return false;
    next += result.rows;
    if (result.verdict == AuditVerdict::kTaken) {
      SettleAside(&aside_, result.rows, true);
      continue;
    }
    if (result.verdict == AuditVerdict::kStoreRefused) {
      LogAside(held_, rows[next - 1], result.status);
      MoveAside(&aside_, &held_);
      continue;
    }
    if (too_slow || (others_were_taken && result.verdict == AuditVerdict::kRefused)) {
      const AuditRow& row = rows[next - 1];
      log::Error("audit row refused", {{"user_id", row.user_id},
                                       {"request_id", row.request_id},
                                       {"tool", row.tool},
                                       {"call_id", row.call_id},
                                       {"success", row.success},
                                       {"error", std::string(result.status.message())}});
      SettleAside(&aside_, 1, false);
      continue;
    }
    MoveAside(&aside_, &aside_);
    if (!others_were_taken) return false;
  }
  return true;
}

void AuditLog::MoveAside(AsideRows* from, AsideRows* to) {
  Aside aside = std::move(from->front());
  from->pop_front();
  aside.taken_count = taken_;
  to->push_back(std::move(aside));
}

void AuditLog::SettleAside(AsideRows* list, size_t count, bool written) {
  size_t recovered = 0, bytes = 0, rows_in_memory = 0, unspooled = 0;
  for (size_t i = 0; i < count; ++i) {
    const Aside& aside = list->front();
    if (spool_ != nullptr) spool_->Done(&aside.spooled, 1);
    if (aside.recovered) ++recovered;
    if (!aside.recovered && !aside.spooled.whole) {
      ++rows_in_memory;
      ++unspooled;
      bytes += aside.bytes;
    }
    list->pop_front();
  }
  MutexLock lock(mu_);
  counters_.recovered += recovered;
  (written ? counters_.written : counters_.refused) += count - recovered;
  memory_rows_ -= rows_in_memory;
  memory_bytes_ -= bytes;
  unspooled_rows_ -= unspooled;
  CountSettledLocked(count - recovered);
  aside_rows_ -= count;
}

}  // namespace toolwire
