#include "common/base/low_priority_thread.h"

#include <sys/resource.h>

namespace toolwire {

LowPriorityThread::~LowPriorityThread() {
  {
    MutexLock lock(mu_);
    stopping_ = true;
  }
  wake_.NotifyOne();
  thread_.join();
}

bool LowPriorityThread::Post(size_t bytes, std::function<void()> work) {
  {
    MutexLock lock(mu_);
    if (bytes_ > 0 && bytes_ + bytes > bytes_max_) return false;
    bytes_ += bytes;
    queue_.push_back(Work{bytes, std::move(work)});
  }
  wake_.NotifyOne();
  return true;
}

void LowPriorityThread::Run() {
  setpriority(PRIO_PROCESS, 0, 10);  // On Linux: of this thread.
  for (;;) {
    Work work;
    {
      MutexLock lock(mu_);
      wake_.Wait(mu_, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return !queue_.empty() || stopping_; });
      if (queue_.empty()) return;
      work = std::move(queue_.front());
      queue_.pop_front();
    }
    work.run();
    work.run = nullptr;
    MutexLock lock(mu_);
    bytes_ -= work.bytes;
  }
}

}  // namespace toolwire
