// What the event loops of `toolwire agent` have in common.
#ifndef TOOLWIRE_CLI_AGENT_SHARED_BY_LOOPS_H_
#define TOOLWIRE_CLI_AGENT_SHARED_BY_LOOPS_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "cli/agent/agent.h"
#include "cli/agent/agent_tools.h"
#include "cli/agent/agent_url.h"
#include "cli/agent/tool_worker.h"
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
  // The clock and the options outlive it.
  SharedByLoops(const Clock& the_clock, const AgentOptions& the_options, AgentTarget the_target,
                std::unique_ptr<AgentTools> the_tools, std::unique_ptr<TlsFiles> the_tls)
      : clock(the_clock),
        options(the_options),
        target(std::move(the_target)),
        tools(std::move(the_tools)),
        tls(std::move(the_tls)),
        many(options.logins.size() > 1),
        each_level(many ? log::Level::kDebug : log::Level::kInfo),
        started(clock.Now()) {}

  const Clock& clock;
  const AgentOptions& options;
  const AgentTarget target;
  const std::unique_ptr<const AgentTools> tools;
  const std::unique_ptr<TlsFiles> tls;  // Null: ws://.
  const bool many;                      // Then lines about single agents are written at level debug, and summed up.
  const log::Level each_level;          // For lines about single agents.
  const MonoTime started;
  std::unique_ptr<ToolWorker> worker = std::make_unique<ToolWorker>(clock, ToolWorker::Options{});  // For all agents.
  std::atomic<int64_t> connected{0};
  std::atomic<int64_t> connected_once{0};  // Agents that have been connected at some time.
  std::atomic<int64_t> answered{0};
  std::atomic<int64_t> cancelled{0};  // Calls that the edge cancelled.
  CountedLine cannot_connect{log::Level::kWarn, "agents cannot connect"};
  CountedLine disconnected{log::Level::kWarn, "agents disconnected"};
  CountedLine frames_ignored{log::Level::kWarn, "frames ignored"};
  CountedLine answers_refused{log::Level::kWarn, "calls refused, the agent is busy"};
  CountedLine answers_dropped{log::Level::kWarn, "answers dropped"};
  CountedLine answers_late{log::Level::kInfo, "answers dropped, nobody waits for them"};
};

}  // namespace toolwire

#endif  // TOOLWIRE_CLI_AGENT_SHARED_BY_LOOPS_H_
