// A Link is one socket with its buffers: resolved and connected, set up (login, database, name, scripts, PING last),
// then up. Handlers hold the Link that they belong to and do nothing if it is no longer `link_`. Replies belong to
// commands in their order. A Link whose server owes answers and sends nothing for the command timeout is dropped; what
// waits fails, and the next Link is dialled after a back-off.

#include "common/registry/redis_connection.h"

#include <hiredis/hiredis.h>
#include <netinet/tcp.h>

#include <algorithm>
#include <array>
#include <deque>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace toolwire {
namespace {

constexpr Duration kConnectTimeout = std::chrono::seconds(2);
constexpr Duration kBackOffMin = std::chrono::milliseconds(50);
constexpr Duration kBackOffMax = std::chrono::seconds(2);
// What may wait to be written while Redis does not read.
constexpr size_t kUnwrittenMax = 256u << 20;

// The kernel notices a peer that is gone without closing: on an idle connection after 5 s + 3 × 2 s, on a busy one
// after 6 s.
void SetSocketOptions(asio::ip::tcp::socket& socket) {
  asio::error_code ignored;
  socket.set_option(asio::ip::tcp::no_delay(true), ignored);
  socket.set_option(asio::socket_base::keep_alive(true), ignored);
  const auto set = [&](int option, int value) {
    setsockopt(socket.native_handle(), IPPROTO_TCP, option, &value, sizeof value);
  };
  set(TCP_KEEPIDLE, 5);
  set(TCP_KEEPINTVL, 2);
  set(TCP_KEEPCNT, 3);
  set(TCP_USER_TIMEOUT, 6000);
}

bool IsReadOnly(absl::string_view error) {
  return absl::StartsWith(error, "READONLY") || absl::StrContains(error, "-READONLY");
}

absl::Status StatusOf(absl::string_view error) {
  // A script's failure before Redis 7 has the cause in the middle of the message.
  for (const absl::string_view word :
       {"LOADING", "READONLY", "MASTERDOWN", "OOM", "BUSY", "MISCONF", "NOREPLICAS", "TRYAGAIN", "CLUSTERDOWN"}) {
    if (absl::StartsWith(error, word) || absl::StrContains(error, absl::StrCat("-", word))) {
      return absl::UnavailableError(error);
    }
  }
  for (const absl::string_view start :
       {"NOAUTH", "WRONGPASS", "NOPERM", "ERR invalid password", "ERR AUTH", "ERR Client sent AUTH"}) {
    if (absl::StartsWith(error, start)) return absl::PermissionDeniedError(error);
  }
  return absl::InternalError(error);
}

RedisReply Converted(const redisReply& from) {
  RedisReply to;
  switch (from.type) {
    case REDIS_REPLY_INTEGER:
      to.type = RedisReply::Type::kInteger;
      to.integer = from.integer;
      break;
    case REDIS_REPLY_STRING:
    case REDIS_REPLY_STATUS:
    case REDIS_REPLY_ERROR:
      to.type = RedisReply::Type::kText;
      to.text.assign(from.str, from.len);
      break;
    case REDIS_REPLY_ARRAY:
      to.type = RedisReply::Type::kArray;
      to.items.reserve(from.elements);
      for (size_t i = 0; i < from.elements; ++i) to.items.push_back(Converted(*from.element[i]));
      break;
    default:
      break;
  }
  return to;
}

void AppendCommand(const RedisArgs& args, std::string* out) {
  absl::StrAppend(out, "*", args.size(), "\r\n");
  for (const std::string& arg : args) absl::StrAppend(out, "$", arg.size(), "\r\n", arg, "\r\n");
}

}  // namespace

struct RedisConnection::Link {
  explicit Link(asio::io_context& io) : resolver(io), socket(io), timer(io) {}
  ~Link() { redisReaderFree(reader); }

  asio::ip::tcp::resolver resolver;
  asio::ip::tcp::socket socket;
  asio::steady_timer timer;  // The connect timeout, then the command timeout.
  redisReader* const reader = redisReaderCreate();
  std::array<char, 16384> in;
  std::string out;
  std::string writing;
  bool flush_posted = false;
  std::deque<RedisDone> waiting;
  bool watching = false;
  MonoTime progress;  // When Redis last sent something, or began to owe an answer.
};

