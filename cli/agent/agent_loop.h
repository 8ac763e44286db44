// One event loop with its share of the agents: dialing, logging in, answering calls, heartbeats, back-off.
#ifndef TOOLWIRE_CLI_AGENT_AGENT_LOOP_H_
#define TOOLWIRE_CLI_AGENT_AGENT_LOOP_H_

#include <memory>

#include "cli/agent/agent.h"
#include "cli/agent/shared_by_loops.h"

namespace toolwire {

// A thread with an event loop and its share of the agents, which it keeps connected: it logs each in, answers its calls
// (AgentCalls), and dials again when a connection is lost. What goes wrong with a connection is logged and counted in
// `shared`. Nothing of a loop is touched by other threads, which post to it. File tools run on the threads of
// `shared->worker`, whose jobs post to the loops: it must be gone before they are.
class AgentLoop {
 public:
  // Dials no faster than this, whatever the number of agents.
  AgentLoop(SharedByLoops* shared, double dials_per_second);
  ~AgentLoop();

  // Before Start. `login` outlives the loop.
  void Add(const AgentLogin& login);
  void Start();
  // From any thread: closes all connections and ends the loop, soon.
  void RequestStop();
  // Blocks until the loop has ended.
  void Join();

 private:
  class Impl;  // Keeps asio and websocketpp in one file.
  const std::unique_ptr<Impl> impl_;
};

}  // namespace toolwire

#endif  // TOOLWIRE_CLI_AGENT_AGENT_LOOP_H_
