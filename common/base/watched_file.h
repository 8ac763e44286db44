// A file that is read again when somebody has changed it: certificates, keys, tokens.
#ifndef TOOLWIRE_COMMON_BASE_WATCHED_FILE_H_
#define TOOLWIRE_COMMON_BASE_WATCHED_FILE_H_

#include <sys/stat.h>

#include <cstddef>
#include <string>
#include <utility>

#include "absl/status/statusor.h"

namespace toolwire {

// How often whoever watches files looks at them. No notification is waited for: of a Kubernetes Secret the directory is
// swapped by a symbolic link, of which a watch on the file hears nothing, and network file systems send none.
inline constexpr int kLookAtFilesEverySeconds = 1;

// The path is followed through symbolic links each time. Keeps nothing of the content, which may be secret. Reads block
// on the file system.
class WatchedFile {
 public:
  // A file over `bytes_max` is an error: nobody's key is so long, and a mistaken path must not fill memory.
  explicit WatchedFile(std::string path, size_t bytes_max = 1u << 20) : path_(std::move(path)), bytes_max_(bytes_max) {}

  // The content now. NOT_FOUND, FAILED_PRECONDITION (no regular file, too large) or UNAVAILABLE, with the path and the
  // system's reason.
  absl::StatusOr<std::string> Read();
  // Whether Read could open it, as far as that is known without reading: errors as of that.
  absl::Status CanBeRead() const;
  // Whether the content may differ from that of the last Read: another file, size or time, or that Read failed, or came
  // so soon after a change that the next one might have the same time.
  bool MayHaveChanged() const;

  const std::string& path() const { return path_; }

 private:
  const std::string path_;
  const size_t bytes_max_;
  bool settled_ = false;  // `seen_` tells this content from every later one.
  struct stat seen_ {};
};

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_BASE_WATCHED_FILE_H_
