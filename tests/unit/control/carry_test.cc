#include "control/carry.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <deque>
#include <optional>
#include <random>
#include <string>

namespace toolwire {
namespace {

using Next = CarryWay::Next;
using Status = TlsStream::Status;
using Moved = TlsStream::Moved;

// An end that gives what a test puts in, and takes as much as it has room for.
struct FakeEnd final : CarryEnd {
  std::deque<std::string> in;  // Each is one read.
  std::string out;
  size_t room = 1u << 30;
  size_t write_max = 1u << 30;        // Of one write.
  Status empty = Status::kWantsRead;  // What a read says when there is nothing,
  Status full = Status::kWantsWrite;  // and a write.
  bool ended = false;
  int reads = 0;
  std::optional<std::string> retry;  // What the next write must begin with.

  Moved Read(char* buffer, size_t size) override {
    ++reads;
    if (in.empty()) return {empty};
    const size_t bytes = std::min(size, in.front().size());
    std::copy_n(in.front().begin(), bytes, buffer);
    in.front().erase(0, bytes);
    if (in.front().empty()) in.pop_front();
    return {Status::kDone, bytes};
  }
  Moved Write(const char* data, size_t size) override {
    EXPECT_FALSE(ended);
    EXPECT_GT(size, 0u);
    if (retry) {
      EXPECT_EQ(std::string(data, size).substr(0, retry->size()), *retry);
    }
    retry.reset();
    const size_t bytes = std::min({size, room, write_max});
    if (bytes == 0) {
      if (full == Status::kWantsWrite) retry = std::string(data, std::min<size_t>(size, 16384));
      return {full};
    }
    out.append(data, bytes);
    room -= bytes;
    return {Status::kDone, bytes};
  }
  bool HasBuffered() const override { return !in.empty(); }
  void EndWrites() override { ended = true; }
};

class CarryTest : public ::testing::Test {
 protected:
  Next Go() { return way_.Go(scratch_.data(), scratch_.size()); }

