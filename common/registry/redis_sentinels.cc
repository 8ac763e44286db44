// The question and the subscription leave in one write, so that a sentinel can publish nothing between them that we
// would not hear. A sentinel that does not know the name is dialled again like one that cannot be reached: it may be
// told it.

#include "common/registry/redis_sentinels.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/base/log.h"

namespace toolwire {
namespace {

constexpr char kSwitches[] = "+switch-master";

std::optional<RedisAddress> MasterOf(const std::vector<RedisReply>& setup) {
  if (setup.empty() || setup[0].items.size() != 2) return std::nullopt;
  return RedisAddress::Read(setup[0].items[0].text, setup[0].items[1].text);
}

}  // namespace

RedisSentinels::RedisSentinels(asio::io_context& io, const Options& options, Events events)
    : events_(std::move(events)), view_(options.url.master_name, options.url.sentinels.size()) {
  const auto check = [name = options.url.master_name](const std::vector<RedisReply>& setup) {
    if (MasterOf(setup)) return absl::OkStatus();
    return absl::UnavailableError(absl::StrCat("this sentinel knows no master with the name ", name));
  };
  for (size_t i = 0; i < options.url.sentinels.size(); ++i) {
    RedisConnection::Options one;
    one.url = options.url.OfSentinel(i);
    one.tls = one.url.tls ? options.tls : nullptr;
    one.kind = "sentinel";
    one.name = absl::StrCat(options.name, "-sentinel");
    one.setup = {{"SENTINEL", "get-master-addr-by-name", options.url.master_name}, {"SUBSCRIBE", kSwitches}};
    one.check = check;
    one.command_timeout = options.command_timeout;
    RedisConnection::Events heard;
    heard.up = [this, i](const std::vector<RedisReply>& setup) { OnUp(i, setup); };
    heard.down = [this, i](const absl::Status& why) { OnDown(i, why); };
    heard.message = [this, i](const std::string&, const std::string& message, MonoTime) {
      if (view_.Published(i, message)) events_.moved();
    };
    sentinels_.push_back({std::make_unique<RedisConnection>(io, std::move(one), std::move(heard)), absl::OkStatus()});
  }
}

RedisSentinels::~RedisSentinels() = default;

void RedisSentinels::Start() {
  for (const Sentinel& one : sentinels_) one.connection->Start();
}

void RedisSentinels::Stop() {
  stopped_ = true;
  for (const Sentinel& one : sentinels_) one.connection->Stop();
}

void RedisSentinels::OnUp(size_t sentinel, const std::vector<RedisReply>& setup) {
  Sentinel& one = sentinels_[sentinel];
  if (!one.why.ok()) log::Info("redis sentinel available again", {{"address", one.connection->address()}});
  one.why = absl::OkStatus();
  if (view_.Answered(sentinel, *MasterOf(setup))) events_.moved();
}

void RedisSentinels::OnDown(size_t sentinel, const absl::Status& why) {
  if (stopped_) return;
  Sentinel& one = sentinels_[sentinel];
  view_.Lost(sentinel);
  if (one.why.message() != why.message()) {
    log::Warn("redis sentinel unavailable",
              {{"address", one.connection->address()}, {"why", std::string(why.message())}});
  }
  one.why = why;
  const bool all_failed =
      std::all_of(sentinels_.begin(), sentinels_.end(), [](const Sentinel& each) { return !each.why.ok(); });
  if (all_failed && !view_.master()) {
    events_.unknown({why.code(), absl::StrCat("no sentinel can be asked for the master: ", why.message())});
  }
}

std::vector<std::string> RedisSentinels::Unavailable() const {
  std::vector<std::string> all;
  for (const Sentinel& one : sentinels_) {
    if (!one.why.ok()) all.emplace_back(one.why.message());
  }
  return all;
}

}  // namespace toolwire
