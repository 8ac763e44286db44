// What only the Redis registry has to keep: its server becoming unavailable in every manner, and the old command
// channels.
#include "common/registry/redis_registry.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/registry/redis_client.h"
#include "tests/support/await.h"
#include "tests/support/redis_server.h"

namespace toolwire {
namespace {

using std::chrono::milliseconds;

// A registry as one process has it, and what it received.
class Node {
 public:
  Node(RedisRegistry::Options options, std::string id)
      : id_(std::move(id)), registry_(*RedisRegistry::Create(options)) {}
  ~Node() { registry_->Leave(id_, InTime()); }

  void Join(const std::string& instance = "instance") {
    registry_->Join({id_, id_ + ":50052", instance}, {[this](const std::string& user_id, uint64_t epoch) {
                                                        std::lock_guard<std::mutex> lock(mu_);
                                                        replaced_[user_id] = epoch;
                                                        held_.erase(user_id);
                                                      },
                                                      [this] {
                                                        ++restored_;
                                                        Refresh();
                                                      },
                                                      [this](const std::string& user_id, std::string message) {
                                                        std::lock_guard<std::mutex> lock(mu_);
                                                        EXPECT_TRUE(held_.count(user_id))
                                                            << "a message before the claim was answered";
                                                        commands_.push_back(std::move(message));
                                                      }});
  }

  // Begins to claim.
  Answer<absl::StatusOr<uint64_t>> StartClaim(const std::string& user_id) {
    Answer<absl::StatusOr<uint64_t>> answer;
    registry_->Claim(user_id, id_, [this, user_id, answer](absl::StatusOr<uint64_t> epoch) {
      if (epoch.ok()) {
        std::lock_guard<std::mutex> lock(mu_);
        held_[user_id] = *epoch;
      }
      answer(std::move(epoch));
    });
    return answer;
  }
  uint64_t Claim(const std::string& user_id) {
    const absl::StatusOr<uint64_t> epoch = StartClaim(user_id).Take();
    EXPECT_TRUE(epoch.ok()) << epoch.status();
    return epoch.value_or(0);
  }
  void Hold(const std::string& user_id, uint64_t epoch) {
    std::lock_guard<std::mutex> lock(mu_);
    held_[user_id] = epoch;
  }
  void Release(const std::string& user_id) {
    uint64_t epoch = 0;
    {
      std::lock_guard<std::mutex> lock(mu_);
      epoch = held_[user_id];
      held_.erase(user_id);
    }
    registry_->Release(user_id, id_, epoch, {});
  }
  void Refresh() {
    std::vector<Registry::Held> held;
    {
      std::lock_guard<std::mutex> lock(mu_);
      for (const auto& [user_id, epoch] : held_) held.push_back({user_id, epoch});
    }
    registry_->Refresh(id_, std::move(held));
  }
  absl::StatusOr<std::optional<Lease>> Lookup(const std::string& user_id) {
    Answer<absl::StatusOr<std::optional<Lease>>> answer;
    registry_->Lookup(user_id, answer);
    return answer.Take();
  }
  std::string EdgeOf(const std::string& user_id) {
    const auto lease = Lookup(user_id);
    return lease.ok() && *lease ? (*lease)->edge_id : "";
  }

  void AwaitConnected() {
    Await([this] { return registry_->connected(); });
  }
  void AwaitLost() {
    Await([this] { return !registry_->connected(); });
  }
  uint64_t replaced(const std::string& user_id) {
    std::lock_guard<std::mutex> lock(mu_);
    return replaced_[user_id];
  }
  std::vector<std::string> commands() {
    std::lock_guard<std::mutex> lock(mu_);
    return commands_;
  }
  int restored() const { return restored_; }
  RedisRegistry& registry() { return *registry_; }

 private:
  const std::string id_;
  std::mutex mu_;
  std::map<std::string, uint64_t> held_;      // Guarded by mu_, as are the next two.
  std::map<std::string, uint64_t> replaced_;  // By the epoch.
  std::vector<std::string> commands_;
  std::atomic<int> restored_{0};
  const std::unique_ptr<RedisRegistry> registry_;
};

class RedisRegistryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!RedisServer::Installed()) GTEST_SKIP() << "redis-server is not installed";
    server_ = std::make_unique<RedisServer>();
    options_.url = server_->url();
    // Long, as a busy machine is not an unavailable Redis; tests of that set a shorter one.
    options_.command_timeout = options_.claim_wait_max = kAwaitDeadline;
  }
  std::unique_ptr<Node> MakeEdge(const std::string& id) {
    auto node = std::make_unique<Node>(options_, id);
    node->Join();
    node->AwaitConnected();
    return node;
  }

  std::unique_ptr<RedisServer> server_;
  RedisRegistry::Options options_;
};

