// Calls a function again and again from a thread of its own.
#ifndef TOOLWIRE_COMMON_BASE_TICKER_H_
#define TOOLWIRE_COMMON_BASE_TICKER_H_

#include <functional>
#include <thread>
#include <utility>

#include "common/base/clock.h"
#include "common/base/mutex.h"

namespace toolwire {

// From construction to destruction, which waits for the call that is running.
class Ticker {
 public:
  Ticker(Duration every, std::function<void()> tick)
      : thread_([this, every, tick = std::move(tick)] {
          MutexLock lock(mu_);
          while (!wake_.WaitFor(mu_, every, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return stopped_; })) {
            lock.Unlock();
            tick();
            lock.Lock();
          }
        }) {}
  ~Ticker() {
    {
      MutexLock lock(mu_);
      stopped_ = true;
    }
    wake_.NotifyOne();
    thread_.join();
  }
  Ticker(const Ticker&) = delete;
  Ticker& operator=(const Ticker&) = delete;

 private:
  Mutex mu_;
  CondVar wake_;
  bool stopped_ ABSL_GUARDED_BY(mu_) = false;
  std::thread thread_;  // Last: it uses the others.
};

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_BASE_TICKER_H_
