// The directory gives events as bytes that watchers share; one message is written at a time, and what waits meanwhile
// goes out in the next. While little waits the directory is asked for the next step of the snapshot. A watcher that
// does not read holds one message and what gathers behind it; past its limit it keeps the message alone, until gRPC is
// done.
#include "control/watch_stream.h"

#include <utility>

#include "control/raw_message.h"

namespace toolwire {
namespace {

// A message holds so much, or one step of the snapshot: callers receive 4 MiB by default.
constexpr size_t kMessageBytesMax = 64u << 10;
// Of one event beside its bytes: the shared string, and each watcher's pointer to it.
constexpr size_t kSharedBytes = 96, kPointerBytes = 16;
// Of one name that is watched: in the watcher's set and in the directory's index.
constexpr size_t kNameBytes = 200;

}  // namespace

void WatchStream::Begin(std::set<std::string> users, std::function<void()> on_done, UserBound bound) {
  on_done_ = std::move(on_done);
  self_ = shared_from_this();
  of_all_ = users.empty();
  for (const std::string& user_id : users) Hold(kNameBytes + 2 * user_id.size());
  watch_id_ = directory_.Watch(
      std::move(users), [this](const Events& events) { Add(events); }, std::move(bound));
  Join(weak_from_this());
  directory_.Continue(watch_id_);
}

size_t WatchStream::CostOf(const Events& events) const {
  // Those who watch everyone share the last events, so that these count for the watcher that is last alone.
  const bool shared = of_all_ && events->size() <= kMessageBytesMax / 16;
  return kPointerBytes + (shared ? 0 : kSharedBytes + events->size());
}

// With the directory's lock held: only queues, or hands a message to gRPC, which does not call back from there.
void WatchStream::Add(const Events& events) {
  MutexLock lock(mu_);
  if (ended_) return;
  waiting_.push_back(events);
  waiting_bytes_ += kPointerBytes + kSharedBytes + events->size();
  Hold(CostOf(events));
  if (waiting_bytes_ > unread_bytes_max_) {
    counters_.events_unread.Add();
    return EndUnreadLocked("the watcher does not keep up; watch again");
  }
  WriteNextLocked();
}

void WatchStream::TakeFirstLocked() {
  waiting_bytes_ -= kPointerBytes + kSharedBytes + waiting_.front()->size();
  Release(CostOf(waiting_.front()));
  waiting_.pop_front();
}

// So much gathers only while a message is being written, so OnWriteDone finishes.
void WatchStream::EndUnreadLocked(const char* why) {
  if (std::exchange(ended_, true)) return;
  while (!waiting_.empty()) TakeFirstLocked();
  waiting_.shrink_to_fit();
  status_ = grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, why);
  if (!writing_ && !std::exchange(finished_, true)) Finish(status_);
}

void WatchStream::WriteNextLocked() {
  if (writing_ || ended_ || waiting_.empty()) return;
  std::string message = *waiting_.front();
  TakeFirstLocked();
  while (!waiting_.empty() && message.size() + waiting_.front()->size() <= kMessageBytesMax) {
    message += *waiting_.front();
    TakeFirstLocked();
  }
  Hold(message.size());
  outgoing_ = ToBuffer(std::move(message));
  writing_ = true;
  StartWrite(&outgoing_);
}

void WatchStream::OnWriteDone(bool ok) {
  {
    MutexLock lock(mu_);
    writing_ = false;
    Release(outgoing_.Length());
    outgoing_.Clear();
    if (ended_) {
      if (!std::exchange(finished_, true)) Finish(status_);
      return;
    }
    if (!ok) return;
    WriteNextLocked();
    if (waiting_bytes_ > kMessageBytesMax) return;
  }
  directory_.Continue(watch_id_);
}

void WatchStream::End(grpc::Status status) {
  MutexLock lock(mu_);
  if (std::exchange(ended_, true)) return;
  status_ = std::move(status);
  if (!writing_ && !std::exchange(finished_, true)) Finish(status_);
}

bool WatchStream::CutIfUnread(MonoTime now, Duration limit) {
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

void WatchStream::Drop() {
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

void WatchStream::OnDone() {
  {
    MutexLock lock(mu_);
    context_ = nullptr;
  }
  directory_.Unwatch(watch_id_);
  Leave();
  on_done_();
  self_.reset();  // May delete this.
}

}  // namespace toolwire
