#include "control/session_waits.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace toolwire {
namespace {

using std::chrono::milliseconds;
using Attempts = std::vector<uint64_t>;
using Users = std::vector<std::string>;

constexpr milliseconds kTick(10);

TEST(SessionWaitsTest, FindsTheCallsOfAUserInOrderUntilTheyAreRemoved) {
  SessionWaits waits(kTick, {});
  waits.Add("a", 3, {});
  waits.Add("b", 2, {});
  waits.Add("a", 1, {});
  waits.Add("a", 1, {});
  EXPECT_EQ(waits.calls(), 3u);
  EXPECT_EQ(waits.CallsOf("a"), (Attempts{1, 3}));
  EXPECT_EQ(waits.CallsOf("c"), Attempts{});
  waits.Remove("a", 3);
  waits.Remove("a", 3);
  waits.Remove("c", 1);
  EXPECT_EQ(waits.CallsOf("a"), Attempts{1});
  waits.Remove("a", 1);
  EXPECT_FALSE(waits.HasCallsOf("a"));
  EXPECT_TRUE(waits.HasCallsOf("b"));
  EXPECT_EQ(waits.calls(), 1u);
}

TEST(SessionWaitsTest, LooksEachUserUpAfterPausesThatDoubleUpToTheLongest) {
  SessionWaits waits(kTick, {});
  waits.Add("a", 1, {});
  std::vector<int> at_ms;
  for (int ms = 10; ms <= 1300; ms += 10) {
    if (waits.TakeDue(MonoTime(milliseconds(ms)), 10) == Users{"a"}) at_ms.push_back(ms);
  }
  EXPECT_EQ(at_ms, (std::vector<int>{20, 60, 140, 300, 620, 940, 1260}));
}

TEST(SessionWaitsTest, CallThatCameLaterSharesThePauseOfItsUser) {
  SessionWaits waits(kTick, {});
  waits.Add("a", 1, {});
  waits.Add("a", 2, MonoTime(milliseconds(10)));
  EXPECT_EQ(waits.TakeDue(MonoTime(milliseconds(20)), 10), Users{"a"});
  EXPECT_EQ(waits.TakeDue(MonoTime(milliseconds(50)), 10), Users{});
}

TEST(SessionWaitsTest, UserWithoutCallsIsNotLookedUpAndBeginsAnew) {
  SessionWaits waits(kTick, {});
  waits.Add("a", 1, {});
  waits.Remove("a", 1);
  EXPECT_EQ(waits.TakeDue(MonoTime(milliseconds(100)), 10), Users{});
  waits.Add("a", 2, MonoTime(milliseconds(100)));
  EXPECT_EQ(waits.TakeDue(MonoTime(milliseconds(120)), 10), Users{"a"});
}

TEST(SessionWaitsTest, NoMoreUsersAtOnceThanAskedFor) {
  SessionWaits waits(kTick, {});
  for (int i = 0; i < 25; ++i) waits.Add("user_" + std::to_string(i), 1, {});
  EXPECT_EQ(waits.TakeDue(MonoTime(milliseconds(20)), 10).size(), 10u);
  EXPECT_EQ(waits.TakeDue(MonoTime(milliseconds(20)), 10).size(), 10u);
  EXPECT_EQ(waits.TakeDue(MonoTime(milliseconds(20)), 10).size(), 5u);
}

}  // namespace
}  // namespace toolwire
