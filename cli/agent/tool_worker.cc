#include "cli/agent/tool_worker.h"

#include <algorithm>
#include <system_error>
#include <utility>
#include <vector>

namespace toolwire {

ToolWorker::ToolWorker(const Clock& clock, Options options) : clock_(clock), options_(options) {}

ToolWorker::~ToolWorker() {
  std::list<Thread> threads;
  {
    MutexLock lock(mu_);
    stopping_ = true;
    queue_.clear();
    threads.swap(threads_);  // Each keeps its place in memory.
  }
  wake_.NotifyAll();
  for (Thread& thread : threads) thread.thread.join();
}

uint64_t ToolWorker::Submit(Job job) {
  uint64_t number = 0;
  {
    MutexLock lock(mu_);
    const MonoTime now = clock_.Now();
    if (stopping_ || queue_.size() >= options_.queue_max || AllHangLocked(now)) return 0;
    number = ++last_number_;
    queue_.push_back({number, std::move(job)});
    if (!MakeThreadsLocked(now)) {
      queue_.pop_back();
      return 0;
    }
  }
  wake_.NotifyAll();
  return number;
}

bool ToolWorker::Cancel(uint64_t number) {
  Waiting cancelled{};  // What it holds is let go of without the lock.
  MutexLock lock(mu_);
  const auto found = std::find_if(queue_.begin(), queue_.end(),
                                  [number](const Waiting& waiting) { return waiting.number == number; });
  if (found == queue_.end()) return false;
  cancelled = std::move(*found);
  queue_.erase(found);
  return true;
}

void ToolWorker::Look() {
  std::deque<Waiting> refused;
  std::vector<std::function<void()>> found;
  {
    MutexLock lock(mu_);
    if (stopping_) return;
    const MonoTime now = clock_.Now();
    for (Thread& thread : threads_) {
      if (HangsLocked(thread, now) && thread.hangs) found.push_back(std::exchange(thread.hangs, nullptr));
    }
    if (AllHangLocked(now)) {
      refused.swap(queue_);
    } else {
      MakeThreadsLocked(now);
    }
  }
  wake_.NotifyAll();
  for (const auto& hangs : found) hangs();
  for (const Waiting& waiting : refused) waiting.job.refused();
}

bool ToolWorker::HangsLocked(const Thread& thread, MonoTime now) const {
  return thread.at_work && now - thread.began >= options_.hung_after;
}

size_t ToolWorker::HungLocked(MonoTime now) const {
  size_t hung = 0;
  for (const Thread& thread : threads_) hung += HangsLocked(thread, now) ? 1 : 0;
  return hung;
}

bool ToolWorker::AllHangLocked(MonoTime now) const {
  return running_ >= options_.threads_max + options_.hung_max && HungLocked(now) == running_;
}

bool ToolWorker::MakeThreadsLocked(MonoTime now) {
  const size_t hung = std::min(HungLocked(now), options_.hung_max);
  while (queue_.size() > idle_ && running_ < options_.threads_max + hung) {
    Thread& made = threads_.emplace_back();
    try {
      made.thread = std::thread([this, self = &made] { Run(self); });
    } catch (const std::system_error&) {  // No more threads for this process: those that are there take it.
      threads_.pop_back();
      return running_ > 0;
    }
    ++running_;
    ++idle_;
  }
  return true;
}

bool ToolWorker::Stop(Duration limit) {
  std::deque<Waiting> forgotten;  // What they hold is let go of without the lock.
  MutexLock lock(mu_);
  stopping_ = true;
  forgotten.swap(queue_);
  wake_.NotifyAll();
  return wake_.WaitFor(mu_, limit, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return running_ == 0; });
}

void ToolWorker::Run(Thread* self) {
  MutexLock lock(mu_);
  for (;;) {
    wake_.Wait(mu_, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return stopping_ || !queue_.empty(); });
    --idle_;
    if (stopping_) break;
    Job job = std::move(queue_.front().job);
    queue_.pop_front();
    self->at_work = true;
    self->began = clock_.Now();
    self->hangs = std::move(job.hangs);
    lock.Unlock();
    job.run();
    job = {};  // What it holds is let go of without the lock.
    lock.Lock();
    self->at_work = false;
    std::function<void()> unused;
    unused.swap(self->hangs);
    ++idle_;
  }
  --running_;
  wake_.NotifyAll();
}

}  // namespace toolwire
