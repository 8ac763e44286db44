// Ctrl-C for commands that wait.
#ifndef TOOLWIRE_CLI_INTERRUPT_H_
#define TOOLWIRE_CLI_INTERRUPT_H_

#include <functional>
#include <thread>

#include "common/base/clock.h"
#include "common/base/mutex.h"

namespace toolwire {

// Construct before any other thread: SIGINT and SIGTERM are blocked in every thread from then on. The first one is
// passed to the command; a second one ends the process at once.
class Interrupt {
 public:
  Interrupt();
  ~Interrupt();

  // What the signal does, on a thread of its own; at once if it has come. Replaces what was set before; after this
  // returns that does not run any more. Must not call back.
  void Set(std::function<void()> action);
  bool seen();
  // Waits. True if the signal has come, which ends the wait.
  bool WaitFor(Duration time);

 private:
  void Run();

  Mutex mu_;  // Held while the action runs.
  CondVar came_;
  std::function<void()> action_ ABSL_GUARDED_BY(mu_);
  bool seen_ ABSL_GUARDED_BY(mu_) = false;
  std::thread thread_;
};

}  // namespace toolwire

#endif  // TOOLWIRE_CLI_INTERRUPT_H_