  FakeEnd from_, to_;
  CarryWay way_{from_, to_};
  std::array<char, 1000> scratch_{};
};

TEST_F(CarryTest, BytesArriveAndThenItWaitsForMore) {
  from_.in = {"a", "bc"};
  EXPECT_EQ(Go(), Next::kFromReadable);
  EXPECT_EQ(to_.out, "abc");
  EXPECT_EQ(from_.reads, 2) << "a short read is the last one";
  EXPECT_EQ(way_.held(), 0u);
}

TEST_F(CarryTest, BytesThatWereReadBeforeComeFirst) {
  way_.Put("first ");
  from_.in = {"second"};
  EXPECT_EQ(Go(), Next::kFromReadable);
  EXPECT_EQ(to_.out, "first second");
}

TEST_F(CarryTest, DestinationThatTakesNothingStopsTheReading) {
  from_.in = {std::string(800, 'a'), std::string(800, 'b')};
  to_.room = 300;
  EXPECT_EQ(Go(), Next::kToWritable);
  EXPECT_EQ(way_.held(), 500u);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(Go(), Next::kToWritable);
  EXPECT_EQ(from_.reads, 1);
  to_.room = 1000;
  EXPECT_EQ(Go(), Next::kToWritable);
  EXPECT_EQ(way_.held(), 300u);
  to_.room = 1000;
  EXPECT_EQ(Go(), Next::kFromReadable);
  EXPECT_EQ(to_.out, std::string(800, 'a') + std::string(800, 'b'));
  EXPECT_EQ(way_.held(), 0u);
}

TEST_F(CarryTest, EndComesBehindWhatIsHeld) {
  from_.in = {"last words"};
  from_.empty = Status::kClosed;
  to_.room = 4;
  EXPECT_EQ(Go(), Next::kToWritable);
  EXPECT_FALSE(to_.ended);
  to_.room = 100;
  EXPECT_EQ(Go(), Next::kEnded);
  EXPECT_EQ(to_.out, "last words");
  EXPECT_TRUE(to_.ended);
}

TEST_F(CarryTest, EndThatComesWhileNothingIsHeldIsPassedOnAtOnce) {
  from_.empty = Status::kClosed;
  EXPECT_EQ(Go(), Next::kEnded);
  EXPECT_TRUE(to_.ended);
}

TEST_F(CarryTest, FailedSourceIsReportedAndNotPassedOnAsAnEnd) {
  from_.empty = Status::kFailed;
  EXPECT_EQ(Go(), Next::kFromFailed);
  EXPECT_FALSE(to_.ended);
}

TEST_F(CarryTest, LostDestinationIsReportedAndHoldsNothing) {
  for (const Status lost : {Status::kClosed, Status::kFailed}) {
    from_.in = {"x"};
    to_.room = 0;
    to_.full = lost;
    EXPECT_EQ(Go(), Next::kToLost);
    EXPECT_EQ(way_.held(), 0u);
  }
}

// As TLS may have it: a read that has to write, and a write that has to read.
TEST_F(CarryTest, EachEndMayWantTheOtherThing) {
  from_.empty = Status::kWantsWrite;
  EXPECT_EQ(Go(), Next::kFromWritable);
  from_.in = {"x"};
  to_.room = 0;
  to_.full = Status::kWantsRead;
  EXPECT_EQ(Go(), Next::kToReadable);
  EXPECT_EQ(way_.held(), 1u);
}

TEST_F(CarryTest, TurnIsOverAfterSoManyBytes) {
  for (int i = 0; i < 1000; ++i) from_.in.emplace_back(1000, 'x');
  EXPECT_EQ(Go(), Next::kTurn);
  EXPECT_EQ(from_.reads, CarryWay::kTurnReadsMax) << "of the size of the buffer";
  while (Go() == Next::kTurn) continue;
  EXPECT_EQ(to_.out.size(), 1'000'000u);
  std::string large(1u << 20, 'x');
  for (int i = 0; i < 8; ++i) from_.in.push_back(large);
  const size_t before = to_.out.size();
  EXPECT_EQ(way_.Go(large.data(), large.size()), Next::kTurn);
  EXPECT_EQ(to_.out.size() - before, large.size());
}

TEST_F(CarryTest, RecordsOfOneByteHaveNoLongerTurns) {
  for (int i = 0; i < 1000; ++i) from_.in.emplace_back("x");
  EXPECT_EQ(Go(), Next::kTurn);
  EXPECT_EQ(from_.reads, CarryWay::kTurnReadsMax);
}

TEST_F(CarryTest, WhateverTheEndsDoTheBytesArriveInOrder) {
  std::mt19937 random(1);
  for (int round = 0; round < 200; ++round) {
    FakeEnd from, to;
    CarryWay way(from, to);
    std::string sent;
    const auto add = [&] {
      std::string part(1 + random() % 3000, static_cast<char>('a' + random() % 26));
      sent += part;
      from.in.push_back(std::move(part));
    };
    for (int i = 0; i < 50; ++i) {
      if (random() % 2 == 0) add();
      to.room = random() % 2000;
      to.write_max = 1 + random() % 1500;
      from.empty = random() % 5 == 0 ? Status::kWantsWrite : Status::kWantsRead;
      to.full = random() % 5 == 0 ? Status::kWantsRead : Status::kWantsWrite;
      way.Go(scratch_.data(), scratch_.size());
      ASSERT_LE(way.held(), scratch_.size());
    }
    to.room = 1u << 30;
    from.empty = Status::kClosed;
    Next next = Next::kTurn;
    for (int i = 0; i < 1000 && next != Next::kEnded; ++i) next = way.Go(scratch_.data(), scratch_.size());
    ASSERT_EQ(next, Next::kEnded);
    ASSERT_EQ(to.out, sent);
  }
}

}  // namespace
}  // namespace toolwire
