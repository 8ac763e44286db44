#include "tests/support/pgbouncer.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <libpq-fe.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <thread>
#include <utility>

#include "tests/support/free_port.h"

namespace toolwire {
namespace {

constexpr char kProgram[] = "/usr/sbin/pgbouncer";

[[noreturn]] void DieOfPooler(const std::string& what) {
  std::fprintf(stderr, "PgBouncer for tests: %s\n", what.c_str());
  std::abort();
}

// It refuses to run as root.
const passwd* OtherUser() { return geteuid() == 0 ? getpwnam("postgres") : nullptr; }

}  // namespace

std::unique_ptr<PgBouncer> PgBouncer::Start(const std::string& database_url, const std::string& pool_mode) {
  if (access(kProgram, X_OK) != 0) return nullptr;
  std::string directory = ::testing::TempDir() + "toolwire_pgbouncer_XXXXXX";
  if (mkdtemp(directory.data()) == nullptr) DieOfPooler("no temporary directory");
  const size_t slash = database_url.rfind('/'), colon = database_url.rfind(':');
  const int port = FreePort();
  std::ofstream(directory + "/pgbouncer.ini")
      << "[databases]\n* = host=127.0.0.1 user=postgres port=" << database_url.substr(colon + 1, slash - colon - 1)
      << "\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = " << port << "\nunix_socket_dir =\nauth_type = any\n"
      << "logfile = " << directory << "/log\npool_mode = " << pool_mode << "\n"
      // So few that clients share them.
      << (pool_mode == "transaction" ? "default_pool_size = 3\n" : "");
  if (const passwd* user = OtherUser(); user != nullptr && chown(directory.c_str(), user->pw_uid, user->pw_gid) != 0) {
    DieOfPooler("chown");
  }
  std::unique_ptr<PgBouncer> bouncer(new PgBouncer(database_url.substr(slash + 1), std::move(directory), port));
  bouncer->Run();
  return bouncer;
}

PgBouncer::PgBouncer(std::string database, std::string directory, int port)
    : database_(std::move(database)), directory_(std::move(directory)), port_(port) {}

PgBouncer::~PgBouncer() {
  Kill();
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

std::string PgBouncer::url() const {
  return "postgresql://postgres:hunter2@127.0.0.1:" + std::to_string(port_) + "/" + database_;
}

void PgBouncer::Restart() {
  Kill();
  Run();
}

void PgBouncer::Run() {
  const std::string settings = directory_ + "/pgbouncer.ini";
  const passwd* user = OtherUser();
  const pid_t parent = getpid();
  pid_ = fork();
  if (pid_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(126);
    const int fd = open("/dev/null", O_WRONLY);
    dup2(fd, STDERR_FILENO);
    if (user != nullptr) {
      execl(kProgram, kProgram, "-u", "postgres", settings.c_str(), nullptr);
    } else {
      execl(kProgram, kProgram, settings.c_str(), nullptr);
    }
    _exit(127);
  }
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (PQping(url().c_str()) != PQPING_OK) {
    if (waitpid(pid_, nullptr, WNOHANG) == pid_) DieOfPooler("it ended");
    if (std::chrono::steady_clock::now() > deadline) DieOfPooler("it does not start");
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

void PgBouncer::Kill() {
  if (pid_ == -1) return;
  kill(pid_, SIGKILL);
  while (waitpid(pid_, nullptr, 0) == -1 && errno == EINTR) {
  }
  pid_ = -1;
}

}  // namespace toolwire
