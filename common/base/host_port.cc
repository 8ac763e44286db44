#include "common/base/host_port.h"

#include <charconv>

namespace toolwire {

absl::StatusOr<HostPort> ParseHostPort(std::string_view text) {
  HostPort parsed;
  std::string_view rest;
  if (!text.empty() && text.front() == '[') {
    const size_t end = text.find(']');
    if (end == std::string_view::npos) {
      return absl::InvalidArgumentError("the bracket of an IPv6 address is not closed");
    }
    parsed.host = std::string(text.substr(1, end - 1));
    rest = text.substr(end + 1);
  } else {
    const size_t host_end = text.find(':');
    if (host_end != text.rfind(':')) return absl::InvalidArgumentError("an IPv6 address needs brackets");
    parsed.host = std::string(text.substr(0, host_end));
    rest = text.substr(parsed.host.size());
  }
  if (parsed.host.empty()) return absl::InvalidArgumentError("the host is missing");
  if (rest.empty()) return parsed;
  int port = -1;
  const char* const end = rest.data() + rest.size();
  const bool is_number = rest.front() == ':' && std::from_chars(rest.data() + 1, end, port).ptr == end;
  if (!is_number || port < 0 || port > 65535) {
    return absl::InvalidArgumentError("the port is not a number from 1 to 65535");
  }
  parsed.port = port;
  return parsed;
}

std::string JoinHostPort(const std::string& host, const absl::AlphaNum& port) {
  const bool is_ipv6 = host.find(':') != std::string::npos;
  return is_ipv6 ? absl::StrCat("[", host, "]:", port) : absl::StrCat(host, ":", port);
}

}  // namespace toolwire
