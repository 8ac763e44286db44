// The time that a stop takes: one deadline for all its steps, and who watches it.
#ifndef TOOLWIRE_COMMON_PROCESS_STOPPING_H_
#define TOOLWIRE_COMMON_PROCESS_STOPPING_H_

#include "common/base/clock.h"
#include "common/base/process_options.h"

namespace toolwire {

// Made when a stop begins. Calls in flight have the drain time; all other steps together end by the time that EndDrain
// returns, which each of them receives. A process that is still there kStopGrace after the drain, as when a name server
// is silent, logs which step hangs and ends with status 1: what the audit log still owes is in its spool.
class Stopping {
 public:
  explicit Stopping(Duration drain_timeout, Duration grace = kStopGrace);
  // No call is in flight any more, or those that are will be given up.
  MonoTime EndDrain();
  // What is done from now on, for that log line; a literal. The last step lasts until the process has ended.
  static void Step(const char* name);

 private:
  const Duration grace_;
};

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_PROCESS_STOPPING_H_
