#include "control/watch_stream.h"

#include <algorithm>
#include <utility>

#include "control/raw_message.h"

namespace toolwire {

void WatchStream::Begin(absl::flat_hash_set<std::string> users, std::function<void()> on_done) {
  on_done_ = std::move(on_done);
  self_ = shared_from_this();
  watch_id_ = directory_.Watch(std::move(users), [this](const auto& event) { Add(event); });
}

// With the directory's lock held: only queues, or hands a message to gRPC, which does not call back from there.
void WatchStream::Add(const AgentDirectory::WatchEvent& event) {
  MutexLock lock(mu_);
  if (ended_) return;
  *waiting_.add_events() = event;
  if (waiting_.events_size() > kEventsMax) {
    ended_ = true;
    counters_.events_unread.Add();
    status_ = grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "the watcher does not keep up; watch again");
    return;  // OnWriteDone finishes: so much gathers only while a message is being written.
  }
  WriteNextLocked();
}

void WatchStream::WriteNextLocked() {
  if (writing_ || ended_ || waiting_.events_size() == 0) return;
  v1::WatchAgentsResponse message;
  const int count = std::min(waiting_.events_size(), kEventsPerMessage);
  if (count == waiting_.events_size()) {
    message.Swap(&waiting_);
  } else {
    for (int i = 0; i < count; ++i) *message.add_events() = std::move(*waiting_.mutable_events(i));
    waiting_.mutable_events()->DeleteSubrange(0, count);
  }
  outgoing_ = ToBuffer(message);
  writing_ = true;
  StartWrite(&outgoing_);
}

void WatchStream::OnWriteDone(bool ok) {
  MutexLock lock(mu_);
  writing_ = false;
  if (ended_) {
    if (!std::exchange(finished_, true)) Finish(status_);
  } else if (ok) {
    WriteNextLocked();
  }
}

void WatchStream::End(grpc::Status status) {
  MutexLock lock(mu_);
  if (std::exchange(ended_, true)) return;
  status_ = std::move(status);
  if (!writing_ && !std::exchange(finished_, true)) Finish(status_);
}

void WatchStream::OnDone() {
  directory_.Unwatch(watch_id_);
  on_done_();
  self_.reset();  // May delete this.
}

}  // namespace toolwire