// --- the server is unavailable ---------------------------------------------------------------------------------------

TEST_F(RedisRegistryTest, LeasesAreMadeAgainAfterRedisRestartedEmpty) {
  const auto edge = MakeEdge("edge_1");
  const uint64_t epoch = edge->Claim("user");
  EXPECT_EQ(edge->restored(), 0);
  server_->Stop();
  edge->AwaitLost();
  EXPECT_EQ(edge->Lookup("user").status().code(), absl::StatusCode::kUnavailable);
  server_->Start();
  Await([&] { return edge->EdgeOf("user") == "edge_1"; });
  EXPECT_EQ((*edge->Lookup("user"))->epoch, epoch);
  EXPECT_GE(edge->restored(), 1);
  EXPECT_EQ(edge->registry().counters().reconnects.value(), 1u);
  EXPECT_GT(edge->Claim("user"), epoch);
}

TEST_F(RedisRegistryTest, LeasesAreMadeAgainAfterRedisWasEmptiedInPlace) {
  options_.edge_refresh = milliseconds(20);
  const auto edge = MakeEdge("edge_1");
  edge->Claim("user");
  Await([&] { return server_->Text({"EXISTS", "edge:edge_1"}) == "1"; });
  server_->Text({"FLUSHALL"});
  Await([&] { return edge->EdgeOf("user") == "edge_1"; });
  EXPECT_GE(edge->restored(), 1);
}

TEST_F(RedisRegistryTest, RedisThatDoesNotAnswerIsUnavailableUntilItDoes) {
  options_.command_timeout = milliseconds(200);
  const auto edge = MakeEdge("edge_1");
  edge->Claim("user");
  server_->Pause();
  EXPECT_EQ(edge->Lookup("user").status().code(), absl::StatusCode::kUnavailable);
  edge->AwaitLost();
  server_->Resume();
  Await([&] { return edge->EdgeOf("user") == "edge_1"; });
}

TEST_F(RedisRegistryTest, ClaimsWaitForRedis) {
  const auto edge = MakeEdge("edge_1");
  server_->Stop();
  edge->AwaitLost();
  std::vector<Answer<absl::StatusOr<uint64_t>>> claims;
  for (int i = 0; i < 100; ++i) claims.push_back(edge->StartClaim(absl::StrCat("user", i)));
  server_->Start();
  for (const auto& claim : claims) EXPECT_TRUE(claim.Take().ok());
  EXPECT_EQ(edge->EdgeOf("user99"), "edge_1");
}

TEST_F(RedisRegistryTest, ClaimsThatWereOnTheirWayAreMadeAgain) {
  options_.command_timeout = milliseconds(100);
  const auto edge = MakeEdge("edge_1");
  server_->Pause();
  const auto claim = edge->StartClaim("user");
  edge->AwaitLost();
  EXPECT_FALSE(claim.given());
  server_->Resume();
  const absl::StatusOr<uint64_t> epoch = claim.Take();
  ASSERT_TRUE(epoch.ok()) << epoch.status();
  EXPECT_EQ((*edge->Lookup("user"))->epoch, *epoch);
}

TEST_F(RedisRegistryTest, ClaimsDoNotWaitForEver) {
  options_.claim_wait_max = milliseconds(50);
  server_->Stop();
  Node edge(options_, "edge_1");
  edge.Join();
  EXPECT_EQ(edge.StartClaim("user").Take().status().code(), absl::StatusCode::kUnavailable);
}

TEST_F(RedisRegistryTest, ReleasesMadeWhileRedisWasUnavailableAreCarriedOut) {
  options_.command_timeout = milliseconds(100);
  const auto edge = MakeEdge("edge_1");
  edge->Claim("user");
  server_->Pause();
  edge->Release("user");
  edge->AwaitLost();
  server_->Resume();
  Await([&] { return server_->Text({"EXISTS", "agent:user:server", "agent:user:status"}) == "0"; });
}

