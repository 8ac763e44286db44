// Time, as an argument, so that tests move it by hand. What only waits on a condition variable, or measures how long a
// statement took, reads the machine's clock itself.
#ifndef TOOLWIRE_COMMON_BASE_CLOCK_H_
#define TOOLWIRE_COMMON_BASE_CLOCK_H_

#include <chrono>
#include <cstdint>

namespace toolwire {

// Points and spans on the monotonic clock: deadlines, heartbeats, measured times.
using MonoTime = std::chrono::steady_clock::time_point;
using Duration = std::chrono::steady_clock::duration;

// SEAM: the outside's time. Safe to call from any thread.
class Clock {
 public:
  virtual ~Clock() = default;
  // The monotonic clock: for every comparison and difference.
  virtual MonoTime Now() const = 0;
  // Unix time in milliseconds: only for what people and other machines read.
  virtual int64_t WallMs() const = 0;
};

// The machine's clocks.
class SystemClock final : public Clock {
 public:
  MonoTime Now() const override { return std::chrono::steady_clock::now(); }
  int64_t WallMs() const override {
    return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch())
        .count();
  }
};

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_BASE_CLOCK_H_
