#include "common/base/sha256.h"

#include <openssl/evp.h>

#include <cstdlib>

#include "common/base/log.h"

namespace toolwire {

Sha256Digest Sha256(std::string_view text) {
  // Fetched once: looking an algorithm up costs more than hashing a secret. Never freed, as threads may still hash
  // while the process exits.
  static const EVP_MD* const sha256 = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  Sha256Digest digest{};
  if (sha256 == nullptr || EVP_Digest(text.data(), text.size(), digest.data(), nullptr, sha256, nullptr) != 1) {
    // There is no lesser way to go on.
    log::Error("libcrypto failed", {{"operation", "SHA-256"}});
    std::abort();
  }
  return digest;
}

}  // namespace toolwire
