// Whose messages are read when callers send more than the threads that serve them can take.
#ifndef TOOLWIRE_CONTROL_READING_TURNS_H_
#define TOOLWIRE_CONTROL_READING_TURNS_H_

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>

#include "common/base/clock.h"
#include "common/base/counter.h"
#include "common/base/mutex.h"

namespace toolwire {

// gRPC looks at its sockets when it has nothing else to do. A stream whose next message is always there, such as 2 MB
// of small calls in flow control's window, so kept everybody else waiting for 4 s. Once the messages of all streams
// have taken more than half of the time between two ticks, those whose messages cost much wait, and with each tick as
// many go on as there is time for. Callers that wait for answers never have so much: their calls in flight bound what
// is there. Thread-safe.
class ReadingTurns {
 public:
  struct Counters : CounterSet {
    LimitCounter waits{this, kControlLimitHits, "reading_time"};
  };
  // Of the messages of all streams in one tick, for each thread.
  static constexpr Duration kBusyMax = std::chrono::milliseconds(6);
  // Of one stream that need not wait, in one tick: 50,000 messages of one small call in a second.
  static constexpr Duration kOwnCostMax = std::chrono::milliseconds(3);

  // What a message has, and the time that it takes by that. Its own time may be that of other threads, on a machine
  // that is busy.
  struct Message {
    size_t bytes = 0, calls = 0, cancels = 0;
    bool params = false;  // Some are in the form for use by hand.
    size_t rejected = 0;  // Of the calls.
    Duration Cost() const;
  };
  // What one stream has sent in this tick. Its reader's.
  struct Share {
    uint64_t tick = 0;
    Duration cost{};
    // Guarded by the lock of the turns.
    uint64_t place = 0;  // Among those that wait; 0: it does not.
    bool ended = false;
  };

  ReadingTurns(const Clock& clock, int threads) : clock_(clock), busy_max_(kBusyMax * threads) {}

  MonoTime Now() const { return clock_.Now(); }
  // The stream has handled the message since `began`. True: it must wait; `resume` will run once, from `Tick`, unless
  // the stream leaves before.
  bool MustWait(MonoTime began, const Message& message, Share* share, std::function<void()> resume);
  // The stream has ended, and waits no more.
  void Leave(Share* share);
  // Call every 10 ms.
  void Tick();
  size_t waiting() const;
  const Counters& counters() const { return counters_; }

 private:
  struct Waiting {
    Duration cost{};  // Of its last message: the next one may be like it.
    std::function<void()> resume;
  };

  const Clock& clock_;
  const Duration busy_max_;
  Counters counters_;
  std::atomic<uint64_t> tick_{0};
  std::atomic<Duration::rep> busy_{0};  // In this tick, and what earlier ones took too much.
  mutable Mutex mu_;
  uint64_t last_place_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t resumed_at_ ABSL_GUARDED_BY(mu_) = 0;              // The last tick in which one went on.
  std::map<uint64_t, Waiting> waiting_ ABSL_GUARDED_BY(mu_);  // By their places: at most one of each stream.
};

}  // namespace toolwire

#endif  // TOOLWIRE_CONTROL_READING_TURNS_H_
