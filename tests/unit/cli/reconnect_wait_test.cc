#include "cli/agent/reconnect_wait.h"

#include <gtest/gtest.h>

#include <chrono>

namespace toolwire {
namespace {

using std::chrono::seconds;

TEST(ReconnectWaitTest, WaitsDoubleAndBeginAnewWithAConnection) {
  ReconnectWait wait(seconds(1), seconds(60));
  for (const int expected : {1, 2, 4, 8, 16, 32, 60, 60}) EXPECT_EQ(wait.AfterLoss(), seconds(expected));
  wait.OnConnected(MonoTime());
  EXPECT_EQ(wait.AfterLoss(), seconds(1));
}

TEST(ReconnectWaitTest, WhoWasReplacedWaitsLongAndIsToldOnce) {
  ReconnectWait wait(seconds(1), seconds(60));
  MonoTime now{};
  for (const int expected : {30, 60, 120, 240, 300, 300}) {
    wait.OnConnected(now);
    now += seconds(expected) * 5 / 4;  // The other agent waited as long, and a quarter more.
    EXPECT_EQ(wait.AfterReplaced(now), seconds(expected));
    EXPECT_EQ(wait.replaced_first(), expected == 30);
  }
}

TEST(ReconnectWaitTest, OnlyAConnectionThatHeldMakesItBeginAnew) {
  ReconnectWait wait(seconds(1), seconds(60));
  MonoTime now{};
  wait.OnConnected(now);
  EXPECT_EQ(wait.AfterReplaced(now), seconds(30));
  wait.OnConnected(now);
  now += seconds(30) * ReconnectWait::kHeldWaits - seconds(1);
  EXPECT_EQ(wait.AfterReplaced(now), seconds(60));
  wait.OnConnected(now);
  now += seconds(60) * ReconnectWait::kHeldWaits;
  EXPECT_EQ(wait.AfterReplaced(now), seconds(30));
  EXPECT_TRUE(wait.replaced_first());
}

}  // namespace
}  // namespace toolwire
