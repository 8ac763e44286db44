#include "cli/control_channel.h"

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <iostream>

#include "common/base/flags.h"

namespace toolwire {
namespace {

constexpr std::chrono::seconds kConnectMax(5);
// A control that was started a moment ago, as in `toolwire dev & toolwire call ...`, does not listen yet.
constexpr std::chrono::seconds kRefusedMax(2);

}  // namespace

void AddAddressFlag(CLI::App* app, std::string* address) {
  flags::Text(app, "--address", address, "Control's host:port").Env("TOOLWIRE_ADDRESS");
}

std::shared_ptr<grpc::Channel> ConnectToControl(const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(-1);
  // Commands that wait notice within 15 s when control's machine has vanished without closing the connection.
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 10000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 5000);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 50);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 500);
  auto channel = grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
  const auto began = std::chrono::system_clock::now();
  grpc_connectivity_state state = channel->GetState(true);
  while (state != GRPC_CHANNEL_READY) {
    const bool refused = state == GRPC_CHANNEL_TRANSIENT_FAILURE;
    if (!channel->WaitForStateChange(state, began + (refused ? kRefusedMax : kConnectMax))) return nullptr;
    state = channel->GetState(true);
  }
  return channel;
}

absl::Status ToStatus(const grpc::Status& status) {
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
}

std::string NoControlAt(const std::string& address) {
  return "no control at " + address + "; start one, or name another with --address";
}

int FailCommand(const std::string& command, const std::string& message) {
  std::cerr << "toolwire " << command << ": " << message << "\n";
  return 1;
}

}  // namespace toolwire
