// Numbers that operators watch. Modules count with plain atomics; the process collects them when it is asked.
#ifndef TOOLWIRE_COMMON_PROCESS_METRICS_H_
#define TOOLWIRE_COMMON_PROCESS_METRICS_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

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

// The Prometheus endpoint: `GET /metrics` on its own port, with threads of its own.
class MetricsEndpoint {
 public:
  // `address` is host:port; port 0 takes a free one. INVALID_ARGUMENT or UNAVAILABLE if it cannot listen.
  static absl::StatusOr<std::unique_ptr<MetricsEndpoint>> Start(const std::string& address, SampleSource source);
  ~MetricsEndpoint();
  int port() const;

 private:
  struct Impl;
  explicit MetricsEndpoint(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// The process itself: uptime, resident memory, CPU time, open files.
void AddProcessSamples(std::vector<Sample>* out);
// Resident memory in bytes.
uint64_t ResidentBytes();
// The heap, in bytes: taken from the system, and in use.
struct HeapBytes {
  uint64_t total = 0;
  uint64_t used = 0;
};
HeapBytes MeasureHeap();

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_PROCESS_METRICS_H_
