// What a loop keeps of each of its agents, and of a call that takes its time.
#ifndef TOOLWIRE_CLI_AGENT_AGENT_STATE_H_
#define TOOLWIRE_CLI_AGENT_AGENT_STATE_H_

#include <asio.hpp>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "cli/agent/agent.h"
#include "cli/agent/answer_queue.h"
#include "cli/agent/reconnect_wait.h"
#include "cli/agent/ws_client.h"
#include "common/base/clock.h"
#include "common/base/timer_wheel.h"

namespace toolwire::agent_ws {

enum class Phase : uint8_t { kWaiting, kQueued, kDialing, kUpgrading, kOpen, kConnected, kClosing };

// One agent. The phase decides what its timer means: back-off, connect time-out, login time-out or heartbeat.
struct Agent : TimerNode {
  Agent(const AgentLogin& the_login, const AgentOptions& options)
      : login(the_login),
        wait(options.reconnect_min, options.reconnect_max),
        result_bytes_max(options.result_bytes_max),
        answers(options.answer_bytes_max) {}

  const AgentLogin& login;
  ConnectionPtr con;  // While dialing and later; empty while waiting or queued.
  uint32_t calls_running = 0;
  Phase phase = Phase::kQueued;
  bool connected_once = false;
  bool edge_knows_busy = false;  // It takes `tool_busy`.
  ReconnectWait wait;
  MonoTime last_received{};
  size_t result_bytes_max;  // Of the options, or less if its edge takes less.
  AnswerQueue answers;      // They wait for the connection, or for the next one.
};

struct Call {
  std::string request_id;
  std::string tool;
  MonoTime started;
};

// A call that takes its time. The loop's own but for `cancelled`, which the worker reads.
struct RunningCall {
  RunningCall(asio::io_context& io, Call the_call) : call(std::move(the_call)), timer(io) {}

  const Call call;
  asio::steady_timer timer;  // Of a sleep; unused by file tools.
  std::atomic<bool> cancelled{false};
};

}  // namespace toolwire::agent_ws

#endif  // TOOLWIRE_CLI_AGENT_AGENT_STATE_H_
