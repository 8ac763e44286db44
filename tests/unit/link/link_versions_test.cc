// What links of version 2 have said, as bytes: programs of later versions still understand it.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

#include "absl/strings/escaping.h"
#include "common/link/connection.h"
#include "common/link/link.h"
#include "common/link/record_receiver.h"

namespace toolwire {
namespace {

using Got = RecordReceiver::Got;
constexpr RecordSender::Limits kLimits = LinkLimits(1 << 20);
const MonoTime kNow = MonoTime(std::chrono::hours(1));

// id edge-1, start ab, software 0.1.0, protocol 2, 17825792 and 285212672 bytes, 4096, peer's start cd, received 7,
// logins take 5000 ms.
constexpr char kHello[] = "0a06656467652d31120261621a05302e312e3020022880808008308080808801388020420263644807508827";
// Number 1, received 3, clock 1000000, the frame "abc".
constexpr char kFrame[] = "0801100318c0843d2203616263";

std::string Bytes(std::string hex) {
  hex.erase(std::remove(hex.begin(), hex.end(), ' '), hex.end());
  return absl::HexStringToBytes(hex);
}

TEST(LinkVersions, AHelloOfVersion2IsUnderstood) {
  v1::LinkHello hello;
  ASSERT_TRUE(hello.ParseFromString(Bytes(kHello)));
  EXPECT_EQ(hello.id(), "edge-1");
  EXPECT_EQ(hello.start(), "ab");
  EXPECT_EQ(hello.software(), "0.1.0");
  EXPECT_EQ(hello.protocol(), 2u);
  EXPECT_EQ(hello.frame_bytes_max(), 16u << 20);
  EXPECT_EQ(hello.unfinished_bytes_max(), 272u << 20);
  EXPECT_EQ(hello.unfinished_max(), 4096u);
  EXPECT_EQ(hello.peer_start(), "cd");
  EXPECT_EQ(hello.received(), 7u);
  EXPECT_EQ(hello.login_timeout_ms(), 5000u);
}

TEST(LinkVersions, RecordsOfVersion2AreUnderstood) {
  RecordReceiver receiver(kLimits);
  ASSERT_EQ(receiver.Take(Bytes(kFrame), kNow), Got::kFrame) << receiver.error();
  EXPECT_EQ(receiver.frame(), "abc");
  EXPECT_EQ(receiver.peer_received(), 3u);
  // A frame of six bytes in two pieces; one that is withdrawn after its first.
  EXPECT_EQ(receiver.Take(Bytes("08022a0908 01 10 06 1a 03 646566"), kNow), Got::kNothing) << receiver.error();
  EXPECT_EQ(receiver.Take(Bytes("08032a0908 02 10 06 1a 03 787878"), kNow), Got::kNothing) << receiver.error();
  EXPECT_EQ(receiver.Take(Bytes("08042a0908 01 1a 03 676869 20 01"), kNow), Got::kFrame) << receiver.error();
  EXPECT_EQ(receiver.frame(), "defghi");
  EXPECT_EQ(receiver.Take(Bytes("08053002"), kNow), Got::kNothing) << receiver.error();
  EXPECT_EQ(receiver.unfinished(), 0u);
  // A kind that is not known yet counts, and says nothing.
  EXPECT_EQ(receiver.Take(Bytes("0806a2060161"), kNow), Got::kNothing) << receiver.error();
  EXPECT_EQ(receiver.Take(Bytes("08073801"), kNow), Got::kEnd) << receiver.error();
  EXPECT_EQ(receiver.received(), 7u);
}

TEST(LinkVersions, VersionsThatDoNotUnderstandEachOtherSayWhich) {
  for (const auto& [came, error] :
       {std::pair<std::string, std::string>{"TWRELAY1",
                                            "the peer speaks version 1 of the links' protocol, this program version 2"},
        {"GET / HT", "the peer does not speak the links' protocol"}}) {
    MessageReader reader;
    std::memcpy(reader.Space().data(), came.data(), came.size());
    reader.Added(came.size());
    std::string_view message;
    EXPECT_EQ(reader.Next(&message), MessageReader::Got::kBroken);
    EXPECT_EQ(reader.error(), error);
  }
}

}  // namespace
}  // namespace toolwire
