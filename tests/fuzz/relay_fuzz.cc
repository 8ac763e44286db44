// Any bytes on a link: the reader takes what is a frame, refuses the rest, and what it does is the same however the
// bytes arrive.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "common/link/relay_socket.h"
#include "tests/fuzz/require.h"

namespace {

constexpr size_t kFrameBytesMax = 1 << 16;

template <typename Frame>
std::string Told(std::string_view bytes, size_t step) {
  using Reader = toolwire::RelayReader<Frame>;
  using Got = typename Reader::Got;
  Reader reader(kFrameBytesMax);
  std::string told;
  while (!bytes.empty()) {
    const auto space = reader.Space();
    REQUIRE(space.size() > 0);
    const size_t added = std::min({step, bytes.size(), space.size()});
    std::memcpy(space.data(), bytes.data(), added);
    reader.Added(added);
    bytes.remove_prefix(added);
    Frame frame;
    for (Got got; (got = reader.Next(&frame)) != Got::kNothing; frame.Clear()) {
      told.push_back(static_cast<char>('a' + static_cast<int>(got)));
      if (got == Got::kBroken) return told;
      if (got == Got::kFrame) told += frame.SerializePartialAsString();
    }
  }
  return told;
}

template <typename Frame>
void Check(std::string_view bytes) {
  const std::string told = Told<Frame>(bytes, bytes.size());
  REQUIRE(Told<Frame>(bytes, 1) == told);
  REQUIRE(Told<Frame>(bytes, 7) == told);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // The preface is known; what follows it is worth the time.
  const std::string bytes = toolwire::kRelayPreface + std::string(reinterpret_cast<const char*>(data), size);
  Check<toolwire::v1::ControlFrame>(bytes);
  Check<toolwire::v1::EdgeFrame>(bytes);
  Check<toolwire::v1::ControlFrame>(std::string_view(bytes).substr(toolwire::kRelayPrefaceBytes));
  return 0;
}
