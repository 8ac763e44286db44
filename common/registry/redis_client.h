// A Redis server as this process uses it: pipelined commands, scripts and subscriptions, on one thread of its own.
#ifndef TOOLWIRE_COMMON_REGISTRY_REDIS_CLIENT_H_
#define TOOLWIRE_COMMON_REGISTRY_REDIS_CLIENT_H_

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "common/base/clock.h"
#include "common/base/counter.h"
#include "common/base/mutex.h"
#include "common/registry/redis_connection.h"
#include "common/registry/redis_sentinels.h"

namespace toolwire {

struct RedisCounters : CounterSet {
  Counter reconnects{this, "toolwire_redis_reconnects_total", "Times that Redis was back after it had been lost."};
  Counter commands{this, "toolwire_redis_commands_total", "Commands, subscriptions included."};
  Counter master_changes{this, "toolwire_redis_master_changes_total",
                         "Times that Redis was back as another server of a Sentinel group."};
  Counter errors{this, "toolwire_redis_errors_total", "Commands answered with an error or not at all."};
};

// Two connections to one start of one server, commands and subscriptions, both pinged, and dialled again for ever (50
// ms doubling to 2 s). A server that answers and refuses the writes that are tried counts as unavailable, too. With
// Sentinel that server is a group's master, at every connect, and another one at once when it is. Subscriptions are
// kept across reconnects; what is published meanwhile is lost.
//
// Post, connected and counters: any thread. Everything else: the client's thread, that is tasks that were posted and
// callbacks; these must not block.
class RedisClient {
 public:
  using Task = std::function<void()>;
  struct Options {
    RedisUrl url;
    TlsFiles* tls = nullptr;           // What LoadRedisTls returned for the URL.
    std::string name = "toolwire";     // What CLIENT LIST shows.
    std::vector<std::string> scripts;  // Lua; loaded at every connect.
    // One of these, which writes: run at every connect and ping, to see whether the server takes writes.
    std::optional<size_t> probe;
    // How often the connections are pinged: whatever is between may keep an end open for ever.
    Duration ping_every = std::chrono::seconds(5);
    Duration command_timeout = std::chrono::seconds(1);
    size_t outstanding_max = 100'000;  // Commands without an answer; more are UNAVAILABLE.
  };
  struct Events {
    // Both connections are up, every subscription is acknowledged, and writes are taken: for the first time, or
    // `again`.
    std::function<void(bool again)> up;
    // The subscriptions were interrupted. They are whole again when `up` is called.
    std::function<void()> interrupted;
    // `born`: it was not published before.
    std::function<void(const std::string& channel, std::string message, MonoTime born)> message;
  };

  RedisClient(Options options, Events events);
  // Fails what is unanswered. Posted tasks are all carried out; timers are forgotten.
  ~RedisClient();

  // Starts the thread and dials. Call once.
  void Start();

  // Runs `task` on the client's thread, after those posted before. The commands of a burst leave in one write.
  void Post(Task task);
  // Both connections are up, and writes are taken.
  bool connected() const { return connected_.load(std::memory_order_relaxed); }
  const RedisCounters& counters() const { return counters_; }
  bool OnClientThread() { return io_.get_executor().running_in_this_thread(); }

  // What the server's clock shows now, in us since 1970: as it was when the connection was made, or since.
  int64_t ServerTimeUs() const;
  void SetServerTimeUs(int64_t time);

  // The message of an error that a script has caught: true if it means that writes are refused, which is noted.
  bool NoteRefusal(const std::string& error);

  // Fails at once while there is no connection for commands.
  void Command(const RedisArgs& args, RedisDone done);
  // Runs `scripts[script]` with these arguments and no declared keys.
  void Eval(size_t script, const RedisArgs& args, RedisDone done);

  // Subscribes, unless that has been done, and calls `acknowledged` once the server has confirmed it: before this
  // returns, or later, also after a reconnect. Not at all if it is unsubscribed before.
  void Subscribe(const std::string& channel, Task acknowledged);
  void Unsubscribe(const std::string& channel);
  // No message is missed at the moment.
  bool subscribed() const { return subscribed_; }

  // Runs `task` once, after this time.
  void After(Duration delay, Task task);
  // Why Redis is unavailable; OK while it is not.
  const absl::Status& why() const { return why_; }

 private:
  struct Subscription {
    uint64_t id = 0;  // Distinguishes a channel's subscription from its earlier ones.
    bool acknowledged = false;
    std::vector<Task> waiting;
  };

  void DrainInbox();
  void OnCommandsUp(const std::vector<RedisReply>& setup);
  void OnSubscriptionsUp();
  void OnSubscribed(const std::string& channel, uint64_t id);
  void SendSubscribe(const std::string& channel, uint64_t id, RedisDone done);
  std::unique_ptr<RedisSentinels> MakeSentinels();
  RedisConnection::Options ConnectionOptions(const char* suffix, std::vector<RedisArgs> setup);
  // The master may be another one, or is known for the first time.
  void Follow();
  void CheckUp();
  bool ConnectionsUp() const { return commands_.up() && subscriptions_.up() && resubscribing_ == 0; }
  void Run(size_t script, const RedisArgs& args, RedisDone done);
  void Probe();
  void OnProbed(const absl::StatusOr<RedisReply>& reply);
  void Refused(const absl::Status& why);
  void Up();
  void Ping();
  void WarnOfRisks() const;
  void OnDown(const absl::Status& why);
  RedisDone Counted(RedisDone done);

  const Options options_;
  const Events events_;
  const std::string address_;

  std::atomic<bool> connected_{false};
  RedisCounters counters_;

  Mutex inbox_mu_;
  std::vector<Task> inbox_ ABSL_GUARDED_BY(inbox_mu_);
  bool inbox_posted_ ABSL_GUARDED_BY(inbox_mu_) = false;

  asio::io_context io_{1};
  asio::executor_work_guard<asio::io_context::executor_type> work_{io_.get_executor()};
  std::unique_ptr<RedisSentinels> sentinels_;  // Null: the URL has none.
  RedisConnection commands_;
  RedisConnection subscriptions_;
  std::vector<std::string> script_shas_;
  absl::flat_hash_map<std::string, Subscription> channels_;
  uint64_t subscriptions_made_ = 0;
  uint64_t resubscriptions_ = 0;
  size_t resubscribing_ = 0;  // Not yet acknowledged after a reconnect.
  bool subscribed_ = false;
  bool was_up_ = false;
  std::string server_;                       // That it was connected to last.
  absl::flat_hash_set<std::string> logged_;  // Why Redis is unavailable, since it was last connected.
  bool closing_ = false;
  const SystemClock clock_;
  int64_t server_time_offset_us_ = 0;
  absl::Status why_;
  absl::Status refused_;  // Why writes are, in Redis's words; OK: they are taken.
  bool is_probing_ = false;
  std::thread thread_;
};

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_REGISTRY_REDIS_CLIENT_H_
