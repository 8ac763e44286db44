#include "control/sender_clock.h"

#include <gtest/gtest.h>

#include <chrono>

namespace toolwire {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr MonoTime kStart{std::chrono::hours(1)};
constexpr uint64_t kTheirs = 5'000'000'000;  // Their clock, then.

TEST(SenderClockTest, LateIsWhatAMessageTookLongerThanTheFastestOne) {
  SenderClock clock;
  EXPECT_EQ(clock.Late(kTheirs, kStart + milliseconds(30)), Duration::zero()) << "nothing is known";
  EXPECT_EQ(clock.Late(kTheirs + 100, kStart + milliseconds(110)), Duration::zero()) << "a faster one";
  EXPECT_EQ(clock.Late(kTheirs + 200, kStart + milliseconds(260)), milliseconds(50));
  EXPECT_EQ(clock.Late(kTheirs + 300, kStart + milliseconds(310)), Duration::zero());
  EXPECT_EQ(clock.Late(0, kStart + seconds(9)), Duration::zero()) << "it says nothing";
}

TEST(SenderClockTest, WayThatHasBecomeLongerCountsAsLateForAMinute) {
  SenderClock clock;
  clock.Late(kTheirs, kStart);
  int late = 0;
  for (int second = 1; second <= 120; ++second) {
    late += clock.Late(kTheirs + 1000 * second, kStart + seconds(second) + milliseconds(40)) > Duration::zero() ? 1 : 0;
  }
  EXPECT_GE(late, 30);
  EXPECT_LE(late, 61);
}

TEST(SenderClockTest, AfterAnHourWithoutMessagesOneThatWaitedForTenSecondsIsStillLate) {
  SenderClock clock;
  clock.Late(kTheirs, kStart);
  const Duration late = clock.Late(kTheirs + 3'600'000, kStart + minutes(60) + seconds(10));
  EXPECT_GE(late, seconds(6));
  EXPECT_LE(late, seconds(10));
  SenderClock paced;
  paced.Late(kTheirs, kStart);
  EXPECT_EQ(paced.Late(kTheirs + 3'600'000 - 1800, kStart + minutes(60)), Duration::zero()) << "its clock is set right";
}

TEST(SenderClockTest, AnyClockIsTaken) {
  SenderClock clock;
  clock.Late(~0ull, kStart);
  EXPECT_LE(clock.Late(1, kStart), std::chrono::hours(24));
  EXPECT_LE(clock.Late(1ull << 63, kStart + minutes(3)), std::chrono::hours(24));
  EXPECT_LE(clock.Late(~0ull, kStart + minutes(9)), std::chrono::hours(24));
}

}  // namespace
}  // namespace toolwire
