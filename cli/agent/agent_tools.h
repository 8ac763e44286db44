// The tools of `toolwire agent`, without any networking: what a call asks for, and its outcome.
#ifndef TOOLWIRE_CLI_AGENT_AGENT_TOOLS_H_
#define TOOLWIRE_CLI_AGENT_AGENT_TOOLS_H_

#include <chrono>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/mutex.h"

namespace toolwire {

struct ToolOutcome {
  bool success = false;
  std::string result_json;  // JSON text; empty if the tool failed.
  std::string error;        // For people; empty if the tool succeeded.
};

// Knows four tools:
//   echo            any params                                  its params, byte for byte
//   sleep           {"ms": 0..3600000}                          {"slept_ms"}
//   read_file       {"path", "encoding"?: "utf8" | "base64"}    {"path", "content", "size"}
//   list_directory  {"path"?: "."}                              {"path", "entries": [{"name", "type", "size"}]}
// What goes wrong is an error text that names paths as the caller wrote them, never where the root is.
//
// The file tools see one directory, the root, and what is below it. The kernel confines them (openat2 with
// RESOLVE_BENEATH): a rename between a check and its use cannot lead them out. On kernels without openat2 the path is
// walked one component at a time and no symbolic link is followed, not even one that stays inside.
//
// Unchanging once made: all methods may be called from any thread.
class AgentTools {
 public:
  // The largest file that read_file reads: as base64 it just fits into an answer.
  static constexpr size_t kFileBytesMax = 12u << 20;
  // The longest result: what the edge takes by default.
  static constexpr size_t kResultBytesMax = 16u << 20;
  // A longer listing is cut off, and marked as such.
  static constexpr size_t kEntriesMax = 10'000;
  static constexpr std::chrono::milliseconds kSleepMax = std::chrono::hours(1);

  enum class Confinement {
    kKernel,  // openat2, and the walk where the kernel has none
    kWalk,    // always the walk: for tests
  };

  // `root` may be empty: the file tools then refuse. Fails if it is no directory that can be opened.
  static absl::StatusOr<std::unique_ptr<AgentTools>> Open(const std::string& root,
                                                          Confinement confinement = Confinement::kKernel);
  ~AgentTools();
  AgentTools(const AgentTools&) = delete;
  AgentTools& operator=(const AgentTools&) = delete;

  // Whether openat2 confines the file tools, rather than the walk.
  bool confined_by_kernel() const { return has_openat2_; }

  // How a call is carried out.
  struct Plan {
    enum class Kind {
      kAnswer,  // `outcome` is the answer.
      kWait,    // `outcome` is the answer, to be given after `wait`.
      kFile,    // RunFileTool gives the answer; it may block.
    };
    Kind kind = Kind::kAnswer;
    ToolOutcome outcome;
    std::chrono::milliseconds wait{0};
  };

  // `params_json` is a JSON object. Never blocks.
  Plan PlanCall(std::string_view tool, std::string_view params_json) const;

  // Carries out a call whose plan is kFile. Blocks for as long as the disk does.
  ToolOutcome RunFileTool(std::string_view tool, std::string_view params_json) const;

 private:
  AgentTools() = default;

  ToolOutcome ReadFile(std::string_view params_json) const;
  ToolOutcome ListDirectory(std::string_view params_json) const;
  // A descriptor for `path` (as the caller wrote it), or the negated errno. EXDEV: it leads out of the root.
  int OpenBelowRoot(const std::string& path, int flags) const;
  int WalkBelowRoot(const std::string& relative, int flags) const;

  int root_fd_ = -1;
  bool has_openat2_ = false;
  std::vector<std::string> root_names_;  // Absolute paths that start with one of these are taken as below the root.
};

// One thread for work that may block, fed by a bounded queue. Submit from any thread.
class ToolWorker {
 public:
  explicit ToolWorker(size_t queue_max);
  // Waits for the job at hand; the queued ones are forgotten.
  ~ToolWorker();

  // False if the queue is full; the job will not run then.
  bool Submit(std::function<void()> job);

 private:
  void Run();

  const size_t queue_max_;
  Mutex mu_;
  CondVar wake_;
  std::deque<std::function<void()>> queue_ ABSL_GUARDED_BY(mu_);
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::thread thread_;
};

}  // namespace toolwire

#endif  // TOOLWIRE_CLI_AGENT_AGENT_TOOLS_H_
