// One connection to a Redis server, dialled again whenever it is lost. The only module that includes hiredis, and of
// hiredis only the parser of replies: its asynchronous half blocks on names, knows no time limits, and aborts the
// process on replies it does not expect.
#ifndef TOOLWIRE_COMMON_REGISTRY_REDIS_CONNECTION_H_
#define TOOLWIRE_COMMON_REGISTRY_REDIS_CONNECTION_H_

#include <asio.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/base/clock.h"
#include "common/registry/redis_url.h"

namespace toolwire {

// What Redis answered, unless that is an error.
struct RedisReply {
  enum class Type { kNil, kInteger, kText, kArray };
  Type type = Type::kNil;
  int64_t integer = 0;
  std::string text;  // Also of errors inside of an array.
  std::vector<RedisReply> items;
};

using RedisArgs = std::vector<std::string>;

// UNAVAILABLE: Redis cannot be reached, does not answer in time, or reports that it cannot serve for now; the command
// may or may not have been carried out. PERMISSION_DENIED: credentials or rights are wrong. INTERNAL: any other error
// of Redis; the message is Redis's own.
using RedisDone = std::function<void(absl::StatusOr<RedisReply>)>;

// Loop thread only. Every `done` is called exactly once, and no event or `done` after Stop has returned.
class RedisConnection {
 public:
  struct Options {
    RedisUrl url;
    std::string name;              // What CLIENT LIST shows.
    std::vector<RedisArgs> setup;  // Sent at every connect, after the login.
    Duration command_timeout = std::chrono::seconds(1);
  };
  struct Events {
    // Ready for commands; with the replies to `setup`, all of them good.
    std::function<void(std::vector<RedisReply> setup)> up;
    // The connection was lost, or could not be made.
    std::function<void(const absl::Status& why)> down;
    // Set for a connection that subscribes: a message.
    std::function<void(std::string channel, std::string message)> message;
  };

  RedisConnection(asio::io_context& io, Options options, Events events);
  ~RedisConnection();

  void Start();
  void Stop();

  bool up() const { return up_; }
  // Commands sent and not yet answered.
  size_t waiting() const;
  // Queues one command; everything queued in one turn of the loop leaves in one write. While not up `done` fails
  // before this returns. A server that answers nothing for the command timeout although it owes answers is
  // disconnected.
  void Send(const RedisArgs& args, RedisDone done);

 private:
  struct Link;
  using LinkPtr = std::shared_ptr<Link>;

  void Dial();
  void Connect(const LinkPtr& link, const asio::ip::tcp::resolver::results_type& endpoints);
  void SetUp(const LinkPtr& link);
  void Append(const LinkPtr& link, const RedisArgs& args, RedisDone done);
  void Flush(const LinkPtr& link);
  void Read(const LinkPtr& link);
  // Each returns false once the link was dropped.
  bool TakeReplies(const LinkPtr& link);
  bool TakeReply(const LinkPtr& link, absl::StatusOr<RedisReply> reply);
  void Watch(const LinkPtr& link);
  void Drop(LinkPtr link, const absl::Status& why);
  absl::Status Unavailable(absl::string_view why) const;

  asio::io_context& io_;
  const Options options_;
  const Events events_;
  const SystemClock clock_;
  asio::steady_timer redial_;
  Duration back_off_;
  MonoTime up_since_;
  bool up_ = false;
  bool stopped_ = false;
  LinkPtr link_;  // The current socket and what goes with it. Handlers of earlier ones find another one here.
};

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_REGISTRY_REDIS_CONNECTION_H_
