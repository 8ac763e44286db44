// prometheus-cpp's exposer over civetweb, with one thread that serves. The samples are collected anew for each request,
// on that thread, and grouped into families by name. Below: what the process measures of itself.
#include "common/process/metrics_endpoint.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <malloc.h>
#include <netinet/in.h>
#include <prometheus/client_metric.h>
#include <prometheus/collectable.h>
#include <prometheus/exposer.h>
#include <prometheus/metric_family.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <exception>
#include <map>
#include <string>
#include <thread>

#include "common/base/host_port.h"
#include "common/base/log.h"

// jemalloc's, where it is linked: sanitizer builds have none.
extern "C" int mallctl(const char* name, void* old_value, size_t* old_size, void* new_value, size_t new_size)
    __attribute__((weak));

namespace toolwire {
namespace {

class Collector final : public prometheus::Collectable {
 public:
  explicit Collector(SampleSource source) : source_(std::move(source)) {}

  std::vector<prometheus::MetricFamily> Collect() const override {
    std::vector<Sample> samples;
    source_(&samples);
    AddProcessSamples(&samples);
    std::map<std::string, prometheus::MetricFamily> families;
    for (const Sample& sample : samples) {
      prometheus::MetricFamily& family = families[sample.name];
      family.name = sample.name;
      family.help = sample.help;
      family.type = sample.counter ? prometheus::MetricType::Counter : prometheus::MetricType::Gauge;
      prometheus::ClientMetric metric;
      for (const auto& [name, value] : sample.labels) metric.label.push_back({name, value});
      (sample.counter ? metric.counter.value : metric.gauge.value) = sample.value;
      family.metric.push_back(std::move(metric));
    }
    std::vector<prometheus::MetricFamily> out;
    for (auto& [name, family] : families) out.push_back(std::move(family));
    return out;
  }

 private:
  const SampleSource source_;
};

uint64_t OpenFiles() {
  DIR* dir = opendir("/proc/self/fd");
  if (dir == nullptr) return 0;
  uint64_t count = 0;
  while (readdir(dir) != nullptr) ++count;
  closedir(dir);
  return count > 3 ? count - 3 : 0;  // Without `.`, `..` and the directory itself.
}

bool IsIpv6(const std::string& host) { return host.find(':') != std::string::npos; }

// Debian's civetweb has no IPv6: the IPv4 address that corresponds to `host`, if there is one.
std::string Ipv4Of(const std::string& host) {
  if (host == "localhost" || host == "::1") return "127.0.0.1";
  return host == "::" ? "0.0.0.0" : host;
}

}  // namespace

struct MetricsEndpoint::Impl {
  std::shared_ptr<Collector> collector;
  std::unique_ptr<prometheus::Exposer> exposer;
  in_addr_t address = 0;  // Where it listens.
};

absl::StatusOr<std::unique_ptr<MetricsEndpoint>> MetricsEndpoint::Start(const ListenOptions& listen,
                                                                        SampleSource source) {
  auto impl = std::make_unique<Impl>();
  impl->collector = std::make_shared<Collector>(std::move(source));
  const std::string host = Ipv4Of(listen.host);
  const std::string address = JoinHostPort(host, listen.metrics_port);
  if (IsIpv6(host)) {
    return absl::InvalidArgumentError("metrics: cannot listen on " + address +
                                      ": it takes no IPv6 address but ::1 and ::, which it serves over IPv4");
  }
  impl->address = inet_addr(host.c_str());
  try {
    impl->exposer = std::make_unique<prometheus::Exposer>(address, 1);
    impl->exposer->RegisterCollectable(impl->collector);
  } catch (const std::exception& error) {
    return absl::UnavailableError("metrics: cannot listen on " + address + ": " + error.what());
  }
  if (IsIpv6(listen.host)) log::Warn("metrics are served over IPv4 only", {{"address", host}});
  return std::unique_ptr<MetricsEndpoint>(new MetricsEndpoint(std::move(impl)));
}

MetricsEndpoint::MetricsEndpoint(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
// civetweb looks at its stop flag when its poll returns: every 2 s, or when a client connects. So this connects.
MetricsEndpoint::~MetricsEndpoint() {
  const int port = this->port();
  std::atomic<bool> stopped{false};
  std::thread visitor([&] {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = impl_->address;
    while (!stopped) {
      const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
      if (fd < 0) return;
      static_cast<void>(connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address));
      close(fd);
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  });
  impl_->exposer.reset();
  stopped = true;
  visitor.join();
}

int MetricsEndpoint::port() const {
  const std::vector<int> ports = impl_->exposer->GetListeningPorts();
  return ports.empty() ? 0 : ports.front();
}

uint64_t ResidentBytes() {
  std::FILE* file = std::fopen("/proc/self/statm", "r");
  if (file == nullptr) return 0;
  unsigned long pages = 0, resident = 0;
  const int read = std::fscanf(file, "%lu %lu", &pages, &resident);
  std::fclose(file);
  return read == 2 ? resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE)) : 0;
}

HeapBytes MeasureHeap() {
  HeapBytes heap;
  if (mallctl != nullptr) {
    uint64_t epoch = 1;
    size_t epoch_size = sizeof epoch;
    mallctl("epoch", &epoch, &epoch_size, &epoch, epoch_size);  // Refreshes the numbers.
    size_t value = 0, size = sizeof value;
    if (mallctl("stats.mapped", &value, &size, nullptr, 0) == 0) heap.total = value;
    if (mallctl("stats.allocated", &value, &size, nullptr, 0) == 0) heap.used = value;
  } else {
    const struct mallinfo2 info = mallinfo2();
    heap.total = info.arena + info.hblkhd;
    heap.used = info.uordblks + info.hblkhd;
  }
  return heap;
}

void AddProcessSamples(std::vector<Sample>* out) {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  out->push_back({"process_cpu_seconds_total",
                  "CPU time of this process.",
                  true,
                  seconds(usage.ru_utime) + seconds(usage.ru_stime),
                  {}});
  out->push_back({"process_resident_memory_bytes",
                  "Resident memory of this process.",
                  false,
                  static_cast<double>(ResidentBytes()),
                  {}});
  out->push_back({"process_open_fds", "Open file descriptors.", false, static_cast<double>(OpenFiles()), {}});
}

}  // namespace toolwire
