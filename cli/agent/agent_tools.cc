// A call is planned without blocking: answered at once, answered after a wait, or left to the worker because it needs
// the disk. A file tool opens its path below the root's descriptor, by openat2 or component by component, and from then
// on uses descriptors only. Results are JSON text that is checked for its size before it is returned.

#include "cli/agent/agent_tools.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cmath>
#include <cstdlib>
#include <exception>
#include <nlohmann/json.hpp>
#include <optional>
#include <system_error>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/base/json_text.h"

namespace toolwire {
namespace {

// Params of the tools that read them. (echo does not: it takes whatever the edge lets through.)
constexpr size_t kParamsBytesMax = 64u << 10;
constexpr size_t kToolNameBytesShown = 256;
// openat2 fails with EAGAIN when something is renamed while it looks at `..`.
constexpr int kOpenTries = 8;

// A file descriptor that closes itself.
class Fd {
 public:
  explicit Fd(int fd) : fd_(fd) {}
  ~Fd() {
    if (fd_ >= 0) close(fd_);
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;

  int get() const { return fd_; }
  int Release() { return std::exchange(fd_, -1); }
  void Reset(int fd) {
    if (fd_ >= 0) close(fd_);
    fd_ = fd;
  }

 private:
  int fd_;
};

ToolOutcome Failed(std::string error) { return {false, "", std::move(error)}; }

ToolOutcome Succeeded(std::string result_json) {
  if (result_json.size() > AgentTools::kResultBytesMax) {
    return Failed(absl::StrCat("the result would be ", result_json.size(), " bytes long, more than the ",
                               AgentTools::kResultBytesMax, " that fit into an answer"));
  }
  return {true, std::move(result_json), ""};
}

// What an errno means for the caller who asked for `path`.
ToolOutcome FailedToOpen(const std::string& path, int error) {
  switch (error) {
    case ENOENT:
      return Failed(absl::StrCat("no such file or directory: ", path));
    case EACCES:
    case EPERM:
      return Failed(absl::StrCat("permission denied: ", path));
    case EXDEV:
      return Failed(absl::StrCat("outside of the directory that the agent offers: ", path));
    case ELOOP:
      return Failed(absl::StrCat("a symbolic link that is not followed: ", path));
    case ENOTDIR:
      return Failed(absl::StrCat("not a directory: ", path));
    default:
      return Failed(absl::StrCat("cannot open ", path, ": ", std::generic_category().message(error)));
  }
}

ToolOutcome FailedToRead(const std::string& path, int error) {
  return Failed(absl::StrCat("cannot read ", path, ": ", std::generic_category().message(error)));
}

// The params as an object, or nothing if they are none, or longer than any sensible ones.
std::optional<nlohmann::json> ParseParams(std::string_view params_json) {
  if (params_json.size() > kParamsBytesMax) return std::nullopt;
  nlohmann::json params = nlohmann::json::parse(params_json, nullptr, /*allow_exceptions=*/false);
  if (!params.is_object()) return std::nullopt;
  return params;
}

// Takes `name` out of `params`. An empty optional: it is there and not a string.
std::optional<std::string> StringParam(const nlohmann::json& params, const char* name, const char* if_absent) {
  const auto found = params.find(name);
  if (found == params.end() || found->is_null()) return if_absent;
  if (!found->is_string()) return std::nullopt;
  return found->get<std::string>();
}

// The path in `params`; empty, with `*problem` set, if there is none that a file could have.
std::string PathParam(const nlohmann::json& params, const char* if_absent, std::string* problem) {
  std::optional<std::string> path = StringParam(params, "path", if_absent);
  if (!path.has_value()) {
    *problem = "`path` must be a string";
  } else if (path->empty()) {
    *problem = "`path` is missing or empty";
  } else if (path->find('\0') != std::string::npos) {
    *problem = "`path` contains a NUL character";
  } else if (path->size() >= PATH_MAX) {
    *problem = "`path` is too long";
  } else {
    return *std::move(path);
  }
  return "";
}

AgentTools::Plan PlanSleep(std::string_view params_json) {
  AgentTools::Plan plan;
  constexpr auto kMax = AgentTools::kSleepMax.count();
  const std::optional<nlohmann::json> params = ParseParams(params_json);
  if (params.has_value()) {
    const auto ms = params->find("ms");
    if (ms != params->end() && ms->is_number()) {
      const double number = ms->get<double>();
      if (number >= 0 && number <= static_cast<double>(kMax) && number == std::floor(number)) {
        plan.kind = AgentTools::Plan::Kind::kWait;
        plan.wait = std::chrono::milliseconds(static_cast<int64_t>(number));
        plan.outcome = Succeeded(absl::StrCat("{\"slept_ms\":", plan.wait.count(), "}"));
        return plan;
      }
    }
  }
  plan.outcome = Failed(absl::StrCat("`ms` must be a whole number from 0 to ", kMax));
  return plan;
}

// Reads to the end, or to one byte more than `bytes_max`. Zero, or an errno.
int ReadToEnd(int fd, size_t size_hint, size_t bytes_max, std::string* content) {
  content->resize(std::min(size_hint, bytes_max) + 1);  // One more: a read that finds the end needs room, too.
  size_t filled = 0;
  for (;;) {
    const ssize_t got = read(fd, content->data() + filled, content->size() - filled);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno;
    filled += static_cast<size_t>(got);
    if (got == 0 || filled > bytes_max) break;
    if (filled == content->size()) content->resize(std::min(filled * 2 + 4096, bytes_max + 1));
  }
  content->resize(filled);
  return 0;
}

const char* TypeWord(mode_t mode) {
  if (S_ISREG(mode)) return "file";
  if (S_ISDIR(mode)) return "directory";
  if (S_ISLNK(mode)) return "symlink";
  return "other";
}

// The alphabetically first names, at most `count_max`: memory stays bounded in any directory. Zero, or an errno.
int FirstNames(DIR* directory, size_t count_max, std::vector<std::string>* names, bool* more) {
  for (;;) {
    errno = 0;
    const dirent* entry = readdir(directory);
    if (entry == nullptr) break;
    std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    names->push_back(std::move(name));
    std::push_heap(names->begin(), names->end());  // The last name on top.
    if (names->size() <= count_max) continue;
    std::pop_heap(names->begin(), names->end());
    names->pop_back();
    *more = true;
  }
  const int error = errno;
  std::sort_heap(names->begin(), names->end());
  return error;
}

int Openat2(int dir_fd, const char* path, int flags) {
  open_how how{};
  how.flags = static_cast<uint64_t>(flags);
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
  for (int attempt = 1;; ++attempt) {
    const long fd = syscall(SYS_openat2, dir_fd, path, &how, sizeof(how));
    if (fd >= 0) return static_cast<int>(fd);
    if (errno != EINTR && (errno != EAGAIN || attempt >= kOpenTries)) return -errno;
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<AgentTools>> AgentTools::Open(const std::string& root, Confinement confinement) {
  std::unique_ptr<AgentTools> tools(new AgentTools);
  if (root.empty()) return tools;
  tools->root_fd_ = open(root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (tools->root_fd_ < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("cannot open the root directory ", root, ": ", std::generic_category().message(errno)));
  }
  if (root[0] == '/') tools->root_names_.push_back(root);
  if (char* real = realpath(root.c_str(), nullptr)) {
    tools->root_names_.push_back(real);
    free(real);
  }
  for (std::string& name : tools->root_names_) {
    while (!name.empty() && name.back() == '/') name.pop_back();
  }
  if (confinement == Confinement::kKernel) {
    // Tried once: old kernels do not know it, and old container runtimes forbid it.
    const Fd probe(Openat2(tools->root_fd_, ".", O_PATH | O_CLOEXEC));
    tools->has_openat2_ = probe.get() >= 0;
  }
  return tools;
}

AgentTools::~AgentTools() {
  if (root_fd_ >= 0) close(root_fd_);
}

AgentTools::Plan AgentTools::PlanCall(std::string_view tool, std::string_view params_json) const {
  Plan plan;
  if (tool == "echo") {
    plan.outcome = Succeeded(std::string(params_json));
  } else if (tool == "sleep") {
    plan = PlanSleep(params_json);
  } else if (tool == "read_file" || tool == "list_directory") {
    if (root_fd_ < 0) {
      plan.outcome = Failed("this agent offers no files: it was started without a root directory");
    } else {
      plan.kind = Plan::Kind::kFile;
    }
  } else if (tool.size() > kToolNameBytesShown) {
    plan.outcome = Failed("unknown tool");
  } else {
    plan.outcome = Failed(absl::StrCat("unknown tool: ", std::string(tool)));
  }
  return plan;
}

ToolOutcome AgentTools::RunFileTool(std::string_view tool, std::string_view params_json) const {
  try {
    return tool == "read_file" ? ReadFile(params_json) : ListDirectory(params_json);
  } catch (const std::exception&) {  // Out of memory: one call fails, not the agent.
    return Failed("the agent is out of memory");
  }
}

ToolOutcome AgentTools::ReadFile(std::string_view params_json) const {
  const std::optional<nlohmann::json> params = ParseParams(params_json);
  if (!params.has_value()) return Failed("read_file needs an object with `path`");
  std::string problem;
  const std::string path = PathParam(*params, "", &problem);
  if (path.empty()) return Failed(problem);
  const std::optional<std::string> encoding = StringParam(*params, "encoding", "utf8");
  const bool base64 = encoding == "base64";
  if (!base64 && encoding != "utf8") return Failed("`encoding` must be \"utf8\" or \"base64\"");

  // First without opening it for reading: that alone would wake the writer of a FIFO, or start a device.
  struct stat seen {};
  {
    const Fd glimpse(OpenBelowRoot(path, O_PATH));
    if (glimpse.get() < 0) return FailedToOpen(path, -glimpse.get());
    if (fstat(glimpse.get(), &seen) != 0) return FailedToRead(path, errno);
  }
  if (S_ISDIR(seen.st_mode)) return Failed(absl::StrCat("is a directory: ", path));
  if (!S_ISREG(seen.st_mode)) return Failed(absl::StrCat("not a regular file: ", path));
  // O_NONBLOCK: if it has been replaced by a FIFO since, opening must not wait for a writer.
  const Fd file(OpenBelowRoot(path, O_RDONLY | O_NONBLOCK | O_NOCTTY));
  if (file.get() < 0) return FailedToOpen(path, -file.get());
  if (fstat(file.get(), &seen) != 0) return FailedToRead(path, errno);
  if (!S_ISREG(seen.st_mode)) return Failed(absl::StrCat("not a regular file: ", path));

  const auto size = static_cast<size_t>(seen.st_size);
  std::string content;
  if (size <= kFileBytesMax) {
    const int error = ReadToEnd(file.get(), size, kFileBytesMax, &content);
    if (error != 0) return FailedToRead(path, error);
  }
  if (size > kFileBytesMax || content.size() > kFileBytesMax) {
    return Failed(absl::StrCat("file too large: ", path, " has more than ", kFileBytesMax, " bytes"));
  }
  std::string result = "{\"path\":";
  json::AppendQuoted(path, &result);
  result.append(",\"content\":");
  if (base64) {
    absl::StrAppend(&result, "\"", absl::Base64Escape(content), "\"");
  } else if (json::IsUtf8(content)) {
    json::AppendQuoted(content, &result);
  } else {
    return Failed(absl::StrCat("not UTF-8 text: ", path, "; ask for \"encoding\": \"base64\""));
  }
  absl::StrAppend(&result, ",\"size\":", content.size(), "}");
  return Succeeded(std::move(result));
}

ToolOutcome AgentTools::ListDirectory(std::string_view params_json) const {
  const std::optional<nlohmann::json> params = ParseParams(params_json);
  if (!params.has_value()) return Failed("list_directory needs an object, with or without `path`");
  std::string problem;
  const std::string path = PathParam(*params, ".", &problem);
  if (path.empty()) return Failed(problem);

  Fd fd(OpenBelowRoot(path, O_RDONLY | O_DIRECTORY | O_NONBLOCK));
  if (fd.get() < 0) return FailedToOpen(path, -fd.get());
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(fdopendir(fd.get()), closedir);
  if (directory == nullptr) return FailedToRead(path, errno);
  fd.Release();  // The DIR closes it.
  std::vector<std::string> names;
  bool truncated = false;
  const int error = FirstNames(directory.get(), kEntriesMax, &names, &truncated);
  if (error != 0) return FailedToRead(path, error);

  std::string result = "{\"path\":";
  json::AppendQuoted(path, &result);
  result.append(",\"entries\":[");
  const char* separator = "";
  for (const std::string& name : names) {
    struct stat seen {};
    if (fstatat(dirfd(directory.get()), name.c_str(), &seen, AT_SYMLINK_NOFOLLOW) != 0) continue;  // Gone meanwhile.
    const std::string quoted =  // A file name is any bytes; JSON is UTF-8.
        nlohmann::json(name).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    absl::StrAppend(&result, separator, "{\"name\":", quoted, ",\"type\":\"", TypeWord(seen.st_mode),
                    "\",\"size\":", S_ISREG(seen.st_mode) ? static_cast<int64_t>(seen.st_size) : int64_t{0}, "}");
    separator = ",";
  }
  result.append(truncated ? "],\"truncated\":true}" : "]}");
  return Succeeded(std::move(result));
}

int AgentTools::OpenBelowRoot(const std::string& path, int flags) const {
  std::string relative = path;
  if (path[0] == '/') {
    const auto is_prefix = [&path](const std::string& name) {
      return path.compare(0, name.size(), name) == 0 && (path.size() == name.size() || path[name.size()] == '/');
    };
    const auto found = std::find_if(root_names_.begin(), root_names_.end(), is_prefix);
    if (found == root_names_.end()) return -EXDEV;
    const size_t start = path.find_first_not_of('/', found->size());
    relative = start == std::string::npos ? "." : path.substr(start);
  }
  if (has_openat2_) return Openat2(root_fd_, relative.c_str(), flags | O_CLOEXEC);
  return WalkBelowRoot(relative, flags | O_CLOEXEC);
}

int AgentTools::WalkBelowRoot(const std::string& relative, int flags) const {
  // `..` undoes the name before it: true on disk, too, since none of the names is a symbolic link.
  std::vector<std::string> names;
  for (size_t start = 0; start <= relative.size();) {
    const size_t end = std::min(relative.find('/', start), relative.size());
    const std::string name = relative.substr(start, end - start);
    start = end + 1;
    if (name.empty() || name == ".") continue;
    if (name != "..") {
      names.push_back(name);
    } else if (names.empty()) {
      return -EXDEV;
    } else {
      names.pop_back();
    }
  }
  if (names.empty()) names.emplace_back(".");
  Fd at(openat(root_fd_, ".", O_PATH | O_DIRECTORY | O_CLOEXEC));
  for (size_t i = 0; at.get() >= 0; ++i) {
    const bool last = i + 1 == names.size();
    const int how = last ? flags : O_PATH | O_DIRECTORY | O_CLOEXEC;
    // A symbolic link is refused before it is opened with O_PATH, which would open the link itself; swapping one in
    // between gains nothing, as O_NOFOLLOW stays.
    struct stat seen {};
    if (fstatat(at.get(), names[i].c_str(), &seen, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(seen.st_mode)) return -ELOOP;
    const int next = openat(at.get(), names[i].c_str(), how | O_NOFOLLOW);
    if (next < 0 || last) return next < 0 ? -errno : next;
    at.Reset(next);
  }
  return -errno;
}

ToolWorker::ToolWorker(size_t queue_max) : queue_max_(queue_max), thread_([this] { Run(); }) {}

ToolWorker::~ToolWorker() {
  {
    MutexLock lock(mu_);
    stopping_ = true;
  }
  wake_.NotifyOne();
  thread_.join();
}

bool ToolWorker::Submit(std::function<void()> job) {
  {
    MutexLock lock(mu_);
    if (stopping_ || queue_.size() >= queue_max_) return false;
    queue_.push_back(std::move(job));
  }
  wake_.NotifyOne();
  return true;
}

void ToolWorker::Run() {
  MutexLock lock(mu_);
  for (;;) {
    wake_.Wait(mu_, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return stopping_ || !queue_.empty(); });
    if (stopping_) return;
    const std::function<void()> job = std::move(queue_.front());
    queue_.pop_front();
    lock.Unlock();
    job();
    lock.Lock();
  }
}

}  // namespace toolwire
