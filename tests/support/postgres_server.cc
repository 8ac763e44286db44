#include "tests/support/postgres_server.h"

#include <fcntl.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <libpq-fe.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>
#include <utility>

#include "tests/support/free_port.h"
#include "tests/support/stand_still.h"

namespace toolwire {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void Die(const std::string& what) {
  std::fprintf(stderr, "PostgreSQL for tests: %s\n", what.c_str());
  std::abort();
}

// The directory of `initdb` and `postgres`: Debian's newest, or else one of PATH. Empty if there is none.
std::string FindBin() {
  std::vector<std::string> places;
  std::error_code ignored;
  for (const auto& version : fs::directory_iterator("/usr/lib/postgresql", ignored)) {
    places.push_back(version.path().string() + "/bin");
  }
  std::sort(places.rbegin(), places.rend());
  std::istringstream path(std::getenv("PATH") != nullptr ? std::getenv("PATH") : "");
  for (std::string place; std::getline(path, place, ':');) places.push_back(place);
  for (const std::string& place : places) {
    if (access((place + "/initdb").c_str(), X_OK) == 0 && access((place + "/postgres").c_str(), X_OK) == 0) {
      return place;
    }
  }
  return "";
}

// PostgreSQL refuses to run as root; the package makes this user.
const passwd* ServerUser() {
  if (geteuid() != 0) return nullptr;
  const passwd* user = getpwnam("postgres");
  if (user == nullptr) user = getpwnam("nobody");
  if (user == nullptr) Die("this is root, and there is no user to run it as");
  return user;
}

int WaitFor(pid_t pid) {
  int status = -1;
  while (waitpid(pid, &status, 0) == -1 && errno == EINTR) {
  }
  return status;
}

}  // namespace

PostgresServer* PostgresServer::Shared() {
  static const std::unique_ptr<PostgresServer> server = Start();
  return server.get();
}

std::unique_ptr<PostgresServer> PostgresServer::Start() {
  const std::string bin = FindBin();
  return bin.empty() ? nullptr : std::unique_ptr<PostgresServer>(new PostgresServer(bin));
}

PostgresServer::PostgresServer(std::string bin) : bin_(std::move(bin)) {
  std::string pattern = ::testing::TempDir() + "toolwire_postgres_XXXXXX";
  if (mkdtemp(pattern.data()) == nullptr) Die("no temporary directory");
  directory_ = pattern;
  if (const passwd* user = ServerUser(); user != nullptr && chown(pattern.c_str(), user->pw_uid, user->pw_gid) != 0) {
    Die("chown");
  }
  const pid_t initdb = Spawn({bin_ + "/initdb", "-D", directory_ + "/data", "-U", "postgres", "-A", "trust", "-E",
                              "UTF8", "--locale=C.UTF-8", "--no-sync"});
  if (WaitFor(initdb) != 0) Die("initdb failed:\n" + Log());
  port_ = FreePort();
  if (port_ == 0) Die("no free port");
  Resume();
}

PostgresServer::~PostgresServer() {
  Stop();
  std::error_code ignored;
  fs::remove_all(directory_, ignored);
}

pid_t PostgresServer::Spawn(const std::vector<std::string>& command) const {
  std::vector<char*> arguments;
  for (const std::string& one : command) arguments.push_back(const_cast<char*>(one.c_str()));
  arguments.push_back(nullptr);
  const std::string log = directory_ + "/log";
  const passwd* user = ServerUser();
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid != 0) return pid;
  if (user != nullptr && (setgroups(0, nullptr) != 0 || setgid(user->pw_gid) != 0 || setuid(user->pw_uid) != 0)) {
    _exit(126);
  }
  // Also if this program crashes.
  prctl(PR_SET_PDEATHSIG, SIGQUIT);
  if (getppid() != parent) _exit(126);
  const int fd = open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  dup2(fd, STDOUT_FILENO);
  dup2(fd, STDERR_FILENO);
  if (chdir(directory_.c_str()) != 0) _exit(126);
  execv(arguments[0], arguments.data());
  _exit(127);
}

void PostgresServer::Resume() {
  // Nothing has to survive a crash of the machine.
  std::vector<std::string> command = {bin_ + "/postgres", "-D", directory_ + "/data", "-k",
                                      directory_,         "-p", std::to_string(port_)};
  for (const char* setting : {"listen_addresses=127.0.0.1", "fsync=off", "full_page_writes=off", "max_connections=60",
                              "shared_buffers=32MB", "log_min_messages=warning", "timezone=America/New_York"}) {
    command.insert(command.end(), {"-c", setting});
  }
  pid_ = Spawn(command);
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (PQping(Url("postgres").c_str()) != PQPING_OK) {
    if (waitpid(pid_, nullptr, WNOHANG) == pid_) Die("it ended:\n" + Log());
    if (std::chrono::steady_clock::now() > deadline) Die("it does not start:\n" + Log());
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

void PostgresServer::Stop() {
  if (pid_ == -1) return;
  kill(pid_, SIGINT);  // "Fast": ends connections.
  WaitFor(pid_);
  pid_ = -1;
}

void PostgresServer::Freeze() { ForAll(StandStill); }
void PostgresServer::Thaw() {
  ForAll([](pid_t pid) { kill(pid, SIGCONT); });
}

void PostgresServer::ForAll(void (*act)(pid_t)) {
  act(pid_);
  const std::string pid = std::to_string(pid_);
  std::ifstream children("/proc/" + pid + "/task/" + pid + "/children");
  for (pid_t child = 0; children >> child;) act(child);
}

std::string PostgresServer::Url(const std::string& database) const {
  return "postgresql://postgres:hunter2@127.0.0.1:" + std::to_string(port_) + "/" + database;
}

std::string PostgresServer::NewDatabase() {
  const std::string name = "test_" + std::to_string(++databases_);
  Query(Url("postgres"), "CREATE DATABASE " + name);
  return Url(name);
}

std::string PostgresServer::Log() const {
  std::ostringstream content;
  content << std::ifstream(directory_ + "/log").rdbuf();
  return content.str();
}

PostgresRows Query(const std::string& url, const std::string& sql, const std::vector<std::string>& params) {
  return PostgresClient(url).Query(sql, params);
}

PostgresClient::PostgresClient(const std::string& url) : connection_(PQconnectdb(url.c_str()), PQfinish) {}

PostgresRows PostgresClient::Query(const std::string& sql, const std::vector<std::string>& params) {
  std::vector<const char*> values;
  for (const std::string& param : params) values.push_back(param.c_str());
  // Without parameters there may be several statements.
  const std::unique_ptr<PGresult, void (*)(PGresult*)> result(
      params.empty() ? PQexec(connection_.get(), sql.c_str())
                     : PQexecParams(connection_.get(), sql.c_str(), static_cast<int>(values.size()), nullptr,
                                    values.data(), nullptr, nullptr, 0),
      PQclear);
  const ExecStatusType status = PQresultStatus(result.get());
  EXPECT_TRUE(status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK)
      << sql << ": " << PQerrorMessage(connection_.get());
  PostgresRows rows(static_cast<size_t>(PQntuples(result.get())));
  for (int r = 0; r < PQntuples(result.get()); ++r) {
    for (int c = 0; c < PQnfields(result.get()); ++c) {
      rows[r].push_back(PQgetisnull(result.get(), r, c) ? "NULL" : PQgetvalue(result.get(), r, c));
    }
  }
  return rows;
}

void PostgresClient::Try(const std::string& sql) { PQclear(PQexec(connection_.get(), sql.c_str())); }

}  // namespace toolwire
