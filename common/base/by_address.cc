#include "common/base/by_address.h"

#include <asio/ip/address.hpp>

namespace toolwire {
namespace {

constexpr size_t kMappedBytes = 12;  // Before an IPv4 address.
constexpr size_t kKeyBytes = 8;      // Of a /64.

}  // namespace

std::optional<asio::ip::address_v6> ParseAddress(const std::string& text) {
  asio::error_code error;
  const auto address = asio::ip::make_address(text, error);
  if (error) return std::nullopt;
  return address.is_v4() ? asio::ip::make_address_v6(asio::ip::v4_mapped, address.to_v4()) : address.to_v6();
}

std::string AddressKey(const std::string& address) {
  const auto parsed = ParseAddress(address);
  if (!parsed) return address;
  const auto bytes = parsed->to_bytes();
  return parsed->is_v4_mapped() ? std::string(bytes.begin() + kMappedBytes, bytes.end())
                                : std::string(bytes.begin(), bytes.begin() + kKeyBytes);
}

}  // namespace toolwire
