// Answers of the old channels on their way to Redis, which may be unavailable for longer than one try.
#ifndef TOOLWIRE_EDGE_OWED_ANSWERS_H_
#define TOOLWIRE_EDGE_OWED_ANSWERS_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/base/counter.h"
#include "common/base/mutex.h"
#include "common/base/summed_line.h"

namespace toolwire {

// Keeps each answer until Redis has acknowledged it or nobody waits for it any more, and publishes it again when a try
// has failed. An answer that Redis took without our hearing of it is published twice: its backend, which has it,
// listens no more. After a failed try, an answer that nobody receives is tried again, since its backend has lost the
// same Redis and may not listen again yet.
//
// Past the bound an answer is tried once, and not kept. Thread-safe; no lock is held while `publish` is called.
class OwedAnswers {
 public:
  static constexpr Duration kRetryWait = std::chrono::milliseconds(250);

  // Begins a try, which ends with a call of Published, within it or later.
  using Publish = std::function<void(uint64_t number, const std::string& channel, std::string text)>;
  struct Counters : CounterSet {
    Counter again{this, "toolwire_edge_old_answers_again_total",
                  "Answers of the old channels published again, since Redis had not acknowledged them."};
    Counter lost{this, "toolwire_edge_old_answers_lost_total",
                 "Answers of the old channels that Redis did not take while their callers waited."};
    LimitCounter full{this, kEdgeLimitHits, "old_answer_bytes"};
  };

  OwedAnswers(const Clock& clock, size_t bytes_max, Publish publish)
      : clock_(clock), bytes_max_(bytes_max), publish_(std::move(publish)) {}

  // Publishes it, until then at most.
  void Add(std::string channel, std::string text, MonoTime until);
  // What became of a try. Any thread.
  void Published(uint64_t number, const absl::StatusOr<int64_t>& receivers);
  // Tries again what has failed, and gives up what nobody waits for.
  void Tick();
  // Waits until nothing is owed; true if nothing is.
  bool WaitNone(MonoTime until);

  size_t bytes() const;
  size_t count() const;
  const Counters& counters() const { return counters_; }

 private:
  struct Owed {
    std::string channel;
    std::string text;  // Empty: it is not kept.
    MonoTime until;
    std::optional<MonoTime> again;  // When to try again; nothing while a try is under way.
    bool has_failed = false;
  };

  void EraseLocked(std::map<uint64_t, Owed>::iterator owed) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void LoseLocked(std::map<uint64_t, Owed>::iterator owed) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const Clock& clock_;
  const size_t bytes_max_;
  const Publish publish_;
  Counters counters_;

  mutable Mutex mu_;
  CondVar changed_;
  uint64_t last_number_ ABSL_GUARDED_BY(mu_) = 0;
  std::map<uint64_t, Owed> owed_ ABSL_GUARDED_BY(mu_);  // The oldest first.
  size_t bytes_ ABSL_GUARDED_BY(mu_) = 0;
  SummedLine lost_line_ ABSL_GUARDED_BY(mu_){std::chrono::seconds(1)};
};

}  // namespace toolwire

#endif  // TOOLWIRE_EDGE_OWED_ANSWERS_H_