TEST_F(RedisRegistryTest, LeavingDoesNotWaitForARedisThatDoesNotAnswer) {
  const auto edge = MakeEdge("edge_1");
  server_->Pause();
  const auto claim = edge->StartClaim("user");
  edge->registry().Leave("edge_1", InTime());
  EXPECT_TRUE(claim.given());
  EXPECT_EQ(claim.Take().status().code(), absl::StatusCode::kUnavailable);
  server_->Resume();
}

TEST_F(RedisRegistryTest, EverythingIsAnsweredWhenTheRegistryEnds) {
  Answer<absl::StatusOr<uint64_t>> claimed;
  Answer<absl::StatusOr<std::optional<Lease>>> found;
  server_->Pause();
  auto registry = *RedisRegistry::Create(options_);
  registry->Claim("user", "edge_1", claimed);
  registry->Lookup("user", found);
  registry.reset();
  EXPECT_TRUE(claimed.given() && found.given());
  server_->Resume();
}

TEST_F(RedisRegistryTest, ScriptsAreLoadedAgainWhenRedisHasForgottenThem) {
  const auto edge = MakeEdge("edge_1");
  server_->Text({"SCRIPT", "FLUSH"});
  edge->Claim("user");
  EXPECT_EQ(edge->EdgeOf("user"), "edge_1");
}

TEST_F(RedisRegistryTest, ServerThatTakesNoWritesIsUnavailable) {
  options_.claim_wait_max = milliseconds(100);
  const auto edge = MakeEdge("edge_1");
  server_->Text({"REPLICAOF", "127.0.0.1", "1"});
  EXPECT_EQ(edge->StartClaim("user").Take().status().code(), absl::StatusCode::kUnavailable);
  server_->Text({"REPLICAOF", "NO", "ONE"});
  Await([&] { return edge->StartClaim("user").Take().ok(); });
}

// --- logging in ------------------------------------------------------------------------------------------------------

TEST_F(RedisRegistryTest, PasswordAndDatabaseAreUsed) {
  RedisServer guarded({}, "pass word");
  options_.url = absl::StrCat("redis://:pass%20word@127.0.0.1:", guarded.port(), "/3");
  const auto edge = MakeEdge("edge_1");
  edge->Claim("user");
  EXPECT_EQ(guarded.Text({"EXISTS", "agent:user:server"}), "0");
  EXPECT_TRUE(absl::StrContains(guarded.Text({"INFO", "keyspace"}), "db3:"));
}

TEST_F(RedisRegistryTest, WrongPasswordIsSaidAndNotShown) {
  RedisServer guarded({}, "right");
  options_.claim_wait_max = milliseconds(100);
  for (const char* login : {":wr0ng@", "somebody:wr0ng@", ""}) {
    options_.url = absl::StrCat("redis://", login, "127.0.0.1:", guarded.port());
    Node edge(options_, "edge_1");
    absl::Status status;
    Await([&] {
      status = edge.StartClaim("user").Take().status();
      return absl::StrContains(status.message(), *login != '\0' ? "WRONGPASS" : "NOAUTH");
    });
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
    EXPECT_FALSE(absl::StrContains(status.message(), "wr0ng"));
  }
}

// --- other writers ---------------------------------------------------------------------------------------------------

TEST_F(RedisRegistryTest, LeaseIsReadableByServersOfTheTimeBefore) {
  const auto edge = MakeEdge("edge_1");
  edge->Claim("user");
  EXPECT_EQ(server_->Text({"GET", "agent:user:server"}), "edge_1");
  EXPECT_EQ(server_->Text({"GET", "agent:user:status"}), "connected");
  for (const char* key : {"agent:user:server", "agent:user:status"}) {
    const int ttl = std::stoi(server_->Text({"TTL", key}));
    EXPECT_TRUE(ttl > 60 && ttl <= 120) << ttl;
  }
}

TEST_F(RedisRegistryTest, ServerOfTheTimeBeforeMayTakeALease) {
  const auto edge = MakeEdge("edge_1");
  const uint64_t epoch = edge->Claim("user");
  server_->Text({"SET", "agent:user:server", "ws-server-1", "EX", "120"});
  EXPECT_EQ(edge->EdgeOf("user"), "");  // No control can reach it.
  edge->Refresh();
  Await([&] { return edge->replaced("user") > epoch; });
  EXPECT_EQ(server_->Text({"GET", "agent:user:server"}), "ws-server-1");
  edge->Claim("user");
  EXPECT_EQ(edge->EdgeOf("user"), "edge_1");
}

