#include "tests/support/redis_server.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "tests/support/await.h"
#include "tests/support/free_port.h"

namespace toolwire {
namespace {}  // namespace

bool RedisServer::Installed() {
  static const bool installed = std::system("redis-server --version > /dev/null 2>&1") == 0;
  return installed;
}

RedisServer::RedisServer(std::vector<std::string> args, std::string password)
    : args_(std::move(args)), password_(std::move(password)), port_(FreePort()) {
  std::string made = std::filesystem::temp_directory_path() / "toolwire-redis-XXXXXX";
  directory_ = mkdtemp(made.data());
  Start();
}

RedisServer::~RedisServer() {
  Stop();
  client_.reset();
  std::filesystem::remove_all(directory_);
}

std::string RedisServer::url() const {
  return absl::StrCat("redis://", password_.empty() ? "" : absl::StrCat(":", password_, "@"), "127.0.0.1:", port_);
}

void RedisServer::Start() {
  std::vector<std::string> command = {
      "redis-server", "--port", std::to_string(port_), "--bind", "127.0.0.1", "--save", "", "--dir", directory_};
  if (!password_.empty()) command.insert(command.end(), {"--requirepass", password_});
  command.insert(command.end(), args_.begin(), args_.end());
  std::vector<char*> argv;
  for (std::string& one : command) argv.push_back(one.data());
  argv.push_back(nullptr);
  const std::string log = directory_ + "/log";
  pid_ = fork();
  if (pid_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    const int out = open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    dup2(out, STDOUT_FILENO);
    dup2(out, STDERR_FILENO);
    execvp(argv[0], argv.data());
    _exit(127);
  }
  RedisClient::Options options;
  options.url = *ParseRedisUrl(url());
  options.name = "test";
  options.command_timeout = kAwaitDeadline;
  client_ = std::make_unique<RedisClient>(
      options, RedisClient::Events{[](bool) {}, [] {}, [](const std::string&, const std::string&) {}});
  client_->Start();
  Await([this] { return client_->connected(); });
}

void RedisServer::Stop() {
  if (pid_ == 0) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
  pid_ = 0;
}

void RedisServer::Pause() { kill(pid_, SIGSTOP); }
void RedisServer::Resume() { kill(pid_, SIGCONT); }

absl::StatusOr<RedisReply> RedisServer::Command(const RedisArgs& args) {
  Answer<absl::StatusOr<RedisReply>> answer;
  client_->Post([this, args, answer] { client_->Command(args, answer); });
  return answer.Take();
}

std::string RedisServer::Text(const RedisArgs& args) {
  const absl::StatusOr<RedisReply> reply = Command(args);
  EXPECT_TRUE(reply.ok()) << reply.status();
  if (!reply.ok()) return "";
  return reply->type == RedisReply::Type::kInteger ? std::to_string(reply->integer) : reply->text;
}

int64_t RedisServer::Info(const std::string& section, const std::string& field) {
  const std::string text = Text({"INFO", section});
  const size_t found = text.find(absl::StrCat("\n", field, ":"));
  return found == std::string::npos ? -1 : std::atoll(text.c_str() + found + field.size() + 2);
}

}  // namespace toolwire
