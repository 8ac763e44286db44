// The memory that control holds for its callers: what they have not read, params of calls in flight, names they watch.
#ifndef TOOLWIRE_CONTROL_CALLER_BYTES_H_
#define TOOLWIRE_CONTROL_CALLER_BYTES_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "common/base/counter.h"
#include "common/base/mutex.h"

namespace toolwire {

// Counts the bytes of all streams and calls together. While they are too many, the address whose connections hold most
// loses the largest stream or call of the connection that holds most: who causes a queue pays for it, in however many
// parts. Thread-safe.
class CallerBytes {
 public:
  struct Counters : CounterSet {
    LimitCounter full{this, kControlLimitHits, "caller_bytes"};
  };

  // What a call in flight takes, beside its params: in the dispatcher, its stream and the audit log, about.
  static constexpr size_t kCallBytes = 1024;
  // Why a stream or call ends that loses what it holds.
  static constexpr char kFull[] = "control holds too much for its callers (--caller-bytes-max), and for this one most";

  // One stream or call. Its bytes are counted from its first `Hold` on; only one that has joined can lose them.
  class Holder {
   public:
    // `peer`: its connection, as gRPC names it.
    Holder(CallerBytes& all, std::string_view peer);
    virtual ~Holder() { Release(held()); }
    // Gives up what it can and ends. Called again if it holds something a second later: then it is cut.
    // With no lock held.
    virtual void Drop() = 0;

   protected:
    void Join(std::weak_ptr<Holder> self) { all_.Join(this, std::move(self)); }
    // The last thing before the holder may be gone.
    void Leave() { all_.Leave(this); }
    void Hold(size_t bytes) {
      held_.fetch_add(bytes, std::memory_order_relaxed);
      all_.total_.fetch_add(bytes, std::memory_order_relaxed);
    }
    void Release(size_t bytes) {
      held_.fetch_sub(bytes, std::memory_order_relaxed);
      all_.total_.fetch_sub(bytes, std::memory_order_relaxed);
    }
    size_t held() const { return held_.load(std::memory_order_relaxed); }

   private:
    friend class CallerBytes;
    CallerBytes& all_;
    const size_t address_, connection_;  // Hashes.
    std::atomic<size_t> held_{0};
    int drops_ = 0;  // Guarded by the lock of `all_`, as is the next.
    uint64_t dropped_at_ = 0;
  };

  explicit CallerBytes(size_t bytes_max) : bytes_max_(bytes_max) {}
  // gRPC has waited for all holders' last callbacks. The lock shows that order also to ThreadSanitizer, which does not
  // see gRPC's.
  ~CallerBytes() { MutexLock lock(mu_); }

  // Has holders drop what they hold while the total is too large. Call every 10 ms.
  void Tick();
  size_t total() const { return total_.load(std::memory_order_relaxed); }
  const Counters& counters() const { return counters_; }

 private:
  void Join(Holder* holder, std::weak_ptr<Holder> self);
  void Leave(Holder* holder);
  // Those that must drop now.
  std::vector<std::shared_ptr<Holder>> TakeLargest();

  const size_t bytes_max_;
  std::atomic<size_t> total_{0};
  Counters counters_;
  Mutex mu_;
  uint64_t ticks_ ABSL_GUARDED_BY(mu_) = 0;  // With too large a total.
  absl::flat_hash_map<Holder*, std::weak_ptr<Holder>> holders_ ABSL_GUARDED_BY(mu_);
};

}  // namespace toolwire

#endif  // TOOLWIRE_CONTROL_CALLER_BYTES_H_
