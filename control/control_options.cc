#include "control/control_options.h"

#include "absl/strings/str_cat.h"
#include "common/base/flags.h"
#include "common/base/host_port.h"

namespace toolwire {

using flags::kMaxInt;
using flags::Milliseconds;
using flags::Number;
using flags::Port;

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
  Number(app, "--grpc-threads", &options->grpc_threads, 0, 16,
         "Threads that serve callers: one takes the least time for a call, more let large calls hold up fewer others; "
         "0: as many as gRPC starts, half of the cores");
}

absl::Status Validate(const ControlOptions& options) {
  if (options.call_timeout_default > options.call_timeout_max) {
    const auto ms = [](Duration time) { return std::chrono::duration_cast<std::chrono::milliseconds>(time).count(); };
    return absl::InvalidArgumentError(
        absl::StrCat("--call-timeout-default=", ms(options.call_timeout_default),
                     " is longer than --call-timeout-max=", ms(options.call_timeout_max)));
  }
  if (options.edge_address.empty()) return absl::OkStatus();
  return CheckDialAddress("--edge", options.edge_address);
}

}  // namespace toolwire
