// A stored secret has one of three forms: plain text, `sha256:` and the hex digits of its SHA-256, or `revoked:` and
// random digits. What is presented is hashed and compared as hex digits, so that every comparison has one length.
#include "common/store/secret.h"

#include <openssl/crypto.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "common/base/random_hex.h"
#include "common/base/sha256.h"

namespace toolwire {
namespace {

constexpr std::string_view kHashPrefix = "sha256:";
constexpr size_t kDigestBytes = 32;
constexpr size_t kDigits = 2 * kDigestBytes;

// The SHA-256 of `text` as hex digits.
std::string HexDigest(std::string_view text) {
  const Sha256Digest digest = Sha256(text);
  return absl::BytesToHexString({reinterpret_cast<const char*>(digest.data()), digest.size()});
}

// Whether these are the first digits of the hash that `stored` stands for.
bool DigitsMatch(const std::string& digits, const std::string& stored) {
  // Both forms of `stored` take both ways, so that the time does not show which form a user has.
  const std::string of_stored = HexDigest(stored);
  std::string last_digits = absl::AsciiStrToLower(stored.substr(stored.size() - std::min(stored.size(), kDigits)));
  last_digits.resize(kDigits);
  const bool hashed = stored.compare(0, kHashPrefix.size(), kHashPrefix) == 0;
  const bool revoked = stored.compare(0, kRevokedPrefix.size(), kRevokedPrefix) == 0;
  const bool well_formed = !hashed || stored.size() == kHashPrefix.size() + kDigits;
  const std::string& expected = hashed ? last_digits : of_stored;
  const bool equal = CRYPTO_memcmp(digits.data(), expected.data(), digits.size()) == 0;
  return equal & well_formed & !revoked & !stored.empty();
}

}  // namespace

std::string HashSecret(const std::string& secret) { return std::string(kHashPrefix) + HexDigest(secret); }

std::string MakeSecret() { return RandomHex(kDigestBytes); }

std::string MakeRevokedSecret() { return std::string(kRevokedPrefix) + MakeSecret(); }

SecretDigest DigestOfSecret(const std::string& secret) {
  const Sha256Digest whole = Sha256(secret);
  SecretDigest digest;
  std::copy_n(whole.begin(), digest.size(), digest.begin());
  return digest;
}

bool DigestMatches(const SecretDigest& digest, const std::string& stored) {
  const std::string digits = absl::BytesToHexString({reinterpret_cast<const char*>(digest.data()), digest.size()});
  return DigitsMatch(digits, stored);
}

bool SecretMatches(const std::string& presented, const std::string& stored) {
  return DigitsMatch(HexDigest(presented), stored) & !presented.empty();
}

}  // namespace toolwire
