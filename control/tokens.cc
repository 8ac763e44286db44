// A line is cut into fields at its spaces; the first three have their places, the others their names, each at most
// once. What is wrong is reported without the field's text, which may be a token that somebody has put there.
#include "control/tokens.h"

#include <openssl/rand.h>

#include <algorithm>
#include <cstdlib>
#include <optional>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/base/log.h"
#include "common/base/percent.h"
#include "common/base/tidy.h"
#include "common/wire/names.h"

namespace toolwire {
namespace {

constexpr char kTokenPrefix[] = "tw_";
constexpr size_t kTokenBytes = 32, kTokenCharacters = 43;
constexpr char kHashPrefix[] = "sha256:";
constexpr int64_t kLatestMs = 253402300799999;  // The end of the year 9999.
constexpr Scope kScopes[] = {Scope::kCall, Scope::kRead, Scope::kAdmin};

bool Consume(std::string_view* text, std::string_view prefix) {
  if (text->substr(0, prefix.size()) != prefix) return false;
  text->remove_prefix(prefix.size());
  return true;
}

std::vector<std::string_view> Split(std::string_view text, const char* separators) {
  std::vector<std::string_view> parts;
  while (true) {
    const size_t end = text.find_first_of(separators);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

bool IsWordCharacter(char c) { return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-'; }

// The problem with a line, to be read after its number; empty: none, and `*token` is filled.
using Problem = std::string;

Problem ReadHash(std::string_view field, Sha256Digest* digest) {
  if (Consume(&field, kTokenPrefix)) {
    return "holds a token itself, which is no secret any more: make a new one, and put the line that `toolwire tokens "
           "create` prints here";
  }
  constexpr char kWanted[] = "the second field must be sha256: and 64 hex digits";
  if (!Consume(&field, kHashPrefix) || field.size() != 2 * digest->size()) return kWanted;
  const auto is_hex = [](char c) { return absl::ascii_isxdigit(static_cast<unsigned char>(c)); };
  if (!std::all_of(field.begin(), field.end(), is_hex)) return kWanted;
  const std::string bytes = absl::HexStringToBytes(std::string(field));
  std::copy(bytes.begin(), bytes.end(), digest->begin());
  return "";
}

Problem ReadUsers(std::string_view text, UserBound::Kind kind, UserBound* users) {
  const char* const field = kind == UserBound::Kind::kOne ? "user" : "user-prefix";
  if (users->kind != UserBound::Kind::kAll) return "has more than one of user= and user-prefix=";
  users->kind = kind;
  if (!PercentDecode(text, &users->text)) return absl::StrCat(field, "= has a % that begins no %XX");
  const char* const wrong = CheckUserId(users->text);
  return wrong == nullptr ? "" : absl::StrCat(field, "= ", wrong);
}

Problem ReadField(std::string_view field, Token* token) {
  if (Consume(&field, "user=")) return ReadUsers(field, UserBound::Kind::kOne, &token->users);
  if (Consume(&field, "user-prefix=")) return ReadUsers(field, UserBound::Kind::kPrefix, &token->users);
  if (Consume(&field, "expires=")) {
    if (token->expires_ms != kNeverExpires) return "has more than one expires=";
    if (ReadExpiry(std::string(field), &token->expires_ms)) return "";
    return "expires= must be a time such as 2027-01-31T00:00:00Z";
  }
  return "has a field that is none of user=, user-prefix= and expires=";
}

Problem ReadLine(std::string_view line, Token* token) {
  std::vector<std::string_view> fields;
  for (const std::string_view field : Split(line, " \t")) {
    if (!field.empty()) fields.push_back(field);
  }
  if (fields.size() < 3) return "must have a name, sha256: with 64 hex digits, and scopes";
  if (const char* const wrong = CheckTokenName(fields[0])) return absl::StrCat("the name ", wrong);
  token->name = std::string(fields[0]);
  if (Problem problem = ReadHash(fields[1], &token->digest); !problem.empty()) return problem;
  if (!ReadScopes(fields[2], &token->scopes)) {
    return "the third field must be scopes, each once, of call, read and admin, with commas between";
  }
  for (size_t i = 3; i < fields.size(); ++i) {
    if (Problem problem = ReadField(fields[i], token); !problem.empty()) return problem;
  }
  return "";
}

absl::Status Wrong(size_t line, std::string_view problem) {
  return absl::InvalidArgumentError(absl::StrCat("line ", line, ": ", std::string(problem)));
}

}  // namespace

const char* NameOf(Scope scope) {
  switch (scope) {
    case Scope::kCall:
      return "call";
    case Scope::kRead:
      return "read";
    case Scope::kAdmin:
      return "admin";
  }
  return "";
}

bool ReadScopes(std::string_view text, unsigned* scopes) {
  *scopes = 0;
  for (std::string_view word : Split(text, ",")) {
    const auto is_it = [&](Scope scope) { return word == NameOf(scope); };
    const auto* const found = std::find_if(std::begin(kScopes), std::end(kScopes), is_it);
    if (found == std::end(kScopes)) return false;
    const auto bit = static_cast<unsigned>(*found);
    if ((*scopes & bit) != 0) return false;
    *scopes |= bit;
  }
  return true;
}

const char* CheckTokenName(std::string_view name) {
  if (name.empty() || name.size() > kTokenNameBytesMax) return "must have 1 to 64 characters";
  const auto is_fine = [](char c) { return IsWordCharacter(c) || c == '.'; };
  return std::all_of(name.begin(), name.end(), is_fine) ? nullptr : "must be of letters, digits and _.-";
}

bool ReadExpiry(const std::string& text, int64_t* unix_ms) {
  // absl also reads years of any length, and the word infinite-future.
  if (text.size() < 20 || text.size() > 40 || !absl::ascii_isdigit(static_cast<unsigned char>(text[0])) ||
      text[4] != '-') {
    return false;
  }
  absl::Time time;
  std::string error;
  if (!absl::ParseTime(absl::RFC3339_full, text, &time, &error)) return false;
  *unix_ms = absl::ToUnixMillis(time);
  return *unix_ms >= 0 && *unix_ms <= kLatestMs;
}

absl::StatusOr<std::vector<Token>> ParseTokens(std::string_view file) {
  if (file.size() > kTokensFileBytesMax) {
    return absl::InvalidArgumentError(absl::StrCat("more than ", kTokensFileBytesMax, " bytes"));
  }
  file = WithoutByteOrderMark(file);
  std::vector<Token> tokens;
  absl::flat_hash_map<Sha256Digest, size_t> line_of;
  for (size_t line = 1; !file.empty(); ++line) {
    const size_t end = file.find('\n');
    if (end == std::string_view::npos) return Wrong(line, "has no end: the file may be half written");
    std::string_view text = file.substr(0, end);
    file.remove_prefix(end + 1);
    if (text.find('\r') != std::string_view::npos) return Wrong(line, "ends as in Windows, with a carriage return");
    const size_t begin = text.find_first_not_of(" \t");
    if (begin == std::string_view::npos || text[begin] == '#') continue;
    Token token;
    if (Problem problem = ReadLine(text, &token); !problem.empty()) return Wrong(line, problem);
    const auto [found, is_new] = line_of.try_emplace(token.digest, line);
    if (!is_new) return Wrong(line, absl::StrCat("has the same token as line ", found->second));
    if (tokens.size() == kTokensMax) return Wrong(line, absl::StrCat("is more than ", kTokensMax, " tokens"));
    tokens.push_back(std::move(token));
  }
  // An instant of every file that is written anew in place.
  if (tokens.empty()) return absl::InvalidArgumentError("no token in it: nobody could call");
  return tokens;
}

std::string MakeToken() {
  std::string random(kTokenBytes, '\0');
  if (RAND_bytes(reinterpret_cast<unsigned char*>(random.data()), static_cast<int>(random.size())) != 1) {
    log::Error("libcrypto failed", {{"operation", "random bytes"}});
    std::abort();
  }
  std::string text = absl::WebSafeBase64Escape(random);
  text.resize(kTokenCharacters);  // Without what pads it, whichever way absl was built.
  return absl::StrCat(kTokenPrefix, text);
}

bool IsTokenForm(std::string_view text) {
  if (!Consume(&text, kTokenPrefix) || text.size() != kTokenCharacters) return false;
  return std::all_of(text.begin(), text.end(), IsWordCharacter);
}

std::string TokenLine(const Token& token) {
  std::string scopes;
  for (const Scope scope : kScopes) {
    if ((token.scopes & static_cast<unsigned>(scope)) == 0) continue;
    absl::StrAppend(&scopes, scopes.empty() ? "" : ",", NameOf(scope));
  }
  std::string line = absl::StrCat(
      token.name, " ", kHashPrefix,
      absl::BytesToHexString({reinterpret_cast<const char*>(token.digest.data()), token.digest.size()}), " ", scopes);
  if (token.users.kind != UserBound::Kind::kAll) {
    absl::StrAppend(
        &line, token.users.kind == UserBound::Kind::kOne ? " user=" : " user-prefix=", PercentEncode(token.users.text));
  }
  if (token.expires_ms != kNeverExpires) {
    absl::StrAppend(
        &line, " expires=",
        absl::FormatTime("%Y-%m-%d%ET%H:%M:%E*SZ", absl::FromUnixMillis(token.expires_ms), absl::UTCTimeZone()));
  }
  return line;
}

}  // namespace toolwire
