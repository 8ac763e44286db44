// Threads for the file tools, which may block for as long as a drive does.
#ifndef TOOLWIRE_CLI_AGENT_TOOL_WORKER_H_
#define TOOLWIRE_CLI_AGENT_TOOL_WORKER_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <thread>

#include "common/base/clock.h"
#include "common/base/mutex.h"

namespace toolwire {

// Runs jobs in their order, on threads that are made as they are needed. A job that hangs, as on a network drive that
// is gone, costs its thread and no more: it does not count among those that may work, until too many hang. Then jobs
// are refused at once rather than kept waiting for what may never end. Thread-safe.
class ToolWorker {
 public:
  struct Options {
    size_t queue_max = 256;   // Jobs that wait for their turn.
    size_t threads_max = 16;  // Threads, beside those that hang.
    size_t hung_max = 48;     // Threads more, in the place of those that hang.
    Duration hung_after = std::chrono::milliseconds(500);  // A job that takes longer counts as hung until it ends.
  };
  struct Job {
    std::function<void()> run;
    // In its place, on any thread and with no lock held, if the job waited and all threads hang.
    std::function<void()> refused;
    // Once, on any thread and with no lock held, if it is found that it hangs; it may go on, or have ended meanwhile.
    std::function<void()> hangs;
  };

  ToolWorker(const Clock& clock, Options options);
  // Waits for the jobs at hand, unless Stop was false; those that wait are forgotten.
  ~ToolWorker();

  // The job's number; 0 if there is no room for it: it will neither run nor be refused later.
  uint64_t Submit(Job job);
  // True if the job still waited: now it will neither run nor be refused.
  bool Cancel(uint64_t number);
  // Finds jobs that hang. Makes threads in their place, and refuses what waits if they are too many. Call several times a
  // second.
  void Look();
  // Forgets the jobs that wait and waits for those at hand. False if one hangs for longer than `limit`: then neither
  // this nor what its jobs use may be destroyed, and all that is left is to end the process.
  bool Stop(Duration limit);

 private:
  struct Thread {
    std::thread thread;
    bool at_work = false;
    MonoTime began;               // Its job.
    std::function<void()> hangs;  // Of its job, until it is called.
  };
  struct Waiting {
    uint64_t number;
    Job job;
  };

  void Run(Thread* self);
  bool AllHangLocked(MonoTime now) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool HangsLocked(const Thread& thread, MonoTime now) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  size_t HungLocked(MonoTime now) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // As many as the jobs that wait need. False if there is none at all.
  bool MakeThreadsLocked(MonoTime now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const Clock& clock_;
  const Options options_;
  Mutex mu_;
  CondVar wake_;  // A job, or the end, for threads; a thread that has ended, for Stop.
  std::deque<Waiting> queue_ ABSL_GUARDED_BY(mu_);
  std::list<Thread> threads_ ABSL_GUARDED_BY(mu_);
  size_t idle_ ABSL_GUARDED_BY(mu_) = 0;     // Threads that have no job, or have just been made.
  size_t running_ ABSL_GUARDED_BY(mu_) = 0;  // Threads that have not ended.
  uint64_t last_number_ ABSL_GUARDED_BY(mu_) = 0;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace toolwire

#endif  // TOOLWIRE_CLI_AGENT_TOOL_WORKER_H_