RedisConnection::RedisConnection(asio::io_context& io, Options options, Events events)
    : io_(io), options_(std::move(options)), events_(std::move(events)), redial_(io), back_off_(kBackOffMin) {}

RedisConnection::~RedisConnection() = default;

void RedisConnection::Start() { Dial(); }

void RedisConnection::Stop() {
  stopped_ = true;
  redial_.cancel();
  if (link_) Drop(link_, Unavailable("closed"));
}

size_t RedisConnection::waiting() const { return link_ ? link_->waiting.size() : 0; }

void RedisConnection::Send(const RedisArgs& args, RedisDone done) {
  if (!up_) return done(Unavailable("not connected"));
  if (link_->out.size() > kUnwrittenMax) return done(Unavailable("too much waits to be written"));
  Append(link_, args, std::move(done));
}

absl::Status RedisConnection::Unavailable(absl::string_view why) const {
  return absl::UnavailableError(absl::StrCat("redis at ", options_.url.Address(), ": ", why));
}

// --- a connection's life ---------------------------------------------------------------------------------------------

void RedisConnection::Dial() {
  const LinkPtr link = link_ = std::make_shared<Link>(io_);
  link->timer.expires_after(kConnectTimeout);
  link->timer.async_wait([this, link](const asio::error_code& ec) {
    if (!ec && link == link_) Drop(link, Unavailable("connecting timed out"));
  });
  // Names are looked up on a thread of asio's own.
  link->resolver.async_resolve(options_.url.host, std::to_string(options_.url.port),
                               [this, link](const asio::error_code& ec, const auto& endpoints) {
                                 if (link != link_) return;
                                 if (ec) return Drop(link, Unavailable(ec.message()));
                                 Connect(link, endpoints);
                               });
}

void RedisConnection::Connect(const LinkPtr& link, const asio::ip::tcp::resolver::results_type& endpoints) {
  asio::async_connect(link->socket, endpoints, [this, link](const asio::error_code& ec, const auto&) {
    if (link != link_) return;
    if (ec) return Drop(link, Unavailable(ec.message()));
    SetSocketOptions(link->socket);
    SetUp(link);
  });
}

void RedisConnection::SetUp(const LinkPtr& link) {
  const RedisUrl& url = options_.url;
  const auto must = [this, link](absl::StatusOr<RedisReply> reply) {
    if (link == link_ && !reply.ok()) Drop(link, reply.status());
  };
  if (!url.password.empty()) {
    RedisArgs auth = {"AUTH"};
    if (!url.user.empty()) auth.push_back(url.user);
    auth.push_back(url.password);
    Append(link, auth, must);
  }
  if (url.db != 0) Append(link, {"SELECT", std::to_string(url.db)}, must);
  // Not every user of Redis may do this, and nothing depends on it.
  Append(link, {"CLIENT", "SETNAME", options_.name}, [](absl::StatusOr<RedisReply>) {});
  auto replies = std::make_shared<std::vector<RedisReply>>();
  for (const RedisArgs& args : options_.setup) {
    Append(link, args, [must, replies](absl::StatusOr<RedisReply> reply) {
      if (reply.ok()) return replies->push_back(*std::move(reply));
      must(std::move(reply));
    });
  }
  // Answered last, and by a server without a password refused if it wants one.
  Append(link, {"PING"}, [this, link, must, replies](absl::StatusOr<RedisReply> reply) {
    if (link != link_) return;
    if (!reply.ok()) return must(std::move(reply));
    up_ = true;
    up_since_ = clock_.Now();
    events_.up(std::move(*replies));
  });
  Read(link);
}

