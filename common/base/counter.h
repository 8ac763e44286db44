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

// A count that one thread mostly writes and any thread reads: 1 ns, no lock, no label look-up.
class Counter {
 public:
  void Add(uint64_t n = 1) { value_.fetch_add(n, std::memory_order_relaxed); }
  uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

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

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_BASE_COUNTER_H_
