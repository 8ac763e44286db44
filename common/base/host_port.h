// Addresses as people write them: host:port, with an IPv6 host in brackets.
#ifndef TOOLWIRE_COMMON_BASE_HOST_PORT_H_
#define TOOLWIRE_COMMON_BASE_HOST_PORT_H_

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"

namespace toolwire {

struct HostPort {
  std::string host;         // Without brackets, never empty.
  std::optional<int> port;  // 0 to 65535.
};

// Reads `host`, `host:port`, `[host]` or `[host]:port`. INVALID_ARGUMENT with a sentence that says what is wrong.
absl::StatusOr<HostPort> ParseHostPort(std::string_view text);

// Whether `text` is an address to dial: with a port from 1 on. INVALID_ARGUMENT that begins with `flag`.
absl::Status CheckDialAddress(std::string_view flag, std::string_view text);
// What is wrong with it, as a sentence; empty: nothing.
std::string DialProblem(std::string_view text);

// Whether `host` is this machine alone: a loopback address, also as ::ffff:127.0.0.1 and with an interface behind %, or
// `localhost`. Other names are not looked up.
bool IsLoopback(const std::string& host);

// The reverse of ParseHostPort.
std::string JoinHostPort(const std::string& host, const absl::AlphaNum& port);

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_BASE_HOST_PORT_H_
