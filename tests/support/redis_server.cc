#include "tests/support/redis_server.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/percent.h"
#include "common/registry/redis_tls.h"
#include "common/tls/certificate_maker.h"
#include "tests/support/await.h"
#include "tests/support/free_port.h"
#include "tests/support/stand_still.h"

namespace toolwire {
namespace {

constexpr char kUserPassword[] = "a secret: with / and @";

// The line of docs/tls.md for a redis.conf, as arguments of redis-server, with a password in it.
std::vector<std::string> DocumentedUser() {
  std::ifstream document(TOOLWIRE_SOURCE_DIR "/docs/tls.md");
  for (std::string line; std::getline(document, line);) {
    if (!absl::StartsWith(line, "user toolwire ")) continue;
    std::vector<std::string> words = absl::StrSplit(absl::StrCat("--", line), ' ');
    const auto password = std::find(words.begin(), words.end(), ">SECRET");
    EXPECT_NE(password, words.end()) << "docs/tls.md has a user without >SECRET";
    if (password != words.end()) *password = absl::StrCat(">", kUserPassword);
    return words;
  }
  ADD_FAILURE() << "docs/tls.md has no line that begins with: user toolwire";
  return {};
}

}  // namespace

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

RedisServer::RedisServer(Protection) : is_protected_(true), args_(DocumentedUser()), port_(FreePort()) {
  std::string made = std::filesystem::temp_directory_path() / "toolwire-redis-XXXXXX";
  directory_ = mkdtemp(made.data());
  signal(SIGPIPE, SIG_IGN);  // As in every process of ours.
  MakeCertificates();
  Start();
}

std::unique_ptr<RedisServer> RedisServer::Protected() {
  return std::unique_ptr<RedisServer>(new RedisServer(Protection{}));
}

void RedisServer::MakeCertificates() {
  const int64_t now = SystemClock().WallMs() / 1000;
  const auto ca = MakeCa("test", now - 3600, now + 86400);
  CertificateRequest request;
  request.names = {"localhost"};
  request.not_before = now - 3600;
  request.not_after = now + 86400;
  const auto server = MakeCertificate(*ca, request);
  std::ofstream(directory_ + "/ca.crt") << ca->certificate;
  std::ofstream(directory_ + "/redis.crt") << server->certificate;
  std::ofstream(directory_ + "/redis.key") << server->key;
  static const SystemClock clock;
  tls_ = *LoadRedisTls(*ParseRedisUrl(url()), options().tls, clock);
}

RedisServer::~RedisServer() {
  client_.reset();  // First: it would log that the server is lost, at the end of the process beside the log's own end.
  Stop();
  std::filesystem::remove_all(directory_);
}

std::string RedisServer::url() const {
  if (is_protected_) return absl::StrCat("rediss://localhost:", port_);
  return absl::StrCat("redis://", password_.empty() ? "" : absl::StrCat(":", password_, "@"), "127.0.0.1:", port_);
}

RedisRegistry::Options RedisServer::options() const {
  RedisRegistry::Options options;
  options.url = url();
  if (!is_protected_) return options;
  options.url = absl::StrCat("rediss://toolwire:", PercentEncode(kUserPassword), "@localhost:", port_);
  options.tls.ca_file = directory_ + "/ca.crt";
  return options;
}

void RedisServer::Start() {
  std::vector<std::string> command = {"redis-server", "--bind", "127.0.0.1", "--save", "", "--dir", directory_};
  const std::string port = std::to_string(port_);
  if (is_protected_) {
    command.insert(command.end(), {"--port", "0", "--tls-port", port, "--tls-auth-clients", "no", "--tls-cert-file",
                                   directory_ + "/redis.crt", "--tls-key-file", directory_ + "/redis.key"});
  } else {
    command.insert(command.end(), {"--port", port});
  }
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
  options.tls = tls_.get();
  options.name = "test";
  options.command_timeout = kAwaitDeadline;
  client_ = std::make_unique<RedisClient>(
      options, RedisClient::Events{[](bool) {}, [] {}, [](const std::string&, const std::string&, MonoTime) {}});
  client_->Start();
  Await([this] { return client_->connected(); });
}

void RedisServer::Stop() {
  if (pid_ == 0) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
  pid_ = 0;
}

void RedisServer::Pause() { StandStill(pid_); }
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
