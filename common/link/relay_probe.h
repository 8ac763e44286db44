// Asks a relay for the hello of its edge.
#ifndef TOOLWIRE_COMMON_LINK_RELAY_PROBE_H_
#define TOOLWIRE_COMMON_LINK_RELAY_PROBE_H_

#include <string>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/tls/tls_files.h"
#include "toolwire/v1/relay.pb.h"

namespace toolwire {

// Dials `address` (host:port) as a control does, reads the edge's hello and hangs up. Blocks, at most `timeout`.
// With `tls` as on an encrypted link. UNAVAILABLE: nothing answers. FAILED_PRECONDITION: what answers is no edge of this
// version, or encrypts and `tls` is null, or the other way round, or does not take the certificate.
absl::StatusOr<v1::LinkHello> ProbeRelay(const std::string& address, Duration timeout, TlsFiles* tls = nullptr);

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_LINK_RELAY_PROBE_H_
