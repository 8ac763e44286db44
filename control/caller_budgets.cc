#include "control/caller_budgets.h"

#include <chrono>

#include "absl/strings/str_cat.h"
#include "common/base/log.h"

namespace toolwire {

using E = v1::CallError;

namespace {

// Anybody can cause them.
constexpr Duration kRefusedEvery = std::chrono::seconds(10);
constexpr int kRefusedAtOnce = 3;

constexpr const char* kBudgetFlags[] = {"--streams-max", "--watches-max", "--unary-calls-max", "--operators-requests-max"};
constexpr const char* kBudgetNames[] = {"streams of calls", "watches", "unary calls", "operators' requests"};

// Rounded up: a limit of one is one for each.
int ShareOf(int max, int percent) { return static_cast<int>((int64_t{max} * percent + 99) / 100); }

}  // namespace

CallerBudgets::CallerBudgets(const Clock& clock, const Options& options)
    : clock_(clock), refused_(kRefusedEvery, kRefusedAtOnce) {
  const int max[] = {options.streams_max, options.watches_max, options.unary_calls_max, options.operators_requests_max};
  MutexLock lock(mu_);
  for (int kind = 0; kind < kKinds; ++kind) {
    budgets_[kind].max = max[kind];
    budgets_[kind].caller_max = ShareOf(max[kind], options.caller_share_percent_max);
  }
}

std::optional<v1::CallFailure> CallerBudgets::Take(Kind kind, const std::string& caller, Place* place) {
  std::optional<int64_t> left_out;
  int open = 0;
  bool all_full = false;
  {
    MutexLock lock(mu_);
    Budget& budget = budgets_[kind];
    const auto own = budget.by_caller.find(caller);
    open = own == budget.by_caller.end() ? 0 : own->second;
    all_full = budget.open >= budget.max;
    if (!all_full && open < budget.caller_max) {
      ++all_open_;
      ++budget.open;
      ++budget.by_caller[caller];
      place->all_ = this;
      place->kind_ = kind;
      place->caller_ = caller;
      return std::nullopt;
    }
    left_out = refused_.Take(clock_.Now());
  }
  LimitCounter* const of_all[] = {&counters_.streams, &counters_.watches, &counters_.unary_calls,
                                  &counters_.operators_requests};
  (all_full ? *of_all[kind] : counters_.caller_share).Add();
  const std::string limit = all_full ? kBudgetFlags[kind] : absl::StrCat("--caller-share-percent-max of ", kBudgetFlags[kind]);
  if (left_out) {
    log::Warn("caller refused, a limit is full",
              {{"limit", limit}, {"caller", caller}, {"open", open}, {"notLogged", *left_out}});
  }
  return MakeFailure(E::CALLER_BUSY, E::NOT_SENT, "",
                     absl::StrCat(all_full ? "too many " : "too many of this caller's ", kBudgetNames[kind],
                                  " are open on this control (", limit, ")"));
}

void CallerBudgets::GiveBack(Kind kind, const std::string& caller) {
  MutexLock lock(mu_);
  Budget& budget = budgets_[kind];
  --budget.open;
  const auto own = budget.by_caller.find(caller);
  if (--own->second == 0) budget.by_caller.erase(own);
  if (--all_open_ == 0) none_.NotifyAll();
}

void CallerBudgets::WaitNone(MonoTime until) {
  MutexLock lock(mu_);
  none_.WaitFor(mu_, until - std::chrono::steady_clock::now(),
                [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return all_open_ == 0; });
}

size_t CallerBudgets::open(Kind kind) const {
  MutexLock lock(mu_);
  return static_cast<size_t>(budgets_[kind].open);
}

void CallerBudgets::AddSamples(std::vector<Sample>* out) const {
  const auto gauge = [&](const char* name, const char* help, Kind kind) {
    AddGauge(out, name, help, static_cast<double>(open(kind)));
  };
  gauge("toolwire_control_call_streams", "Streams of calls open.", kStreams);
  gauge("toolwire_control_watches", "Watches open.", kWatches);
  gauge("toolwire_control_unary_calls", "Requests other than streams that wait for their answers.", kUnaryCalls);
  gauge("toolwire_control_operators_requests", "Operators' requests that run or wait.", kOperators);
  counters_.AddSamples(out);
}

}  // namespace toolwire
