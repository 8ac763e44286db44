// One thread runs everything. Tasks of other threads go through an inbox that is emptied in one turn, so that the
// commands of a burst leave in one write. Commands and subscriptions have a connection each; the client is up when both
// are, the scripts are loaded and every subscription is acknowledged again. Scripts are called by their hash, and sent
// as text when the server does not know it.

#include "common/registry/redis_client.h"

#include <future>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/log.h"

namespace toolwire {
namespace {

RedisConnection::Options CommandOptions(const RedisClient::Options& options) {
  std::vector<RedisArgs> loads;
  for (const std::string& script : options.scripts) loads.push_back({"SCRIPT", "LOAD", script});
  return {options.url, options.name, std::move(loads), options.command_timeout};
}

}  // namespace

RedisClient::RedisClient(Options options, Events events)
    : options_(std::move(options)),
      events_(std::move(events)),
      address_(options_.url.Address()),
      commands_(io_, CommandOptions(options_),
                {[this](const std::vector<RedisReply>& setup) { OnCommandsUp(setup); },
                 [this](const absl::Status& why) { OnDown(why); }, nullptr}),
      subscriptions_(
          io_, {options_.url, absl::StrCat(options_.name, "-subscriptions"), {}, options_.command_timeout},
          {[this](const auto&) { OnSubscriptionsUp(); },
           [this](const absl::Status& why) {
             const bool was_subscribed = std::exchange(subscribed_, false);
             for (auto& [channel, subscription] : channels_) subscription.acknowledged = false;
             OnDown(why);
             if (was_subscribed) events_.interrupted();
           },
           [this](const std::string& channel, std::string message) { events_.message(channel, std::move(message)); }}),
      why_(absl::UnavailableError(absl::StrCat("redis at ", address_, ": connecting"))) {}

void RedisClient::Start() {
  Post([this] {
    commands_.Start();
    subscriptions_.Start();
  });
  thread_ = std::thread([this] { io_.run(); });
}

RedisClient::~RedisClient() {
  // The tasks that callbacks post while everything ends are run, too.
  Post([this] {
    logged_lost_ = true;
    commands_.Stop();
    subscriptions_.Stop();
    asio::post(io_, [this] { io_.stop(); });
  });
  if (thread_.joinable()) thread_.join();
  DrainInbox();
}

void RedisClient::Post(Task task) {
  {
    MutexLock lock(inbox_mu_);
    inbox_.push_back(std::move(task));
    if (std::exchange(inbox_posted_, true)) return;
  }
  asio::post(io_, [this] { DrainInbox(); });
}

void RedisClient::DrainInbox() {
  std::vector<Task> tasks;
  {
    MutexLock lock(inbox_mu_);
    tasks.swap(inbox_);
    inbox_posted_ = false;
  }
  for (const Task& task : tasks) task();
}

// --- commands --------------------------------------------------------------------------------------------------------

RedisDone RedisClient::Counted(RedisDone done) {
  counters_.commands.Add();
  return [this, done = std::move(done)](absl::StatusOr<RedisReply> reply) {
    if (!reply.ok()) counters_.errors.Add();
    done(std::move(reply));
  };
}

void RedisClient::Command(const RedisArgs& args, RedisDone done) {
  RedisDone counted = Counted(std::move(done));
  if (commands_.waiting() >= options_.outstanding_max) {
    return counted(absl::UnavailableError(absl::StrCat("redis at ", address_, ": too many commands wait")));
  }
  commands_.Send(args, std::move(counted));
}

void RedisClient::Eval(size_t script, const RedisArgs& args, RedisDone done) {
  if (!commands_.up()) return Counted(std::move(done))(why_);
  RedisArgs command = {"EVALSHA", script_shas_[script], "0"};
  command.insert(command.end(), args.begin(), args.end());
  const auto kept = std::make_shared<const RedisArgs>(std::move(command));
  Command(*kept, [this, script, kept, done = std::move(done)](absl::StatusOr<RedisReply> reply) {
    if (reply.ok() || !absl::StartsWith(reply.status().message(), "NOSCRIPT")) return done(std::move(reply));
    // The server's cache of scripts was emptied; this fills it again.
    RedisArgs with_text = *kept;
    with_text[0] = "EVAL";
    with_text[1] = options_.scripts[script];
    Command(with_text, done);
  });
}

// --- subscriptions ---------------------------------------------------------------------------------------------------

void RedisClient::Subscribe(const std::string& channel, Task acknowledged) {
  const auto [found, added] = channels_.try_emplace(channel);
  Subscription& subscription = found->second;
  if (subscription.acknowledged) return acknowledged();
  subscription.waiting.push_back(std::move(acknowledged));
  if (!added) return;
  subscription.id = ++subscriptions_made_;
  if (subscriptions_.up()) SendSubscribe(channel, subscription.id, [](absl::StatusOr<RedisReply>) {});
}

void RedisClient::Unsubscribe(const std::string& channel) {
  if (channels_.erase(channel) == 0 || !subscriptions_.up()) return;
  subscriptions_.Send({"UNSUBSCRIBE", channel}, Counted([](absl::StatusOr<RedisReply>) {}));
}

void RedisClient::SendSubscribe(const std::string& channel, uint64_t id, RedisDone done) {
  const auto answered = [this, channel, id, done = std::move(done)](absl::StatusOr<RedisReply> reply) {
    if (reply.ok()) {
      OnSubscribed(channel, id);
    } else if (!absl::IsUnavailable(reply.status())) {
      log::Error("redis refuses a subscription",
                 {{"channel", channel}, {"why", std::string(reply.status().message())}});
    }
    done(std::move(reply));
  };
  subscriptions_.Send({"SUBSCRIBE", channel}, Counted(answered));
}

void RedisClient::OnSubscribed(const std::string& channel, uint64_t id) {
  auto found = channels_.find(channel);
  if (found == channels_.end() || found->second.id != id) return;
  found->second.acknowledged = true;
  const std::vector<Task> waiting = std::exchange(found->second.waiting, {});
  for (const Task& task : waiting) task();
}

// --- connecting and losing -------------------------------------------------------------------------------------------

void RedisClient::OnCommandsUp(const std::vector<RedisReply>& setup) {
  script_shas_.clear();
  for (const RedisReply& reply : setup) script_shas_.push_back(reply.text);
  CheckUp();
}

void RedisClient::OnSubscriptionsUp() {
  resubscribing_ = channels_.size();
  for (const auto& [channel, subscription] : channels_) {
    SendSubscribe(channel, subscription.id, [this](const absl::StatusOr<RedisReply>& reply) {
      if (reply.ok() && --resubscribing_ == 0) CheckUp();
    });
  }
  CheckUp();
}

void RedisClient::CheckUp() {
  if (!commands_.up() || !subscriptions_.up() || resubscribing_ > 0) return;
  subscribed_ = true;
  why_ = absl::OkStatus();
  logged_lost_ = false;
  connected_.store(true, std::memory_order_relaxed);
  const bool again = std::exchange(was_up_, true);
  if (again) counters_.reconnects.Add();
  log::Info("redis connected", {{"address", address_}});
  events_.up(again);
}

void RedisClient::OnDown(const absl::Status& why) {
  why_ =
      absl::IsUnavailable(why) ? why : absl::UnavailableError(absl::StrCat("redis at ", address_, ": ", why.message()));
  const bool was_connected = connected_.exchange(false, std::memory_order_relaxed);
  if (std::exchange(logged_lost_, true)) return;
  log::Warn(was_connected ? "redis lost" : "redis unavailable",
            {{"address", address_}, {"why", std::string(why.message())}});
}

void RedisClient::After(Duration delay, Task task) {
  const auto timer = std::make_shared<asio::steady_timer>(io_, delay);
  timer->async_wait([timer, task = std::move(task)](const asio::error_code& ec) {
    if (!ec) task();
  });
}

}  // namespace toolwire
