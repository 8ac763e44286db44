// Records are appended to the last segment and marked as done where they are. A segment whose records are all done goes
// to the spare ones, or is deleted if these are enough. When there is no spare one, the old segment with the fewest
// live bytes is emptied by copying them into the new one. A file or directory that cannot be made is not tried again
// before TryAgain, and records are then refused. TryAgain also compares the inodes of the files with those that their
// paths lead to: what is mapped outlives its name, but nobody would find it after a kill.

#include "common/audit/audit_spool.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <system_error>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/file_id.h"
#include "common/base/log.h"
#include "common/base/private_directory.h"
#include "common/base/random_hex.h"

namespace toolwire {
namespace {

constexpr char kLockName[] = "/lock";
constexpr char kSegmentSuffix[] = ".seg";
constexpr char kUnreadableSuffix[] = ".unreadable";
constexpr size_t kNameChars = 16;
constexpr size_t kPageBytes = 4096;
// Empty segments that are kept: what a burst of a few milliseconds takes.
constexpr size_t kSpareMax = 4;
// Segments that old records may hold on to before these are moved on.
constexpr size_t kSegmentsBeforeMoving = 8;

absl::Status ErrnoStatus(const std::string& doing) {
  return absl::UnavailableError(absl::StrCat(doing, ": ", std::strerror(errno)));
}

// The descriptor that holds the lock of `directory`, or -1 if another process has it or the directory is gone.
int Lock(const std::string& directory) {
  const int fd = open((directory + kLockName).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return -1;
  struct stat file {};
  // Its last holder may have removed the file meanwhile: then this locks a file that no other process can open.
  if (flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &file) == 0 && file.st_nlink > 0) return fd;
  close(fd);
  return -1;
}

bool IsSpoolName(const std::string& name) {
  return name.size() == kNameChars && name.find_first_not_of("0123456789abcdef") == std::string::npos;
}

// False if it cannot be read to its end.
bool ReadFile(const std::string& path, size_t bytes_max, std::string* text) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat file {};
  if (fd < 0 || fstat(fd, &file) != 0) {
    if (fd >= 0) close(fd);
    return false;
  }
  text->resize(std::min(bytes_max, static_cast<size_t>(file.st_size)));
  size_t have = 0;
  while (have < text->size()) {
    const ssize_t n = read(fd, text->data() + have, text->size() - have);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    have += static_cast<size_t>(n);
  }
  close(fd);
  return have == text->size();
}

}  // namespace

// --- what dead processes left ----------------------------------------------------------------------------------------

std::unique_ptr<AbandonedSpool> AbandonedSpool::TakeOver(const std::string& directory) {
  const int lock = Lock(directory);
  if (lock < 0) return nullptr;
  std::unique_ptr<AbandonedSpool> spool(new AbandonedSpool(directory, lock));
  spool->FindFiles();
  return spool;
}

AbandonedSpool::~AbandonedSpool() { close(lock_); }

void AbandonedSpool::FindFiles() {
  std::error_code ec;
  const std::filesystem::directory_iterator end;
  for (std::filesystem::directory_iterator at(directory_, ec); !ec && at != end; at.increment(ec)) {
    if (!absl::EndsWith(at->path().native(), kSegmentSuffix)) {
      const std::string name = at->path().filename();
      is_for_any_ |= name == kForAnyStore;
      has_others_ |= "/" + name != kLockName && name != kForAnyStore;
      continue;
    }
    File file{at->path(), {}};
    std::string text;
    if (!ReadFile(file.path, SpoolSegment::kHeaderBytes, &text)) {
      log::Error("audit spool: cannot read a segment", {{"file", file.path}});
      file.unreadable = true;
    } else if (!ReadSegmentHead(text, &file.head)) {
      log::Error("audit spool: no segment of this version", {{"file", file.path}});
      has_others_ = true;
      continue;
    }
    files_.push_back(std::move(file));
  }
  if (ec) has_others_ = true;
  std::sort(files_.begin(), files_.end(), [](const File& a, const File& b) { return a.head.number < b.head.number; });
}

