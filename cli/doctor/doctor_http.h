// One HTTP request, plain or with TLS: to the agents' port of an edge, or to the API of Kubernetes.
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

struct HttpRequest {
  std::string method = "GET";
  std::string path;
  std::string headers;        // More lines, each with its end.
  std::string body;           // May be secret, as headers may: no error repeats them.
  bool trusted_only = false;  // Nothing is sent to a server whose certificate this machine would not trust.
};

// `ca_file`: PEM file of the CAs to trust; empty: the system's. A certificate that is not trusted is no
// error, unless `request` says so: PERMISSION_DENIED. UNAVAILABLE: nothing listens there; DEADLINE_EXCEEDED; INTERNAL:
// the file cannot be read, or what answers does not speak HTTP or TLS. Takes `timeout` at most, unless the resolver of
// names hangs.
absl::StatusOr<HttpReply> HttpAsk(const EdgeUrl& url, const HttpRequest& request, const std::string& ca_file,
                                  Duration timeout);
// GETs `path` from whoever answers.
absl::StatusOr<HttpReply> HttpGet(const EdgeUrl& url, const std::string& path, const std::string& ca_file,
                                  Duration timeout);

}  // namespace toolwire

#endif  // TOOLWIRE_CLI_DOCTOR_DOCTOR_HTTP_H_
