// Audit rows on their way to the store, behind the calls and not in their path.
#ifndef TOOLWIRE_COMMON_AUDIT_AUDIT_LOG_H_
#define TOOLWIRE_COMMON_AUDIT_AUDIT_LOG_H_

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "common/audit/audit_spool.h"
#include "common/audit/audit_writer.h"
#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "common/store/store.h"

namespace toolwire {

// A call that has begun, until its row is there.
struct AuditTicket {
  uint64_t number = 0;  // Of the call in this log; 0: it never began.
  AuditSpool::Record intent = 0;
};

// Takes rows from any thread without blocking and writes them, in their order, in batches from a thread of its own.
// While the store is unavailable (by UNAVAILABLE and other errors that pass), rows wait and the write is tried again
// (100 ms doubling to 5 s). A batch that the store refuses, or is too slow for, is halved until the row is found
// (AuditWriter). That row is set aside, so that it cannot hold up the others. Whether it is bad or the store is shows
// by these: once others have been taken it is tried again, and if it is still refused it is counted as refused and
// logged; as long as none is taken, the store is the one to mend, and all rows wait. A row that the store refuses for a
// reason that is never a row's waits until the store takes it, whatever becomes of others.
//
// With a spool directory, rows that wait, and the fact that a call has begun, survive the end of the process, even by
// kill -9. A log on the same directory (of a process that runs beside it, or of the next one) writes what a dead
// process left: its rows, and for every call that had begun and not settled a failed row with its lost reason. Each is
// in the store once, since the store knows them by their call ids. What the spool cannot take waits in memory only, as
// everything does without a spool: a process that is killed loses it.
class AuditLog {
 public:
  struct Options {
    size_t batch_rows_max = 512;        // Rows in one transaction: bounds how long it holds the write lock.
    size_t batch_bytes_max = 8u << 20;  // Bytes in one transaction: a slow database must be done within its timeout.
    // Rows waiting in memory, by number and bytes; past it the newest that are not in the spool are dropped, counted
    // and logged.
    size_t queue_rows_max = 1000000;
    size_t queue_bytes_max = 1u << 30;
    // Past so many bytes in memory, rows that are in the spool wait there alone.
    size_t spooled_in_memory_bytes_max = 64u << 20;
    size_t json_bytes_max = kAuditJsonBytesMax;  // Larger params, results and errors wait in their shortened form.
    // How long the first row waits for others, unless a batch is full or a flush waits: it makes one transaction
    // of what a busy server settles in this time.
    Duration gather_time = std::chrono::milliseconds(100);
    Duration retry_min = std::chrono::milliseconds(100);  // The first wait while the store is unavailable.
    Duration retry_max = std::chrono::seconds(5);         // The longest; they double in between.
    Duration slow_write = std::chrono::seconds(1);        // Batches become smaller until they take less.
    Duration close_time = std::chrono::seconds(5);        // What the destructor's Close may take.
    AuditSpool::Options spool;                            // Without a directory: no spool.
    Duration adopt_every = std::chrono::seconds(10);      // How often dead processes are looked for.
  };
  struct Counters {
    uint64_t written = 0;         // Rows in the store, in reduced form or not.
    uint64_t dropped = 0;         // Rows that found the queue full and no place in the spool.
    uint64_t refused = 0;         // Rows that the store did not take in any form while it took others.
    uint64_t failed_batches = 0;  // Attempts to write some rows that failed, for whatever reason.
    uint64_t waiting = 0;         // Rows neither written nor refused yet.
    uint64_t aside = 0;           // Rows refused while the store took no others, or by its own fault; tried again.
    uint64_t recovered = 0;       // Rows of dead processes, written or refused; not in the numbers above.
    uint64_t spool_errors = 0;    // Records that the spool could not take.
    uint64_t spool_bytes = 0;     // Files of this process's spool.
  };

  // `store` outlives the log.
  AuditLog(Store& store, Options options);
  // Closes, if nobody has, within `close_time`. Rows that wait even then are left in the spool; the number of those
  // that are not there, and are lost, is logged.
  ~AuditLog();
  AuditLog(const AuditLog&) = delete;
  AuditLog& operator=(const AuditLog&) = delete;

  // Any thread; none of these blocks on the store. Every call that began is settled once; its row gets its call id.
  AuditTicket Begin(const AuditIntent& call);
  void Settle(AuditTicket ticket, AuditRow row);
  // The row of a call that never began.
  void Append(AuditRow row) { Settle(AuditTicket(), std::move(row)); }

  // A copy of `json` as a row may hold it: shortened, if it is too large, without copying the rest.
  std::string Storable(const std::string& json) const;

  // Waits until no row that was appended before is waiting any more, or `limit` has passed; does not wait for a
  // retry that is due later. True if all of them were written, or refused and counted.
  bool Flush(Duration limit);

  // Flushes until then, and ends the thread that writes; its last statement ends with the store's own deadline
  // (Store::EndBy). What is settled later is left in the spool. True as of Flush.
  bool Close(MonoTime until);

  Counters counters() const;

