#include "common/registry/registry_options.h"

#include "common/base/flags.h"

namespace toolwire {

using flags::Milliseconds;
using flags::Text;

void AddRegistryFlags(CLI::App* app, RedisRegistry::Options* options) {
  Text(app, "--redis-url", &options->url,
       "redis://[user[:password]@]host[:port][/db]: any number of edges and controls meet there")
      .Env("REDIS_URL");
  Milliseconds(app, "--redis-timeout", &options->command_timeout, 10, 60000,
               "Silence of Redis after which it counts as unavailable, in ms");
}

}  // namespace toolwire
