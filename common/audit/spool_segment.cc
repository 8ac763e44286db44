// A file is a FileHeader and then records, each a RecordHeader, a BodyHeader and the texts, aligned to 8 bytes. A
// record is published by writing its size last, with release order. A size of 0 ends the records, so a reader stops
// before one that was being written; what an earlier use of the file left may follow. Marking a record as done
// overwrites its kind.

#include "common/audit/spool_segment.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/sha256.h"

namespace toolwire {
namespace {

constexpr char kMagic[8] = {'T', 'W', 'S', 'P', 'O', 'O', 'L', '1'};  // The last is the version.

struct FileHeader {
  char magic[sizeof kMagic];
  uint64_t number;
  char lost_reason[SpoolSegment::kLostReasonBytesMax];  // Filled with NUL.
  StoreMark store;                                      // Versions before it wrote NUL.
};
static_assert(sizeof(FileHeader) == SpoolSegment::kHeaderBytes);

struct RecordHeader {
  uint32_t bytes;  // With this header. 0: no record here (yet); so it is written last.
  uint32_t kind;
  uint32_t slot;
  uint32_t unused;
};

struct BodyHeader {
  int64_t created_at_ms;
  int64_t execution_time_ms;
  uint32_t text_bytes[std::tuple_size_v<decltype(RecordContent::texts)>];  // The texts follow, in this order.
  uint8_t success;
  uint8_t has_execution_time;
  uint8_t caller_bytes;  // Of one more text, behind the others; versions before it wrote 0, and pass over such a text.
  uint8_t unused;
};
constexpr size_t kCallerBytesMax = 255;

constexpr size_t kAlignment = 8;
constexpr size_t Aligned(size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

RecordHeader* HeaderAt(char* base, size_t offset) { return reinterpret_cast<RecordHeader*>(base + offset); }

}  // namespace

RecordContent::RecordContent(const AuditIntent& intent, std::string_view call_id)
    : texts{intent.user_id, intent.request_id, intent.tool, intent.params_json, {}, {}, call_id},
      caller(intent.caller.substr(0, kCallerBytesMax)),
      created_at_ms(intent.created_at_ms) {}

RecordContent::RecordContent(const AuditRow& row)
    : texts{row.user_id, row.request_id, row.tool, row.params_json, row.result_json, row.error, row.call_id},
      caller(std::string_view(row.caller).substr(0, kCallerBytesMax)),
      success(row.success),
      execution_time_ms(row.execution_time_ms),
      created_at_ms(row.created_at_ms) {}

bool NextRecord(std::string_view file, size_t* offset, SpoolRecord* record) {
  if (*offset + sizeof(RecordHeader) > file.size()) return false;
  RecordHeader header;
  std::memcpy(&header, file.data() + *offset, sizeof header);
  if (header.bytes < sizeof header || header.bytes % kAlignment != 0 || header.bytes > file.size() - *offset) {
    return false;
  }
  record->kind = static_cast<RecordKind>(header.kind);
  record->slot = header.slot;
  record->offset = *offset;
  record->bytes = header.bytes;
  record->body = file.substr(*offset + sizeof header, header.bytes - sizeof header);
  *offset += header.bytes;
  return true;
}

bool DecodeRecord(std::string_view body, AuditRow* row) {
  BodyHeader header;
  if (body.size() < sizeof header) return false;
  std::memcpy(&header, body.data(), sizeof header);
  body.remove_prefix(sizeof header);
  std::string* const texts[] = {&row->user_id,     &row->request_id, &row->tool,   &row->params_json,
                                &row->result_json, &row->error,      &row->call_id};
  for (size_t i = 0; i < std::size(texts); ++i) {
    if (header.text_bytes[i] > body.size()) return false;
    texts[i]->assign(body.data(), header.text_bytes[i]);
    body.remove_prefix(header.text_bytes[i]);
  }
  if (header.caller_bytes > body.size()) return false;
  row->caller.assign(body.data(), header.caller_bytes);
  row->success = header.success != 0;
  row->execution_time_ms.reset();
  if (header.has_execution_time != 0) row->execution_time_ms = header.execution_time_ms;
  row->created_at_ms = header.created_at_ms;
  return true;
}

StoreMark MakeStoreMark(const std::string& address, const std::string& identity) {
  const auto digest = [](const std::string& text) {
    uint32_t number = 0;
    if (!text.empty()) std::memcpy(&number, Sha256(text).data(), sizeof number);
    return number;
  };
  return {digest(address), digest(identity)};
}

bool ReadSegmentHead(std::string_view file, SegmentHead* head) {
  FileHeader header{};
  std::memcpy(&header, file.data(), std::min(file.size(), sizeof header));
  *head = SegmentHead();
  if (std::all_of(std::begin(header.magic), std::end(header.magic), [](char c) { return c == 0; })) return true;
  if (std::memcmp(header.magic, kMagic, sizeof kMagic) != 0) return false;
  head->number = header.number;
  head->lost_reason.assign(header.lost_reason, strnlen(header.lost_reason, sizeof header.lost_reason));
  head->store = header.store;
  return true;
}

size_t SpoolSegment::RecordBytes(const RecordContent& content) {
  size_t bytes = sizeof(RecordHeader) + sizeof(BodyHeader) + content.caller.size();
  for (std::string_view text : content.texts) bytes += text.size();
  return Aligned(bytes);
}

absl::StatusOr<std::unique_ptr<SpoolSegment>> SpoolSegment::Create(const std::string& path, size_t bytes) {
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return absl::UnavailableError(absl::StrCat("creating ", path, ": ", std::strerror(errno)));
  int error = posix_fallocate(fd, 0, static_cast<off_t>(bytes));
  const std::optional<FileId> id = FileIdOf(fd);
  if (error == 0 && !id) error = errno;
  void* base = MAP_FAILED;
  if (error == 0) {
    base = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (base == MAP_FAILED) error = errno;
  }
  close(fd);
  if (error != 0) {
    unlink(path.c_str());
    return absl::UnavailableError(absl::StrCat("taking ", bytes, " bytes for ", path, ": ", std::strerror(error)));
  }
  return std::unique_ptr<SpoolSegment>(new SpoolSegment(path, *id, static_cast<char*>(base), bytes));
}

SpoolSegment::~SpoolSegment() {
  munmap(base_, bytes_);
  if (delete_file_ && IsInPlace()) unlink(path_.c_str());
}

bool SpoolSegment::IsInPlace() const { return FileIdOf(path_) == id_; }

void SpoolSegment::Mark(StoreMark store) { reinterpret_cast<FileHeader*>(base_)->store = store; }

void SpoolSegment::Restart(const SegmentHead& head) {
  HeaderAt(base_, kHeaderBytes)->bytes = 0;
  FileHeader header{};
  std::memcpy(header.magic, kMagic, sizeof kMagic);
  header.number = head.number;
  std::memcpy(header.lost_reason, head.lost_reason.data(), std::min(head.lost_reason.size(), kLostReasonBytesMax));
  header.store = head.store;
  std::memcpy(base_, &header, sizeof header);
  used_ = kHeaderBytes;
  live_records_ = 0;
  live_bytes_ = 0;
}

size_t SpoolSegment::Add(RecordKind kind, uint32_t slot, const RecordContent& content) {
  BodyHeader header{};
  header.created_at_ms = content.created_at_ms;
  header.execution_time_ms = content.execution_time_ms.value_or(0);
  header.has_execution_time = content.execution_time_ms.has_value() ? 1 : 0;
  header.success = content.success ? 1 : 0;
  char* const body = base_ + used_ + sizeof(RecordHeader);
  char* to = body + sizeof header;
  for (size_t i = 0; i < content.texts.size(); ++i) {
    const std::string_view text = content.texts[i];
    header.text_bytes[i] = static_cast<uint32_t>(text.size());
    if (!text.empty()) std::memcpy(to, text.data(), text.size());
    to += text.size();
  }
  header.caller_bytes = static_cast<uint8_t>(content.caller.size());
  if (!content.caller.empty()) std::memcpy(to, content.caller.data(), content.caller.size());
  to += content.caller.size();
  std::memcpy(body, &header, sizeof header);
  return Publish(kind, slot, Aligned(static_cast<size_t>(to - (base_ + used_))));
}

size_t SpoolSegment::AddCopy(const SpoolRecord& record) {
  std::memcpy(base_ + used_ + sizeof(RecordHeader), record.body.data(), record.body.size());
  return Publish(record.kind, record.slot, record.bytes);
}

size_t SpoolSegment::Publish(RecordKind kind, uint32_t slot, size_t bytes) {
  const size_t offset = used_;
  used_ += bytes;
  // Behind it may be what an earlier use of the segment has left.
  if (used_ + sizeof(RecordHeader) <= bytes_) HeaderAt(base_, used_)->bytes = 0;
  RecordHeader* const header = HeaderAt(base_, offset);
  header->kind = static_cast<uint32_t>(kind);
  header->slot = slot;
  header->unused = 0;
  __atomic_store_n(&header->bytes, static_cast<uint32_t>(bytes), __ATOMIC_RELEASE);
  ++live_records_;
  live_bytes_ += bytes;
  return offset;
}

void SpoolSegment::MarkDone(size_t offset) {
  RecordHeader* const header = HeaderAt(base_, offset);
  // Not before what was published earlier: a row takes its intent's place.
  __atomic_store_n(&header->kind, static_cast<uint32_t>(RecordKind::kDone), __ATOMIC_RELEASE);
  --live_records_;
  live_bytes_ -= header->bytes;
}

SpoolRecord SpoolSegment::At(size_t offset) const {
  SpoolRecord record;
  NextRecord(file(), &offset, &record);
  return record;
}

}  // namespace toolwire
