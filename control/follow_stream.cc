// A thread that has something for the stream, a request that has come or room for events, makes steps until there is
// nothing to do; another one that comes meanwhile only leaves word.
#include "control/follow_stream.h"

#include <algorithm>
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

void FollowStream::Begin(std::function<void()> on_done) {
  const uint64_t watch_id = directory_.WatchNamed([this](const Events& events) { Add(events); });
  EventStream::Begin(watch_id, /*of_all=*/false, std::move(on_done));
  ReadNext();
}

void FollowStream::ReadNext() {
  if (!Enter()) return;
  StartRead(&incoming_);
  LeaveReading();
}

void FollowStream::OnReadDone(bool ok) {
  if (!ok) return End(grpc::Status::OK);
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
  for (;;) {
    const bool room = HasRoom();
    {
      MutexLock lock(steps_mu_);
      if (!taking_ || !room) {
        if (std::exchange(again_, false)) continue;
        stepping_ = false;
        return;
      }
    }
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

void FollowStream::Note(const AgentDirectory::Followed& followed) {
  const size_t bytes = followed.users * kNameBytes + 2 * followed.bytes;
  if (bytes > names_bytes_) Hold(bytes - names_bytes_);
  if (bytes < names_bytes_) Release(names_bytes_ - bytes);
  names_bytes_ = bytes;
}

}  // namespace toolwire
