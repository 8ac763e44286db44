// A small HTTP server on one thread: a connection reads a request with websocketpp's parser, writes the response, and
// reads the next one or says goodbye. A timer bounds each request from its start until its response is read. What a
// peer does costs its own connection: nothing here waits for one, and past kConnectionsMax the one that has had no
// response for longest is closed, of the address that has most. The samples are collected anew for each request and
// grouped into families by name. Below: what the process measures of itself.
#include "common/process/metrics_endpoint.h"

#include <dirent.h>
#include <malloc.h>
#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <asio.hpp>
#include <cstdio>
#include <exception>
#include <map>
#include <string>
#include <thread>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/by_address.h"
#include "common/base/log.h"
#include "common/process/incoming_request.h"
#include "common/process/tcp_listener.h"

// jemalloc's, where it is linked: sanitizer builds have none.
extern "C" int mallctl(const char* name, void* old_value, size_t* old_size, void* new_value, size_t new_size)
    __attribute__((weak));

namespace toolwire {
namespace {

constexpr size_t kConnectionsMax = 64;
constexpr size_t kRequestBytesMax = 8u << 10;

constexpr char kMetricsLimitHits[] = "toolwire_metrics_limit_hits_total";
struct Counters : CounterSet {
  Counter accept_errors{this, "toolwire_metrics_accept_errors_total", "Accepts that failed at the Prometheus port."};
  LimitCounter connections{this, kMetricsLimitHits, "scrape_connections"};
  LimitCounter request_bytes{this, kMetricsLimitHits, "scrape_bytes"};
  LimitCounter request_time{this, kMetricsLimitHits, "scrape_time"};
};

std::string AsText(const std::vector<Sample>& samples) {
  std::map<std::string, prometheus::MetricFamily> by_name;
  for (const Sample& sample : samples) {
    prometheus::MetricFamily& family = by_name[sample.name];
    family.name = sample.name;
    family.help = sample.help;
    family.type = sample.counter ? prometheus::MetricType::Counter : prometheus::MetricType::Gauge;
    prometheus::ClientMetric metric;
    for (const auto& [name, value] : sample.labels) metric.label.push_back({name, value});
    (sample.counter ? metric.counter.value : metric.gauge.value) = sample.value;
    family.metric.push_back(std::move(metric));
  }
  std::vector<prometheus::MetricFamily> families;
  for (auto& [name, family] : by_name) families.push_back(std::move(family));
  return prometheus::TextSerializer().Serialize(families);
}

using Request = IncomingRequest;

// What is asked for.
struct Pages {
  std::function<std::string()> metrics;
  Readiness* readiness = nullptr;
};

// Whether the peer may send another request.
bool KeepsAlive(const Request& request) {
  return request.get_version() == "HTTP/1.1" && request.get_header("Transfer-Encoding").empty() &&
         !absl::EqualsIgnoreCase(request.get_header("Connection"), "close");
}

constexpr char kMetricsText[] = "text/plain; version=0.0.4; charset=utf-8";

std::string Response(const char* status, const std::string& body, bool keep, bool with_body = true,
                     const char* type = kMetricsText) {
  return absl::StrCat("HTTP/1.1 ", status, "\r\nContent-Type: ", type, "\r\nContent-Length: ", body.size(),
                      keep ? "" : "\r\nConnection: close", "\r\nAllow: GET, HEAD, OPTIONS\r\n\r\n", with_body ? body : "");
}

std::string ResponseTo(const Request& request, const Pages& pages) {
  const std::string& uri = request.get_uri();
  const std::string path = uri.substr(0, uri.find('?'));
  const bool keep = KeepsAlive(request);
  const bool is_head = request.get_method() == "HEAD";
  // As HAProxy's checks ask by default, of / or a page. So a check costs no samples.
  const bool is_options = request.get_method() == "OPTIONS";
  const bool is_readyz = path == "/readyz" && pages.readiness != nullptr;
  if (is_options && (path == "/" || path == "*" || path == "/metrics")) return Response("200 OK", "", keep);
  if (path != "/metrics" && !is_readyz) return Response("404 Not Found", "Not found\n", keep, !is_head);
  if (request.get_method() != "GET" && !is_head && !is_options) {
    return Response("405 Method Not Allowed", "Only GET\n", keep);
  }
  if (!is_readyz) return Response("200 OK", pages.metrics(), keep, !is_head);
  const Readiness::Report report = pages.readiness->Ask();
  return Response(report.ready ? "200 OK" : "503 Service Unavailable", is_options ? "" : report.json, keep, !is_head,
                  "application/json");
}

class Connection;
using Connections = ByAddress<Connection>;

// Loop thread only, as all of this file but MetricsEndpoint itself. Its handlers keep it.
class Connection : public std::enable_shared_from_this<Connection>, public Connections::Member {
 public:
  Connection(asio::ip::tcp::socket socket, std::string address_key, Duration time, const Pages& pages,
             Counters& counters, Connections& all)
      : socket_(std::move(socket)),
        address_key_(std::move(address_key)),
        timer_(socket_.get_executor()),
        time_(time),
        pages_(pages),
        counters_(counters),
        all_(all) {}

  void Start() {
    all_.Add(this, address_key_);
    BeginRequest();
  }
  void Close() {
    if (!socket_.is_open()) return;
    asio::error_code ignored;
    socket_.close(ignored);
    timer_.cancel();
    all_.Remove(this);
  }

