#include "common/base/low_priority_thread.h"

#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>

#include <asio/post.hpp>
#include <utility>

namespace toolwire {

LowPriorityThread::LowPriorityThread(size_t bytes_max, Yields yields) : bytes_max_(bytes_max) {
  asio::post(thread_, [yields] {
    setpriority(PRIO_PROCESS, 0, 10);  // On Linux: of this thread.
    const sched_param none{};
    if (yields == Yields::kAtOnce) pthread_setschedparam(pthread_self(), SCHED_IDLE, &none);
  });
}

LowPriorityThread::~LowPriorityThread() { thread_.join(); }

bool LowPriorityThread::Post(size_t bytes, std::function<void()> work) {
  const size_t before = bytes_.fetch_add(bytes);
  if (before > 0 && before + bytes > bytes_max_) {
    bytes_.fetch_sub(bytes);
    return false;
  }
  asio::post(thread_, [this, bytes, work = std::move(work)]() mutable {
    work();
    work = nullptr;  // What it holds goes before its bytes do.
    bytes_.fetch_sub(bytes);
  });
  return true;
}

}  // namespace toolwire
