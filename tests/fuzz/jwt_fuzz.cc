// Any bytes as a JSON Web Token, as the header of one, and as its claims: what is taken keeps the rules.
#include <cstdint>
#include <string>
#include <string_view>

#include "common/wire/names.h"
#include "control/jwt.h"
#include "tests/fuzz/require.h"
#include "tests/support/jwt_maker.h"

namespace {

using toolwire::JwtProblem;

constexpr int64_t kNowMs = 1'700'000'000'000;

const toolwire::JwtRules& Rules() {
  static const toolwire::JwtRules rules = [] {
    toolwire::JwtRules made;
    made.issuer = toolwire::kIssuer;
    made.audience = toolwire::kAudience;
    return made;
  }();
  return rules;
}

void CheckToken(std::string_view token) {
  toolwire::Jwt jwt;
  const JwtProblem problem = ReadJwt(token, &jwt);
  if (problem != JwtProblem::kNone) {
    REQUIRE(*SentenceOf(problem) != '\0');
    return;
  }
  REQUIRE(token.size() <= toolwire::kJwtBytesMax);
  REQUIRE(!jwt.kid.empty() && jwt.kid.size() <= toolwire::kKeyIdBytesMax);
  // Nothing of the token is left out, and its signature has no second form.
  const std::string rest = "." + toolwire::Base64Url(jwt.signature);
  REQUIRE(token == std::string(jwt.signed_text) + rest);
  REQUIRE(jwt.claims == jwt.signed_text.substr(jwt.signed_text.size() - jwt.claims.size()));
}

void CheckClaims(std::string_view text) {
  toolwire::JwtClaims claims;
  if (ReadClaims(toolwire::Base64Url(text), Rules(), kNowMs, &claims) != JwtProblem::kNone) return;
  REQUIRE(claims.expires_ms >= 0 && claims.scopes <= 7);
  REQUIRE(claims.subject.empty() || toolwire::CheckUserId(claims.subject) == nullptr);
  REQUIRE(claims.client.empty() || toolwire::CheckUserId(claims.client) == nullptr);
  if (claims.users.kind == toolwire::UserBound::Kind::kOne) {
    REQUIRE(toolwire::CheckUserId(claims.users.text) == nullptr);
  } else {
    REQUIRE(claims.users == toolwire::UserBound());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (toolwire::IsJwtForm(text)) CheckToken(text);
  CheckToken(toolwire::Base64Url(text) + ".e30.AAAA");
  CheckClaims(text);
  return 0;
}
