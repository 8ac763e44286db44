// Flags write into the options of their owners; `Validate` checks what no single flag can. The limit of agents follows
// from the limit of open files, which is raised as far as the process may, less what everything else needs.
#include "edge/edge_options.h"

#include <unistd.h>

#include <chrono>

#include "absl/strings/str_cat.h"
#include "common/base/flags.h"
#include "common/base/host_port.h"
#include "common/base/shown_text.h"
#include "common/wire/names.h"

namespace toolwire {

using flags::kMaxInt;
using flags::Milliseconds;
using flags::Number;
using flags::Port;
using flags::Switch;
using flags::Text;

namespace {

std::string ServerIdProblem(const std::string& name) {
  const char* const problem = CheckServerId(name);
  return problem == nullptr ? "" : absl::StrCat("an edge's name ", problem);
}

}  // namespace

void AddEdgeFlags(CLI::App* app, EdgeOptions* options) {
  Port(app, "--port", &options->port, "Agents' WebSocket port, also /health and /metrics").Env("PORT");
  Text(app, "--tls-cert", &options->tls.certificate_file,
       "PEM file of the certificate, and its chain, with which the agents' port speaks TLS")
      .Env("TLS_CERT")
      .File();
  Text(app, "--tls-key", &options->tls.key_file, "PEM file of its key, not encrypted").Env("TLS_KEY").File();
  Text(
      app, "--tls-ticket-keys-file", &options->tls.ticket_keys_file,
      "Keys of TLS session tickets that all edges share, 80 random bytes each, the newest first; default: each has one")
      .Env("TLS_TICKET_KEYS_FILE")
      .File();
  Port(app, "--plain-port", &options->plain_port,
       "With --tls-cert: a port without TLS beside --port, for a migration, on any --listen address")
      .Env("PLAIN_PORT")
      .HideDefault();
  Switch(app, "--plain-agents", &options->plain_agents,
         "The agents' port without TLS on a --listen address that other machines reach: a proxy or mesh has it")
      .Env("PLAIN_AGENTS");
  Number(app, "--tls-handshakes-per-second-max", &options->tls_handshakes.per_second_max, 1, kMaxInt,
         "TLS handshakes with agents per second; a core makes about 1,200 with ECDSA and 600 with RSA");
  Text(app, "--server-id", &options->server_id, "This edge's name; default edge-<host>-<port>")
      .Env("SERVER_ID")
      .CheckShown(ServerIdProblem);
  Number(app, "--io-threads", &options->io_threads, 1, 64, "Event loops for agents").Env("IO_THREADS");
  Milliseconds(app, "--heartbeat-interval", &options->heartbeat_interval, 10, kMaxInt,
               "How often agents send heartbeats, in ms")
      .Env("HEARTBEAT_INTERVAL");
  Milliseconds(app, "--heartbeat-timeout", &options->session.heartbeat_timeout, 50, kMaxInt,
               "Silence after which a session is closed (4002), in ms")
      .Env("HEARTBEAT_TIMEOUT");
  Milliseconds(app, "--login-timeout", &options->login_timeout, 50, 600000,
               "Time from the accepted socket to the open session, in ms");
  Milliseconds(app, "--secret-recheck-interval", &options->secret_recheck_interval, 0, kMaxInt,
               "How often each session's secret is checked again, so that missed revocations end it, in ms; 0: never");
  Number(app, "--sessions-max", &options->admission.sessions_max, 0, kMaxInt,
         "Agents on this edge; 0: what the limit of open files allows");
  Number(app, "--unauthenticated-max", &options->admission.unauthenticated_max, 1, kMaxInt,
         "Sockets that are not logged in yet; at the limit no more are accepted for now");
  Number(
      app, "--silent-per-address-max", &options->admission.silent_per_address_max, 1, kMaxInt,
      "Of those, sockets of one address that have sent nothing for a second; the oldest are closed. At most a quarter");
  Number(app, "--handshakes-per-second-max", &options->admission.handshakes_per_second_max, 1, kMaxInt,
         "New sockets per second; more wait in the kernel's queue");
  Number(app, "--logins-per-address-max", &options->admission.logins_per_address_max, 1, kMaxInt,
         "Logins of one address under way at once; more are rejected with 1013. At most three quarters of all");
  Number(app, "--failed-logins-per-minute-max", &options->login_limits.failures_per_minute_max, 0, kMaxInt,
         "Wrong credentials from one address before it has to wait, and is rejected with 1013; 0: no limit");
  Milliseconds(app, "--failed-logins-wait-max", &options->login_limits.wait_max, 1000, kMaxInt,
               "The longest such wait, in ms; the first is a minute, each one soon after it twice as long");
  Number(app, "--user-failed-logins-max", &options->login_limits.user_failures_max, 0, kMaxInt,
         "Wrong secrets of one user from one address before this user has to wait there, 1 s doubling to 60 s; 0: no "
         "limit");
  Number(app, "--agent-calls-max", &options->session.calls_in_flight_max, 1, kMaxInt, "Calls in flight for one agent");
  Number(app, "--edge-calls-max", &options->session.edge_calls_in_flight_max, 1, kMaxInt,
         "Calls in flight on this edge");
  Number(app, "--edge-unanswered-requests-max", &options->session.unanswered.requests_max, 1, kMaxInt,
         "Calls of each event loop, sent and not answered, whose ids their session refuses for ten minutes");
  Number(app, "--session-queue-bytes-max", &options->session.queued_bytes_max, 1024, size_t{1} << 30,
         "Frames waiting for one agent, in bytes of memory");
  Number(app, "--session-queue-replies-max", &options->session.queued_replies_max, 1, kMaxInt,
         "Acks waiting for one agent before it is closed (1008)");
  Number(app, "--edge-queue-bytes-max", &options->session.edge_queued_bytes_max, 1024, size_t{1} << 40,
         "Frames waiting for all agents of the edge, in bytes of memory");
  Number(app, "--bad-frames-per-minute-max", &options->session.bad_frames_max, 1, kMaxInt,
         "Frames that do not parse before a session is closed (1008)");
  Number(app, "--strays-per-minute-max", &options->session.strays_max, 0, kMaxInt,
         "Answers to no call that its session knows before a session is closed (1008)");
  Number(app, "--stray-bytes-per-minute-max", &options->session.stray_bytes_max, 0, size_t{1} << 40,
         "The same in bytes");
  Text(
      app, "--user-list-networks", &options->user_list_networks,
      "Who gets the users of /metrics on the agents' port: loopback, and networks such as 10.0.0.0/8,fd00::/8; or all, "
      "or none")
      .Check([](const std::string& text) { return std::string(Networks::Parse(text).status().message()); });
  Text(
      app, "--trusted-proxies", &options->trusted_proxy_networks,
      "Networks of the proxies before the agents' port, such as 10.0.0.0/8,fd00::/8, which are believed when they name "
      "the client; default: nobody")
      .Env("TRUSTED_PROXIES")
      .Check([](const std::string& text) { return std::string(Networks::ParseNamed(text).status().message()); });
  Text(app, "--proxy-header", &options->proxy_header,
       "How trusted proxies name the client: the one header that all of them set")
      .Env("PROXY_HEADER")
      .OneOf({"x-forwarded-for", "forwarded", "none"});
  Switch(app, "--proxy-protocol", &options->trusted_proxies.protocol,
         "Connections of trusted proxies begin with the header of the PROXY protocol, version 1 or 2")
      .Env("PROXY_PROTOCOL");
  Milliseconds(app, "--lease-ttl", &options->lease_ttl, 1000, kMaxInt, "Life of a lease without heartbeats, in ms");
}

void AddClusterEdgeFlags(CLI::App* app, EdgeOptions* options) {
  Port(app, "--relay-port", &options->relay_port, "Controls' port, internal").Env("RELAY_PORT");
  AddLinkTlsFlags(app, &options->link_tls);
  AddPlainLinksFlag(app, &options->link_tls);
  Number(app, "--links-per-address-max", &options->links_per_address_max, 1, 1024, "Links of controls at one address");
  Text(app, "--relay-address", &options->relay_address,
       "host:port under which controls reach the relay; default: --listen, or this host's name, and the port")
      .Env("RELAY_ADDRESS")
      .CheckShown([](const std::string& address) { return DialProblem(address); });
  Switch(app, "--old-channels,!--no-old-channels", &options->serve_old_channels,
         "Serve the raw Redis channels agent:{userId}:commands and response:{requestId}; needs --redis-url")
      .Env("OLD_CHANNELS");
  Switch(app, "--old-status-keys,!--no-old-status-keys", &options->old_status_keys,
         "With --old-channels, keep agent:{userId}:status, a quarter of an agent's memory in Redis, beside "
         "agent:{userId}:server")
      .Env("OLD_STATUS_KEYS");
  Milliseconds(app, "--old-call-timeout", &options->old_channels.call_timeout, 1, kMaxInt,
               "Deadline of a call through the old channels, in ms");
  Number(app, "--old-calls-max", &options->old_channels.calls_max, 1, kMaxInt,
         "Calls in flight through the old channels");
  Number(app, "--old-calls-bytes-max", &options->old_channels.calls_bytes_max, 1024, size_t{1} << 40,
         "Their params, in bytes");
  Number(app, "--old-answers-bytes-max", &options->old_channels.answers_bytes_max, 0, size_t{1} << 40,
         "Answers of the old channels that Redis has not acknowledged, in bytes; more are tried once");
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
  if (options->tls.certificate_file.empty() != options->tls.key_file.empty()) {
    return absl::InvalidArgumentError("--tls-cert and --tls-key go together: one is of no use without the other");
  }
  if (options->tls.certificate_file.empty() && (options->plain_port >= 0 || !options->tls.ticket_keys_file.empty())) {
    return absl::InvalidArgumentError("--plain-port and --tls-ticket-keys-file need --tls-cert: --port has no TLS");
  }
  if (options->plain_agents && !options->tls.certificate_file.empty()) {
    return absl::InvalidArgumentError(
        "--plain-agents and --tls-cert: --port is plain, or has TLS; --plain-port opens a plain one beside it");
  }
  options->tls.port = "agents";
  options->tls.protocol = "http/1.1";
  auto networks = Networks::Parse(options->user_list_networks);
  if (!networks.ok()) {
    return absl::InvalidArgumentError(absl::StrCat("--user-list-networks: ", networks.status().message()));
  }
  options->may_list_users = *std::move(networks);
  auto proxies = Networks::ParseNamed(options->trusted_proxy_networks);
  if (!proxies.ok()) return absl::InvalidArgumentError(absl::StrCat("--trusted-proxies: ", proxies.status().message()));
  options->trusted_proxies.networks = *std::move(proxies);
  options->trusted_proxies.header = options->proxy_header == "forwarded" ? ProxyHeader::kForwarded
                                    : options->proxy_header == "none"    ? ProxyHeader::kNone
                                                                         : ProxyHeader::kXForwardedFor;
  if (options->trusted_proxies.protocol && options->trusted_proxies.networks.empty()) {
    return absl::InvalidArgumentError(
        "--proxy-protocol needs --trusted-proxies: the networks whose header is believed");
  }
  if (!options->relay_address.empty()) {
    // At the start, since an edge whose address no control can read would take agents that no call reaches.
    if (absl::Status status = CheckDialAddress("--relay-address", options->relay_address); !status.ok()) return status;
  }
  if (options->server_id.empty()) {
    char host[256] = "localhost";
    gethostname(host, sizeof host - 1);
    options->server_id = absl::StrCat("edge-", host, "-", options->port);
  }
  if (const std::string problem = ServerIdProblem(options->server_id); !problem.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("--server-id=", ShownValue(options->server_id), ": ", problem));
  }
  return absl::OkStatus();
}

// A --plain-port is plain because somebody wrote just that.
void AddUnprotected(const EdgeOptions& options, const ListenOptions& listen, std::vector<std::string>* unprotected) {
  const bool has_tls = !options.tls.certificate_file.empty() || !options.trusted_proxies.networks.empty();
  if (IsLoopback(listen.host) || has_tls || options.plain_agents) return;
  unprotected->emplace_back(
      "agents' port: no TLS. Give --tls-cert and --tls-key, or name the proxies that have it in --trusted-proxies, or "
      "--plain-agents if another proxy or a mesh has it");
}

void AddUnprotectedLinks(const EdgeOptions& options, const ListenOptions& listen,
                         std::vector<std::string>* unprotected) {
  if (!IsLoopback(listen.host)) AddUnprotectedLinks(options.link_tls, "links' port", unprotected);
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
