// Where agents connect to: from the URL that people write to what a connection needs.
#ifndef TOOLWIRE_CLI_AGENT_AGENT_URL_H_
#define TOOLWIRE_CLI_AGENT_AGENT_URL_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace toolwire {

struct AgentTarget {
  std::string host;         // As the resolver wants it.
  std::string host_header;  // The same; an IPv6 address in brackets.
  uint16_t port = 80;
  bool tls = false;
  std::string resource;     // Path and query, ready for the user id to be appended.
  std::string server_name;  // With TLS: what the edge's certificate must name.

  // What the agent of this user asks for: path and query. User ids may be any text.
  std::string ResourceFor(const std::string& user_id) const;
};

// INVALID_ARGUMENT, with a message for people, if agents cannot use `url`.
absl::StatusOr<AgentTarget> ParseAgentUrl(std::string url);

}  // namespace toolwire

#endif  // TOOLWIRE_CLI_AGENT_AGENT_URL_H_
