// What every registry keeps, as one body of tests over each implementation, with time moved by hand.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <ostream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "common/registry/memory_registry.h"
#include "common/registry/redis_registry.h"
#include "common/registry/registry.h"
#include "tests/fakes/fake_clock.h"
#include "tests/support/await.h"
#include "tests/support/redis_server.h"

namespace toolwire {
namespace {

constexpr Duration kTimeToLive = std::chrono::seconds(120);
// How near to the end a lease is taken to be alive: real time passes in some of these tests.
constexpr Duration kMargin = std::chrono::seconds(20);

using Held = Registry::Held;

// One implementation, as the processes of a cluster have it.
class Cluster {
 public:
  virtual ~Cluster() = default;
  // The registry in the process of this edge, and in one that only looks.
  virtual Registry& Of(const std::string& edge_id) = 0;
  virtual Registry& OfControl() = 0;
  virtual void PassTime(Duration time) = 0;
  virtual MonoTime Now() = 0;
  // As when the server behind the registry was emptied.
  virtual void LoseLeases() = 0;
};

class MemoryCluster final : public Cluster {
 public:
  Registry& Of(const std::string&) override { return registry_; }
  Registry& OfControl() override { return registry_; }
  void PassTime(Duration time) override { clock_.Advance(time); }
  MonoTime Now() override { return clock_.Now(); }
  void LoseLeases() override { clock_.Advance(kTimeToLive); }

 private:
  FakeClock clock_;
  MemoryRegistry registry_{clock_, kTimeToLive};
};

class RedisCluster final : public Cluster {
 public:
  RedisCluster(RedisServer& server, bool command_channels) : server_(server), command_channels_(command_channels) {
    server_.Text({"FLUSHALL"});
  }
  static RedisServer& Plain() {
    static RedisServer server;
    return server;
  }
  static RedisServer& Protected() {
    static const std::unique_ptr<RedisServer> server = RedisServer::Protected();
    return *server;
  }

  Registry& Of(const std::string& edge_id) override {
    std::unique_ptr<RedisRegistry>& registry = registries_[edge_id];
    if (!registry) {
      RedisRegistry::Options options = server_.options();
      options.lease_ttl = kTimeToLive;
      options.command_timeout = options.claim_wait_max = kAwaitDeadline;  // A busy machine is no error.
      options.command_channels = command_channels_ && edge_id != "control";
      registry = *RedisRegistry::Create(options);
      Await([&] { return registry->connected(); });
    }
    return *registry;
  }
  Registry& OfControl() override { return Of("control"); }
  MonoTime Now() override { return std::chrono::steady_clock::now(); }
  // Brings every lease nearer to its end, or to it.
  void PassTime(Duration time) override {
    server_.Text({"EVAL",
                  "for _, key in ipairs(redis.call('KEYS', 'agent:*')) do "
                  "  redis.call('PEXPIRE', key, redis.call('PTTL', key) - ARGV[1]) "
                  "end "
                  "return 'OK'",
                  "0", std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(time).count())});
  }
  void LoseLeases() override {
    server_.Text({"EVAL",
                  "for _, key in ipairs(redis.call('KEYS', '*')) do "
                  "  if not string.find(key, 'edge') then redis.call('DEL', key) end "
                  "end "
                  "return 'OK'",
                  "0"});
  }

 private:
  RedisServer& server_;
  const bool command_channels_;
  std::map<std::string, std::unique_ptr<RedisRegistry>> registries_;
};

struct Implementation {
  const char* name;
  bool needs_redis;
  std::function<std::unique_ptr<Cluster>()> make;
};

template <bool command_channels, RedisServer& (*server)()>
std::unique_ptr<Cluster> OverRedis() {
  return std::make_unique<RedisCluster>(server(), command_channels);
}

void PrintTo(const Implementation& implementation, std::ostream* out) { *out << implementation.name; }

// Three edges that have joined. An edge's calls are carried out in order; a look-up through it, after all of them.
class RegistryContract : public ::testing::TestWithParam<Implementation> {
 protected:
  void SetUp() override {
    if (GetParam().needs_redis && !RedisServer::Installed()) GTEST_SKIP() << "redis-server is not installed";
    cluster_ = GetParam().make();
    for (const char* edge : {"edge_1", "edge_2", "edge_3"}) Join(edge);
  }
  void TearDown() override {
    if (cluster_) {
      for (const char* edge : {"edge_1", "edge_2", "edge_3"}) cluster_->Of(edge).Leave(edge, InTime());
    }
  }