AbandonedSpool::Store AbandonedSpool::For(StoreMark store, bool named) const {
  Store found = Store::kSame;
  if (is_for_any_) return found;
  for (const File& file : files_) {
    const StoreMark& mark = file.head.store;
    if (store.address == 0 || mark.address == 0) continue;
    // An address may lead to another database by now, and one database may have two.
    const bool both_say = mark.identity != 0 && store.identity != 0;
    if (both_say ? mark.identity == store.identity : (mark.identity == 0 || named) && mark.address == store.address) {
      continue;
    }
    if (mark.identity == 0 || named) return Store::kAnother;
    found = Store::kNotKnown;
  }
  return found;
}

void AbandonedSpool::FindOpenCalls() {
  if (std::exchange(found_open_calls_, true)) return;
  for (File& file : files_) {
    Load(&file);
    SpoolRecord record;
    AuditRow row;
    while (NextRecord(text_, &offset_, &record)) {
      if (record.kind == RecordKind::kIntent && DecodeRecord(record.body, &row)) open_calls_.insert(row.call_id);
    }
  }
  text_.clear();
}

void AbandonedSpool::Load(File* file) {
  offset_ = SpoolSegment::kHeaderBytes;
  text_.clear();
  if (file->unreadable) return;
  if (ReadFile(file->path, SIZE_MAX, &text_)) return;
  log::Error("audit spool: cannot read a segment", {{"file", file->path}});
  file->unreadable = true;
  text_.clear();
}

std::vector<AuditRow> AbandonedSpool::Next(size_t rows_max) {
  FindOpenCalls();
  std::vector<AuditRow> rows;
  while (rows.size() < rows_max) {
    SpoolRecord record;
    AuditRow row;
    if (NextRecord(text_, &offset_, &record)) {
      if (Take(record, &row)) rows.push_back(std::move(row));
      continue;
    }
    if (next_file_ == files_.size()) {
      if (wanted_ == RecordKind::kIntent || open_calls_.empty()) break;
      wanted_ = RecordKind::kIntent;
      next_file_ = 0;
    }
    Load(&files_[next_file_++]);
  }
  return rows;
}

// False if there is nothing to do about this record.
bool AbandonedSpool::Take(const SpoolRecord& record, AuditRow* row) {
  if (record.kind != wanted_) return false;
  if (!DecodeRecord(record.body, row)) {
    log::Error("audit spool: damaged record", {{"file", files_[next_file_ - 1].path}, {"offset", record.offset}});
    return false;
  }
  const bool open = open_calls_.erase(row->call_id) > 0;
  if (record.kind == RecordKind::kRow) return true;
  // An intent beside its row: the process was killed between writing the one and marking the other. An intent that is
  // there twice was being moved.
  row->error = files_[next_file_ - 1].head.lost_reason;
  return open;
}

bool AbandonedSpool::Remove() {
  for (const File& file : files_) {
    if (!file.unreadable) unlink(file.path.c_str());
    if (file.unreadable) rename(file.path.c_str(), (file.path + kUnreadableSuffix).c_str());
  }
  unlink((directory_ + "/" + kForAnyStore).c_str());
  // The lock last: what is left if this is killed is adopted again.
  unlink((directory_ + kLockName).c_str());
  return rmdir(directory_.c_str()) == 0;
}

// --- this process's own ----------------------------------------------------------------------------------------------

AuditSpool::AuditSpool(Options options)
    : options_(std::move(options)), store_(MakeStoreMark(options_.store_address, "")) {}

