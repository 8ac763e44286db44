// The options of a control: its port, how long calls may take, how many there may be.
#ifndef TOOLWIRE_CONTROL_CONTROL_OPTIONS_H_
#define TOOLWIRE_CONTROL_CONTROL_OPTIONS_H_

#include <chrono>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/base/clock.h"
#include "common/base/process_options.h"
#include "common/link/link_tls.h"
#include "common/tls/tls_files.h"
#include "common/wire/payload_options.h"
#include "control/caller_budgets.h"
#include "control/callers_port.h"
#include "control/dispatcher.h"
#include "control/jwt_auth.h"

namespace CLI {
class App;
}

namespace toolwire {

struct ControlOptions {
  int grpc_port = 50051;
  std::string tokens_file;  // Who may call; empty: everybody.
  std::string jwks_file;    // Keys of an issuer, whose tokens are taken too.
  JwtOptions jwt;
  bool no_tokens = false;    // Everybody, also of other machines: see AddUnprotected.
  bool plain_grpc = false;   // No TLS on the callers' port: likewise.
  TlsOptions grpc_tls;       // Of the callers' port; without a certificate it is plain.
  std::string edge_address;  // host:port of the one edge's relay.
  LinkTlsOptions link_tls;
  Duration call_timeout_default = std::chrono::minutes(1);  // As the replaced server.
  // Longer waits are cut to this: a forgotten call must not live for ever.
  Duration call_timeout_max = std::chrono::minutes(10);
  int stream_calls_in_flight_max = 20000;  // On one Dispatch stream; more are refused with CALLER_BUSY.
  int message_calls_max = 10000;           // In one DispatchRequest: they take some 4 MB, and a thread for some 30 ms.
  int watch_users_max = 10000;             // That one watcher names: some 2 MB.
  // `params` and `result`, the form for use by hand: five times as large as JSON, and some ms of a thread.
  size_t hand_form_bytes_max = 256u << 10;
  // Of answers that one stream's caller has not read: then no more calls are read from it. At four times as much the
  // stream ends, since what edges have answered cannot be refused.
  size_t stream_unread_bytes_max = 64u << 20;
  size_t watch_unread_bytes_max = 32u << 20;       // Of events: some 180,000.
  size_t caller_bytes_max = 1u << 30;              // That control holds for all callers.
  CallerBudgets::Options budgets;                  // Streams and requests open at once.
  int grpc_threads = 1;                            // Of those that serve callers, see control/grpc_threads.h; 0: all.
  CallersPort::Options callers;                    // `connections_max` 0: see Validate.
  size_t grpc_memory_bytes_max = size_t{1} << 30;  // Of messages that gRPC has not received completely, mostly.
  // A caller that vanished without a word keeps its streams and their places for these two.
  Duration keepalive_interval = std::chrono::seconds(30);  // Of silence, then it is pinged.
  Duration keepalive_timeout = std::chrono::seconds(20);   // For its answer.
  // Connections without a stream hold places, and keepalive shows only that their callers live. Clients dial again by
  // themselves with the next call.
  Duration connection_idle_timeout = std::chrono::minutes(10);
  // Of a Dispatch stream with calls in flight on which nothing is said: then control says that it lives. 0: never.
  Duration stream_life_interval = std::chrono::milliseconds(500);
  // Of a Dispatch stream without a call; 0: none. Backends keep one open, and pay for the next to be opened.
  Duration stream_idle_timeout{};
  Duration drain_timeout = kDrainTimeout;
  PayloadOptions payload;
  Dispatcher::Options dispatcher;

  // Whether callers are asked for a token.
  bool asks_for_tokens() const { return !tokens_file.empty() || !jwks_file.empty(); }
};

void AddControlFlags(CLI::App* app, ControlOptions* options);
// --edge, for a control that is a process of its own.
void AddEdgeAddressFlag(CLI::App* app, ControlOptions* options);
// INVALID_ARGUMENT for what no single flag can check. `files`: how many this control may have open; the default of
// --connections-max follows from it.
absl::Status Validate(ControlOptions* options, uint64_t files = RaiseOpenFilesLimit());
// How many files callers may take. After Validate.
uint64_t FilesForCallers(const ControlOptions& options);
// Append what other machines would reach without a lock, as of RefuseUnprotected: the callers' port, and links to
// edges. Those that Redis names count as of this machine if `listen` is. After Validate.
void AddUnprotected(const ControlOptions& options, const ListenOptions& listen, std::vector<std::string>* unprotected);
void AddUnprotectedLinks(const ControlOptions& options, const ListenOptions& listen,
                         std::vector<std::string>* unprotected);

}  // namespace toolwire

#endif  // TOOLWIRE_CONTROL_CONTROL_OPTIONS_H_
