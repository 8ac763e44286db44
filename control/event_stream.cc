// The directory gives events as bytes that watchers share; one message is written at a time, and what waits meanwhile
// goes out in the next. While little waits the directory is asked for more. A watcher that does not read holds one
// message and what gathers behind it; past its limit it keeps the message alone, until gRPC is done.
#include "control/event_stream.h"

#include <utility>

#include "control/raw_message.h"

namespace toolwire {
namespace {

// Of one event beside its bytes: the shared string, and each watcher's pointer to it.
constexpr size_t kSharedBytes = 96, kPointerBytes = 16;

}  // namespace

template <typename Reactor>
void EventStream<Reactor>::Begin(uint64_t watch_id, bool of_all, std::function<void()> on_done,
                                 const LifeSigns* signs) {
  on_done_ = std::move(on_done);
  signs_ = signs;
  self_ = this->shared_from_this();
  watch_id_ = watch_id;
  of_all_ = of_all;
  Join(this->weak_from_this());
}

template <typename Reactor>
size_t EventStream<Reactor>::CostOf(const Events& events) const {
  // Those who watch everyone share the last events, so that these count for the watcher that is last alone.
  const bool shared = of_all_ && events->size() <= kMessageBytesMax / 16;
  return kPointerBytes + (shared ? 0 : kSharedBytes + events->size());
}

template <typename Reactor>
void EventStream<Reactor>::Add(const Events& events) {
  MutexLock lock(mu_);
  if (ended_ || closing_) return;
  waiting_.push_back(events);
  waiting_bytes_ += kPointerBytes + kSharedBytes + events->size();
  Hold(CostOf(events));
  if (waiting_bytes_ > unread_bytes_max_) {
    counters_.events_unread.Add();
    return EndUnreadLocked("the watcher does not keep up; watch again");
  }
  WriteNextLocked();
}

template <typename Reactor>
void EventStream<Reactor>::TakeFirstLocked() {
  waiting_bytes_ -= kPointerBytes + kSharedBytes + waiting_.front()->size();
  Release(CostOf(waiting_.front()));
  waiting_.pop_front();
}

// So much gathers only while a message is being written, so OnWriteDone finishes.
template <typename Reactor>
void EventStream<Reactor>::EndUnreadLocked(const char* why) {
  if (std::exchange(ended_, true)) return;
  while (!waiting_.empty()) TakeFirstLocked();
  waiting_.shrink_to_fit();
  status_ = grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, why);
  FinishIfIdleLocked();
}

template <typename Reactor>
void EventStream<Reactor>::FinishIfIdleLocked() {
  if (!ended_ || writing_ || entered_ > 0 || std::exchange(finished_, true)) return;
  this->Finish(status_);
}

template <typename Reactor>
void EventStream<Reactor>::WriteNextLocked() {
  if (writing_ || ended_ || waiting_.empty()) return;
  std::string message = *waiting_.front();
  TakeFirstLocked();
  while (!waiting_.empty() && message.size() + waiting_.front()->size() <= kMessageBytesMax) {
    message += *waiting_.front();
    TakeFirstLocked();
  }
  WriteLocked(std::move(message));
}

template <typename Reactor>
void EventStream<Reactor>::WriteLocked(std::string message) {
  Hold(message.size());
  outgoing_ = ToBuffer(std::move(message));
  writing_ = true;
  if (signs_ != nullptr) said_at_ = signs_->Now();
  this->StartWrite(&outgoing_);
}

// With nothing to say for as long as the caller has not read what was said before: then it does not wait for a word.
template <typename Reactor>
std::optional<MonoTime> EventStream<Reactor>::SayAliveIfSilent() {
  const MonoTime now = signs_->Now();
  MutexLock lock(mu_);
  if (ended_ || closing_) return std::nullopt;
  if (writing_) return now;
  if (now - said_at_ >= signs_->interval()) {
    WriteLocked({});
    counters_.life_signs.Add();
  }
  return said_at_;
}

template <typename Reactor>
void EventStream<Reactor>::EndWhenWritten() {
  MutexLock lock(mu_);
  closing_ = true;
  EndIfWrittenLocked();
}

template <typename Reactor>
void EventStream<Reactor>::EndIfWrittenLocked() {
  if (!closing_ || writing_ || !waiting_.empty()) return;
  ended_ = true;
  FinishIfIdleLocked();
}

template <typename Reactor>
void EventStream<Reactor>::OnWriteDone(bool ok) {
  {
    MutexLock lock(mu_);
    writing_ = false;
    Release(outgoing_.Length());
    outgoing_.Clear();
    FinishIfIdleLocked();
    if (ended_ || !ok) return;
    WriteNextLocked();
    EndIfWrittenLocked();
    if (ended_ || waiting_bytes_ > kMessageBytesMax) return;
  }
  More();
}

template <typename Reactor>
void EventStream<Reactor>::End(grpc::Status status) {
  MutexLock lock(mu_);
  if (std::exchange(ended_, true)) return;
  status_ = std::move(status);
  FinishIfIdleLocked();
}

template <typename Reactor>
bool EventStream<Reactor>::Enter() {
  MutexLock lock(mu_);
  if (ended_) return false;
  ++entered_;
  return true;
}

template <typename Reactor>
void EventStream<Reactor>::LeaveReading() {
  MutexLock lock(mu_);
  --entered_;
  FinishIfIdleLocked();
}

template <typename Reactor>
bool EventStream<Reactor>::HasRoom() {
  MutexLock lock(mu_);
  return !ended_ && waiting_bytes_ <= kMessageBytesMax;
}

template <typename Reactor>
bool EventStream<Reactor>::CutIfUnread(MonoTime now, Duration limit) {
  MutexLock lock(mu_);
  if (!ended_ || !writing_ || cut_) return false;
  if (!unread_since_) unread_since_ = now;
  if (now - *unread_since_ < limit) return false;
  cut_ = true;
  counters_.ended_unread.Add();
  while (!waiting_.empty()) TakeFirstLocked();
  if (context_ != nullptr) context_->TryCancel();
  return true;
}

template <typename Reactor>
void EventStream<Reactor>::Drop() {
  {
    MutexLock lock(mu_);
    if (!ended_) {
      EndUnreadLocked(CallerBytes::kFull);
    } else if (context_ != nullptr) {
      context_->TryCancel();
    }
  }
  directory_.Unwatch(watch_id_);
}

template <typename Reactor>
void EventStream<Reactor>::OnDone() {
  {
    MutexLock lock(mu_);
    context_ = nullptr;
  }
  directory_.Unwatch(watch_id_);
  Leave();
  on_done_();
  self_.reset();  // May delete this.
}

template class EventStream<grpc::ServerWriteReactor<grpc::ByteBuffer>>;
template class EventStream<grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>>;

}  // namespace toolwire
