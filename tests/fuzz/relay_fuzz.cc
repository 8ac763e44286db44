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
std::string Read(std::string_view bytes, size_t step) {
  using Reader = toolwire::RelayReader<Frame>;
  using Got = typename Reader::Got;
  Reader reader(kFrameBytesMax);
  std::string read;
  while (!bytes.empty()) {
    const auto space = reader.Space();
    REQUIRE(space.size() > 0);
    const size_t added = std::min({step, bytes.size(), space.size()});
    std::memcpy(space.data(), bytes.data(), added);
    reader.Added(added);
    bytes.remove_prefix(added);
    Frame frame;
    for (Got got; (got = reader.Next(&frame)) != Got::kNothing; frame.Clear()) {
      read.push_back(static_cast<char>('a' + static_cast<int>(got)));
      if (got == Got::kBroken) return read;
      if (got == Got::kFrame) read += frame.SerializePartialAsString();
    }
  }
  return read;
}

template <typename Frame>
void Check(std::string_view bytes) {
  const std::string read = Read<Frame>(bytes, bytes.size());
  REQUIRE(Read<Frame>(bytes, 1) == read);
  REQUIRE(Read<Frame>(bytes, 7) == read);
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
