#include "common/base/process_options.h"

#include <arpa/inet.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include <cstdio>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/flags.h"
#include "common/base/log.h"
#include "common/base/shown_text.h"

namespace toolwire {

using flags::kMaxInt;
using flags::Milliseconds;
using flags::Port;
using flags::Text;

namespace {

// The words of other loggers.
std::string LevelOf(const std::string& word) {
  constexpr std::pair<const char*, const char*> kWords[] = {
      {"trace", "debug"}, {"warning", "warn"}, {"fatal", "error"}};
  for (const auto& [theirs, ours] : kWords) {
    if (absl::EqualsIgnoreCase(word, theirs)) return ours;
  }
  return word;
}

// As an address stands in a URL or before a port.
std::string BareHost(const std::string& host) {
  const bool has_both = host.size() > 2 && host.front() == '[' && host.back() == ']';
  const std::string bare = has_both ? host.substr(1, host.size() - 2) : host;
  return absl::EqualsIgnoreCase(bare, "localhost") ? "localhost" : bare;
}

std::string ListenProblem(const std::string& host) {
  in_addr ipv4{};
  in6_addr ipv6{};
  const bool is_ipv4 = inet_pton(AF_INET, host.c_str(), &ipv4) == 1;
  // What is behind % is an interface.
  const bool is_ipv6 = inet_pton(AF_INET6, host.substr(0, host.find('%')).c_str(), &ipv6) == 1;
  if (is_ipv4 || is_ipv6 || host == "localhost") return "";
  return "not an IP address, which is written without brackets and port, nor localhost";
}

}  // namespace

void AddLogFlags(CLI::App* app, LogOptions* options) {
  Text(app, "--log-format", &options->format, "text or json, one object a line; auto is text")
      .Env("LOG_FORMAT")
      .OneOf({"auto", "text", "json"});
  Text(app, "--log-level", &options->level, "debug, info, warn or error")
      .Env("LOG_LEVEL")
      .OneOf({"debug", "info", "warn", "error"})
      .As(LevelOf);
}

void InitLog(const LogOptions& options) {
  const auto level = options.level == "debug"   ? log::Level::kDebug
                     : options.level == "warn"  ? log::Level::kWarn
                     : options.level == "error" ? log::Level::kError
                                                : log::Level::kInfo;
  log::Init(options.format == "json" ? log::Format::kJson : log::Format::kText, level);
  for (const std::string& remark : flags::TakeRemarks()) log::Warn("command line", {{"remark", remark}});
}

void AddListenFlags(CLI::App* app, ListenOptions* options, const char* metrics_port_variable) {
  Text(app, "--listen", &options->host,
       "IP address of every listener; 0.0.0.0 takes IPv4 alone, :: both. Other than loopback, each needs its locks")
      .Env("LISTEN")
      .As(BareHost)
      .CheckShown(ListenProblem);
  Port(app, "--metrics-port", &options->metrics_port, "Prometheus endpoint").Env(metrics_port_variable);
}

int DefaultControlMetricsPort() {
  const std::string of_edge = flags::Variable(kMetricsPortVariable);
  const bool is_zero = !of_edge.empty() && of_edge.find_first_not_of('0') == std::string::npos;
  return is_zero ? 0 : kControlMetricsPort;
}

absl::Status Validate(const ListenOptions& options) {
  const std::string problem = ListenProblem(options.host);
  if (problem.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("--listen=", ShownValue(options.host), ": ", problem));
}

absl::Status RefuseUnprotected(const std::vector<std::string>& unprotected) {
  if (unprotected.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("unprotected against other machines:\n  ", absl::StrJoin(unprotected, "\n  ")));
}

void AddDrainFlag(CLI::App* app, Duration* drain_timeout) {
  Milliseconds(app, "--drain-timeout", drain_timeout, 0, kMaxInt,
               "How long a stop waits for calls in flight, in ms; the process has ended 8 s later at the latest")
      .Env("DRAIN_TIMEOUT");
}

void KeepMemoryPrivate() {
  // Not by RLIMIT_CORE: a dump that the kernel pipes into a program is made all the same.
  if (prctl(PR_SET_DUMPABLE, 0) != 0) std::perror("the memory of this process cannot be kept private");
}

uint64_t RaiseOpenFilesLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1024;
  if (limit.rlim_cur < limit.rlim_max) {
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    getrlimit(RLIMIT_NOFILE, &limit);
  }
  return limit.rlim_cur;
}

uint64_t FilesForSockets(uint64_t files) {
  constexpr uint64_t kForTheProcess = 256;
  return files > 2 * kForTheProcess ? files - kForTheProcess : files / 2;
}

}  // namespace toolwire
