#include "common/process/lifecycle.h"

#include <signal.h>
#include <time.h>

#include <chrono>

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

StopSignal::StopSignal() {
  signal(SIGPIPE, SIG_IGN);
  const sigset_t signals = StopSignals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
}

void StopSignal::Wait(Duration every, const std::function<void()>& regularly) {
  const sigset_t signals = StopSignals();
  auto next = std::chrono::steady_clock::now() + every;
  while (true) {
    const auto left = std::max(next - std::chrono::steady_clock::now(), Duration::zero());
    timespec wait{};
    wait.tv_sec = std::chrono::duration_cast<std::chrono::seconds>(left).count();
    wait.tv_nsec = std::chrono::duration_cast<std::chrono::nanoseconds>(left % std::chrono::seconds(1)).count();
    const int got = sigtimedwait(&signals, nullptr, &wait);
    if (got > 0) {
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
