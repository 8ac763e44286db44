// What every registry keeps, as one body of tests over each implementation, with time moved by hand.
#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <thread>
#include <vector>

#include "common/memory_registry.h"
#include "common/registry.h"
#include "tests/fakes/fake_clock.h"

namespace toolwire {
namespace {

constexpr Duration kTimeToLive = std::chrono::seconds(120);
constexpr Duration kInstant = Duration(1);

struct Implementation {
  const char* name;
  std::function<std::unique_ptr<Registry>(const Clock&)> make;
};

void PrintTo(const Implementation& implementation, std::ostream* out) { *out << implementation.name; }

// The implementations so far call back before they return; one that calls back later needs a wait here.
class RegistryContract : public ::testing::TestWithParam<Implementation> {
 protected:
  uint64_t Claim(const std::string& user_id, const std::string& edge_id) {
    std::optional<uint64_t> claimed;
    registry_->Claim(user_id, edge_id, [&](absl::StatusOr<uint64_t> epoch) {
      ASSERT_TRUE(epoch.ok()) << epoch.status();
      claimed = *epoch;
    });
    EXPECT_TRUE(claimed.has_value());
    return claimed.value_or(0);
  }

  std::optional<Lease> Lookup(const std::string& user_id) {
    std::optional<Lease> found;
    bool called = false;
    registry_->Lookup(user_id, [&](absl::StatusOr<std::optional<Lease>> lease) {
      called = true;
      ASSERT_TRUE(lease.ok()) << lease.status();
      found = *lease;
    });
    EXPECT_TRUE(called);
    return found;
  }

  // Where the user's agent is, or "" if nowhere.
  std::string EdgeOf(const std::string& user_id) {
    const std::optional<Lease> lease = Lookup(user_id);
    return lease ? lease->edge_id : "";
  }

