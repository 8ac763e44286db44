#include "common/registry/registry_options.h"

#include "common/base/flags.h"
#include "common/registry/redis_url.h"

namespace toolwire {

using flags::Milliseconds;
using flags::Text;

namespace {

std::string UrlProblem(const std::string& url) {
  return std::string(ParseRedisUrl(absl::string_view(url.data(), url.size())).status().message());
}

}  // namespace

void AddRegistryFlags(CLI::App* app, RedisRegistry::Options* options) {
  Text(app, "--redis-url", &options->url,
       "rediss://[user:password@]host[:port][/db], or redis:// without TLS: edges and controls meet there")
      .Env("REDIS_URL")
      .Trimmed()
      .MayHavePassword("REDIS_URL")
      .Check(UrlProblem);
  Text(app, "--redis-ca", &options->tls.ca_file,
       "PEM file of the CA of a rediss:// server's certificate; default: the system's CAs")
      .Env("REDIS_CA")
      .File();
  Text(app, "--redis-cert", &options->tls.certificate_file,
       "PEM file of a certificate to show to Redis, if it asks for one")
      .Env("REDIS_CERT")
      .File();
  Text(app, "--redis-key", &options->tls.key_file, "PEM file of its key, not encrypted").Env("REDIS_KEY").File();
  Text(app, "--redis-environment", &options->environment,
       "Keeps apart what shares a Redis server: part of the names of our channels; default: none in database 0, db1 in "
       "database 1")
      .Env("REDIS_ENVIRONMENT")
      .CheckShown(RedisRegistry::EnvironmentProblem);
  Milliseconds(app, "--redis-timeout", &options->command_timeout, 10, 60000,
               "Silence of Redis after which it counts as unavailable, in ms");
}

}  // namespace toolwire
