// A thread for work that takes milliseconds, of which threads that many wait for must be free.
#ifndef TOOLWIRE_COMMON_BASE_LOW_PRIORITY_THREAD_H_
#define TOOLWIRE_COMMON_BASE_LOW_PRIORITY_THREAD_H_

#include <cstddef>
#include <deque>
#include <functional>
#include <thread>
#include <utility>

#include "common/base/mutex.h"

namespace toolwire {

// Does one piece of work after another, at a lower priority than all other threads. Thread-safe.
class LowPriorityThread {
 public:
  // `bytes_max`: of the work that waits and runs. One piece may always wait.
  explicit LowPriorityThread(size_t bytes_max) : bytes_max_(bytes_max), thread_([this] { Run(); }) {}
  // Finishes what waits.
  ~LowPriorityThread();

  // False if too much waits: `work` will not run.
  bool Post(size_t bytes, std::function<void()> work);

 private:
  struct Work {
    size_t bytes = 0;
    std::function<void()> run;
  };
  void Run();

  const size_t bytes_max_;
  Mutex mu_;
  CondVar wake_;
  std::deque<Work> queue_ ABSL_GUARDED_BY(mu_);
  size_t bytes_ ABSL_GUARDED_BY(mu_) = 0;  // Of the queue, and of the work that runs.
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::thread thread_;  // Last: it uses the others.
};

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_BASE_LOW_PRIORITY_THREAD_H_
