// A file's identity is its device, inode, size, and times of change. Times are as coarse as the kernel's tick, or a
// second on some file systems: a file that had changed within two seconds before it was read is read again.
#include "common/base/watched_file.h"

#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "absl/strings/str_cat.h"

namespace toolwire {
namespace {

constexpr time_t kTimesAreCoarse = 2;  // Seconds.

bool SameTime(const timespec& one, const timespec& other) {
  return one.tv_sec == other.tv_sec && one.tv_nsec == other.tv_nsec;
}

bool SameFile(const struct stat& one, const struct stat& other) {
  return one.st_dev == other.st_dev && one.st_ino == other.st_ino && one.st_size == other.st_size &&
         SameTime(one.st_mtim, other.st_mtim) && SameTime(one.st_ctim, other.st_ctim);
}

absl::Status Failed(const std::string& path, int error) {
  const std::string message = absl::StrCat("cannot read ", path, ": ", std::generic_category().message(error));
  return error == ENOENT ? absl::NotFoundError(message) : absl::UnavailableError(message);
}

absl::Status NoRegularFile(const std::string& path) {
  return absl::FailedPreconditionError(absl::StrCat(path, " is no regular file"));
}

// Closes it.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  const int fd_;
};

}  // namespace

absl::StatusOr<std::string> WatchedFile::Read() {
  settled_ = false;
  // Not to wait for whoever writes, should it be a pipe.
  const Descriptor file(open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (file.get() < 0 || fstat(file.get(), &seen_) != 0) return Failed(path_, errno);
  if (!S_ISREG(seen_.st_mode)) return NoRegularFile(path_);
  std::string content;
  while (content.size() <= bytes_max_) {
    char part[4096];
    const ssize_t got = read(file.get(), part, sizeof part);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Failed(path_, errno);
    if (got == 0) {
      const time_t changed = seen_.st_ctim.tv_sec > seen_.st_mtim.tv_sec ? seen_.st_ctim.tv_sec : seen_.st_mtim.tv_sec;
      settled_ = time(nullptr) - changed >= kTimesAreCoarse;
      return content;
    }
    content.append(part, static_cast<size_t>(got));
  }
  return absl::FailedPreconditionError(absl::StrCat(path_, " is larger than ", bytes_max_, " bytes"));
}

absl::Status WatchedFile::CanBeRead() const {
  const Descriptor file(open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  struct stat found {};
  if (file.get() < 0 || fstat(file.get(), &found) != 0) return Failed(path_, errno);
  return S_ISREG(found.st_mode) ? absl::OkStatus() : NoRegularFile(path_);
}

bool WatchedFile::MayHaveChanged() const {
  struct stat now {};
  return !settled_ || stat(path_.c_str(), &now) != 0 || !SameFile(seen_, now);
}

}  // namespace toolwire
