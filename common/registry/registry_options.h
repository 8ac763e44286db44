// Flags for where the leases of agents are kept: without a URL there is no Redis, and so one edge only.
#ifndef TOOLWIRE_COMMON_REGISTRY_REGISTRY_OPTIONS_H_
#define TOOLWIRE_COMMON_REGISTRY_REGISTRY_OPTIONS_H_

#include "common/registry/redis_registry.h"

namespace CLI {
class App;
}

namespace toolwire {

void AddRegistryFlags(CLI::App* app, RedisRegistry::Options* options);

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_REGISTRY_REGISTRY_OPTIONS_H_
