// What `toolwire dev --tls` keeps in its data directory.
#ifndef TOOLWIRE_CLI_DEV_TLS_H_
#define TOOLWIRE_CLI_DEV_TLS_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace toolwire {

struct DevTls {
  std::string ca_file;                     // Whom agents and callers are to trust.
  std::string certificate_file, key_file;  // Of both ports.
  std::string tokens_file, token_file;     // The line of --tokens-file, and the token itself; empty: none was wanted.
  std::string host;                        // A name of the certificate under which this process can be dialled.
};

// Makes them in DATA_DIR/tls, a directory for this user alone. The CA and the token are made once and stay, the CA
// until it expires in ten years. The certificate is made anew each time, for a year: for this host's name, localhost,
// and `listen_host`. `now`: Unix time in seconds. An error says what could not be read, made or written. Processes that
// share a data directory do it one after another. Blocks on the file system.
absl::StatusOr<DevTls> PrepareDevTls(const std::string& data_dir, const std::string& listen_host, bool wants_token,
                                     int64_t now);
// For people: how to connect. `agents` and `callers` are ports.
std::string ExplainDevTls(const DevTls& tls, int agents, int callers);

}  // namespace toolwire

#endif  // TOOLWIRE_CLI_DEV_TLS_H_
