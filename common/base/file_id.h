// Which file a path or a descriptor leads to.
#ifndef TOOLWIRE_COMMON_BASE_FILE_ID_H_
#define TOOLWIRE_COMMON_BASE_FILE_ID_H_

#include <sys/types.h>

#include <optional>
#include <string>

namespace toolwire {

// What stays of a file when it is renamed, and differs when another takes its name.
struct FileId {
  dev_t device = 0;
  ino_t inode = 0;

  bool operator==(const FileId& other) const { return device == other.device && inode == other.inode; }
};

// Nothing if there is none, or it cannot be seen; errno says why.
std::optional<FileId> FileIdOf(const std::string& path);
std::optional<FileId> FileIdOf(int descriptor);

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_BASE_FILE_ID_H_
