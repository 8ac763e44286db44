// JSON Web Tokens of callers (RFC 7515, 7519): their form, and what their claims allow. No I/O, no time, no keys.
#ifndef TOOLWIRE_CONTROL_JWT_H_
#define TOOLWIRE_CONTROL_JWT_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "common/base/clock.h"
#include "control/jwks.h"
#include "control/tokens.h"
#include "control/user_bound.h"

namespace toolwire {

// A larger one is not read. Those of directories that list a person's groups come close to it.
inline constexpr size_t kJwtBytesMax = 16u << 10;
// Of its header, in base64url: it names an algorithm, a key and perhaps a type.
inline constexpr size_t kJwtHeaderBytesMax = 2u << 10;

// What a token's claims must be, and what they mean here.
struct JwtRules {
  std::string issuer, audience;               // Of `iss` and `aud`.
  std::string scope_claim = "scope";          // Words in a text with spaces between, or an array of words.
  std::string scope_prefix = "toolwire:";     // Words that begin so, and go on with a scope or kAnyUser, count.
  std::string user_claim = "sub";             // The one user whom the token reaches.
  Duration leeway = std::chrono::minutes(1);  // Between the issuer's clock and this one, for exp, nbf and iat.
  // From iat to exp. A token that lives longer is as good as a password that nobody changes, and cannot be taken back
  // alone.
  Duration lifetime_max = std::chrono::hours(24);
};

// The word that makes a token reach every user. Without it a token that names no user is refused: that a claim is
// missing must not give more than that it is there.
inline constexpr std::string_view kAnyUser = "any-user";

// Why a token is not taken.
enum class JwtProblem {
  kNone,
  kTooLarge,
  kForm,
  kHeader,
  kAlgorithm,
  kUnknownKey,
  kSignature,
  kClaims,
  kIssuer,
  kAudience,
  kTimes,
  kLifetime,
  kNotYet,
  kUser,
};
// A sentence for whoever sent the token. It holds nothing of the token.
const char* SentenceOf(JwtProblem problem);

// Whether this may be a token, by its form: else it is no JWT at all.
bool IsJwtForm(std::string_view text);

// A token's parts. The views are of the token's text.
struct Jwt {
  JwtAlgorithm algorithm{};
  std::string kid;
  std::string_view signed_text;  // Header and claims, as they were signed.
  std::string_view claims;       // In base64url.
  std::string signature;
};
// Reads all but the claims.
JwtProblem ReadJwt(std::string_view token, Jwt* jwt);

// What the claims of a token say whose signature is good.
struct JwtClaims {
  std::string subject;  // `sub`; empty if it has none that can be shown.
  std::string client;   // `azp` or `client_id`, the program that the token was made for; likewise.
  unsigned scopes = 0;  // Of Scope.
  UserBound users;
  int64_t expires_ms = 0;  // Unix time in ms, with the leeway: from then on it is refused.
};
// `claims` as of Jwt. Whether it has expired is left to the caller, as it will.
JwtProblem ReadClaims(std::string_view claims, const JwtRules& rules, int64_t now_ms, JwtClaims* read);

}  // namespace toolwire

#endif  // TOOLWIRE_CONTROL_JWT_H_
