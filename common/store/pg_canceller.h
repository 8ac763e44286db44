// Ends a statement whose caller has gone: PostgreSQL would run it to its end.
#ifndef TOOLWIRE_COMMON_STORE_PG_CANCELLER_H_
#define TOOLWIRE_COMMON_STORE_PG_CANCELLER_H_

#include <functional>
#include <memory>
#include <thread>

namespace toolwire {

// While it lives, its thread asks `is_gone` ten times a second, and once that is true calls `cancel` again and again: a
// request to cancel that comes between two statements is lost. A `cancel` may hang for as long as the server does, which
// nothing waits for: it must own what it touches. `is_gone` is not called after Stop or the destructor.
class PgCanceller {
 public:
  PgCanceller(std::function<bool()> is_gone, std::function<void()> cancel);
  ~PgCanceller() { Stop(); }
  PgCanceller(const PgCanceller&) = delete;
  PgCanceller& operator=(const PgCanceller&) = delete;

  // From now on neither is called; a `cancel` may still be under way. True if one was begun.
  bool Stop();

 private:
  struct State;

  const std::shared_ptr<State> state_;
  std::thread thread_;
};

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_STORE_PG_CANCELLER_H_
