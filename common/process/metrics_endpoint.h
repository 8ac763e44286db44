// The Prometheus endpoint, and the numbers of the process itself.
#ifndef TOOLWIRE_COMMON_PROCESS_METRICS_ENDPOINT_H_
#define TOOLWIRE_COMMON_PROCESS_METRICS_ENDPOINT_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/base/counter.h"
#include "common/base/process_options.h"
#include "common/process/readiness.h"

namespace toolwire {

// A scrape, from its request's first wait to the response's last byte, and the idle time before it.
inline constexpr Duration kScrapeTime = std::chrono::seconds(10);

// The Prometheus endpoint: `GET /metrics` on its own port and thread, and `GET /readyz`: 200 or 503, with a line of JSON
// (Readiness). Requests and peers are bounded, and a connection that is slow or silent costs no other.
class MetricsEndpoint {
 public:
  // Port 0 takes a free one. Without `readiness`, which outlives the endpoint, there is no /readyz. INVALID_ARGUMENT or
  // UNAVAILABLE if it cannot listen.
  static absl::StatusOr<std::unique_ptr<MetricsEndpoint>> Start(const ListenOptions& listen, SampleSource source,
                                                                Duration request_time = kScrapeTime,
                                                                Readiness* readiness = nullptr);
  // Scrapes under way are cut.
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
