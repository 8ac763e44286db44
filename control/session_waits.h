// Calls that wait for the next session of their agent, found by user.
#ifndef TOOLWIRE_CONTROL_SESSION_WAITS_H_
#define TOOLWIRE_CONTROL_SESSION_WAITS_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "common/base/clock.h"
#include "common/base/timer_wheel.h"

namespace toolwire {

// Knows calls by id. Each user has one pause after which its agent is to be looked up again, for all its calls. Bounded
// by the calls in flight.
class SessionWaits {
 public:
  // A lease is released, or its session opens, within some milliseconds; the event of the session ends most waits.
  // Pauses double, since each costs the registry a look-up.
  static constexpr Duration kFirstPause = std::chrono::milliseconds(20);
  static constexpr Duration kLongestPause = std::chrono::milliseconds(320);

  SessionWaits(Duration tick, MonoTime now) : wheel_(tick, 64, now) {}

  // Does nothing if the call waits already.
  void Add(const std::string& user_id, uint64_t call_id, MonoTime now);
  // Does nothing if the call does not wait.
  void Remove(std::string_view user_id, uint64_t call_id);

  size_t calls() const { return calls_; }
  bool HasCallsOf(std::string_view user_id) const { return users_.contains(user_id); }
  // In the order of their ids.
  std::vector<uint64_t> CallsOf(std::string_view user_id) const;
  // Users that are to be looked up now, `at_most` so many; their pauses begin anew.
  std::vector<std::string> TakeDue(MonoTime now, size_t at_most);

 private:
  struct User : TimerNode {
    std::string user_id;
    std::set<uint64_t> calls;
    Duration pause = kFirstPause;
  };

  TimerWheel wheel_;
  absl::flat_hash_map<std::string_view, std::unique_ptr<User>> users_;  // Keys point into the users.
  size_t calls_ = 0;
};

}  // namespace toolwire

#endif  // TOOLWIRE_CONTROL_SESSION_WAITS_H_
