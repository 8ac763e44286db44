// How a server's clock stands against this machine's.
#ifndef TOOLWIRE_COMMON_BASE_CLOCK_READING_H_
#define TOOLWIRE_COMMON_BASE_CLOCK_READING_H_

#include <chrono>
#include <cstdint>

namespace toolwire {

// How far a server's clock is ahead of this machine's (negative: behind), and by how much that may be wrong: half of
// the time that asking took.
struct ClockReading {
  int64_t skew_ms = 0;
  int64_t uncertainty_ms = 0;
};

// This machine's Unix time in microseconds.
inline int64_t WallUs() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::microseconds>(now).count();
}

// From the server's Unix time, and WallUs before and after it was asked for.
inline ClockReading ReadClock(int64_t server_us, int64_t before_us, int64_t after_us) {
  const int64_t half = (after_us - before_us) / 2;
  return {(server_us - before_us - half) / 1000, half / 1000};
}

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_BASE_CLOCK_READING_H_
