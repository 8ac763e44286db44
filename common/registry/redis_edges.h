// Which edges are alive, as Redis has it: an edge announces itself, a control reads them all.
#ifndef TOOLWIRE_COMMON_REGISTRY_REDIS_EDGES_H_
#define TOOLWIRE_COMMON_REGISTRY_REDIS_EDGES_H_

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/registry/redis_client.h"
#include "common/registry/registry.h"

namespace toolwire {

// Client's thread only. `client` outlives this.
class RedisEdges {
 public:
  struct Options {
    Duration ttl;
    std::string prefix;       // Of our channels' names.
    std::string environment;  // Whose old channels are served; empty: none are.
    int database = 0;
  };
  struct Events {
    // Redis no longer has what this edge wrote.
    std::function<void()> emptied;
    // Whether this environment may serve the old channels: the first time that is known, and when it changes.
    std::function<void()> may_serve_changed;
  };
  RedisEdges(RedisClient& client, Options options, Events events);

  // Nobody else serves the old channels of this Redis; or this edge does not.
  bool may_serve() const { return options_.environment.empty() || may_serve_.value_or(false); }
  // The environment that serves them; empty if that is ours, or is not known.
  const std::string& served_by() const { return served_by_; }

  // --- of an edge ---
  // From now on, at every Tick.
  void Announce(const EdgeAddress& self);
  // `left` may be called before this returns.
  void Leave(std::function<void()> left);

  // --- of a control ---
  // An edge that vanishes without having left is still listed for one more `edge_ttl`: Redis may have been emptied.
  void Watch(Registry::EdgesChanged changed);
  // Somebody has announced this edge.
  void Named(std::string edge_id);
  void List(Registry::ListDone done);

  void Tick();
  // Redis is available, for the first time or again.
  void OnUp();
  // No event any more.
  void Stop();

 private:
  struct Announced {
    EdgeAddress self;
    std::string value;          // Of the edge's key.
    bool is_announced = false;  // Since Redis was last connected.
    MonoTime contested{};       // When another process last wrote the same key.
    bool is_refused = false;    // By Redis, and that was logged.
  };
  struct Watched {
    explicit Watched(Registry::EdgesChanged on_change) : changed(std::move(on_change)) {}
    Registry::EdgesChanged changed;
    bool reading = false;
    bool read_again = false;
    bool reported = false;
    std::map<std::string, EdgeAddress> edges;       // As last reported.
    std::map<std::string, MonoTime> missing_since;  // Of these, those whose key is gone.
    std::set<std::string> named;                    // Announced since the last read was sent.
  };

  void Write();
  void OnWritten(const RedisReply& before);
  void OnRefused(const absl::Status& why);
  void OnServed(const std::string& other);
  void Read();
  void OnRead(const RedisReply& reply, const std::set<std::string>& named);

  RedisClient& client_;
  const Options options_;
  const Events events_;
  const SystemClock clock_;
  std::optional<Announced> edge_;
  std::optional<Watched> watch_;
  std::optional<bool> may_serve_;
  std::string served_by_;
  MonoTime served_at_{};  // By another one, when last seen.
};

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_REGISTRY_REDIS_EDGES_H_
