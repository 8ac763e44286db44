#include "common/process/lifecycle.h"

#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "common/base/log.h"
#include "common/base/watched_file.h"

namespace toolwire {
namespace {

sigset_t OwnSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGHUP);
  return signals;
}

// Waits for one of the signals, until `until`; 0 or less: none came.
int AwaitSignal(const sigset_t& signals, MonoTime until) {
  const Duration left = std::max(until - std::chrono::steady_clock::now(), Duration::zero());
  timespec wait{};
  wait.tv_sec = std::chrono::duration_cast<std::chrono::seconds>(left).count();
  wait.tv_nsec = std::chrono::duration_cast<std::chrono::nanoseconds>(left % std::chrono::seconds(1)).count();
  return sigtimedwait(&signals, nullptr, &wait);
}

}  // namespace

void NotifyServiceManager(const std::string& state) {
  const char* const path = std::getenv("NOTIFY_SOCKET");
  sockaddr_un address{};
  if (path == nullptr || (*path != '/' && *path != '@') || std::strlen(path) >= sizeof address.sun_path) return;
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path, std::strlen(path));
  if (*path == '@') address.sun_path[0] = 0;  // An abstract name.
  const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return;
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + std::strlen(path));
  if (sendto(fd, state.data(), state.size(), MSG_NOSIGNAL, reinterpret_cast<sockaddr*>(&address), size) < 0) {
    log::Warn("service manager not notified", {{"error", std::strerror(errno)}});
  }
  close(fd);
}

StopSignal::StopSignal() {
  signal(SIGPIPE, SIG_IGN);
  const sigset_t signals = OwnSignals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
}

StopSignal::LookAtFiles StopSignal::LookAtAll(std::vector<LookAtFiles> all) {
  all.erase(std::remove(all.begin(), all.end(), nullptr), all.end());
  if (all.empty()) return {};
  return [all = std::move(all)](bool now) {
    for (const LookAtFiles& one : all) one(now);
  };
}

void StopSignal::Wait(Duration every, const std::function<void()>& regularly, const LookAtFiles& look_at_files) {
  NotifyServiceManager("READY=1");
  const sigset_t signals = OwnSignals();
  MonoTime next = std::chrono::steady_clock::now() + every;
  MonoTime next_look = look_at_files ? std::chrono::steady_clock::now() : MonoTime::max();
  while (true) {
    const int got = AwaitSignal(signals, std::min(next, next_look));
    if (got == SIGINT || got == SIGTERM || (got == SIGHUP && !look_at_files)) {
      NotifyServiceManager("STOPPING=1");
      log::Info("stopping", {{"signal", got == SIGINT ? "SIGINT" : got == SIGTERM ? "SIGTERM" : "SIGHUP"}});
      sigset_t ending = signals;
      if (look_at_files) sigdelset(&ending, SIGHUP);  // Who changes a file does not want to end the process.
      pthread_sigmask(SIG_UNBLOCK, &ending, nullptr);
      return;
    }
    const MonoTime now = std::chrono::steady_clock::now();
    if (look_at_files && (got == SIGHUP || now >= next_look)) {
      look_at_files(got == SIGHUP);
      next_look = now + std::chrono::seconds(kLookAtFilesEverySeconds);
    }
    if (now < next) continue;
    regularly();
    next += every;
  }
}

}  // namespace toolwire
