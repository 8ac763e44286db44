// Numbers that operators watch. Modules count with plain atomics; the process collects them when it is asked.
#ifndef TOOLWIRE_COMMON_BASE_COUNTER_H_
#define TOOLWIRE_COMMON_BASE_COUNTER_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace toolwire {

// One number at one moment. Names end in their unit; counters end in `_total`. Never a label for each agent.
struct Sample {
  std::string name;
  std::string help;
  bool counter = false;  // Else a gauge.
  double value = 0;
  std::vector<std::pair<std::string, std::string>> labels;
};
// Appends the current numbers of one module. Called from any thread.
using SampleSource = std::function<void(std::vector<Sample>*)>;

// For a number that is kept for other reasons than to be watched.
inline void AddGauge(std::vector<Sample>* out, const char* name, const char* help, double value) {
  out->push_back({name, help, false, value, {}});
}
inline void AddCount(std::vector<Sample>* out, const char* name, const char* help, uint64_t value) {
  out->push_back({name, help, true, static_cast<double>(value), {}});
}

class Counter;

// The counters of one module. A struct of counters derives from it, and each counter registers itself here when it is
// made, so that none can be forgotten when they are collected:
//   struct Counters : CounterSet {
//     Counter sent{this, "toolwire_edge_frames_out_total", "Frames sent to agents."};
//   };
class CounterSet {
 public:
  CounterSet() = default;
  CounterSet(const CounterSet&) = delete;
  CounterSet& operator=(const CounterSet&) = delete;

  // Any thread.
  void AddSamples(std::vector<Sample>* out) const;

 private:
  friend class Counter;
  struct Row {
    const Counter* counter;
    const char *name, *help, *label, *label_value;  // Literals.
  };
  std::vector<Row> rows_;  // Complete once the object is constructed.
};

// A count that one thread mostly writes and any thread reads: 1 ns, no lock, no label look-up.
class Counter {
 public:
  // `set` holds this counter. The texts are literals; `label` may be null.
  Counter(CounterSet* set, const char* name, const char* help, const char* label = nullptr,
          const char* label_value = nullptr) {
    set->rows_.push_back({this, name, help, label, label_value});
  }

  void Add(uint64_t n = 1) { value_.fetch_add(n, std::memory_order_relaxed); }
  uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

// How often one limit was hit. `family` is the process's metric of all its limits.
class LimitCounter : public Counter {
 public:
  LimitCounter(CounterSet* set, const char* family, const char* limit)
      : Counter(set, family, "Times a limit was hit, by limit.", "limit", limit) {}
};
constexpr char kEdgeLimitHits[] = "toolwire_edge_limit_hits_total";
constexpr char kControlLimitHits[] = "toolwire_control_limit_hits_total";

inline void CounterSet::AddSamples(std::vector<Sample>* out) const {
  for (const Row& row : rows_) {
    AddCount(out, row.name, row.help, row.counter->value());
    if (row.label != nullptr) out->back().labels.emplace_back(row.label, row.label_value);
  }
}

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_BASE_COUNTER_H_
