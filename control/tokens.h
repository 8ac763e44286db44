// Callers' tokens: their form, and the file that holds their hashes. No I/O.
#ifndef TOOLWIRE_CONTROL_TOKENS_H_
#define TOOLWIRE_CONTROL_TOKENS_H_

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/sha256.h"
#include "control/user_bound.h"

namespace toolwire {

// What a caller may do; each RPC asks for one.
enum class Scope : unsigned {
  kCall = 1,   // CallTool, Dispatch.
  kRead = 2,   // Who is connected, and the audit log.
  kAdmin = 4,  // Everything.
};
const char* NameOf(Scope scope);

inline constexpr int64_t kNeverExpires = std::numeric_limits<int64_t>::max();

// One line of the file.
struct Token {
  // 1 to kTokenNameBytesMax of A-Za-z0-9_.-; several may have the same one, as while a token replaces another.
  std::string name;
  Sha256Digest digest{};
  unsigned scopes = 0;  // Of Scope.
  UserBound users;
  int64_t expires_ms = kNeverExpires;  // Unix time in milliseconds; from then on it is refused.
};

inline constexpr size_t kTokenNameBytesMax = 64;
// Each name is a metric's label and may be in every audit row.
inline constexpr size_t kTokensMax = 1000;
// A line with the longest names takes some 1,000 bytes.
inline constexpr size_t kTokensFileBytesMax = 1u << 20;

// The lines of a file:
//   name sha256:<64 hex digits> scope[,scope] [user=ID | user-prefix=P] [expires=2027-01-31T00:00:00Z]
// with spaces or tabs between fields; %XX stands for a byte of ID or P. Empty lines and those that begin with # do not
// count. Taken whole or not at all: INVALID_ARGUMENT for the first line that is wrong, with its number and never with
// what it holds. The last line must end, or the file may be half written: a shorter ID would be another user's.
absl::StatusOr<std::vector<Token>> ParseTokens(std::string_view file);

// A new token: `tw_` and 32 bytes of libcrypto's randomness in 43 characters of base64url.
std::string MakeToken();
// Whether this may be a token, by its form.
bool IsTokenForm(std::string_view text);
// The line for the file, without its end. `token` is hashed.
std::string TokenLine(const Token& token);

// RFC 3339, to the second or finer, from 1970 to 9999. False if it is none.
bool ReadExpiry(const std::string& text, int64_t* unix_ms);
// `call`, `read`, `admin`, with commas between. False if there is another, or one twice.
bool ReadScopes(std::string_view text, unsigned* scopes);
// What is wrong with a token's name; nullptr: nothing.
const char* CheckTokenName(std::string_view name);

}  // namespace toolwire

#endif  // TOOLWIRE_CONTROL_TOKENS_H_
