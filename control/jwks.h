// The public keys that callers' JSON Web Tokens are signed with, and the file that holds them (RFC 7517). No I/O.
#ifndef TOOLWIRE_CONTROL_JWKS_H_
#define TOOLWIRE_CONTROL_JWKS_H_

#include <atomic>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

struct evp_pkey_st;

namespace toolwire {

// How a token is signed. No other ways are known, so that none can be asked for.
enum class JwtAlgorithm { kRs256, kEs256 };
// The algorithm of this name, as in a token's or key's `alg`.
std::optional<JwtAlgorithm> ReadJwtAlgorithm(std::string_view name);

inline constexpr size_t kKeyIdBytesMax = 256;

// One key, for one algorithm. Thread-safe.
class SigningKey {
 public:
  SigningKey(std::string kid, JwtAlgorithm algorithm, std::shared_ptr<evp_pkey_st> key)
      : kid(std::move(kid)), algorithm(algorithm), key_(std::move(key)) {}

  // Whether the key signed this text. 20 us with RSA, 65 us with ECDSA.
  bool Verify(std::string_view text, std::string_view signature) const;
  // The same id, algorithm and key.
  bool Equals(const SigningKey& other) const;

  const std::string kid;
  const JwtAlgorithm algorithm;
  // The key is gone: whoever was admitted by a token of it may not do anything any more.
  const std::shared_ptr<std::atomic<bool>> removed = std::make_shared<std::atomic<bool>>(false);

 private:
  const std::shared_ptr<evp_pkey_st> key_;
};

// Those of issuers take 1 to 20 kB.
inline constexpr size_t kJwksBytesMax = 256u << 10;
// Issuers have two or three, and sets of many tenants some dozens.
inline constexpr size_t kJwksKeysMax = 100;
// Larger ones are skipped: their signatures take a millisecond to check.
inline constexpr int kRsaBitsMin = 2048, kRsaBitsMax = 8192;

struct Jwks {
  std::vector<std::shared_ptr<SigningKey>> keys;  // One at least, each with an id of its own.
  std::vector<std::string> skipped;               // Why others of the file are not used, with their numbers from 1.
};
// Reads a file. Keys that sign nothing for us are skipped: those of another kind, algorithm or use, without an id, and
// RSA keys that are too short or too long. INVALID_ARGUMENT: it is no JWKS, none of its keys can be used, a key that
// could be is not complete or not valid, two have the same id, or one is a private key. Never with what it holds.
absl::StatusOr<Jwks> ParseJwks(std::string_view file);

}  // namespace toolwire

#endif  // TOOLWIRE_CONTROL_JWKS_H_