  void Join(const std::string& edge) {
    cluster_->Of(edge).Join({edge, edge + ":50052", "instance"},
                            {[this, edge](const std::string& user_id, uint64_t epoch) {
                               std::lock_guard<std::mutex> lock(mu_);
                               replaced_.push_back({edge, user_id, epoch});
                             },
                             [] {}, [](const std::string&, const std::string&, MonoTime) {}});
    LookupAt(edge, "user");
  }

  uint64_t Claim(const std::string& user_id, const std::string& edge) {
    Answer<absl::StatusOr<uint64_t>> answer;
    cluster_->Of(edge).Claim(user_id, edge, answer);
    const absl::StatusOr<uint64_t> epoch = answer.Take();
    EXPECT_TRUE(epoch.ok()) << epoch.status();
    return epoch.value_or(0);
  }
  void Release(const std::string& user_id, const std::string& edge, uint64_t epoch) {
    cluster_->Of(edge).Release(user_id, edge, epoch, {});
    LookupAt(edge, user_id);
  }
  void Refresh(const std::string& edge, std::vector<Held> held) {
    cluster_->Of(edge).Refresh(edge, std::move(held));
    LookupAt(edge, "user");
  }

  std::optional<Lease> LookupAt(const std::string& edge, const std::string& user_id) {
    Answer<absl::StatusOr<std::optional<Lease>>> answer;
    cluster_->Of(edge).Lookup(user_id, answer);
    absl::StatusOr<std::optional<Lease>> lease = answer.Take();
    EXPECT_TRUE(lease.ok()) << lease.status();
    return lease.value_or(std::nullopt);
  }
  std::optional<Lease> Lookup(const std::string& user_id) { return LookupAt("control", user_id); }

  // Where the user's agent is; "" if there is no lease.
  std::string EdgeOf(const std::string& user_id) {
    const std::optional<Lease> lease = Lookup(user_id);
    return lease ? lease->edge_id : "";
  }

  struct Replacement {
    std::string edge_id;
    std::string user_id;
    uint64_t epoch;
  };
  // Waits until this edge received that this user was replaced by this lease or a newer one.
  void AwaitReplaced(const std::string& edge, const std::string& user_id, uint64_t epoch) {
    Await([&] {
      std::lock_guard<std::mutex> lock(mu_);
      return std::any_of(replaced_.begin(), replaced_.end(), [&](const Replacement& one) {
        return one.edge_id == edge && one.user_id == user_id && one.epoch >= epoch;
      });
    });
  }
  size_t replacements_at(const std::string& edge) {
    std::lock_guard<std::mutex> lock(mu_);
    return std::count_if(replaced_.begin(), replaced_.end(), [&](const auto& one) { return one.edge_id == edge; });
  }
  // Until edges 1 and 2 have received everything that happened so far, and one thing more each.
  void HearAll() {
    for (const std::string edge : {"edge_1", "edge_2"}) {
      Claim("somebody at " + edge, edge);
      const uint64_t epoch = Claim("somebody at " + edge, "edge_3");
      AwaitReplaced(edge, "somebody at " + edge, epoch);
      Release("somebody at " + edge, "edge_3", epoch);
    }
  }

