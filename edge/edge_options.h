// What an edge is given: its ports and name, its timeouts, and the limits of its parts.
#ifndef TOOLWIRE_EDGE_EDGE_OPTIONS_H_
#define TOOLWIRE_EDGE_EDGE_OPTIONS_H_

#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/base/clock.h"
#include "common/base/process_options.h"
#include "common/link/link_tls.h"
#include "common/registry/registry.h"
#include "common/tls/tls_files.h"
#include "common/tls/tls_handshakes.h"
#include "common/wire/payload_options.h"
#include "edge/admission.h"
#include "edge/client_address.h"
#include "edge/login_limits.h"
#include "edge/networks.h"
#include "edge/old_channels.h"
#include "edge/session.h"

namespace CLI {
class App;
}

namespace toolwire {

struct EdgeOptions {
  int port = 8082;      // Agents'; with TLS if there is a certificate, and then
  int plain_port = -1;  // one without it beside it, unless it is -1: for agents that do not know wss:// yet.
  int relay_port = 50052;
  std::string server_id;      // Default: edge-<host name>-<port>.
  std::string relay_address;  // host:port that controls dial. Default: --listen, or the host's name, and the port.
  LinkTlsOptions link_tls;
  int links_per_address_max = 128;  // Controls of one address, which may be a NAT's: an eighth of all links.
  int io_threads = 1;               // One loop saturates before two cores' worth of agents do; raise with cores.
  Duration heartbeat_interval = std::chrono::seconds(30);
  Duration login_timeout = std::chrono::seconds(5);  // From the accepted socket to the open session.
  // How often the secret of each session is checked again, for revocations that this edge was not told of. 0: never.
  Duration secret_recheck_interval = std::chrono::minutes(5);
  Duration lease_ttl = kLeaseTtl;
  Duration drain_timeout = kDrainTimeout;  // How long a stop waits for calls in flight.
  bool serve_old_channels = true;          // The raw Redis channels of the replaced server. Needs Redis.
  bool old_status_keys = true;             // With them, agent:{user}:status as that server had it.
  std::string user_list_networks;          // Who gets the users of /metrics beside loopback. Parsed by Validate:
  Networks may_list_users;
  // Peers that are proxies, and how they name the client. Parsed by Validate:
  std::string trusted_proxy_networks, proxy_header = "x-forwarded-for";
  TrustedProxies trusted_proxies;
  SessionLimits session;
  Admission::Options admission;
  LoginLimits::Options login_limits;
  OldChannels::Options old_channels;
  TlsOptions tls;             // Of the agents' port.
  bool plain_agents = false;  // Other machines may reach it without: a proxy or mesh has TLS.
  HandshakeQueue::Options tls_handshakes;
  const PayloadOptions& payload() const { return session.payload; }
  // A frame holds one payload and its envelope.
  size_t frame_bytes_max() const { return payload().payload_bytes_max + (64u << 10); }
};

void AddEdgeFlags(CLI::App* app, EdgeOptions* options);
// What an edge needs that is not in one process with its control.
void AddClusterEdgeFlags(CLI::App* app, EdgeOptions* options);
// INVALID_ARGUMENT, with a message that has the remedy, for what no single flag can check. Fills in the defaults that
// depend on the machine. `files`: how many this edge may have open.
absl::Status Validate(EdgeOptions* options, uint64_t files = RaiseOpenFilesLimit());
// Append what other machines would reach without a lock, as of RefuseUnprotected: the agents' port, and that of links.
// After Validate.
void AddUnprotected(const EdgeOptions& options, const ListenOptions& listen, std::vector<std::string>* unprotected);
void AddUnprotectedLinks(const EdgeOptions& options, const ListenOptions& listen,
                         std::vector<std::string>* unprotected);
// What controls dial: the edge's --relay-address, or what follows from where its relay listens.
std::string RelayAddress(const EdgeOptions& options, const ListenOptions& listen, int relay_port);

}  // namespace toolwire

#endif  // TOOLWIRE_EDGE_EDGE_OPTIONS_H_