AuditSpool::~AuditSpool() {
  const bool empty =
      std::all_of(segments_.begin(), segments_.end(), [](const auto& segment) { return segment->live_records() == 0; });
  for (auto* list : {&segments_, &spare_}) {
    for (auto& segment : *list) {
      if (segment->live_records() == 0) segment->DeleteFile();
    }
    list->clear();
  }
  if (lock_ < 0) return;
  if (empty) {
    unlink((directory_ + kLockName).c_str());
    rmdir(directory_.c_str());
  }
  close(lock_);
}

AuditSpool::Record AuditSpool::AddIntent(const AuditIntent& intent, std::string_view call_id) {
  Retired retired;
  MutexLock lock(mu_);
  return AddLocked(RecordKind::kIntent, RecordContent(intent, call_id), &retired);
}

AuditSpool::Spooled AuditSpool::AddRow(const AuditRow& row, Record intent) {
  Retired retired;
  MutexLock lock(mu_);
  const Record record = AddLocked(RecordKind::kRow, RecordContent(row), &retired);
  if (record == 0) return {intent, false};
  if (intent != 0) DoneLocked(intent, &retired);
  return {record, true};
}

AuditRow AuditSpool::Read(Record record) const {
  AuditRow row;
  MutexLock lock(mu_);
  const Slot& slot = slots_[record - 1];
  DecodeRecord(slot.segment->At(slot.offset).body, &row);
  return row;
}

void AuditSpool::Done(const Spooled* records, size_t count) {
  Retired retired;
  MutexLock lock(mu_);
  for (size_t i = 0; i < count; ++i) {
    if (records[i].record != 0) DoneLocked(records[i].record, &retired);
  }
}

AuditSpool::Record AuditSpool::AddLocked(RecordKind kind, const RecordContent& content, Retired* retired) {
  const absl::Status status = MakeRoomLocked(SpoolSegment::RecordBytes(content), retired);
  if (!status.ok()) {
    errors_.fetch_add(1, std::memory_order_relaxed);
    if (!complained_)
      log::Error("audit spool failed, rows wait in memory only", {{"error", std::string(status.message())}});
    complained_ = failed_ = true;
    return 0;
  }
  if (free_records_.empty()) {
    slots_.emplace_back();
    free_records_.push_back(static_cast<Record>(slots_.size()));
  }
  const Record record = free_records_.back();
  free_records_.pop_back();
  SpoolSegment* const segment = segments_.back().get();
  slots_[record - 1] = Slot{segment, segment->Add(kind, record, content)};
  return record;
}

void AuditSpool::DoneLocked(Record record, Retired* retired) {
  Slot& slot = slots_[record - 1];
  SpoolSegment* const segment = std::exchange(slot.segment, nullptr);
  segment->MarkDone(slot.offset);
  free_records_.push_back(record);
  if (segment->live_records() == 0 && segment != segments_.back().get()) RetireLocked(segment, retired);
}

