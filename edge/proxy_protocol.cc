// Version 1 is a line: `PROXY TCP4 <client> <proxy> <client's port> <proxy's port>` and CRLF; TCP6 alike; after UNKNOWN
// the rest of the line says nothing. Version 2 is 12 bytes that begin no other protocol, version and command, family
// and transport, the length of the rest, and the rest: addresses, ports, and after them whatever a proxy has to add,
// which is skipped. Both are taken only as they are specified: what is read wrongly would count against somebody else.
#include "edge/proxy_protocol.h"

#include <algorithm>
#include <asio/ip/address.hpp>
#include <cstdint>
#include <optional>
#include <utility>

namespace toolwire {
namespace {

using HeaderState = ProxyProtocolHeader::State;

constexpr std::string_view kLineBegin = "PROXY ";
constexpr size_t kLineBytesMin = 15;  // Of the shortest: PROXY UNKNOWN.
constexpr size_t kLineBytesMax = 107;

constexpr std::string_view kSignature("\r\n\r\n\0\r\nQUIT\n", 12);
constexpr size_t kFixedBytes = 16;  // The signature, and four bytes that every one of version 2 has.
constexpr uint8_t kVersion = 2, kLocal = 0, kProxied = 1;
// Family and transport, of which a stream's only can come on a TCP port.
constexpr uint8_t kUnspecified = 0x00, kTcp4 = 0x11, kTcp6 = 0x21, kUnixStream = 0x31;
constexpr size_t kTcp4Bytes = 12, kTcp6Bytes = 36;  // Two addresses and two ports.

ProxyProtocolHeader Partial(size_t bytes) { return {HeaderState::kPartial, bytes, "", ""}; }
ProxyProtocolHeader Complete(size_t bytes, std::string client = "") {
  return {HeaderState::kComplete, bytes, std::move(client), ""};
}
ProxyProtocolHeader Invalid(const char* error) { return {HeaderState::kInvalid, 0, "", error}; }

// As far as both go.
bool BeginsAs(std::string_view bytes, std::string_view wanted) {
  const size_t size = std::min(bytes.size(), wanted.size());
  return bytes.substr(0, size) == wanted.substr(0, size);
}

std::string AddressText(const asio::ip::address_v6& address) {
  return address.is_v4_mapped() ? asio::ip::make_address_v4(asio::ip::v4_mapped, address).to_string()
                                : address.to_string();
}

// --- version 1 -------------------------------------------------------------------------------------------------------

// Cuts off what is left of the next space, which goes too. nullopt: there is none.
std::optional<std::string_view> TakeWord(std::string_view* line) {
  const size_t space = line->find(' ');
  if (space == std::string_view::npos) return std::nullopt;
  const std::string_view word = line->substr(0, space);
  line->remove_prefix(space + 1);
  return word;
}

std::optional<std::string> ReadTextAddress(std::string_view text, bool is_v6) {
  // Neither the name of an interface nor a zero byte, behind which the system's function would not look.
  if (text.find_first_not_of("0123456789abcdefABCDEF.:") != std::string_view::npos) return std::nullopt;
  asio::error_code ec;
  if (is_v6) {
    const auto address = asio::ip::make_address_v6(std::string(text), ec);
    return ec ? std::nullopt : std::optional(AddressText(address));
  }
  const auto address = asio::ip::make_address_v4(std::string(text), ec);
  return ec ? std::nullopt : std::optional(address.to_string());
}

bool IsPort(std::string_view text) {
  if (text.empty() || text.size() > 5 || (text.size() > 1 && text.front() == '0')) return false;
  int port = 0;
  for (const char digit : text) {
    if (digit < '0' || digit > '9') return false;
    port = port * 10 + (digit - '0');
  }
  return port <= 65535;
}

ProxyProtocolHeader ReadLine(std::string_view bytes) {
  const size_t end = bytes.substr(0, kLineBytesMax).find('\n');
  if (end == std::string_view::npos) {
    if (bytes.size() >= kLineBytesMax) return Invalid("the line of version 1 is longer than 107 bytes");
    return Partial(std::max(bytes.size() + 1, kLineBytesMin));
  }
  if (bytes[end - 1] != '\r') return Invalid("the line of version 1 does not end in CRLF");
  std::string_view line = bytes.substr(kLineBegin.size(), end - 1 - kLineBegin.size());
  if (line == "UNKNOWN" || line.substr(0, 8) == "UNKNOWN ") return Complete(end + 1);
  const auto protocol = TakeWord(&line);
  const bool is_v6 = protocol == "TCP6";
  if (!is_v6 && protocol != "TCP4") return Invalid("version 1 names neither TCP4, TCP6 nor UNKNOWN");
  const auto source = TakeWord(&line), destination = TakeWord(&line), source_port = TakeWord(&line);
  if (!source_port) return Invalid("version 1 without two addresses and two ports");
  const auto client = ReadTextAddress(*source, is_v6);
  if (!client || !ReadTextAddress(*destination, is_v6)) return Invalid("version 1 with what is no address");
  if (!IsPort(*source_port) || !IsPort(line)) return Invalid("version 1 with what is no port");
  return Complete(end + 1, *client);
}

// --- version 2 -------------------------------------------------------------------------------------------------------

template <typename Address>
Address AddressAt(std::string_view bytes, size_t at) {
  typename Address::bytes_type raw;
  std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(at), raw.size(), raw.begin());
  return Address(raw);
}

ProxyProtocolHeader ReadBinary(std::string_view bytes) {
  if (bytes.size() < kFixedBytes) return Partial(kFixedBytes);
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(bytes[i]); };
  const int version = byte(12) >> 4, command = byte(12) & 15;
  const uint8_t family = byte(13);
  const size_t rest = byte(14) * size_t{256} + byte(15);
  if (version != kVersion) return Invalid("neither version 1 nor 2");
  if (command != kLocal && command != kProxied) return Invalid("version 2 with an unknown command");
  const bool names_client = command == kProxied && (family == kTcp4 || family == kTcp6);
  if (command == kProxied && !names_client && family != kUnspecified && family != kUnixStream) {
    return Invalid("version 2 of what is no TCP connection");
  }
  if (names_client && rest < (family == kTcp4 ? kTcp4Bytes : kTcp6Bytes)) {
    return Invalid("version 2 that ends within its addresses");
  }
  const size_t size = kFixedBytes + rest;
  if (size > kProxyHeaderBytesMax) return Invalid("version 2 with more than 4096 bytes");
  if (bytes.size() < size) return Partial(size);
  if (!names_client) return Complete(size);
  return Complete(size, family == kTcp4 ? AddressAt<asio::ip::address_v4>(bytes, kFixedBytes).to_string()
                                        : AddressText(AddressAt<asio::ip::address_v6>(bytes, kFixedBytes)));
}

}  // namespace

ProxyProtocolHeader ReadProxyProtocol(std::string_view bytes) {
  if (bytes.empty()) return Partial(1);
  if (BeginsAs(bytes, kSignature)) return ReadBinary(bytes);
  if (BeginsAs(bytes, kLineBegin)) return ReadLine(bytes);
  return {HeaderState::kMissing, 0, "", ""};
}

}  // namespace toolwire
