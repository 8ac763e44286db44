// A token is header.claims.signature, each in base64url. The header is a stranger's and only picks the key, whose own
// algorithm it must name; headers that would bring a key along, or ask for what is not known here, end it. The claims
// are read once the signature is good: then they are the issuer's, who may still have made them for somebody else.
#include "control/jwt.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "common/base/base64url.h"
#include "common/wire/names.h"
#include "control/json_object.h"

namespace toolwire {
namespace {

using Json = nlohmann::json;

// Claims of directories hold objects and arrays of their own.
constexpr int kHeaderDepthMax = 4, kClaimsDepthMax = 16;
// Of an RSA key of the largest size, in base64url.
constexpr size_t kSignatureCharactersMax = (kRsaBitsMax / 8 * 8 + 5) / 6;
constexpr double kLatest = 253402300799;  // The end of the year 9999, in seconds.
// A type that is no access token, such as that of a logout, is refused.
constexpr std::string_view kTypes[] = {"jwt", "at+jwt", "application/jwt", "application/at+jwt"};
constexpr const char* kUnknownHeaders[] = {"crit", "jku", "jwk", "x5u", "x5c"};

int64_t Ms(Duration time) { return std::chrono::duration_cast<std::chrono::milliseconds>(time).count(); }

bool IsTextCharacter(char c) { return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-'; }

bool IsAccessTokenType(const Json& header) {
  if (!header.contains("typ")) return true;
  const std::optional<std::string> type = TextOf(header, "typ");
  return type && std::any_of(std::begin(kTypes), std::end(kTypes), [&](std::string_view known) {
           return absl::EqualsIgnoreCase({type->data(), type->size()}, {known.data(), known.size()});
         });
}

JwtProblem ReadHeader(std::string_view text, Jwt* jwt) {
  std::string decoded;
  if (text.size() > kJwtHeaderBytesMax || !DecodeBase64Url(text, &decoded)) return JwtProblem::kForm;
  const std::optional<Json> header = ReadJsonObject(decoded, kHeaderDepthMax);
  if (!header) return JwtProblem::kForm;
  const auto has = [&](const char* name) { return header->contains(name); };
  if (std::any_of(std::begin(kUnknownHeaders), std::end(kUnknownHeaders), has)) return JwtProblem::kHeader;
  if (!IsAccessTokenType(*header)) return JwtProblem::kHeader;
  const std::optional<std::string> name = TextOf(*header, "alg");
  const std::optional<JwtAlgorithm> algorithm = name ? ReadJwtAlgorithm(*name) : std::nullopt;
  if (!algorithm) return JwtProblem::kAlgorithm;
  jwt->algorithm = *algorithm;
  std::optional<std::string> kid = TextOf(*header, "kid");
  if (!kid || kid->empty() || kid->size() > kKeyIdBytesMax) return JwtProblem::kUnknownKey;
  jwt->kid = *std::move(kid);
  return JwtProblem::kNone;
}

// A time in Unix milliseconds, or nothing if it is none.
std::optional<int64_t> TimeOf(const Json& claims, const char* name) {
  const auto found = claims.find(name);
  if (found == claims.end() || !found->is_number()) return std::nullopt;
  const double seconds = found->get<double>();
  if (!(seconds >= 0 && seconds <= kLatest)) return std::nullopt;
  return static_cast<int64_t>(std::floor(seconds * 1000));
}

// The texts of a claim that is one text or an array of them. Nothing if it is neither.
std::optional<std::vector<std::string>> TextsOf(const Json& claims, const std::string& name) {
  const auto found = claims.find(name);
  if (found == claims.end()) return std::nullopt;
  if (found->is_string()) return std::vector<std::string>{found->get<std::string>()};
  if (!found->is_array()) return std::nullopt;
  std::vector<std::string> texts;
  for (const Json& one : *found) {
    if (!one.is_string()) return std::nullopt;
    texts.push_back(one.get<std::string>());
  }
  return texts;
}

JwtProblem CheckTimes(const Json& claims, const JwtRules& rules, int64_t now_ms, JwtClaims* read) {
  const std::optional<int64_t> expires = TimeOf(claims, "exp"), issued = TimeOf(claims, "iat");
  const std::optional<int64_t> not_before = claims.contains("nbf") ? TimeOf(claims, "nbf") : 0;
  if (!expires || !issued || !not_before || *expires < *issued) return JwtProblem::kTimes;
  if (*expires - *issued > Ms(rules.lifetime_max)) return JwtProblem::kLifetime;
  const int64_t leeway = Ms(rules.leeway);
  if (now_ms + leeway < std::max(*issued, *not_before)) return JwtProblem::kNotYet;
  read->expires_ms = *expires + leeway;
  return JwtProblem::kNone;
}

// Words that are none of ours are other programs' and count nothing.
void ReadWords(std::string_view text, const JwtRules& rules, JwtClaims* read, bool* any_user) {
  while (!text.empty()) {
    const size_t end = std::min(text.find(' '), text.size());
    std::string_view word = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (word.substr(0, rules.scope_prefix.size()) != rules.scope_prefix) continue;
    word.remove_prefix(rules.scope_prefix.size());
    for (const Scope scope : {Scope::kCall, Scope::kRead, Scope::kAdmin}) {
      if (word == NameOf(scope)) read->scopes |= static_cast<unsigned>(scope);
    }
    if (word == kAnyUser) *any_user = true;
  }
}

JwtProblem ReadRights(const Json& claims, const JwtRules& rules, JwtClaims* read) {
  bool any_user = false;
  if (claims.contains(rules.scope_claim)) {
    const auto texts = TextsOf(claims, rules.scope_claim);
    if (!texts) return JwtProblem::kClaims;
    for (const std::string& text : *texts) ReadWords(text, rules, read, &any_user);
  }
  if (any_user) return JwtProblem::kNone;
  std::optional<std::string> user = TextOf(claims, rules.user_claim);
  if (!user || CheckUserId(*user) != nullptr) return JwtProblem::kUser;
  read->users = {UserBound::Kind::kOne, *std::move(user)};
  return JwtProblem::kNone;
}

// A name to be shown; empty if there is none.
std::string ShownOf(const Json& claims, const char* name) {
  std::optional<std::string> text = TextOf(claims, name);
  return text && CheckUserId(*text) == nullptr ? *std::move(text) : "";
}

}  // namespace

const char* SentenceOf(JwtProblem problem) {
  switch (problem) {
    case JwtProblem::kNone:
      return "";
    case JwtProblem::kTooLarge:
      return "it is larger than 16 KiB";
    case JwtProblem::kForm:
      return "it is no JSON Web Token: three parts in base64url, of which the first is a JSON object of at most 2 KiB";
    case JwtProblem::kHeader:
      return "its header has a typ that is not that of an access token, or one of crit, jku, jwk, x5u and x5c";
    case JwtProblem::kAlgorithm:
      return "its algorithm is not RS256 or ES256, or not that of its key";
    case JwtProblem::kUnknownKey:
      return "it is signed by a key whose kid is not in this control's keys";
    case JwtProblem::kSignature:
      return "its signature is not that of its key";
    case JwtProblem::kClaims:
      return "its claims are no JSON object with different names, or one of them is not of its kind";
    case JwtProblem::kIssuer:
      return "its iss is not this control's --jwt-issuer";
    case JwtProblem::kAudience:
      return "its aud does not name this control's --jwt-audience";
    case JwtProblem::kTimes:
      return "its exp and iat must be times, exp not before iat, and nbf one if it is there";
    case JwtProblem::kLifetime:
      return "from its iat to its exp is longer than this control's --jwt-lifetime-max";
    case JwtProblem::kNotYet:
      return "it is not valid yet, by its iat or nbf";
    case JwtProblem::kUser:
      return "it names no user in the claim of --jwt-user-claim, and its scopes do not include any-user";
  }
  return "";
}

bool IsJwtForm(std::string_view text) {
  return std::count(text.begin(), text.end(), '.') == 2 &&
         std::all_of(text.begin(), text.end(), [](char c) { return c == '.' || IsTextCharacter(c); });
}

JwtProblem ReadJwt(std::string_view token, Jwt* jwt) {
  if (token.size() > kJwtBytesMax) return JwtProblem::kTooLarge;
  const size_t first = token.find('.'), last = token.rfind('.');
  if (first == last || token.find('.', first + 1) != last) return JwtProblem::kForm;
  jwt->signed_text = token.substr(0, last);
  jwt->claims = token.substr(first + 1, last - first - 1);
  const std::string_view signature = token.substr(last + 1);
  if (signature.size() > kSignatureCharactersMax || !DecodeBase64Url(signature, &jwt->signature)) {
    return JwtProblem::kForm;
  }
  return ReadHeader(token.substr(0, first), jwt);
}

JwtProblem ReadClaims(std::string_view claims, const JwtRules& rules, int64_t now_ms, JwtClaims* read) {
  std::string decoded;
  if (!DecodeBase64Url(claims, &decoded)) return JwtProblem::kForm;
  const std::optional<Json> object = ReadJsonObject(decoded, kClaimsDepthMax);
  if (!object) return JwtProblem::kClaims;
  if (TextOf(*object, "iss") != rules.issuer) return JwtProblem::kIssuer;
  const auto audience = TextsOf(*object, "aud");
  if (!audience || std::find(audience->begin(), audience->end(), rules.audience) == audience->end()) {
    return JwtProblem::kAudience;
  }
  if (const JwtProblem problem = CheckTimes(*object, rules, now_ms, read); problem != JwtProblem::kNone) return problem;
  if (const JwtProblem problem = ReadRights(*object, rules, read); problem != JwtProblem::kNone) return problem;
  read->subject = ShownOf(*object, "sub");
  read->client = ShownOf(*object, "azp");
  if (read->client.empty()) read->client = ShownOf(*object, "client_id");
  return JwtProblem::kNone;
}

}  // namespace toolwire
