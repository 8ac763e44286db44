// What waits at the sender of a link: in which order it leaves, whose it is, and how it is taken out.
#include "common/link/record_sender.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tests/unit/link/records.h"

namespace toolwire {
namespace {

// --- in which order --------------------------------------------------------------------------------------------------

TEST(RecordSender, RecordsAreCountedFromOneAndSayTheirTime) {
  Saying saying;
  saying.Push(Item("a"));
  const v1::LinkRecord first = saying.Next();
  EXPECT_EQ(first.number(), 1u);
  EXPECT_EQ(first.frame(), "a");
  EXPECT_EQ(first.clock_us(), 3'600'000'000u);
  saying.now += milliseconds(7);
  saying.Push(Item("b"));
  const v1::LinkRecord second = saying.Next();
  EXPECT_EQ(second.number(), 2u);
  EXPECT_EQ(second.clock_us(), 3'600'007'000u);
  EXPECT_TRUE(saying.Quiet());
}

TEST(RecordSender, FramesThatFollowEachOtherAreOneRecord) {
  Saying saying;
  for (const char* bytes : {"a", "bc", "d"}) saying.Push(Item(bytes));
  EXPECT_EQ(saying.Next().frame(), "abcd");
  EXPECT_TRUE(saying.Quiet());
}

TEST(RecordSender, FramesAreMergedUpToTheLimitAndNotAByteMore) {
  Saying saying;
  saying.Push(Item(std::string(kWhole - 1, 'a')));
  saying.Push(Item("b"));
  saying.Push(Item("c"));
  EXPECT_EQ(saying.Next().frame().size(), kWhole);
  EXPECT_EQ(saying.Next().frame(), "c");
}

TEST(RecordSender, AFrameOfTheLimitGoesWholeAndALargerOneInPieces) {
  Saying saying;
  saying.Push(Item(std::string(kWhole, 'a')));
  EXPECT_EQ(saying.Next().frame().size(), kWhole);
  saying.Push(Item(std::string(kWhole + 1, 'b')));
  const v1::LinkRecord first = saying.Next(), second = saying.Next(), third = saying.Next();
  EXPECT_EQ(first.piece().total_bytes(), kWhole + 1);
  EXPECT_EQ(first.piece().data().size(), kPiece);
  EXPECT_FALSE(first.piece().last());
  EXPECT_EQ(second.piece().total_bytes(), 0u);
  EXPECT_EQ(second.piece().frame_number(), first.piece().frame_number());
  EXPECT_EQ(third.piece().data(), "b");
  EXPECT_TRUE(third.piece().last());
  EXPECT_TRUE(saying.Quiet());
}

TEST(RecordSender, WordsGoBeforeWhatWaitsLonger) {
  Saying saying;
  saying.Push(Item(Large(kMiB)));
  saying.Push(Item("small"));
  saying.Push(Word("word"));
  saying.Push(Word(","));
  EXPECT_EQ(saying.Next().frame(), "word,small");
}

TEST(RecordSender, SmallFramesAndPiecesTakeTurns) {
  Saying saying;
  saying.Push(Item(Large(kMiB)));
  for (int i = 0; i < 3; ++i) saying.Push(Item(std::string(kWhole, static_cast<char>('0' + i))));
  std::string order;
  for (int i = 0; i < 6; ++i) order += saying.Next().has_piece() ? 'p' : 's';
  EXPECT_EQ(order, "spspsp");
}

TEST(RecordSender, PayersTakeTurnsWithTheirLargeFrames) {
  Saying saying(kPlenty, {16 * kMiB, 16 * kMiB, 1});  // One at a time.
  for (char frame : {'a', 'b', 'c'}) saying.Push(Item(std::string(kMiB, frame), 0, 1));
  saying.Push(Item(std::string(kMiB, 'x'), 0, 2));
  std::string order;
  for (const std::string& frame : saying.HearAll()) order += frame[0];
  EXPECT_EQ(order, "axbc");
}

TEST(RecordSender, APayerWithManyLargeFramesDelaysOthersByOneOfThem) {
  Saying saying;
  for (char frame : {'a', 'b', 'c', 'd'}) saying.Push(Item(std::string(kMiB, frame), 0, 1));
  for (int i = 0; i < 4; ++i) saying.Hear();
  saying.Ack();
  saying.Push(Item(std::string(kWhole + 1, 'x'), 0, 2));
  int records = 0;
  for (std::string frame; frame.empty() || frame[0] != 'x'; ++records) {
    if (saying.Hear() == Got::kFrame) frame = saying.receiver.frame();
    saying.Ack();
  }
  EXPECT_LE(records, 6);  // Three of its own.
  std::string order;
  for (const std::string& frame : saying.HearAll()) order += frame[0];
  EXPECT_EQ(order, "abcd");
}

TEST(RecordSender, LargeFramesOfAPayerArriveInOrder) {
  Saying saying;
  const std::vector<std::string> frames = {Large(4 * kMiB), Large(kWhole + 1), Large(kMiB), Large(2 * kMiB)};
  for (const std::string& frame : frames) saying.Push(Item(frame, 0, 1));
  EXPECT_EQ(saying.HearAll(), frames);
}

TEST(RecordSender, WhoWithdrawsAndComesAgainHasOneTurn) {
  Saying saying(kPlenty, {16 * kMiB, 16 * kMiB, 1});
  saying.Push(Item(std::string(kMiB, '0'), 0, 9));
  saying.Next();
  for (uint64_t ref = 1; ref <= 100; ++ref) {
    saying.Push(Item(std::string(kWhole + 1, 'a'), ref, 1));
    saying.sender.Withdraw(ref);
  }
  for (char frame : {'a', 'b', 'c'}) saying.Push(Item(std::string(kWhole + 1, frame), 0, 1));
  saying.Push(Item(std::string(kWhole + 1, 'x'), 0, 2));
  for (std::string bytes; !(bytes = saying.Bytes()).empty(); saying.sender.Acked(Parse(bytes).number(), saying.now)) {
    const v1::LinkPiece piece = Parse(bytes).piece();
    EXPECT_TRUE(piece.frame_number() != 3 || piece.data()[0] == 'x');
  }
  EXPECT_FALSE(saying.sender.waits());
}

TEST(RecordSender, NoMoreLargeFramesAreBegunThanTheReceiverTakes) {
  Saying saying(kPlenty, {16 * kMiB, 3 * kMiB, 1000});
  for (uint64_t payer = 1; payer <= 9; ++payer) saying.Push(Item(Large(kMiB), 0, payer));
  size_t most = 0;
  for (std::string bytes; !(bytes = saying.Bytes()).empty(); saying.Ack()) {
    ASSERT_NE(saying.receiver.Take(bytes, saying.now), Got::kBroken) << saying.receiver.error();
    most = std::max(most, saying.receiver.unfinished());
  }
  EXPECT_EQ(most, 3u);
  EXPECT_FALSE(saying.sender.waits());
}

TEST(RecordSender, AFrameLargerThanAllThatMayBeUnfinishedGoesAlone) {
  Saying saying(kPlenty, {4 * kMiB, kMiB, 1000});
  saying.Push(Item(Large(4 * kMiB), 0, 1));
  saying.Push(Item(Large(4 * kMiB, 'b'), 0, 2));
  EXPECT_EQ(saying.HearAll(), (std::vector<std::string>{Large(4 * kMiB), Large(4 * kMiB, 'b')}));
}

// --- taking out ------------------------------------------------------------------------------------------------------

TEST(RecordSender, WhatWaitsIsWithdrawnAndNeverSaid) {
  Saying saying;
  saying.Push(Item("a", 1));
  saying.Push(Word("b", 2));
  saying.Push(Item(Large(kMiB), 3));
  saying.Push(Item("d", 4));
  for (uint64_t ref : {1, 2, 3}) EXPECT_TRUE(saying.sender.Withdraw(ref));
  EXPECT_EQ(saying.Next().frame(), "d");
  EXPECT_TRUE(saying.Quiet());
  EXPECT_EQ(saying.sender.waiting_bytes(), 0u);
}

TEST(RecordSender, WhatHasLeftOrNeverWaitedIsNotWithdrawn) {
  Saying saying;
  saying.Push(Item("a", 1));
  saying.Push(Item(Large(2 * kPiece + 1), 2));
  saying.HearAll();
  for (uint64_t ref : {0, 1, 2, 3}) EXPECT_FALSE(saying.sender.Withdraw(ref));
  EXPECT_TRUE(saying.Quiet());
}

TEST(RecordSender, AFrameOfWhichAPieceHasLeftIsAborted) {
  Saying saying;
  saying.Push(Item(Large(kMiB), 1));
  saying.Hear();
  ASSERT_EQ(saying.receiver.unfinished(), 1u);
  EXPECT_TRUE(saying.sender.Withdraw(1));
  EXPECT_EQ(saying.sender.waiting_bytes(), 0u);
  EXPECT_FALSE(saying.sender.all_acked());
  EXPECT_FALSE(saying.sender.idle());
  EXPECT_TRUE(saying.HearAll().empty());
  EXPECT_EQ(saying.receiver.unfinished(), 0u);
  EXPECT_EQ(saying.receiver.unfinished_bytes(), 0u);
  EXPECT_TRUE(saying.sender.all_acked());
}

TEST(RecordSender, AnAbortGoesBeforeWordsAndMakesRoomForTheNext) {
  Saying saying(kPlenty, {16 * kMiB, 16 * kMiB, 1});
  saying.Push(Item(Large(kMiB), 1, 1));
  saying.Push(Item(Large(kMiB, 'b'), 2, 2));
  saying.Hear();
  saying.sender.Withdraw(1);
  saying.Push(Word("w"));
  const std::string abort = saying.Bytes();
  EXPECT_EQ(Parse(abort).abort(), 1u);
  EXPECT_EQ(saying.receiver.Take(abort, saying.now), Got::kNothing);
  EXPECT_EQ(saying.HearAll(), (std::vector<std::string>{"w", Large(kMiB, 'b')}));
}

TEST(RecordSender, AFrameWhoseLastPieceHasLeftIsNotWithdrawn) {
  Saying saying;
  saying.Push(Item(Large(2 * kPiece + 1), 1));
  saying.Next(), saying.Next();
  EXPECT_FALSE(saying.sender.Withdraw(99));
  saying.Next();
  EXPECT_FALSE(saying.sender.Withdraw(1));
}

TEST(RecordSender, AllOfAPayerIsWithdrawnAndNothingOfOthers) {
  Saying saying;
  saying.Push(Item(Large(kMiB), 1, 7));
  saying.Push(Item(Large(kMiB), 2, 7));
  saying.Push(Item(Large(kMiB, 'b'), 3, 8));
  saying.Hear();
  saying.Push(Item("small", 4, 7));
  saying.Push(Word("word", 5, 7));
  saying.Push(Word("stays", 0, 7));  // Without a ref it cannot be named.
  Refs refs = saying.sender.WithdrawPayer(7);
  std::sort(refs.begin(), refs.end());
  EXPECT_EQ(refs, (Refs{1, 2, 4, 5}));
  EXPECT_TRUE(saying.sender.WithdrawPayer(7).empty());
  EXPECT_TRUE(saying.sender.WithdrawPayer(9).empty());
  EXPECT_EQ(saying.HearAll(), (std::vector<std::string>{"stays", Large(kMiB, 'b')}));
  EXPECT_EQ(saying.receiver.unfinished(), 0u);
  EXPECT_EQ(saying.sender.waiting_bytes(), 0u);
}

TEST(RecordSender, WhatHasExpiredIsTakenOutOldestFirst) {
  Saying saying;
  for (uint64_t ref : {1, 2, 3, 4}) {
    LinkItem item = Item(ref == 1 ? Large(kMiB) : "s", ref, ref);
    item.expires = kStart + milliseconds(10 * (5 - ref));
    saying.Push(std::move(item));
  }
  saying.Push(Item("forever", 5));
  EXPECT_TRUE(saying.sender.Expire(kStart + milliseconds(10) - microseconds(1), 9).empty());
  EXPECT_EQ(saying.sender.Expire(kStart + milliseconds(10), 9), (Refs{4}));
  EXPECT_EQ(saying.sender.Expire(kStart + milliseconds(40), 2), (Refs{3, 2}));
  EXPECT_EQ(saying.sender.Expire(kStart + milliseconds(40), 2), (Refs{1}));
  EXPECT_EQ(saying.HearAll(), (std::vector<std::string>{"forever"}));
}

TEST(RecordSender, WhatHasLeftDoesNotExpire) {
  Saying saying;
  LinkItem item = Item("a", 1);
  item.expires = kStart;
  saying.Push(std::move(item));
  saying.Next();
  EXPECT_TRUE(saying.sender.Expire(kStart + seconds(1), 9).empty());
}

// --- who pays --------------------------------------------------------------------------------------------------------

// What a frame of that many bytes counts while it waits.
size_t Memory(size_t bytes) {
  Saying saying;
  saying.Push(Item(std::string(bytes, 'a')));
  return saying.sender.waiting_bytes();
}

TEST(RecordSender, WhatWaitsIsCountedAsMemory) {
  EXPECT_GE(Memory(1), 200u);
  EXPECT_GE(Memory(kMiB), kMiB + 200);
  std::string roomy;
  roomy.reserve(kMiB);
  roomy = "a";
  Saying saying;
  saying.Push(Item(std::move(roomy)));
  EXPECT_GE(saying.sender.waiting_bytes(), kMiB);
}

// Ten frames of a payer fill four fifths of the room, which is its share.
TEST(RecordSender, APayersShareEndsAtFourTimesWhatItLeaves) {
  const size_t frame = Memory(1000);
  // After eight, the ninth needs: 9 f <= 4 (max - 8 f).
  const size_t max = 8 * frame + (9 * frame + 3) / 4;
  Saying saying(max);
  for (int i = 0; i < 9; ++i) EXPECT_EQ(saying.Push(Item(std::string(1000, 'a'), 0, 1)), Pushed::kTaken) << i;
  Saying tighter(max - 1);
  for (int i = 0; i < 8; ++i) EXPECT_EQ(tighter.Push(Item(std::string(1000, 'a'), 0, 1)), Pushed::kTaken) << i;
  EXPECT_EQ(tighter.Push(Item(std::string(1000, 'a'), 0, 1)), Pushed::kShareFull);
}

TEST(RecordSender, PastAPayersShareOnlyThatPayerIsRefused) {
  Saying saying(kMiB);
  const auto fill = [&](uint64_t payer) {
    int taken = 0;
    while (saying.Push(Item(std::string(1000, 'a'), 0, payer)) == Pushed::kTaken) ++taken;
    return taken;
  };
  const int greedy = fill(1);
  EXPECT_NEAR(greedy, 0.8 * kMiB / static_cast<double>(Memory(1000)), 2);
  const int second = fill(2);
  EXPECT_GT(second, 100);  // Four fifths of the fifth that is left.
  EXPECT_EQ(saying.Push(Item("a", 0, 3)), Pushed::kTaken);
  EXPECT_EQ(saying.Push(Item(std::string(1000, 'a'), 0, 1)), Pushed::kShareFull);
  EXPECT_LE(saying.sender.waiting_bytes(), kMiB);
  // What it says makes room for it again.
  saying.HearAll();
  EXPECT_EQ(saying.sender.waiting_bytes(), 0u);
  EXPECT_EQ(fill(1), greedy);
}

TEST(RecordSender, WordsAreNeverRefused) {
  Saying saying(2 * Memory(1));
  while (saying.Push(Item("a", 0, 1)) == Pushed::kTaken) continue;
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(saying.Push(Word("w", 0, 1)), Pushed::kTaken);
  EXPECT_EQ(saying.HearAll().front().substr(0, 1000), std::string(1000, 'w'));
  EXPECT_EQ(saying.sender.waiting_bytes(), 0u);
}

TEST(RecordSender, OneFrameMayAlwaysWait) {
  Saying saying(1);
  EXPECT_EQ(saying.Push(Item(Large(kMiB), 1, 1)), Pushed::kTaken);
  EXPECT_EQ(saying.Push(Item("a", 2, 2)), Pushed::kShareFull);
  EXPECT_FALSE(saying.sender.Withdraw(2));
  EXPECT_EQ(saying.HearAll().size(), 1u);
  EXPECT_EQ(saying.Push(Item("a", 2, 2)), Pushed::kTaken);
}

TEST(RecordSender, WhatTheReceiverDoesNotTakeIsRefusedAlone) {
  Saying saying(kPlenty, {kMiB, 16 * kMiB, 10});
  EXPECT_EQ(saying.Push(Item(Large(kMiB + 1), 1)), Pushed::kTooLarge);
  EXPECT_EQ(saying.Push(Word(Large(kMiB + 1), 2)), Pushed::kTooLarge);
  EXPECT_FALSE(saying.sender.waits());
  EXPECT_EQ(saying.Push(Item(Large(kMiB), 3)), Pushed::kTaken);
  EXPECT_EQ(saying.HearAll().size(), 1u);
}

TEST(RecordSender, MergedFramesAreNoLargerThanTheReceiverTakes) {
  Saying saying(kPlenty, {1000, 16 * kMiB, 10});
  for (int i = 0; i < 9; ++i) saying.Push(Item(std::string(300, 'a'), 0));
  for (const std::string& frame : saying.HearAll()) EXPECT_EQ(frame.size(), 900u);
}

TEST(RecordSender, AReceiverThatTakesNoPiecesIsNotWaitedFor) {
  Saying saying(kPlenty, {kMiB, 16 * kMiB, 0});
  EXPECT_EQ(saying.Push(Item(Large(kWhole + 1), 1)), Pushed::kTooLarge);
  EXPECT_EQ(saying.Push(Item(Large(kWhole), 2)), Pushed::kTaken);
  EXPECT_EQ(saying.HearAll().size(), 1u);
}

TEST(RecordSender, WhatIsRefusedLeavesNothingBehind) {
  Saying saying(1);
  saying.Push(Item("a", 1, 1));
  const size_t one = saying.sender.waiting_bytes();
  for (uint64_t i = 2; i < 100; ++i) EXPECT_EQ(saying.Push(Item("b", i, i)), Pushed::kShareFull);
  EXPECT_EQ(saying.sender.waiting_bytes(), one);
  for (uint64_t i = 2; i < 100; ++i) EXPECT_TRUE(saying.sender.WithdrawPayer(i).empty());
}

TEST(RecordSender, WhatWaitsIsFoundHoweverManyPayersCome) {
  Saying saying;
  constexpr uint64_t kPayers = 1000;
  for (uint64_t i = 1; i <= kPayers; ++i) {
    saying.Push(Item(Large(kWhole + 1), i, i));
    saying.Push(Item("s", kPayers + i, i));
  }
  for (uint64_t i = 1; i <= kPayers; ++i) {
    EXPECT_TRUE(saying.sender.Withdraw(i));
    EXPECT_TRUE(saying.sender.Withdraw(kPayers + i));
  }
  EXPECT_EQ(saying.sender.waiting_bytes(), 0u);
  EXPECT_TRUE(saying.Quiet());
}

}  // namespace
}  // namespace toolwire
