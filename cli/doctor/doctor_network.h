// The checks of `toolwire doctor` that ask Toolwire's own processes. Each takes about `timeout` at most, unless the
// resolver of names hangs.
#ifndef TOOLWIRE_CLI_DOCTOR_DOCTOR_NETWORK_H_
#define TOOLWIRE_CLI_DOCTOR_DOCTOR_NETWORK_H_

#include <string>

#include "cli/control_channel.h"
#include "cli/doctor/doctor_finding.h"
#include "common/base/clock.h"
#include "common/registry/registry.h"
#include "common/tls/tls_files.h"

namespace toolwire {

// The callers' port of a control: TLS and its certificate, if it has one, health, whether it takes the token, and how
// many agents it knows.
Findings CheckControl(const ControlTarget& target, Duration timeout);

// The agents' port of an edge: /health, and for wss:// the certificate of the proxy in front of it. If nobody asked
// for this edge (`by_default`) and none is there, that is no failure. `ca_file`: whom to trust; empty: the system's
// CAs.
Findings CheckEdge(const std::string& url, bool by_default, const std::string& ca_file, Duration timeout);

// The relay of an edge as a control would use it: the name resolves, it answers, and it is the process that announced
// itself. An edge named by hand has only the address. Opens a link and closes it again: for the edge, a control that
// connected and left.
// `tls`: null if links are plain.
Finding CheckRelay(const EdgeAddress& edge, Duration timeout, TlsFiles* tls);

}  // namespace toolwire

#endif  // TOOLWIRE_CLI_DOCTOR_DOCTOR_NETWORK_H_
