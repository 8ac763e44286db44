// Both headers are lists whose last element the nearest proxy has written, so they are read from the right. What is in
// quotes in Forwarded separates nothing: proxies put the request's Host there, in which its client may have written
// commas and semicolons. A quote that the client has left open is left of what proxies wrote, and hides none of it.
#include "edge/client_address.h"

#include <algorithm>
#include <asio/ip/address.hpp>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "common/base/by_address.h"

namespace toolwire {
namespace {

// Longer than an address with brackets, an interface's name and a port.
constexpr size_t kNameBytesMax = 96;

std::string_view Trim(std::string_view text) {
  const absl::string_view trimmed = absl::StripAsciiWhitespace(absl::string_view(text.data(), text.size()));
  return {trimmed.data(), trimmed.size()};
}

// Of Forwarded (RFC 9110, quoted-string): where the last `separator` is that is not in quotes; npos: there is none.
size_t FindLastUnquoted(std::string_view text, char separator) {
  const auto is_escaped = [text](size_t at) {
    size_t begin = at;
    while (begin > 0 && text[begin - 1] == '\\') --begin;
    return (at - begin) % 2 == 1;
  };
  bool in_quotes = false;
  for (size_t at = text.size(); at-- > 0;) {
    if (text[at] == '"' && !is_escaped(at)) in_quotes = !in_quotes;
    if (text[at] == separator && !in_quotes) return at;
  }
  return std::string_view::npos;
}

// Cuts off what is right of the last `separator`.
std::string_view TakeLast(std::string_view* text, char separator, ProxyHeader header) {
  const size_t at = header == ProxyHeader::kForwarded ? FindLastUnquoted(*text, separator) : text->rfind(separator);
  const std::string_view last = at == std::string_view::npos ? *text : text->substr(at + 1);
  *text = text->substr(0, at == std::string_view::npos ? 0 : at);
  return last;
}

// 192.0.2.1, 192.0.2.1:4711, 2001:db8::1, [2001:db8::1], [2001:db8::1]:4711; as ClientAddress writes it.
std::optional<std::string> ReadAddress(std::string_view text) {
  if (text.size() > kNameBytesMax) return std::nullopt;
  if (!text.empty() && text.front() == '[') {
    const size_t end = text.find(']');
    if (end == std::string_view::npos || (end + 1 < text.size() && text[end + 1] != ':')) return std::nullopt;
    text = text.substr(1, end - 1);
  } else if (std::count(text.begin(), text.end(), ':') == 1) {
    text = text.substr(0, text.find(':'));
  }
  asio::error_code ec;
  asio::ip::address address = asio::ip::make_address(std::string(text), ec);
  if (ec) return std::nullopt;
  if (address.is_v6() && address.to_v6().is_v4_mapped()) {
    address = asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6());
  }
  return address.to_string();
}

// The `for` of an element of Forwarded; empty if there is none, or more than one, which proxies would read differently.
std::string_view ForOf(std::string_view element) {
  std::optional<std::string_view> found;
  while (!element.empty()) {
    const std::string_view pair = Trim(TakeLast(&element, ';', ProxyHeader::kForwarded));
    const size_t equals = pair.find('=');
    if (equals == std::string_view::npos) continue;
    const std::string_view name = Trim(pair.substr(0, equals));
    if (!absl::EqualsIgnoreCase(absl::string_view(name.data(), name.size()), "for")) continue;
    std::string_view value = Trim(pair.substr(equals + 1));
    if (value.size() >= 2 && value.front() == '"' && value.back() == '"') value = value.substr(1, value.size() - 2);
    if (found) return {};
    found = value;
  }
  return found.value_or(std::string_view());
}

}  // namespace

std::string TrustedProxies::header_name() const {
  if (networks.empty() || header == ProxyHeader::kNone) return {};
  return header == ProxyHeader::kForwarded ? "Forwarded" : "X-Forwarded-For";
}

std::string ClientAddress(const std::string& peer, std::string_view header, const TrustedProxies& trusted) {
  std::string nearest = peer;
  if (trusted.header == ProxyHeader::kNone) return nearest;
  for (size_t i = 0; i < kProxiesMax && !header.empty() && trusted.networks.Contains(nearest); ++i) {
    const std::string_view element = TakeLast(&header, ',', trusted.header);
    const auto address = ReadAddress(trusted.header == ProxyHeader::kForwarded ? ForOf(element) : Trim(element));
    if (!address) break;
    nearest = *address;
  }
  return nearest;
}

}  // namespace toolwire
