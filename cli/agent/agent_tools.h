// The tools of `toolwire agent`, without any networking: what a call asks for, and its outcome.
#ifndef TOOLWIRE_CLI_AGENT_AGENT_TOOLS_H_
#define TOOLWIRE_CLI_AGENT_AGENT_TOOLS_H_

#include <sys/stat.h>
#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/agent/answer_room.h"
#include "cli/agent/secret_texts.h"
#include "cli/agent/tool_outcome.h"

namespace toolwire {

// Knows four tools:
//   echo            any params                                  its params, byte for byte
//   sleep           {"ms": 0..3600000}                          {"slept_ms"}
//   read_file       {"path", "encoding"?: "utf8" | "base64"}    {"path", "content", "size"}
//   list_directory  {"path"?: "."}                              {"path", "entries": [{"name", "type", "size"}]}
// What goes wrong is an error text that names paths as the caller wrote them, never where the root is. Members that a
// tool does not know are not read, whatever they hold.
//
// File names are bytes, and JSON is text: of a name that is not UTF-8 `name` and `path` show U+FFFD, and an entry has
// its bytes as `name_base64` too. Both file tools take the bytes of a path as `path_base64`, in place of `path`.
//
// The file tools see one directory, the root, and what is below it. The kernel confines them (openat2 with
// RESOLVE_BENEATH): a rename between a check and its use cannot lead them out. On kernels without openat2 the path is
// walked one component at a time and no symbolic link is followed, not even one that stays inside. Never shown,
// whatever the root: the kernel's own file systems (/proc, /sys), where processes show their environment, and the files
// that hold the agent's secrets.
//
// Unchanging once made: all methods may be called from any thread.
class AgentTools {
 public:
  // The largest file that read_file reads: 12 MiB less 64 KiB. As base64 it fits into an answer, whatever its path.
  static constexpr size_t kFileBytesMax = 12224u << 10;
  // The longest result of a file tool, unless the agent may send less: what edges take by default.
  static constexpr size_t kResultBytesMax = 16u << 20;
  // A longer listing is cut off, and marked as such.
  static constexpr size_t kEntriesMax = 10'000;
  static constexpr std::chrono::milliseconds kSleepMax = std::chrono::hours(1);

  enum class Confinement {
    kKernel,  // openat2, and the walk where the kernel has none
    kWalk,    // always the walk: for tests
  };

  // What the file tools never show.
  struct Secrets {
    std::vector<std::string> files;  // Whatever name they are reached by, now and after they were replaced.
    SecretTexts texts;               // Nor a file that holds one of these.
  };

  // `root` may be empty: the file tools then refuse. Fails if it is no directory that can be opened, or is one of the
  // kernel's.
  static absl::StatusOr<std::unique_ptr<AgentTools>> Open(const std::string& root, Secrets secrets,
                                                          Confinement confinement = Confinement::kKernel);
  ~AgentTools();
  AgentTools(const AgentTools&) = delete;
  AgentTools& operator=(const AgentTools&) = delete;

  // Whether openat2 confines the file tools, rather than the walk.
  bool confined_by_kernel() const { return has_openat2_; }

  // What a file tool is to do: the params, read.
  struct FileRequest {
    bool list = false;  // list_directory; else read_file.
    bool base64 = false;
    std::string path;  // As the caller gave it: bytes.
  };

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
    FileRequest file;
  };

  // `params_json` is a JSON object. Never blocks.
  Plan PlanCall(std::string_view tool, std::string_view params_json) const;

  // What a file tool has at its disposal. No pointer is null.
  struct FileRun {
    AnswerRoom* room;                  // Grows with the result, before it is made; as large as it at the end.
    const std::atomic<bool>* stopped;  // Nobody wants the answer any more: whatever it is, it is not looked at.
    size_t result_bytes_max = kResultBytesMax;
  };

  // Carries out a call whose plan is kFile. Blocks for as long as the disk does. Busy if there is no room. Beside the
  // room a read takes as many bytes again, for the file's content.
  ToolOutcome RunFileTool(const FileRequest& request, const FileRun& run) const;

 private:
  AgentTools() = default;

  ToolOutcome ReadFile(const FileRequest& request, const FileRun& run) const;
  ToolOutcome ListDirectory(const FileRequest& request, const FileRun& run) const;
  // A descriptor for `path` (as the caller wrote it), or the negated errno. EXDEV: it leads out of the root.
  int OpenBelowRoot(const std::string& path, int flags) const;
  int WalkBelowRoot(const std::string& relative, int flags) const;
  // Whether this is one of `secrets_.files`.
  bool IsSecretFile(const struct stat& file) const;

  Secrets secrets_;
  std::vector<std::pair<dev_t, ino_t>> secret_inodes_;  // Of its files, at the start.
  int root_fd_ = -1;
  bool has_openat2_ = false;
  std::vector<std::string> root_names_;  // Absolute paths that start with one of these are taken as below the root.
};

}  // namespace toolwire

#endif  // TOOLWIRE_CLI_AGENT_AGENT_TOOLS_H_
