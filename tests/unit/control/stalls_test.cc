#include "control/stalls.h"

#include <gtest/gtest.h>

#include <chrono>

#include "tests/fakes/fake_clock.h"

namespace toolwire {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(StallsTest, NothingWaitsBeforeTheFirstTickOrWhileTicksCome) {
  FakeClock clock;
  Stalls stalls(clock);
  clock.Advance(seconds(10));
  EXPECT_FALSE(stalls.MustWait());
  for (int i = 0; i < 10; ++i) {
    stalls.Tick();
    clock.Advance(milliseconds(400));
    EXPECT_FALSE(stalls.MustWait()) << "a busy machine";
  }
}

TEST(StallsTest, WhatIsReadJustAfterAStandstillWaitsForSomeTicksWhoeverWakesFirst) {
  for (const bool ticker_first : {false, true}) {
    FakeClock clock;
    Stalls stalls(clock);
    stalls.Tick();
    clock.Advance(seconds(10));
    if (ticker_first) stalls.Tick();
    int resumed = 0;
    ASSERT_TRUE(stalls.MustWait());
    stalls.Wait([&] { ++resumed; });
    for (uint64_t i = 1; i < Stalls::kTicks; ++i) {
      clock.Advance(milliseconds(10));
      stalls.Tick();
    }
    EXPECT_EQ(resumed, 0);
    EXPECT_TRUE(stalls.MustWait());
    clock.Advance(milliseconds(10));
    stalls.Tick();
    EXPECT_EQ(resumed, 1);
    clock.Advance(milliseconds(300));
    EXPECT_FALSE(stalls.MustWait());
    EXPECT_EQ(stalls.counters().held.value(), 1u);
  }
}

}  // namespace
}  // namespace toolwire
