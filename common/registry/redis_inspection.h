// A look at a Redis server that changes nothing: how it is set up, and which edges are announced in it.
#ifndef TOOLWIRE_COMMON_REGISTRY_REDIS_INSPECTION_H_
#define TOOLWIRE_COMMON_REGISTRY_REDIS_INSPECTION_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/base/clock_reading.h"
#include "common/registry/registry.h"

namespace toolwire {

struct RedisInspection {
  struct Server {
    std::string version;
    bool replica = false;
    bool cluster = false;
    uint64_t memory_bytes = 0;
    uint64_t memory_bytes_max = 0;  // 0: no limit.
    std::string eviction_policy;
  };
  std::string address;           // host:port, for people.
  std::optional<Server> server;  // Absent if this login may not ask with INFO.
  ClockReading clock;
  std::vector<EdgeAddress> edges;          // Alive, by their ids.
  std::vector<std::string> silent_edges;   // Were there and announce themselves no more.
  std::vector<std::string> strange_edges;  // Announced by something that is no edge of ours.
};

// Takes at most `timeout`, unless the resolver of names hangs. Errors as of RedisConnection; INVALID_ARGUMENT if the
// URL is none. No message holds the password.
absl::StatusOr<RedisInspection> InspectRedis(const std::string& url, Duration timeout);

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_REGISTRY_REDIS_INSPECTION_H_
