// A link's bytes, taken apart: RelayReader of common/link/relay_socket.h.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "common/link/relay_socket.h"

namespace toolwire {
namespace {

using Reader = RelayReader<v1::ControlFrame>;
using Got = Reader::Got;

std::string Length(uint32_t length) {
  std::string bytes;
  for (int i = 0; i < 4; ++i) bytes.push_back(static_cast<char>(length >> 8 * i));
  return bytes;
}
std::string OnWire(const v1::ControlFrame& frame) {
  return Length(static_cast<uint32_t>(frame.ByteSizeLong())) + frame.SerializeAsString();
}
const std::string kProbe = Length(0), kProbeAnswer = Length(0xffffffff);

v1::ControlFrame Cancel(uint64_t call_id) {
  v1::ControlFrame frame;
  frame.add_cancels(call_id);
  return frame;
}

// What comes of `bytes`, added `step` bytes at a time: a letter for each thing, and the ids of cancels.
std::string Read(Reader* reader, std::string_view bytes, size_t step) {
  std::string seen;
  while (!bytes.empty()) {
    const auto space = reader->Space();
    const size_t added = std::min({step, bytes.size(), space.size()});
    std::memcpy(space.data(), bytes.data(), added);
    reader->Added(added);
    bytes.remove_prefix(added);
    v1::ControlFrame frame;
    for (Got got; (got = reader->Next(&frame)) != Got::kNothing; frame.Clear()) {
      if (got == Got::kBroken) return seen + "!";
      if (got == Got::kPreface) seen += "P";
      if (got == Got::kProbe) seen += "?";
      if (got == Got::kFrame) {
        seen += "F";
        for (const uint64_t id : frame.cancels()) seen += std::to_string(id);
        for (const v1::Deliver& one : frame.deliveries()) seen += std::to_string(one.params_json().size());
      }
    }
  }
  return seen;
}
std::string ReadAll(std::string_view bytes, size_t step = 1 << 20) {
  Reader reader(1u << 20);
  return Read(&reader, bytes, step);
}

TEST(RelayReaderTest, FramesComeOutHoweverTheirBytesArrive) {
  const std::string bytes =
      kRelayPreface + OnWire(Cancel(1)) + kProbe + OnWire(Cancel(2)) + kProbeAnswer + OnWire(Cancel(3));
  for (const size_t step : {size_t{1}, size_t{2}, size_t{3}, size_t{5}, size_t{7}, bytes.size()}) {
    EXPECT_EQ(ReadAll(bytes, step), "PF1?F2F3") << "in steps of " << step;
  }
}

TEST(RelayReaderTest, AFrameLargerThanTheBufferGrowsIt) {
  v1::ControlFrame frame;
  frame.add_deliveries()->set_params_json(std::string(200'000, 'x'));
  EXPECT_EQ(ReadAll(kRelayPreface + OnWire(frame) + OnWire(Cancel(9)), 10'000), "PF200000F9");
}

TEST(RelayReaderTest, FragmentsBecomeTheFrameThatWasCut) {
  FrameOutbox<v1::ControlFrame> outbox(1u << 30, 1u << 30);
  v1::ControlFrame large;
  large.add_deliveries()->set_params_json(std::string(500'000, 'x'));
  ASSERT_TRUE(outbox.Push(std::move(large)));
  ASSERT_TRUE(outbox.Push(Cancel(1)));
  std::string bytes = kRelayPreface;
  for (v1::ControlFrame piece; outbox.Next(&piece);) bytes += OnWire(piece);
  EXPECT_EQ(ReadAll(bytes, 4096), "PF1F500000");
}

TEST(RelayReaderTest, APieceOfTheGreatestSizePassesAndOneMoreByteDoesNot) {
  const auto of_size = [](size_t bytes) {
    v1::ControlFrame frame;
    v1::Deliver* deliver = frame.add_deliveries();
    deliver->set_params_json(std::string(bytes, 'x'));
    deliver->mutable_params_json()->resize(bytes - (frame.ByteSizeLong() - bytes));
    return frame;
  };
  const v1::ControlFrame greatest = of_size(Reader::kPieceBytesMax);
  ASSERT_EQ(greatest.ByteSizeLong(), Reader::kPieceBytesMax);
  EXPECT_EQ(ReadAll(kRelayPreface + OnWire(greatest)).substr(0, 2), "PF");
  EXPECT_EQ(ReadAll(kRelayPreface + Length(Reader::kPieceBytesMax + 1)), "P!");
}

TEST(RelayReaderTest, PeerThatDoesNotSpeakTheProtocolIsFoundAtTheFirstWrongByte) {
  EXPECT_EQ(ReadAll("GET / HTTP/1.1\r\n\r\n"), "!");
  EXPECT_EQ(ReadAll("PRI * HTTP/2.0\r\n"), "!");  // gRPC
  EXPECT_EQ(ReadAll("TWRELAY2"), "!");
  EXPECT_EQ(ReadAll("TX"), "!");
  EXPECT_EQ(ReadAll("TWREL"), "");
}

TEST(RelayReaderTest, BytesThatAreNoFrameBreakTheLink) {
  EXPECT_EQ(ReadAll(kRelayPreface + Length(3) + "\xff\xff\xff"), "P!");
  v1::ControlFrame orphan;  // Its first piece, which has the size, is missing.
  orphan.mutable_fragment()->set_fragment_id(1);
  orphan.mutable_fragment()->set_data("x");
  EXPECT_EQ(ReadAll(kRelayPreface + OnWire(orphan)), "P!");
  v1::ControlFrame huge;
  huge.mutable_fragment()->set_fragment_id(1);
  huge.mutable_fragment()->set_total_bytes((1u << 20) + 1);
  EXPECT_EQ(ReadAll(kRelayPreface + OnWire(huge)), "P!") << "over the limit of all unfinished frames";
}

}  // namespace
}  // namespace toolwire
