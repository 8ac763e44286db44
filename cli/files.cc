#include "cli/files.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "common/base/private_directory.h"

namespace toolwire {
namespace {

absl::Status Failed(const char* what, const std::string& path, std::error_code error) {
  return absl::UnavailableError(absl::StrCat("cannot ", what, " ", path, ": ", error.message()));
}

std::error_code LastError() { return {errno, std::generic_category()}; }

std::string PartOf(const FileToWrite& file) { return file.path + ".part"; }

absl::Status WriteAll(int fd, std::string_view text, const std::string& path) {
  while (!text.empty()) {
    const ssize_t got = write(fd, text.data(), text.size());
    if (got < 0 && errno != EINTR) return Failed("write", path, LastError());
    text.remove_prefix(static_cast<size_t>(std::max<ssize_t>(got, 0)));
  }
  return absl::OkStatus();
}

absl::Status WritePart(const FileToWrite& file) {
  const std::string part = PartOf(file);
  unlink(part.c_str());
  const int fd = open(part.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, file.mode);
  if (fd < 0) return Failed("write", part, LastError());
  absl::Status status = WriteAll(fd, file.content, part);
  // Some file systems find out here that there is no room.
  if (status.ok() && (fchmod(fd, file.mode) != 0 || fsync(fd) != 0)) status = Failed("write", part, LastError());
  if (close(fd) != 0 && status.ok()) status = Failed("write", part, LastError());
  return status;
}

}  // namespace

absl::Status MakePrivateDirectory(const std::string& path) {
  const std::error_code error = MakePrivateDirectories(path);
  return error ? Failed("make", path, error) : absl::OkStatus();
}

absl::Status WriteWhole(const std::vector<FileToWrite>& files) {
  absl::Status status;
  for (size_t i = 0; i < files.size() && status.ok(); ++i) status = WritePart(files[i]);
  for (size_t i = 0; i < files.size() && status.ok(); ++i) {
    if (rename(PartOf(files[i]).c_str(), files[i].path.c_str()) != 0) {
      status = Failed("write", files[i].path, LastError());
    }
  }
  if (status.ok()) return status;
  for (const FileToWrite& file : files) unlink(PartOf(file).c_str());
  return status;
}

absl::StatusOr<std::unique_ptr<NewFile>> NewFile::Make(const std::string& path, size_t bytes) {
  std::error_code ignored;
  const std::filesystem::path real = std::filesystem::canonical(path, ignored);  // Empty if it is not there yet.
  const std::string place = real.empty() ? path : real.string();
  std::string part = place + ".XXXXXX";
  const int fd = mkostemp(part.data(), O_CLOEXEC);
  if (fd < 0) return Failed("write", place, LastError());
  std::unique_ptr<NewFile> file(new NewFile(place, part, fd));
  // A file system that cannot reserve is tried as it is.
  if (bytes > 0 && fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, static_cast<off_t>(bytes)) != 0 && errno != EOPNOTSUPP &&
      errno != ENOSYS) {
    return Failed("write", place, LastError());
  }
  return file;
}

NewFile::~NewFile() {
  if (fd_ >= 0) close(fd_);
  if (!stays_) unlink(part_.c_str());
}

absl::Status NewFile::Write(std::string_view text) { return WriteAll(fd_, text, path_); }

absl::Status NewFile::Commit() {
  if (fsync(fd_) != 0) return Failed("write", path_, LastError());
  if (close(std::exchange(fd_, -1)) != 0) return Failed("write", path_, LastError());
  if (rename(part_.c_str(), path_.c_str()) != 0) return Failed("write", path_, LastError());
  stays_ = true;
  return absl::OkStatus();
}

const std::string& NewFile::Keep() {
  stays_ = true;
  return part_;
}

DirectoryLock::DirectoryLock(const std::string& path) : fd_(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
  if (fd_ < 0 || flock(fd_, LOCK_EX) != 0) status_ = Failed("lock", path, LastError());
}

DirectoryLock::~DirectoryLock() {
  if (fd_ >= 0) close(fd_);
}

}  // namespace toolwire
