// Every address is its 16 bytes as IPv6, in which IPv4 addresses are ::ffff:0:0/96, so that there is one comparison and
// a mapped address is the address itself.
#include "edge/networks.h"

#include <arpa/inet.h>

#include <cstring>
#include <optional>

#include "absl/strings/str_cat.h"

namespace toolwire {
namespace {

using Bytes = std::array<unsigned char, 16>;

constexpr int kMappedBits = 96;

std::optional<Bytes> ParseAddress(const std::string& text) {
  Bytes bytes{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  if (inet_pton(AF_INET, text.c_str(), bytes.data() + kMappedBits / 8) == 1) return bytes;
  // A link-local address may end in the name of an interface.
  if (inet_pton(AF_INET6, text.substr(0, text.find('%')).c_str(), bytes.data()) == 1) return bytes;
  return std::nullopt;
}

bool IsMapped(const Bytes& bytes) {
  const Bytes prefix{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  return std::memcmp(bytes.data(), prefix.data(), kMappedBits / 8) == 0;
}

}  // namespace

absl::StatusOr<Networks> Networks::Parse(std::string_view text) {
  Networks networks;
  if (text == "none") return networks;
  if (text == "all") {
    networks.networks_.push_back({Bytes{}, 0});
    return networks;
  }
  std::vector<std::string> all = {"127.0.0.0/8", "::1/128"};
  for (std::string rest(text); !rest.empty();) {
    const size_t comma = rest.find(',');
    all.push_back(rest.substr(0, comma));
    // What follows the last comma is empty, and no network.
    if (comma != std::string::npos && comma + 1 == rest.size()) all.emplace_back();
    rest = comma == std::string::npos ? "" : rest.substr(comma + 1);
  }
  for (const std::string& one : all) {
    const size_t slash = one.find('/');
    const std::string digits = slash == std::string::npos ? "" : one.substr(slash + 1);
    const auto bytes = ParseAddress(one.substr(0, slash));
    const bool is_v4 = one.find(':') == std::string::npos;
    const int bits_max = is_v4 ? 32 : 128;
    const bool good_digits = digits.size() <= 3 && digits.find_first_not_of("0123456789") == std::string::npos &&
                             digits.empty() == (slash == std::string::npos);
    const int bits = !good_digits || digits.empty() ? bits_max : std::stoi(digits);
    if (!bytes || !good_digits || bits > bits_max) {
      return absl::InvalidArgumentError(
          absl::StrCat("\"", one, "\" is no network: write for example 10.0.0.0/8,fd00::/8, or all, or none"));
    }
    networks.networks_.push_back({*bytes, is_v4 ? kMappedBits + bits : bits});
  }
  return networks;
}

bool Networks::Contains(const std::string& address) const {
  const auto bytes = ParseAddress(address);
  if (!bytes) return false;
  for (const Network& network : networks_) {
    const int whole = network.bits / 8;
    const int rest = network.bits % 8;
    if (std::memcmp(bytes->data(), network.bytes.data(), static_cast<size_t>(whole)) != 0) continue;
    const auto at = static_cast<size_t>(whole);
    if (rest == 0 || (static_cast<unsigned>((*bytes)[at]) ^ network.bytes[at]) >> (8 - rest) == 0) return true;
  }
  return false;
}

std::string AddressKey(const std::string& address) {
  const auto bytes = ParseAddress(address);
  if (!bytes) return address;
  const char* const begin = reinterpret_cast<const char*>(bytes->data());
  return IsMapped(*bytes) ? std::string(begin + kMappedBits / 8, 4) : std::string(begin, 8);
}

}  // namespace toolwire
