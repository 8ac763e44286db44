// Flags write into the options of their owners; `Validate` checks what no single flag can. The limit of agents follows
// from the limit of open files, which is raised as far as the process may, less what everything else needs.
#include "edge/edge_options.h"

#include <unistd.h>

#include <chrono>

#include "absl/strings/str_cat.h"
#include "common/base/flags.h"
#include "common/base/host_port.h"

namespace toolwire {

using flags::kMaxInt;
using flags::Milliseconds;
using flags::Number;
using flags::Port;
using flags::Switch;
using flags::Text;

void AddEdgeFlags(CLI::App* app, EdgeOptions* options) {
  Port(app, "--port", &options->port, "Agents' WebSocket port, also /health and /metrics").Env("PORT");
  Text(app, "--server-id", &options->server_id, "This edge's name; default edge-<host>-<port>").Env("SERVER_ID");
  Number(app, "--io-threads", &options->io_threads, 1, 64, "Event loops for agents").Env("IO_THREADS");
  Milliseconds(app, "--heartbeat-interval", &options->heartbeat_interval, 10, kMaxInt,
               "How often agents send heartbeats, in ms")
      .Env("HEARTBEAT_INTERVAL");
  Milliseconds(app, "--heartbeat-timeout", &options->session.heartbeat_timeout, 50, kMaxInt,
               "Silence after which a session is closed (4002), in ms")
      .Env("HEARTBEAT_TIMEOUT");
  Milliseconds(app, "--login-timeout", &options->login_timeout, 50, 600000,
               "Time from the accepted socket to the open session, in ms");
  Number(app, "--sessions-max", &options->admission.sessions_max, 0, kMaxInt,
         "Agents on this edge; 0: what the limit of open files allows");
  Number(app, "--unauthenticated-max", &options->admission.unauthenticated_max, 1, kMaxInt,
         "Sockets that are not logged in yet; at the limit no more are accepted for now");
  Number(
      app, "--silent-per-address-max", &options->admission.silent_per_address_max, 1, kMaxInt,
      "Of those, sockets of one address that have sent nothing for a second; the oldest are closed. At most a quarter");
  Number(app, "--handshakes-per-second-max", &options->admission.handshakes_per_second_max, 1, kMaxInt,
         "New sockets per second; more wait in the kernel's queue");
  Number(app, "--failed-logins-per-minute-max", &options->admission.failed_logins_per_minute_max, 0, kMaxInt,
         "Wrong credentials from one address before it is rejected with 1013; 0: no limit");
  Number(app, "--agent-calls-max", &options->session.calls_in_flight_max, 1, kMaxInt, "Calls in flight for one agent");
  Number(app, "--edge-calls-max", &options->session.edge_calls_in_flight_max, 1, kMaxInt,
         "Calls in flight on this edge");
  Number(app, "--session-queue-bytes-max", &options->session.queued_bytes_max, 1024, size_t{1} << 30,
         "Frames waiting for one agent, in bytes of memory");
  Number(app, "--session-queue-replies-max", &options->session.queued_replies_max, 1, kMaxInt,
         "Acks waiting for one agent before it is closed (1008)");
  Number(app, "--edge-queue-bytes-max", &options->session.edge_queued_bytes_max, 1024, size_t{1} << 40,
         "Frames waiting for all agents of the edge, in bytes of memory");
  Number(app, "--bad-frames-per-minute-max", &options->session.bad_frames_max, 1, kMaxInt,
         "Frames that do not parse before a session is closed (1008)");
  Text(
      app, "--user-list-networks", &options->user_list_networks,
      "Who gets the users of /metrics on the agents' port: loopback, and networks such as 10.0.0.0/8,fd00::/8; or all, "
      "or none");
  Milliseconds(app, "--lease-ttl", &options->lease_ttl, 1000, kMaxInt, "Life of a lease without heartbeats, in ms");
}

void AddClusterEdgeFlags(CLI::App* app, EdgeOptions* options) {
  Port(app, "--relay-port", &options->relay_port, "Controls' port, internal").Env("RELAY_PORT");
  Number(app, "--links-per-address-max", &options->links_per_address_max, 1, 1024, "Links of controls at one address");
  Text(app, "--relay-address", &options->relay_address,
       "host:port under which controls reach the relay; default: --listen, or this host's name, and the port")
      .Env("RELAY_ADDRESS");
  Switch(app, "--old-channels,!--no-old-channels", &options->serve_old_channels,
         "Serve the raw Redis channels agent:{userId}:commands and response:{requestId}; needs --redis-url")
      .Env("OLD_CHANNELS");
  Milliseconds(app, "--old-call-timeout", &options->old_channels.call_timeout, 1, kMaxInt,
               "Deadline of a call through the old channels, in ms");
  Number(app, "--old-calls-max", &options->old_channels.calls_max, 1, kMaxInt,
         "Calls in flight through the old channels");
}

absl::Status Validate(EdgeOptions* options, uint64_t files) {
  int& sessions_max = options->admission.sessions_max;
  const uint64_t possible = FilesForSockets(files);
  if (sessions_max == 0) {
    sessions_max = static_cast<int>(possible < static_cast<uint64_t>(kMaxInt) ? possible : kMaxInt);
  } else if (static_cast<uint64_t>(sessions_max) > possible) {
    return absl::InvalidArgumentError(absl::StrCat("--sessions-max=", sessions_max, " needs more open files than this ",
                                                   "process may have (", files, "): raise ulimit -n"));
  }
  if (options->session.heartbeat_timeout <= options->heartbeat_interval) {
    const auto ms = [](Duration time) { return std::chrono::duration_cast<std::chrono::milliseconds>(time).count(); };
    return absl::InvalidArgumentError(absl::StrCat(
        "--heartbeat-timeout=", ms(options->session.heartbeat_timeout), " must be longer than ",
        "--heartbeat-interval=", ms(options->heartbeat_interval), ": one late heartbeat would end sessions"));
  }
  auto networks = Networks::Parse(options->user_list_networks);
  if (!networks.ok()) {
    return absl::InvalidArgumentError(absl::StrCat("--user-list-networks: ", networks.status().message()));
  }
  options->may_list_users = *std::move(networks);
  if (!options->relay_address.empty()) {
    // At the start, since an edge whose address no control can read would take agents that no call reaches.
    if (absl::Status status = CheckDialAddress("--relay-address", options->relay_address); !status.ok()) return status;
  }
  if (options->server_id.empty()) {
    char host[256] = "localhost";
    gethostname(host, sizeof host - 1);
    options->server_id = absl::StrCat("edge-", host, "-", options->port);
  }
  return absl::OkStatus();
}

std::string RelayAddress(const EdgeOptions& options, const ListenOptions& listen, int relay_port) {
  if (!options.relay_address.empty()) return options.relay_address;
  std::string host = listen.host;
  if (host == "0.0.0.0" || host == "::") {
    char name[256] = "localhost";
    gethostname(name, sizeof name - 1);
    host = name;
  }
  return JoinHostPort(host, relay_port);
}

}  // namespace toolwire
