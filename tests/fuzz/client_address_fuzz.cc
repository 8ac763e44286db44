// Any bytes as what a request says of who sent it: without trust the peer counts, else an address or the peer.
#include <cstdint>
#include <string>
#include <string_view>

#include "common/base/by_address.h"
#include "edge/client_address.h"
#include "tests/fuzz/require.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const toolwire::Networks proxies = *toolwire::Networks::ParseNamed("10.0.0.0/8,fd00::/8");
  const std::string_view header(reinterpret_cast<const char*>(data), size);
  for (const auto kind : {toolwire::ProxyHeader::kXForwardedFor, toolwire::ProxyHeader::kForwarded}) {
    REQUIRE(toolwire::ClientAddress("192.0.2.1", header, {proxies, kind, false}) == "192.0.2.1");
    REQUIRE(toolwire::ParseAddress(toolwire::ClientAddress("10.0.0.1", header, {proxies, kind, false})).has_value());
  }
  return 0;
}
