// Which sessions of a loop have their secrets checked against the store again, and when.
#ifndef TOOLWIRE_EDGE_SECRET_RECHECKS_H_
#define TOOLWIRE_EDGE_SECRET_RECHECKS_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "common/base/clock.h"
#include "edge/session.h"

namespace toolwire {

// Each session once in `interval`, at a moment of its own: so revocations that an edge was not told of end its sessions
// all the same, and the store gets a few of them at a time. The interval is a ring of slots of equal length. A session
// stays in the slot that its number gives it, and is due whenever the ring comes by there. The ring stands still while
// a batch is out, so that a store which is unavailable gathers nothing here.
//
// A session costs eight bytes, twice that at most. Not thread-safe; its loop's thread owns it.
class SecretRechecks {
 public:
  static constexpr size_t kSlots = 256;
  static constexpr size_t kBatchMax = 256;

  // 0: none is ever due.
  SecretRechecks(Duration interval, MonoTime now) : interval_(interval), next_turn_(now) {
    if (interval_ > Duration::zero()) slots_.resize(kSlots);
  }

  // The session is open. When it has ended, it is forgotten the next time that its slot comes by.
  void Add(SessionId id);

  // The next batch of sessions that are due, up to kBatchMax; empty: none is, or a batch is out. `is_open(id)` names
  // those that have not ended; the others are forgotten.
  template <typename IsOpen>
  std::vector<SessionId> Take(MonoTime now, IsOpen is_open) {
    std::vector<SessionId> batch;
    if (out_ || slots_.empty() || now < not_before_) return batch;
    while (batch.empty() && (!due_.empty() || Turn(now))) {
      for (; !due_.empty() && batch.size() < kBatchMax; due_.pop_back()) {
        if (is_open(due_.back())) batch.push_back(due_.back());
      }
    }
    out_ = !batch.empty();
    return batch;
  }
  // The batch that was taken has been checked.
  void Done(const std::vector<SessionId>& batch);
  // It could not be: after a pause it is due again.
  void TryAgain(const std::vector<SessionId>& batch, MonoTime now);
  static constexpr Duration kRetryWait = std::chrono::seconds(1);

 private:
  // On to the next slot. False: its time has not come.
  bool Turn(MonoTime now);

  const Duration interval_;
  std::vector<std::vector<SessionId>> slots_;  // None if the interval is 0.
  size_t slot_ = 0;                            // The one that is being checked; what has been is back in it.
  std::vector<SessionId> due_;                 // What is left of it.
  MonoTime next_turn_;
  MonoTime not_before_ = MonoTime::min();
  bool out_ = false;
};

}  // namespace toolwire

#endif  // TOOLWIRE_EDGE_SECRET_RECHECKS_H_
