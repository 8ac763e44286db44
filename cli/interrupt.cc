#include "cli/interrupt.h"

#include <pthread.h>
#include <signal.h>

#include <utility>

namespace toolwire {
namespace {

// SIGUSR1: the destructor ends the thread that waits for signals.
sigset_t Signals(bool with_own) {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  if (with_own) sigaddset(&signals, SIGUSR1);
  return signals;
}

}  // namespace

Interrupt::Interrupt() {
  const sigset_t signals = Signals(true);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  thread_ = std::thread([this] { Run(); });
}

Interrupt::~Interrupt() {
  pthread_kill(thread_.native_handle(), SIGUSR1);
  thread_.join();
}

void Interrupt::Set(std::function<void()> action) {
  MutexLock lock(mu_);
  action_ = std::move(action);
  if (seen_ && action_) action_();
}

bool Interrupt::seen() {
  MutexLock lock(mu_);
  return seen_;
}

bool Interrupt::WaitFor(Duration time) {
  MutexLock lock(mu_);
  return came_.WaitFor(mu_, time, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return seen_; });
}

void Interrupt::Run() {
  const sigset_t signals = Signals(true), passed_on = Signals(false);
  int signal = 0;
  while (sigwait(&signals, &signal) == 0 && signal != SIGUSR1) {
    MutexLock lock(mu_);
    seen_ = true;
    if (action_) action_();
    came_.NotifyAll();
    pthread_sigmask(SIG_UNBLOCK, &passed_on, nullptr);
  }
}

}  // namespace toolwire
