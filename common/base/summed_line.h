// A log line that peers can cause as often as they like.
#ifndef TOOLWIRE_COMMON_BASE_SUMMED_LINE_H_
#define TOOLWIRE_COMMON_BASE_SUMMED_LINE_H_

#include <cstdint>
#include <optional>
#include <utility>

#include "common/base/clock.h"

namespace toolwire {

// Says which of them are written, so that a log grows with time and not with what peers do. Not thread-safe: one for
// each thread, or under a lock.
class SummedLine {
 public:
  // At most `at_once` lines in each `every`.
  explicit SummedLine(Duration every, int at_once = 1) : every_(every), at_once_(at_once) {}

  // Whether this line is to be written, and then how many were not since the last one.
  std::optional<int64_t> Take(MonoTime now) {
    if (!since_ || now - *since_ >= every_) {
      since_ = now;
      written_ = 0;
    }
    if (written_ >= at_once_) {
      ++left_out_;
      return std::nullopt;
    }
    ++written_;
    return std::exchange(left_out_, 0);
  }

 private:
  const Duration every_;
  const int at_once_;
  std::optional<MonoTime> since_;
  int written_ = 0;  // Since then.
  int64_t left_out_ = 0;
};

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_BASE_SUMMED_LINE_H_
