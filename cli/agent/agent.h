// A small real agent on a websocketpp client; with --count it is the load generator too.
#ifndef TOOLWIRE_CLI_AGENT_AGENT_H_
#define TOOLWIRE_CLI_AGENT_AGENT_H_

#include <cstddef>
#include <string>
#include <vector>

#include "common/base/clock.h"

namespace toolwire {

struct AgentLogin {
  std::string user_id;
  std::string secret;
};

struct AgentOptions {
  std::string url = "ws://127.0.0.1:8082";  // The edge's address; no credentials in it.
  std::vector<AgentLogin> logins;           // One agent each.
  std::string ca_file;                      // For wss://: whom to trust; empty: the system's CAs.
  std::string server_name;                  // What its certificate must name; empty: the URL's host.
  std::string certificate_file, key_file;   // For an edge that asks for one; may be empty.
  std::string root;                         // The only directory tools see; empty: no file tools.
  int threads = 1;                          // Event loops; agents are spread over them.
  Duration heartbeat_every = std::chrono::seconds(30);
  Duration reconnect_min = std::chrono::seconds(1);   // The first wait after a lost connection, doubling,
  Duration reconnect_max = std::chrono::seconds(60);  // up to here; each wait is varied by up to a quarter.
  int connect_per_second = 4000;  // How fast many agents dial in at first, so that backlogs do not overflow.
  size_t answer_bytes_max = 64u << 20;  // Of one agent's answers, waiting or being made. More calls: AGENT_BUSY.
  size_t params_bytes_max = 16u << 20;  // Calls with more fail. As much as an edge lets through unless it is told.
  size_t result_bytes_max = 16u << 20;  // The same of results: a longer one would end the session.
  int json_depth_max = 1024;            // Of params. Calls with deeper ones fail.
  // Files that the tools never show: they hold the agents' secrets.
  std::vector<std::string> secret_files;
  // Those of users who are not among `logins`, from the same files: no copy of them is shown either.
  std::vector<std::string> other_secrets;
};

// Runs the agents until SIGINT or SIGTERM (blocked in every thread by the caller's main is not required; the agent
// installs its own asio signal_set). Prints one line when all agents are connected for the first time. Returns the
// exit status: 0 after a signal, 1 if it could not start (bad URL, no such root).
int RunAgents(const AgentOptions& options);

}  // namespace toolwire

#endif  // TOOLWIRE_CLI_AGENT_AGENT_H_
