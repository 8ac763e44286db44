// How late a caller's messages are, by its own clock.
#ifndef TOOLWIRE_CONTROL_SENDER_CLOCK_H_
#define TOOLWIRE_CONTROL_SENDER_CLOCK_H_

#include <cstdint>
#include <limits>

#include "common/base/clock.h"

namespace toolwire {

// Of one stream. The message that took least of the last minute counts as one without delay; what another took longer
// it was late. After a minute without messages the last ones still say it, less what clocks may differ in their pace.
// Not thread-safe.
class SenderClock {
 public:
  // How late a message with this clock, in milliseconds from any start, is `now`. 0: it says nothing, and is not late.
  Duration Late(uint64_t clock_ms, MonoTime now);

 private:
  static constexpr int64_t kNone = std::numeric_limits<int64_t>::max();

  int64_t least_ = kNone, before_ = kNone;  // Differences to this clock, in ms, of two half minutes.
  MonoTime since_{};                        // The newer half's begin.
};

}  // namespace toolwire

#endif  // TOOLWIRE_CONTROL_SENDER_CLOCK_H_
