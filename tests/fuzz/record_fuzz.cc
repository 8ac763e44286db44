// Any bytes as the records of a link: the receiver takes what makes sense within its limits, refuses the rest, and
// nothing more after that.
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "common/link/record_receiver.h"
#include "tests/fuzz/require.h"

namespace {

using toolwire::RecordReceiver;
using Got = RecordReceiver::Got;

constexpr toolwire::RecordSender::Limits kOwn{256, 512, 3};
// An empty string's, of each that is not complete.
constexpr size_t kSlack = kOwn.unfinished_max * 64;

}  // namespace

// The input: records, each after its length in one byte.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view bytes(reinterpret_cast<const char*>(data), size);
  RecordReceiver receiver(kOwn);
  toolwire::MonoTime now{std::chrono::hours(1)};
  bool broken = false;
  uint64_t received = 0, peer_received = 0;
  while (!bytes.empty()) {
    const size_t length = std::min<size_t>(static_cast<unsigned char>(bytes[0]), bytes.size() - 1);
    const std::string_view record = bytes.substr(1, length);
    bytes.remove_prefix(1 + length);
    now += std::chrono::seconds(length % 7);
    const Got got = receiver.Take(record, now);
    REQUIRE(!broken || got == Got::kBroken);
    if (got == Got::kBroken) {
      broken = true;
      REQUIRE(receiver.error()[0] != '\0');
      continue;
    }
    REQUIRE(receiver.received() == received || receiver.received() == received + 1);
    REQUIRE(got == Got::kNothing || receiver.received() == received + 1);
    REQUIRE(receiver.peer_received() >= peer_received);
    received = receiver.received();
    peer_received = receiver.peer_received();
    if (got == Got::kFrame) REQUIRE(!receiver.frame().empty() && receiver.frame().size() <= kOwn.frame_bytes_max);
    REQUIRE(receiver.unfinished() <= kOwn.unfinished_max);
    REQUIRE(receiver.unfinished_bytes() <= 2 * kOwn.unfinished_bytes_max + kSlack);
    REQUIRE(receiver.unfinished() > 0 || receiver.unfinished_bytes() == 0);
    for (const uint64_t as_of : {uint64_t{1}, received, peer_received, ~uint64_t{0}}) {
      const toolwire::Duration age = receiver.Age(as_of, now);
      REQUIRE(age >= toolwire::Duration::zero() && age <= std::chrono::hours(24));
    }
    if (length == 77) receiver.ForgetTrips();
  }
  return 0;
}