  std::mutex mu_;
  std::vector<Replacement> replaced_;  // Guarded by mu_.
  std::unique_ptr<Cluster> cluster_;
};

INSTANTIATE_TEST_SUITE_P(
    AllRegistries, RegistryContract,
    ::testing::Values(Implementation{"Memory", false, [] { return std::make_unique<MemoryCluster>(); }},
                      Implementation{"Redis", true, OverRedis<false, &RedisCluster::Plain>},
                      Implementation{"RedisWithChannels", true, OverRedis<true, &RedisCluster::Plain>},
                      Implementation{"RedisOverTls", true, OverRedis<true, &RedisCluster::Protected>}),
    [](const auto& info) { return info.param.name; });

// --- leases ---

TEST_P(RegistryContract, UnclaimedUserHasNoLease) { EXPECT_FALSE(Lookup("user").has_value()); }

TEST_P(RegistryContract, ClaimedUserIsAtTheClaimingEdgeWithTheClaimsEpoch) {
  const uint64_t epoch = Claim("user", "edge_1");
  EXPECT_GT(epoch, 0u);
  const std::optional<Lease> lease = Lookup("user");
  ASSERT_TRUE(lease.has_value());
  EXPECT_EQ(lease->edge_id, "edge_1");
  EXPECT_EQ(lease->epoch, epoch);
  EXPECT_EQ(EdgeOf("other"), "");
}

TEST_P(RegistryContract, AnyTextCanBeAUser) {
  for (const std::string& user_id : {std::string("a b:c"), std::string("\xc3\xa4{1}%*"), std::string(200, 'x')}) {
    Claim(user_id, "edge_1");
    EXPECT_EQ(EdgeOf(user_id), "edge_1");
    AwaitReplaced("edge_1", user_id, Claim(user_id, "edge_2"));
  }
}

TEST_P(RegistryContract, NewestClaimWins) {
  const uint64_t first = Claim("user", "edge_1");
  const uint64_t second = Claim("user", "edge_2");
  EXPECT_GT(second, first);
  EXPECT_EQ(EdgeOf("user"), "edge_2");
}

TEST_P(RegistryContract, ClaimByTheSameEdgeIsANewLease) {
  const uint64_t first = Claim("user", "edge_1");
  EXPECT_GT(Claim("user", "edge_1"), first);
  Release("user", "edge_1", first);
  EXPECT_EQ(EdgeOf("user"), "edge_1");
}

TEST_P(RegistryContract, CurrentReleaseRemovesTheLease) {
  Release("user", "edge_1", Claim("user", "edge_1"));
  EXPECT_EQ(EdgeOf("user"), "");
}

TEST_P(RegistryContract, StaleAndUnknownReleasesChangeNothing) {
  const uint64_t first = Claim("user", "edge_1");
  const uint64_t second = Claim("user", "edge_2");
  Release("user", "edge_1", first);
  Release("user", "edge_1", second + 1);
  Release("nobody", "edge_1", second);
  EXPECT_EQ(EdgeOf("user"), "edge_2");
}

TEST_P(RegistryContract, ReleaseReportsWhetherNoLeaseRemains) {
  const uint64_t first = Claim("user", "edge_1");
  const uint64_t second = Claim("user", "edge_2");
  const auto released = [&](const std::string& edge, uint64_t epoch) {
    auto done = std::make_shared<std::promise<bool>>();
    cluster_->Of(edge).Release("user", edge, epoch, [done](bool is_released) { done->set_value(is_released); });
    return done->get_future().get();
  };
  EXPECT_FALSE(released("edge_1", first)) << "it is at edge_2";
  EXPECT_TRUE(released("edge_2", second));
  EXPECT_TRUE(released("edge_2", second)) << "as it was before";
}

TEST_P(RegistryContract, ReleasingTwiceIsHarmless) {
  const uint64_t epoch = Claim("user", "edge_1");
  Release("user", "edge_1", epoch);
  Release("user", "edge_1", epoch);
  Claim("user", "edge_2");
  Release("user", "edge_1", epoch);
  EXPECT_EQ(EdgeOf("user"), "edge_2");
}

TEST_P(RegistryContract, LeaseExpiresWhenItsTimeIsOver) {
  Claim("user", "edge_1");
  cluster_->PassTime(kTimeToLive - kMargin);
  EXPECT_EQ(EdgeOf("user"), "edge_1");
  cluster_->PassTime(kMargin);
  EXPECT_EQ(EdgeOf("user"), "");
}

TEST_P(RegistryContract, RefreshKeepsALeaseAliveForItsFullTime) {
  const uint64_t epoch = Claim("user", "edge_1");
  for (int i = 0; i < 5; ++i) {
    cluster_->PassTime(kTimeToLive - kMargin);
    Refresh("edge_1", {{"user", epoch}});
  }
  cluster_->PassTime(kTimeToLive - kMargin);
  const std::optional<Lease> lease = Lookup("user");
  ASSERT_TRUE(lease.has_value());
  EXPECT_EQ(lease->epoch, epoch);
  cluster_->PassTime(kMargin);
  EXPECT_EQ(EdgeOf("user"), "");
}

TEST_P(RegistryContract, RefreshExtendsOnlyWhatItNames) {
  const uint64_t kept = Claim("kept", "edge_1");
  Claim("left", "edge_1");
  cluster_->PassTime(kTimeToLive / 2);
  Refresh("edge_1", {{"kept", kept}});
  Refresh("edge_1", {});
  cluster_->PassTime(kTimeToLive / 2);
  EXPECT_EQ(EdgeOf("kept"), "edge_1");
  EXPECT_EQ(EdgeOf("left"), "");
}

TEST_P(RegistryContract, ManyLeasesAreRefreshedAtOnce) {
  std::vector<Held> held;
  for (int i = 0; i < 1000; ++i) {
    const std::string user_id = "user" + std::to_string(i);
    held.push_back({user_id, Claim(user_id, "edge_1")});
  }
  cluster_->PassTime(kTimeToLive - kMargin);
  Refresh("edge_1", held);
  cluster_->PassTime(kTimeToLive - kMargin);
  for (const Held& one : held) ASSERT_EQ(EdgeOf(one.user_id), "edge_1") << one.user_id;
}

TEST_P(RegistryContract, StaleRefreshDoesNotExtendTheNewLease) {
  const uint64_t first = Claim("user", "edge_1");
  Claim("user", "edge_2");
  cluster_->PassTime(kTimeToLive - kMargin);
  Refresh("edge_1", {{"user", first}});
  EXPECT_EQ(EdgeOf("user"), "edge_2");
  cluster_->PassTime(kMargin);
  EXPECT_EQ(EdgeOf("user"), "");
}

TEST_P(RegistryContract, RefreshMakesALeaseThatIsGoneAgain) {
  const uint64_t epoch = Claim("user", "edge_1");
  cluster_->PassTime(kTimeToLive);
  Refresh("edge_1", {{"user", epoch}});
  EXPECT_EQ(EdgeOf("user"), "edge_1");
}

TEST_P(RegistryContract, LeaseThatWasReleasedIsNeverMadeAgain) {
  const uint64_t first = Claim("user", "edge_1");
  const uint64_t second = Claim("user", "edge_2");
  AwaitReplaced("edge_1", "user", second);
  Release("user", "edge_2", second);
  for (const auto& [edge, epoch] : {std::make_pair("edge_1", first), std::make_pair("edge_2", second)}) {
    Refresh(edge, {{"user", epoch}});
    EXPECT_EQ(EdgeOf("user"), "");
    AwaitReplaced(edge, "user", epoch + 1);
    cluster_->PassTime(kTimeToLive);
    Refresh(edge, {{"user", epoch}});
    EXPECT_EQ(EdgeOf("user"), "");
  }
  EXPECT_GT(Claim("user", "edge_1"), second);
  EXPECT_EQ(EdgeOf("user"), "edge_1");
}

TEST_P(RegistryContract, ClaimForAnOlderConnectionDoesNotEndANewerOne) {
  const auto claim = [&](const std::string& edge, MonoTime came) {
    Answer<absl::StatusOr<uint64_t>> answer;
    cluster_->Of(edge).Claim(Registry::ClaimRequest{"user", edge, came, nullptr}, answer);
    return answer.Take();
  };
  const MonoTime now = cluster_->Now();
  const absl::StatusOr<uint64_t> newer = claim("edge_1", now);
  ASSERT_TRUE(newer.ok());
  EXPECT_EQ(claim("edge_2", now - kMargin).status().code(), absl::StatusCode::kAborted);
  EXPECT_EQ(EdgeOf("user"), "edge_1");
  EXPECT_TRUE(claim("edge_1", now - kMargin).ok()) << "the edge itself knows which of its connections is the newer";
  Release("user", "edge_1", claim("edge_1", now).value_or(0));
  EXPECT_TRUE(claim("edge_2", now - kMargin).ok()) << "the newer one is gone";
  EXPECT_EQ(EdgeOf("user"), "edge_2");
}

TEST_P(RegistryContract, ClaimThatWasTakenBackIsNotMade) {
  const uint64_t epoch = Claim("user", "edge_1");
  Answer<absl::StatusOr<uint64_t>> answer;
  cluster_->Of("edge_2").Claim(
      Registry::ClaimRequest{"user", "edge_2", MonoTime::max(), std::make_shared<const std::atomic<bool>>(true)},
      answer);
  EXPECT_EQ(answer.Take().status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(Lookup("user")->epoch, epoch);
}

TEST_P(RegistryContract, EpochsGrowAlsoAfterReleaseAndExpiryAndLoss) {
  uint64_t last = Claim("user", "edge_1");
  Release("user", "edge_1", last);
  const uint64_t after_release = Claim("user", "edge_1");
  EXPECT_GT(after_release, last);
  cluster_->PassTime(2 * kTimeToLive);
  EXPECT_EQ(EdgeOf("user"), "");
  const uint64_t after_expiry = Claim("user", "edge_2");
  EXPECT_GT(after_expiry, after_release);
  cluster_->LoseLeases();
  EXPECT_EQ(EdgeOf("user"), "");
  EXPECT_GT(Claim("user", "edge_1"), after_expiry);
}

TEST_P(RegistryContract, CallbacksMayCallTheRegistry) {
  Registry& registry = cluster_->Of("edge_1");
  Answer<std::string> edge;
  registry.Claim("user", "edge_1", [&](const absl::StatusOr<uint64_t>&) {
    registry.Lookup("user", [&](absl::StatusOr<std::optional<Lease>> lease) {
      registry.Release("user", "edge_1", (*lease)->epoch, {});
      edge((*lease)->edge_id);
    });
  });
  EXPECT_EQ(edge.Take(), "edge_1");
  LookupAt("edge_1", "user");
  EXPECT_EQ(EdgeOf("user"), "");
}

TEST_P(RegistryContract, GreatestEpochOfRacingClaimsIsTheLease) {
  constexpr int kThreads = 3, kClaims = 200;
  std::vector<uint64_t> greatest(kThreads);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      const std::string edge = "edge_" + std::to_string(t + 1);
      for (int i = 0; i < kClaims; ++i) {
        const uint64_t epoch = Claim("user", edge);
        EXPECT_GT(epoch, greatest[t]);
        cluster_->Of(edge).Refresh(edge, {{"user", greatest[t]}});
        cluster_->Of(edge).Release("user", edge, greatest[t], {});
        greatest[t] = epoch;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (int t = 0; t < kThreads; ++t) LookupAt("edge_" + std::to_string(t + 1), "user");
  const int winner = static_cast<int>(std::max_element(greatest.begin(), greatest.end()) - greatest.begin());
  const std::optional<Lease> lease = Lookup("user");
  ASSERT_TRUE(lease.has_value());
  EXPECT_EQ(lease->epoch, greatest[winner]);
  EXPECT_EQ(lease->edge_id, "edge_" + std::to_string(winner + 1));
}

// --- who receives what ---

TEST_P(RegistryContract, EdgeIsNotifiedWhenAnotherOneClaimsItsUser) {
  Claim("user", "edge_1");
  AwaitReplaced("edge_1", "user", Claim("user", "edge_2"));
  AwaitReplaced("edge_2", "user", Claim("user", "edge_1"));
  HearAll();
  EXPECT_EQ(replacements_at("edge_3"), 0u);
}

TEST_P(RegistryContract, EdgeIsNotNotifiedOfItsOwnClaimsNorOfThoseOfUsersItReleased) {
  Release("user", "edge_1", Claim("user", "edge_1"));
  Claim("user", "edge_2");
  Claim("user", "edge_2");
  HearAll();
  EXPECT_EQ(replacements_at("edge_1"), 1u);  // HearAll's.
  EXPECT_EQ(replacements_at("edge_2"), 1u);
}

TEST_P(RegistryContract, EdgeIsNotifiedOfAClaimAlsoAfterTheLeaseWasLost) {
  Claim("user", "edge_1");
  cluster_->LoseLeases();
  AwaitReplaced("edge_1", "user", Claim("user", "edge_2"));
  HearAll();
  EXPECT_EQ(replacements_at("edge_2"), 1u);  // HearAll's.
}

TEST_P(RegistryContract, RefreshTellsTheEdgeWhatWasReplaced) {
  const uint64_t first = Claim("user", "edge_1");
  const uint64_t second = Claim("user", "edge_2");
  AwaitReplaced("edge_1", "user", second);
  {
    std::lock_guard<std::mutex> lock(mu_);
    replaced_.clear();
  }
  Refresh("edge_1", {{"user", first}});
  AwaitReplaced("edge_1", "user", second);
}

// A claim's `done` comes first; what replaced the claim comes after it, and is never missed.
TEST_P(RegistryContract, EveryLosingClaimOfARaceIsReportedAfterItsAnswer) {
  constexpr int kRounds = 100;
  for (int i = 0; i < kRounds; ++i) {
    const std::string user_id = "user" + std::to_string(i);
    std::vector<std::pair<std::string, Answer<uint64_t>>> claims;
    for (const char* edge : {"edge_1", "edge_2", "edge_3"}) {
      Answer<uint64_t> epoch;
      claims.emplace_back(edge, epoch);
      cluster_->Of(edge).Claim(user_id, edge, [this, edge, user_id, epoch](absl::StatusOr<uint64_t> claimed) {
        {
          std::lock_guard<std::mutex> lock(mu_);
          for (const Replacement& one : replaced_) {
            EXPECT_FALSE(one.edge_id == edge && one.user_id == user_id) << "notified before the claim was answered";
          }
        }
        epoch(claimed.value_or(0));
      });
    }
    uint64_t greatest = 0;
    std::vector<std::pair<std::string, uint64_t>> epochs;
    for (const auto& [edge, answer] : claims) {
      epochs.emplace_back(edge, answer.Take());
      greatest = std::max(greatest, epochs.back().second);
    }
    for (const auto& [edge, epoch] : epochs) {
      if (epoch != greatest) AwaitReplaced(edge, user_id, epoch + 1);
    }
  }
}

TEST_P(RegistryContract, AfterALossTheGreaterEpochWinsInWhateverOrderItIsRefreshed) {
  for (const bool newer_first : {true, false}) {
    const std::string user_id = newer_first ? "newer first" : "older first";
    const uint64_t older = Claim(user_id, "edge_1");
    const uint64_t newer = Claim(user_id, "edge_2");
    AwaitReplaced("edge_1", user_id, newer);
    HearAll();
    {
      std::lock_guard<std::mutex> lock(mu_);
      replaced_.clear();
    }
    cluster_->LoseLeases();
    if (newer_first) Refresh("edge_2", {{user_id, newer}});
    Refresh("edge_1", {{user_id, older}});
    if (!newer_first) Refresh("edge_2", {{user_id, newer}});
    AwaitReplaced("edge_1", user_id, newer);
    const std::optional<Lease> lease = Lookup(user_id);
    ASSERT_TRUE(lease.has_value());
    EXPECT_EQ(lease->edge_id, "edge_2");
    EXPECT_EQ(lease->epoch, newer);
    HearAll();
    EXPECT_EQ(replacements_at("edge_2"), 1u);  // HearAll's.
  }
}

// --- edges ---

TEST_P(RegistryContract, WatcherReceivesTheEdgesNowAndWheneverTheyChange) {
  std::vector<std::string> now;
  std::mutex now_mu;
  cluster_->OfControl().WatchEdges([&](const std::vector<EdgeAddress>& edges) {
    std::lock_guard<std::mutex> lock(now_mu);
    now.clear();
    for (const EdgeAddress& edge : edges) now.push_back(edge.edge_id + " at " + edge.relay_address);
  });
  const auto await_edges = [&](const std::vector<std::string>& wanted) {
    Await([&] {
      std::lock_guard<std::mutex> lock(now_mu);
      return now == wanted;
    });
  };
  await_edges({"edge_1 at edge_1:50052", "edge_2 at edge_2:50052", "edge_3 at edge_3:50052"});
  cluster_->Of("edge_2").Leave("edge_2", InTime());
  await_edges({"edge_1 at edge_1:50052", "edge_3 at edge_3:50052"});
  Join("edge_2");
  await_edges({"edge_1 at edge_1:50052", "edge_2 at edge_2:50052", "edge_3 at edge_3:50052"});
  cluster_->OfControl().WatchEdges([](const std::vector<EdgeAddress>&) {});
}

TEST_P(RegistryContract, EdgesThatAreAliveAreListed) {
  const auto listed = [&] {
    const auto answered = std::make_shared<std::promise<absl::StatusOr<std::vector<std::string>>>>();
    cluster_->OfControl().ListEdges([answered](auto edge_ids) { answered->set_value(std::move(edge_ids)); });
    auto edge_ids = answered->get_future().get();
    EXPECT_TRUE(edge_ids.ok()) << edge_ids.status();
    if (!edge_ids.ok()) return std::vector<std::string>();
    std::sort(edge_ids->begin(), edge_ids->end());
    return *edge_ids;
  };
  Await([&] { return listed() == std::vector<std::string>{"edge_1", "edge_2", "edge_3"}; });
  cluster_->Of("edge_2").Leave("edge_2", InTime());
  Await([&] { return listed() == std::vector<std::string>{"edge_1", "edge_3"}; });
}

TEST_P(RegistryContract, LeaseOfAnEdgeThatLeftIsNotFound) {
  Claim("user", "edge_1");
  cluster_->Of("edge_1").Leave("edge_1", InTime());
  EXPECT_EQ(EdgeOf("user"), "");
  Join("edge_1");
  Claim("user", "edge_1");
  EXPECT_EQ(EdgeOf("user"), "edge_1");
}

TEST_P(RegistryContract, EdgeThatLeftReceivesNothing) {
  Claim("user", "edge_1");
  cluster_->Of("edge_1").Leave("edge_1", InTime());
  Claim("user", "edge_2");
  Join("edge_1");
  HearAll();
  EXPECT_EQ(replacements_at("edge_1"), 1u);  // HearAll's.
}

TEST(SingleEdgeRegistryTest, EveryAgentIsAtTheEdgeThatWasSetLast) {
  SingleEdgeRegistry registry;
  const auto edge_of_anyone = [&] {
    std::string edge = "no answer";
    registry.Lookup("anyone", [&](absl::StatusOr<std::optional<Lease>> lease) { edge = (*lease)->edge_id; });
    return edge;
  };
  EXPECT_EQ(edge_of_anyone(), "");  // An id that no edge has.
  registry.SetEdge("edge_1");
  EXPECT_EQ(edge_of_anyone(), "edge_1");
  registry.SetEdge("edge_2");
  EXPECT_EQ(edge_of_anyone(), "edge_2");
}

TEST(SingleEdgeRegistryTest, ItsEdgeIsListedOnceItIsKnown) {
  SingleEdgeRegistry registry;
  absl::StatusOr<std::vector<std::string>> listed;
  const auto keep = [&](absl::StatusOr<std::vector<std::string>> edge_ids) { listed = std::move(edge_ids); };
  registry.ListEdges(keep);
  EXPECT_TRUE(absl::IsUnavailable(listed.status()));
  registry.SetEdge("edge_1");
  registry.ListEdges(keep);
  ASSERT_TRUE(listed.ok());
  EXPECT_EQ(*listed, std::vector<std::string>{"edge_1"});
}

TEST(SingleEdgeRegistryTest, NobodyCanClaimThroughIt) {
  SingleEdgeRegistry registry;
  registry.SetEdge("edge_1");
  absl::Status status;
  registry.Claim("user", "edge_2", [&](absl::StatusOr<uint64_t> epoch) { status = epoch.status(); });
  EXPECT_FALSE(status.ok());
}

}  // namespace
}  // namespace toolwire
