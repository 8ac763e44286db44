// SHA-256, by libcrypto.
#ifndef TOOLWIRE_COMMON_BASE_SHA256_H_
#define TOOLWIRE_COMMON_BASE_SHA256_H_

#include <array>
#include <cstdint>
#include <string_view>

namespace toolwire {

using Sha256Digest = std::array<uint8_t, 32>;

// Under 1 us for a secret. Ends the process if libcrypto fails: without its hash no secret can be checked.
Sha256Digest Sha256(std::string_view text);

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_BASE_SHA256_H_
