// A stored secret has one of three forms: plain text, `sha256:` and the hex digits of its SHA-256, or `revoked:` and
// random digits. What is presented is hashed and compared as hex digits, so that every comparison has one length.
#include "common/store/secret.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <algorithm>
#include <cstdlib>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "common/base/log.h"
#include "common/base/random_hex.h"

namespace toolwire {
namespace {

constexpr std::string_view kHashPrefix = "sha256:";
constexpr size_t kDigestBytes = 32;
constexpr size_t kDigits = 2 * kDigestBytes;

// The SHA-256 of `text` as hex digits.
std::string HexDigest(std::string_view text) {
  // Fetched once: looking an algorithm up costs more than hashing a secret. Never freed, as threads may still hash
  // while the process exits.
  static const EVP_MD* const sha256 = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  std::string digest(kDigestBytes, '\0');
  auto* const bytes = reinterpret_cast<unsigned char*>(digest.data());
  if (sha256 == nullptr || EVP_Digest(text.data(), text.size(), bytes, nullptr, sha256, nullptr) != 1) {
    // Without its hash the process cannot check any secret; there is no lesser way to go on.
    log::Error("libcrypto failed", {{"operation", "SHA-256"}});
    std::abort();
  }
  return absl::BytesToHexString(digest);
}

}  // namespace

std::string HashSecret(const std::string& secret) { return std::string(kHashPrefix) + HexDigest(secret); }

std::string MakeSecret() { return RandomHex(kDigestBytes); }

std::string MakeRevokedSecret() { return std::string(kRevokedPrefix) + MakeSecret(); }

bool SecretMatches(const std::string& presented, const std::string& stored) {
  // Both forms of `stored` take both ways, so that the time does not show which form a user has.
  const std::string of_presented = HexDigest(presented);
  const std::string of_stored = HexDigest(stored);
  std::string last_digits = absl::AsciiStrToLower(stored.substr(stored.size() - std::min(stored.size(), kDigits)));
  last_digits.resize(kDigits);
  const bool hashed = stored.compare(0, kHashPrefix.size(), kHashPrefix) == 0;
  const bool revoked = stored.compare(0, kRevokedPrefix.size(), kRevokedPrefix) == 0;
  const bool well_formed = !hashed || stored.size() == kHashPrefix.size() + kDigits;
  const std::string& expected = hashed ? last_digits : of_stored;
  const bool equal = CRYPTO_memcmp(of_presented.data(), expected.data(), kDigits) == 0;
  return equal & well_formed & !revoked & !presented.empty() & !stored.empty();
}

}  // namespace toolwire
