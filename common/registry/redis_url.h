// Where a Redis server is, or the sentinels that know it, how it proves that it is the right one, and how to log in.
#ifndef TOOLWIRE_COMMON_REGISTRY_REDIS_URL_H_
#define TOOLWIRE_COMMON_REGISTRY_REDIS_URL_H_

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace toolwire {

struct RedisAddress {
  std::string host;  // A name or an IP address, without brackets.
  int port = 0;

  // As a sentinel writes them; nothing if they cannot be dialled.
  static std::optional<RedisAddress> Read(std::string host, absl::string_view port);
  // host:port
  std::string Text() const;
  bool operator==(const RedisAddress& other) const { return host == other.host && port == other.port; }
  bool operator!=(const RedisAddress& other) const { return !(*this == other); }
};

struct RedisUrl {
  RedisAddress server;  // Empty if there are sentinels.
  bool tls = false;
  bool checks_name = true;  // With TLS: the server's certificate must name it.
  std::string tls_name;     // What it must name; empty: the host.
  std::string user;         // Empty: the server's default user.
  std::string password;     // Empty: no login. Never logged.
  int db = 0;

  // Who is asked for the server, which they call `master_name`; these have TLS and a login of their own.
  std::vector<RedisAddress> sentinels;
  std::string master_name;
  bool sentinel_tls = false;
  std::string sentinel_user, sentinel_password;

  // host:port, or what stands for it with sentinels, for logs.
  std::string Address() const;
  // How to reach one of the sentinels.
  RedisUrl OfSentinel(size_t sentinel) const;
};

// Reads `redis://[user[:password]@]host[:port][/db]`, or `rediss://` alike for TLS; or
// `redis+sentinel://[user[:password]@]host[:port],host[:port]/name[/db]`, or `rediss+sentinel://` alike for TLS to
// Redis and to the sentinels. Behind it `?name=value&name=value` with `tls-name`, `tls-verify`, `sentinel-tls`,
// `sentinel-user` and `sentinel-password`. User, passwords and names may be percent-encoded. A user without a password
// is INVALID_ARGUMENT like everything else that is not of this form; messages never contain a part of the URL.
absl::StatusOr<RedisUrl> ParseRedisUrl(absl::string_view url);

// What an operator should know of this way to reach a server, such as "no TLS, no password"; empty if it is as it
// should be. `is_loopback`: the connection does not leave this machine. `has_certificate`: we show one, which may be
// the login.
std::string RisksOf(const RedisUrl& url, bool is_loopback, bool has_certificate);

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_REGISTRY_REDIS_URL_H_
