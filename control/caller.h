// Somebody who has shown that he may call.
#ifndef TOOLWIRE_CONTROL_CALLER_H_
#define TOOLWIRE_CONTROL_CALLER_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "control/tokens.h"
#include "control/user_bound.h"

namespace toolwire {

// Calls and streams keep it for as long as they live. Thread-safe.
class Caller {
 public:
  struct Counts {
    std::atomic<uint64_t> calls{0};
  };
  using Removed = std::shared_ptr<std::atomic<bool>>;

  // By a line of the token file.
  Caller(const Token& token, std::shared_ptr<Counts> counts)
      : Caller(token.name, token.scopes, token.users, token.expires_ms, std::make_shared<std::atomic<bool>>(false),
               std::move(counts)) {}
  Caller(std::string name, unsigned scopes, UserBound users, int64_t expires_ms, Removed removed,
         std::shared_ptr<Counts> counts)
      : name(std::move(name)),
        scopes(scopes),
        users(std::move(users)),
        expires_ms(expires_ms),
        counts(std::move(counts)),
        removed_(std::move(removed)) {}

  // `admin` is every scope.
  bool May(Scope scope) const {
    return (scopes & (static_cast<unsigned>(scope) | static_cast<unsigned>(Scope::kAdmin))) != 0;
  }
  bool HasExpired(int64_t wall_ms) const { return wall_ms >= expires_ms.load(std::memory_order_relaxed); }
  // What he was admitted by is gone: he may not do anything any more.
  bool IsRemoved() const { return removed_->load(std::memory_order_relaxed); }
  void Remove() { removed_->store(true, std::memory_order_relaxed); }

  const std::string name;  // In logs and audit rows.
  const unsigned scopes;
  const UserBound users;
  std::atomic<int64_t> expires_ms;       // Of a line, it may change while the rest stays.
  const std::shared_ptr<Counts> counts;  // Of all callers with this name, or of one program.

 private:
  const Removed removed_;  // Of the line, or of the key that signed the token.
};

}  // namespace toolwire

#endif  // TOOLWIRE_CONTROL_CALLER_H_
