// Any bytes as the begin of a proxy's connection: a header is found once it is whole, whatever follows, and names an
// address or nobody; while it comes it waits for no more than it has.
#include <cstdint>
#include <string>
#include <string_view>

#include "common/base/by_address.h"
#include "edge/proxy_protocol.h"
#include "tests/fuzz/require.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using State = toolwire::ProxyProtocolHeader::State;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto header = toolwire::ReadProxyProtocol(bytes);
  switch (header.state) {
    case State::kPartial:
      REQUIRE(header.bytes > size && header.bytes <= toolwire::kProxyHeaderBytesMax);
      break;
    case State::kMissing:
      REQUIRE(header.client.empty());
      break;
    case State::kInvalid:
      REQUIRE(*header.error != '\0' && header.client.empty());
      break;
    case State::kComplete: {
      REQUIRE(header.bytes <= size && header.bytes <= toolwire::kProxyHeaderBytesMax);
      REQUIRE(header.client.empty() || toolwire::ParseAddress(header.client).has_value());
      const std::string_view whole = bytes.substr(0, header.bytes);
      REQUIRE(toolwire::ReadProxyProtocol(whole).client == header.client);
      for (size_t part = 0; part < whole.size(); ++part) {
        const auto before = toolwire::ReadProxyProtocol(whole.substr(0, part));
        REQUIRE(before.state == State::kPartial && before.bytes <= header.bytes);
      }
      break;
    }
  }
  return 0;
}
