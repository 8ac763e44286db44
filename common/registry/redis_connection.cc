// The name is looked up first, which takes as long as it takes. A Link is one socket with its buffers: dialled, set up
// (login, database, name, scripts, PING last), then up. Handlers hold the Link that they belong to and do nothing if it
// is no longer `link_`. Replies belong to commands in their order. A Link whose server owes answers, and for the
// command timeout neither sends nor takes anything, is dropped; what waits fails, and the next Link is dialled after a
// back-off.

#include "common/registry/redis_connection.h"

#include <hiredis/hiredis.h>

#include <algorithm>
#include <array>
#include <deque>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/registry/redis_socket.h"

namespace toolwire {
namespace {

constexpr Duration kConnectTimeout = std::chrono::seconds(2);
constexpr Duration kBackOffMin = std::chrono::milliseconds(50);
constexpr Duration kBackOffMax = std::chrono::seconds(2);
constexpr Duration kMessagesLookEvery = std::chrono::milliseconds(100);
constexpr int kLooksEach = 5;                                    // For progress, in the time of one command timeout.
// What may wait to be written while Redis does not read.
constexpr size_t kUnwrittenMax = 256u << 20;

// The type of TLS's alerts, which is no type of Redis's replies.
constexpr char kTlsAlert = 0x15;
constexpr char kMaySpeakTls[] = "; if it speaks TLS, the URL must begin with rediss://";
// Redis without TLS takes a handshake for a command that is not complete.
constexpr char kHandshakeTimedOut[] =
    "the TLS handshake timed out; if it speaks no TLS, the URL must begin with redis://";

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

// The answer to INFO: lines of `name:value`.
std::string RunIdIn(absl::string_view info) {
  constexpr absl::string_view kField = "run_id:";
  const size_t begin = info.find(kField);
  if (begin == absl::string_view::npos) return "";
  const absl::string_view value = info.substr(begin + kField.size());
  return std::string(value.substr(0, value.find_first_of("\r\n")));
}

void AppendCommand(const RedisArgs& args, std::string* out) {
  absl::StrAppend(out, "*", args.size(), "\r\n");
  for (const std::string& arg : args) absl::StrAppend(out, "$", arg.size(), "\r\n", arg, "\r\n");
}

}  // namespace

struct RedisConnection::Link {
  Link(asio::io_context& io, TlsFiles* tls) : socket(io, tls), timer(io), look(io) {}
  ~Link() { redisReaderFree(reader); }