TEST_F(RedisRegistryTest, SecondEdgeWithTheSameIdIsLogged) {
  options_.edge_refresh = milliseconds(20);
  ::testing::internal::CaptureStderr();
  {
    Node one(options_, "edge_1"), two(options_, "edge_1");
    one.Join("first instance");
    two.Join("second instance");
    one.AwaitConnected();
    two.AwaitConnected();
    const auto calls = [&] {
      const std::string text = server_->Text({"INFO", "commandstats"});
      const size_t found = text.find("cmdstat_evalsha:calls=");
      return found == std::string::npos ? 0 : std::stoi(text.substr(found + 22));
    };
    Await([&] { return calls() > 40; });
  }
  const std::string log = ::testing::internal::GetCapturedStderr();
  const std::string line = "another edge has the same server id";
  ASSERT_TRUE(absl::StrContains(log, line));
  size_t lines = 0;
  for (size_t at = log.find(line); at != std::string::npos; at = log.find(line, at + 1)) ++lines;
  EXPECT_LE(lines, 2u) << log;  // One each.
}

// Keeps every list of edges that the watcher received.
class Lists {
 public:
  void operator()(const std::vector<EdgeAddress>& edges) {
    std::lock_guard<std::mutex> lock(mu_);
    std::set<std::string>& list = lists_.emplace_back();
    for (const EdgeAddress& edge : edges) list.insert(edge.edge_id);
  }
  void AwaitLast(const std::set<std::string>& wanted) {
    Await([&] {
      std::lock_guard<std::mutex> lock(mu_);
      return !lists_.empty() && lists_.back() == wanted;
    });
  }
  size_t count() {
    std::lock_guard<std::mutex> lock(mu_);
    return lists_.size();
  }

 private:
  std::mutex mu_;
  std::vector<std::set<std::string>> lists_;  // Guarded by mu_.
};

TEST_F(RedisRegistryTest, NoCommandGoesThroughAllKeys) {
  const auto edge = MakeEdge("edge_1");
  const auto lists = std::make_shared<Lists>();
  edge->registry().WatchEdges([lists](const std::vector<EdgeAddress>& edges) { (*lists)(edges); });
  lists->AwaitLast({"edge_1"});
  edge->Claim("user");
  edge->Refresh();
  edge->Release("user");
  edge->Lookup("user").IgnoreError();
  const std::string stats = server_->Text({"INFO", "commandstats"});
  EXPECT_FALSE(absl::StrContains(stats, "cmdstat_keys") || absl::StrContains(stats, "cmdstat_scan")) << stats;
}

// --- edges -----------------------------------------------------------------------------------------------------------

TEST_F(RedisRegistryTest, EdgeThatDiesIsListedNoMore) {
  options_.edge_refresh = milliseconds(20);
  const auto edge = MakeEdge("edge_1");
  Lists lists;
  Node control(
      [&] {
        RedisRegistry::Options options = options_;
        options.edge_ttl = milliseconds(50);
        return options;
      }(),
      "control");
  control.registry().WatchEdges([&](const std::vector<EdgeAddress>& edges) { lists(edges); });
  lists.AwaitLast({"edge_1"});
  server_->Text({"SET", "edge:edge_2", R"({"address":"edge_2:50052","instance":"i"})", "PX", "200"});
  server_->Text({"SADD", "toolwire:edges", "edge_2"});
  lists.AwaitLast({"edge_1", "edge_2"});
  lists.AwaitLast({"edge_1"});
  EXPECT_EQ(server_->Text({"SISMEMBER", "toolwire:edges", "edge_2"}), "0");
}

TEST_F(RedisRegistryTest, WatcherKeepsItsListWhileRedisIsUnavailableAndWhenItReturnsEmpty) {
  const auto first = MakeEdge("edge_1");
  const auto second = MakeEdge("edge_2");
  Lists lists;
  Node control(options_, "control");
  control.registry().WatchEdges([&](const std::vector<EdgeAddress>& edges) { lists(edges); });
  lists.AwaitLast({"edge_1", "edge_2"});
  const size_t received = lists.count();
  server_->Stop();
  for (Node* node : {first.get(), second.get(), &control}) node->AwaitLost();
  server_->Start();
  for (Node* node : {first.get(), second.get(), &control}) node->AwaitConnected();
  Await([&] { return server_->Text({"SCARD", "toolwire:edges"}) == "2"; });
  const auto third = MakeEdge("edge_3");
  lists.AwaitLast({"edge_1", "edge_2", "edge_3"});
  EXPECT_EQ(lists.count(), received + 1);
}

