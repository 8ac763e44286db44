// The registry that processes on many machines share: leases, edges and the old channels in one Redis.
#ifndef TOOLWIRE_COMMON_REGISTRY_REDIS_REGISTRY_H_
#define TOOLWIRE_COMMON_REGISTRY_REDIS_REGISTRY_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/base/counter.h"
#include "common/registry/redis_tls.h"
#include "common/registry/registry.h"

namespace toolwire {

struct RedisCounters;

// The set of the edges' ids; see below.
inline constexpr char kAnnouncedEdgesKey[] = "toolwire:edges";
// What the key `edge:{edge}` holds. Nothing if it is not what an edge writes.
std::optional<EdgeAddress> ReadAnnouncement(const std::string& edge_id, const std::string& text);

// Keys, of which the first two are also read by the replaced server and its backends:
//
//   agent:{user}:server      the edge's id; expires with the lease
//   agent:{user}:status      "connected"; expires with the lease; only with `status_keys`
//   toolwire:epochs:{n}      hash of user to epoch, the record of all leases (redis_scripts.cc); 1,024 of them: a field
//                            is a fifth of a key; kept for a day after the last lease
//   toolwire:generation      when the oldest of these keys was made: missing if Redis was emptied
//   edge:{edge}              {"address", "instance"} in JSON; expires when the edge no longer writes it
//   toolwire:edges           set of edge ids
//   toolwire:owed:*          see old_channels.h
//   toolwire:said:*          messages that were published, for as long as they may be published again
//   toolwire:probe           shows that Redis takes writes; a channel, too
//
// and channels:
//
//   agent:{user}:commands    tool calls from old backends
//   response:{request}       their answers
//   edge:{edge}:leases       "claimed <epoch> <user>" and "replaced <epoch> <user>", to that edge
//   toolwire:leases          "replaced <epoch> <user>", to all edges, if it is not known which one has it; "emptied
//                            <edge>", by the edge that finds no generation
//   toolwire:edges           the id of an edge that came or went
//   toolwire:strays          see old_channels.h; toolwire:strays:{instance} alike
//
// In an environment other than that of database 0 our own channels, that is all but agent:* and response:*, begin with
// `toolwire:{environment}:`. The names of the old channels are given, so that only one environment of a server may
// serve them: `toolwire:old-channels` in database 0 says which; the others make no claims.
//
// Every change of a lease is one script. With command channels, a claim also publishes "claimed" to the claiming
// edge's own channel: on the edge's one subscription connection that marks, among the messages for the user, the first
// one that was published under the new lease, as "replaced" marks the first one that no longer is.
//
// Callbacks run on the registry's thread, with no lock held. One edge may join. While Redis is unavailable,
// claims wait up to `claim_wait_max`, releases are queued, look-ups fail, no events arrive. Redis Cluster is not
// supported.
class RedisRegistry final : public Registry {
 public:
  struct Options {
    std::string url;  // As ParseRedisUrl wants it.
    RedisTlsOptions tls;
    std::string name = "toolwire";  // What CLIENT LIST shows.
    // Keeps apart what shares a server: our channels carry it in their names, as channels know no databases. Empty:
    // made of the number of the URL's database, none for 0. Letters, digits, `-`, `_` and `.`
    std::string environment;
    Duration lease_ttl = kLeaseTtl;
    Duration edge_ttl = std::chrono::seconds(15);
    // How often an edge writes that it is alive, and a control reads which edges are.
    Duration edge_refresh = std::chrono::seconds(5);
    // Records of users without a lease are removed when they are of this age; an edge that was paused for less finds
    // that its leases were released.
    Duration record_life = std::chrono::hours(24);
    // Listen to `agent:{user}:commands` for every lease that is held. For edges.
    bool command_channels = false;
    // Write `agent:{user}:status`, which only backends of the replaced server read.
    bool status_keys = false;
    Duration claim_wait_max = std::chrono::seconds(5);
    // How often both connections are tried, and whether Redis takes writes.
    Duration ping_every = std::chrono::seconds(5);
    // A Redis that does not answer for so long counts as unavailable: calls to agents that are not known fail then.
    Duration command_timeout = std::chrono::seconds(1);
  };
  using MessageHandler = std::function<void(std::string message)>;
  using PublishDone = std::function<void(absl::StatusOr<int64_t> receivers)>;

  // INVALID_ARGUMENT if the URL is not one; or as of LoadRedisTls. Does not wait for Redis.
  static absl::StatusOr<std::unique_ptr<RedisRegistry>> Create(const Options& options);
  // What is wrong with a value of Options::environment; empty: nothing.
  static std::string EnvironmentProblem(const std::string& environment);
  // Fails what is unanswered, and waits for the thread. Call Leave first.
  ~RedisRegistry() override;

  using Registry::Claim;
  void Claim(const ClaimRequest& request, ClaimDone done) override;
  void Refresh(const std::string& edge_id, std::vector<Held> held) override;
  void Release(const std::string& user_id, const std::string& edge_id, uint64_t epoch, ReleaseDone done) override;
  void Lookup(const std::string& user_id, LookupDone done) override;
  void Join(const EdgeAddress& self, EdgeEvents events) override;
  // Blocks for at most 1 s. Claims that are unanswered fail before it returns.
  void Leave(const std::string& edge_id, MonoTime until) override;
  void WatchEdges(EdgesChanged changed) override;
  void ListEdges(ListDone done) override;
  bool connected() const override;

  // --- channels ---
  // `done` may be empty. UNAVAILABLE if it is not known whether the message was published.
  void Publish(const std::string& channel, std::string message, PublishDone done);
  // The same for a message that may have been published before, under the same name, which is unlike that of any other:
  // it is received once. That is remembered for `life`.
  void PublishOnce(const std::string& name, Duration life, const std::string& channel, std::string message,
                   PublishDone done);
  // Messages on this channel go to `handler`, from when `acknowledged` is called. One handler a channel; not for those
  // above that the registry reads itself. What is subscribed before `Join` is listened to before any lease is made.
  // Of one of ours, as `toolwire:strays`: its name in this environment.
  std::string OwnChannel(const std::string& channel) const;
  void Subscribe(const std::string& channel, MessageHandler handler, std::function<void()> acknowledged);

  // --- keys of other modules, which expire ---
  void Set(const std::string& key, Duration life, std::function<void(const absl::Status&)> done);
  // Deletes the key; `done` receives whether it was there, false while Redis is unavailable.
  void Take(const std::string& key, std::function<void(bool there)> done);

  // Waits until Redis has answered everything that was begun before, or is away: what is not written when the registry
  // ends is lost. At most until then, and 1 s. Not on the registry's thread.
  void WaitAnswered(MonoTime until);

  // Looks whether the TLS files have changed; `now` reads them all. Empty if there are none. From one thread.
  std::function<void(bool now)> LookAtFiles();

  const RedisCounters& counters() const;
  void AddSamples(std::vector<Sample>* out) const;

 private:
  struct Impl;
  explicit RedisRegistry(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_REGISTRY_REDIS_REGISTRY_H_
