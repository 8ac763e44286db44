// The Prometheus endpoint, and the numbers of the process itself.
#ifndef TOOLWIRE_COMMON_PROCESS_METRICS_ENDPOINT_H_
#define TOOLWIRE_COMMON_PROCESS_METRICS_ENDPOINT_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/counter.h"
#include "common/base/process_options.h"

namespace toolwire {

// The Prometheus endpoint: `GET /metrics` on its own port, with threads of its own.
class MetricsEndpoint {
 public:
  // Port 0 takes a free one. ::1 and :: are served over IPv4. INVALID_ARGUMENT or UNAVAILABLE if it cannot listen.
  static absl::StatusOr<std::unique_ptr<MetricsEndpoint>> Start(const ListenOptions& listen, SampleSource source);
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

#endif  // TOOLWIRE_COMMON_PROCESS_METRICS_ENDPOINT_H_