 private:
  void BeginRequest() {
    request_ = Request();
    request_bytes_ = 0;
    timer_.expires_after(time_);
    timer_.async_wait([self = shared_from_this()](const asio::error_code& ec) {
      if (ec || !self->socket_.is_open() || self->timer_.expiry() > std::chrono::steady_clock::now()) return;
      if (!self->is_idle_) self->counters_.request_time.Add();
      self->Close();
    });
    Parse();
  }
  void Read() {
    socket_.async_read_some(asio::buffer(buffer_),
                            [self = shared_from_this()](const asio::error_code& ec, size_t size) {
                              if (ec || !self->socket_.is_open()) return self->Close();
                              if (self->is_last_)
                                return self->Read();  // Thrown away: an unread byte would cost the peer the response.
                              self->is_idle_ = false;
                              self->unparsed_.append(self->buffer_.data(), size);
                              self->Parse();
                            });
  }
  void Parse() {
    const size_t size = std::min(unparsed_.size(), kRequestBytesMax - request_bytes_);
    try {
      const size_t parsed = size == 0 ? 0 : request_.consume(unparsed_.data(), size);
      unparsed_.erase(0, parsed);
      request_bytes_ += parsed;
    } catch (const std::exception&) {
      return Write(Response("400 Bad Request", "Bad request\n", false), /*is_last=*/true);
    }
    if (request_.ready()) return Write(ResponseTo(request_, pages_), !KeepsAlive(request_));
    if (request_bytes_ < kRequestBytesMax) return Read();
    counters_.request_bytes.Add();
    Write(Response("431 Request Header Fields Too Large", "Too large\n", false), /*is_last=*/true);
  }
  void Write(std::string response, bool is_last) {
    response_ = std::move(response);
    is_last_ = is_last;
    asio::async_write(socket_, asio::buffer(response_),
                      [self = shared_from_this()](const asio::error_code& ec, size_t) {
                        // Another's place may have been made of this one's since the write was done.
                        if (ec || !self->socket_.is_open()) return self->Close();
                        self->all_.Remove(self.get());
                        self->all_.Add(self.get(), self->address_key_);
                        if (!self->is_last_) {
                          self->is_idle_ = self->unparsed_.empty();
                          return self->BeginRequest();
                        }
                        asio::error_code ignored;
                        self->socket_.shutdown(asio::socket_base::shutdown_send, ignored);
                        self->Read();
                      });
  }

  asio::ip::tcp::socket socket_;
  const std::string address_key_;
  asio::steady_timer timer_;
  const Duration time_;
  const Pages& pages_;
  Counters& counters_;
  Connections& all_;  // By when they had their last response, or were accepted.
  Request request_;
  size_t request_bytes_ = 0;  // Of it, as far as it was parsed.
  std::string unparsed_;
  std::string response_;
  bool is_last_ = false;  // Nothing is parsed after this response.
  bool is_idle_ = false;  // It had a response, and nothing came since.
  std::array<char, 2048> buffer_;
};

uint64_t OpenFiles() {
  DIR* dir = opendir("/proc/self/fd");
  if (dir == nullptr) return 0;
  uint64_t count = 0;
  while (readdir(dir) != nullptr) ++count;
  closedir(dir);
  return count > 3 ? count - 3 : 0;  // Without `.`, `..` and the directory itself.
}

}  // namespace

struct MetricsEndpoint::Impl {
  Impl(SampleSource samples, Readiness* readiness) : source(std::move(samples)) { pages.readiness = readiness; }

  void Accepted(int fd, const asio::ip::tcp::endpoint& peer, Duration request_time) {
    if (connections.size() >= kConnectionsMax) {
      counters.connections.Add();
      connections.First()->Close();
    }
    asio::ip::tcp::socket socket(io);
    asio::error_code ec;
    if (socket.assign(peer.protocol(), fd, ec)) {
      close(fd);
      return;
    }
    std::make_shared<Connection>(std::move(socket), AddressKey(peer.address().to_string()), request_time, pages,
                                 counters, connections)
        ->Start();
  }

  const SampleSource source;
  Counters counters;
  Pages pages{[this] {
    std::vector<Sample> samples;
    source(&samples);
    AddProcessSamples(&samples);
    counters.AddSamples(&samples);
    return AsText(samples);
  }};
  asio::io_context io{1};
  Connections connections;
  std::shared_ptr<TcpListener> listener;
  std::thread thread;
};

absl::StatusOr<std::unique_ptr<MetricsEndpoint>> MetricsEndpoint::Start(const ListenOptions& listen,
                                                                        SampleSource source, Duration request_time,
                                                                        Readiness* readiness) {
  auto impl = std::make_unique<Impl>(std::move(source), readiness);
  const auto on_socket = [raw = impl.get(), request_time](int fd, const asio::ip::tcp::endpoint& peer) {
    raw->Accepted(fd, peer, request_time);
  };
  auto listener = TcpListener::Listen(
      impl->io, {"metrics", listen.host, listen.metrics_port, {}, &impl->counters.accept_errors, /*takes_last_files=*/true},
      on_socket);
  if (!listener.ok()) return listener.status();
  impl->listener = *std::move(listener);
  impl->listener->Start();
  impl->thread = std::thread([raw = impl.get()] { raw->io.run(); });
  return std::unique_ptr<MetricsEndpoint>(new MetricsEndpoint(std::move(impl)));
}

MetricsEndpoint::MetricsEndpoint(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

MetricsEndpoint::~MetricsEndpoint() {
  impl_->io.stop();
  impl_->thread.join();
}

int MetricsEndpoint::port() const { return impl_->listener->port(); }

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
  AddCount(out, "toolwire_log_lines_dropped_total", "Log lines that nobody took in time.", log::LinesDropped());
}

}  // namespace toolwire
