// Where a Redis server is and how to log in to it.
#ifndef TOOLWIRE_COMMON_REGISTRY_REDIS_URL_H_
#define TOOLWIRE_COMMON_REGISTRY_REDIS_URL_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace toolwire {

struct RedisUrl {
  std::string host;  // A name or an IP address, without brackets.
  int port = 6379;
  std::string user;      // Empty: the server's default user.
  std::string password;  // Empty: no login. Never logged.
  int db = 0;

  // host:port, for logs.
  std::string Address() const;
};

// Reads `redis://[user[:password]@]host[:port][/db]`, in which user and password may be percent-encoded. A user
// without a password is INVALID_ARGUMENT like everything else that is not of this form; messages never contain the
// password.
absl::StatusOr<RedisUrl> ParseRedisUrl(absl::string_view url);

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_REGISTRY_REDIS_URL_H_