// Makes the last segment one with room.
absl::Status AuditSpool::MakeRoomLocked(size_t record_bytes, Retired* retired) {
  if (!segments_.empty()) {
    if (segments_.back()->HasRoom(record_bytes)) return absl::OkStatus();
    if (segments_.back()->live_records() == 0) RetireLocked(segments_.back().get(), retired);
  }
  const size_t needed = SpoolSegment::kHeaderBytes + record_bytes;
  if (needed <= options_.segment_bytes && !spare_.empty()) {
    segments_.push_back(std::move(spare_.back()));
    spare_.pop_back();
  } else {
    auto made =
        CreateSegmentLocked(needed <= options_.segment_bytes ? options_.segment_bytes
                                                             : (needed + kPageBytes - 1) / kPageBytes * kPageBytes);
    if (!made.ok()) return made.status();
    segments_.push_back(*std::move(made));
  }
  segments_.back()->Restart({++last_number_, options_.lost_reason, store_});
  if (spare_.empty()) MoveOldRecordsLocked(record_bytes, retired);
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<SpoolSegment>> AuditSpool::CreateSegmentLocked(size_t bytes) {
  if (this->bytes() + bytes > options_.bytes_max) return absl::ResourceExhaustedError("the spool is full");
  if (!may_create_) return absl::UnavailableError("it failed a moment ago");
  absl::Status status = MakeDirectoryLocked();
  if (status.ok()) {
    auto made = SpoolSegment::Create(absl::StrCat(directory_, "/", ++last_file_, kSegmentSuffix), bytes);
    if (made.ok()) {
      bytes_.fetch_add(bytes, std::memory_order_relaxed);
      return made;
    }
    status = made.status();
  }
  may_create_ = false;
  return status;
}

absl::Status AuditSpool::MakeDirectoryLocked() {
  if (lock_ >= 0) return absl::OkStatus();
  if (const std::error_code ec = MakePrivateDirectories(options_.directory)) {
    return absl::UnavailableError(absl::StrCat("making ", options_.directory, ": ", ec.message()));
  }
  // A process that looks for dead ones may take the new directory for one, and remove it, before it is locked.
  constexpr int kAttempts = 10;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const std::string name = options_.directory + "/" + RandomHex(kNameChars / 2);
    if (mkdir(name.c_str(), 0700) != 0) return ErrnoStatus("making " + name);
    lock_ = Lock(name);
    if (lock_ >= 0) {
      directory_ = name;
      return absl::OkStatus();
    }
    rmdir(name.c_str());
  }
  return absl::UnavailableError("locking a directory in " + options_.directory);
}

// Frees the segment that the fewest bytes of old records hold on to, by moving these into the current one. It pays
// while they are few; without it, one slow call in each of many segments would fill the spool. Leaves `room`.
void AuditSpool::MoveOldRecordsLocked(size_t room, Retired* retired) {
  if (segments_.size() <= kSegmentsBeforeMoving) return;
  SpoolSegment* const to = segments_.back().get();
  const auto emptiest = std::min_element(segments_.begin(), segments_.end() - 1, [](const auto& a, const auto& b) {
    return a->live_bytes() < b->live_bytes();
  });
  SpoolSegment* const from = emptiest->get();
  if (from->live_bytes() > options_.segment_bytes / 4 || !to->HasRoom(from->live_bytes() + room)) return;
  size_t offset = SpoolSegment::kHeaderBytes;
  SpoolRecord record;
  while (from->live_records() > 0 && NextRecord(from->file(), &offset, &record)) {
    if (record.kind == RecordKind::kDone) continue;
    slots_[record.slot - 1] = Slot{to, to->AddCopy(record)};
    from->MarkDone(record.offset);
  }
  RetireLocked(from, retired);
}

// Takes a segment without records out of use.
void AuditSpool::RetireLocked(SpoolSegment* segment, Retired* retired) {
  const auto found = std::find_if(segments_.begin(), segments_.end(),
                                  [&](const auto& candidate) { return candidate.get() == segment; });
  std::unique_ptr<SpoolSegment> taken = std::move(*found);
  segments_.erase(found);
  if (taken->bytes() == options_.segment_bytes && spare_.size() < kSpareMax) {
    spare_.push_back(std::move(taken));
    return;
  }
  bytes_.fetch_sub(taken->bytes(), std::memory_order_relaxed);
  taken->DeleteFile();
  retired->push_back(std::move(taken));
}

void AuditSpool::NameStore(const std::string& identity) {
  MutexLock lock(mu_);
  store_ = MakeStoreMark(options_.store_address, identity);
  is_named_ = true;
  for (const auto& segment : segments_) segment->Mark(store_);
}

void AuditSpool::TryAgain() {
  Retired retired;
  MutexLock lock(mu_);
  may_create_ = true;
  if (!std::exchange(failed_, false) && std::exchange(complained_, false)) log::Info("audit spool works again");
  ReplaceLostFilesLocked(&retired);
}

// --- files that were removed under this process ----------------------------------------------------------------------

