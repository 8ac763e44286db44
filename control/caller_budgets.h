// How many streams and requests callers may have open: apart by what they are, so that many of one kind take no place
// of another, and less for any one caller than for all.
#ifndef TOOLWIRE_CONTROL_CALLER_BUDGETS_H_
#define TOOLWIRE_CONTROL_CALLER_BUDGETS_H_

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "common/base/clock.h"
#include "common/base/counter.h"
#include "common/base/mutex.h"
#include "common/base/summed_line.h"
#include "common/wire/outcome.h"

namespace toolwire {

// Thread-safe.
class CallerBudgets {
 public:
  enum Kind { kStreams, kWatches, kUnaryCalls, kOperators, kKinds };
  struct Options {
    int streams_max = 1024;       // Of calls: one of each backend process; each holds buffers.
    int watches_max = 4096;       // One of each backend process, or by hand: 12 kB each, of gRPC's mostly.
    int unary_calls_max = 20000;  // That wait for their answers: as many as on one stream, 15 kB each.
    // Running and waiting, also for edges to confirm a revocation. A store takes some milliseconds for each, so the
    // last of so many waits about a second; a store that hangs would otherwise gather requests whose callers have gone.
    int operators_requests_max = 256;
    // Of each of these, what one token, or one address without tokens, may have. Most setups have one token: so it is
    // much, and leaves something for others.
    int caller_share_percent_max = 75;
  };
  struct Counters : CounterSet {
    LimitCounter streams{this, kControlLimitHits, "streams"};
    LimitCounter watches{this, kControlLimitHits, "watches"};
    LimitCounter unary_calls{this, kControlLimitHits, "unary_calls"};
    LimitCounter operators_requests{this, kControlLimitHits, "operators_requests"};
    LimitCounter caller_share{this, kControlLimitHits, "caller_share"};
  };

  // One stream or request's, until it is destroyed.
  class Place {
   public:
    Place() = default;
    Place(Place&& other) noexcept { *this = std::move(other); }
    Place& operator=(Place&& other) noexcept {
      std::swap(all_, other.all_);
      std::swap(kind_, other.kind_);
      std::swap(caller_, other.caller_);
      return *this;
    }
    ~Place() {
      if (all_ != nullptr) all_->GiveBack(kind_, caller_);
    }

   private:
    friend class CallerBudgets;
    CallerBudgets* all_ = nullptr;
    Kind kind_ = kStreams;
    std::string caller_;
  };

  CallerBudgets(const Clock& clock, const Options& options);

  // A place, for as long as the stream or request is open; or CALLER_BUSY, NOT_SENT, which the log tells, too.
  // `caller`: the name of the token, or the address.
  std::optional<v1::CallFailure> Take(Kind kind, const std::string& caller, Place* place);
  // Waits until none is taken or `until` has passed.
  void WaitNone(MonoTime until);

  size_t open(Kind kind) const;
  const Counters& counters() const { return counters_; }
  void AddSamples(std::vector<Sample>* out) const;

 private:
  struct Budget {
    int max = 0, caller_max = 0;
    int open = 0;
    absl::flat_hash_map<std::string, int> by_caller;
  };
  void GiveBack(Kind kind, const std::string& caller);

  const Clock& clock_;
  Counters counters_;
  mutable Mutex mu_;
  CondVar none_;
  std::array<Budget, kKinds> budgets_ ABSL_GUARDED_BY(mu_);
  int all_open_ ABSL_GUARDED_BY(mu_) = 0;
  SummedLine refused_ ABSL_GUARDED_BY(mu_);
};

}  // namespace toolwire

#endif  // TOOLWIRE_CONTROL_CALLER_BUDGETS_H_
