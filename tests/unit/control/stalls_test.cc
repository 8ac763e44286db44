#include "control/stalls.h"

#include <gtest/gtest.h>

#include <chrono>

#include "tests/fakes/fake_clock.h"

namespace toolwire {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class StallsTest : public ::testing::Test {
 protected:
  StallsTest() { cpu_ = Duration::zero(); }

  static Duration Cpu() { return cpu_; }
  // Of the process, while so much time passes.
  void Pass(Duration time, Duration worked = {}) {
    clock_.Advance(time);
    cpu_ += worked;
  }

  static Duration cpu_;
  FakeClock clock_;
  Stalls stalls_{clock_, &Cpu};
};

Duration StallsTest::cpu_;

TEST_F(StallsTest, NothingWaitsBeforeTheFirstTickOrWhileTicksCome) {
  Pass(seconds(10));
  EXPECT_EQ(stalls_.MustWait(), 0u);
  for (int i = 0; i < 10; ++i) {
    stalls_.Tick();
    Pass(Stalls::kStillMin - milliseconds(1));
    EXPECT_EQ(stalls_.MustWait(), 0u) << "a busy machine";
  }
}

TEST_F(StallsTest, NothingWaitsWhileTicksAreLateAndTheProcessWorks) {
  stalls_.Tick();
  Pass(milliseconds(400), milliseconds(200));
  EXPECT_EQ(stalls_.MustWait(), 0u);
  stalls_.Tick();
  EXPECT_EQ(stalls_.MustWait(), 0u);
  Pass(milliseconds(400), milliseconds(100));
  EXPECT_GT(stalls_.MustWait(), 0u) << "it got too little time";
}

TEST_F(StallsTest, WhatIsReadJustAfterAStandstillWaitsForSomeTicksWhoeverWakesFirst) {
  for (const bool ticker_first : {false, true}) {
    stalls_.Tick();
    Pass(seconds(10));
    if (ticker_first) stalls_.Tick();
    int resumed = 0;
    const uint64_t ticks = stalls_.MustWait();
    ASSERT_EQ(ticks, Stalls::kTicksMax);
    stalls_.Wait(ticks, [&] { ++resumed; });
    for (uint64_t i = 1; i < ticks; ++i) {
      Pass(milliseconds(10));
      stalls_.Tick();
    }
    EXPECT_EQ(resumed, 0);
    EXPECT_GT(stalls_.MustWait(), 0u);
    Pass(milliseconds(10));
    stalls_.Tick();
    EXPECT_EQ(resumed, 1);
    Pass(milliseconds(20));
    stalls_.Tick();
    EXPECT_EQ(stalls_.MustWait(), 0u);
  }
  EXPECT_EQ(stalls_.counters().held.value(), 2u);
}

TEST_F(StallsTest, AfterAShortStandstillNothingWaitsLongerThanThat) {
  stalls_.Tick();
  Pass(milliseconds(120));
  EXPECT_EQ(stalls_.MustWait(), 12u);
  stalls_.Tick();
  EXPECT_EQ(stalls_.MustWait(), 12u);
  for (int i = 0; i < 12; ++i) {
    Pass(milliseconds(10));
    stalls_.Tick();
  }
  EXPECT_EQ(stalls_.MustWait(), 0u);
}

}  // namespace
}  // namespace toolwire
