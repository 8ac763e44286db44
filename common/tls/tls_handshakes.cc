// A turn is taken by whoever changes its state first: the thread, which runs it, or its loop, which cancels it because
// the socket is closing. What a turn's functions hold is let go on the loop, never on the thread.
#include "common/tls/tls_handshakes.h"

#include <sys/resource.h>

#include <algorithm>
#include <asio/post.hpp>
#include <chrono>
#include <iterator>
#include <utility>

#include "common/base/by_address.h"

namespace toolwire {
namespace {

// Of the nice scale: a third of a thread's share if calls want the whole core, so that logins get on in any case.
constexpr int kNice = 5;
constexpr Duration kQueueFullWait = std::chrono::milliseconds(20);
constexpr Duration kWindow = std::chrono::milliseconds(500);
// May always wait, so that a busy machine's handshakes do not stop.
constexpr size_t kWaitingMin = 16;

}  // namespace

bool HandshakeTurn::Cancel(std::function<void()> then) {
  State waiting = State::kWaiting;
  if (state_.compare_exchange_strong(waiting, State::kOver)) {
    Forget();
    return true;
  }
  if (waiting == State::kOver) return true;
  then_ = std::move(then);
  return false;
}

bool HandshakeTurn::Begin() {
  State waiting = State::kWaiting;
  return state_.compare_exchange_strong(waiting, State::kRunning);
}

void HandshakeTurn::Report(const std::shared_ptr<HandshakeTurn>& turn, TlsStream::Status status) {
  asio::post(turn->loop_, [turn, status] {
    turn->state_ = State::kOver;
    const auto done = std::exchange(turn->done_, {});
    const auto then = std::exchange(turn->then_, {});
    turn->work_ = {};
    if (then) return then();
    done(status);
  });
}

void HandshakeTurn::Forget() {
  work_ = {};
  done_ = {};
}

bool HandshakeQueue::Begin(const std::string& address, Turn turn, MonoTime now) {
  const std::string key = AddressKey(address);
  if (key != last_came_.key) other_came_ = std::exchange(last_came_, {key, now});
  last_came_.at = now;
  const bool may_be_refused =
      options_.refused != nullptr && !(options_.never_refused && options_.never_refused(address));
  if (may_be_refused && key == crowd_ && HasASecondsWorth(now) && IsCrowded(now)) {
    options_.refused->Add();
    return false;
  }
  std::deque<Turn>& turns = beginning_[key];
  // Where the oldest make room for new ones, those that were cancelled are in front.
  for (; !turns.empty() && turns.front()->IsOver(); --waiting_) turns.pop_front();
  turns.push_back(std::move(turn));
  ++waiting_;
  if (may_be_refused && 2 * turns.size() > waiting_) crowd_ = key;
  return true;
}

bool HandshakeQueue::IsCrowded(MonoTime now) const {
  const MonoTime others_at = last_came_.key == crowd_ ? other_came_.at : last_came_.at;
  if (others_at == MonoTime::min() || now - others_at > kOthersComeFor) return false;
  const auto crowd = beginning_.find(crowd_);
  return crowd != beginning_.end() && 2 * crowd->second.size() > waiting_;
}

HandshakeQueue::Turn HandshakeQueue::Next(MonoTime now, Duration* wait) {
  *wait = Duration::max();
  while (!going_on_.empty()) {
    Turn turn = std::move(going_on_.front());
    going_on_.pop_front();
    if (turn->Begin()) return turn;
  }
  const double rate = options_.per_second_max;
  // A twentieth of a second's worth may come at once, and always one.
  const double earned = rate * std::max(std::chrono::duration<double>(now - tokens_at_).count(), 0.0);
  tokens_ = std::min(tokens_ + earned, std::max(rate / 20, 1.0));
  tokens_at_ = now;
  while (waiting_ > 0) {
    if (tokens_ < 1) {
      // Counted when it is reached, not each time it is looked at.
      if (!std::exchange(was_paced_, true)) paced_.Add();
      *wait = std::chrono::duration_cast<Duration>(std::chrono::duration<double>((1 - tokens_) / rate)) +
              std::chrono::microseconds(100);
      return nullptr;
    }
    if (Turn turn = TakeOfNextAddress(); turn->Begin()) {
      tokens_ -= 1;
      MoveWindow(now);
      ++begun_;
      return turn;
    }
  }
  was_paced_ = false;
  return nullptr;
}

void HandshakeQueue::MoveWindow(MonoTime now) {
  if (now - window_at_ < kWindow) return;
  begun_before_ = now - window_at_ < 2 * kWindow ? begun_ : 0;
  begun_ = 0;
  window_at_ = now;
}

bool HandshakeQueue::HasASecondsWorth(MonoTime now) {
  MoveWindow(now);
  const size_t a_second = 2 * std::max(begun_, begun_before_);
  return waiting_ >= std::min(std::max(a_second, kWaitingMin), static_cast<size_t>(options_.per_second_max));
}

HandshakeQueue::Turn HandshakeQueue::TakeOfNextAddress() {
  auto next = beginning_.upper_bound(last_key_);
  if (next == beginning_.end()) next = beginning_.begin();
  last_key_ = next->first;
  Turn turn = std::move(next->second.front());
  next->second.pop_front();
  if (next->second.empty()) beginning_.erase(next);
  --waiting_;
  return turn;
}

std::deque<HandshakeQueue::Turn> HandshakeQueue::TakeAll() {
  std::deque<Turn> all = std::exchange(going_on_, {});
  for (auto& [key, turns] : beginning_) std::move(turns.begin(), turns.end(), std::back_inserter(all));
  beginning_.clear();
  waiting_ = 0;
  return all;
}

TlsHandshakes::TlsHandshakes(TlsFiles& files, const HandshakeQueue::Options& options, Counter& paced)
    : files_(files), queue_(options, paced), thread_([this] { Run(); }) {}

TlsHandshakes::~TlsHandshakes() {
  {
    MutexLock lock(mu_);
    stopping_ = true;
  }
  wake_.NotifyAll();
  thread_.join();
  MutexLock lock(mu_);
  for (const auto& turn : queue_.TakeAll()) {
    if (turn->Begin()) turn->Forget();
  }
}

void TlsHandshakes::Begin(const std::string& address, std::shared_ptr<HandshakeTurn> turn) {
  bool taken = false;
  {
    MutexLock lock(mu_);
    taken = queue_.Begin(address, turn, std::chrono::steady_clock::now());
  }
  if (taken) return wake_.NotifyAll();
  if (turn->Begin()) HandshakeTurn::Report(turn, TlsStream::Status::kFailed);
}

void TlsHandshakes::GoOn(std::shared_ptr<HandshakeTurn> turn) {
  {
    MutexLock lock(mu_);
    queue_.GoOn(std::move(turn));
  }
  wake_.NotifyAll();
}

Duration TlsHandshakes::AcceptDelay() {
  MutexLock lock(mu_);
  return queue_.IsFull(std::chrono::steady_clock::now()) ? kQueueFullWait : Duration::zero();
}

void TlsHandshakes::Run() {
  setpriority(PRIO_PROCESS, 0, kNice);  // On Linux: of this thread.
  MutexLock lock(mu_);
  while (!stopping_) {
    Duration wait{};
    auto turn = queue_.Next(std::chrono::steady_clock::now(), &wait);
    if (turn == nullptr) {
      // Not for ever, which some implementations cannot wait for.
      wake_.WaitFor(mu_, std::min<Duration>(wait, std::chrono::hours(1)));
      continue;
    }
    lock.Unlock();
    HandshakeTurn::Run(turn);
    turn.reset();
    lock.Lock();
  }
}

}  // namespace toolwire
