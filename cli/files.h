// Files that commands make: certificates, keys, tokens.
#ifndef TOOLWIRE_CLI_FILES_H_
#define TOOLWIRE_CLI_FILES_H_

#include <sys/types.h>

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace toolwire {

struct FileToWrite {
  std::string path;
  std::string content;
  mode_t mode;
};

// Each blocks on the file system. UNAVAILABLE, with the path and the system's reason.

// For this user alone, with those above it, if they are missing. One that is there stays as it is.
absl::Status MakePrivateDirectory(const std::string& path);
// Each file appears whole, by a rename, in place of one that is there. None does before all are on the disk: one that
// is full leaves what there was.
absl::Status WriteWhole(const std::vector<FileToWrite>& files);

// A file of mode 0600 that appears whole, in place of `path`, when Commit is called, and not at all if that is not.
class NewFile {
 public:
  // In the directory of `path`, or of what that is a link to, with room for so many bytes.
  static absl::StatusOr<std::unique_ptr<NewFile>> Make(const std::string& path, size_t bytes);
  // Removes what was written, unless Commit has succeeded or Keep was called.
  ~NewFile();
  NewFile(const NewFile&) = delete;
  NewFile& operator=(const NewFile&) = delete;

  absl::Status Write(std::string_view text);
  absl::Status Commit();
  // What was written stays, under this name.
  const std::string& Keep();

 private:
  NewFile(std::string path, std::string part, int fd) : path_(std::move(path)), part_(std::move(part)), fd_(fd) {}

  const std::string path_;
  const std::string part_;
  int fd_;
  bool stays_ = false;
};

// Only one process at a time is in the directory, until this ends. Waits.
class DirectoryLock {
 public:
  explicit DirectoryLock(const std::string& path);
  ~DirectoryLock();
  DirectoryLock(const DirectoryLock&) = delete;
  DirectoryLock& operator=(const DirectoryLock&) = delete;
  // Whether it is locked.
  const absl::Status& status() const { return status_; }

 private:
  const int fd_;
  absl::Status status_;
};

}  // namespace toolwire

#endif  // TOOLWIRE_CLI_FILES_H_
