#include "common/store/pg_canceller.h"

#include <chrono>
#include <utility>

#include "common/base/mutex.h"

namespace toolwire {
namespace {

constexpr std::chrono::milliseconds kAskEvery(100);
constexpr std::chrono::milliseconds kCancelEvery(500);

}  // namespace

// The thread's, too: it outlives the canceller when a cancel hangs.
struct PgCanceller::State {
  State(std::function<bool()> is_gone, std::function<void()> cancel)
      : is_gone(std::move(is_gone)), cancel(std::move(cancel)) {}

  void Run();

  const std::function<bool()> is_gone;
  const std::function<void()> cancel;

  Mutex mu;
  CondVar wake;
  bool stopping ABSL_GUARDED_BY(mu) = false;
  bool cancelling ABSL_GUARDED_BY(mu) = false;
  bool cancelled ABSL_GUARDED_BY(mu) = false;
};

void PgCanceller::State::Run() {
  MutexLock lock(mu);
  while (true) {
    wake.WaitFor(mu, cancelled ? kCancelEvery : kAskEvery,
                 [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) { return stopping; });
    if (stopping) return;
    lock.Unlock();
    const bool gone = is_gone();
    lock.Lock();
    if (!gone || stopping) continue;
    cancelling = cancelled = true;
    lock.Unlock();
    cancel();
    lock.Lock();
    cancelling = false;
  }
}

PgCanceller::PgCanceller(std::function<bool()> is_gone, std::function<void()> cancel)
    : state_(std::make_shared<State>(std::move(is_gone), std::move(cancel))), thread_([state = state_] { state->Run(); }) {}

bool PgCanceller::Stop() {
  bool cancelled = false, hangs = false;
  {
    MutexLock lock(state_->mu);
    state_->stopping = true;
    cancelled = state_->cancelled;
    hangs = state_->cancelling;
  }
  state_->wake.NotifyOne();
  if (thread_.joinable()) {
    if (hangs) thread_.detach();
    else thread_.join();
  }
  return cancelled;
}

}  // namespace toolwire
