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
#include "common/registry/redis_claims.h"
#include "common/registry/redis_client.h"
#include "tests/contract/redis_fixture.h"
#include "tests/support/await.h"
#include "tests/support/redis_server.h"

namespace toolwire {
namespace {

using std::chrono::milliseconds;

// Over a server in plain, and over TLS as the user of docs/tls.md.
class RedisRegistryTest : public RedisTest, public ::testing::WithParamInterface<bool> {
 protected:
  std::unique_ptr<RedisServer> MakeServer() override {
    return GetParam() ? RedisServer::Protected() : RedisTest::MakeServer();
  }
};
std::string NameOfParam(const ::testing::TestParamInfo<bool>& info) { return info.param ? "OverTls" : "Plain"; }
INSTANTIATE_TEST_SUITE_P(Both, RedisRegistryTest, ::testing::Bool(), NameOfParam);

// --- the server is unavailable ---------------------------------------------------------------------------------------

TEST_P(RedisRegistryTest, LeasesAreMadeAgainAfterRedisRestartedEmpty) {
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

TEST_P(RedisRegistryTest, LeasesAreMadeAgainAfterRedisWasEmptiedInPlace) {
  options_.edge_refresh = milliseconds(20);
  const auto edge = MakeEdge("edge_1");
  edge->Claim("user");
  Await([&] { return server_->Text({"EXISTS", "edge:edge_1"}) == "1"; });
  server_->Text({"FLUSHALL"});
  Await([&] { return edge->EdgeOf("user") == "edge_1"; });
  EXPECT_GE(edge->restored(), 1);
}

TEST_P(RedisRegistryTest, RedisThatDoesNotAnswerIsUnavailableUntilItDoes) {
  options_.command_timeout = milliseconds(1000);  // A busy machine stands still for less.
  const auto edge = MakeEdge("edge_1");
  edge->Claim("user");
  server_->Pause();
  EXPECT_EQ(edge->Lookup("user").status().code(), absl::StatusCode::kUnavailable);
  edge->AwaitLost();
  server_->Resume();
  Await([&] { return edge->EdgeOf("user") == "edge_1"; });
}

TEST_P(RedisRegistryTest, ClaimsWaitForRedis) {
  const auto edge = MakeEdge("edge_1");
  server_->Stop();
  edge->AwaitLost();
  std::vector<Answer<absl::StatusOr<uint64_t>>> claims;
  for (int i = 0; i < 100; ++i) claims.push_back(edge->StartClaim(absl::StrCat("user", i)));
  server_->Start();
  for (const auto& claim : claims) EXPECT_TRUE(claim.Take().ok());
  EXPECT_EQ(edge->EdgeOf("user99"), "edge_1");
}

TEST_P(RedisRegistryTest, ClaimsThatWereOnTheirWayAreMadeAgain) {
  options_.command_timeout = milliseconds(1000);  // A busy machine stands still for less.
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

TEST_P(RedisRegistryTest, ClaimsDoNotWaitForEver) {
  options_.claim_wait_max = milliseconds(50);
  server_->Stop();
  Node edge(options_, "edge_1");
  edge.Join();
  EXPECT_EQ(edge.StartClaim("user").Take().status().code(), absl::StatusCode::kUnavailable);
}

TEST_P(RedisRegistryTest, ReleasesMadeWhileRedisWasUnavailableAreCarriedOut) {
  options_.command_timeout = milliseconds(1000);  // A busy machine stands still for less.
  const auto edge = MakeEdge("edge_1");
  edge->Claim("user");
  server_->Pause();
  edge->Release("user");
  edge->AwaitLost();
  server_->Resume();
  Await([&] { return server_->Text({"EXISTS", "agent:user:server", "agent:user:status"}) == "0"; });
}

TEST_P(RedisRegistryTest, LeavingDoesNotWaitForARedisThatDoesNotAnswer) {
  const auto edge = MakeEdge("edge_1");
  server_->Pause();
  const auto claim = edge->StartClaim("user");
  edge->registry().Leave("edge_1", InTime());
  EXPECT_TRUE(claim.given());
  EXPECT_EQ(claim.Take().status().code(), absl::StatusCode::kUnavailable);
  server_->Resume();
}

TEST_P(RedisRegistryTest, EverythingIsAnsweredWhenTheRegistryEnds) {
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

TEST_P(RedisRegistryTest, WhatWasBegunBeforeTheRegistryEndsIsCarriedOut) {
  auto registry = *RedisRegistry::Create(options_);
  Await([&] { return registry->connected(); });
  const int before = std::stoi(server_->Text({"DBSIZE"}));
  for (int i = 0; i < 5000; ++i) {
    registry->Set("toolwire:owed:" + std::to_string(i), std::chrono::seconds(60), [](const absl::Status&) {});
  }
  registry->WaitAnswered(InTime());
  registry.reset();
  EXPECT_EQ(std::stoi(server_->Text({"DBSIZE"})), before + 5000);
}

TEST_P(RedisRegistryTest, ScriptsAreLoadedAgainWhenRedisHasForgottenThem) {
  const auto edge = MakeEdge("edge_1");
  server_->Text({"SCRIPT", "FLUSH"});
  edge->Claim("user");
  EXPECT_EQ(edge->EdgeOf("user"), "edge_1");
}

TEST_P(RedisRegistryTest, ServerThatTakesNoWritesIsUnavailable) {
  options_.claim_wait_max = milliseconds(100);
  const auto edge = MakeEdge("edge_1");
  server_->Text({"REPLICAOF", "127.0.0.1", "1"});
  EXPECT_EQ(edge->StartClaim("user").Take().status().code(), absl::StatusCode::kUnavailable);
  server_->Text({"REPLICAOF", "NO", "ONE"});
  Await([&] { return edge->StartClaim("user").Take().ok(); });
}

// --- logging in ------------------------------------------------------------------------------------------------------

TEST_F(RedisTest, PasswordAndDatabaseAreUsed) {
  RedisServer guarded({}, "pass word");
  options_.url = absl::StrCat("redis://:pass%20word@127.0.0.1:", guarded.port(), "/3");
  const auto edge = MakeEdge("edge_1");
  edge->Claim("user");
  EXPECT_EQ(guarded.Text({"EXISTS", "agent:user:server"}), "0");
  EXPECT_TRUE(absl::StrContains(guarded.Text({"INFO", "keyspace"}), "db3:"));
}

TEST_F(RedisTest, WrongPasswordIsSaidAndNotShown) {
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

TEST_P(RedisRegistryTest, LeaseIsReadableByServersOfTheTimeBefore) {
  options_.status_keys = true;
  const auto edge = MakeEdge("edge_1");
  edge->Claim("user");
  EXPECT_EQ(server_->Text({"GET", "agent:user:server"}), "edge_1");
  EXPECT_EQ(server_->Text({"GET", "agent:user:status"}), "connected");
  for (const char* key : {"agent:user:server", "agent:user:status"}) {
    const int ttl = std::stoi(server_->Text({"TTL", key}));
    EXPECT_TRUE(ttl > 60 && ttl <= 120) << ttl;
  }
}

TEST_P(RedisRegistryTest, StatusIsWrittenOnlyWhereSomebodyMayReadIt) {
  const auto edge = MakeEdge("edge_1");
  edge->Claim("user");
  edge->Refresh();
  edge->Claim("other");  // Answered after the refresh.
  EXPECT_EQ(server_->Text({"GET", "agent:user:server"}), "edge_1");
  EXPECT_EQ(server_->Text({"EXISTS", "agent:user:status", "agent:other:status"}), "0");
  // One that an edge with other options wrote is removed with the lease, too.
  server_->Text({"SET", "agent:user:status", "connected"});
  edge->Release("user");
  Await([&] { return server_->Text({"EXISTS", "agent:user:server", "agent:user:status"}) == "0"; });
}

TEST_P(RedisRegistryTest, ServerOfTheTimeBeforeMayTakeALease) {
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

TEST_P(RedisRegistryTest, SecondEdgeWithTheSameIdIsLogged) {
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

TEST_P(RedisRegistryTest, NoCommandGoesThroughAllKeys) {
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

TEST_P(RedisRegistryTest, EdgeThatDiesIsListedNoMore) {
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
  server_->Text({"SET", "edge:edge_2", R"({"address":"edge_2:50052","instance":"i"})", "PX", "2000"});
  server_->Text({"SADD", "toolwire:edges", "edge_2"});
  lists.AwaitLast({"edge_1", "edge_2"});
  lists.AwaitLast({"edge_1"});
  EXPECT_EQ(server_->Text({"SISMEMBER", "toolwire:edges", "edge_2"}), "0");
}

TEST_P(RedisRegistryTest, WatcherKeepsItsListWhileRedisIsUnavailableAndWhenItReturnsEmpty) {
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

INSTANTIATE_TEST_SUITE_P(Both, CommandChannelTest, ::testing::Bool(), NameOfParam);

TEST_P(CommandChannelTest, EveryMessageGoesToTheOneEdgeThatHeldTheLease) {
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

TEST_P(CommandChannelTest, NothingIsDeliveredTwiceWhenSubscriptionsAreInterrupted) {
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
TEST_P(CommandChannelTest, MessagesOfALeaseThatWasKeptAreDeliveredAfterAnInterruption) {
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

TEST_P(CommandChannelTest, NobodyListensForAUserThatIsGone) {
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

TEST_P(CommandChannelTest, LeaseThatIsRefreshedThoughUnknownIsListenedTo) {
  const auto edge = MakeEdge("edge_1");
  edge->Hold("user", edge->Claim("other"));
  edge->Refresh();
  Await([&] { return edge->EdgeOf("user") == "edge_1"; });
  EXPECT_EQ(server_->Text({"PUBLISH", "agent:user:commands", "x"}), "1");
}

TEST_P(CommandChannelTest, OtherChannelsCanBeUsed) {
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

TEST_P(CommandChannelTest, KeysOfOtherModulesAreTakenOnceAndExpire) {
  const auto edge = MakeEdge("edge_1"), other = MakeEdge("edge_2");
  const auto set = [](RedisRegistry& registry, const char* key, Duration life) {
    Answer<absl::Status> done;
    registry.Set(key, life, done);
    return done.Take();
  };
  EXPECT_EQ(set(edge->registry(), "toolwire:owed:1", std::chrono::seconds(60)), absl::OkStatus());
  EXPECT_EQ(set(edge->registry(), "toolwire:owed:2", std::chrono::milliseconds(-5)), absl::OkStatus());
  const auto take = [](RedisRegistry& registry, const char* key) {
    Answer<bool> there;
    registry.Take(key, there);
    return there.Take();
  };
  Await([&] { return server_->Text({"EXISTS", "toolwire:owed:1"}) == "1"; });
  Await([&] { return server_->Text({"EXISTS", "toolwire:owed:2"}) == "0"; });
  EXPECT_GT(std::stoi(server_->Text({"TTL", "toolwire:owed:1"})), 50);
  EXPECT_TRUE(take(other->registry(), "toolwire:owed:1"));
  EXPECT_FALSE(take(edge->registry(), "toolwire:owed:1"));
}

TEST_P(RedisRegistryTest, MemoryOfAnAgentIsAtMost500BytesWithItsChannel) {
  constexpr int kAgents = 10'000;
  constexpr int kAtOnce = 100;  // So that the connections' own buffers stay small.
  struct Case {
    const char* what;
    bool channels, status;
  };
  for (const Case& one : {Case{"alone", false, false}, {"with its channel", true, false},
                          {"with its channel and status key", true, true}}) {
    server_->Text({"FLUSHALL"});
    options_.command_channels = one.channels;
    options_.status_keys = one.status;
    auto edge = MakeEdge("edge-1.example");
    const auto claim = [&](int first, int count) {
      std::vector<Answer<absl::StatusOr<uint64_t>>> claims;
      for (int i = first; i < first + count; ++i) {
        claims.push_back(edge->StartClaim(absl::StrCat("user_", 1'000'000 + i)));
      }
      for (const auto& answer : claims) EXPECT_TRUE(answer.Take().ok());
    };
    claim(kAgents, kAtOnce);  // Scripts are loaded, buffers there.
    const auto used = [&] { return server_->Info("memory", "used_memory"); };
    const int64_t before = used();
    for (int i = 0; i < kAgents; i += kAtOnce) claim(i, kAtOnce);
    const double bytes = static_cast<double>(used() - before) / kAgents;
    std::printf("Redis memory of an agent %s: %.0f bytes\n", one.what, bytes);
    if (!one.status) {
      EXPECT_LE(bytes, 500);
    }
    const auto usage = [&](std::string key) {
      const std::string text = server_->Text({"MEMORY", "USAGE", key, "SAMPLES", "0"});
      std::printf("  MEMORY USAGE of %s: %s bytes\n", key.c_str(), text.c_str());
    };
    usage("agent:user_1000000:server");
    if (one.status) usage("agent:user_1000000:status");
    usage(absl::StrCat("toolwire:epochs:", EpochHash("user_1000000")));
  }
}

}  // namespace
}  // namespace toolwire
