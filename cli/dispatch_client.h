// What the commands ask of a control's ToolDispatch service. They see messages and absl::Status only: the headers of
// gRPC cost seconds of compiling in every file that includes them.
#ifndef TOOLWIRE_CLI_DISPATCH_CLIENT_H_
#define TOOLWIRE_CLI_DISPATCH_CLIENT_H_

#include <chrono>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cli/control_channel.h"
#include "cli/interrupt.h"
#include "common/base/clock.h"
#include "toolwire/v1/dispatch.pb.h"

namespace toolwire {

// One WatchAgents stream. Read until it returns kEnded, then Finish.
class AgentWatch {
 public:
  enum class Next { kMessage, kTimeout, kEnded };
  using Time = std::chrono::system_clock::time_point;

  virtual ~AgentWatch() = default;
  // Waits for the next message until `until`.
  virtual Next Read(v1::WatchAgentsResponse* message, Time until) = 0;
  // How the stream ended. OK: control ended it.
  virtual absl::Status Finish() = 0;
  // Ends the stream early. On any thread.
  virtual void Cancel() = 0;
};

// A connected control. Methods block.
class DispatchClient {
 public:
  // Waits and fails as ConnectToControl: then nothing has left.
  static absl::StatusOr<std::unique_ptr<DispatchClient>> Connect(const ControlTarget& target);

  virtual ~DispatchClient() = default;
  virtual absl::StatusOr<v1::Agent> GetAgent(const v1::GetAgentRequest& request) = 0;
  virtual absl::StatusOr<v1::ListAgentsResponse> ListAgents(const v1::ListAgentsRequest& request) = 0;
  // One tool call, which takes `timeout` at most. A signal at `interrupt` cancels it, and the answer then shows whether
  // the tool may have run. A failure that gRPC itself reports counts as SENT, since the call may have left.
  virtual v1::DispatchAnswer Call(const v1::CallToolRequest& request, Duration timeout, Interrupt* interrupt) = 0;
  virtual std::unique_ptr<AgentWatch> Watch(const v1::WatchAgentsRequest& request) = 0;
};

inline int64_t ConnectedAtMs(const v1::Agent& agent) {
  return agent.connected_at().seconds() * 1000 + agent.connected_at().nanos() / 1000000;
}

}  // namespace toolwire

#endif  // TOOLWIRE_CLI_DISPATCH_CLIENT_H_
