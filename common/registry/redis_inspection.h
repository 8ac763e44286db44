// A look at a Redis server: how it is set up, whether it lets us do what we must, and which edges are announced in it.
#ifndef TOOLWIRE_COMMON_REGISTRY_REDIS_INSPECTION_H_
#define TOOLWIRE_COMMON_REGISTRY_REDIS_INSPECTION_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/base/clock_reading.h"
#include "common/registry/redis_tls.h"
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
  std::string address;                             // host:port, for people.
  std::string risks;                               // Of the way to it, as RisksOf says them.
  std::vector<std::string> unavailable_sentinels;  // Why each cannot be asked.
  std::optional<Server> server;                    // Absent if this login may not ask with INFO.
  ClockReading clock;
  std::vector<std::string> refusals;       // Of what edges and controls do: "a script that writes: NOREPLICAS ...".
  std::vector<EdgeAddress> edges;          // Alive, by their ids.
  std::vector<std::string> silent_edges;   // Were there and announce themselves no more.
  std::vector<std::string> strange_edges;  // Announced by something that is no edge of ours.
};

// Writes nothing but a key that expires, `toolwire:probe`. Takes at most `timeout`. Errors as of RedisConnection's
// `down` and of LoadRedisTls; INVALID_ARGUMENT if the URL is none. No message holds the password.
absl::StatusOr<RedisInspection> InspectRedis(const std::string& url, const RedisTlsOptions& tls, Duration timeout);

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_REGISTRY_REDIS_INSPECTION_H_
