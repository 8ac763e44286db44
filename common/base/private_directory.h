// Directories that hold secrets.
#ifndef TOOLWIRE_COMMON_BASE_PRIVATE_DIRECTORY_H_
#define TOOLWIRE_COMMON_BASE_PRIVATE_DIRECTORY_H_

#include <string>
#include <system_error>

namespace toolwire {

// Makes the directory and those above it, as far as they are missing, each for this user alone whatever the umask: who
// may write to one above it could put another in its place. What is there stays as it is. Blocks on the file system.
std::error_code MakePrivateDirectories(const std::string& path);

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_BASE_PRIVATE_DIRECTORY_H_