// --- the old channels ------------------------------------------------------------------------------------------------

class CommandChannelTest : public RedisRegistryTest {
 protected:
  void SetUp() override {
    RedisRegistryTest::SetUp();
    options_.command_channels = true;
  }

  // Publishes numbered messages as fast as the server takes them, until it is stopped.
  class Publisher {
   public:
    Publisher(const RedisRegistry::Options& options, std::string name) : name_(std::move(name)) {
      RedisRegistry::Options plain = options;
      plain.command_channels = false;
      registry_ = *RedisRegistry::Create(plain);
      Await([this] { return registry_->connected(); });
      thread_ = std::thread([this] { Run(); });
    }
    // What was published.
    std::vector<std::string> Stop() {
      stopping_ = true;
      thread_.join();
      return published_;
    }
    size_t count() const { return count_; }

   private:
    void Run() {
      while (!stopping_) {
        std::vector<Answer<absl::StatusOr<int64_t>>> answers;
        for (int i = 0; i < 20; ++i) {
          const std::string message = absl::StrCat(name_, published_.size());
          published_.push_back(message);
          answers.emplace_back();
          registry_->Publish("agent:user:commands", message, answers.back());
        }
        for (const auto& answer : answers) EXPECT_TRUE(answer.Take().ok());
        count_ = published_.size();
      }
    }

    const std::string name_;
    std::unique_ptr<RedisRegistry> registry_;
    std::atomic<bool> stopping_{false};
    std::atomic<size_t> count_{0};
    std::vector<std::string> published_;  // Of the thread, until it has ended.
    std::thread thread_;
  };
};

TEST_F(CommandChannelTest, EveryMessageGoesToTheOneEdgeThatHeldTheLease) {
  std::vector<std::unique_ptr<Node>> edges;
  for (const char* id : {"edge_1", "edge_2", "edge_3"}) edges.push_back(MakeEdge(id));
  edges[0]->Claim("user");
  Publisher one(options_, "a"), two(options_, "b");
  for (int i = 1; i < 60; ++i) {
    const size_t before = one.count();
    edges[i % 3]->Claim("user");
    if (i % 4 == 0) edges[i % 3]->Claim("user");
    Await([&] { return one.count() > before; });
  }
  std::vector<std::string> published = one.Stop();
  for (const std::string& message : two.Stop()) published.push_back(message);
  const auto delivered = [&] {
    std::vector<std::string> all;
    for (const auto& edge : edges) {
      for (const std::string& message : edge->commands()) all.push_back(message);
    }
    return all;
  };
  Await([&] { return delivered().size() >= published.size(); });
  std::vector<std::string> all = delivered();
  std::sort(all.begin(), all.end());
  std::sort(published.begin(), published.end());
  EXPECT_TRUE(all == published) << all.size() << " delivered of " << published.size();
  for (const auto& edge : edges) EXPECT_GT(edge->commands().size(), 0u);
}

TEST_F(CommandChannelTest, NothingIsDeliveredTwiceWhenSubscriptionsAreInterrupted) {
  std::vector<std::unique_ptr<Node>> edges;
  for (const char* id : {"edge_1", "edge_2", "edge_3"}) edges.push_back(MakeEdge(id));
  edges[0]->Claim("user");
  Publisher publisher(options_, "a");
  for (int i = 1; i < 16; ++i) {
    if (i % 5 == 0) server_->Text({"CLIENT", "KILL", "TYPE", "pubsub"});
    const size_t before = publisher.count();
    edges[i % 3]->Claim("user");
    Await([&] { return publisher.count() > before; });
  }
  publisher.Stop();
  for (const auto& edge : edges) edge->AwaitConnected();
  edges[1]->Claim("user");
  Answer<absl::StatusOr<int64_t>> published;
  edges[0]->registry().Publish("agent:user:commands", "last", published);
  EXPECT_TRUE(published.Take().ok());
  Await([&] {
    const std::vector<std::string> commands = edges[1]->commands();
    return !commands.empty() && commands.back() == "last";
  });
  std::vector<std::string> all;
  for (const auto& edge : edges) {
    for (const std::string& message : edge->commands()) all.push_back(message);
  }
  std::sort(all.begin(), all.end());
  EXPECT_TRUE(std::adjacent_find(all.begin(), all.end()) == all.end());
}

