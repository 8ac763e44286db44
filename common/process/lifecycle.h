// The signals that stop a process, and its regular metrics line.
#ifndef TOOLWIRE_COMMON_PROCESS_LIFECYCLE_H_
#define TOOLWIRE_COMMON_PROCESS_LIFECYCLE_H_

#include <functional>
#include <string>

#include "common/base/clock.h"

namespace toolwire {

// Construct first in main, before any thread: SIGINT and SIGTERM are held back in every thread from then on, and
// SIGPIPE is ignored.
class StopSignal {
 public:
  StopSignal();

  // Returns when SIGINT or SIGTERM comes; calls `regularly` every `every` until then. The process is ready when this is
  // called, and the service manager is notified of that, and of the stop. A second signal afterwards ends
  // the process at once, for operators who do not want to wait for the drain.
  void Wait(Duration every, const std::function<void()>& regularly);
};

// Sends a state, such as READY=1, to the socket that systemd names in NOTIFY_SOCKET (Type=notify); else nothing.
void NotifyServiceManager(const std::string& state);

// How often a process logs its numbers.
inline constexpr Duration kMetricsLineEvery = std::chrono::seconds(60);

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_PROCESS_LIFECYCLE_H_
