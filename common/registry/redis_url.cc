// The login ends at the last @, as a password may contain one that is not encoded; before it, the first colon ends the
// user. Behind it are host and port, and the number of the database after the slash.

#include "common/registry/redis_url.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/base/host_port.h"
#include "common/base/percent.h"

namespace toolwire {
namespace {

constexpr absl::string_view kForm = "redis://[user[:password]@]host[:port][/db]";

absl::Status Invalid(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("Redis URL: ", what, "; expected ", kForm));
}

bool ReadNumber(absl::string_view text, int max, int* out) {
  for (const char c : text) {
    if (c < '0' || c > '9') return false;
  }
  return absl::SimpleAtoi(text, out) && *out <= max;
}

absl::Status ReadLogin(absl::string_view login, RedisUrl* url) {
  const size_t colon = login.find(':');
  if (colon == absl::string_view::npos || colon + 1 == login.size()) {
    return Invalid("a user needs a password (a password alone is written :password@)");
  }
  const std::string_view text(login.data(), login.size());
  if (!PercentDecode(text.substr(0, colon), &url->user) || !PercentDecode(text.substr(colon + 1), &url->password)) {
    return Invalid("user or password is not properly percent-encoded");
  }
  return absl::OkStatus();
}

absl::Status ReadHostAndPort(absl::string_view text, RedisUrl* url) {
  auto parsed = ParseHostPort(std::string_view(text.data(), text.size()));
  if (!parsed.ok()) return Invalid(parsed.status().message());
  url->host = std::move(parsed->host);
  if (!parsed->port) return absl::OkStatus();
  if (*parsed->port == 0) return Invalid("the port is not a number from 1 to 65535");
  url->port = *parsed->port;
  return absl::OkStatus();
}

}  // namespace

std::string RedisUrl::Address() const { return JoinHostPort(host, port); }

absl::StatusOr<RedisUrl> ParseRedisUrl(absl::string_view text) {
  if (absl::StartsWith(text, "rediss://")) return Invalid("rediss:// (TLS) is not supported");
  if (!absl::ConsumePrefix(&text, "redis://")) return Invalid("it does not start with redis://");
  RedisUrl url;
  absl::string_view rest = text;
  if (const size_t at = text.rfind('@'); at != absl::string_view::npos) {
    if (absl::Status status = ReadLogin(text.substr(0, at), &url); !status.ok()) return status;
    rest = text.substr(at + 1);
  }
  if (rest.find_first_of("?#") != absl::string_view::npos) return Invalid("parameters after ? or # are not supported");
  const size_t slash = rest.find('/');
  if (absl::Status status = ReadHostAndPort(rest.substr(0, slash), &url); !status.ok()) return status;
  if (slash != absl::string_view::npos && slash + 1 < rest.size() &&
      !ReadNumber(rest.substr(slash + 1), 1 << 20, &url.db)) {
    return Invalid("the database is not a number");
  }
  return url;
}

}  // namespace toolwire
