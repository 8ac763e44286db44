// A thread that has something for the stream, a request that has come or room for events, makes steps until there is
// nothing to do; another one that comes meanwhile only leaves word.
#include "control/follow_stream.h"

#include <algorithm>
#include <optional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/wire/names.h"
#include "control/caller_check.h"
#include "control/raw_message.h"

namespace toolwire {

using E = v1::CallError;

namespace {

using Names = google::protobuf::RepeatedPtrField<std::string>;

// The next of these names, for one step.
std::vector<std::string> SomeOf(Names* names, int* taken) {
  std::vector<std::string> some;
  const int end = std::min(names->size(), *taken + static_cast<int>(AgentDirectory::kSnapshotStep));
  for (; *taken < end; ++*taken) some.push_back(std::move(*names->Mutable(*taken)));
  return some;
}

}  // namespace

void FollowStream::Begin(std::function<void()> on_done, std::string hello) {
  greeted_ = !hello.empty();
  const uint64_t watch_id = directory_.WatchNamed([this](const Events& events) { Add(events); });
  EventStream::Begin(watch_id, /*of_all=*/false, std::move(on_done), greeted_ ? &signs_ : nullptr);
  if (greeted_) Say(std::move(hello));
  ReadNext();
}

void FollowStream::ReadNext() {
  if (!Enter()) return;
  StartRead(&incoming_);
  LeaveReading();
}

void FollowStream::OnReadDone(bool ok) {
  if (!ok) {
    {
      MutexLock lock(steps_mu_);
      sends_no_more_ = true;
    }
    return More();
  }
  grpc::Status status = Take();
  if (!status.ok()) return End(std::move(status));
  {
    MutexLock lock(steps_mu_);
    taking_ = true;
  }
  More();
}

grpc::Status FollowStream::Take() {
  grpc::ByteBuffer bytes;
  bytes.Swap(&incoming_);
  if (ShapeOf(ShapeOfFollow, bounds_, &bytes) != Shape::kFine) return TooMany();
  request_.Clear();
  if (!FromBuffer(&bytes, &request_)) {
    return grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "not a FollowRequest");
  }
  for (const std::string& user_id : request_.add()) {
    if (grpc::Status status = Check(user_id); !status.ok()) return status;
  }
  removed_ = added_ = 0;
  request_bytes_ = bytes.Length();
  Hold(request_bytes_);
  return grpc::Status::OK;
}

grpc::Status FollowStream::Check(const std::string& user_id) {
  if (const char* problem = CheckUserId(user_id)) {
    return ToStatus(MakeFailure(E::INVALID_REQUEST, E::NOT_SENT, "", absl::StrCat("each of add ", problem), "add"));
  }
  const auto refused = auth_.CheckUser(from_.get(), user_id);
  return refused ? ToStatus(*refused) : grpc::Status::OK;
}

grpc::Status FollowStream::TooMany() {
  counters_.watch_users_full.Add();
  return grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, absl::StrCat("more than ", bounds_.users_max, " users"));
}

void FollowStream::More() {
  {
    MutexLock lock(steps_mu_);
    again_ = stepping_;
    if (std::exchange(stepping_, true)) return;
  }
  while (MayStep()) {
    bool whole = false;
    grpc::Status status = Step(&whole);
    if (!status.ok()) End(std::move(status));  // So there is no room.
    if (!whole) continue;
    Release(request_bytes_);
    {
      MutexLock lock(steps_mu_);
      taking_ = false;
    }
    ReadNext();
  }
}

bool FollowStream::MayStep() {
  for (;;) {
    const bool room = HasRoom();
    MutexLock lock(steps_mu_);
    if (taking_ && room) return true;
    if (std::exchange(again_, false)) continue;
    stepping_ = false;
    if (!sends_no_more_ || taking_) return false;
    break;
  }
  // Users who are still to be reported are so first; when that is written, this thread or another one is here again.
  if (!directory_.OwesReport(watch_id_)) EndWhenWritten();
  return false;
}

grpc::Status FollowStream::Step(bool* whole) {
  AgentDirectory::Followed followed;
  if (removed_ < request_.remove_size()) {
    directory_.Unfollow(watch_id_, SomeOf(request_.mutable_remove(), &removed_), &followed);
    Note(followed);
  } else if (added_ < request_.add_size()) {
    const std::vector<std::string> users = SomeOf(request_.mutable_add(), &added_);
    if (!directory_.Follow(watch_id_, users, bounds_.users_max, &followed)) return TooMany();
    Note(followed);
  }
  *whole = removed_ == request_.remove_size() && added_ == request_.add_size();
  return grpc::Status::OK;
}

void FollowStream::SayAlive() {
  {
    MutexLock lock(steps_mu_);
    sign_awaited_ = users_ > 0;
    if (!sign_awaited_) return;
  }
  if (const std::optional<MonoTime> last = SayAliveIfSilent()) AwaitSign(*last);
}

void FollowStream::AwaitSign(MonoTime last) {
  signs_.Await(&sign_, last, [weak = weak_from_this()] {
    if (const auto alive = weak.lock()) static_cast<FollowStream*>(alive.get())->SayAlive();
  });
}

void FollowStream::OnDone() {
  signs_.Leave(&sign_);
  EventStream::OnDone();
}

void FollowStream::Note(const AgentDirectory::Followed& followed) {
  const size_t bytes = followed.users * kNameBytes + 2 * followed.bytes;
  if (bytes > names_bytes_) Hold(bytes - names_bytes_);
  if (bytes < names_bytes_) Release(names_bytes_ - bytes);
  names_bytes_ = bytes;
  if (!greeted_ || !signs_.given()) return;
  {
    MutexLock lock(steps_mu_);
    users_ = followed.users;
    if (users_ == 0 || std::exchange(sign_awaited_, true)) return;
  }
  AwaitSign(signs_.Now());
}

}  // namespace toolwire
