#include "common/store/pg_canceller.h"

#include <chrono>
#include <utility>

namespace toolwire {
namespace {

constexpr std::chrono::milliseconds kAskEvery(100);
constexpr std::chrono::milliseconds kCancelEvery(500);

}  // namespace

PgCanceller::PgCanceller(std::function<bool()> is_gone, std::function<void()> cancel)
    : is_gone_(std::move(is_gone)), cancel_(std::move(cancel)), thread_([this] { Run(); }) {}

bool PgCanceller::Stop() {
  if (thread_.joinable()) {
    {
      MutexLock lock(mu_);
      stopping_ = true;
    }
    wake_.NotifyOne();
    thread_.join();
  }
  return cancelled_;
}

void PgCanceller::Run() {
  MutexLock lock(mu_);
  while (!stopping_) {
    wake_.WaitFor(mu_, cancelled_ ? kCancelEvery : kAskEvery,
                  [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return stopping_; });
    if (stopping_) return;
    lock.Unlock();
    if (is_gone_()) {
      cancelled_ = true;
      cancel_();
    }
    lock.Lock();
  }
}

}  // namespace toolwire
