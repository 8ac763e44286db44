// Calls a function again and again from a thread of its own.
#ifndef TOOLWIRE_COMMON_BASE_TICKER_H_
#define TOOLWIRE_COMMON_BASE_TICKER_H_

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>

#include "common/base/clock.h"

namespace toolwire {

// From construction to destruction, which waits for the call that is running.
class Ticker {
 public:
  Ticker(Duration every, std::function<void()> tick)
      : thread_([this, every, tick = std::move(tick)] {
          std::unique_lock<std::mutex> lock(mu_);
          while (!wake_.wait_for(lock, every, [this] { return stopped_; })) {
            lock.unlock();
            tick();
            lock.lock();
          }
        }) {}
  ~Ticker() {
    {
      std::lock_guard<std::mutex> lock(mu_);
      stopped_ = true;
    }
    wake_.notify_one();
    thread_.join();
  }
  Ticker(const Ticker&) = delete;
  Ticker& operator=(const Ticker&) = delete;

 private:
  std::mutex mu_;
  std::condition_variable wake_;
  bool stopped_ = false;  // Guarded by mu_.
  std::thread thread_;    // Last: it uses the others.
};

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_BASE_TICKER_H_
