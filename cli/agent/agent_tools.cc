// A call is planned without blocking: answered at once, answered after a wait, or left to the worker because it needs
// the disk. A file tool opens its path below the root's descriptor, by openat2 or component by component, and from then
// on uses descriptors only. Results are JSON text that is checked for its size before it is returned.

#include "cli/agent/agent_tools.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cmath>
#include <cstdlib>
#include <exception>
#include <limits>
#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/base/json_text.h"

namespace toolwire {
namespace {

constexpr size_t kToolNameBytesShown = 256;
// openat2 fails with EAGAIN when something is renamed while it looks at `..`.
constexpr int kOpenTries = 8;
constexpr size_t kReadAtOnce = 256u << 10;       // Between two looks whether the answer is still wanted.
constexpr size_t kListingRoomStep = 64u << 10;   // How a listing's room grows.
constexpr size_t kBase64PieceBytes = 48u << 10;  // A multiple of three.

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

ToolOutcome Succeeded(std::string result_json) { return {true, std::move(result_json), ""}; }

ToolOutcome Busy() { return {false, "", "", /*busy=*/true}; }

ToolOutcome TooLong(size_t bytes, size_t bytes_max) {
  return Failed(absl::StrCat("the result would be ", bytes, " bytes long, more than the ", bytes_max,
                             " that this agent may send"));
}

// What an errno means for the caller who asked for `path`, which is given as text.
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

// Bytes as text: U+FFFD stands for what is not UTF-8.
std::string Shown(const std::string& bytes) {
  if (json::IsUtf8(bytes)) return bytes;
  const std::string quoted = nlohmann::json(bytes).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  std::string shown;
  json::UnescapeLossy(quoted, &shown);
  return shown;
}

// The members of params that the tools read; all others are passed over, whatever they hold. A member that is null
// counts as absent.
class Params {
 public:
  // False if they are no object.
  bool Read(std::string_view params_json) {
    return json::PickMembers(params_json, std::numeric_limits<int>::max(), kNames, absl::MakeSpan(members_)) ==
           json::Error::kNone;
  }
  enum Name : size_t { kPath, kPathBase64, kEncoding, kMs };
  bool Has(Name name) const { return !members_[name].value.empty() && members_[name].kind != json::Kind::kNull; }
  // False: it is no string, or one with a lone surrogate.
  bool Text(Name name, std::string* text) const {
    return members_[name].kind == json::Kind::kString && json::Unescape(members_[name].value, text);
  }
  // False: it is no number. 1e400 is one: infinite.
  bool Number(Name name, double* number) const {
    const std::string_view value = members_[name].value;
    return members_[name].kind == json::Kind::kNumber &&
           absl::SimpleAtod(absl::string_view(value.data(), value.size()), number);
  }