// By value: the link to drop is often `link_` itself.
void RedisConnection::Drop(LinkPtr link, const absl::Status& why) {
  link_ = nullptr;
  link->resolver.cancel();
  link->timer.cancel();
  asio::error_code ignored;
  link->socket.close(ignored);
  // A server that takes connections and loses them at once is not dialled more often than one that cannot be reached.
  if (std::exchange(up_, false) && clock_.Now() - up_since_ >= back_off_) back_off_ = kBackOffMin;
  events_.down(why);
  const absl::Status lost = absl::IsUnavailable(why) ? why : Unavailable(why.message());
  for (const RedisDone& done : link->waiting) done(lost);
  link->waiting.clear();
  if (stopped_) return;
  redial_.expires_after(back_off_);
  redial_.async_wait([this](const asio::error_code& ec) {
    if (!ec && !stopped_) Dial();
  });
  back_off_ = std::min(2 * back_off_, kBackOffMax);
}

// --- out -------------------------------------------------------------------------------------------------------------

void RedisConnection::Append(const LinkPtr& link, const RedisArgs& args, RedisDone done) {
  AppendCommand(args, &link->out);
  if (link->waiting.empty()) link->progress = clock_.Now();
  link->waiting.push_back(std::move(done));
  if (!link->watching) Watch(link);
  if (!link->writing.empty() || std::exchange(link->flush_posted, true)) return;
  asio::post(io_, [this, link] {
    link->flush_posted = false;
    if (link == link_) Flush(link);
  });
}

void RedisConnection::Flush(const LinkPtr& link) {
  if (link->out.empty() || !link->writing.empty()) return;
  link->writing.swap(link->out);
  asio::async_write(link->socket, asio::buffer(link->writing), [this, link](const asio::error_code& ec, size_t) {
    if (link != link_) return;
    if (ec) return Drop(link, Unavailable(ec.message()));
    link->writing = std::string();  // A burst's buffer is not kept.
    Flush(link);
  });
}

// --- in --------------------------------------------------------------------------------------------------------------

void RedisConnection::Read(const LinkPtr& link) {
  link->socket.async_read_some(asio::buffer(link->in), [this, link](const asio::error_code& ec, size_t bytes) {
    if (link != link_) return;
    if (ec) return Drop(link, Unavailable(ec == asio::error::eof ? "connection closed" : ec.message()));
    link->progress = clock_.Now();
    redisReaderFeed(link->reader, link->in.data(), bytes);
    if (TakeReplies(link)) Read(link);
  });
}

bool RedisConnection::TakeReplies(const LinkPtr& link) {
  for (;;) {
    void* raw = nullptr;
    if (redisReaderGetReply(link->reader, &raw) != REDIS_OK) {
      Drop(link, Unavailable(absl::StrCat("not Redis's protocol: ", link->reader->errstr)));
      return false;
    }
    if (raw == nullptr) return true;
    const std::unique_ptr<redisReply, void (*)(void*)> reply(static_cast<redisReply*>(raw), freeReplyObject);
    const bool error = reply->type == REDIS_REPLY_ERROR;
    if (!TakeReply(link, error ? absl::StatusOr<RedisReply>(StatusOf({reply->str, reply->len})) : Converted(*reply))) {
      return false;
    }
  }
}

bool RedisConnection::TakeReply(const LinkPtr& link, absl::StatusOr<RedisReply> reply) {
  if (events_.message && reply.ok() && reply->items.size() == 3 && reply->items[0].text == "message") {
    events_.message(std::move(reply->items[1].text), std::move(reply->items[2].text));
    return link == link_;
  }
  if (link->waiting.empty()) {
    // Unasked: "max number of clients reached", for one.
    Drop(link, reply.ok() ? Unavailable("an answer to nothing") : reply.status());
    return false;
  }
  const RedisDone done = std::move(link->waiting.front());
  link->waiting.pop_front();
  // A primary that became a replica: the name may lead to another server by now.
  const bool demoted = !reply.ok() && IsReadOnly(reply.status().message());
  if (demoted) Drop(link, reply.status());
  done(std::move(reply));
  return link == link_;
}

void RedisConnection::Watch(const LinkPtr& link) {
  link->watching = true;
  link->timer.expires_at(link->progress + options_.command_timeout);
  link->timer.async_wait([this, link](const asio::error_code& ec) {
    if (ec || link != link_) return;
    if (link->waiting.empty()) {
      link->watching = false;
    } else if (clock_.Now() - link->progress >= options_.command_timeout) {
      Drop(link, Unavailable("no answer in time"));
    } else {
      Watch(link);
    }
  });
}

}  // namespace toolwire