 private:
  // Rows that are written together, and how far that has come.
  struct Batch {
    bool in_memory = true;  // Else `rows` are read from the spool when their turn comes.
    std::vector<AuditRow> rows;
    size_t bytes = 0;                          // Of the rows, wherever they are.
    std::vector<AuditSpool::Spooled> spooled;  // What the spool has of each row. Empty if `recovered`.
    bool recovered = false;                    // From a dead process: the rows never were in the queue.
    size_t next = 0;                           // The first row that is neither settled nor set aside.
  };
  // A row that was refused alone.
  struct Aside {
    AuditSpool::Spooled spooled;
    AuditRow row;  // Unless the spool has it whole.
    size_t bytes = 0;  // Of the row, wherever it is.
    bool recovered = false;
    int too_slow = 0;          // So often, while others were taken.
    uint64_t taken_count = 0;  // taken_ when it was refused.
  };
  using AsideRows = std::deque<Aside>;

  std::string CallId(uint64_t number) const;
  // False if there is no room.
  bool EnqueueLocked(AuditRow* row, const AuditSpool::Spooled& spooled) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Run();
  void WaitForWork() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Writes a batch of what a dead process left, if there is one. False if the log is being destroyed.
  bool Recover() ABSL_LOCKS_EXCLUDED(mu_);
  void AskStore();
  // Writes `batch`, as often as it takes. False if the log is being destroyed.
  bool WriteOut(Batch* batch) ABSL_LOCKS_EXCLUDED(mu_);
  // Writes what is left of `batch`, or sets it aside. False if the store is unavailable or refuses row after row;
  // calling it again goes on where it stopped.
  bool Write(Batch* batch);
  // Waits `*wait` and doubles it. False if the log is being destroyed.
  bool WaitToRetry(Duration* wait);
  // Notes what the store said, and logs when it becomes unavailable or available again.
  void Note(const AuditWriter::Result& result);
  // The next `count` rows of the batch are in the store.
  void Written(Batch* batch, size_t count);
  // Logs the first row that comes to `list`.
  void LogAside(const AsideRows& list, const AuditRow& row, const absl::Status& status) const;
  // The next row of the batch was refused.
  void SetAside(Batch* batch, const AuditWriter::Result& result);
  // Tries the rows that are set aside again: those that others were taken after, and at least one if `probe`.
  void RetryAside(bool probe);
  // False if the store is unavailable. What was refused again is settled, or goes behind the others.
  bool JudgeAside(size_t count);
  // Tries those of held_ until one is refused.
  void RetryHeld();
  std::vector<AuditRow> FirstOf(const AsideRows& list, size_t count) const;
  // The first `count` of `list` are in the store, or were refused for good.
  void SettleAside(AsideRows* list, size_t count, bool written);
  // The first of `from` goes behind those of `to`.
  void MoveAside(AsideRows* from, AsideRows* to);
  bool HasAside() const { return !aside_.empty() || !held_.empty(); }
  AuditRow RowOf(const Aside& aside) const;
  void CountSettledLocked(size_t count) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  Store& store_;
  const Options options_;
  const std::string call_id_prefix_;
  std::atomic<uint64_t> last_number_{0};
  const std::unique_ptr<AuditSpool> spool_;  // May be null.

  mutable Mutex mu_;
  CondVar wake_;     // The writer waits for rows, or to try again.
  CondVar settled_;  // Flush waits for the writer.
  // Batches as they will be written, so that taking one is a move and appending to a long queue never copies it. All
  // but the last are full, unless rows begin or cease to wait in memory there.
  std::deque<Batch> queue_ ABSL_GUARDED_BY(mu_);
  size_t queue_rows_ ABSL_GUARDED_BY(mu_) = 0;      // Rows in queue_, so without the batch that is being written.
  size_t memory_rows_ ABSL_GUARDED_BY(mu_) = 0;     // Rows in memory, with that batch.
  size_t memory_bytes_ ABSL_GUARDED_BY(mu_) = 0;    // What they take.
  size_t unspooled_rows_ ABSL_GUARDED_BY(mu_) = 0;  // Those of them that are in memory only.
  uint64_t accepted_rows_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t settled_rows_ ABSL_GUARDED_BY(mu_) = 0;  // In order but for those set aside: Flush waits for both.
  uint64_t aside_rows_ ABSL_GUARDED_BY(mu_) = 0;    // Of aside_.
  uint64_t flush_rows_ ABSL_GUARDED_BY(mu_) = 0;    // The greatest number that a Flush waits for.
  bool hurry_ ABSL_GUARDED_BY(mu_) = false;         // A Flush wants the next retry now.
  // A drop has been logged, and the queue has not been half empty since.
  bool dropping_ ABSL_GUARDED_BY(mu_) = false;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  Counters counters_ ABSL_GUARDED_BY(mu_);  // Without what others count.

  // The writer's own.
  AuditWriter writer_;
  bool store_is_named_ = false;                // The spool has its identity.
  bool unavailable_ = false;                   // The last attempt found the store so.
  AsideRows aside_;                            // The longest refused first.
  AsideRows held_;                             // The same of those that the store refuses by its own fault.
  uint64_t taken_ = 0;                         // Statements that were.
  uint64_t taken_when_asked_ = 0;              // taken_, when the store was last asked apart from rows.
  int refused_in_turn_ = 0;                    // Rows since the last of them.
  Duration aside_wait_{};                      // The newest wait until aside_at_.
  MonoTime aside_at_;                          // When one of aside_ is tried, whether others were taken or not.
  bool recovered_is_kept_ = false;             // Rows of abandoned_ are in aside_, and not in this process's spool.
  std::unique_ptr<AbandonedSpool> abandoned_;  // What it is recovering.
  size_t abandoned_rows_ = 0;                  // So many of it.
  MonoTime adopt_at_;

  std::thread thread_;
};

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_AUDIT_AUDIT_LOG_H_
