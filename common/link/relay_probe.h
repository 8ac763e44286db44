// Asks a relay for the hello of its edge.
#ifndef TOOLWIRE_COMMON_LINK_RELAY_PROBE_H_
#define TOOLWIRE_COMMON_LINK_RELAY_PROBE_H_

#include <string>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "toolwire/v1/relay.pb.h"

namespace toolwire {

// Dials `address` (host:port) as a control does, reads the edge's hello and hangs up. Blocks, at most `timeout`.
// UNAVAILABLE: nothing answers. FAILED_PRECONDITION: what answers is no edge of this version.
absl::StatusOr<v1::EdgeHello> ProbeRelay(const std::string& address, Duration timeout);

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_LINK_RELAY_PROBE_H_
