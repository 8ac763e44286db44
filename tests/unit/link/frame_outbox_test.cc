#include "common/link/frame_outbox.h"

#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace toolwire {
namespace {

using ControlOutbox = FrameOutbox<v1::ControlFrame>;
using EdgeOutbox = FrameOutbox<v1::EdgeFrame>;
using ControlAssembler = FrameAssembler<v1::ControlFrame>;
using EdgeAssembler = FrameAssembler<v1::EdgeFrame>;
using google::protobuf::util::MessageDifferencer;

constexpr size_t kPlenty = 1u << 30;
constexpr size_t kWhole = ControlOutbox::kWholeBytesMax;
constexpr size_t kFragment = ControlOutbox::kFragmentBytes;

v1::ControlFrame DeliverFrame(uint64_t call_id, size_t params_bytes = 10) {
  v1::ControlFrame frame;
  v1::Deliver* deliver = frame.add_deliveries();
  deliver->set_call_id(call_id);
  deliver->set_params_json(std::string(params_bytes, static_cast<char>('a' + call_id % 26)));
  return frame;
}
v1::EdgeFrame AnswerFrame(uint64_t call_id, size_t result_bytes = 10) {
  v1::EdgeFrame frame;
  v1::Answer* answer = frame.add_answers();
  answer->set_call_id(call_id);
  answer->set_result_json(std::string(result_bytes, 'x'));
  return frame;
}
// A frame whose serialized size is exactly this.
v1::ControlFrame FrameOfSize(size_t bytes) {
  v1::ControlFrame frame = DeliverFrame(1, bytes);
  frame.mutable_deliveries(0)->mutable_params_json()->resize(2 * bytes - frame.ByteSizeLong());
  EXPECT_EQ(frame.ByteSizeLong(), bytes);
  return frame;
}

// What an outbox writes until it is empty.
template <typename Frame>
std::vector<Frame> Drain(FrameOutbox<Frame>* outbox) {
  std::vector<Frame> frames;
  Frame frame;
  while (outbox->Next(&frame)) frames.push_back(frame);
  EXPECT_EQ(outbox->waiting_bytes(), 0u);
  return frames;
}
std::vector<uint64_t> CallIds(const v1::ControlFrame& frame) {
  std::vector<uint64_t> ids;
  for (const v1::Deliver& deliver : frame.deliveries()) ids.push_back(deliver.call_id());
  return ids;
}

// --- writing ---------------------------------------------------------------------------------------------------------

TEST(FrameOutboxTest, EmptyOutboxHasNothingToWrite) {
  ControlOutbox outbox(kPlenty, kPlenty);
  v1::ControlFrame frame = DeliverFrame(1);
  EXPECT_FALSE(outbox.Next(&frame));
  EXPECT_EQ(frame.ByteSizeLong(), 0u) << "nothing of an earlier frame is left in it";
}

TEST(FrameOutboxTest, SmallFramesThatWaitAreWrittenAsOneInTheirOrder) {
  ControlOutbox outbox(kPlenty, kPlenty);
  for (uint64_t i = 1; i <= 5; ++i) {
    v1::ControlFrame frame = DeliverFrame(i);
    frame.add_cancels(100 + i);
    frame.add_disconnects()->set_epoch_max(100 + i);
    EXPECT_TRUE(outbox.Push(std::move(frame)));
  }
  const std::vector<v1::ControlFrame> frames = Drain(&outbox);
  ASSERT_EQ(frames.size(), 1u);
  EXPECT_EQ(CallIds(frames[0]), (std::vector<uint64_t>{1, 2, 3, 4, 5}));
  EXPECT_EQ(std::vector<uint64_t>(frames[0].cancels().begin(), frames[0].cancels().end()),
            (std::vector<uint64_t>{101, 102, 103, 104, 105}));
}

TEST(FrameOutboxTest, EveryFieldOfAnEdgeFrameIsKept) {
  EdgeOutbox outbox(kPlenty, kPlenty);
  v1::EdgeFrame expected;
  for (uint64_t i = 1; i <= 3; ++i) {
    v1::EdgeFrame frame = AnswerFrame(i);
    if (i == 1) frame.mutable_hello()->set_server_id("edge_a");
    frame.add_sessions()->set_user_id("user_" + std::to_string(i));
    frame.add_refusals()->set_call_id(10 + i);
    frame.add_strays()->set_request_id("req_" + std::to_string(i));
    expected.MergeFrom(frame);
    EXPECT_TRUE(outbox.Push(std::move(frame)));
  }
  const std::vector<v1::EdgeFrame> frames = Drain(&outbox);
  ASSERT_EQ(frames.size(), 1u);
  EXPECT_TRUE(MessageDifferencer::Equals(frames[0], expected));
}

TEST(FrameOutboxTest, FramesAreCoalescedUpToTheSizeOfAWholeOne) {
  ControlOutbox outbox(kPlenty, kPlenty);
  for (uint64_t i = 1; i <= 9; ++i) EXPECT_TRUE(outbox.Push(DeliverFrame(i, kWhole / 3)));
  std::vector<uint64_t> order;
  for (const v1::ControlFrame& frame : Drain(&outbox)) {
    EXPECT_LE(frame.ByteSizeLong(), kWhole);
    EXPECT_EQ(frame.deliveries_size(), order.size() == 8 ? 1 : 2);
    for (const uint64_t id : CallIds(frame)) order.push_back(id);
  }
  EXPECT_EQ(order, (std::vector<uint64_t>{1, 2, 3, 4, 5, 6, 7, 8, 9}));
}

TEST(FrameOutboxTest, FrameAtTheLimitGoesOutWholeAndAByteMoreInPieces) {
  ControlOutbox outbox(kPlenty, kPlenty);
  EXPECT_TRUE(outbox.Push(FrameOfSize(kWhole)));
  std::vector<v1::ControlFrame> frames = Drain(&outbox);
  ASSERT_EQ(frames.size(), 1u);
  EXPECT_FALSE(frames[0].has_fragment());
  EXPECT_TRUE(outbox.Push(FrameOfSize(kWhole + 1)));
  frames = Drain(&outbox);
  ASSERT_EQ(frames.size(), 2u);
  EXPECT_EQ(frames[0].fragment().data().size(), kFragment);
  EXPECT_EQ(frames[0].fragment().total_bytes(), kWhole + 1);
  EXPECT_FALSE(frames[0].fragment().last());
  EXPECT_EQ(frames[1].fragment().data().size(), 1u);
  EXPECT_EQ(frames[1].fragment().total_bytes(), 0u) << "in the first piece only";
  EXPECT_TRUE(frames[1].fragment().last());
  EXPECT_EQ(frames[0].fragment().fragment_id(), frames[1].fragment().fragment_id());
  EXPECT_EQ(frames[0].deliveries_size(), 0) << "a fragment is alone in its frame";
}

TEST(FrameOutboxTest, LargeFrameOfSmallItemsIsNotCut) {
  EdgeOutbox outbox(kPlenty, kPlenty);
  v1::EdgeFrame snapshot;
  for (int i = 0; i < 20000; ++i) {
    snapshot.add_sessions()->set_user_id("user_" + std::to_string(i));
    snapshot.mutable_sessions(i)->set_connected(true);
  }
  EXPECT_GT(snapshot.ByteSizeLong(), kWhole);
  EXPECT_TRUE(outbox.Push(v1::EdgeFrame(snapshot)));
  v1::EdgeFrame all;
  for (const v1::EdgeFrame& frame : Drain(&outbox)) {
    EXPECT_FALSE(frame.has_fragment());
    EXPECT_LE(frame.ByteSizeLong(), kWhole);
    all.MergeFrom(frame);
  }
  EXPECT_TRUE(MessageDifferencer::Equals(all, snapshot)) << "and they stay in their order";
}

TEST(FrameOutboxTest, OnlyTheItemThatIsLargeIsCut) {
  EdgeOutbox outbox(kPlenty, kPlenty);
  v1::EdgeFrame frame = AnswerFrame(1);
  frame.mutable_hello()->set_server_id("edge_a");
  *frame.add_answers() = AnswerFrame(2, 3 * kWhole).answers(0);
  frame.add_sessions()->set_user_id("user_1");
  frame.add_refusals()->set_call_id(3);
  frame.add_strays()->set_request_id("req_4");
  EXPECT_TRUE(outbox.Push(std::move(frame)));
  const std::vector<v1::EdgeFrame> frames = Drain(&outbox);
  ASSERT_GT(frames.size(), 3u);
  EXPECT_TRUE(frames[0].has_hello());
  EXPECT_EQ(frames[0].answers_size(), 1);
  EXPECT_EQ(frames[0].sessions_size(), 1);
  EXPECT_EQ(frames[0].refusals_size(), 1);
  EXPECT_EQ(frames[0].strays_size(), 1);
  for (size_t i = 1; i < frames.size(); ++i) EXPECT_TRUE(frames[i].has_fragment());
}

TEST(FrameOutboxTest, SmallFramesWaitForOneFragmentAtMost) {
  ControlOutbox outbox(kPlenty, kPlenty);
  EXPECT_TRUE(outbox.Push(DeliverFrame(1, 10 * kFragment)));
  v1::ControlFrame frame;
  ASSERT_TRUE(outbox.Next(&frame));
  EXPECT_TRUE(frame.has_fragment());
  for (uint64_t i = 2; i < 8; ++i) {
    EXPECT_TRUE(outbox.Push(DeliverFrame(i)));
    ASSERT_TRUE(outbox.Next(&frame));
    ASSERT_TRUE(!frame.has_fragment() || outbox.Next(&frame));
    EXPECT_EQ(CallIds(frame), std::vector<uint64_t>{i});
  }
}

TEST(FrameOutboxTest, SmallFramesDoNotStarveALargeOne) {
  ControlOutbox outbox(kPlenty, kPlenty);
  EXPECT_TRUE(outbox.Push(DeliverFrame(1, 10 * kFragment)));
  int fragments = 0;
  v1::ControlFrame frame;
  for (uint64_t i = 2; i < 30; ++i) {
    EXPECT_TRUE(outbox.Push(DeliverFrame(i, kWhole / 2)));
    ASSERT_TRUE(outbox.Next(&frame));
    fragments += frame.has_fragment() ? 1 : 0;
  }
  EXPECT_GE(fragments, 10) << "every other frame is a piece of it";
}

TEST(FrameOutboxTest, LargeFramesTakeTurns) {
  ControlOutbox outbox(kPlenty, kPlenty);
  for (uint64_t i = 1; i <= 3; ++i) EXPECT_TRUE(outbox.Push(DeliverFrame(i, 4 * kFragment)));
  std::vector<uint64_t> order;
  for (const v1::ControlFrame& frame : Drain(&outbox)) order.push_back(frame.fragment().fragment_id());
  ASSERT_EQ(order.size(), 15u);
  for (size_t i = 3; i < order.size(); ++i) EXPECT_EQ(order[i], order[i - 3]);
  EXPECT_NE(order[0], order[1]);
  EXPECT_NE(order[1], order[2]);
}

// --- limits ----------------------------------------------------------------------------------------------------------

TEST(FrameOutboxTest, FramesWaitUpToTheLimit) {
  const size_t size = DeliverFrame(1).ByteSizeLong();
  ControlOutbox outbox(3 * size, kPlenty);
  for (uint64_t i = 1; i <= 3; ++i) EXPECT_TRUE(outbox.Push(DeliverFrame(i)));
  EXPECT_EQ(outbox.waiting_bytes(), 3 * size);
  v1::ControlFrame fourth = DeliverFrame(4);
  EXPECT_FALSE(outbox.Push(std::move(fourth)));
  EXPECT_TRUE(MessageDifferencer::Equals(fourth, DeliverFrame(4))) << "a refused frame is as it was";
  EXPECT_EQ(outbox.waiting_bytes(), 3 * size);
  EXPECT_EQ(Drain(&outbox).at(0).deliveries_size(), 3);
  EXPECT_TRUE(outbox.Push(std::move(fourth)));
}

TEST(FrameOutboxTest, OneFrameMayAlwaysWaitHoweverLarge) {
  ControlOutbox outbox(100, kPlenty);
  EXPECT_TRUE(outbox.Push(DeliverFrame(1, 5 * kFragment)));
  EXPECT_FALSE(outbox.Push(DeliverFrame(2)));
  Drain(&outbox);
  EXPECT_TRUE(outbox.Push(DeliverFrame(2)));
}

TEST(FrameOutboxTest, PiecesThatWereWrittenMakeRoom) {
  ControlOutbox outbox(4 * kFragment, kPlenty);
  EXPECT_TRUE(outbox.Push(DeliverFrame(1, 3 * kFragment)));
  EXPECT_FALSE(outbox.Push(DeliverFrame(2, kFragment)));
  v1::ControlFrame frame;
  ASSERT_TRUE(outbox.Next(&frame));
  EXPECT_TRUE(outbox.Push(DeliverFrame(2, kFragment)));
}

// --- the end of the stream -------------------------------------------------------------------------------------------

TEST(FrameOutboxTest, WhatWasNotWrittenIsUnsent) {
  ControlOutbox outbox(kPlenty, kPlenty);
  EXPECT_TRUE(outbox.Push(DeliverFrame(1)));
  EXPECT_TRUE(outbox.Push(DeliverFrame(2, 2 * kFragment)));
  v1::ControlFrame frame;
  ASSERT_TRUE(outbox.Next(&frame));  // The small one.
  ASSERT_TRUE(outbox.Next(&frame));  // A piece of the large one.
  EXPECT_TRUE(frame.has_fragment());
  EXPECT_TRUE(outbox.Push(DeliverFrame(3)));
  EXPECT_TRUE(outbox.Push(DeliverFrame(4, 2 * kFragment)));
  EXPECT_TRUE(outbox.Push(DeliverFrame(5)));
  std::vector<uint64_t> unsent;
  for (const v1::ControlFrame& one : outbox.TakeUnsent()) {
    EXPECT_GT(one.ByteSizeLong(), 0u);
    for (const uint64_t id : CallIds(one)) unsent.push_back(id);
  }
  std::sort(unsent.begin(), unsent.end());
  EXPECT_EQ(unsent, (std::vector<uint64_t>{3, 4, 5})) << "a frame of which a piece was written counts as gone";
  EXPECT_EQ(outbox.waiting_bytes(), 0u);
  EXPECT_FALSE(outbox.Next(&frame));
  EXPECT_TRUE(outbox.TakeUnsent().empty());
}

TEST(FrameOutboxTest, UnsentPartsOfALargeFrameAreWhole) {
  ControlOutbox outbox(kPlenty, kPlenty);
  v1::ControlFrame frame;
  for (uint64_t i = 1; i <= 4; ++i) *frame.add_deliveries() = DeliverFrame(i, i % 2 * 2 * kFragment).deliveries(0);
  frame.add_cancels(9);
  frame.add_disconnects()->set_user_id("user");
  const v1::ControlFrame expected = frame;
  EXPECT_TRUE(outbox.Push(std::move(frame)));
  std::vector<uint64_t> unsent;
  int cancels = 0, disconnects = 0;
  for (const v1::ControlFrame& one : outbox.TakeUnsent()) {
    for (const v1::Deliver& deliver : one.deliveries()) {
      unsent.push_back(deliver.call_id());
      EXPECT_TRUE(MessageDifferencer::Equals(deliver, expected.deliveries(static_cast<int>(deliver.call_id()) - 1)));
    }
    cancels += one.cancels_size();
    disconnects += one.disconnects_size();
  }
  std::sort(unsent.begin(), unsent.end());
  EXPECT_EQ(unsent, (std::vector<uint64_t>{1, 2, 3, 4}));
  EXPECT_EQ(cancels, 1);
  EXPECT_EQ(disconnects, 1);
}

// --- reading ---------------------------------------------------------------------------------------------------------

v1::ControlFrame Piece(uint64_t id, const std::string& data, uint64_t total, bool last) {
  v1::ControlFrame frame;
  frame.mutable_fragment()->set_fragment_id(id);
  frame.mutable_fragment()->set_data(data);
  frame.mutable_fragment()->set_total_bytes(total);
  frame.mutable_fragment()->set_last(last);
  return frame;
}
ControlAssembler::Added Add(ControlAssembler* assembler, v1::ControlFrame frame) { return assembler->Add(&frame); }

TEST(FrameAssemblerTest, PiecesOfSeveralFramesBecomeTheFramesThatWereCut) {
  ControlOutbox outbox(kPlenty, kPlenty);
  for (uint64_t i = 1; i <= 4; ++i) EXPECT_TRUE(outbox.Push(DeliverFrame(i, i * kFragment)));
  ControlAssembler assembler(kPlenty);
  std::vector<uint64_t> complete;
  for (v1::ControlFrame& frame : Drain(&outbox)) {
    ASSERT_TRUE(frame.has_fragment());
    const bool last = frame.fragment().last();
    const ControlAssembler::Added added = assembler.Add(&frame);
    ASSERT_EQ(added, last ? ControlAssembler::Added::kComplete : ControlAssembler::Added::kMore);
    if (!last) continue;
    const uint64_t id = CallIds(frame).at(0);
    EXPECT_TRUE(MessageDifferencer::Equals(frame, DeliverFrame(id, id * kFragment)));
    EXPECT_FALSE(frame.has_fragment());
    complete.push_back(id);
  }
  EXPECT_EQ(complete, (std::vector<uint64_t>{1, 2, 3, 4}));
}

TEST(FrameAssemblerTest, UnfinishedFramesAreLimitedHoweverLittleHasComeOfThem) {
  EdgeAssembler assembler(kPlenty);
  const auto begin = [&](uint64_t id) {
    v1::EdgeFrame frame;
    frame.mutable_fragment()->set_fragment_id(id);
    frame.mutable_fragment()->set_total_bytes(260u << 20);  // Reserved, two would be more than this test may take.
    return assembler.Add(&frame);
  };
  for (uint64_t id = 1; id <= kUnfinishedMax; ++id) ASSERT_EQ(begin(id), EdgeAssembler::Added::kMore);
  EXPECT_EQ(begin(kUnfinishedMax + 1), EdgeAssembler::Added::kBroken);
}

TEST(FrameAssemblerTest, FrameMayComeInOnePieceAndIdsMayBeUsedAgain) {
  const std::string bytes = DeliverFrame(1).SerializeAsString();
  ControlAssembler assembler(bytes.size());
  for (int i = 0; i < 3; ++i) {
    v1::ControlFrame frame = Piece(7, bytes, bytes.size(), true);
    ASSERT_EQ(assembler.Add(&frame), ControlAssembler::Added::kComplete);
    EXPECT_TRUE(MessageDifferencer::Equals(frame, DeliverFrame(1)));
  }
}

TEST(FrameAssemblerTest, UnfinishedFramesTogetherAreLimited) {
  using Added = ControlAssembler::Added;
  ControlAssembler fits(100);
  EXPECT_EQ(Add(&fits, Piece(1, std::string(50, 'x'), 60, false)), Added::kMore);
  EXPECT_EQ(Add(&fits, Piece(2, std::string(50, 'x'), 60, false)), Added::kMore);
  ControlAssembler exceeds(99);
  EXPECT_EQ(Add(&exceeds, Piece(1, std::string(50, 'x'), 60, false)), Added::kMore);
  EXPECT_EQ(Add(&exceeds, Piece(2, std::string(50, 'x'), 60, false)), Added::kBroken);
}

TEST(FrameAssemblerTest, FrameAtTheLimitPassesAndAByteMoreDoesNot) {
  using Added = ControlAssembler::Added;
  const std::string bytes = DeliverFrame(1, 1000).SerializeAsString();
  ControlAssembler fits(bytes.size());
  EXPECT_EQ(Add(&fits, Piece(1, bytes, bytes.size(), true)), Added::kComplete);
  ControlAssembler exceeds(bytes.size() - 1);
  EXPECT_EQ(Add(&exceeds, Piece(1, bytes, bytes.size(), true)), Added::kBroken);
}

TEST(FrameAssemblerTest, PeerThatBreaksTheProtocolIsFound) {
  using Added = ControlAssembler::Added;
  const std::string bytes = DeliverFrame(1).SerializeAsString();
  ControlAssembler no_total(kPlenty);
  EXPECT_EQ(Add(&no_total, Piece(1, bytes, 0, true)), Added::kBroken);
  ControlAssembler too_much(kPlenty);
  EXPECT_EQ(Add(&too_much, Piece(1, bytes, bytes.size() - 1, true)), Added::kBroken);
  ControlAssembler too_little(kPlenty);
  EXPECT_EQ(Add(&too_little, Piece(1, bytes, bytes.size() + 1, true)), Added::kBroken);
  ControlAssembler no_frame(kPlenty);
  EXPECT_EQ(Add(&no_frame, Piece(1, "\xff\xff\xff", 3, true)), Added::kBroken);
  ControlAssembler grows(kPlenty);
  EXPECT_EQ(Add(&grows, Piece(1, "12", 3, false)), Added::kMore);
  EXPECT_EQ(Add(&grows, Piece(1, "34", 3, false)), Added::kBroken);
}

TEST(FrameAssemblerTest, HonestSendersUnfinishedFramesStayWithinTheReceiversBound) {
  const size_t unfinished_max = UnfinishedBytesMax(1u << 20);
  EdgeOutbox outbox(kPlenty, unfinished_max);
  EdgeAssembler assembler(unfinished_max);
  for (uint64_t i = 0; i < 150; ++i) EXPECT_TRUE(outbox.Push(AnswerFrame(i, 200u << 10)));
  EXPECT_TRUE(outbox.Push(AnswerFrame(150)));
  v1::EdgeFrame frame;
  std::vector<uint64_t> arrived;
  while (outbox.Next(&frame)) {
    if (!frame.has_fragment()) {
      EXPECT_EQ(frame.answers(0).call_id(), 150u);
      EXPECT_TRUE(arrived.empty()) << "a small one waits for none of them";
      continue;
    }
    const EdgeAssembler::Added added = assembler.Add(&frame);
    ASSERT_NE(added, EdgeAssembler::Added::kBroken) << "after " << arrived.size();
    if (added == EdgeAssembler::Added::kComplete) arrived.push_back(frame.answers(0).call_id());
  }
  EXPECT_EQ(arrived.size(), 150u);
  EXPECT_TRUE(std::is_sorted(arrived.begin(), arrived.end())) << "the others wait in order";
  EXPECT_EQ(outbox.waiting_bytes(), 0u);
}

TEST(FrameOutboxTest, FramesThatWaitToBeBegunAreUnsentToo) {
  ControlOutbox outbox(kPlenty, 3 * kFragment);
  for (uint64_t i = 1; i <= 3; ++i) EXPECT_TRUE(outbox.Push(DeliverFrame(i, 2 * kFragment)));
  v1::ControlFrame frame;
  ASSERT_TRUE(outbox.Next(&frame));
  ASSERT_TRUE(outbox.Next(&frame));
  EXPECT_EQ(frame.fragment().fragment_id(), 1u) << "the second is not begun before the first is complete";
  std::vector<uint64_t> unsent;
  for (const v1::ControlFrame& one : outbox.TakeUnsent()) unsent.push_back(CallIds(one).at(0));
  EXPECT_EQ(unsent, (std::vector<uint64_t>{2, 3}));
  EXPECT_TRUE(outbox.Push(DeliverFrame(4, 5 * kFragment)));
  EXPECT_TRUE(outbox.Next(&frame)) << "one frame may always be begun, however large";
}

// Both ends together, with frames of all sizes pushed while others are being written.
TEST(FrameAssemblerTest, WhatIsPushedArrivesOnceAndUnchanged) {
  for (unsigned seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    EdgeOutbox outbox(kPlenty, kPlenty);
    EdgeAssembler assembler(kPlenty);
    std::vector<size_t> arrived(100, 0);
    std::vector<size_t> sizes(100, 0);
    std::vector<std::string> sessions_in, sessions_out;
    uint64_t next = 0;
    const auto write = [&] {
      v1::EdgeFrame frame;
      if (!outbox.Next(&frame)) return false;
      EXPECT_LE(frame.ByteSizeLong(), kFragment + 64);
      if (frame.has_fragment() && assembler.Add(&frame) != EdgeAssembler::Added::kComplete) return true;
      for (const v1::Answer& answer : frame.answers()) {
        EXPECT_EQ(answer.result_json(), std::string(sizes.at(answer.call_id()), 'x'));
        ++arrived[answer.call_id()];
      }
      for (const v1::SessionEvent& event : frame.sessions()) sessions_out.push_back(event.user_id());
      return true;
    };
    while (next < sizes.size()) {
      if (random() % 3 != 0) {
        write();
        continue;
      }
      v1::EdgeFrame frame;
      for (size_t i = random() % 4; i > 0 && next < sizes.size(); --i) {
        const size_t largest = random() % 4 == 0 ? 5 * kFragment : 5000;
        sizes[next] = random() % largest;
        *frame.add_answers() = AnswerFrame(next, sizes[next]).answers(0);
        sessions_in.push_back("user_" + std::to_string(next++));
        frame.add_sessions()->set_user_id(sessions_in.back());
      }
      ASSERT_TRUE(outbox.Push(std::move(frame)));
    }
    while (write()) {
    }
    EXPECT_EQ(arrived, std::vector<size_t>(100, 1));
    EXPECT_EQ(sessions_out, sessions_in) << "what fits in one frame keeps its order";
    EXPECT_EQ(outbox.waiting_bytes(), 0u);
  }
}

}  // namespace
}  // namespace toolwire