// The lease was held all the time, so what comes between the resubscription and the refresh is this edge's.
TEST_F(CommandChannelTest, MessagesOfALeaseThatWasKeptAreDeliveredAfterAnInterruption) {
  const auto edge = MakeEdge("edge_1");
  edge->Claim("user");
  for (int i = 0; i < 5; ++i) {
    server_->Text({"CLIENT", "KILL", "TYPE", "pubsub"});
    Await([&] { return server_->Text({"PUBLISH", "agent:user:commands", std::to_string(i)}) == "1"; });
    Await([&] {
      const std::vector<std::string> commands = edge->commands();
      return !commands.empty() && commands.back() == std::to_string(i);
    });
  }
  EXPECT_EQ(edge->commands().size(), 5u);
}

TEST_F(CommandChannelTest, NobodyListensForAUserThatIsGone) {
  const auto first = MakeEdge("edge_1"), second = MakeEdge("edge_2");
  const auto listeners = [&] {
    return (*server_->Command({"PUBSUB", "NUMSUB", "agent:user:commands"})).items[1].integer;
  };
  first->Claim("user");
  EXPECT_EQ(listeners(), 1);
  second->Claim("user");
  Await([&] { return listeners() == 1; });
  second->Release("user");
  Await([&] { return listeners() == 0; });
}

TEST_F(CommandChannelTest, LeaseThatIsRefreshedThoughUnknownIsListenedTo) {
  const auto edge = MakeEdge("edge_1");
  edge->Hold("user", edge->Claim("other"));
  edge->Refresh();
  Await([&] { return edge->EdgeOf("user") == "edge_1"; });
  EXPECT_EQ(server_->Text({"PUBLISH", "agent:user:commands", "x"}), "1");
}

TEST_F(CommandChannelTest, OtherChannelsCanBeUsed) {
  const auto edge = MakeEdge("edge_1"), other = MakeEdge("edge_2");
  Answer<std::string> heard;
  Answer<bool> subscribed;
  edge->registry().Subscribe("response:1", heard, [subscribed] { subscribed(true); });
  subscribed.Take();
  const std::string large(3 << 20, 'x');
  Answer<absl::StatusOr<int64_t>> published;
  other->registry().Publish("response:1", large, published);
  EXPECT_EQ(*published.Take(), 1);
  EXPECT_TRUE(heard.Take() == large);
}

TEST_F(CommandChannelTest, KeysOfOtherModulesAreTakenOnceAndExpire) {
  const auto edge = MakeEdge("edge_1"), other = MakeEdge("edge_2");
  edge->registry().Set("toolwire:owed:1", std::chrono::seconds(60));
  edge->registry().Set("toolwire:owed:2", std::chrono::milliseconds(-5));
  const auto take = [](RedisRegistry& registry, const char* key) {
    Answer<bool> there;
    registry.Take(key, there);
    return there.Take();
  };
  Await([&] { return server_->Text({"EXISTS", "toolwire:owed:2"}) == "0"; });
  EXPECT_GT(std::stoi(server_->Text({"TTL", "toolwire:owed:1"})), 50);
  EXPECT_TRUE(take(other->registry(), "toolwire:owed:1"));
  EXPECT_FALSE(take(edge->registry(), "toolwire:owed:1"));
}

TEST_F(RedisRegistryTest, MemoryOfAnAgent) {
  constexpr int kAgents = 10'000;
  for (const bool channels : {false, true}) {
    server_->Text({"FLUSHALL"});
    options_.command_channels = channels;
    auto edge = MakeEdge("edge-1.example");
    const auto used = [&] { return server_->Info("memory", "used_memory"); };
    const int64_t before = used();
    std::vector<Answer<absl::StatusOr<uint64_t>>> claims;
    for (int i = 0; i < kAgents; ++i) claims.push_back(edge->StartClaim(absl::StrCat("user_", 1'000'000 + i)));
    for (const auto& claim : claims) EXPECT_TRUE(claim.Take().ok());
    const int64_t after = used();
    std::printf("Redis memory of an agent %s: %.0f bytes\n", channels ? "with its channel" : "without channel",
                static_cast<double>(after - before) / kAgents);
  }
}

}  // namespace
}  // namespace toolwire
