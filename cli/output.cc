#include "cli/output.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <iostream>
#include <string>
#include <system_error>

#include "absl/strings/str_cat.h"

namespace toolwire {
namespace {

std::string ErrnoText(int error) { return std::generic_category().message(error); }

// As if SIGPIPE had not been ignored: no library's clean-up, and no word.
void EndAsBySigpipe() {
  signal(SIGPIPE, SIG_DFL);
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGPIPE);
  pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
  raise(SIGPIPE);
}

}  // namespace

bool IsInherited(int fd) {
  const int flags = fcntl(fd, F_GETFD);
  return flags >= 0 && (flags & FD_CLOEXEC) == 0;
}

Output::Output() : before_(std::cout.rdbuf()) {
  while (true) {
    const int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (fd > STDERR_FILENO) close(fd);
    if (fd < 0 || fd > STDERR_FILENO) break;
  }
  if (!IsInherited(STDOUT_FILENO)) error_ = EBADF;
  signal(SIGPIPE, SIG_IGN);  // Who has to say more than End does sees the error.
  setp(buffer_.data(), buffer_.data() + buffer_.size());
  std::cout.rdbuf(this);
  if (isatty(STDOUT_FILENO)) std::cout << std::unitbuf;  // Whoever looks on sees each line when it is there.
}

Output::~Output() { std::cout.rdbuf(before_); }

Output::int_type Output::overflow(int_type c) {
  if (sync() != 0) return traits_type::eof();
  if (!traits_type::eq_int_type(c, traits_type::eof())) {
    *pptr() = traits_type::to_char_type(c);
    pbump(1);
  }
  return traits_type::not_eof(c);
}

int Output::sync() {
  const char* next = pbase();
  while (next < pptr() && error_ == 0) {
    const ssize_t written = write(STDOUT_FILENO, next, static_cast<size_t>(pptr() - next));
    if (written >= 0) {
      next += written;
    } else if (errno == EAGAIN) {
      pollfd ready = {STDOUT_FILENO, POLLOUT, 0};  // Someone else has made it non-blocking.
      poll(&ready, 1, -1);
    } else if (errno != EINTR) {
      error_ = errno;
    }
  }
  setp(buffer_.data(), buffer_.data() + buffer_.size());
  return error_ == 0 ? 0 : -1;
}

int Output::End(int status) {
  sync();
  if (error_ == 0) return status;
  if (error_ == EPIPE) EndAsBySigpipe();
  std::cerr << "toolwire: the output could not be written: " << ErrnoText(error_) << "\n";
  return status == 0 ? 1 : status;
}

absl::Status CheckOutput(size_t bytes) {
  const auto lost = [](int error) {
    return absl::InternalError(
        absl::StrCat("standard output cannot be written, and nothing was changed: ", ErrnoText(error)));
  };
  struct stat seen {};
  if (!IsInherited(STDOUT_FILENO)) return lost(EBADF);
  if (fstat(STDOUT_FILENO, &seen) != 0) return lost(errno);
  pollfd output = {STDOUT_FILENO, 0, 0};
  poll(&output, 1, 0);
  if ((output.revents & (POLLERR | POLLHUP)) != 0) return lost(EPIPE);
  // Of a socket it would be a message. A device that takes nothing, as one that is always full, says so for no bytes.
  if (!S_ISSOCK(seen.st_mode) && write(STDOUT_FILENO, "", 0) != 0) return lost(errno);
  if (!S_ISREG(seen.st_mode)) return absl::OkStatus();
  const bool at_end = (fcntl(STDOUT_FILENO, F_GETFL) & O_APPEND) != 0;
  const off_t at = at_end ? seen.st_size : std::max<off_t>(lseek(STDOUT_FILENO, 0, SEEK_CUR), 0);
  // Without room for it the file would stay empty. A file system that cannot reserve is tried as it is.
  if (fallocate(STDOUT_FILENO, FALLOC_FL_KEEP_SIZE, at, static_cast<off_t>(bytes)) != 0 &&
      (errno == ENOSPC || errno == EDQUOT || errno == EFBIG || errno == EIO)) {
    return lost(errno);
  }
  return absl::OkStatus();
}

bool SyncOutput() {
  if (!std::cout.flush()) return false;
  struct stat seen {};
  if (fstat(STDOUT_FILENO, &seen) != 0 || !S_ISREG(seen.st_mode)) return true;
  // What a file system cannot do is no loss.
  return fsync(STDOUT_FILENO) == 0 || errno == EINVAL || errno == EROFS || errno == ENOSYS;
}

}  // namespace toolwire
