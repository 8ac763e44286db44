// Asks one question after the other over one connection (time, INFO, the set of edges, their keys, a script that
// writes, each kind of subscription) in an event loop of its own, which ends with the last answer, the first failure or
// the timeout.

#include "common/registry/redis_inspection.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/registry/redis_connection.h"
#include "common/registry/redis_registry.h"
#include "common/registry/redis_scripts.h"
#include "common/registry/redis_sentinels.h"

namespace toolwire {
namespace {

// The answer to INFO: lines of `name:value`.
RedisInspection::Server ReadInfo(const std::string& text) {
  std::map<absl::string_view, absl::string_view> fields;
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    const std::pair<absl::string_view, absl::string_view> field = absl::StrSplit(line, absl::MaxSplits(':', 1));
    fields[field.first] = absl::StripSuffix(field.second, "\r");
  }
  RedisInspection::Server server;
  server.version = std::string(fields["redis_version"]);
  server.replica = fields["role"] == "slave";
  server.cluster = fields["cluster_enabled"] == "1";
  server.eviction_policy = std::string(fields["maxmemory_policy"]);
  if (!absl::SimpleAtoi(fields["used_memory"], &server.memory_bytes)) server.memory_bytes = 0;
  if (!absl::SimpleAtoi(fields["maxmemory"], &server.memory_bytes_max)) server.memory_bytes_max = 0;
  return server;
}

// One connection, asked question after question. Everything runs within Run.
class Inspector {
 public:
  Inspector(const RedisUrl& url, TlsFiles* tls, Duration timeout)
      : url_(url),
        has_certificate_(tls != nullptr && !tls->options().certificate_file.empty()),
        timeout_(timeout),
        sentinels_(io_, {url, tls, "toolwire-doctor", timeout},
                   {[this] { connection_.Follow(); }, [this](const absl::Status& why) { End(why); }}),
        connection_(io_, ConnectionOptions(tls),
                    {[this](const auto&) { AskTime(); }, [this](const absl::Status& why) { End(why); }, {}}) {
    found_.address = url.Address();
  }

  absl::StatusOr<RedisInspection> Run() {
    sentinels_.Start();
    connection_.Start();
    io_.run_for(timeout_);
    const bool ended = ended_;
    const absl::Status status = status_;
    found_.unavailable_sentinels = sentinels_.Unavailable();
    sentinels_.Stop();
    connection_.Stop();
    io_.restart();
    io_.poll();  // Ends what the connection had under way.
    if (!ended) {
      const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(timeout_).count();
      return absl::UnavailableError(absl::StrCat("redis at ", found_.address, ": no answer within ", ms, " ms"));
    }
    if (!status.ok()) return status;
    return std::move(found_);
  }

 private:
  RedisConnection::Options ConnectionOptions(TlsFiles* tls) {
    RedisConnection::Options options;
    options.url = url_;
    options.tls = url_.tls ? tls : nullptr;
    options.target = url_.sentinels.empty() ? nullptr : &sentinels_;
    options.name = "toolwire-doctor";
    options.command_timeout = timeout_;
    return options;
  }
  void AskTime() {
    found_.address = connection_.address();
    found_.risks = RisksOf(url_, connection_.is_loopback(), has_certificate_);
    const int64_t before = WallUs();
    connection_.Send({"TIME"}, [this, before](const absl::StatusOr<RedisReply>& reply) {
      if (!reply.ok()) return End(reply.status());
      int64_t seconds = 0, us = 0;
      if (reply->items.size() != 2 || !absl::SimpleAtoi(reply->items[0].text, &seconds) ||
          !absl::SimpleAtoi(reply->items[1].text, &us)) {
        return End(absl::InternalError("redis: a time that is no number"));
      }
      found_.clock = ReadClock(seconds * 1000000 + us, before, WallUs());
      AskInfo();
    });
  }
  void AskInfo() {
    connection_.Send({"INFO"}, [this](const absl::StatusOr<RedisReply>& reply) {
      if (absl::IsUnavailable(reply.status())) return End(reply.status());
      if (reply.ok()) found_.server = ReadInfo(reply->text);
      AskEdges();
    });
  }
  void AskEdges() {
    connection_.Send({"SMEMBERS", kAnnouncedEdgesKey}, [this](const absl::StatusOr<RedisReply>& reply) {
      if (!reply.ok()) return End(reply.status());
      if (reply->items.empty()) return TryToWrite();
      std::vector<std::string> ids;
      for (const RedisReply& item : reply->items) ids.push_back(item.text);
      std::sort(ids.begin(), ids.end());
      AskAnnouncements(std::move(ids));
    });
  }
  void AskAnnouncements(std::vector<std::string> ids) {
    RedisArgs args = {"MGET"};
    for (const std::string& id : ids) args.push_back(absl::StrCat("edge:", id));
    connection_.Send(args, [this, ids](const absl::StatusOr<RedisReply>& reply) {
      if (!reply.ok() || reply->items.size() != ids.size()) return End(reply.status());
      for (size_t i = 0; i < ids.size(); ++i) {
        if (reply->items[i].type == RedisReply::Type::kNil) {
          found_.silent_edges.push_back(ids[i]);
        } else if (auto edge = ReadAnnouncement(ids[i], reply->items[i].text)) {
          found_.edges.push_back(*std::move(edge));
        } else {
          found_.strange_edges.push_back(ids[i]);
        }
      }
      TryToWrite();
    });
  }
  void TryToWrite() {
    if (found_.server && found_.server->replica) return End(absl::OkStatus());  // That says it all.
    connection_.Send({"EVAL", RegistryScripts("")[kProbeScript], "0"}, [this](const absl::StatusOr<RedisReply>& reply) {
      if (!reply.ok()) {
        // A server that counts as lost for this is asked no more.
        found_.refusals.push_back(absl::StrCat("a script that writes: ", reply.status().message()));
        if (!connection_.up()) return End(absl::OkStatus());
      }
      TryToSubscribe();
    });
  }
  // In one write; the last answer ends it.
  void TryToSubscribe() {
    const std::vector<std::string> channels = {"agent:toolwire-doctor:commands", "edge:toolwire-doctor:leases",
                                               "toolwire:leases", kAnnouncedEdgesKey};
    for (const std::string& channel : channels) {
      connection_.Send({"SUBSCRIBE", channel}, [this, channel, last = channel == channels.back()](
                                                   const absl::StatusOr<RedisReply>& reply) {
        if (!reply.ok()) {
          found_.refusals.push_back(absl::StrCat("a subscription to ", channel, ": ", reply.status().message()));
        }
        if (last) End(absl::OkStatus());
      });
    }
  }
  // The first end counts.
  void End(const absl::Status& status) {
    if (!std::exchange(ended_, true)) status_ = status;
    io_.stop();
  }

  const RedisUrl url_;
  const bool has_certificate_;
  const Duration timeout_;
  RedisInspection found_;
  bool ended_ = false;
  absl::Status status_;
  asio::io_context io_{1};
  RedisSentinels sentinels_;
  RedisConnection connection_;
};

}  // namespace

absl::StatusOr<RedisInspection> InspectRedis(const std::string& url, const RedisTlsOptions& tls, Duration timeout) {
  const auto parsed = ParseRedisUrl(url);
  if (!parsed.ok()) return absl::InvalidArgumentError(absl::StrCat("REDIS_URL: ", parsed.status().message()));
  const SystemClock clock;
  const auto files = LoadRedisTls(*parsed, tls, clock);
  if (!files.ok()) return files.status();
  return Inspector(*parsed, files->get(), timeout).Run();
}

}  // namespace toolwire
