#include "common/base/options.h"

#include <arpa/inet.h>
#include <sys/resource.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "common/base/flags.h"
#include "common/base/log.h"

namespace toolwire {
using flags::kMaxInt;
using flags::Number;
using flags::Port;
using flags::Switch;
using flags::Text;

void AddLogFlags(CLI::App* app, LogOptions* options) {
  Text(app, "--log-format", &options->format, "text or json, one object a line; auto is text")
      .Env("LOG_FORMAT")
      .OneOf({"auto", "text", "json"});
  Text(app, "--log-level", &options->level, "debug, info, warn or error")
      .Env("LOG_LEVEL")
      .OneOf({"debug", "info", "warn", "error"});
}

void AddListenFlags(CLI::App* app, ListenOptions* options) {
  Text(app, "--listen", &options->host, "IP address of every listener").Env("LISTEN");
  Switch(app, "--insecure", &options->insecure,
         "Allow a --listen address that other machines can reach, although nothing is encrypted");
  Port(app, "--metrics-port", &options->metrics_port, "Prometheus endpoint").Env("METRICS_PORT");
}

void AddPayloadFlags(CLI::App* app, PayloadOptions* options) {
  Number(app, "--payload-bytes-max", &options->payload_bytes_max, 1024, 256u << 20,
         "Largest params or result of a call, in bytes");
  Number(app, "--json-depth-max", &options->json_depth_max, 1, 10000, "Deepest nesting of params and results");
}

void AddEdgeFlags(CLI::App* app, EdgeOptions* options) {
  Port(app, "--port", &options->port, "Agents' WebSocket port, also /health and /metrics").Env("PORT");
  Text(app, "--server-id", &options->server_id, "This edge's name; default edge-<host>-<port>").Env("SERVER_ID");
  Number(app, "--io-threads", &options->io_threads, 1, 64, "Event loops for agents").Env("IO_THREADS");
  Number(app, "--heartbeat-interval", &options->heartbeat_interval_ms, 10, kMaxInt,
         "How often agents send heartbeats, in ms")
      .Env("HEARTBEAT_INTERVAL");
  Number(app, "--heartbeat-timeout", &options->heartbeat_timeout_ms, 50, kMaxInt,
         "Silence after which a session is closed (4002), in ms")
      .Env("HEARTBEAT_TIMEOUT");
  Number(app, "--login-timeout", &options->login_timeout_ms, 50, 600000, "Time from socket to login, in ms");
  Number(app, "--sessions-max", &options->sessions_max, 0, kMaxInt,
         "Agents on this edge; 0: what the limit of open files allows");
  Number(app, "--unauthenticated-max", &options->unauthenticated_max, 1, kMaxInt,
         "Sockets that are not logged in yet; at the limit no more are accepted for now");
  Number(app, "--handshakes-per-second-max", &options->handshakes_per_second_max, 1, kMaxInt,
         "New sockets per second; more wait in the kernel's queue");
  Number(app, "--failed-logins-per-minute-max", &options->failed_logins_per_minute_max, 0, kMaxInt,
         "Wrong credentials from one address before it is put off with 1013; 0: no limit");
  Number(app, "--agent-calls-max", &options->calls_in_flight_per_agent_max, 1, kMaxInt,
         "Calls in flight for one agent");
  Number(app, "--edge-calls-max", &options->calls_in_flight_max, 1, kMaxInt, "Calls in flight on this edge");
  Number(app, "--session-queue-bytes-max", &options->queued_bytes_per_session_max, 1024, size_t{1} << 30,
         "Frames waiting for one agent, in bytes");
  Number(app, "--bad-frames-per-minute-max", &options->bad_frames_per_minute_max, 1, kMaxInt,
         "Frames that do not parse before a session is closed (1008)");
  Number(app, "--lease-ttl", &options->lease_ttl_ms, 1000, kMaxInt, "Life of a lease without heartbeats, in ms");
}

void AddClusterEdgeFlags(CLI::App* app, EdgeOptions* options) {
  Port(app, "--relay-port", &options->relay_port, "Controls' port, internal").Env("RELAY_PORT");
  Text(app, "--relay-address", &options->relay_address,
       "host:port under which controls reach the relay; default: --listen, or this host's name, and the port")
      .Env("RELAY_ADDRESS");
  Switch(app, "--old-channels,!--no-old-channels", &options->old_channels,
         "Serve the raw Redis channels agent:{userId}:commands and response:{requestId}; needs --redis-url")
      .Env("OLD_CHANNELS");
  Number(app, "--old-call-timeout", &options->old_call_timeout_ms, 1, kMaxInt,
         "Deadline of a call through the old channels, in ms");
  Number(app, "--old-calls-max", &options->old_calls_max, 1, kMaxInt, "Calls in flight through the old channels");
}

void AddControlFlags(CLI::App* app, ControlOptions* options) {
  Port(app, "--grpc-port", &options->grpc_port, "Callers' gRPC port").Env("GRPC_PORT");
  Number(app, "--call-timeout-default", &options->call_timeout_default_ms, 1, kMaxInt,
         "Deadline of a call that names none, in ms");
  Number(app, "--call-timeout-max", &options->call_timeout_max_ms, 1, kMaxInt, "Longest deadline, in ms");
  Number(app, "--stream-calls-max", &options->stream_calls_in_flight_max, 1, kMaxInt,
         "Calls in flight on one Dispatch stream");
  Number(app, "--streams-max", &options->streams_max, 1, kMaxInt, "Dispatch and watch streams open at once");
  Number(app, "--grpc-threads", &options->grpc_threads, 0, 16,
         "Threads that serve callers: one takes the least time for a call, more let large calls hold up fewer others; "
         "0: as many as gRPC starts, half of the cores");
}

void AddStoreFlags(CLI::App* app, StoreOptions* options) {
  Text(app, "--data-dir", &options->data_dir, "Directory of the SQLite store and of the audit spool")
      .Env("TOOLWIRE_DATA_DIR");
  Number(app, "--audit-json-bytes-max", &options->audit_json_bytes_max, 64, 16u << 20,
         "Larger params and results are audited in a shortened form");
  Number(app, "--audit-spool-bytes-max", &options->audit_spool_bytes_max, 1u << 20, size_t{1} << 40,
         "Audit rows on disk that wait for the store, in bytes");
}

void AddDatabaseFlags(CLI::App* app, StoreOptions* options) {
  Text(app, "--database-url", &options->database_url,
       "PostgreSQL, postgresql://user:password@host:port/database; empty: SQLite in --data-dir")
      .Env("DATABASE_URL");
  Number(app, "--database-connections-max", &options->database_connections_max, 1, 20,
         "Connections of this process to PostgreSQL")
      .Env("DATABASE_CONNECTIONS_MAX");
}

void AddRegistryFlags(CLI::App* app, RegistryOptions* options) {
  Text(app, "--redis-url", &options->redis_url,
       "redis://[user[:password]@]host[:port][/db]: any number of edges and controls meet there")
      .Env("REDIS_URL");
  Number(app, "--redis-timeout", &options->redis_timeout_ms, 10, 60000,
         "Silence of Redis after which it counts as away, in ms");
}

void AddDrainFlag(CLI::App* app, int* drain_timeout_ms) {
  Number(app, "--drain-timeout", drain_timeout_ms, 0, kMaxInt, "How long a stop waits for calls in flight, in ms")
      .Env("DRAIN_TIMEOUT");
}

absl::Status Validate(const ListenOptions& options) {
  in_addr ipv4{};
  const bool is_ipv4 = inet_pton(AF_INET, options.host.c_str(), &ipv4) == 1;
  const bool loopback =
      options.host == "::1" || options.host == "localhost" || (is_ipv4 && ntohl(ipv4.s_addr) >> 24 == 127);
  if (!loopback && !options.insecure) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--listen=", options.host,
        " can be reached from other machines and nothing is encrypted or authenticated between services yet; "
        "add --insecure if the network is trusted"));
  }
  return absl::OkStatus();
}

