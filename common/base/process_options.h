// The options of every process: how it logs, where it listens, how long it drains.
#ifndef TOOLWIRE_COMMON_BASE_PROCESS_OPTIONS_H_
#define TOOLWIRE_COMMON_BASE_PROCESS_OPTIONS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/base/clock.h"

namespace CLI {
class App;
}

namespace toolwire {

struct LogOptions {
  std::string format = "auto";  // text, json; auto: text on a terminal, else text too.
  std::string level = "info";   // debug, info, warn, error.
};

void AddLogFlags(CLI::App* app, LogOptions* options);
// Starts logging as asked.
void InitLog(const LogOptions& options);

// Where this process listens.
struct ListenOptions {
  std::string host = "127.0.0.1";
  int metrics_port = 9090;
};

// An edge and a control on one host may be given one file of variables: so each has its own for this port.
inline constexpr char kMetricsPortVariable[] = "METRICS_PORT";
inline constexpr char kControlMetricsPortVariable[] = "CONTROL_METRICS_PORT";
inline constexpr int kControlMetricsPort = 9091;
// A control's default: METRICS_PORT is the edge's, and only 0 in it, a free port, can be meant for both.
int DefaultControlMetricsPort();
void AddListenFlags(CLI::App* app, ListenOptions* options, const char* metrics_port_variable = kMetricsPortVariable);
absl::Status Validate(const ListenOptions& options);
// INVALID_ARGUMENT with all of `unprotected`: what other machines would reach without a lock, each with the options
// that give it one and the flag that says that it needs none. OK if there is nothing.
absl::Status RefuseUnprotected(const std::vector<std::string>& unprotected);

inline constexpr Duration kDrainTimeout = std::chrono::seconds(10);
// What a stop may take beyond it: common/process/stopping.h.
inline constexpr Duration kStopGrace = std::chrono::seconds(8);
void AddDrainFlag(CLI::App* app, Duration* drain_timeout);

// Keeps the memory and the environment of this process, which hold secrets, from all but root: it leaves no core dump,
// and no other process of its user may trace it or read its /proc/PID/environ and mem. The first call of main.
void KeepMemoryPrivate();

// Raises the soft limit of open files to the hard one and returns it.
uint64_t RaiseOpenFilesLimit();
// How many of so many open files may be peers' sockets: all but 256 for the process itself, or half of a small limit.
uint64_t FilesForSockets(uint64_t files);

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_BASE_PROCESS_OPTIONS_H_
