// The files that say who may call, and their changes: callers' tokens, and the keys that sign them.
#ifndef TOOLWIRE_CONTROL_TOKENS_FILE_H_
#define TOOLWIRE_CONTROL_TOKENS_FILE_H_

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "common/base/counter.h"
#include "common/base/watched_file.h"
#include "control/caller_auth.h"

namespace toolwire {

// Blocks on the file system.
class TokensFile {
 public:
  // Where the content goes.
  struct Reader {
    const char *what, *taken, *refused;  // What log lines call it, and two of them.
    size_t bytes_max;
    // Takes the content whole or not at all, and counts if it does not.
    std::function<absl::Status(std::string_view content)> take;
    std::function<size_t()> count;  // How many there are by now.
    Counter* not_taken;             // For a file that cannot be read.
  };
  static Reader TokensOf(CallerAuth& auth);
  static Reader KeysOf(JwtAuth& auth);

  TokensFile(std::string path, Reader reader) : file_(std::move(path), reader.bytes_max), reader_(std::move(reader)) {}

  // What there is when the process starts. An error, with the path: it must not start.
  absl::Status Load();
  // Call every second. True if another content was taken. A change counts at the second look that finds the same, so
  // that whoever writes the file in place can finish it, or at once if somebody says that it is there (`now`). A file
  // that is not valid, or gone, is logged once and counted; what there was before stays.
  bool Look(bool now);

 private:
  absl::Status Take(std::string_view content);

  WatchedFile file_;
  const Reader reader_;
  std::string seen_;                    // Of which content, or error, the last word was.
  std::optional<std::string> changed_;  // Another one, seen once.
};

}  // namespace toolwire

#endif  // TOOLWIRE_CONTROL_TOKENS_FILE_H_
