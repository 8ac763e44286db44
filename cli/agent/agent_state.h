// What a loop keeps of each of its agents.
#ifndef TOOLWIRE_CLI_AGENT_AGENT_STATE_H_
#define TOOLWIRE_CLI_AGENT_AGENT_STATE_H_

#include <asio.hpp>
#include <cstdint>
#include <functional>
#include <utility>

#include "cli/agent/agent.h"
#include "cli/agent/agent_calls.h"
#include "cli/agent/reconnect_wait.h"
#include "cli/agent/shared_by_loops.h"
#include "cli/agent/ws_client.h"
#include "common/base/clock.h"
#include "common/base/timer_wheel.h"

namespace toolwire::agent_ws {

enum class Phase : uint8_t { kWaiting, kQueued, kDialing, kUpgrading, kOpen, kConnected, kClosing };

// One agent. The phase decides what its timer means: back-off, connect time-out, login time-out or heartbeat.
struct Agent : TimerNode {
  // `on_answer`: there may be an answer to send.
  Agent(asio::io_context& io, SharedByLoops* shared, const AgentLogin& the_login, std::function<void(Agent*)> on_answer)
      : login(the_login),
        wait(shared->options.reconnect_min, shared->options.reconnect_max),
        calls(io, shared, the_login.user_id, [this, on_answer = std::move(on_answer)] { on_answer(this); }) {}

  const AgentLogin& login;
  ConnectionPtr con;  // While dialing and later; empty while waiting or queued.
  Phase phase = Phase::kQueued;
  bool connected_once = false;
  bool asked_edge = false;  // Answers wait for the edge's hello_ack, and a heartbeat was sent: it shows if none comes.
  MonoTime asked_at{};      // When.
  ReconnectWait wait;
  MonoTime last_received{};
  AgentCalls calls;
};

}  // namespace toolwire::agent_ws

#endif  // TOOLWIRE_CLI_AGENT_AGENT_STATE_H_
