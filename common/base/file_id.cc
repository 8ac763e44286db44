#include "common/base/file_id.h"

#include <sys/stat.h>

namespace toolwire {

std::optional<FileId> FileIdOf(const std::string& path) {
  struct stat file {};
  if (stat(path.c_str(), &file) != 0) return std::nullopt;
  return FileId{file.st_dev, file.st_ino};
}

std::optional<FileId> FileIdOf(int descriptor) {
  struct stat file {};
  if (fstat(descriptor, &file) != 0) return std::nullopt;
  return FileId{file.st_dev, file.st_ino};
}

}  // namespace toolwire
