// How long an agent waits before it dials again.
#ifndef TOOLWIRE_CLI_AGENT_RECONNECT_WAIT_H_
#define TOOLWIRE_CLI_AGENT_RECONNECT_WAIT_H_

#include <algorithm>
#include <chrono>

#include "common/base/clock.h"

namespace toolwire {

// Doubling waits. Those after a lost connection begin anew with each connection that comes about: edges stop and start.
// Those after the edge said that another agent of the user took the place are long, and begin anew only after a
// connection that held: both agents wait, and each takes the place of the other when it comes back.
class ReconnectWait {
 public:
  static constexpr Duration kReplacedMin = std::chrono::seconds(30);
  static constexpr Duration kReplacedMax = std::chrono::minutes(5);
  static constexpr int kHeldWaits = 4;  // So many waits: longer than the other agent, one wait ahead, stayed away.

  ReconnectWait(Duration min, Duration max) : min_(min), max_(max), next_(min) {}

  void OnConnected(MonoTime now) {
    next_ = min_;
    connected_at_ = now;
  }
  Duration AfterLoss() {
    const Duration wait = next_;
    next_ = std::min(next_ * 2, max_);
    return wait;
  }
  Duration AfterReplaced(MonoTime now) {
    if (now - connected_at_ >= replaced_ * kHeldWaits) replaced_ = Duration::zero();
    replaced_ = std::min(std::max(replaced_ * 2, kReplacedMin), kReplacedMax);
    return replaced_;
  }
  // Whether the last AfterReplaced was the first of its row.
  bool replaced_first() const { return replaced_ == kReplacedMin; }

 private:
  const Duration min_, max_;
  Duration next_;
  Duration replaced_ = Duration::zero();  // The last wait after another agent took the place.
  MonoTime connected_at_{};
};

}  // namespace toolwire

#endif  // TOOLWIRE_CLI_AGENT_RECONNECT_WAIT_H_
