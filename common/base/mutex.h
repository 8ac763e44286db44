// A mutex and a condition variable whose use clang checks at compile time (scripts/check-locks).
//
// Not absl::Mutex, which has the annotations: ThreadSanitizer does not know Debian's build of it and reports false
// races, and that build searches for deadlocks on every lock (56 ns against 10 ns). So these are std::mutex and
// std::condition_variable with absl's macros, which mean nothing to GCC; libstdc++'s own classes have no annotations.
#ifndef TOOLWIRE_COMMON_BASE_MUTEX_H_
#define TOOLWIRE_COMMON_BASE_MUTEX_H_

#include <condition_variable>
#include <mutex>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "common/base/clock.h"

namespace toolwire {

class ABSL_LOCKABLE Mutex {
 public:
  Mutex() = default;
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  void Lock() ABSL_EXCLUSIVE_LOCK_FUNCTION() { mu_.lock(); }
  void Unlock() ABSL_UNLOCK_FUNCTION() { mu_.unlock(); }
  // For the analysis alone: states in a callback that its caller holds the mutex.
  void AssertHeld() const ABSL_ASSERT_EXCLUSIVE_LOCK() {}

 private:
  friend class CondVar;
  std::mutex mu_;
};

// Holds `mu` from construction to destruction, except between Unlock and Lock.
class ABSL_SCOPED_LOCKABLE MutexLock {
 public:
  explicit MutexLock(Mutex& mu) ABSL_EXCLUSIVE_LOCK_FUNCTION(mu) : mu_(mu) { mu_.Lock(); }
  ~MutexLock() ABSL_UNLOCK_FUNCTION() {
    if (held_) mu_.Unlock();
  }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

  void Unlock() ABSL_UNLOCK_FUNCTION() {
    mu_.Unlock();
    held_ = false;
  }
  void Lock() ABSL_EXCLUSIVE_LOCK_FUNCTION() {
    mu_.Lock();
    held_ = true;
  }

 private:
  Mutex& mu_;
  bool held_ = true;
};

// The caller holds `mu`, which is released while it waits. A predicate runs with `mu` held; if it reads what `mu`
// guards, it says so: [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return stopped_; }
class CondVar {
 public:
  CondVar() = default;
  CondVar(const CondVar&) = delete;
  CondVar& operator=(const CondVar&) = delete;

  // Until it is notified (or the time has passed), or for no reason at all: to be called in a loop.
  void Wait(Mutex& mu) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) {
    Adopted lock(mu.mu_);
    changed_.wait(lock.lock);
  }
  void WaitFor(Mutex& mu, Duration limit) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) {
    Adopted lock(mu.mu_);
    changed_.wait_for(lock.lock, limit);
  }
  void WaitUntil(Mutex& mu, MonoTime end) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) {
    Adopted lock(mu.mu_);
    changed_.wait_until(lock.lock, end);
  }

  // Until `ready()` is true. The analysis cannot know that a predicate's mutex is `mu`; so it is not made in these.
  template <typename Ready>
  void Wait(Mutex& mu, Ready ready) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    Adopted lock(mu.mu_);
    changed_.wait(lock.lock, std::move(ready));
  }
  // Until `ready()` is true or the time has passed. Returns the last `ready()`.
  template <typename Ready>
  bool WaitFor(Mutex& mu, Duration limit, Ready ready)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    Adopted lock(mu.mu_);
    return changed_.wait_for(lock.lock, limit, std::move(ready));
  }
  template <typename Ready>
  bool WaitUntil(Mutex& mu, MonoTime end, Ready ready)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    Adopted lock(mu.mu_);
    return changed_.wait_until(lock.lock, end, std::move(ready));
  }

  void NotifyOne() { changed_.notify_one(); }
  void NotifyAll() { changed_.notify_all(); }

 private:
  // std::condition_variable wants a std::unique_lock; the mutex stays the caller's, also when a predicate throws.
  struct Adopted {
    explicit Adopted(std::mutex& mu) : lock(mu, std::adopt_lock) {}
    ~Adopted() { lock.release(); }
    std::unique_lock<std::mutex> lock;
  };
  std::condition_variable changed_;
};

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_BASE_MUTEX_H_
