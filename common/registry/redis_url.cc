// The login ends at the last @, as a password may contain one that is not encoded; before it, the first colon ends the
// user. Behind it are host and port, or the sentinels' and after a slash the master's name; the number of the database
// after a slash, and parameters after the question mark. A question mark before the last @ could begin either, and is
// refused: a piece of a password must not become a host.

#include "common/registry/redis_url.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/types/span.h"
#include "common/base/host_port.h"
#include "common/base/percent.h"

namespace toolwire {
namespace {

constexpr absl::string_view kForm =
    "rediss://[user:password@]host[:port][/db] or rediss+sentinel://[user:password@]host:port,host:port/name[/db], "
    "with redis in place of rediss for no TLS";
constexpr size_t kHostBytesMax = 255;  // Of DNS.
constexpr int kPort = 6379;
constexpr int kSentinelPort = 26379;
constexpr size_t kSentinelsMax = 16;  // Each has a connection; groups have three or five.

absl::Status Invalid(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(what, "; expected ", kForm));
}

bool ReadNumber(absl::string_view text, int max, int* out) {
  for (const char c : text) {
    if (c < '0' || c > '9') return false;
  }
  return absl::SimpleAtoi(text, out) && *out <= max;
}

bool DecodePart(absl::string_view text, std::string* plain) {
  return PercentDecode(std::string_view(text.data(), text.size()), plain);
}

absl::Status ReadLogin(absl::string_view login, RedisUrl* url) {
  const size_t colon = login.find(':');
  if (colon == absl::string_view::npos || colon + 1 == login.size()) {
    return Invalid("a user needs a password (a password alone is written :password@)");
  }
  if (!DecodePart(login.substr(0, colon), &url->user) || !DecodePart(login.substr(colon + 1), &url->password)) {
    return Invalid("user or password is not properly percent-encoded");
  }
  return absl::OkStatus();
}

bool IsHost(const std::string& host) {
  return !host.empty() && host.size() <= kHostBytesMax &&
         std::all_of(host.begin(), host.end(), [](char c) { return c > ' ' && c < 127 && c != ','; });
}

absl::StatusOr<RedisAddress> ReadHostAndPort(absl::string_view text, int default_port) {
  auto parsed = ParseHostPort(std::string_view(text.data(), text.size()));
  if (!parsed.ok()) return Invalid(parsed.status().message());
  if (!IsHost(parsed->host)) return Invalid("the host is no name and no address; several need redis+sentinel://");
  if (parsed->port && *parsed->port == 0) return Invalid("the port is not a number from 1 to 65535");
  return RedisAddress{std::move(parsed->host), parsed->port.value_or(default_port)};
}

absl::Status ReadSentinels(absl::string_view text, RedisUrl* url) {
  for (const absl::string_view one : absl::StrSplit(text, ',')) {
    if (url->sentinels.size() == kSentinelsMax) return Invalid(absl::StrCat("over ", kSentinelsMax, " sentinels"));
    auto sentinel = ReadHostAndPort(one, kSentinelPort);
    if (!sentinel.ok()) return sentinel.status();
    url->sentinels.push_back(*std::move(sentinel));
  }
  return absl::OkStatus();
}

absl::Status ReadMasterName(absl::string_view text, RedisUrl* url) {
  std::string& name = url->master_name;
  const bool is_name = DecodePart(text, &name) && !name.empty() && name.size() <= kHostBytesMax &&
                       std::all_of(name.begin(), name.end(), [](char c) { return c > ' ' && c < 127; });
  return is_name ? absl::OkStatus() : Invalid("the name under which sentinels know the master is missing or malformed");
}

// Whether a certificate may have it: of a DNS name or an IP address only.
bool IsCertificateName(const std::string& name) {
  return !name.empty() && name.size() <= kHostBytesMax && std::all_of(name.begin(), name.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '-' || c == '_' || c == ':';
  });
}

