// A connection of our own to a control, made when gRPC cannot make one: it says only that a handshake failed, not why.
#ifndef TOOLWIRE_CLI_CONTROL_PROBE_H_
#define TOOLWIRE_CLI_CONTROL_PROBE_H_

#include <cstdint>
#include <optional>
#include <string>

#include "cli/control_target.h"
#include "common/base/clock.h"

namespace toolwire {

struct ControlProbe {
  std::string trouble;                // Why there is no TLS, or that it is missing, for people. Empty: not known.
  std::optional<int64_t> expires_at;  // Of control's certificate, Unix time in seconds, if it is to be trusted.
};

// One handshake and what control says after it, by which it refuses clients; sends no request and no token. Blocks, for
// `timeout` at most unless the resolver of names hangs.
ControlProbe ProbeControl(const ControlTarget& target, Duration timeout);

}  // namespace toolwire

#endif  // TOOLWIRE_CLI_CONTROL_PROBE_H_
