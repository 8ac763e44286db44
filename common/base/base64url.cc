#include "common/base/base64url.h"

#include <array>
#include <cstdint>

namespace toolwire {
namespace {

constexpr uint8_t kNone = 64;

constexpr std::array<uint8_t, 256> Values() {
  std::array<uint8_t, 256> values{};
  for (uint8_t& value : values) value = kNone;
  constexpr char kAlphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  for (uint8_t i = 0; i < kNone; ++i) values[static_cast<uint8_t>(kAlphabet[i])] = i;
  return values;
}
constexpr std::array<uint8_t, 256> kValues = Values();

}  // namespace

bool DecodeBase64Url(std::string_view text, std::string* bytes) {
  bytes->clear();
  bytes->reserve(text.size() / 4 * 3 + 2);
  uint32_t bits = 0;
  int count = 0;  // Of the low bits of `bits` that are no part of a byte yet.
  for (const char c : text) {
    const uint8_t value = kValues[static_cast<uint8_t>(c)];
    if (value == kNone) {
      bytes->clear();
      return false;
    }
    bits = (bits << 6 | value) & 0xffff;
    count += 6;
    if (count < 8) continue;
    count -= 8;
    bytes->push_back(static_cast<char>(bits >> count & 0xff));
  }
  // Six bits left over: a character that begins no byte.
  if (count != 6 && (bits & ((1u << count) - 1)) == 0) return true;
  bytes->clear();
  return false;
}

}  // namespace toolwire
