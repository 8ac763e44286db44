// What the sender of a link keeps until it is acknowledged, says again, and lets be on its way.
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "common/link/record_sender.h"
#include "tests/unit/link/records.h"

namespace toolwire {
namespace {

// --- acknowledgements ------------------------------------------------------------------------------------------------

TEST(RecordSenderAcks, WhatIsAcknowledgedIsNoLongerKept) {
  Saying saying;
  EXPECT_TRUE(saying.sender.all_acked());
  saying.Push(Item("a"));
  EXPECT_FALSE(saying.sender.all_acked());
  saying.Next();
  EXPECT_FALSE(saying.sender.all_acked());
  EXPECT_TRUE(saying.sender.Acked(1, saying.now));
  EXPECT_TRUE(saying.sender.all_acked());
}

TEST(RecordSenderAcks, OldOnesSayNothingAndThoseOfTheFutureMakeNoSense) {
  Saying saying;
  for (const char* bytes : {"a", "b", "c"}) saying.Push(Item(bytes)), saying.Next();
  EXPECT_TRUE(saying.sender.Acked(2, saying.now));
  EXPECT_TRUE(saying.sender.Acked(1, saying.now));
  EXPECT_TRUE(saying.sender.Acked(0, saying.now));
  EXPECT_FALSE(saying.sender.Acked(4, saying.now));
  EXPECT_TRUE(saying.sender.Acked(3, saying.now));
}

TEST(RecordSenderAcks, WhatWasNotSaidOnThisConnectionCannotBeAcknowledged) {
  Saying saying;
  for (const char* bytes : {"a", "b"}) saying.Push(Item(bytes)), saying.Next();
  saying.sender.Resume(0);
  EXPECT_FALSE(saying.sender.Acked(1, saying.now));
}

TEST(RecordSenderAcks, NoMoreIsOnItsWayThanTheBound) {
  Saying saying;
  size_t said = 0, records = 0;
  for (int i = 0; i < 1000; ++i) saying.Push(Item(std::string(kWhole, 'a')));
  for (std::string bytes; !(bytes = saying.Bytes()).empty(); ++records) said += bytes.size();
  EXPECT_GE(said, RecordSender::kUnackedBytesMax - 2 * kWhole);
  EXPECT_LE(said, RecordSender::kUnackedBytesMax + 2 * kWhole);
  EXPECT_FALSE(saying.sender.idle());
  saying.Push(Word("w"));
  EXPECT_TRUE(saying.Quiet());
  saying.sender.Acked(2, saying.now);
  EXPECT_EQ(saying.Next().frame(), "w");  // The bound holds words up, too, and gives them the first place.
}

TEST(RecordSenderAcks, SmallRecordsAreBoundedAsMemory) {
  Saying saying;
  v1::ControlFrame frame;
  frame.add_cancels(7);
  frame.ByteSizeLong();
  size_t records = 0;
  for (; saying.sender.idle(); ++records) saying.sender.SayNow(frame, saying.now);
  EXPECT_LE(records, RecordSender::kUnackedBytesMax / 64);
}

TEST(RecordSenderAcks, WhatThisSideHasGoesWithTheNextRecord) {
  Saying saying;
  EXPECT_FALSE(saying.sender.ack_owed());
  saying.sender.Received(5);
  EXPECT_TRUE(saying.sender.ack_owed());
  EXPECT_EQ(saying.sender.ack_owed_records(), 5u);
  saying.Push(Item("a"));
  EXPECT_EQ(saying.Next().received(), 5u);
  EXPECT_FALSE(saying.sender.ack_owed());
  saying.sender.Received(6);
  const v1::LinkRecord word = Parse(saying.sender.Word(saying.now));
  EXPECT_EQ(word.number(), 0u);
  EXPECT_EQ(word.received(), 6u);
  EXPECT_EQ(word.clock_us(), 3'600'000'000u);
  EXPECT_FALSE(saying.sender.ack_owed());
}

// --- saying at once --------------------------------------------------------------------------------------------------

TEST(RecordSenderAtOnce, AFrameIsTheNextRecordIfNothingWaits) {
  Saying saying;
  v1::ControlFrame frame;
  frame.add_cancels(7);
  ASSERT_TRUE(saying.sender.idle());
  frame.ByteSizeLong();
  const v1::LinkRecord record = Parse(saying.sender.SayNow(frame, saying.now));
  EXPECT_EQ(record.number(), 1u);
  EXPECT_EQ(record.frame(), frame.SerializeAsString());
  EXPECT_TRUE(saying.Quiet());
  saying.Push(Item("a", 1));
  EXPECT_FALSE(saying.sender.idle());
  saying.sender.Withdraw(1);
  EXPECT_TRUE(saying.sender.idle());
}

TEST(RecordSenderAtOnce, NotBeforeWhatMustBeSaidAgain) {
  Saying saying;
  saying.Push(Item("a"));
  saying.Next();
  saying.sender.Resume(0);
  EXPECT_FALSE(saying.sender.idle());
  saying.Next(), saying.Next();
  EXPECT_TRUE(saying.sender.idle());
}

// --- the end ---------------------------------------------------------------------------------------------------------

TEST(RecordSenderEnd, TheEndFollowsAllThatWaits) {
  Saying saying;
  saying.Push(Item(Large(4 * kMiB), 1));
  saying.Hear();
  saying.sender.End();
  saying.Push(Item("late"));
  EXPECT_FALSE(saying.sender.all_acked());
  int frames = 0;
  Got got = Got::kNothing;
  for (std::string bytes; !(bytes = saying.Bytes()).empty(); saying.Ack()) {
    got = saying.receiver.Take(bytes, saying.now);
    frames += got == Got::kFrame;
  }
  EXPECT_EQ(got, Got::kEnd);
  EXPECT_EQ(frames, 2);
  EXPECT_TRUE(saying.sender.all_acked());
}

TEST(RecordSenderEnd, TheEndFollowsAnAbort) {
  Saying saying;
  saying.Push(Item(Large(kMiB), 1));
  saying.Hear();
  saying.sender.Withdraw(1);
  saying.sender.End();
  EXPECT_NE(saying.Next().abort(), 0u);
  EXPECT_TRUE(saying.Next().end());
  EXPECT_TRUE(saying.Quiet());
}

// --- new connections -------------------------------------------------------------------------------------------------

TEST(RecordSenderResume, WhatTheReceiverHasNotIsSaidAgainByteForByteAndNothingTwice) {
  Saying saying;
  std::vector<std::string> said;
  for (const char* bytes : {"a", "b", "c", "d"}) {
    saying.Push(Item(bytes));
    said.push_back(saying.Bytes());
  }
  saying.now += seconds(1);
  saying.Push(Item("e"));
  ASSERT_TRUE(saying.sender.CanResume(2));
  saying.sender.Resume(2);
  EXPECT_EQ(saying.Next().number(), 0u);
  EXPECT_EQ(saying.Bytes(), said[2]);
  EXPECT_EQ(saying.Bytes(), said[3]);
  EXPECT_EQ(saying.Next().frame(), "e");
  EXPECT_TRUE(saying.Quiet());
  saying.sender.Resume(5);
  EXPECT_TRUE(saying.Quiet());
  EXPECT_TRUE(saying.sender.all_acked());
}

TEST(RecordSenderResume, NotWithAReceiverThatHasLessThanItHadOrMoreThanWasSaid) {
  Saying saying;
  EXPECT_TRUE(saying.sender.CanResume(0));
  EXPECT_FALSE(saying.sender.CanResume(1));
  for (const char* bytes : {"a", "b", "c"}) saying.Push(Item(bytes)), saying.Next();
  saying.sender.Acked(2, saying.now);
  EXPECT_FALSE(saying.sender.CanResume(1));
  EXPECT_TRUE(saying.sender.CanResume(2));
  EXPECT_TRUE(saying.sender.CanResume(3));
  EXPECT_FALSE(saying.sender.CanResume(4));
}

TEST(RecordSenderResume, WhatIsSaidAgainIsAsOldAsItIs) {
  Saying saying;
  saying.Push(Item("call"));
  saying.Next();
  saying.now += seconds(5);
  saying.receiver.ForgetTrips();  // As for any new connection.
  saying.sender.Resume(0);
  EXPECT_EQ(saying.HearAll(), std::vector<std::string>{"call"});
  EXPECT_EQ(saying.receiver.Age(3'600'000'000u, saying.now), seconds(5));
}

TEST(RecordSenderResume, AFrameThatWasCutGoesOnWhereItWas) {
  Saying saying;
  const std::string large = Large(kMiB);
  saying.Push(Item(large, 1));
  saying.Hear(), saying.Hear();
  saying.Next(), saying.Next();  // Lost.
  saying.sender.Resume(saying.receiver.received());
  EXPECT_EQ(saying.HearAll(), std::vector<std::string>{large});
}

TEST(RecordSenderResume, AnAbortFollowsThePiecesThatAreSaidAgain) {
  Saying saying;
  saying.Push(Item(Large(kMiB), 1));
  saying.Next(), saying.Next();  // Lost.
  EXPECT_TRUE(saying.sender.Withdraw(1));
  saying.sender.Resume(0);
  EXPECT_TRUE(saying.HearAll().empty());
  EXPECT_EQ(saying.receiver.received(), 3u);
  EXPECT_EQ(saying.receiver.unfinished(), 0u);
}

// --- what has not left -----------------------------------------------------------------------------------------------

TEST(RecordSenderUnsent, AllThatWaitsIsNamedAndCountedNoMore) {
  Saying saying;
  saying.Push(Item(Large(kMiB), 1, 1));
  saying.Push(Item(Large(kMiB), 2, 1));
  saying.Next();  // A piece of the first.
  saying.Push(Item("a", 3, 2));
  saying.Push(Word("b", 4));
  saying.Push(Word("c"));
  RecordSender::Unsent unsent = saying.sender.TakeUnsent(false);
  std::sort(unsent.refs.begin(), unsent.refs.end());
  EXPECT_EQ(unsent.refs, (Refs{1, 2, 3, 4}));
  EXPECT_TRUE(unsent.frames.empty());
  EXPECT_EQ(saying.sender.waiting_bytes(), 0u);
  EXPECT_FALSE(saying.sender.waits());
  EXPECT_TRUE(saying.sender.TakeUnsent(false).refs.empty());
}

TEST(RecordSenderUnsent, ARecordThatNoConnectionTookWholeIsNamed) {
  Saying saying;
  std::string_view record;
  saying.Push(Item("a", 1));
  ASSERT_TRUE(saying.sender.Next(saying.now, &record));
  EXPECT_EQ(saying.sender.TakeUnsent(false).frames, std::vector<std::string>{"a"});
}

TEST(RecordSenderUnsent, ARecordThatAConnectionTookIsNot) {
  Saying saying;
  saying.Push(Item("a", 1));
  saying.Bytes();
  EXPECT_TRUE(saying.sender.TakeUnsent(false).frames.empty());
}

TEST(RecordSenderUnsent, NorOneThatAConnectionTookBeforeItWasSaidAgain) {
  Saying saying;
  saying.Push(Item("a", 1));
  saying.Bytes();
  saying.sender.Resume(0);
  std::string_view record;
  saying.Bytes();
  ASSERT_TRUE(saying.sender.Next(saying.now, &record));  // Not taken this time.
  EXPECT_TRUE(saying.sender.TakeUnsent(false).frames.empty());
}

TEST(RecordSenderUnsent, ALastPieceThatNoConnectionTookIsNamedByItsFrame) {
  for (const bool taken : {false, true}) {
    Saying saying;
    saying.Push(Item(Large(2 * kPiece + 1), 7));
    saying.Bytes(), saying.Bytes();
    std::string_view record;
    ASSERT_TRUE(saying.sender.Next(saying.now, &record));
    ASSERT_TRUE(Parse(record).piece().last());
    if (taken) saying.sender.Taken();
    EXPECT_EQ(saying.sender.TakeUnsent(false).refs, taken ? Refs{} : Refs{7});
  }
}

TEST(RecordSenderUnsent, NothingThatIsAcknowledged) {
  Saying saying;
  std::string_view record;
  saying.Push(Item("a", 1));
  ASSERT_TRUE(saying.sender.Next(saying.now, &record));
  saying.sender.Acked(1, saying.now);
  EXPECT_TRUE(saying.sender.TakeUnsent(false).frames.empty());
}

// --- the window of pieces --------------------------------------------------------------------------------------------

// A connection that carries so many bytes in a second, one after the other, and a receiver that acknowledges each
// record. What is on its way arrives after `trip` more.
struct Throttled : Saying {
  Throttled(double bytes_per_second, Duration trip) : rate(bytes_per_second), way(trip) {}

  void Run(Duration time) {
    const MonoTime end = now + time;
    while (true) {
      for (std::string bytes; !(bytes = Bytes()).empty();) {
        const Duration takes = std::chrono::duration_cast<Duration>(
            std::chrono::duration<double>(static_cast<double>(bytes.size()) / rate));
        free_at = std::max(free_at, now) + takes;
        under_way.push_back({free_at + way, Parse(bytes).number()});
        carried += bytes.size();
      }
      if (under_way.empty() || under_way.front().first > end) break;
      now = under_way.front().first;
      ASSERT_TRUE(sender.Acked(under_way.front().second, now));
      under_way.pop_front();
      if (refill) refill();
    }
    now = end;
  }
  // How long what is said now waits for what was said before.
  Duration queue() const { return std::max(free_at - now, Duration::zero()); }

  const double rate;
  const Duration way;
  MonoTime free_at{};
  std::deque<std::pair<MonoTime, uint64_t>> under_way;
  size_t carried = 0;
  std::function<void()> refill;
};

// Large frames without a pause.
struct Busy : Throttled {
  Busy(double bytes_per_second, Duration trip) : Throttled(bytes_per_second, trip) {
    refill = [this] {
      while (sender.waiting_bytes() < 16 * kMiB) Push(Item(std::string(4 * kMiB, 'a'), 0, ++payer));
    };
    refill();
  }
  uint64_t payer = 0;
};

TEST(RecordSenderWindow, TheConnectionIsUsedWhole) {
  struct Way {
    double rate;
    milliseconds trip;
  };
  for (const auto& [rate, trip] : {Way{4e6, milliseconds(1)}, Way{16e6, milliseconds(1)}, Way{100e6, milliseconds(1)},
                                   Way{16e6, milliseconds(60)}, Way{100e6, milliseconds(40)}}) {
    Busy busy(rate, trip);
    busy.Run(seconds(2));
    const size_t before = busy.carried;
    busy.Run(seconds(7));
    EXPECT_GE(static_cast<double>(busy.carried - before), 0.9 * 7 * rate) << rate << " B/s, " << trip.count() << " ms";
  }
}

TEST(RecordSenderWindow, WhatIsSaidNextWaitsNotLongHoweverLongTheConnectionIsBusy) {
  for (const double rate : {8e6, 16e6}) {
    Busy busy(rate, milliseconds(1));
    busy.Run(seconds(2));
    Duration longest{};
    for (int i = 0; i < 6'000; ++i) {
      busy.Run(milliseconds(10));
      longest = std::max(longest, busy.queue());
    }
    // Two pieces, and the queue that is allowed, with what it takes to see it.
    EXPECT_LE(std::chrono::duration<double>(longest).count(), 2 * kPiece / rate + 0.025) << rate;
  }
}

TEST(RecordSenderWindow, AWindowThatIsNotUsedDoesNotGrow) {
  Throttled way(16e6, milliseconds(1));
  for (int i = 0; i < 1000; ++i) {  // Three pieces each, one after the other.
    way.Push(Item(Large(2 * kPiece + 1)));
    way.Run(milliseconds(20));
  }
  EXPECT_TRUE(way.sender.all_acked());
  way.Push(Item(Large(16 * kMiB)));
  way.Run(milliseconds(1));
  EXPECT_LE(way.queue(), milliseconds(30));
}

TEST(RecordSenderWindow, ItIsNeverLessThanTwoPiecesAndGrowsAgain) {
  Busy busy(16e6, milliseconds(1));
  busy.Run(seconds(1));
  // The receiver stands still for a while.
  busy.free_at += seconds(2);
  busy.Run(seconds(1));
  EXPECT_EQ(busy.Bytes(), "");
  busy.Run(seconds(2));
  const size_t before = busy.carried;
  busy.Run(seconds(2));
  EXPECT_GE(static_cast<double>(busy.carried - before), 0.9 * 2 * 16e6);
}

TEST(RecordSenderWindow, ABreakOfTheConnectionDoesNotNarrowIt) {
  Saying saying;
  saying.Push(Item(Large(16 * kMiB)));
  const auto pieces = [&] {
    int count = 0;
    while (!saying.Quiet()) ++count;
    return count;
  };
  const int before = pieces();
  saying.now += seconds(2);
  saying.sender.Resume(0);
  EXPECT_EQ(pieces(), 1 + before);
  saying.sender.Acked(static_cast<uint64_t>(before), saying.now);
  EXPECT_GE(pieces(), before);
}

TEST(RecordSenderUnsent, WhatAReceiverThatHasEndedDidNotAcknowledgeHasNotArrived) {
  Saying saying;
  saying.Push(Item("a"));
  saying.Next();
  saying.Push(Item("b"));
  saying.Next();
  saying.sender.Taken();
  ASSERT_TRUE(saying.sender.Acked(1, saying.now));
  EXPECT_EQ(saying.sender.TakeUnsent(/*receiver_ended=*/true).frames, std::vector<std::string>{"b"});
}

}  // namespace
}  // namespace toolwire
