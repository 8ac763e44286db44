// Secrets: how they are made, stored, compared and revoked.
#ifndef TOOLWIRE_COMMON_STORE_SECRET_H_
#define TOOLWIRE_COMMON_STORE_SECRET_H_

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace toolwire {

// The text that is stored in place of a secret: `sha256:` and 64 hex digits.
std::string HashSecret(const std::string& secret);

// A new secret: 32 bytes of the system's randomness as 64 hex digits.
std::string MakeSecret();

// What is stored in place of a secret that was revoked: this prefix and 64 random hex digits, as the column wants
// values that differ.
inline constexpr std::string_view kRevokedPrefix = "revoked:";
std::string MakeRevokedSecret();

// Whether `presented` is the secret that `stored` stands for (plain or `sha256:<hex>`), in constant time. An empty
// secret matches nothing; nothing matches a `sha256:` without 64 hex digits, or what was revoked.
bool SecretMatches(const std::string& presented, const std::string& stored);

// The first half of a secret's SHA-256: what a session keeps of the secret that it was opened with. Enough to see
// whether the same one is stored later, and of no use to log in. All zeros: not known.
using SecretDigest = std::array<uint8_t, 16>;
SecretDigest DigestOfSecret(const std::string& secret);

// Whether `stored` stands for a secret with this digest; nothing that was revoked does.
bool DigestMatches(const SecretDigest& digest, const std::string& stored);

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_STORE_SECRET_H_
