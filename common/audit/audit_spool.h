// DEEP: audit records that outlive their process: segment files, their recycling, and what dead processes left.
#ifndef TOOLWIRE_COMMON_AUDIT_AUDIT_SPOOL_H_
#define TOOLWIRE_COMMON_AUDIT_AUDIT_SPOOL_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/audit/spool_segment.h"
#include "common/base/mutex.h"
#include "common/store/audit_row.h"
#include "common/store/store.h"

namespace toolwire {

// Several processes share one spool directory. Each has a subdirectory of its own, with a random name, and holds a
// lock (flock) on the file `lock` in it for as long as it lives. A subdirectory whose lock is free belongs to a dead
// process; the process that takes the lock replays and then removes it.
//
// Each segment names the store that its records are meant for: those of another store are left alone.
//
// This survives the end of the process by any signal, and not a power failure or the loss of the disk.

// The subdirectory of a dead process, taken over. Destroying it without Remove() leaves it to the next who looks.
class AbandonedSpool {
 public:
  // Null if its process is alive, or if another process was faster.
  static std::unique_ptr<AbandonedSpool> TakeOver(const std::string& directory);

  enum class Store { kSame, kAnother, kNotKnown };
  // Whether its records are meant for this one: by what the stores say of themselves, if both do, else by their
  // addresses. `named`: this one has said what it is, or will not. Those of versions that did not mark them are for any,
  // and so are those of a directory in which somebody has made the file kForAnyStore.
  Store For(StoreMark store, bool named) const;
  static constexpr char kForAnyStore[] = "any-store";
  // No segment can be read, and there are others: it has been set aside before, or is of another version.
  bool has_only_others() const { return files_.empty() && has_others_; }
  ~AbandonedSpool();
  AbandonedSpool(const AbandonedSpool&) = delete;
  AbandonedSpool& operator=(const AbandonedSpool&) = delete;

  // The next rows that may not be in the store yet, `rows_max` at most: first those that were waiting, the oldest
  // first, then a failed row with the process's lost reason for each call without an outcome. Empty: no more.
  std::vector<AuditRow> Next(size_t rows_max);

  // Once the store has all rows. False if a file could not be read to its end, or is not ours: such files are left, the
  // former by another name, so that nobody reads them again.
  bool Remove();

  const std::string& directory() const { return directory_; }

 private:
  struct File {
    std::string path;
    SegmentHead head;
    bool unreadable = false;
  };

  AbandonedSpool(std::string directory, int lock) : directory_(std::move(directory)), lock_(lock) {}
  void FindFiles();
  void FindOpenCalls();
  void Load(File* file);
  bool Take(const SpoolRecord& record, AuditRow* row);

  const std::string directory_;
  const int lock_;
  bool has_others_ = false;  // Files that are not ours to remove.
  bool is_for_any_ = false;
  std::vector<File> files_;
  bool found_open_calls_ = false;
  absl::flat_hash_set<std::string> open_calls_;  // Call ids of intents; those of rows that were met are out of it.
  // How far Next() has come: what it looks for, in which file, where.
  RecordKind wanted_ = RecordKind::kRow;
  size_t next_file_ = 0;
  std::string text_;  // Of file `next_file_` - 1.
  size_t offset_ = 0;
};

// The spool of this process. Records are intents (of calls that have begun) and rows (of calls that have settled); a
// record stays until it is done. Segments whose records are all done are used again, and of segments that few old
// records hold on to, these are copied on; so in the steady state the same few megabytes are written over and over.
// Thread-safe; no method waits for anything but the file system.
class AuditSpool {
 public:
  struct Options {
    std::string directory;  // Shared by processes; made if it is missing (mode 0700), as is its parent.
    // The error of calls whose process ended before their outcome was known. At most SpoolSegment::kLostReasonBytesMax.
    std::string lost_reason = "CONTROL_LOST";
    size_t bytes_max = 1u << 30;      // Of files. Records beyond it are not written.
    size_t segment_bytes = 1u << 20;  // Of one file; a larger record gets a file of its own.
    std::string store_address;        // Of the store that records are meant for; empty: of any.
  };
  // A record's name; 0 is none.
  using Record = uint32_t;
  // What the spool has of a row.
  struct Spooled {
    Record record = 0;   // 0: nothing.
    bool whole = false;  // The row itself, not just its intent.
  };

