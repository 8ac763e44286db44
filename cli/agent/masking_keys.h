// What masks the frames of a WebSocket client: 32 bits that cannot be guessed, for each frame.
#ifndef TOOLWIRE_CLI_AGENT_MASKING_KEYS_H_
#define TOOLWIRE_CLI_AGENT_MASKING_KEYS_H_

#include <sys/random.h>
#include <sys/types.h>

#include <array>
#include <cstddef>
#include <cstdint>

namespace toolwire {

// Not thread-safe. The system's generator is asked for many at once: a system call for each frame would cost as much as
// the rest of the frame.
class MaskingKeys {
 public:
  uint32_t operator()() {
    if (next_ == keys_.size()) Refill();
    return keys_[next_++];
  }

 private:
  void Refill() {
    auto* bytes = reinterpret_cast<char*>(keys_.data());
    for (size_t filled = 0; filled < sizeof(keys_);) {
      const ssize_t got = getrandom(bytes + filled, sizeof(keys_) - filled, 0);
      if (got > 0) filled += static_cast<size_t>(got);
    }
    next_ = 0;
  }

  std::array<uint32_t, 256> keys_{};
  size_t next_ = keys_.size();
};

}  // namespace toolwire

#endif  // TOOLWIRE_CLI_AGENT_MASKING_KEYS_H_
