// The secrets that an agent knows, and files with one of them in it.
#ifndef TOOLWIRE_CLI_AGENT_SECRET_TEXTS_H_
#define TOOLWIRE_CLI_AGENT_SECRET_TEXTS_H_

#include <bitset>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"

namespace toolwire {

// Unchanging once made: may be asked from any thread.
class SecretTexts {
 public:
  // A shorter text may be part of any file, and is none.
  static constexpr size_t kBytesMin = 16;

  SecretTexts() = default;
  explicit SecretTexts(const std::vector<std::string>& texts);

  // Whether one of them is in it. Takes some ms for 12 MiB, however many there are.
  bool AreIn(std::string_view content) const;

 private:
  using Start = uint64_t;  // The first bytes of a text.
  static constexpr size_t kMayStart = 1u << 16;

  absl::flat_hash_map<Start, std::vector<std::string>> texts_;
  std::bitset<kMayStart> may_start_;  // By a hash of the first bytes: few of a file's are in it.
};

}  // namespace toolwire

#endif  // TOOLWIRE_CLI_AGENT_SECRET_TEXTS_H_