// Of other libraries (ioredis, node-redis, redis-py, lettuce), which share the URL: a message may repeat them. Others
// may be a piece of a password.
constexpr absl::string_view kOthersParameters[] = {
    "family",          "db",         "database",       "protocol",        "ssl",           "tls",
    "ssl_cert_reqs",   "ssl_ca_certs", "ssl_certfile", "ssl_keyfile",     "timeout",       "connectTimeout",
    "socket_timeout",  "keepAlive",  "max_connections", "client_name",    "clientName",    "retry_on_timeout",
    "decode_responses", "encoding",  "enableReadyCheck", "maxRetriesPerRequest", "keyPrefix", "pool_size"};

constexpr absl::string_view kTlsParameters[] = {"tls-name", "tls-verify"};
constexpr absl::string_view kSentinelParameters[] = {"sentinel-tls", "sentinel-user", "sentinel-password"};

bool IsAmong(absl::Span<const absl::string_view> names, absl::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

absl::Status ReadParameter(absl::string_view name, absl::string_view value, RedisUrl* url) {
  if (name == "tls-name") {
    if (DecodePart(value, &url->tls_name) && IsCertificateName(url->tls_name)) return absl::OkStatus();
    return Invalid("tls-name is no DNS name and no IP address");
  }
  if (name == "tls-verify") {
    url->checks_name = value == "full";
    return value == "ca" || value == "full" ? absl::OkStatus() : Invalid("tls-verify is full or ca");
  }
  if (name == "sentinel-tls") {
    url->sentinel_tls = value == "on";
    return value == "on" || value == "off" ? absl::OkStatus() : Invalid("sentinel-tls is on or off");
  }
  std::string* const text = name == "sentinel-user" ? &url->sentinel_user : &url->sentinel_password;
  const bool right = DecodePart(value, text) && !text->empty();
  return right ? absl::OkStatus() : Invalid(absl::StrCat(name, " is empty or not properly percent-encoded"));
}

// What no parameter alone can be judged by.
absl::Status CheckParameters(const std::vector<absl::string_view>& seen, const RedisUrl& url) {
  for (const absl::string_view name : seen) {
    if (IsAmong(kTlsParameters, name) && !url.tls && !url.sentinel_tls) {
      return Invalid("tls-name and tls-verify are for rediss:// and rediss+sentinel://");
    }
    if (IsAmong(kSentinelParameters, name) && url.sentinels.empty()) {
      return Invalid(absl::StrCat(name, " is for redis+sentinel:// and rediss+sentinel://"));
    }
  }
  if (!url.sentinel_user.empty() && url.sentinel_password.empty()) {
    return Invalid("sentinel-user needs sentinel-password");
  }
  return absl::OkStatus();
}

absl::Status ReadParameters(absl::string_view text, RedisUrl* url) {
  std::vector<absl::string_view> seen;
  for (const absl::string_view one : absl::StrSplit(text, '&')) {
    const std::pair<absl::string_view, absl::string_view> parameter = absl::StrSplit(one, absl::MaxSplits('=', 1));
    const absl::string_view name = parameter.first;
    if (!IsAmong(kTlsParameters, name) && !IsAmong(kSentinelParameters, name)) {
      return Invalid(absl::StrCat(IsAmong(kOthersParameters, name)
                                      ? absl::StrCat("the parameter ", name, " is another library's; ")
                                      : "",
                                  "parameters are tls-name, tls-verify, sentinel-tls, sentinel-user and "
                                  "sentinel-password"));
    }
    if (std::find(seen.begin(), seen.end(), name) != seen.end()) return Invalid(absl::StrCat(name, " is there twice"));
    seen.push_back(name);
    if (absl::Status status = ReadParameter(name, parameter.second, url); !status.ok()) return status;
  }
  return CheckParameters(seen, *url);
}

bool ConsumeScheme(absl::string_view* text, RedisUrl* url, bool* has_sentinels) {
  url->tls = absl::ConsumePrefix(text, "rediss");
  if (!url->tls && !absl::ConsumePrefix(text, "redis")) return false;
  *has_sentinels = absl::ConsumePrefix(text, "+sentinel");
  url->sentinel_tls = *has_sentinels && url->tls;
  return absl::ConsumePrefix(text, "://");
}

// What stands between login and parameters.
absl::Status ReadPlace(absl::string_view text, bool has_sentinels, RedisUrl* url) {
  const size_t slash = std::min(text.find('/'), text.size());
  absl::string_view hosts = text.substr(0, slash), rest = text.substr(slash);
  absl::ConsumePrefix(&rest, "/");
  if (has_sentinels) {
    if (absl::Status status = ReadSentinels(hosts, url); !status.ok()) return status;
    const size_t end = std::min(rest.find('/'), rest.size());
    if (absl::Status status = ReadMasterName(rest.substr(0, end), url); !status.ok()) return status;
    rest = rest.substr(end);
    absl::ConsumePrefix(&rest, "/");
  } else {
    auto server = ReadHostAndPort(hosts, kPort);
    if (!server.ok()) return server.status();
    url->server = *std::move(server);
  }
  return rest.empty() || ReadNumber(rest, 1 << 20, &url->db) ? absl::OkStatus()
                                                             : Invalid("the database is not a number");
}

}  // namespace

