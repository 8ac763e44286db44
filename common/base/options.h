// Every flag and limit: default, unit, reason. Read from flags and environment, validated once at start.
#ifndef TOOLWIRE_COMMON_BASE_OPTIONS_H_
#define TOOLWIRE_COMMON_BASE_OPTIONS_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"

namespace CLI {
class App;
}

namespace toolwire {

struct LogOptions {
  std::string format = "auto";  // text, json; auto: text on a terminal, else text too.
  std::string level = "info";   // debug, info, warn, error.
};

// Where this process listens. Loopback unless --insecure says otherwise, since there is no TLS yet.
struct ListenOptions {
  std::string host = "127.0.0.1";
  bool insecure = false;
  int metrics_port = 9090;
};

// Limits on what callers and agents send; edge and control must agree on them.
struct PayloadOptions {
  size_t payload_bytes_max = 16u << 20;  // Params or result of one call: 16 MiB, as large as agents' files get.
  int json_depth_max = 512;              // Nesting: far over real documents, far under what breaks parsers.
};

struct EdgeOptions {
  int port = 8082;
  int relay_port = 50052;
  std::string server_id;  // Default: edge-<host name>-<port>.
  int io_threads = 1;     // One loop saturates before two cores' worth of agents do; raise with cores.
  int heartbeat_interval_ms = 30000;
  int heartbeat_timeout_ms = 90000;        // Three heartbeats missed.
  int login_timeout_ms = 5000;             // From the accepted socket to the credentials' verdict.
  int sessions_max = 0;                    // 0: what the limit of open files allows, less 256 for everything else.
  int unauthenticated_max = 4096;          // Sockets not logged in yet; at the limit the edge accepts no more for now.
  int handshakes_per_second_max = 5000;    // Beyond it new sockets wait in the kernel's queue: 10,000 in 2 s.
  int failed_logins_per_minute_max = 600;  // For one address, which may be a whole office's; 0: no limit.
  int calls_in_flight_per_agent_max = 4096;
  int calls_in_flight_max = 100000;                 // For the whole edge: about 100 MB of pending state at 1 kB each.
  size_t queued_bytes_per_session_max = 32u << 20;  // Two of the largest frames.
  int bad_frames_per_minute_max = 10;
  int lease_ttl_ms = 120000;  // As the server before it.
  std::string relay_address;  // host:port that controls dial. Default: --listen, or the host's name, and the port.
  bool old_channels = true;   // Serve the raw Redis channels of the server before. Needs Redis.
  int old_call_timeout_ms = 60000;  // Of calls through them: as long as their backends wait.
  int old_calls_max = 20000;        // Of them in flight on this edge, for the memory they take.
  int drain_timeout_ms = 10000;     // How long a stop waits for calls in flight.
  PayloadOptions payload;
  // A frame holds one payload and its envelope.
  size_t frame_bytes_max() const { return payload.payload_bytes_max + (64u << 10); }
};

struct ControlOptions {
  int grpc_port = 50051;
  std::string edge_address;                // host:port of the one edge's relay.
  int call_timeout_default_ms = 60000;     // As the server before it.
  int call_timeout_max_ms = 600000;        // Longer waits are cut to this: a forgotten call must not live for ever.
  int stream_calls_in_flight_max = 20000;  // On one Dispatch stream; more are refused with CALLER_BUSY.
  int streams_max = 1024;                  // Dispatch and watch streams open at once.
  int grpc_threads = 1;                    // Of those that serve callers, see control/grpc_threads.h; 0: all.
  int drain_timeout_ms = 10000;
  PayloadOptions payload;
};

struct StoreOptions {
  std::string data_dir = "toolwire-data";   // The SQLite file's and the audit spool's directory; created if missing.
  std::string database_url;                 // Empty: SQLite in data_dir. Holds a password.
  int database_connections_max = 4;         // As many batches at once; all processes share the database's own limit.
  size_t audit_json_bytes_max = 64u << 10;  // Larger params and results are audited in a shortened form.
  size_t audit_spool_bytes_max = 1u << 30;  // Files under data_dir/spool of one process: a million rows of 1 kB.
};

// Where the leases of agents are kept.
struct RegistryOptions {
  std::string redis_url;  // Empty: no Redis, and so one edge only.
  // A Redis that does not answer for so long counts as away: calls to agents that are not known fail then.
  int redis_timeout_ms = 1000;
};

// Adds the flags to a command. Flags also read the environment names of the server that Toolwire replaces.
void AddLogFlags(CLI::App* app, LogOptions* options);
void AddListenFlags(CLI::App* app, ListenOptions* options);
void AddPayloadFlags(CLI::App* app, PayloadOptions* options);
void AddEdgeFlags(CLI::App* app, EdgeOptions* options);
// What an edge needs that is not in one process with its control.
void AddClusterEdgeFlags(CLI::App* app, EdgeOptions* options);
void AddControlFlags(CLI::App* app, ControlOptions* options);
void AddStoreFlags(CLI::App* app, StoreOptions* options);
// DATABASE_URL and how it is used, for all that may open the store of production.
void AddDatabaseFlags(CLI::App* app, StoreOptions* options);
void AddRegistryFlags(CLI::App* app, RegistryOptions* options);
void AddDrainFlag(CLI::App* app, int* drain_timeout_ms);

// What no single flag can check. INVALID_ARGUMENT with a message that says what to do.
absl::Status Validate(const ListenOptions& options);
absl::Status Validate(EdgeOptions* options);  // Fills in the defaults that depend on the machine.
absl::Status Validate(const ControlOptions& options);
// What controls dial: the edge's --relay-address, or what follows from where its relay listens.
std::string RelayAddress(const EdgeOptions& options, const ListenOptions& listen, int relay_port);
absl::Status Validate(const StoreOptions& options);

// Starts logging as asked.
void InitLog(const LogOptions& options);

// Raises the soft limit of open files to the hard one and returns it.
uint64_t RaiseOpenFilesLimit();

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_BASE_OPTIONS_H_