 private:
  static constexpr std::array<std::string_view, 4> kNames = {"path", "path_base64", "encoding", "ms"};
  std::array<json::Member, kNames.size()> members_;
};

// The path in `params`; empty, with `*problem` set, if there is none that a file could have.
std::string PathParam(const Params& params, const char* if_absent, std::string* problem) {
  std::string path = if_absent, encoded;
  if (params.Has(Params::kPathBase64)) {
    path.clear();
    if (params.Has(Params::kPath)) {
      *problem = "give `path` or `path_base64`, not both";
      return "";
    }
    if (!params.Text(Params::kPathBase64, &encoded) || !absl::Base64Unescape(encoded, &path)) {
      *problem = "`path_base64` must be a string in base64";
      return "";
    }
  } else if (params.Has(Params::kPath) && !params.Text(Params::kPath, &path)) {
    *problem = "`path` must be a string of Unicode";
    return "";
  }
  if (path.empty()) {
    *problem = "`path` is missing or empty";
  } else if (path.find('\0') != std::string::npos) {
    *problem = "`path` contains a NUL character";
  } else if (path.size() >= PATH_MAX) {
    *problem = "`path` is too long";
  } else {
    return path;
  }
  return "";
}

AgentTools::Plan PlanSleep(std::string_view params_json) {
  AgentTools::Plan plan;
  constexpr auto kMax = AgentTools::kSleepMax.count();
  Params params;
  double ms = 0;
  if (params.Read(params_json) && params.Number(Params::kMs, &ms) && ms >= 0 && ms <= static_cast<double>(kMax) &&
      ms == std::floor(ms)) {
    plan.kind = AgentTools::Plan::Kind::kWait;
    plan.wait = std::chrono::milliseconds(static_cast<int64_t>(ms));
    plan.outcome = Succeeded(absl::StrCat("{\"slept_ms\":", plan.wait.count(), "}"));
    return plan;
  }
  plan.outcome = Failed(absl::StrCat("`ms` must be a whole number from 0 to ", kMax));
  return plan;
}

// What read_file and list_directory are to do, or why it cannot be done.
AgentTools::Plan PlanFileTool(std::string_view tool, std::string_view params_json) {
  AgentTools::Plan plan;
  AgentTools::FileRequest& file = plan.file;
  file.list = tool == "list_directory";
  Params params;
  std::string problem;
  if (!params.Read(params_json)) {
    problem = file.list ? "list_directory needs an object, with or without `path`" : "read_file needs an object with `path`";
  } else {
    file.path = PathParam(params, file.list ? "." : "", &problem);
  }
  if (problem.empty() && !file.list && params.Has(Params::kEncoding)) {
    std::string encoding;
    const bool readable = params.Text(Params::kEncoding, &encoding);
    file.base64 = encoding == "base64";
    if (!readable || (!file.base64 && encoding != "utf8")) problem = "`encoding` must be \"utf8\" or \"base64\"";
  }
  if (problem.empty()) {
    plan.kind = AgentTools::Plan::Kind::kFile;
  } else {
    plan.outcome = Failed(std::move(problem));
  }
  return plan;
}

// Reads to the end, or to one byte more than `bytes_max`, into memory that is touched as it is filled. Zero, or an
// errno; ECANCELED if it was stopped, ENOBUFS if there is no `room`, or not for what came.
int ReadToEnd(int fd, size_t size_hint, size_t room, size_t bytes_max, const AgentTools::FileRun& run,
              std::string* content) {
  content->reserve(std::min(size_hint, bytes_max) + 1);  // One more: a read that finds the end needs room, too.
  size_t filled = 0;
  for (;;) {
    if (*run.stopped) return ECANCELED;
    if (!run.room->Use(filled, std::max(filled, room))) return ENOBUFS;
    content->resize(std::min({filled + kReadAtOnce, std::max(content->capacity(), filled + 4096), bytes_max + 1}));
    const ssize_t got = read(fd, content->data() + filled, content->size() - filled);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno;
    filled += static_cast<size_t>(got);
    if (got == 0 || filled > bytes_max) break;
  }
  content->resize(filled);
  return 0;
}

// How long AppendQuoted makes it.
size_t QuotedSize(std::string_view text) {
  size_t size = text.size() + 2;
  for (const char c : text) {
    if (c == '"' || c == '\\' || c == '\b' || c == '\f' || c == '\n' || c == '\r' || c == '\t') {
      ++size;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      size += 5;
    }
  }
  return size;
}

size_t Base64Size(size_t bytes) { return (bytes + 2) / 3 * 4; }

void AppendBase64(std::string_view bytes, std::string* out) {
  for (size_t at = 0; at < bytes.size(); at += kBase64PieceBytes) {
    const std::string_view piece = bytes.substr(at, kBase64PieceBytes);
    out->append(absl::Base64Escape(absl::string_view(piece.data(), piece.size())));
  }
}

const char* TypeWord(mode_t mode) {
  if (S_ISREG(mode)) return "file";
  if (S_ISDIR(mode)) return "directory";
  if (S_ISLNK(mode)) return "symlink";
  return "other";
}

// The alphabetically first names, at most `count_max`: memory stays bounded in any directory. Zero, or an errno, as
// ReadToEnd.
int FirstNames(DIR* directory, size_t count_max, const AgentTools::FileRun& run, std::vector<std::string>* names,
               bool* more) {
  size_t bytes = 0, room = 0;
  for (;;) {
    if (*run.stopped) return ECANCELED;
    if (bytes >= room) {
      room = bytes + kListingRoomStep;
      if (bytes > 0 && !run.room->Resize(room)) return ENOBUFS;
    }
    errno = 0;
    const dirent* entry = readdir(directory);
    if (entry == nullptr) break;
    std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    bytes += name.size();
    names->push_back(std::move(name));
    std::push_heap(names->begin(), names->end());  // The last name on top.
    if (names->size() <= count_max) continue;
    std::pop_heap(names->begin(), names->end());
    bytes -= names->back().size();
    names->pop_back();
    *more = true;
  }
  const int error = errno;
  std::sort_heap(names->begin(), names->end());
  return error;
}

// Whether a descriptor is of a file system that shows the kernel and its processes rather than files. What is mounted
// below /sys counts, too.
bool IsOfTheKernel(int fd) {
  struct statfs seen {};
  if (fstatfs(fd, &seen) != 0) return true;
  switch (static_cast<uint32_t>(seen.f_type)) {
    case PROC_SUPER_MAGIC:
    case SYSFS_MAGIC:
    case CGROUP_SUPER_MAGIC:
    case CGROUP2_SUPER_MAGIC:
    case DEBUGFS_MAGIC:
    case TRACEFS_MAGIC:
    case SECURITYFS_MAGIC:
    case SELINUX_MAGIC:
    case SMACK_MAGIC:
    case PSTOREFS_MAGIC:
    case EFIVARFS_MAGIC:
    case BINFMTFS_MAGIC:
    case BPF_FS_MAGIC:
      return true;
    default:
      return false;
  }
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

absl::StatusOr<std::unique_ptr<AgentTools>> AgentTools::Open(const std::string& root, Secrets secrets,
                                                             Confinement confinement) {
  std::unique_ptr<AgentTools> tools(new AgentTools);
  if (root.empty()) return tools;
  tools->secrets_ = std::move(secrets);
  for (const std::string& file : tools->secrets_.files) {
    struct stat seen {};
    if (stat(file.c_str(), &seen) == 0) tools->secret_inodes_.emplace_back(seen.st_dev, seen.st_ino);
  }
  tools->root_fd_ = open(root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (tools->root_fd_ < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("cannot open the root directory ", root, ": ", std::generic_category().message(errno)));
  }
  if (IsOfTheKernel(tools->root_fd_)) {
    return absl::InvalidArgumentError(absl::StrCat("the root directory ", root, " is the kernel's: it holds no files"));
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
      plan = PlanFileTool(tool, params_json);
    }
  } else if (tool.size() > kToolNameBytesShown) {
    plan.outcome = Failed("unknown tool");
  } else {
    plan.outcome = Failed(absl::StrCat("unknown tool: ", std::string(tool)));
  }
  return plan;
}

ToolOutcome AgentTools::RunFileTool(const FileRequest& request, const FileRun& run) const {
  try {
    return request.list ? ListDirectory(request, run) : ReadFile(request, run);
  } catch (const std::exception&) {  // Out of memory: one call fails, not the agent.
    return Failed("the agent is out of memory");
  }
}

ToolOutcome AgentTools::ReadFile(const FileRequest& request, const FileRun& run) const {
  const std::string& name = request.path;
  const std::string path = Shown(name);
  // First without opening it for reading: that alone would wake the writer of a FIFO, or start a device.
  struct stat seen {};
  {
    const Fd glimpse(OpenBelowRoot(name, O_PATH));
    if (glimpse.get() < 0) return FailedToOpen(path, -glimpse.get());
    if (fstat(glimpse.get(), &seen) != 0) return FailedToRead(path, errno);
  }
  if (S_ISDIR(seen.st_mode)) return Failed(absl::StrCat("is a directory: ", path));
  if (!S_ISREG(seen.st_mode)) return Failed(absl::StrCat("not a regular file: ", path));
  // O_NONBLOCK: if it has been replaced by a FIFO since, opening must not wait for a writer.
  const Fd file(OpenBelowRoot(name, O_RDONLY | O_NONBLOCK | O_NOCTTY));
  if (file.get() < 0) return FailedToOpen(path, -file.get());
  if (fstat(file.get(), &seen) != 0) return FailedToRead(path, errno);
  if (!S_ISREG(seen.st_mode)) return Failed(absl::StrCat("not a regular file: ", path));
  if (IsSecretFile(seen)) return Failed(absl::StrCat("holds a secret of the agent: ", path));

  const auto size = static_cast<size_t>(seen.st_size);
  std::string content;
  if (size <= kFileBytesMax) {
    const size_t room = request.base64 ? Base64Size(size) : size;
    const int error = ReadToEnd(file.get(), size, room, kFileBytesMax, run, &content);
    if (error == ENOBUFS) return Busy();
    if (error != 0) return FailedToRead(path, error);
  }
  if (size > kFileBytesMax || content.size() > kFileBytesMax) {
    return Failed(absl::StrCat("file too large: ", path, " has more than ", kFileBytesMax, " bytes"));
  }
  if (secrets_.texts.AreIn(content)) {
    return Failed(absl::StrCat("holds a secret of the agent: ", path));
  }
  if (!request.base64 && !json::IsUtf8(content)) {
    return Failed(absl::StrCat("not UTF-8 text: ", path, "; ask for \"encoding\": \"base64\""));
  }
  std::string result = "{\"path\":";
  json::AppendQuoted(path, &result);
  result.append(",\"content\":");
  const std::string end = absl::StrCat(",\"size\":", content.size(), "}");
  const size_t bytes =
      result.size() + (request.base64 ? Base64Size(content.size()) + 2 : QuotedSize(content)) + end.size();
  if (bytes > run.result_bytes_max) return TooLong(bytes, run.result_bytes_max);
  if (!run.room->Resize(bytes)) return Busy();
  result.reserve(bytes);
  if (request.base64) {
    result.push_back('"');
    AppendBase64(content, &result);
    result.push_back('"');
  } else {
    json::AppendQuoted(content, &result);
  }
  result.append(end);
  return Succeeded(std::move(result));
}

ToolOutcome AgentTools::ListDirectory(const FileRequest& request, const FileRun& run) const {
  const std::string& where = request.path;
  const std::string path = Shown(where);

  Fd fd(OpenBelowRoot(where, O_RDONLY | O_DIRECTORY | O_NONBLOCK));
  if (fd.get() < 0) return FailedToOpen(path, -fd.get());
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(fdopendir(fd.get()), closedir);
  if (directory == nullptr) return FailedToRead(path, errno);
  fd.Release();  // The DIR closes it.
  std::vector<std::string> names;
  bool truncated = false;
  const int error = FirstNames(directory.get(), kEntriesMax, run, &names, &truncated);
  if (error == ENOBUFS) return Busy();
  if (error != 0) return FailedToRead(path, error);
  size_t names_bytes = 0, room = 0;
  for (const std::string& name : names) names_bytes += name.size();

  std::string result = "{\"path\":";
  json::AppendQuoted(path, &result);
  result.append(",\"entries\":[");
  const char* separator = "";
  for (const std::string& name : names) {
    if (*run.stopped) return FailedToRead(path, ECANCELED);
    if (result.size() > run.result_bytes_max) return TooLong(result.size(), run.result_bytes_max);
    if (result.size() >= room) {
      room = result.size() + kListingRoomStep;
      if (!run.room->Resize(names_bytes + room)) return Busy();
    }
    struct stat seen {};
    if (fstatat(dirfd(directory.get()), name.c_str(), &seen, AT_SYMLINK_NOFOLLOW) != 0) continue;  // Gone meanwhile.
    absl::StrAppend(&result, separator, "{\"name\":");
    json::AppendQuoted(Shown(name), &result);
    if (!json::IsUtf8(name)) absl::StrAppend(&result, ",\"name_base64\":\"", absl::Base64Escape(name), "\"");
    absl::StrAppend(&result, ",\"type\":\"", TypeWord(seen.st_mode),
                    "\",\"size\":", S_ISREG(seen.st_mode) ? static_cast<int64_t>(seen.st_size) : int64_t{0}, "}");
    separator = ",";
  }
  result.append(truncated ? "],\"truncated\":true}" : "]}");
  if (result.size() > run.result_bytes_max) return TooLong(result.size(), run.result_bytes_max);
  if (!run.room->Resize(result.size())) return Busy();
  result.shrink_to_fit();
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
  flags |= O_CLOEXEC;
  Fd opened(has_openat2_ ? Openat2(root_fd_, relative.c_str(), flags) : WalkBelowRoot(relative, flags));
  if (opened.get() >= 0 && IsOfTheKernel(opened.get())) return -EXDEV;
  return opened.Release();
}

bool AgentTools::IsSecretFile(const struct stat& file) const {
  const auto is = [&file](const std::pair<dev_t, ino_t>& inode) {
    return inode.first == file.st_dev && inode.second == file.st_ino;
  };
  if (std::any_of(secret_inodes_.begin(), secret_inodes_.end(), is)) return true;
  for (const std::string& name : secrets_.files) {
    struct stat now {};
    if (stat(name.c_str(), &now) == 0 && is({now.st_dev, now.st_ino})) return true;
  }
  return false;
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

}  // namespace toolwire
