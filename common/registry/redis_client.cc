// One thread runs everything. Tasks of other threads go through an inbox that is emptied in one turn, so that the
// commands of a burst leave in one write. Commands and subscriptions have a connection each; the client is up when both
// are, to the same server, the scripts are loaded, every subscription is acknowledged again, and the probe has written.
// A script whose writes are refused makes the client wait for the next probe that is not. Scripts are called by their
// hash, and sent as text when the server does not know it.

#include "common/registry/redis_client.h"

#include <future>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/log.h"

namespace toolwire {
namespace {

// Reasons for one outage that are logged: the first ones say what is wrong.
constexpr size_t kReasonsLogged = 8;

std::vector<RedisArgs> SetupOf(const std::vector<std::string>& scripts) {
  std::vector<RedisArgs> setup;
  for (const std::string& script : scripts) setup.push_back({"SCRIPT", "LOAD", script});
  setup.push_back({"TIME"});
  return setup;
}

int64_t MicrosecondsOf(MonoTime time) {
  return std::chrono::duration_cast<std::chrono::microseconds>(time.time_since_epoch()).count();
}

// How often a server that refuses writes, or a subscription, is asked again.
constexpr Duration kAskAgain = std::chrono::seconds(1);

// Whether the server, and not one user's keys, is the reason. The words may stand in the middle of a script's failure.
bool IsRefusal(absl::string_view error) {
  for (const absl::string_view words :
       {"READONLY", "MISCONF", "OOM ", "NOREPLICAS", "NOPERM", "CLUSTERDOWN", "MASTERDOWN", "LOADING", "BUSY ",
        "TRYAGAIN", "non local key", "can't access at least one of the keys", "can't run this command",
        "can't publish to the channel", "ACL failure"}) {
    if (absl::StrContains(error, words)) return true;
  }
  return false;
}

// By the reply to ROLE, which is the last of `setup`.
absl::Status CheckIsMaster(const std::vector<RedisReply>& setup) {
  const bool is_master = !setup.empty() && !setup.back().items.empty() && setup.back().items[0].text == "master";
  return is_master ? absl::OkStatus() : absl::UnavailableError("it is not a master, though Sentinel says so");
}

}  // namespace

RedisClient::RedisClient(Options options, Events events)
    : options_(std::move(options)),
      events_(std::move(events)),
      address_(options_.url.Address()),
      sentinels_(MakeSentinels()),
      commands_(io_, ConnectionOptions("", SetupOf(options_.scripts)),
                {[this](const std::vector<RedisReply>& setup) { OnCommandsUp(setup); },
                 [this](const absl::Status& why) { OnDown(why); }, nullptr}),
      subscriptions_(io_, ConnectionOptions("-subscriptions", {}),
                     {[this](const auto&) { OnSubscriptionsUp(); },
                      [this](const absl::Status& why) {
                        const bool was_subscribed = std::exchange(subscribed_, false);
                        for (auto& [channel, subscription] : channels_) subscription.acknowledged = false;
                        OnDown(why);
                        if (was_subscribed) events_.interrupted();
                      },
                      [this](const std::string& channel, std::string message, MonoTime born) {
                        events_.message(channel, std::move(message), born);
                      }}),
      why_(absl::UnavailableError(absl::StrCat("redis at ", address_, ": connecting"))) {}

std::unique_ptr<RedisSentinels> RedisClient::MakeSentinels() {
  if (options_.url.sentinels.empty()) return nullptr;
  return std::make_unique<RedisSentinels>(
      io_, RedisSentinels::Options{options_.url, options_.tls, options_.name, options_.command_timeout},
      RedisSentinels::Events{[this] { Follow(); }, [this](const absl::Status& why) { OnDown(why); }});
}

RedisConnection::Options RedisClient::ConnectionOptions(const char* suffix, std::vector<RedisArgs> setup) {
  RedisConnection::Options options;
  options.url = options_.url;
  options.tls = options_.url.tls ? options_.tls : nullptr;
  options.name = absl::StrCat(options_.name, suffix);
  options.setup = std::move(setup);
  options.asks_run_id = true;
  options.command_timeout = options_.command_timeout;
  if (sentinels_) {
    options.target = sentinels_.get();
    options.setup.push_back({"ROLE"});
    options.check = CheckIsMaster;
  }
  return options;
}

void RedisClient::Start() {
  Post([this] {
    if (sentinels_) sentinels_->Start();
    commands_.Start();
    subscriptions_.Start();
    After(options_.ping_every, [this] { Ping(); });
  });
  thread_ = std::thread([this] { io_.run(); });
}

RedisClient::~RedisClient() {
  // The tasks that callbacks post while everything ends are run, too.
  Post([this] {
    closing_ = true;
    if (sentinels_) sentinels_->Stop();
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
  Run(script, args, [this, done = std::move(done)](absl::StatusOr<RedisReply> reply) {
    if (!reply.ok() && commands_.up() && NoteRefusal(std::string(reply.status().message()))) return done(why_);
    done(std::move(reply));
  });
}

void RedisClient::Run(size_t script, const RedisArgs& args, RedisDone done) {
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
      if (logged_.size() < kReasonsLogged && logged_.insert(channel).second) {
        log::Error("redis refuses a subscription",
                   {{"channel", channel}, {"why", std::string(reply.status().message())}});
      }
      return After(kAskAgain, [this, channel, id, done, then = resubscriptions_] {
        const auto found = channels_.find(channel);
        const bool is_wanted = found != channels_.end() && found->second.id == id && !found->second.acknowledged;
        if (is_wanted && subscriptions_.up() && then == resubscriptions_) SendSubscribe(channel, id, done);
      });
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
  for (size_t i = 0; i < options_.scripts.size(); ++i) script_shas_.push_back(setup[i].text);
  const std::vector<RedisReply>& time = setup[options_.scripts.size()].items;
  int64_t seconds = 0, us = 0;
  if (time.size() == 2 && absl::SimpleAtoi(time[0].text, &seconds) && absl::SimpleAtoi(time[1].text, &us)) {
    SetServerTimeUs(seconds * 1000000 + us);
  }
  CheckUp();
}

void RedisClient::OnSubscriptionsUp() {
  ++resubscriptions_;
  resubscribing_ = channels_.size();
  for (const auto& [channel, subscription] : channels_) {
    SendSubscribe(channel, subscription.id, [this](const absl::StatusOr<RedisReply>& reply) {
      if (reply.ok() && --resubscribing_ == 0) CheckUp();
    });
  }
  CheckUp();
}

void RedisClient::Follow() {
  commands_.Follow();
  subscriptions_.Follow();
}

void RedisClient::CheckUp() {
  if (!ConnectionsUp()) return;
  if (commands_.address() != subscriptions_.address()) {
    // One of them was up already when the other one had to find another master.
    return Follow();
  }
  const std::string &one = commands_.run_id(), &other = subscriptions_.run_id();
  if (!one.empty() && !other.empty() && one != other) {
    // A name that led to another server in between: which one it leads to now is not known.
    commands_.Redial("commands and subscriptions are at two servers");
    return subscriptions_.Redial("commands and subscriptions are at two servers");
  }
  subscribed_ = true;
  if (!options_.probe) return Up();
  Probe();
}

void RedisClient::Up() {
  const std::string before = std::exchange(server_, commands_.address());
  if (!before.empty() && before != server_) counters_.master_changes.Add();
  why_ = absl::OkStatus();
  logged_.clear();
  connected_.store(true, std::memory_order_relaxed);
  const bool again = std::exchange(was_up_, true);
  if (!refused_.ok()) log::Info("redis takes writes again", {{"address", commands_.address()}});
  if (refused_.ok() || !again) log::Info("redis connected", {{"address", commands_.address()}});
  if (refused_.ok() && again) counters_.reconnects.Add();
  refused_ = absl::OkStatus();
  if (!again) WarnOfRisks();
  events_.up(again);
}

// --- whether it works ------------------------------------------------------------------------------------------------

void RedisClient::Ping() {
  // The answer may be an error: it is one.
  const auto answered = [](const absl::StatusOr<RedisReply>&) {};
  if (subscriptions_.up()) subscriptions_.Send({"PING"}, Counted(answered));
  if (connected() && options_.probe) {
    Probe();
  } else if (commands_.up()) {
    commands_.Send({"PING"}, Counted(answered));
  }
  After(options_.ping_every, [this] { Ping(); });
}

void RedisClient::Probe() {
  if (std::exchange(is_probing_, true)) return;
  Run(*options_.probe, {}, [this](const absl::StatusOr<RedisReply>& reply) {
    is_probing_ = false;
    OnProbed(reply);
  });
}

void RedisClient::OnProbed(const absl::StatusOr<RedisReply>& reply) {
  if (closing_ || !ConnectionsUp()) return;
  if (!reply.ok()) return Refused(reply.status());
  if (!connected()) Up();
}

int64_t RedisClient::ServerTimeUs() const { return MicrosecondsOf(clock_.Now()) + server_time_offset_us_; }

void RedisClient::SetServerTimeUs(int64_t time) { server_time_offset_us_ = time - MicrosecondsOf(clock_.Now()); }

bool RedisClient::NoteRefusal(const std::string& error) {
  if (!IsRefusal(error)) return false;
  Refused(absl::UnavailableError(error));
  return true;
}

void RedisClient::Refused(const absl::Status& why) {
  if (refused_.ok()) {
    log::Warn("redis refuses writes", {{"address", commands_.address()}, {"why", std::string(why.message())}});
  }
  refused_ = why;
  why_ = absl::UnavailableError(absl::StrCat("redis at ", commands_.address(), " refuses writes: ", why.message()));
  connected_.store(false, std::memory_order_relaxed);
  if (is_probing_) return;
  is_probing_ = true;  // Until it is asked again.
  After(kAskAgain, [this] {
    is_probing_ = false;
    if (ConnectionsUp()) Probe();
  });
}

void RedisClient::WarnOfRisks() const {
  const bool has_certificate = options_.tls != nullptr && !options_.tls->options().certificate_file.empty();
  const std::string risks = RisksOf(options_.url, commands_.is_loopback(), has_certificate);
  if (!risks.empty())
    log::Warn("redis is not protected as it should be", {{"address", commands_.address()}, {"why", risks}});
}

void RedisClient::OnDown(const absl::Status& why) {
  why_ = absl::UnavailableError(RedisConnection::NamesServer(why)
                                    ? std::string(why.message())
                                    : absl::StrCat("redis at ", address_, ": ", why.message()));
  const bool was_connected = connected_.exchange(false, std::memory_order_relaxed);
  // After a loss the next attempts may show the reason for it.
  const bool is_known = logged_.size() >= kReasonsLogged || !logged_.insert(std::string(why.message())).second;
  if (closing_ || is_known) return;
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
