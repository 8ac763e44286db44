// Ctrl-C for commands that wait.
#ifndef TOOLWIRE_CLI_INTERRUPT_H_
#define TOOLWIRE_CLI_INTERRUPT_H_

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

#include "common/base/clock.h"

namespace toolwire {

// Construct before any other thread: SIGINT and SIGTERM are held back in every thread from then on. The first one is
// told to the command; a second one ends the process at once.
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

  std::mutex mu_;  // Guards what follows; held while the action runs.
  std::condition_variable came_;
  std::function<void()> action_;
  bool seen_ = false;
  std::thread thread_;
};

}  // namespace toolwire

#endif  // TOOLWIRE_CLI_INTERRUPT_H_
