#include "common/base/private_directory.h"

#include <sys/stat.h>

#include <cerrno>
#include <filesystem>

namespace toolwire {

std::error_code MakePrivateDirectories(const std::string& path) {
  std::filesystem::path made;
  for (const std::filesystem::path& part : std::filesystem::path(path)) {
    made /= part;
    struct stat there {};
    if (part.empty() || stat(made.c_str(), &there) == 0) continue;  // Also what is no directory: the next step says so.
    // Another process may make it at the same time.
    if (mkdir(made.c_str(), 0700) != 0 && errno != EEXIST) return {errno, std::generic_category()};
  }
  struct stat last {};
  if (stat(path.c_str(), &last) != 0) return {errno, std::generic_category()};
  return S_ISDIR(last.st_mode) ? std::error_code() : std::make_error_code(std::errc::not_a_directory);
}

}  // namespace toolwire