void AuditSpool::ReplaceLostFilesLocked(Retired* retired) {
  if (lock_ < 0 && segments_.empty()) return;
  const bool is_locked = lock_ >= 0 && FileIdOf(lock_) == FileIdOf(directory_ + kLockName);
  std::vector<std::unique_ptr<SpoolSegment>> lost;
  for (auto* list : {&segments_, &spare_}) {
    for (auto& segment : *list) {
      if (is_locked && segment->IsInPlace()) continue;
      bytes_.fetch_sub(segment->bytes(), std::memory_order_relaxed);
      lost.push_back(std::move(segment));
    }
    list->erase(std::remove(list->begin(), list->end(), nullptr), list->end());
  }
  if (is_locked && lost.empty()) return;
  if (!complained_) {
    log::Error("audit spool: files were removed, their records are written again",
               {{"directory", directory_}, {"files", lost.size()}});
  }
  if (!is_locked && lock_ >= 0) {
    // Whoever takes the lock takes this process for dead, so it begins anew.
    close(std::exchange(lock_, -1));
    directory_.clear();
  }
  std::vector<std::unique_ptr<SpoolSegment>> kept;
  for (auto& segment : lost) {
    const absl::Status status = MoveLocked(segment.get(), retired);
    if (status.ok()) {
      segment->DeleteFile();
      retired->push_back(std::move(segment));
      continue;
    }
    // Its memory is still good for this process.
    if (!complained_) log::Error("audit spool failed", {{"error", std::string(status.message())}});
    complained_ = failed_ = true;
    bytes_.fetch_add(segment->bytes(), std::memory_order_relaxed);
    kept.push_back(std::move(segment));
  }
  segments_.insert(segments_.begin(), std::make_move_iterator(kept.begin()), std::make_move_iterator(kept.end()));
}

// Writes the records of a segment that is in no list to the current one, and to more as needed.
absl::Status AuditSpool::MoveLocked(SpoolSegment* from, Retired* retired) {
  size_t offset = SpoolSegment::kHeaderBytes;
  SpoolRecord record;
  while (from->live_records() > 0 && NextRecord(from->file(), &offset, &record)) {
    if (record.kind == RecordKind::kDone) continue;
    if (absl::Status status = MakeRoomLocked(record.bytes, retired); !status.ok()) return status;
    SpoolSegment* const to = segments_.back().get();
    slots_[record.slot - 1] = Slot{to, to->AddCopy(record)};
    from->MarkDone(record.offset);
  }
  return absl::OkStatus();
}

std::unique_ptr<AbandonedSpool> AuditSpool::AdoptOne() {
  StoreMark store;
  bool named = false;
  {
    MutexLock lock(mu_);
    store = store_;
    named = is_named_;
  }
  std::error_code ec;
  const std::filesystem::directory_iterator end;
  for (std::filesystem::directory_iterator at(options_.directory, ec); !ec && at != end; at.increment(ec)) {
    const std::string name = at->path().filename();
    const bool is_released = others_.count(name) > 0 && FileIdOf(at->path() / AbandonedSpool::kForAnyStore);
    if (!IsSpoolName(name) || (seen_.count(name) > 0 && !is_released)) continue;
    auto spool = AbandonedSpool::TakeOver(at->path());
    if (spool == nullptr) continue;
    const AbandonedSpool::Store meant_for = spool->For(store, named);
    if (meant_for == AbandonedSpool::Store::kNotKnown) continue;  // Until this one has said what it is.
    seen_.insert(name);
    others_.erase(name);
    if (spool->has_only_others()) continue;
    if (meant_for == AbandonedSpool::Store::kSame) return spool;
    others_.insert(name);
    log::Error("audit spool of another store is left alone",
               {{"spool", spool->directory()},
                {"do", absl::StrCat("start a process with that store, or make the file ", AbandonedSpool::kForAnyStore,
                                    " in it to have its rows written to this one")}});
  }
  return nullptr;
}

}  // namespace toolwire
