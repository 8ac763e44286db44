// One HTTP request to the agents' port of an edge, plain or through a TLS proxy.
#ifndef TOOLWIRE_CLI_DOCTOR_DOCTOR_HTTP_H_
#define TOOLWIRE_CLI_DOCTOR_DOCTOR_HTTP_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "common/base/clock.h"

namespace toolwire {

struct EdgeUrl {
  bool tls = false;
  std::string host;  // A name or an IP address, without brackets.
  std::string port = "80";

  // host:port, for people.
  std::string Address() const;
};

// Reads ws://, wss://, http:// or https://host[:port]; path and query do not matter. INVALID_ARGUMENT otherwise, with
// a message that does not repeat the URL, since secrets have been put into such.
absl::StatusOr<EdgeUrl> ParseEdgeUrl(const std::string& url);

struct HttpReply {
  int status = 0;
  std::string body;  // Up to 64 KiB.
  // With TLS:
  int64_t certificate_days_left = 0;
  std::string certificate_trouble;  // Why this machine would not trust it; empty if it does.
};

// GETs `path`. A certificate that is not trusted is no error. UNAVAILABLE: nothing listens there; DEADLINE_EXCEEDED;
// INTERNAL: what answers does not speak HTTP or TLS. Takes `timeout` at most, unless the resolver of names hangs.
absl::StatusOr<HttpReply> HttpGet(const EdgeUrl& url, const std::string& path, Duration timeout);

}  // namespace toolwire

#endif  // TOOLWIRE_CLI_DOCTOR_DOCTOR_HTTP_H_
