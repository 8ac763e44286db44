#include "control/sender_clock.h"

#include <algorithm>
#include <chrono>

namespace toolwire {
namespace {

constexpr Duration kHalf = std::chrono::seconds(30);
// A clock that is set right by degrees runs up to 0.05 % faster or slower.
constexpr int kDriftPart = 1000;
// Longer than any call may take.
constexpr int64_t kLateMaxMs = 24ll * 3600 * 1000;

}  // namespace

Duration SenderClock::Late(uint64_t clock_ms, MonoTime now) {
  if (clock_ms == 0) return Duration::zero();
  const int64_t now_ms = std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count();
  // A caller may say any clock: the difference wraps around, and only that caller's messages are judged by it.
  const auto since = static_cast<int64_t>(static_cast<uint64_t>(now_ms) - clock_ms);
  if (now - since_ > kHalf) {
    const int64_t known = std::min(least_, before_);
    before_ = least_;
    if (known != kNone && now - since_ > 2 * kHalf) {
      const int64_t idle_ms = std::chrono::duration_cast<std::chrono::milliseconds>(now - since_).count();
      before_ = known > kNone - 1 - idle_ms ? kNone : known + idle_ms / kDriftPart;
    }
    least_ = kNone;
    since_ = now;
  }
  least_ = std::min(least_, since);
  const int64_t least = std::min(least_, before_);
  if (since <= least) return Duration::zero();
  const uint64_t late = static_cast<uint64_t>(since) - static_cast<uint64_t>(least);
  return std::chrono::milliseconds(std::min<uint64_t>(late, kLateMaxMs));
}

}  // namespace toolwire
