// A thread for params and results in the form for use by hand, which take milliseconds to read and make.
#ifndef TOOLWIRE_CONTROL_HAND_FORM_THREAD_H_
#define TOOLWIRE_CONTROL_HAND_FORM_THREAD_H_

#include <cstddef>
#include <deque>
#include <functional>
#include <thread>
#include <utility>

#include "common/base/mutex.h"

namespace toolwire {

// Does one piece of work after another, at a lower priority than all other threads: gRPC's, which reads all callers,
// and links' threads, which settle calls, must not wait for it. Thread-safe.
class HandFormThread {
 public:
  // Of params, and of results as JSON, that wait: some 200 ms of work. One may always wait.
  static constexpr size_t kQueueBytesMax = 16u << 20;

  HandFormThread() : thread_([this] { Run(); }) {}
  // Finishes what waits.
  ~HandFormThread();

  // False if too much waits: `work` will not run.
  bool Post(size_t bytes, std::function<void()> work);

 private:
  struct Work {
    size_t bytes = 0;
    std::function<void()> run;
  };
  void Run();

  Mutex mu_;
  CondVar wake_;
  std::deque<Work> queue_ ABSL_GUARDED_BY(mu_);
  size_t bytes_ ABSL_GUARDED_BY(mu_) = 0;  // Of the queue, and of the work that runs.
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::thread thread_;  // Last: it uses the others.
};

}  // namespace toolwire

#endif  // TOOLWIRE_CONTROL_HAND_FORM_THREAD_H_
