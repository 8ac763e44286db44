#include "control/caller_peer.h"

#include <algorithm>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "common/base/by_address.h"
#include "common/base/host_port.h"
#include "common/base/percent.h"

namespace toolwire {

using asio::ip::tcp;

std::string CallerSocketName(std::string_view unique, const tcp::endpoint& peer) {
  return absl::StrCat(std::string(unique), "/", peer.address().is_v6() ? "ipv6:" : "ipv4:",
                      JoinHostPort(peer.address().to_string(), peer.port()));
}

std::string_view CallerInName(std::string_view name) {
  const size_t space = name.rfind(' ');
  if (space != std::string_view::npos) name.remove_prefix(space + 1);
  if (name.rfind("unix", 0) != 0) return name;
  const size_t slash = name.rfind('/');
  return slash == std::string_view::npos ? name : name.substr(slash + 1);
}

std::optional<tcp::endpoint> PeerInName(std::string_view name) {
  const std::string_view caller = CallerInName(name);
  // gRPC escapes the brackets.
  const size_t address = caller.find(':');
  std::string plain;
  if (address == std::string_view::npos || !PercentDecode(caller.substr(address + 1), &plain)) return std::nullopt;
  const auto parsed = ParseHostPort(plain);
  if (!parsed.ok() || !parsed->port) return std::nullopt;
  asio::error_code ec;
  const auto host = asio::ip::make_address(parsed->host, ec);
  if (ec) return std::nullopt;
  return tcp::endpoint(host, static_cast<unsigned short>(*parsed->port));
}

std::string AddressOfPeer(std::string_view name) {
  const std::string_view caller = CallerInName(name);
  if (caller.rfind("ipv6:", 0) == 0) {
    if (const auto parsed = PeerInName(caller)) return AddressKey(parsed->address().to_string());
  }
  return std::string(caller.substr(0, caller.rfind(':')));
}

std::string AddressTextOfPeer(std::string_view name) {
  constexpr size_t kKeyBytes = 8;
  const auto peer = CallerInName(name).rfind("ipv6:", 0) == 0 ? PeerInName(name) : std::nullopt;
  if (!peer || !peer->address().is_v6()) return AddressOfPeer(name);
  const asio::ip::address_v6 address = peer->address().to_v6();
  if (address.is_v4_mapped()) {
    return "ipv4:" + asio::ip::make_address_v4(asio::ip::v4_mapped, address).to_string();
  }
  asio::ip::address_v6::bytes_type bytes = address.to_bytes();
  std::fill(bytes.begin() + kKeyBytes, bytes.end(), uint8_t{0});
  return "ipv6:" + asio::ip::address_v6(bytes).to_string() + "/64";
}

}  // namespace toolwire
