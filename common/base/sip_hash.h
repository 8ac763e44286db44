// SipHash-2-4: a hash that nobody can make collide who does not know the key.
#ifndef TOOLWIRE_COMMON_BASE_SIP_HASH_H_
#define TOOLWIRE_COMMON_BASE_SIP_HASH_H_

#include <cstdint>
#include <cstring>
#include <random>
#include <string_view>

namespace toolwire {

struct SipKey {
  uint64_t k0 = 0;
  uint64_t k1 = 0;
  static SipKey Random() {
    std::random_device random;
    const auto word = [&] { return (uint64_t{random()} << 32) | random(); };
    return {word(), word()};
  }
};

inline uint64_t SipHash(const SipKey& key, std::string_view text) {
  uint64_t v0 = key.k0 ^ 0x736f6d6570736575, v1 = key.k1 ^ 0x646f72616e646f6d;
  uint64_t v2 = key.k0 ^ 0x6c7967656e657261, v3 = key.k1 ^ 0x7465646279746573;
  const auto left = [](uint64_t word, int bits) { return (word << bits) | (word >> (64 - bits)); };
  const auto rounds = [&](int count) {
    for (; count > 0; --count) {
      v0 += v1;
      v1 = left(v1, 13) ^ v0;
      v0 = left(v0, 32);
      v2 += v3;
      v3 = left(v3, 16) ^ v2;
      v0 += v3;
      v3 = left(v3, 21) ^ v0;
      v2 += v1;
      v1 = left(v1, 17) ^ v2;
      v2 = left(v2, 32);
    }
  };
  const auto take = [&](uint64_t word) {
    v3 ^= word;
    rounds(2);
    v0 ^= word;
  };
  size_t at = 0;
  for (; at + 8 <= text.size(); at += 8) {
    uint64_t word;
    std::memcpy(&word, text.data() + at, 8);  // Little-endian, as all machines that this runs on.
    take(word);
  }
  uint64_t last = static_cast<uint64_t>(text.size()) << 56;
  for (size_t i = 0; at + i < text.size(); ++i) last |= uint64_t{static_cast<unsigned char>(text[at + i])} << (8 * i);
  take(last);
  v2 ^= 0xff;
  rounds(4);
  return v0 ^ v1 ^ v2 ^ v3;
}

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_BASE_SIP_HASH_H_
