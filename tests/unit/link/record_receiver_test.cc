// What a receiver takes of a link's records: each once, in order, within its limits; and how old it is.
#include "common/link/record_receiver.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <string>
#include <vector>

#include "tests/unit/link/records.h"

namespace toolwire {
namespace {

constexpr RecordSender::Limits kSmall{1000, 2000, 3};

struct Hearing {
  explicit Hearing(const RecordSender::Limits& own = kSmall) : receiver(own) {}

  Got Take(const v1::LinkRecord& record) { return receiver.Take(record.SerializeAsString(), now); }
  // A record with the next number.
  v1::LinkRecord Record() {
    v1::LinkRecord record;
    record.set_number(receiver.received() + 1);
    return record;
  }
  Got Frame(const std::string& bytes) {
    v1::LinkRecord record = Record();
    record.set_frame(bytes);
    return Take(record);
  }
  // `total`: 0 in all but the first.
  Got Piece(uint64_t frame, uint64_t total, const std::string& bytes, bool last = false) {
    v1::LinkRecord record = Record();
    record.mutable_piece()->set_frame_number(frame);
    record.mutable_piece()->set_total_bytes(total);
    record.mutable_piece()->set_data(bytes);
    record.mutable_piece()->set_last(last);
    return Take(record);
  }
  Got Abort(uint64_t frame) {
    v1::LinkRecord record = Record();
    record.set_abort(frame);
    return Take(record);
  }
  // A word of the moment, made at `clock_us` of the sender's clock.
  Got Word(uint64_t clock_us) {
    v1::LinkRecord record;
    record.set_clock_us(clock_us);
    return Take(record);
  }

