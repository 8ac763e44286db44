#include "control/session_waits.h"

#include <algorithm>
#include <utility>

namespace toolwire {

void SessionWaits::Add(const std::string& user_id, uint64_t call_id, MonoTime now) {
  auto found = users_.find(user_id);
  if (found == users_.end()) {
    auto user = std::make_unique<User>();
    user->user_id = user_id;
    wheel_.Arm(user.get(), now + user->pause);
    const std::string_view key = user->user_id;
    found = users_.emplace(key, std::move(user)).first;
  }
  if (found->second->calls.insert(call_id).second) ++calls_;
}

void SessionWaits::Remove(std::string_view user_id, uint64_t call_id) {
  const auto found = users_.find(user_id);
  if (found == users_.end() || found->second->calls.erase(call_id) == 0) return;
  --calls_;
  if (!found->second->calls.empty()) return;
  // Out of the map first: its key lives in the user.
  const auto node = users_.extract(found);
}

std::vector<uint64_t> SessionWaits::CallsOf(std::string_view user_id) const {
  const auto found = users_.find(user_id);
  if (found == users_.end()) return {};
  return {found->second->calls.begin(), found->second->calls.end()};
}

std::vector<std::string> SessionWaits::TakeDue(MonoTime now, size_t at_most) {
  std::vector<std::string> due;
  const auto fire = [&](TimerNode* node) {
    auto* const user = static_cast<User*>(node);
    user->pause = std::min(user->pause * 2, kLongestPause);
    wheel_.Arm(user, now + user->pause);
    due.push_back(user->user_id);
  };
  wheel_.Advance(now, fire, at_most);
  return due;
}

}  // namespace toolwire
