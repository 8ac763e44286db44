// Whose messages are read when callers send more than the threads that serve them can take.
#ifndef TOOLWIRE_CONTROL_READING_TURNS_H_
#define TOOLWIRE_CONTROL_READING_TURNS_H_

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>

#include "common/base/clock.h"
#include "common/base/counter.h"
#include "common/base/mutex.h"

namespace toolwire {

// gRPC looks at its sockets when it has nothing else to do. A stream whose next message is always there, such as 2 MB
// of small calls in flow control's window, so kept everybody else waiting for 4 s. Once the messages of all streams
// have taken more than half of the time between two ticks, those with many calls wait, and one of them goes on with
// each tick. Callers that wait for answers never have so many: their calls in flight bound what is there. Thread-safe.
class ReadingTurns {
 public:
  struct Counters : CounterSet {
    LimitCounter waits{this, kControlLimitHits, "reading_time"};
  };
  // Of the messages of all streams in one tick, for each thread.
  static constexpr Duration kBusyMax = std::chrono::milliseconds(6);
  // Of one stream that need not wait, in one tick: 50,000 in a second.
  static constexpr size_t kOwnCallsMax = 500;

  // What one stream has sent in this tick. Its reader's.
  struct Share {
    uint64_t tick = 0;
    size_t calls = 0;
  };

  ReadingTurns(const Clock& clock, int threads) : clock_(clock), busy_max_(kBusyMax * threads) {}

  MonoTime Now() const { return clock_.Now(); }
  // The stream has handled a message with so many calls since `began`. True: it must wait; `resume` will run once, from
  // `Tick`.
  bool MustWait(MonoTime began, size_t calls, Share* share, std::function<void()> resume);
  // Call every 10 ms.
  void Tick();
  const Counters& counters() const { return counters_; }

 private:
  const Clock& clock_;
  const Duration busy_max_;
  Counters counters_;
  std::atomic<uint64_t> tick_{0};
  std::atomic<Duration::rep> busy_{0};  // In this tick.
  Mutex mu_;
  std::deque<std::function<void()>> waiting_ ABSL_GUARDED_BY(mu_);  // At most one of each stream.
};

}  // namespace toolwire

#endif  // TOOLWIRE_CONTROL_READING_TURNS_H_
