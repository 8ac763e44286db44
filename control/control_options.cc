#include "control/control_options.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/base/flags.h"
#include "common/base/host_port.h"

namespace toolwire {

using flags::kMaxInt;
using flags::Milliseconds;
using flags::Number;
using flags::Port;

// Far over what backends open, a few MB of memory.
constexpr uint64_t kConnectionsMaxDefault = 4096;

void AddControlFlags(CLI::App* app, ControlOptions* options) {
  Port(app, "--grpc-port", &options->grpc_port, "Callers' gRPC port").Env("GRPC_PORT");
  Milliseconds(app, "--call-timeout-default", &options->call_timeout_default, 1, kMaxInt,
               "Deadline of a call that names none, in ms");
  Milliseconds(app, "--call-timeout-max", &options->call_timeout_max, 1, kMaxInt, "Longest deadline, in ms");
  Number(app, "--stream-calls-max", &options->stream_calls_in_flight_max, 1, kMaxInt,
         "Calls in flight on one Dispatch stream");
  Number(app, "--message-calls-max", &options->message_calls_max, 1, kMaxInt,
         "Calls in one message of a Dispatch stream");
  Number(app, "--hand-form-bytes-max", &options->hand_form_bytes_max, 1024, 256u << 20,
         "Largest params, and result, of the form for use by hand, in bytes");
  Number(app, "--watch-users-max", &options->watch_users_max, 1, kMaxInt, "Users that one WatchAgents request names");
  Number(
      app, "--stream-unread-bytes-max", &options->stream_unread_bytes_max, 1024, 16ull << 30,
      "Answers that the caller of one Dispatch stream has not read, in bytes: no more calls are read; at four times as "
      "much the stream ends");
  Number(app, "--watch-unread-bytes-max", &options->watch_unread_bytes_max, 1024, 16ull << 30,
         "Events that one watcher has not read, in bytes");
  Number(app, "--caller-bytes-max", &options->caller_bytes_max, 1024, 1ull << 40,
         "Memory held for all callers, in bytes: what they have not read, params in flight, names they watch; past it "
         "those who hold most are cut");
  Number(app, "--streams-max", &options->streams_max, 1, kMaxInt, "Dispatch and watch streams open at once");
  Number(app, "--connections-max", &options->callers.connections_max, 0, kMaxInt,
         "Callers' connections; 0: 4,096, or what the limit of open files allows");
  Number(app, "--address-connections-max", &options->callers.address_connections_max, 1, kMaxInt,
         "Connections of one IPv4 address or IPv6 /64");
  Number(app, "--silent-connections-max", &options->callers.silent_connections_max, 1, kMaxInt,
         "Connections that have sent nothing yet; past it the address with most connections loses one");
  Milliseconds(app, "--connect-timeout", &options->callers.connect_timeout, 50, 600000,
               "Time for a connection's first bytes, and again for its HTTP/2 preface, in ms");
  Number(app, "--connection-streams-max", &options->callers.connection_streams_max, 1, kMaxInt,
         "Calls and streams of one connection at once; gRPC clients keep more waiting");
  Number(app, "--grpc-memory-bytes", &options->grpc_memory_bytes_max, size_t{16} << 20, size_t{1} << 40,
         "Memory for what callers send, past which gRPC ends calls");
  Milliseconds(app, "--keepalive-interval", &options->keepalive_interval, 1000, kMaxInt,
               "Silence of a connection after which the caller is pinged, in ms");
  Milliseconds(app, "--keepalive-timeout", &options->keepalive_timeout, 1000, kMaxInt,
               "Time for the answer to such a ping before the connection is cut, in ms");
  Milliseconds(app, "--connection-idle-timeout", &options->connection_idle_timeout, 1000, kMaxInt,
               "Time without a call or stream after which a connection is closed, in ms");
  Milliseconds(
      app, "--stream-idle-timeout", &options->stream_idle_timeout, 0, kMaxInt,
      "Time without a call after which a Dispatch stream ends, with OK, in ms, looked at each second; 0: none");
  Number(app, "--grpc-threads", &options->grpc_threads, 0, 16,
         "Threads that serve callers: one takes the least time for a call, more let large calls hold up fewer others; "
         "0: as many as gRPC starts, half of the cores");
}

absl::Status Validate(ControlOptions* options, uint64_t files) {
  const auto ms = [](Duration time) { return std::chrono::duration_cast<std::chrono::milliseconds>(time).count(); };
  if (options->call_timeout_default > options->call_timeout_max) {
    return absl::InvalidArgumentError(
        absl::StrCat("--call-timeout-default=", ms(options->call_timeout_default),
                     " is longer than --call-timeout-max=", ms(options->call_timeout_max)));
  }
  int& connections_max = options->callers.connections_max;
  const uint64_t possible = FilesForSockets(files);
  if (connections_max == 0) {
    connections_max = static_cast<int>(std::min(possible, kConnectionsMaxDefault));
  } else if (static_cast<uint64_t>(connections_max) > possible) {
    return absl::InvalidArgumentError(absl::StrCat("--connections-max=", connections_max,
                                                   " needs more open files than this process may have for callers (",
                                                   files, "): raise ulimit -n"));
  }
  // The default may be above a small --connections-max, and has no effect then.
  const int address_connections_max = options->callers.address_connections_max;
  if (address_connections_max > connections_max &&
      address_connections_max != CallersPort::Options().address_connections_max) {
    return absl::InvalidArgumentError(absl::StrCat("--address-connections-max=", address_connections_max,
                                                   " is more than --connections-max=", connections_max,
                                                   ": one address could take all connections"));
  }
  if (options->edge_address.empty()) return absl::OkStatus();
  return CheckDialAddress("--edge", options->edge_address);
}

}  // namespace toolwire
