#include "edge/late_answers.h"

namespace toolwire {

size_t LateAnswers::Keep(v1::StrayAnswer&& stray, MonoTime now) {
  const auto earlier = by_call_.find(Key(stray.user_id(), stray.request_id()));
  if (earlier != by_call_.end()) Erase(earlier->second);
  const size_t bytes = sizeof(Kept) + stray.SpaceUsedLong();
  size_t gone = 0;
  const std::string& user_id = stray.user_id();
  for (; BytesOf(user_id) > 0 && BytesOf(user_id) + bytes > options_.user_bytes_max; ++gone) EraseOldestOf(user_id);
  for (; bytes_ > 0 && bytes_ + bytes > options_.bytes_max; ++gone) {
    const auto& [most, who] = *users_by_bytes_.rbegin();
    const size_t own = BytesOf(user_id);
    EraseOldestOf(own > 0 && own + bytes >= most ? user_id : std::string(who));
  }
  AddBytes(user_id, bytes);
  const auto kept = kept_.insert(kept_.end(), Kept{std::move(stray), bytes, now + options_.life, ++last_number_});
  by_call_.emplace(Key(kept->stray.user_id(), kept->stray.request_id()), kept);
  of_user_.emplace(std::make_pair(std::string_view(kept->stray.user_id()), kept->number), kept);
  return gone;
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

size_t LateAnswers::BytesOf(std::string_view user_id) const {
  const auto found = bytes_of_user_.find(user_id);
  return found == bytes_of_user_.end() ? 0 : found->second;
}

void LateAnswers::AddBytes(const std::string& user_id, size_t bytes) {
  const auto of_user = bytes_of_user_.emplace(user_id, 0).first;
  users_by_bytes_.erase({of_user->second, of_user->first});
  of_user->second += bytes;
  users_by_bytes_.insert({of_user->second, of_user->first});
  bytes_ += bytes;
}

void LateAnswers::RemoveBytes(std::string_view user_id, size_t bytes) {
  const auto of_user = bytes_of_user_.find(user_id);
  users_by_bytes_.erase({of_user->second, of_user->first});
  of_user->second -= bytes;
  bytes_ -= bytes;
  if (of_user->second > 0) users_by_bytes_.insert({of_user->second, of_user->first});
  if (of_user->second == 0) bytes_of_user_.erase(of_user);
}

void LateAnswers::EraseOldestOf(std::string_view user_id) { Erase(of_user_.lower_bound({user_id, 0})->second); }

void LateAnswers::Erase(std::list<Kept>::iterator kept) {
  RemoveBytes(kept->stray.user_id(), kept->bytes);
  by_call_.erase(Key(kept->stray.user_id(), kept->stray.request_id()));
  of_user_.erase({kept->stray.user_id(), kept->number});
  kept_.erase(kept);
}

}  // namespace toolwire
