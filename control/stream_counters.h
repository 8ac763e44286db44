// How often callers' streams hit their limits.
#ifndef TOOLWIRE_CONTROL_STREAM_COUNTERS_H_
#define TOOLWIRE_CONTROL_STREAM_COUNTERS_H_

#include "common/base/counter.h"

namespace toolwire {

// Of all streams together; written by gRPC's threads.
struct StreamCounters : CounterSet {
  LimitCounter stream_calls_full{this, kControlLimitHits, "stream_calls"};
  LimitCounter message_full{this, kControlLimitHits, "message_calls"};
  LimitCounter watch_users_full{this, kControlLimitHits, "watch_users"};
  LimitCounter answers_unread{this, kControlLimitHits, "stream_unread_bytes"};
  LimitCounter stream_ended{this, kControlLimitHits, "stream_unread_bytes_end"};
  LimitCounter ended_unread{this, kControlLimitHits, "ended_stream_unread"};
  LimitCounter stream_idle{this, kControlLimitHits, "stream_idle"};
  Counter life_signs{this, "toolwire_control_life_signs_total",
                     "Empty replies that told callers with calls in flight, or who follow users, that control lives."};
  LimitCounter events_unread{this, kControlLimitHits, "watch_unread_bytes"};
};

}  // namespace toolwire

#endif  // TOOLWIRE_CONTROL_STREAM_COUNTERS_H_
