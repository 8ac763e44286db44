// What the tests of a link's conversation share: things to say, and records read back.
#ifndef TOOLWIRE_TESTS_UNIT_LINK_RECORDS_H_
#define TOOLWIRE_TESTS_UNIT_LINK_RECORDS_H_

#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/link/record_receiver.h"
#include "common/link/record_sender.h"

namespace toolwire {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;
using Class = LinkItem::Class;
using Pushed = RecordSender::Pushed;
using Got = RecordReceiver::Got;
using Refs = std::vector<uint64_t>;

constexpr size_t kWhole = RecordSender::kWholeBytesMax;
constexpr size_t kPiece = RecordSender::kPieceBytes;
constexpr size_t kMiB = 1u << 20;
constexpr size_t kPlenty = 1u << 30;
constexpr RecordSender::Limits kTakesAll{64 * kMiB, 1024 * kMiB, 1000};
constexpr MonoTime kStart{std::chrono::hours(1)};

inline LinkItem Item(std::string bytes, uint64_t ref = 0, uint64_t payer = 0, Class cls = Class::kOther) {
  LinkItem item;
  item.bytes = std::move(bytes);
  item.ref = ref;
  item.payer = payer;
  item.cls = cls;
  return item;
}
inline LinkItem Word(std::string bytes, uint64_t ref = 0, uint64_t payer = 0) {
  return Item(std::move(bytes), ref, payer, Class::kWord);
}
// A frame that goes in pieces; its bytes differ from piece to piece.
inline std::string Large(size_t bytes, char first = 'a') {
  std::string large(bytes, '\0');
  for (size_t i = 0; i < bytes; ++i) large[i] = static_cast<char>(first + i / kPiece % 13 + i % 7);
  return large;
}

inline v1::LinkRecord Parse(std::string_view bytes) {
  v1::LinkRecord record;
  EXPECT_TRUE(record.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())));
  return record;
}

// A sender whose connection takes each record at once.
struct Saying {
  explicit Saying(size_t waiting_bytes_max = kPlenty, const RecordSender::Limits& limits = kTakesAll)
      : sender(waiting_bytes_max, limits), receiver(limits) {}

  Pushed Push(LinkItem item) { return sender.Push(std::move(item)); }
  // The next record as bytes; empty: there is none.
  std::string Bytes() {
    std::string_view record;
    if (!sender.Next(now, &record)) return "";
    std::string bytes(record);
    sender.Taken();
    return bytes;
  }
  v1::LinkRecord Next() { return Parse(Bytes()); }
  bool Quiet() {
    std::string_view record;
    return !sender.Next(now, &record);
  }
  // The next record is read by the receiver.
  Got Hear() {
    const std::string bytes = Bytes();
    return bytes.empty() ? Got::kNothing : receiver.Take(bytes, now);
  }
  // All that is to be said is heard and acknowledged; the frames, in the order in which they came whole.
  std::vector<std::string> HearAll() {
    std::vector<std::string> frames;
    for (std::string bytes; !(bytes = Bytes()).empty();) {
      const Got got = receiver.Take(bytes, now);
      EXPECT_NE(got, Got::kBroken) << receiver.error();
      if (got == Got::kFrame) frames.push_back(receiver.frame());
      EXPECT_TRUE(Ack());
    }
    return frames;
  }
  bool Ack() { return sender.Acked(receiver.received(), now); }

  MonoTime now = kStart;
  RecordSender sender;
  RecordReceiver receiver;
};

}  // namespace toolwire

#endif  // TOOLWIRE_TESTS_UNIT_LINK_RECORDS_H_
