// The signals that stop a process, and its regular metrics line.
#ifndef TOOLWIRE_COMMON_PROCESS_LIFECYCLE_H_
#define TOOLWIRE_COMMON_PROCESS_LIFECYCLE_H_

#include <functional>
#include <string>
#include <vector>

#include "common/base/clock.h"

namespace toolwire {

// Construct first in main, before any thread: SIGINT, SIGTERM and SIGHUP are held back in every thread from then on,
// and SIGPIPE is ignored.
class StopSignal {
 public:
  StopSignal();

  // Looks whether files of the process have changed; `now`: somebody says so by SIGHUP.
  using LookAtFiles = std::function<void(bool now)>;
  // Those of several owners as one; those that are empty have no files, and if all are, this is, too.
  static LookAtFiles LookAtAll(std::vector<LookAtFiles> all);

  // Returns when SIGINT or SIGTERM comes; calls `regularly` every `every` until then, and `look_at_files` every second
  // and at SIGHUP, which without it is a stop, too: the terminal is gone. The process is ready when this is called, and
  // the service manager is notified of that, and of the stop. A second signal afterwards ends the process at once, for
  // operators who do not want to wait for the drain.
  void Wait(Duration every, const std::function<void()>& regularly, const LookAtFiles& look_at_files = {});
};

// Sends a state, such as READY=1, to the socket that systemd names in NOTIFY_SOCKET (Type=notify); else nothing.
void NotifyServiceManager(const std::string& state);

// How often a process logs its numbers.
inline constexpr Duration kMetricsLineEvery = std::chrono::seconds(60);

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_PROCESS_LIFECYCLE_H_
