// How commands reach a control: the token, the channel, and the message when there is none.
#ifndef TOOLWIRE_CLI_CONTROL_CHANNEL_H_
#define TOOLWIRE_CLI_CONTROL_CHANNEL_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cli/control_target.h"

namespace grpc {
class Channel;
class ChannelArguments;
class Status;
}  // namespace grpc

namespace toolwire {

// The token, read now; empty: none is given. INVALID_ARGUMENT if its file cannot be read or holds none.
absl::StatusOr<std::string> ReadToken(const std::string& token_file);
// A channel that sends `token` with each RPC, unless it is empty, with the TLS files as they are now. It shares no
// connection with others. INVALID_ARGUMENT if a file is wrong, or the token may not be sent there.
absl::StatusOr<std::shared_ptr<grpc::Channel>> MakeChannel(const ControlTarget& target,
                                                           grpc::ChannelArguments arguments, const std::string& token);

// A channel that is connected and takes messages of any size; waits up to 5 s, and up to 2 s for a control that
// refuses, as it does while it starts. UNAVAILABLE if the control cannot be reached, with the reason if TLS is in the
// way; INVALID_ARGUMENT as of ReadToken and MakeChannel. Then nothing has left.
absl::StatusOr<std::shared_ptr<grpc::Channel>> ConnectToControl(const ControlTarget& target);

// The same code and message.
absl::Status ToStatus(const grpc::Status& status);

// Prints `toolwire COMMAND: MESSAGE` for people, and returns the exit status of a command that failed: 1.
int FailCommand(const std::string& command, const std::string& message);
// The same of one that could not reach a control, as ConnectToControl says; kWrongUsage for INVALID_ARGUMENT.
int FailConnecting(const std::string& command, const absl::Status& status);
// The exit status after a wrong command line, flag or variable.
inline constexpr int kWrongUsage = 2;

}  // namespace toolwire

#endif  // TOOLWIRE_CLI_CONTROL_CHANNEL_H_
