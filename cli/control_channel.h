// How commands reach a control: its address, the channel, and the message when there is none.
#ifndef TOOLWIRE_CLI_CONTROL_CHANNEL_H_
#define TOOLWIRE_CLI_CONTROL_CHANNEL_H_

#include <memory>
#include <string>

#include "absl/status/status.h"

namespace CLI {
class App;
}

namespace grpc {
class Channel;
class Status;
}

namespace toolwire {

inline constexpr char kDefaultControlAddress[] = "127.0.0.1:50051";

// --address, also TOOLWIRE_ADDRESS; its default is what `address` holds.
void AddAddressFlag(CLI::App* app, std::string* address);

// A channel to the control at `address` (host:port) that is connected and takes messages of any size; waits up to 5 s,
// and up to 2 s for one that refuses, as it does while it starts. Null if the control cannot be reached: then nothing
// has left.
std::shared_ptr<grpc::Channel> ConnectToControl(const std::string& address);

// The same code and message.
absl::Status ToStatus(const grpc::Status& status);

// The sentence for that.
std::string NoControlAt(const std::string& address);

// Prints `toolwire COMMAND: MESSAGE` for people, and returns the exit status of a command that failed: 1.
int FailCommand(const std::string& command, const std::string& message);

}  // namespace toolwire

#endif  // TOOLWIRE_CLI_CONTROL_CHANNEL_H_
