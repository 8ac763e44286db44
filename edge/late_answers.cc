#include "edge/late_answers.h"

namespace toolwire {

bool LateAnswers::Keep(v1::StrayAnswer&& stray, MonoTime now) {
  const auto earlier = by_call_.find(Key(stray.user_id(), stray.request_id()));
  if (earlier != by_call_.end()) Erase(earlier->second);
  const size_t bytes = sizeof(Kept) + stray.SpaceUsedLong();
  const auto of_user = bytes_of_user_.find(stray.user_id());
  if (of_user != bytes_of_user_.end() && of_user->second + bytes > options_.user_bytes_max) return false;
  if (bytes_ > 0 && bytes_ + bytes > options_.bytes_max) return false;
  bytes_of_user_[stray.user_id()] += bytes;
  bytes_ += bytes;
  const auto kept = kept_.insert(kept_.end(), Kept{std::move(stray), bytes, now + options_.life});
  by_call_.emplace(Key(kept->stray.user_id(), kept->stray.request_id()), kept);
  return true;
}

std::optional<v1::StrayAnswer> LateAnswers::Take(std::string_view user_id, std::string_view request_id) {
  const auto found = by_call_.find(Key(user_id, request_id));
  if (found == by_call_.end()) return std::nullopt;
  const auto kept = found->second;
  v1::StrayAnswer stray;
  stray.set_user_id(kept->stray.user_id());  // `Erase` needs the names of the kept one.
  stray.set_request_id(kept->stray.request_id());
  stray.mutable_answer()->Swap(kept->stray.mutable_answer());
  Erase(kept);
  return stray;
}

void LateAnswers::Expire(MonoTime now) {
  while (!kept_.empty() && kept_.front().until <= now) Erase(kept_.begin());
}

void LateAnswers::Erase(std::list<Kept>::iterator kept) {
  const auto of_user = bytes_of_user_.find(kept->stray.user_id());
  of_user->second -= kept->bytes;
  if (of_user->second == 0) bytes_of_user_.erase(of_user);
  bytes_ -= kept->bytes;
  by_call_.erase(Key(kept->stray.user_id(), kept->stray.request_id()));
  kept_.erase(kept);
}

}  // namespace toolwire
