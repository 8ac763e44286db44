// The control that a command asks, as flags and environment name it: its address, the token for it, and TLS.
#ifndef TOOLWIRE_CLI_CONTROL_TARGET_H_
#define TOOLWIRE_CLI_CONTROL_TARGET_H_

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/host_port.h"
#include "common/tls/tls_files.h"

namespace CLI {
class App;
}

namespace toolwire {

inline constexpr char kDefaultControlAddress[] = "127.0.0.1:50051";

struct ControlTls {
  std::optional<bool> wanted;    // Empty: TLS if one of the following is given.
  std::string ca_file;           // PEM, of the CAs to trust. Empty: the system's.
  std::string certificate_file;  // PEM, the chain behind it, for a control that asks for one; its key is in
  std::string key_file;          // this file, not encrypted.
  std::string server_name;       // What control's certificate must name. Empty: the host of the address.

  bool on() const;
};

struct ControlTarget {
  std::string address = kDefaultControlAddress;
  std::string token_file;    // Empty: the token is TOOLWIRE_TOKEN of the environment, or there is none.
  bool plain_token = false;  // The token may be sent to another machine without TLS.
  ControlTls tls;
};

// What is wrong with an address of a control: not host:port, nor one of gRPC's (dns:, ipv4:, ipv6:, unix:,
// unix-abstract:). Empty: nothing.
std::string AddressProblem(const std::string& address);
// --address, also TOOLWIRE_ADDRESS, and the next; their defaults are what `target` holds.
void AddControlTargetFlags(CLI::App* app, ControlTarget* target);
// --token-file, --plain-token, --tls, --ca, --cert, --key, --tls-server-name, and the variables of each. A token is
// never an argument, as everybody on a machine can read those.
void AddControlAccessFlags(CLI::App* app, ControlTarget* target);

// Host and port of the address, which may be one of gRPC's with `dns:///` before it. INVALID_ARGUMENT otherwise, as for
// a socket's path.
absl::StatusOr<HostPort> HostPortOf(const ControlTarget& target);
// What control's certificate must name. INVALID_ARGUMENT if neither flag nor address says it.
absl::StatusOr<std::string> ServerNameOf(const ControlTarget& target);

// What is wrong with the path of a token's file: it is a token. Empty: nothing.
std::string TokenFileProblem(const std::string& path);
// INVALID_ARGUMENT, with what to do, if a token would leave this machine without TLS and nobody said that it may.
absl::Status CheckTokenMayLeave(const ControlTarget& target);

// A sentence for people on why TLS to control failed, with what to do, from a TlsStream's failure() and error().
std::string ExplainTlsFailure(const ControlTls& tls, TlsFailure failure, const std::string& error);

}  // namespace toolwire

#endif  // TOOLWIRE_CLI_CONTROL_TARGET_H_
