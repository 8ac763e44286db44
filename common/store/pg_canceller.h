// Ends a statement whose caller has gone: PostgreSQL would run it to its end.
#ifndef TOOLWIRE_COMMON_STORE_PG_CANCELLER_H_
#define TOOLWIRE_COMMON_STORE_PG_CANCELLER_H_

#include <functional>
#include <thread>

#include "common/base/mutex.h"

namespace toolwire {

// While it lives, its thread asks `is_gone` ten times a second, and once that is true calls `cancel` again and again: a
// request to cancel that comes between two statements is lost. Neither is called after the destructor, which waits for
// one under way.
class PgCanceller {
 public:
  PgCanceller(std::function<bool()> is_gone, std::function<void()> cancel);
  ~PgCanceller() { Stop(); }
  PgCanceller(const PgCanceller&) = delete;
  PgCanceller& operator=(const PgCanceller&) = delete;

  // From now on neither is called. True if `cancel` was.
  bool Stop();

 private:
  void Run();

  const std::function<bool()> is_gone_;
  const std::function<void()> cancel_;

  Mutex mu_;
  CondVar wake_;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  bool cancelled_ = false;  // The thread's own, and Stop's after it.
  std::thread thread_;
};

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_STORE_PG_CANCELLER_H_
