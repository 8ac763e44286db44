// Claims of leases on their way to Redis, which may be unavailable for a while.
#ifndef TOOLWIRE_COMMON_REGISTRY_REDIS_CLAIMS_H_
#define TOOLWIRE_COMMON_REGISTRY_REDIS_CLAIMS_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/base/clock.h"
#include "common/registry/lease_events.h"
#include "common/registry/redis_client.h"
#include "common/registry/registry.h"

namespace toolwire {

// How many claims may be under way, and how many releases may be kept.
constexpr size_t kRedisWaitingMax = 100'000;

// A listpack stays small up to 128 fields, so these hold 130,000 users in about 25 bytes each.
constexpr uint32_t kEpochHashes = 1024;
// The number of the hash that has the user's epoch.
std::string EpochHash(absl::string_view user_id);
// Where old backends publish.
std::string CommandChannel(absl::string_view user_id);
// ABORTED: a newer connection of the user has the lease.
absl::StatusOr<uint64_t> EpochOf(const RedisReply& reply);
// Writes that Redis cannot do this with the user's lease, and of which keys it may complain.
void LogBrokenKeys(const char* what, const std::string& user_id, absl::string_view why);

// Client's thread only. The references outlive this; `interruptions` counts those of the subscriptions.
class RedisClaims {
 public:
  struct Options {
    std::string lease_ttl_ms;
    bool command_channels = false;
    bool status_keys = false;
    Duration wait_max{};
    Duration command_timeout{};
  };
  struct Around {
    // Whether claims may be made; else why not.
    std::function<absl::Status()> ready;
    // A lease that was claimed may have been replaced already.
    std::function<void(const std::string& edge_id, const Registry::Held& held)> refresh;
    // A lease that nobody wants any more.
    std::function<void(const std::string& user_id, const std::string& edge_id, uint64_t epoch)> release;
  };
  RedisClaims(RedisClient& client, LeaseEvents& lease_events, const uint64_t& interruptions, Options options,
              Around around)
      : client_(client),
        lease_events_(lease_events),
        interruptions_(interruptions),
        options_(std::move(options)),
        around_(std::move(around)) {}

  void Add(const Registry::ClaimRequest& request, Registry::ClaimDone done);
  // It may be that claims can be made now.
  void RunQueued();
  // What Redis answers later is released.
  void EndAll(const absl::Status& why);

 private:
  struct Pending {
    Registry::ClaimRequest request;
    Registry::ClaimDone done;
    MonoTime deadline;
    bool sent = false;
    uint64_t interruptions = 0;  // When it was sent.
  };

  void Run(uint64_t id);
  void Send(uint64_t id);
  void OnReply(uint64_t id, const std::string& user_id, const std::string& edge_id,
               const absl::StatusOr<RedisReply>& reply);
  // The reply says that it was run too late. False: it says something else.
  bool IsLate(uint64_t id, const absl::StatusOr<RedisReply>& reply);
  void Finish(uint64_t id, const absl::StatusOr<uint64_t>& epoch);
  void ArmExpiry();

  RedisClient& client_;
  LeaseEvents& lease_events_;
  const uint64_t& interruptions_;
  const Options options_;
  const Around around_;
  const SystemClock clock_;
  absl::flat_hash_map<uint64_t, Pending> claims_;
  uint64_t claims_made_ = 0;
  std::deque<uint64_t> queued_;                    // Those that wait for Redis.
  std::deque<std::pair<MonoTime, uint64_t>> due_;  // In the order of their deadlines.
  bool expiry_armed_ = false;
};

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_REGISTRY_REDIS_CLAIMS_H_