  MonoTime now = kStart;
  RecordReceiver receiver;
};

// --- records ---------------------------------------------------------------------------------------------------------

TEST(RecordReceiver, EachRecordIsTakenOnce) {
  Hearing hearing;
  v1::LinkRecord record = hearing.Record();
  record.set_frame("a");
  EXPECT_EQ(hearing.Take(record), Got::kFrame);
  EXPECT_EQ(hearing.receiver.frame(), "a");
  EXPECT_EQ(hearing.Take(record), Got::kNothing);
  EXPECT_EQ(hearing.Frame("b"), Got::kFrame);
  EXPECT_EQ(hearing.receiver.frame(), "b");
  EXPECT_EQ(hearing.Take(record), Got::kNothing);
  EXPECT_EQ(hearing.receiver.received(), 2u);
}

TEST(RecordReceiver, AGapMakesNoSense) {
  Hearing hearing;
  hearing.Frame("a");
  v1::LinkRecord record;
  record.set_number(3);
  record.set_frame("c");
  EXPECT_EQ(hearing.Take(record), Got::kBroken);
  EXPECT_STREQ(hearing.receiver.error(), "records are missing");
  EXPECT_EQ(hearing.receiver.received(), 1u);
}

TEST(RecordReceiver, AfterWhatMakesNoSenseNothingIsTaken) {
  Hearing hearing;
  EXPECT_EQ(hearing.receiver.Take("\xff", kStart), Got::kBroken);
  EXPECT_EQ(hearing.Frame("a"), Got::kBroken);
  EXPECT_STREQ(hearing.receiver.error(), "what it says is no record");
}

TEST(RecordReceiver, RecordsOfKindsThatAreNotKnownAreCountedAndSkipped) {
  Hearing hearing;
  v1::LinkRecord record = hearing.Record();
  record.GetReflection()->MutableUnknownFields(&record)->AddLengthDelimited(1000, "of a newer version");
  EXPECT_EQ(hearing.Take(record), Got::kNothing);
  EXPECT_EQ(hearing.receiver.received(), 1u);
  EXPECT_EQ(hearing.Frame("a"), Got::kFrame);
}

TEST(RecordReceiver, WordsOfTheMomentAreNotCounted) {
  Hearing hearing;
  v1::LinkRecord word;
  word.set_received(17);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(hearing.Take(word), Got::kNothing);
  EXPECT_EQ(hearing.Take(v1::LinkRecord()), Got::kNothing);
  EXPECT_EQ(hearing.receiver.received(), 0u);
  EXPECT_EQ(hearing.receiver.peer_received(), 17u);
}

TEST(RecordReceiver, WhatThePeerHasNeverBecomesLess) {
  Hearing hearing;
  v1::LinkRecord word;
  for (uint64_t received : {5, 9, 2}) {
    word.set_received(received);
    hearing.Take(word);
  }
  EXPECT_EQ(hearing.receiver.peer_received(), 9u);
}

TEST(RecordReceiver, TheEndComesOnce) {
  Hearing hearing;
  v1::LinkRecord record = hearing.Record();
  record.set_end(true);
  EXPECT_EQ(hearing.Take(record), Got::kEnd);
  EXPECT_EQ(hearing.Take(record), Got::kNothing);
}

TEST(RecordReceiver, AWholeFrameOfTheLimitIsTakenAndOneByteMoreIsNot) {
  Hearing hearing;
  EXPECT_EQ(hearing.Frame(std::string(1000, 'a')), Got::kFrame);
  EXPECT_EQ(hearing.Frame(std::string(1001, 'a')), Got::kBroken);
}

// --- pieces ----------------------------------------------------------------------------------------------------------

TEST(RecordReceiver, PiecesOfSeveralFramesInterleave) {
  Hearing hearing;
  EXPECT_EQ(hearing.Piece(1, 4, "ab"), Got::kNothing);
  EXPECT_EQ(hearing.Piece(2, 3, "x"), Got::kNothing);
  EXPECT_EQ(hearing.Frame("whole"), Got::kFrame);
  EXPECT_EQ(hearing.receiver.unfinished(), 2u);
  EXPECT_EQ(hearing.Piece(1, 0, "cd", true), Got::kFrame);
  EXPECT_EQ(hearing.receiver.frame(), "abcd");
  EXPECT_EQ(hearing.Piece(2, 0, "yz", true), Got::kFrame);
  EXPECT_EQ(hearing.receiver.frame(), "xyz");
  EXPECT_EQ(hearing.receiver.unfinished(), 0u);
  EXPECT_EQ(hearing.receiver.unfinished_bytes(), 0u);
}

TEST(RecordReceiver, FramesOfTheLimitsAreTaken) {
  Hearing hearing;
  for (uint64_t frame : {1, 2, 3}) EXPECT_EQ(hearing.Piece(frame, 1000, std::string(600, 'a')), Got::kNothing);
  for (uint64_t frame : {1, 2, 3}) EXPECT_EQ(hearing.Piece(frame, 0, std::string(400, 'a'), true), Got::kFrame);
}

TEST(RecordReceiver, WhatPassesALimitIsRefused) {
  EXPECT_EQ(Hearing().Piece(1, 1001, "a"), Got::kBroken);
  EXPECT_EQ(Hearing().Piece(1, std::numeric_limits<uint64_t>::max(), "a"), Got::kBroken);
  EXPECT_EQ(Hearing().Piece(1, 0, "a"), Got::kBroken);  // Not the first piece of anything.
  EXPECT_EQ(Hearing().Piece(1, 1000, ""), Got::kBroken);
  Hearing many;
  for (uint64_t frame : {1, 2, 3}) EXPECT_EQ(many.Piece(frame, 10, "a"), Got::kNothing);
  EXPECT_EQ(many.Piece(4, 10, "a"), Got::kBroken);
  Hearing much({1000, 2000, 1000});
  uint64_t frame = 0;
  while (frame < 100 && much.Piece(++frame, 1000, std::string(999, 'a')) == Got::kNothing) continue;
  EXPECT_EQ(frame, 5u);  // Memory of up to twice of what the sender counts.
}

TEST(RecordReceiver, ATotalThatLiesIsFound) {
  Hearing more;
  more.Piece(1, 10, "12345");
  EXPECT_EQ(more.Piece(1, 0, "678901", true), Got::kBroken);
  Hearing less;
  less.Piece(1, 10, "12345");
  EXPECT_EQ(less.Piece(1, 0, "6789", true), Got::kBroken);
  Hearing again;  // A total in a later piece changes nothing.
  again.Piece(1, 10, "12345");
  EXPECT_EQ(again.Piece(1, 500, "67890", true), Got::kFrame);
}

TEST(RecordReceiver, AnAbortDropsThePiecesThatHaveCome) {
  Hearing hearing;
  hearing.Piece(1, 1000, std::string(900, 'a'));
  hearing.Piece(2, 4, "ab");
  EXPECT_EQ(hearing.Abort(1), Got::kNothing);
  EXPECT_EQ(hearing.receiver.unfinished(), 1u);
  EXPECT_LT(hearing.receiver.unfinished_bytes(), 100u);
  EXPECT_EQ(hearing.Piece(2, 0, "cd", true), Got::kFrame);
  EXPECT_EQ(hearing.receiver.frame(), "abcd");
  EXPECT_EQ(hearing.receiver.unfinished_bytes(), 0u);
  EXPECT_EQ(hearing.Abort(1), Got::kBroken);
}

TEST(RecordReceiver, MemoryFollowsWhatHasComeNotWhatIsAnnounced) {
  Hearing hearing(kTakesAll);
  size_t come = 0;
  for (; come < 8 * kMiB; come += kPiece) {
    ASSERT_EQ(hearing.Piece(1, 64 * kMiB, std::string(kPiece, 'a')), Got::kNothing);
    ASSERT_GE(hearing.receiver.unfinished_bytes(), come);
    ASSERT_LE(hearing.receiver.unfinished_bytes(), 2 * (come + kPiece));
  }
  hearing.Abort(1);
  EXPECT_EQ(hearing.receiver.unfinished_bytes(), 0u);
}

TEST(RecordReceiver, ManyFramesInPiecesLeaveNothingCounted) {
  Hearing hearing;
  for (uint64_t frame = 1; frame <= 10'000; ++frame) {
    ASSERT_EQ(hearing.Piece(frame, 2, "a"), Got::kNothing);
    ASSERT_GE(hearing.receiver.unfinished_bytes(), 1u);
    ASSERT_LE(hearing.receiver.unfinished_bytes(), 100u);
    ASSERT_EQ(hearing.Piece(frame, 0, "b", true), Got::kFrame) << frame;
    ASSERT_EQ(hearing.receiver.unfinished_bytes(), 0u);
  }
}

TEST(RecordReceiver, ALargeFrameLeavesNoMemoryBehind) {
  Hearing hearing(kTakesAll);
  for (size_t come = kPiece; come < 8 * kMiB; come += kPiece) hearing.Piece(1, 8 * kMiB, std::string(kPiece, 'a'));
  EXPECT_EQ(hearing.Piece(1, 0, std::string(kPiece, 'a'), true), Got::kFrame);
  EXPECT_EQ(hearing.receiver.frame().size(), 8 * kMiB);
  size_t largest = 0;
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(hearing.Frame("small"), Got::kFrame);
    largest = std::max(largest, hearing.receiver.frame().capacity());
  }
  EXPECT_LE(largest, 2 * kWhole);
}

TEST(RecordReceiver, AFrameThatIsTakenAwayIsWhole) {
  Hearing hearing;
  hearing.Piece(1, 4, "ab");
  hearing.Piece(1, 0, "cd", true);
  const std::string taken = std::move(hearing.receiver.frame());
  EXPECT_EQ(taken, "abcd");
  EXPECT_EQ(hearing.Frame("next"), Got::kFrame);
  EXPECT_EQ(hearing.receiver.frame(), "next");
}

// --- age -------------------------------------------------------------------------------------------------------------

// The sender's clock is that many microseconds ahead of kStart.
constexpr uint64_t kTheirs = 77'000'000;

TEST(RecordReceiverAge, TheFastestRecordOfLateHasNoAge) {
  Hearing hearing;
  EXPECT_EQ(hearing.receiver.Age(kTheirs, hearing.now), Duration::zero());  // Nothing is known.
  hearing.now = kStart + milliseconds(5);
  hearing.Word(kTheirs);  // 5 ms on its way, or a clock that is so much ahead.
  EXPECT_EQ(hearing.receiver.Age(kTheirs, hearing.now), Duration::zero());
  hearing.now = kStart + milliseconds(30);
  hearing.Word(kTheirs + 10'000);
  EXPECT_EQ(hearing.receiver.Age(kTheirs + 10'000, hearing.now), milliseconds(15));
  hearing.now = kStart + milliseconds(42);
  hearing.Word(kTheirs + 40'000);  // Faster than the first.
  EXPECT_EQ(hearing.receiver.Age(kTheirs + 40'000, hearing.now), Duration::zero());
  EXPECT_EQ(hearing.receiver.Age(kTheirs + 10'000, hearing.now), milliseconds(30));
}

TEST(RecordReceiverAge, WhatCountsFromNowHasNoAge) {
  Hearing hearing;
  hearing.Word(kTheirs);
  EXPECT_EQ(hearing.receiver.Age(0, hearing.now + seconds(9)), Duration::zero());
  EXPECT_EQ(hearing.receiver.Age(kTheirs + 1'000'000, hearing.now), Duration::zero());  // Of the future.
}

TEST(RecordReceiverAge, TheFastestIsForgottenAfterAMinuteAndNotBeforeHalfOfIt) {
  Hearing hearing;
  hearing.Word(kTheirs);
  // From then on each is 20 ms on its way.
  const auto at = [&](Duration after) {
    hearing.now = kStart + after + milliseconds(20);
    const uint64_t made = kTheirs + static_cast<uint64_t>(std::chrono::duration_cast<microseconds>(after).count());
    hearing.Word(made);
    return hearing.receiver.Age(made, hearing.now);
  };
  for (int ms = 250; ms <= 30'000; ms += 250) ASSERT_EQ(at(milliseconds(ms)), milliseconds(20)) << ms;
  for (int ms = 30'250; ms <= 62'000; ms += 250) at(milliseconds(ms));
  EXPECT_EQ(at(milliseconds(62'250)), Duration::zero());
}

TEST(RecordReceiverAge, ANewConnectionForgets) {
  Hearing hearing;
  hearing.Word(kTheirs);
  hearing.receiver.ForgetTrips();
  EXPECT_EQ(hearing.receiver.Age(kTheirs, hearing.now + seconds(1)), Duration::zero());
  hearing.now += seconds(1);
  hearing.Word(kTheirs);
  EXPECT_EQ(hearing.receiver.Age(kTheirs, hearing.now), Duration::zero());
  EXPECT_EQ(hearing.receiver.Age(kTheirs, hearing.now + seconds(1)), seconds(1));
}

TEST(RecordReceiverAge, ClocksMayWrapAround) {
  Hearing hearing;
  const uint64_t late = std::numeric_limits<uint64_t>::max() - 500;
  hearing.Word(late);
  hearing.now += milliseconds(2);
  EXPECT_EQ(hearing.receiver.Age(late, hearing.now), milliseconds(2));
  hearing.Word(late + 1000);  // Past the end: half as old.
  EXPECT_EQ(hearing.receiver.Age(late + 1000, hearing.now), milliseconds(1));
}

TEST(RecordReceiverAge, HostileClocksHarmOnlyTheirOwn) {
  const uint64_t clocks[] = {1,
                             2,
                             1u << 31,
                             uint64_t{1} << 62,
                             (uint64_t{1} << 63) - 1,
                             uint64_t{1} << 63,
                             (uint64_t{1} << 63) + 1,
                             3'600'000'000u,
                             3'600'000'000u + (uint64_t{1} << 63),
                             std::numeric_limits<uint64_t>::max()};
  for (const MonoTime now : {MonoTime{}, kStart, MonoTime::max() - seconds(1), MonoTime::min() + seconds(1)}) {
    Hearing hearing;
    hearing.now = now;
    for (const uint64_t heard : clocks) {
      hearing.Word(heard);
      for (const uint64_t asked : clocks) {
        const Duration age = hearing.receiver.Age(asked, now);
        EXPECT_GE(age, Duration::zero());
        EXPECT_LE(age, std::chrono::hours(24));
      }
    }
  }
}

}  // namespace
}  // namespace toolwire