  RedisSocket socket;
  asio::steady_timer timer;  // The connect timeout, then the command timeout.
  redisReader* const reader = redisReaderCreate();
  std::array<char, 16384> in;
  std::string out;
  std::string writing;
  bool flush_posted = false;
  struct Waiting {
    RedisDone done;
    uint64_t ends_at;  // Its last byte, counted from the first of the connection.
  };
  std::deque<Waiting> waiting;
  uint64_t appended = 0;  // Bytes: in all,
  uint64_t taken = 0;     // of these by the kernel,
  uint64_t acked = 0;     // and by the server's kernel, as of the last look.
  bool watching = false;
  RedisAddress to;
  std::string run_id;
  bool has_answered = false;  // Anything.
  MonoTime progress;          // When Redis last sent something, or took a part of the command whose answer is next.
  asio::steady_timer look;
  MonoTime drained;  // When nothing that had come was unread.
};

RedisConnection::RedisConnection(asio::io_context& io, Options options, Events events)
    : io_(io),
      options_(std::move(options)),
      events_(std::move(events)),
      address_(options_.url.Address()),
      redial_(io),
      lookup_(io),
      back_off_(kBackOffMin) {}

RedisConnection::~RedisConnection() = default;

void RedisConnection::Start() { Dial(); }

void RedisConnection::Stop() {
  stopped_ = true;
  redial_.cancel();
  lookup_.Cancel();
  if (link_) Drop(link_, Unavailable("closed"));
}

size_t RedisConnection::waiting() const { return link_ ? link_->waiting.size() : 0; }

void RedisConnection::Send(const RedisArgs& args, RedisDone done) {
  if (!up_) return done(Unavailable("not connected"));
  if (link_->out.size() > kUnwrittenMax) return done(Unavailable("too much waits to be written"));
  Append(link_, args, std::move(done));
}

bool RedisConnection::NamesServer(const absl::Status& down) {
  return absl::IsUnavailable(down) || absl::IsFailedPrecondition(down);
}

absl::Status RedisConnection::Unavailable(absl::string_view why) const { return AtServer(absl::UnavailableError(why)); }

absl::Status RedisConnection::AtServer(const absl::Status& status) const {
  return {status.code(), absl::StrCat(options_.kind, " at ", address_, ": ", status.message())};
}

// --- a connection's life ---------------------------------------------------------------------------------------------

void RedisConnection::Dial() {
  const std::optional<RedisAddress> to = options_.target == nullptr ? options_.url.server : options_.target->Address();
  if (!to || lookup_.is_running()) return;  // Until Follow, or until it has ended.
  address_ = to->Text();
  dialled_at_ = clock_.Now();
  redial_.expires_after(kConnectTimeout);
  redial_.async_wait([this](const asio::error_code& ec) {
    if (!ec && lookup_.is_running()) events_.down(Unavailable("its name is being looked up for long"));
  });
  lookup_.Start(to->host, to->port, [this, to = *to](const absl::StatusOr<NameLookup::Endpoints>& endpoints) {
    redial_.cancel();
    if (options_.target != nullptr && options_.target->Address() != to) return Dial();
    if (!endpoints.ok()) return LookUpFailed(endpoints.status());
    Connect(to, *endpoints);
  });
}

void RedisConnection::LookUpFailed(const absl::Status& why) {
  events_.down(AtServer(why));
  if (stopped_) return;
  DialIn(back_off_);
  back_off_ = std::min(2 * back_off_, kBackOffMax);
}

void RedisConnection::Connect(const RedisAddress& to, NameLookup::Endpoints endpoints) {
  const RedisUrl& url = options_.url;
  const LinkPtr link = link_ = std::make_shared<Link>(io_, options_.tls);
  link->to = to;
  link->timer.expires_after(kConnectTimeout);
  link->timer.async_wait([this, link](const asio::error_code& ec) {
    if (ec || link != link_) return;
    Drop(link, Unavailable(link->socket.is_shaking() ? kHandshakeTimedOut : "connecting timed out"));
  });
  // In plain is only asked who may be.
  if (url.tls && options_.tls == nullptr) return Drop(link, Unavailable("there are no CAs to check its certificate"));
  link->socket.Dial(std::move(endpoints), url.tls_name.empty() ? to.host : url.tls_name,
                    [this, link](const absl::Status& status) {
                      if (link != link_) return;
                      if (!status.ok()) return Drop(link, AtServer(status));
                      SetUp(link);
                    });
}

const std::string& RedisConnection::run_id() const {
  static const std::string* const none = new std::string;
  return link_ ? link_->run_id : *none;
}

bool RedisConnection::is_loopback() const { return link_ && link_->socket.is_loopback(); }

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
  // Not every user of Redis may do these, and little depends on them. The first answer may be no answer to the command:
  // that the server takes no more clients.
  const auto may = [must](absl::StatusOr<RedisReply> reply) {
    if (absl::StrContains(reply.status().message(), "max number of clients")) must(std::move(reply));
  };
  Append(link, {"CLIENT", "SETNAME", options_.name}, may);
  if (options_.asks_run_id) {
    Append(link, {"INFO", "server"}, [link, may](absl::StatusOr<RedisReply> reply) {
      if (reply.ok()) link->run_id = RunIdIn(reply->text);
      may(std::move(reply));
    });
  }
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
    // A server that cannot write its snapshot refuses PING, too, but no subscriptions.
    const bool takes_no_writes = absl::StartsWith(reply.status().message(), "MISCONF");
    if (!reply.ok() && !takes_no_writes) return must(std::move(reply));
    const absl::Status good = options_.check ? options_.check(*replies) : absl::OkStatus();
    if (!good.ok()) return Drop(link, AtServer(good));
    if (options_.target != nullptr) options_.target->Dialled(link->to, true);
    up_ = true;
    up_since_ = link->drained = clock_.Now();
    if (events_.message) LookForMessages(link);
    events_.up(std::move(*replies));
  });
  Read(link);
}

void RedisConnection::Lose(const LinkPtr& link, const absl::Status& why) {
  const bool may_speak_tls = options_.tls == nullptr && !link->has_answered;
  Drop(link, AtServer({why.code(), absl::StrCat(why.message(), may_speak_tls ? kMaySpeakTls : "")}));
}

