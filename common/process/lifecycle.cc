#include "common/process/lifecycle.h"

#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <cstring>

#include "common/base/log.h"

namespace toolwire {
namespace {

sigset_t StopSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  return signals;
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
  const sigset_t signals = StopSignals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
}

void StopSignal::Wait(Duration every, const std::function<void()>& regularly) {
  NotifyServiceManager("READY=1");
  const sigset_t signals = StopSignals();
  auto next = std::chrono::steady_clock::now() + every;
  while (true) {
    const auto left = std::max(next - std::chrono::steady_clock::now(), Duration::zero());
    timespec wait{};
    wait.tv_sec = std::chrono::duration_cast<std::chrono::seconds>(left).count();
    wait.tv_nsec = std::chrono::duration_cast<std::chrono::nanoseconds>(left % std::chrono::seconds(1)).count();
    const int got = sigtimedwait(&signals, nullptr, &wait);
    if (got > 0) {
      NotifyServiceManager("STOPPING=1");
      log::Info("stopping", {{"signal", got == SIGINT ? "SIGINT" : "SIGTERM"}});
      pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
      return;
    }
    if (std::chrono::steady_clock::now() < next) continue;
    regularly();
    next += every;
  }
}

}  // namespace toolwire
