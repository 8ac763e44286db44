// The sentinels of a Redis group: they are asked for its master, and heard when that is another one.
#ifndef TOOLWIRE_COMMON_REGISTRY_REDIS_SENTINELS_H_
#define TOOLWIRE_COMMON_REGISTRY_REDIS_SENTINELS_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/registry/redis_connection.h"
#include "common/registry/sentinel_view.h"

namespace toolwire {

// A connection to each sentinel of the URL, dialled again for ever, on which it is asked once and then heard: so a
// switch is known as soon as the first of them publishes it. Loop thread only.
class RedisSentinels final : public RedisTarget {
 public:
  struct Options {
    RedisUrl url;   // With sentinels.
    TlsFiles* tls;  // For those, if the URL has TLS for them.
    std::string name;
    Duration command_timeout = std::chrono::seconds(1);
  };
  struct Events {
    // Address() is another one, or is known for the first time: who dials it follows.
    std::function<void()> moved;
    // No sentinel can be asked, and none has named a master.
    std::function<void(const absl::Status& why)> unknown;
  };

  RedisSentinels(asio::io_context& io, const Options& options, Events events);
  ~RedisSentinels() override;

  void Start();
  void Stop();

  std::optional<RedisAddress> Address() const override { return view_.master(); }
  void Dialled(const RedisAddress& address, bool works) override { view_.Dialled(address, works); }
  // Of the sentinels that cannot be asked at the moment, why.
  std::vector<std::string> Unavailable() const;

 private:
  struct Sentinel {
    std::unique_ptr<RedisConnection> connection;
    absl::Status why;  // It is unavailable.
  };
  void OnUp(size_t sentinel, const std::vector<RedisReply>& setup);
  void OnDown(size_t sentinel, const absl::Status& why);

  const Events events_;
  SentinelView view_;
  std::vector<Sentinel> sentinels_;
  bool stopped_ = false;
};

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_REGISTRY_REDIS_SENTINELS_H_
