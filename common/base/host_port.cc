#include "common/base/host_port.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <charconv>
#include <string>

#include "absl/strings/match.h"
#include "common/base/shown_text.h"

namespace toolwire {

absl::StatusOr<HostPort> ParseHostPort(std::string_view text) {
  HostPort parsed;
  std::string_view rest;
  if (text.find("://") != std::string_view::npos) {
    return absl::InvalidArgumentError("it is a URL, and should be host:port alone");
  }
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
  if (parsed.host.find_first_of(" \t\r\n/@?#") != std::string::npos || !IsShownAsItIs(parsed.host)) {
    return absl::InvalidArgumentError("the host is no name and no address");
  }
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

std::string DialProblem(std::string_view text) {
  const auto at = ParseHostPort(text);
  // Kubernetes leaves a $(NAME) as it is if the variable does not stand before it.
  if (text.find("$(") != std::string_view::npos || text.find("${") != std::string_view::npos) {
    return "the variable in it was not replaced by its value";
  }
  if (!at.ok()) return std::string(at.status().message());
  if (at->host == "0.0.0.0" || at->host == "::") {
    return "it is where one listens; others need a name or an address of this host";
  }
  return at->port.value_or(0) > 0 ? "" : "a port from 1 to 65535 is missing";
}

absl::Status CheckDialAddress(std::string_view flag, std::string_view text) {
  const std::string problem = DialProblem(text);
  if (problem.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(std::string(flag) + "=" + ShownValue(text) + ": " + problem);
}

bool IsLoopback(const std::string& host) {
  constexpr unsigned char kNetwork = 127;
  if (absl::EqualsIgnoreCase(host, "localhost")) return true;
  in_addr ipv4{};
  if (inet_pton(AF_INET, host.c_str(), &ipv4) == 1) return ntohl(ipv4.s_addr) >> 24 == kNetwork;
  in6_addr ipv6{};
  if (inet_pton(AF_INET6, host.substr(0, host.find('%')).c_str(), &ipv6) != 1) return false;
  return IN6_IS_ADDR_LOOPBACK(&ipv6) || (IN6_IS_ADDR_V4MAPPED(&ipv6) && ipv6.s6_addr[12] == kNetwork);
}

std::string JoinHostPort(const std::string& host, const absl::AlphaNum& port) {
  const bool is_ipv6 = host.find(':') != std::string::npos;
  return is_ipv6 ? absl::StrCat("[", host, "]:", port) : absl::StrCat(host, ":", port);
}

}  // namespace toolwire