  explicit AuditSpool(Options options);
  // Removes this process's subdirectory if nothing is left in it.
  ~AuditSpool();
  AuditSpool(const AuditSpool&) = delete;
  AuditSpool& operator=(const AuditSpool&) = delete;

  // 0 if the spool cannot be written: counted, and logged once until it can again.
  Record AddIntent(const AuditIntent& intent, std::string_view call_id);
  // Writes a row in the place of its intent (or of none, 0). If that is impossible the intent remains.
  Spooled AddRow(const AuditRow& row, Record intent);
  // A row that is not done.
  AuditRow Read(Record row) const;
  // These records are in the store, or refused: they need not be kept.
  void Done(const Spooled* records, size_t count);

  // What the store says it is, wherever its address leads.
  void NameStore(const std::string& identity);

  // Once a file could not be created, none is until this is called: so to be called every few seconds. Also finds out
  // whether files were removed, or their lock, and writes their records again elsewhere.
  void TryAgain();

  // The spool of a dead process, each only once, or once more when it is released to any store; null if there is none.
  // From one thread.
  std::unique_ptr<AbandonedSpool> AdoptOne();

  size_t bytes() const { return bytes_.load(std::memory_order_relaxed); }      // Of this process's files.
  uint64_t errors() const { return errors_.load(std::memory_order_relaxed); }  // Records that were not written.

 private:
  struct Slot {
    SpoolSegment* segment = nullptr;
    size_t offset = 0;
  };
  // Segments that go when mu_ has been released: deleting a file takes its time.
  using Retired = std::vector<std::unique_ptr<SpoolSegment>>;

  Record AddLocked(RecordKind kind, const RecordContent& content, Retired* retired) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void DoneLocked(Record record, Retired* retired) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status MakeRoomLocked(size_t record_bytes, Retired* retired) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::StatusOr<std::unique_ptr<SpoolSegment>> CreateSegmentLocked(size_t bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status MakeDirectoryLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void MoveOldRecordsLocked(size_t room, Retired* retired) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void RetireLocked(SpoolSegment* segment, Retired* retired) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void ReplaceLostFilesLocked(Retired* retired) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status MoveLocked(SpoolSegment* from, Retired* retired) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const Options options_;
  std::atomic<size_t> bytes_{0};
  std::atomic<uint64_t> errors_{0};

  mutable Mutex mu_;
  std::string directory_ ABSL_GUARDED_BY(mu_);  // Empty until it could be made.
  int lock_ ABSL_GUARDED_BY(mu_) = -1;
  uint64_t last_number_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t last_file_ ABSL_GUARDED_BY(mu_) = 0;
  std::vector<std::unique_ptr<SpoolSegment>> segments_ ABSL_GUARDED_BY(mu_);  // With records, the current one last.
  std::vector<std::unique_ptr<SpoolSegment>> spare_ ABSL_GUARDED_BY(mu_);     // Empty.
  std::deque<Slot> slots_ ABSL_GUARDED_BY(mu_);                               // Record r is in slot r - 1.
  std::vector<Record> free_records_ ABSL_GUARDED_BY(mu_);
  // A failure was logged, and the spool has not worked from one TryAgain() to the next.
  bool complained_ ABSL_GUARDED_BY(mu_) = false;
  bool failed_ ABSL_GUARDED_BY(mu_) = false;     // A record was not written since the last one.
  bool may_create_ ABSL_GUARDED_BY(mu_) = true;  // No file was tried in vain since then.
  StoreMark store_ ABSL_GUARDED_BY(mu_);
  bool is_named_ ABSL_GUARDED_BY(mu_) = false;

  // The adopter's own: subdirectories that were taken over, and those of them that are meant for another store.
  std::set<std::string> seen_, others_;
};

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_AUDIT_AUDIT_SPOOL_H_
