// The URL is read by the parser of the library that connects, which has no I/O in it.
#include "cli/agent/agent_url.h"

#include <algorithm>
#include <websocketpp/uri.hpp>

#include "common/base/percent.h"

namespace toolwire {

std::string AgentTarget::ResourceFor(const std::string& user_id) const { return resource + PercentEncode(user_id); }

absl::StatusOr<AgentTarget> ParseAgentUrl(std::string url) {
  const size_t query = url.find('?');
  if (query != std::string::npos && url.find('/', 5) > query) url.insert(query, "/");  // Or it would be the port's.
  const websocketpp::uri parsed(url);
  const auto has = [&url](const char* text) { return url.find(text) != std::string::npos; };
  const auto needs_escape = [](char c) { return c <= ' ' || c > '~' || c == '#'; };
  const bool tls = url.compare(0, 6, "wss://") == 0;
  if (!tls && url.compare(0, 5, "ws://") != 0) {
    return absl::InvalidArgumentError("the URL must start with wss:// or ws://");
  }
  if (has("@") || has("userId=") || has("secret=")) {
    return absl::InvalidArgumentError("credentials do not belong into the URL");
  }
  if (!parsed.get_valid() || parsed.get_host().empty() || std::any_of(url.begin(), url.end(), needs_escape)) {
    return absl::InvalidArgumentError("not a valid URL");
  }
  const bool is_ipv6 = parsed.get_host().find(':') != std::string::npos;
  AgentTarget target;
  target.host = target.server_name = parsed.get_host();
  target.host_header = is_ipv6 ? "[" + parsed.get_host() + "]" : parsed.get_host();
  target.port = parsed.get_port();
  target.tls = tls;
  target.resource = parsed.get_resource() + (query == std::string::npos ? "?userId=" : "&userId=");
  return target;
}

}  // namespace toolwire