std::optional<RedisAddress> RedisAddress::Read(std::string host, absl::string_view port) {
  RedisAddress address;
  if (!IsHost(host) || port.empty() || !ReadNumber(port, 65535, &address.port) || address.port == 0)
    return std::nullopt;
  address.host = std::move(host);
  return address;
}

std::string RedisAddress::Text() const { return JoinHostPort(host, port); }

std::string RedisUrl::Address() const {
  if (sentinels.empty()) return server.Text();
  const auto append = [](std::string* out, const RedisAddress& one) { out->append(one.Text()); };
  return absl::StrCat("the master ", master_name, " of the sentinels ", absl::StrJoin(sentinels, ",", append));
}

RedisUrl RedisUrl::OfSentinel(size_t sentinel) const {
  RedisUrl url;
  url.server = sentinels[sentinel];
  url.tls = sentinel_tls;
  url.checks_name = checks_name;
  url.user = sentinel_user;
  url.password = sentinel_password;
  return url;
}

absl::StatusOr<RedisUrl> ParseRedisUrl(absl::string_view text) {
  RedisUrl url;
  bool has_sentinels = false;
  if (!ConsumeScheme(&text, &url, &has_sentinels)) return Invalid("it does not start with rediss:// or redis://");
  const size_t question = text.find('?');
  if (const size_t at = text.rfind('@'); at != absl::string_view::npos) {
    if (question < at) return Invalid("in user and password ? is written %3F, in parameters @ is written %40");
    if (absl::Status status = ReadLogin(text.substr(0, at), &url); !status.ok()) return status;
    text = text.substr(at + 1);
  }
  if (absl::StrContains(text, '#')) return Invalid("# is not supported; in user and password it is written %23");
  const std::pair<absl::string_view, absl::string_view> parts = absl::StrSplit(text, absl::MaxSplits('?', 1));
  if (absl::Status status = ReadPlace(parts.first, has_sentinels, &url); !status.ok()) return status;
  if (question != absl::string_view::npos) {
    if (absl::Status status = ReadParameters(parts.second, &url); !status.ok()) return status;
  }
  return url;
}

std::string RisksOf(const RedisUrl& url, bool is_loopback, bool has_certificate) {
  std::vector<absl::string_view> risks;
  if (!url.tls && !is_loopback) risks.emplace_back("no TLS");
  if (!url.sentinels.empty() && !url.sentinel_tls && !is_loopback) risks.emplace_back("no TLS to the sentinels");
  if ((url.tls || url.sentinel_tls) && !url.checks_name)
    risks.emplace_back("any certificate of the CA is taken, whatever it names");
  if (url.password.empty() && !has_certificate && !is_loopback) risks.emplace_back("no password");
  return absl::StrJoin(risks, ", ");
}

}  // namespace toolwire
