// Every address is compared as IPv6, in which IPv4 addresses are ::ffff:0:0/96, so that there is one comparison and a
// mapped address is the address itself.
#include "edge/networks.h"

#include <asio/ip/address.hpp>
#include <asio/ip/network_v4.hpp>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/by_address.h"

namespace toolwire {
namespace {

using asio::ip::address_v6;
using asio::ip::network_v6;

constexpr unsigned short kAddressBits = 128, kMappedBits = 96;

address_v6 Mapped(const asio::ip::address_v4& address) {
  return asio::ip::make_address_v6(asio::ip::v4_mapped, address);
}

std::optional<network_v6> ParseNetwork(const std::string& text) {
  if (text.find('/') == std::string::npos) {
    const auto address = ParseAddress(text);
    return address ? std::optional(network_v6(*address, kAddressBits)) : std::nullopt;
  }
  asio::error_code error;
  const bool is_v4 = text.find(':') == std::string::npos;
  const auto v4 = is_v4 ? asio::ip::make_network_v4(text, error) : asio::ip::network_v4();
  const auto v6 = is_v4 ? network_v6() : asio::ip::make_network_v6(text, error);
  if (error) return std::nullopt;
  return is_v4 ? network_v6(Mapped(v4.address()), kMappedBits + v4.prefix_length()) : v6;
}

}  // namespace

absl::StatusOr<Networks> Networks::Parse(std::string_view text) {
  Networks networks;
  if (text == "none") return networks;
  if (text == "all") {
    networks.networks_.emplace_back();
    return networks;
  }
  if (absl::Status status = networks.Add("127.0.0.0/8,::1/128"); !status.ok()) return status;
  if (absl::Status status = networks.Add(text); !status.ok()) return status;
  return networks;
}

absl::StatusOr<Networks> Networks::ParseNamed(std::string_view text) {
  Networks networks;
  if (absl::Status status = networks.Add(text); !status.ok()) return status;
  return networks;
}

absl::Status Networks::Add(std::string_view text) {
  if (text.empty()) return absl::OkStatus();
  for (const auto one : absl::StrSplit(absl::string_view(text.data(), text.size()), ',')) {
    const auto network = ParseNetwork(std::string(one));
    if (!network) {
      return absl::InvalidArgumentError(
          absl::StrCat("\"", one, "\" is no network: write for example 10.0.0.0/8,fd00::/8"));
    }
    networks_.push_back(network->canonical());
  }
  return absl::OkStatus();
}

bool Networks::Contains(const std::string& address) const {
  const auto parsed = ParseAddress(address);
  if (!parsed) return false;
  const auto bytes = address_v6(parsed->to_bytes());  // Without the name of an interface.
  for (const network_v6& network : networks_) {
    if (network_v6(bytes, network.prefix_length()).canonical() == network) return true;
  }
  return false;
}

}  // namespace toolwire
