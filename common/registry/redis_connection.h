// One connection to a Redis server, dialled again whenever it is lost. The only module that includes hiredis, and of
// hiredis only the parser of replies: its asynchronous half blocks on names, knows no time limits, and aborts the
// process on replies it does not expect.
#ifndef TOOLWIRE_COMMON_REGISTRY_REDIS_CONNECTION_H_
#define TOOLWIRE_COMMON_REGISTRY_REDIS_CONNECTION_H_

#include <asio.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/base/clock.h"
#include "common/registry/name_lookup.h"
#include "common/registry/redis_url.h"
#include "common/tls/tls_files.h"

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
// of Redis; the message is Redis's own. `down` also reports FAILED_PRECONDITION: no TLS with this server.
using RedisDone = std::function<void(absl::StatusOr<RedisReply>)>;

// Which server a connection is for, where that may change.
class RedisTarget {
 public:
  virtual ~RedisTarget() = default;
  // Nothing: not known yet; Follow is called once it is.
  virtual std::optional<RedisAddress> Address() const = 0;
  // What became of dialling it: a connection is up, or cannot be made.
  virtual void Dialled(const RedisAddress& address, bool works) = 0;
};

// Loop thread only. Every `done` is called exactly once, and no event or `done` after Stop has returned.
class RedisConnection {
 public:
  struct Options {
    RedisUrl url;
    TlsFiles* tls = nullptr;        // Null unless the URL has TLS.
    RedisTarget* target = nullptr;  // Instead of the URL's server.
    const char* kind = "redis";     // What it is, in messages.
    std::string name;               // What CLIENT LIST shows.
    bool asks_run_id = false;       // With INFO.
    std::vector<RedisArgs> setup;   // Sent at every connect, after the login.
    // Whether the server is one to stay with, by its replies to `setup`; may be empty.
    std::function<absl::Status(const std::vector<RedisReply>& setup)> check;
    Duration command_timeout = std::chrono::seconds(1);
  };
  struct Events {
    // Ready for commands; with the replies to `setup`, all of them good.
    std::function<void(std::vector<RedisReply> setup)> up;
    // The connection was lost, or could not be made.
    std::function<void(const absl::Status& why)> down;
    // Set for a connection that subscribes: a message, and a time before which it was not published.
    std::function<void(std::string channel, std::string message, MonoTime born)> message;
  };

  RedisConnection(asio::io_context& io, Options options, Events events);
  ~RedisConnection();

  // Whether the message of a status given to `down` begins with the address; Redis's own errors do not.
  static bool NamesServer(const absl::Status& down);

  void Start();
  void Stop();

  // Leaves the server, and dials again.
  void Redial(absl::string_view why);
  // The target may have changed: leaves a server that is another one, and dials without waiting for the back-off.
  void Follow();

  bool up() const { return up_; }
  // host:port of the server that was dialled last, for people; also for comparing two connections.
  const std::string& address() const { return address_; }
  // Which start of which server this is; empty if it was not asked, or the login may not ask. While up.
  const std::string& run_id() const;
  // The server is on this machine. While up.
  bool is_loopback() const;
  // Commands sent and not yet answered.
  size_t waiting() const;
  // Queues one command; everything queued in one turn of the loop leaves in one write. While not up `done` fails
  // before this returns. A server that answers nothing for the command timeout although it owes answers, and takes
  // nothing of the command that it has to answer next, is disconnected.
  void Send(const RedisArgs& args, RedisDone done);

 private:
  struct Link;
  using LinkPtr = std::shared_ptr<Link>;

  void Dial();
  void Connect(const RedisAddress& to, NameLookup::Endpoints endpoints);
  void LookUpFailed(const absl::Status& why);
  void DialIn(Duration wait);
  void SetUp(const LinkPtr& link);
  void Append(const LinkPtr& link, const RedisArgs& args, RedisDone done);
  void Flush(const LinkPtr& link);
  void Read(const LinkPtr& link);
  // Each returns false once the link was dropped.
  bool TakeReplies(const LinkPtr& link);
  bool TakeReply(const LinkPtr& link, absl::StatusOr<RedisReply> reply);
  void Watch(const LinkPtr& link);
  void LookForMessages(const LinkPtr& link);
  void Drop(LinkPtr link, const absl::Status& why);
  // Reading or writing has failed.
  void Lose(const LinkPtr& link, const absl::Status& why);
  absl::Status Unavailable(absl::string_view why) const;
  // The same error, with the server's address before it.
  absl::Status AtServer(const absl::Status& status) const;

  asio::io_context& io_;
  const Options options_;
  const Events events_;
  const SystemClock clock_;
  std::string address_;
  asio::steady_timer redial_;
  NameLookup lookup_;
  Duration back_off_;
  MonoTime up_since_;
  MonoTime dialled_at_{};
  bool up_ = false;
  bool stopped_ = false;
  LinkPtr link_;  // The current socket and what goes with it. Handlers of earlier ones find another one here.
};

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_REGISTRY_REDIS_CONNECTION_H_
