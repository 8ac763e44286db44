#include "edge/revocations.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "edge/user_directory.h"
#include "tests/fakes/fake_clock.h"

namespace toolwire {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Duration kLoginMax = seconds(5);

class RevocationsTest : public ::testing::Test {
 protected:
  FakeClock clock_;
  Revocations revocations_{clock_, kLoginMax};
};

TEST_F(RevocationsTest, CoversChecksThatBeganBeforeAndNoLaterOnes) {
  const MonoTime before = clock_.Now();
  EXPECT_FALSE(revocations_.Covers("user_1", before));
  clock_.Advance(seconds(1));
  revocations_.Add("user_1");
  EXPECT_TRUE(revocations_.Covers("user_1", before));
  EXPECT_TRUE(revocations_.Covers("user_1", clock_.Now())) << "who was first is not known";
  EXPECT_FALSE(revocations_.Covers("user_2", before));
  clock_.Advance(milliseconds(1));
  EXPECT_FALSE(revocations_.Covers("user_1", clock_.Now()));
}

TEST_F(RevocationsTest, IsRememberedAsLongAsALoginCanBeUnderWay) {
  const MonoTime began = clock_.Now();
  revocations_.Add("user_1");
  clock_.Advance(kLoginMax);
  EXPECT_TRUE(revocations_.Covers("user_1", began));
  clock_.Advance(milliseconds(1));
  EXPECT_FALSE(revocations_.Covers("user_1", began)) << "no login is checked so late";
}

TEST_F(RevocationsTest, SecondRevocationCountsFromItsOwnTime) {
  revocations_.Add("user_1");
  clock_.Advance(seconds(3));
  const MonoTime between = clock_.Now();
  revocations_.Add("user_1");
  clock_.Advance(seconds(3));
  EXPECT_TRUE(revocations_.Covers("user_1", between)) << "the first one is forgotten, the second is not";
  clock_.Advance(seconds(3));
  EXPECT_FALSE(revocations_.Covers("user_1", between));
}

TEST_F(RevocationsTest, WhenThereAreTooManyEveryLoginUnderWayIsCovered) {
  const MonoTime began = clock_.Now();
  for (size_t i = 0; i < Revocations::kUsersMax; ++i) revocations_.Add("user_" + std::to_string(i));
  EXPECT_FALSE(revocations_.Covers("stranger", began));
  revocations_.Add("one more");
  EXPECT_TRUE(revocations_.Covers("stranger", began));
  EXPECT_TRUE(revocations_.Covers("user_7", began));
  EXPECT_TRUE(revocations_.Covers("one more", began));
  clock_.Advance(milliseconds(1));
  EXPECT_FALSE(revocations_.Covers("stranger", clock_.Now()));
  revocations_.Add("later");
  EXPECT_TRUE(revocations_.Covers("later", clock_.Now())) << "it goes on as before";
}

TEST_F(RevocationsTest, AStormOfOneUserCoversNobodyElse) {
  const MonoTime began = clock_.Now();
  revocations_.Add("other");
  for (size_t i = 0; i < 2 * Revocations::kUsersMax; ++i) revocations_.Add("user_1");
  EXPECT_FALSE(revocations_.Covers("stranger", began));
  EXPECT_TRUE(revocations_.Covers("other", began));
  EXPECT_TRUE(revocations_.Covers("user_1", began));
}

// The order that the header asks of both sides leaves no gap, however they meet.
TEST_F(RevocationsTest, LoginAndRevocationThatMeetSeeEachOther) {
  UserDirectory directory;
  constexpr int kRounds = 2000;
  std::atomic<int> round{0};
  std::atomic<int> logins{0}, revoked{0};
  std::vector<char> covered(kRounds), found(kRounds);
  const MonoTime began = clock_.Now();
  const auto user = [](int i) { return "user_" + std::to_string(i); };
  std::thread login([&] {
    for (int i = 0; i < kRounds; ++i) {
      while (round.load() < i) std::this_thread::yield();
      directory.Insert(user(i), SessionRef{0, static_cast<SessionId>(i + 1), 1});
      covered[i] = revocations_.Covers(user(i), began);
      ++logins;
    }
  });
  std::thread revocation([&] {
    for (int i = 0; i < kRounds; ++i) {
      while (round.load() < i) std::this_thread::yield();
      revocations_.Add(user(i));
      found[i] = directory.Find(user(i)).has_value();
      ++revoked;
    }
  });
  for (int i = 0; i < kRounds; ++i) {
    while (logins.load() <= i || revoked.load() <= i) std::this_thread::yield();
    round = i + 1;
  }
  login.join();
  revocation.join();
  for (int i = 0; i < kRounds; ++i) EXPECT_TRUE(covered[i] || found[i]) << i;
}

}  // namespace
}  // namespace toolwire
