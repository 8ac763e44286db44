// The files of TLS to a control, as commands read them, and gRPC's credentials of them.
#ifndef TOOLWIRE_CLI_CONTROL_TLS_H_
#define TOOLWIRE_CLI_CONTROL_TLS_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "cli/control_target.h"
#include "common/tls/tls_files.h"

namespace grpc {
class ChannelCredentials;
}

namespace toolwire {

struct ControlTlsFiles {
  std::string certificate, key, ca;           // PEM; empty if not given.
  std::shared_ptr<const TlsContext> context;  // Made of them, for connections that are not gRPC's.
};

// Reads and checks the files, now. INVALID_ARGUMENT, NOT_FOUND, FAILED_PRECONDITION or UNAVAILABLE, with the file and
// what is wrong with it. Blocks on the file system.
absl::StatusOr<ControlTlsFiles> ReadControlTls(const ControlTls& tls);

// For channels to `target`, from its files as they are now: with TLS, or without it if the target has none.
// INVALID_ARGUMENT as of ReadControlTls and ServerNameOf.
absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> MakeControlCredentials(const ControlTarget& target);

}  // namespace toolwire

#endif  // TOOLWIRE_CLI_CONTROL_TLS_H_