// By value: the link to drop is often `link_` itself.
void RedisConnection::Drop(LinkPtr link, const absl::Status& why) {
  link_ = nullptr;
  link->timer.cancel();
  link->look.cancel();
  link->socket.Close();
  // A server that takes connections and loses them at once is not dialled more often than one that cannot be reached.
  const bool was_up = std::exchange(up_, false);
  if (was_up && clock_.Now() - up_since_ >= back_off_) back_off_ = kBackOffMin;
  if (!was_up && options_.target != nullptr && !stopped_) options_.target->Dialled(link->to, false);
  events_.down(why);
  const absl::Status lost = NamesServer(why) ? absl::UnavailableError(why.message()) : Unavailable(why.message());
  for (const Link::Waiting& one : link->waiting) one.done(lost);
  link->waiting.clear();
  if (stopped_) return;
  DialIn(back_off_);
  back_off_ = std::min(2 * back_off_, kBackOffMax);
}

void RedisConnection::DialIn(Duration wait) {
  redial_.expires_after(wait);
  redial_.async_wait([this](const asio::error_code& ec) {
    if (!ec && !stopped_ && !link_) Dial();
  });
}

void RedisConnection::Redial(absl::string_view why) {
  if (link_ && !stopped_) Drop(link_, Unavailable(why));
}

void RedisConnection::Follow() {
  const auto to = options_.target->Address();
  if (stopped_ || !to || (link_ && link_->to == *to)) return;
  if (link_) Drop(link_, Unavailable(absl::StrCat("the master is now ", to->Text())));
  // Whoever names masters in quick succession does not keep us busy.
  back_off_ = kBackOffMin;
  DialIn(std::max(Duration::zero(), dialled_at_ + kBackOffMin - clock_.Now()));
}

// --- out -------------------------------------------------------------------------------------------------------------

void RedisConnection::Append(const LinkPtr& link, const RedisArgs& args, RedisDone done) {
  const size_t before = link->out.size();
  AppendCommand(args, &link->out);
  link->appended += link->out.size() - before;
  if (link->waiting.empty()) link->progress = clock_.Now();
  link->waiting.push_back({std::move(done), link->appended});
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
  const auto moved = [link](size_t bytes) { link->taken += bytes; };
  link->socket.Write(link->writing, moved, [this, link](const absl::Status& status) {
    if (link != link_) return;
    if (!status.ok()) return Lose(link, status);
    link->writing = std::string();  // A burst's buffer is not kept.
    Flush(link);
  });
}

// --- in --------------------------------------------------------------------------------------------------------------

void RedisConnection::Read(const LinkPtr& link) {
  link->socket.Read(link->in.data(), link->in.size(), [this, link](const absl::Status& status, size_t bytes) {
    if (link != link_) return;
    if (!status.ok()) return Lose(link, status);
    if (!link->has_answered && link->in[0] == kTlsAlert) {
      return Lose(link, absl::FailedPreconditionError("not Redis's protocol"));
    }
    link->has_answered = true;
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
    events_.message(std::move(reply->items[1].text), std::move(reply->items[2].text), link->drained);
    return link == link_;
  }
  if (link->waiting.empty()) {
    // Unasked: "max number of clients reached", for one.
    Drop(link, reply.ok() ? Unavailable("an answer to nothing") : reply.status());
    return false;
  }
  const RedisDone done = std::move(link->waiting.front().done);
  link->waiting.pop_front();
  // A primary that became a replica: the name may lead to another server by now.
  const bool demoted = !reply.ok() && IsReadOnly(reply.status().message());
  if (demoted) Drop(link, reply.status());
  done(std::move(reply));
  return link == link_;
}

// While this process stands still, messages come all the same: they are as old as the last look that found none, at
// most.
void RedisConnection::LookForMessages(const LinkPtr& link) {
  link->look.expires_after(kMessagesLookEvery);
  link->look.async_wait([this, link](const asio::error_code& ec) {
    if (ec || link != link_) return;
    if (!link->socket.HasUnread()) link->drained = clock_.Now();
    LookForMessages(link);
  });
}

// A command that is still on its way cannot be answered. How far it is is looked at now and then.
void RedisConnection::Watch(const LinkPtr& link) {
  link->watching = true;
  const MonoTime ends = link->progress + options_.command_timeout;
  link->timer.expires_at(std::min(ends, clock_.Now() + options_.command_timeout / kLooksEach));
  link->timer.async_wait([this, link](const asio::error_code& ec) {
    if (ec || link != link_) return;
    const uint64_t acked = link->taken - std::min<uint64_t>(link->taken, link->socket.Unacknowledged());
    const uint64_t before = std::exchange(link->acked, std::max(link->acked, acked));
    const bool is_on_its_way = !link->waiting.empty() && before < link->waiting.front().ends_at;
    if (is_on_its_way && link->acked > before) link->progress = clock_.Now();
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
