// The layout of the audit spool's files.
#ifndef TOOLWIRE_COMMON_AUDIT_SPOOL_SEGMENT_H_
#define TOOLWIRE_COMMON_AUDIT_SPOOL_SEGMENT_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/base/file_id.h"
#include "common/store/audit_row.h"

namespace toolwire {

// A call as it is known when it begins. The texts belong to the caller.
struct AuditIntent {
  std::string_view user_id, request_id, tool, params_json;
  int64_t created_at_ms = 0;
  std::string_view caller = {};
};

// What a record holds, not copied yet.
struct RecordContent {
  RecordContent(const AuditIntent& intent, std::string_view call_id);
  explicit RecordContent(const AuditRow& row);

  std::array<std::string_view, 7> texts;
  std::string_view caller;
  bool success = false;
  std::optional<int64_t> execution_time_ms;
  int64_t created_at_ms = 0;
};

enum class RecordKind : uint32_t {
  kIntent = 1,  // A call has begun.
  kRow = 2,     // A call has settled; its row is not in the store yet.
  kDone = 3,    // Was one of these, and need not be kept.
};

// A published record. `body` lies in the file.
struct SpoolRecord {
  RecordKind kind = RecordKind::kDone;
  uint32_t slot = 0;  // The writing process's own name for it.
  size_t offset = 0;
  size_t bytes = 0;
  std::string_view body;
};

// The record at `*offset`, which is moved behind it. False where the published records end; a record that was being
// written when its process was killed is behind that. Begin with SpoolSegment::kHeaderBytes.
bool NextRecord(std::string_view file, size_t* offset, SpoolRecord* record);

// The row or the intent in a record. False if it is damaged, which only a power failure does.
bool DecodeRecord(std::string_view body, AuditRow* row);

// The store that records are meant for, by two digests; 0 where one is not known.
struct StoreMark {
  uint32_t address = 0;   // Of where it is.
  uint32_t identity = 0;  // Of what it says it is, wherever.
};
StoreMark MakeStoreMark(const std::string& address, const std::string& identity);

// The head of a segment file.
struct SegmentHead {
  uint64_t number = 0;      // Segments of one process were begun in this order, from 1.
  std::string lost_reason;  // The error of a call whose process ended before its outcome was known.
  StoreMark store = {};     // Of version 1 and earlier programs: not known.
};
// False if this is no segment, or one of another version. A file whose process was killed while making it has the
// number 0 and no records.
bool ReadSegmentHead(std::string_view file, SegmentHead* head);

// A segment file of this process, mapped. Records are appended and later marked as done. Numbers are in this
// machine's byte order: a spool never leaves it. Not thread-safe.
//
// What is written is safe from the end of the process, by whatever signal, because the pages belong to the kernel;
// it is not safe from a power failure. All of the file's blocks are taken in advance: a full disk is an error of
// `Create` and never a SIGBUS (on file systems that overwrite in place).
class SpoolSegment {
 public:
  static constexpr size_t kHeaderBytes = 64;
  static constexpr size_t kLostReasonBytesMax = 40;

  // What `content` takes.
  static size_t RecordBytes(const RecordContent& content);

  // A new file of mode 0600, empty. UNAVAILABLE if the disk is full or the like.
  static absl::StatusOr<std::unique_ptr<SpoolSegment>> Create(const std::string& path, size_t bytes);
  ~SpoolSegment();
  SpoolSegment(const SpoolSegment&) = delete;
  SpoolSegment& operator=(const SpoolSegment&) = delete;

  // Empties the segment.
  void Restart(const SegmentHead& head);
  void Mark(StoreMark store);
  // Whether its path still leads to this file.
  bool IsInPlace() const;
  bool HasRoom(size_t record_bytes) const { return record_bytes <= bytes_ - used_; }
  // Appends a record, for which there must be room, and returns its offset.
  size_t Add(RecordKind kind, uint32_t slot, const RecordContent& content);
  // The same with a record of another segment.
  size_t AddCopy(const SpoolRecord& record);
  void MarkDone(size_t offset);
  SpoolRecord At(size_t offset) const;
  // The file goes with this object; it is left otherwise.
  void DeleteFile() { delete_file_ = true; }

  std::string_view file() const { return {base_, bytes_}; }
  size_t bytes() const { return bytes_; }
  // Records that are not done.
  size_t live_records() const { return live_records_; }
  size_t live_bytes() const { return live_bytes_; }

 private:
  SpoolSegment(std::string path, FileId id, char* base, size_t bytes)
      : path_(std::move(path)), id_(id), base_(base), bytes_(bytes) {}
  size_t Publish(RecordKind kind, uint32_t slot, size_t bytes);

  const std::string path_;
  const FileId id_;
  char* const base_;
  const size_t bytes_;
  size_t used_ = kHeaderBytes;
  size_t live_records_ = 0;
  size_t live_bytes_ = 0;
  bool delete_file_ = false;
};

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_AUDIT_SPOOL_SEGMENT_H_