absl::Status Validate(EdgeOptions* options) {
  const uint64_t files = RaiseOpenFilesLimit();
  const uint64_t headroom = 256;
  const uint64_t possible = files > 2 * headroom ? files - headroom : files / 2;
  if (options->sessions_max == 0) {
    options->sessions_max = static_cast<int>(possible < static_cast<uint64_t>(kMaxInt) ? possible : kMaxInt);
  } else if (static_cast<uint64_t>(options->sessions_max) > possible) {
    return absl::InvalidArgumentError(absl::StrCat("--sessions-max=", options->sessions_max, " needs more open files ",
                                                   "than this process may have (", files, "): raise ulimit -n"));
  }
  if (options->heartbeat_timeout_ms <= options->heartbeat_interval_ms) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--heartbeat-timeout=", options->heartbeat_timeout_ms, " must be longer than ",
        "--heartbeat-interval=", options->heartbeat_interval_ms, ": one late heartbeat would end sessions"));
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
  const bool ipv6 = host.find(':') != std::string::npos;
  return ipv6 ? absl::StrCat("[", host, "]:", relay_port) : absl::StrCat(host, ":", relay_port);
}

absl::Status Validate(const ControlOptions& options) {
  if (options.call_timeout_default_ms > options.call_timeout_max_ms) {
    return absl::InvalidArgumentError(absl::StrCat("--call-timeout-default=", options.call_timeout_default_ms,
                                                   " is longer than --call-timeout-max=", options.call_timeout_max_ms));
  }
  return absl::OkStatus();
}

absl::Status Validate(const StoreOptions& options) {
  if (options.data_dir.empty()) return absl::InvalidArgumentError("--data-dir must not be empty");
  return absl::OkStatus();
}

void InitLog(const LogOptions& options) {
  const auto level = options.level == "debug"   ? log::Level::kDebug
                     : options.level == "warn"  ? log::Level::kWarn
                     : options.level == "error" ? log::Level::kError
                                                : log::Level::kInfo;
  log::Init(options.format == "json" ? log::Format::kJson : log::Format::kText, level);
}

uint64_t RaiseOpenFilesLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1024;
  if (limit.rlim_cur < limit.rlim_max) {
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    getrlimit(RLIMIT_NOFILE, &limit);
  }
  return limit.rlim_cur;
}

}  // namespace toolwire
