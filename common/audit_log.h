// Audit rows on their way to the store, behind the calls and not in their path.
#ifndef TOOLWIRE_COMMON_AUDIT_LOG_H_
#define TOOLWIRE_COMMON_AUDIT_LOG_H_

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "common/clock.h"
#include "common/store.h"

namespace toolwire {

// Takes rows from any thread without blocking and writes them, in their order, in batches from a thread of its own.
// While the store is away (UNAVAILABLE and other errors of the moment), rows wait and the write is tried again
// (100 ms doubling to 5 s). A batch that the store refuses for its content is written row by row, so that one bad
// row cannot hold up the others; a row that is refused alone is tried once more without its params and result, then
// counted as refused and logged. Rows wait in memory only: a process that is killed loses them.
class AuditLog {
 public:
  struct Options {
    size_t batch_rows_max = 512;        // Rows in one transaction: bounds how long it holds the write lock.
    size_t queue_rows_max = 1000000;    // Rows waiting; past it the newest are dropped, counted and logged.
    size_t queue_bytes_max = 1u << 30;  // Bytes of rows waiting; the same applies.
    size_t json_bytes_max = 64 * 1024;  // Larger params, results and errors wait in their shortened form.
    // How long the first row waits for others, unless a batch is full or a flush waits: it makes one transaction
    // of what a busy server settles in this time, and is what a killed process loses at least.
    Duration gather_time = std::chrono::milliseconds(20);
    Duration retry_min = std::chrono::milliseconds(100);  // The first wait while the store is away.
    Duration retry_max = std::chrono::seconds(5);         // The longest; they double in between.
    Duration close_time = std::chrono::seconds(5);        // What the destructor's flush may take.
  };
  struct Counters {
    uint64_t written = 0;         // Rows in the store, in reduced form or not.
    uint64_t dropped = 0;         // Rows that found the queue full.
    uint64_t refused = 0;         // Rows that the store did not take in any form.
    uint64_t failed_batches = 0;  // Attempts to write a batch that failed, for whatever reason.
    uint64_t waiting = 0;         // Rows neither written nor refused yet.
  };

  // `store` outlives the log.
  AuditLog(Store& store, Options options);
  // Flushes for `close_time`. Rows that wait even then are lost, and their number is logged.
  ~AuditLog();
  AuditLog(const AuditLog&) = delete;
  AuditLog& operator=(const AuditLog&) = delete;

  // Any thread; never blocks on the store.
  void Append(AuditRow row);

  // A copy of `json` as a row may hold it: shortened, if it is too large, without copying the rest.
  std::string Storable(const std::string& json) const;

  // Waits until no row that was appended before is waiting any more, or `limit` has passed; does not wait for a
  // retry that is due later. True if all of them were written, or refused and counted.
  bool Flush(Duration limit);

  Counters counters() const;

 private:
  // Rows that are written together, and how far that has come.
  struct Batch {
    std::vector<AuditRow> rows;
    size_t next = 0;      // The first row that is not settled. Only grows beyond 0 row by row.
    bool by_row = false;  // The store has refused the rows together.
  };

  void Run();
  // Writes what is left of `batch`, row by row if the store refuses it as a whole. False if the store is out of
  // reach; calling it again goes on where it stopped.
  bool Write(Batch* batch);
  bool WriteRow(const AuditRow& row);
  // Waits `*wait` and doubles it. False if the log is being destroyed.
  bool WaitToRetry(Duration* wait);
  // Whether `error` will pass by itself. Notes and logs when the store goes away or is back.
  bool IsAway(const absl::Status& error);
  void NoteBack();
  // Counts rows as settled; `bytes` is what they took in the queue.
  void Settle(size_t written, size_t refused, size_t bytes);

  Store& store_;
  const Options options_;

  mutable std::mutex mu_;            // Guards what follows, down to the writer's own.
  std::condition_variable wake_;     // The writer waits for rows, or to try again.
  std::condition_variable settled_;  // Flush waits for the writer.
  // Batches as they will be written: all but the last are full, so that taking one is a move and appending to a
  // long queue never copies it.
  std::deque<std::vector<AuditRow>> queue_;
  size_t queue_rows_ = 0;     // Rows in queue_, so without the batch that is being written.
  size_t waiting_bytes_ = 0;  // With that batch.
  uint64_t accepted_rows_ = 0;
  uint64_t settled_rows_ = 0;  // Rows settle in order, so Flush waits for this to reach a number.
  uint64_t flush_rows_ = 0;    // The greatest number that a Flush waits for.
  bool hurry_ = false;         // A Flush wants the next retry now.
  bool dropping_ = false;      // A drop has been logged, and the queue has not been half empty since.
  bool stopping_ = false;
  Counters counters_;  // Without `waiting`.

  bool away_ = false;  // The writer's own: the last attempt found the store out of reach.

  std::thread thread_;
};

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_AUDIT_LOG_H_
