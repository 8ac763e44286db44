// A thread for work that takes milliseconds, of which threads that many wait for must be free.
#ifndef TOOLWIRE_COMMON_BASE_LOW_PRIORITY_THREAD_H_
#define TOOLWIRE_COMMON_BASE_LOW_PRIORITY_THREAD_H_

#include <asio/thread_pool.hpp>
#include <atomic>
#include <cstddef>
#include <functional>

namespace toolwire {

// Does one piece of work after another, at a lower priority than all other threads. Thread-safe.
class LowPriorityThread {
 public:
  // kAtOnce: a thread that wakes runs at once in its place, where it would wait for up to 4 ms otherwise; for work that
  // hardly allocates, as a lock of malloc's could be held until a processor is free again.
  enum class Yields { kSoon, kAtOnce };
  // `bytes_max`: of the work that waits and runs. One piece may always wait.
  explicit LowPriorityThread(size_t bytes_max, Yields yields = Yields::kSoon);
  // Finishes what waits.
  ~LowPriorityThread();

  // False if too much waits: `work` will not run.
  bool Post(size_t bytes, std::function<void()> work);

 private:
  const size_t bytes_max_;
  std::atomic<size_t> bytes_{0};
  asio::thread_pool thread_{1};
};

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_BASE_LOW_PRIORITY_THREAD_H_