  FakeClock clock_;
  std::unique_ptr<Registry> registry_ = GetParam().make(clock_);
};

INSTANTIATE_TEST_SUITE_P(AllRegistries, RegistryContract,
                         ::testing::Values(Implementation{
                             "Memory",
                             [](const Clock& clock) { return std::make_unique<MemoryRegistry>(clock, kTimeToLive); }}),
                         [](const auto& info) { return info.param.name; });

TEST_P(RegistryContract, UnclaimedUserIsNowhere) { EXPECT_FALSE(Lookup("user").has_value()); }

TEST_P(RegistryContract, ClaimedUserIsAtTheClaimingEdgeWithTheClaimsEpoch) {
  const uint64_t epoch = Claim("user", "edge_1");
  EXPECT_GT(epoch, 0u);
  const std::optional<Lease> lease = Lookup("user");
  ASSERT_TRUE(lease.has_value());
  EXPECT_EQ(lease->edge_id, "edge_1");
  EXPECT_EQ(lease->epoch, epoch);
  EXPECT_EQ(EdgeOf("other"), "");
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
  registry_->Release("user", "edge_1", first);
  EXPECT_EQ(EdgeOf("user"), "edge_1");
}

TEST_P(RegistryContract, CurrentReleaseRemovesTheLease) {
  registry_->Release("user", "edge_1", Claim("user", "edge_1"));
  EXPECT_EQ(EdgeOf("user"), "");
}

TEST_P(RegistryContract, StaleAndUnknownReleasesChangeNothing) {
  const uint64_t first = Claim("user", "edge_1");
  const uint64_t second = Claim("user", "edge_2");
  registry_->Release("user", "edge_1", first);
  registry_->Release("user", "edge_1", second + 1);
  registry_->Release("nobody", "edge_1", second);
  EXPECT_EQ(EdgeOf("user"), "edge_2");
}

TEST_P(RegistryContract, ReleasingTwiceIsHarmless) {
  const uint64_t epoch = Claim("user", "edge_1");
  registry_->Release("user", "edge_1", epoch);
  registry_->Release("user", "edge_1", epoch);
  Claim("user", "edge_2");
  registry_->Release("user", "edge_1", epoch);
  EXPECT_EQ(EdgeOf("user"), "edge_2");
}

TEST_P(RegistryContract, LeaseExpiresWhenItsTimeIsOver) {
  Claim("user", "edge_1");
  clock_.Advance(kTimeToLive - kInstant);
  EXPECT_EQ(EdgeOf("user"), "edge_1");
  clock_.Advance(kInstant);
  EXPECT_EQ(EdgeOf("user"), "");
}

TEST_P(RegistryContract, RefreshKeepsALeaseAliveForItsFullTime) {
  const uint64_t epoch = Claim("user", "edge_1");
  for (int i = 0; i < 5; ++i) {
    clock_.Advance(kTimeToLive - kInstant);
    registry_->Refresh("edge_1", {{"user", epoch}});
  }
  clock_.Advance(kTimeToLive - kInstant);
  const std::optional<Lease> lease = Lookup("user");
  ASSERT_TRUE(lease.has_value());
  EXPECT_EQ(lease->epoch, epoch);
  clock_.Advance(kInstant);
  EXPECT_EQ(EdgeOf("user"), "");
}

TEST_P(RegistryContract, RefreshExtendsOnlyWhatItNames) {
  const uint64_t kept = Claim("kept", "edge_1");
  Claim("left", "edge_1");
  clock_.Advance(kTimeToLive / 2);
  registry_->Refresh("edge_1", {{"kept", kept}});
  registry_->Refresh("edge_1", {});
  clock_.Advance(kTimeToLive / 2);
  EXPECT_EQ(EdgeOf("kept"), "edge_1");
  EXPECT_EQ(EdgeOf("left"), "");
}

TEST_P(RegistryContract, StaleRefreshDoesNotExtendTheNewLease) {
  const uint64_t first = Claim("user", "edge_1");
  Claim("user", "edge_2");
  clock_.Advance(kTimeToLive - kInstant);
  registry_->Refresh("edge_1", {{"user", first}});
  EXPECT_EQ(EdgeOf("user"), "edge_2");
  clock_.Advance(kInstant);
  EXPECT_EQ(EdgeOf("user"), "");
}

TEST_P(RegistryContract, RefreshMakesALeaseThatIsGoneAgain) {
  const uint64_t epoch = Claim("user", "edge_1");
  clock_.Advance(kTimeToLive);
  registry_->Refresh("edge_1", {{"user", epoch}});
  EXPECT_EQ(EdgeOf("user"), "edge_1");
}

TEST_P(RegistryContract, EpochsGrowAlsoAfterReleaseAndExpiry) {
  uint64_t last = Claim("user", "edge_1");
  registry_->Release("user", "edge_1", last);
  const uint64_t after_release = Claim("user", "edge_1");
  EXPECT_GT(after_release, last);
  clock_.Advance(2 * kTimeToLive);
  EXPECT_EQ(EdgeOf("user"), "");
  EXPECT_GT(Claim("user", "edge_2"), after_release);
}

TEST_P(RegistryContract, CallbacksMayCallTheRegistry) {
  std::string edge;
  registry_->Claim("user", "edge_1", [&](absl::StatusOr<uint64_t>) {
    registry_->Lookup("user", [&](absl::StatusOr<std::optional<Lease>> lease) {
      edge = (*lease)->edge_id;
      registry_->Release("user", "edge_1", (*lease)->epoch);
    });
  });
  EXPECT_EQ(edge, "edge_1");
  EXPECT_EQ(EdgeOf("user"), "");
}

TEST_P(RegistryContract, GreatestEpochOfRacingClaimsIsTheLease) {
  constexpr int kThreads = 4, kClaims = 200;
  std::vector<uint64_t> greatest(kThreads);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kClaims; ++i) {
        const uint64_t epoch = Claim("user", "edge_" + std::to_string(t));
        EXPECT_GT(epoch, greatest[t]);
        registry_->Refresh("edge_" + std::to_string(t), {{"user", greatest[t]}});
        registry_->Release("user", "edge_" + std::to_string(t), greatest[t]);
        greatest[t] = epoch;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  int winner = 0;
  for (int t = 0; t < kThreads; ++t) {
    if (greatest[t] > greatest[winner]) winner = t;
  }
  const std::optional<Lease> lease = Lookup("user");
  ASSERT_TRUE(lease.has_value());
  EXPECT_EQ(lease->epoch, greatest[winner]);
  EXPECT_EQ(lease->edge_id, "edge_" + std::to_string(winner));
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

TEST(SingleEdgeRegistryTest, NobodyCanClaimThroughIt) {
  SingleEdgeRegistry registry;
  registry.SetEdge("edge_1");
  absl::Status status;
  registry.Claim("user", "edge_2", [&](absl::StatusOr<uint64_t> epoch) { status = epoch.status(); });
  EXPECT_FALSE(status.ok());
}

}  // namespace
}  // namespace toolwire
