#include "control/reading_turns.h"

#include <gtest/gtest.h>

#include <chrono>
#include <vector>

#include "tests/fakes/fake_clock.h"

namespace toolwire {
namespace {

using std::chrono::milliseconds;
using Message = ReadingTurns::Message;

class ReadingTurnsTest : public ::testing::Test {
 protected:
  // Of a stream that sends more than its own share.
  static Message Large() { return {2'000'000, 1000, 0, false}; }
  static Message Small() { return {50, 1, 0, false}; }
  // A message that took so long.
  bool Read(ReadingTurns::Share* share, const Message& message, Duration took) {
    const MonoTime began = clock_.Now();
    clock_.Advance(took);
    return turns_.MustWait(began, message, share, [this, share] { resumed_.push_back(share); });
  }
  size_t Tick() {
    const size_t before = resumed_.size();
    turns_.Tick();
    return resumed_.size() - before;
  }

  FakeClock clock_;
  ReadingTurns turns_{clock_, 1};
  std::vector<ReadingTurns::Share*> resumed_;
};

TEST_F(ReadingTurnsTest, OnlyThoseWhoseMessagesCostMuchWait) {
  ReadingTurns::Share calls, bytes, params, cancels, messages, few;
  ASSERT_FALSE(Read(&few, Small(), ReadingTurns::kBusyMax));
  EXPECT_TRUE(Read(&calls, {3000, 1000, 0, false}, milliseconds(1)));
  EXPECT_TRUE(Read(&bytes, {2'000'000, 1, 0, false}, milliseconds(1)));
  EXPECT_FALSE(Read(&few, {250'000, 1, 0, false}, milliseconds(1)));
  EXPECT_TRUE(Read(&params, {250'000, 1, 0, true}, milliseconds(1)));
  EXPECT_TRUE(Read(&cancels, {20'000, 0, 20'000, false}, milliseconds(1)));
  for (int i = 0; i < 999; ++i) Read(&messages, {2, 0, 0, false}, milliseconds(0));
  EXPECT_TRUE(Read(&messages, {2, 0, 0, false}, milliseconds(0))) << "an empty message is read, too";
  EXPECT_GE(turns_.counters().waits.value(), 5u);
}

TEST_F(ReadingTurnsTest, TickResumesAsManyAsThereIsTimeFor) {
  std::vector<ReadingTurns::Share> shares(12);
  ASSERT_FALSE(Read(&shares[0], Small(), ReadingTurns::kBusyMax));
  // Each costs 3 ms and has sent one before.
  const Message half{1'000'000, 332, 0, false};
  for (ReadingTurns::Share& share : shares) ASSERT_FALSE(Read(&share, half, Duration::zero())) << "its own share";
  for (ReadingTurns::Share& share : shares) ASSERT_TRUE(Read(&share, half, std::chrono::microseconds(1)));
  EXPECT_EQ(Tick(), 2u);
  EXPECT_EQ(Tick(), 3u);
  EXPECT_EQ(resumed_.front(), &shares[0]) << "in their order";
}

TEST_F(ReadingTurnsTest, CallsThatAreRefusedCostTheirAuditRows) {
  ReadingTurns::Share share;
  EXPECT_TRUE(Read(&share, {2000, 1000, 0, false, 1000}, milliseconds(3)));
  for (int i = 0; i < 2; ++i) EXPECT_EQ(Tick(), 0u);
  EXPECT_EQ(Tick(), 1u);
}

TEST_F(ReadingTurnsTest, LongMessageUsesTheTimeOfLaterTicks) {
  ReadingTurns::Share share;
  ASSERT_TRUE(Read(&share, Large(), 4 * ReadingTurns::kBusyMax));
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Tick(), 0u);
  EXPECT_EQ(Tick(), 1u);
}

TEST_F(ReadingTurnsTest, ThreadsThatAreAlwaysBusyStillLetOneGoOnEveryTenTicks) {
  ReadingTurns::Share share, other, busy;
  ASSERT_TRUE(Read(&share, Large(), milliseconds(1000)));
  ASSERT_TRUE(Read(&other, Large(), milliseconds(1000)));
  size_t resumed = 0;
  for (int i = 0; i < 20; ++i) {
    Read(&busy, Small(), milliseconds(10));
    resumed += Tick();
  }
  EXPECT_EQ(resumed, 2u);
}

TEST_F(ReadingTurnsTest, StreamThatLeavesIsNotResumedAndHoldsUpNobody) {
  std::vector<ReadingTurns::Share> gone(1000);
  ReadingTurns::Share stays, late;
  ASSERT_FALSE(Read(&stays, Small(), ReadingTurns::kBusyMax));
  for (ReadingTurns::Share& share : gone) ASSERT_TRUE(Read(&share, Large(), std::chrono::microseconds(1)));
  ASSERT_TRUE(Read(&stays, Large(), std::chrono::microseconds(1)));
  for (ReadingTurns::Share& share : gone) turns_.Leave(&share);
  EXPECT_EQ(turns_.waiting(), 1u);
  EXPECT_EQ(Tick(), 1u);
  EXPECT_EQ(resumed_, std::vector<ReadingTurns::Share*>{&stays});
  turns_.Leave(&late);
  EXPECT_TRUE(Read(&late, Large(), milliseconds(100))) << "it is not read from";
  EXPECT_EQ(turns_.waiting(), 0u);
}

}  // namespace
}  // namespace toolwire
