// One event loop with its share of the agents: dialing, logging in, answering calls, heartbeats, back-off.
#ifndef TOOLWIRE_CLI_AGENT_AGENT_LOOP_H_
#define TOOLWIRE_CLI_AGENT_AGENT_LOOP_H_

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "cli/agent/agent.h"
#include "cli/agent/agent_tools.h"
#include "cli/agent/agent_url.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mutex.h"
#include "common/tls/tls_files.h"

namespace toolwire {

// A line that is written at most once a second, with the count of what happened since the last. Thread-safe.
class CountedLine {
 public:
  CountedLine(log::Level level, const char* event) : level_(level), event_(event) {}

  void Add(MonoTime now, const std::string& detail) {
    MutexLock lock(mu_);
    ++count_;
    detail_ = detail;
    WriteIfDue(now);
  }
  void Flush(MonoTime now) {
    MutexLock lock(mu_);
    WriteIfDue(now);
  }

 private:
  void WriteIfDue(MonoTime now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (count_ == 0 || (written_.has_value() && now - *written_ < std::chrono::seconds(1))) return;
    log::Write(level_, event_, {{"count", count_}, {"last", detail_}});
    written_ = now;
    count_ = 0;
  }

  const log::Level level_;
  const char* const event_;
  Mutex mu_;
  int64_t count_ ABSL_GUARDED_BY(mu_) = 0;
  std::string detail_ ABSL_GUARDED_BY(mu_);
  std::optional<MonoTime> written_ ABSL_GUARDED_BY(mu_);
};

// What the loops have in common. Constant after construction, atomic, or locked inside.
struct SharedByLoops {
  static constexpr size_t kWorkerQueueMax = 256;   // File tools waiting for their turn, for all agents.
  static constexpr size_t kWorkerThreadsMax = 16;  // So many may hang before others wait.

  SharedByLoops(const AgentOptions& the_options, AgentTarget the_target, std::unique_ptr<AgentTools> the_tools,
                std::unique_ptr<TlsFiles> the_tls)
      : options(the_options),
        target(std::move(the_target)),
        tools(std::move(the_tools)),
        tls(std::move(the_tls)),
        many(options.logins.size() > 1),
        each_level(many ? log::Level::kDebug : log::Level::kInfo),
        started(clock.Now()) {}

  const AgentOptions& options;
  const AgentTarget target;
  const std::unique_ptr<const AgentTools> tools;
  const std::unique_ptr<TlsFiles> tls;  // Null: ws://.
  const bool many;                      // Then lines about single agents are written at level debug, and summed up.
  const log::Level each_level;          // For lines about single agents.
  const SystemClock clock;
  const MonoTime started;
  std::unique_ptr<ToolWorker> worker = std::make_unique<ToolWorker>(kWorkerQueueMax, kWorkerThreadsMax);
  std::atomic<int64_t> connected{0};
  std::atomic<int64_t> connected_once{0};  // Agents that have been connected at some time.
  std::atomic<int64_t> answered{0};
  std::atomic<int64_t> cancelled{0};  // Calls that the edge cancelled.
  CountedLine cannot_connect{log::Level::kWarn, "agents cannot connect"};
  CountedLine disconnected{log::Level::kWarn, "agents disconnected"};
  CountedLine frames_ignored{log::Level::kWarn, "frames ignored"};
  CountedLine answers_refused{log::Level::kWarn, "answers refused, too many bytes wait"};
  CountedLine answers_dropped{log::Level::kWarn, "answers dropped"};
};

// A thread with an event loop and its share of the agents, which it keeps connected: it logs each in, answers its
// calls, and dials again when a connection is lost. What goes wrong with a connection is logged and counted in
// `shared`. Nothing of a loop is touched by other threads, which post to it. File tools run on the threads of
// `shared->worker`, whose jobs post to the loops: it must be gone before they are. Bounded for each agent by the
// options and by the limits at the top of the .cc: calls under way, and answers that wait for the connection or the
// next one. It announces to the edge that it can cancel, and gives no answer to a call that was cancelled: a sleep
// ends, a file tool that waits for its turn does not start, an answer that waits is withdrawn.
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
