// A user's messages are ours, not ours, or unknown (after an interruption). While a claim of the user is under way, all
// its events wait in `waiting`, as the claim's answer comes first. While the messages are unknown they wait in
// `undecided`, until a refresh confirms the lease or a mark decides. A user without claims and without a lease is
// forgotten.

#include "common/registry/lease_events.h"

#include <algorithm>

namespace toolwire {
namespace {

// Kept for all users together: what old backends send in the seconds of a reconnect.
constexpr size_t kKeptBytesMax = 64u << 20;
constexpr size_t kEventOverhead = 64;

}  // namespace

void LeaseEvents::ClaimBegun(const std::string& user_id) { ++users_[user_id].claims; }

void LeaseEvents::Claimed(const std::string& user_id, uint64_t epoch, bool whole) {
  const auto found = users_.find(user_id);
  User& user = found->second;
  user.epoch = std::max(user.epoch, epoch);
  if (!whole && epoch > user.marked) {
    // The mark was missed, or is still to come.
    user.messages = User::Messages::kUnknown;
    DropUndecided(user);
  }
  EndClaim(found);
}

void LeaseEvents::ClaimFailed(const std::string& user_id) { EndClaim(users_.find(user_id)); }

void LeaseEvents::EndClaim(Users::iterator found) {
  User& user = found->second;
  if (--user.claims > 0) return;
  for (Event& event : std::exchange(user.waiting, {})) {
    kept_bytes_ -= event.message.size() + kEventOverhead;
    if (event.replaced_by > 0) {
      ReportReplaced(found->first, user, event.replaced_by);
    } else if (user.epoch > 0) {
      events_.command(found->first, std::move(event.message), event.born);
    }
  }
  ForgetIfIdle(found);
}

void LeaseEvents::Marked(const std::string& user_id, uint64_t epoch) {
  const auto found = users_.find(user_id);
  if (found != users_.end()) Mark(found->second, User::Messages::kOurs, epoch);
}

void LeaseEvents::MarkedReplaced(const std::string& user_id, uint64_t epoch) {
  const auto found = users_.find(user_id);
  if (found == users_.end()) return;
  User& user = found->second;
  if (epoch == user.epoch) return;  // All edges were told of what this one did.
  if (epoch < user.marked) {
    // Redis has forgotten the mark that we had, and believes an older edge.
    user.messages = User::Messages::kUnknown;
    if (user.epoch > 0) events_.contested(user_id, user.epoch);
    return;
  }
  Mark(user, User::Messages::kNotOurs, epoch);
  Replaced(user_id, epoch);
}

// Whatever the answers to claims are meanwhile: among the messages, only the order of the marks counts.
void LeaseEvents::Mark(User& user, User::Messages messages, uint64_t epoch) {
  user.messages = messages;
  user.marked = epoch;
  DropUndecided(user);
}

void LeaseEvents::Replaced(const std::string& user_id, uint64_t epoch) {
  const auto found = users_.find(user_id);
  if (found == users_.end()) return;
  Deliver(user_id, found->second, {epoch, {}, {}});
  ForgetIfIdle(found);
}

void LeaseEvents::Message(const std::string& user_id, std::string message, MonoTime born) {
  const auto found = users_.find(user_id);
  if (found == users_.end()) return;
  User& user = found->second;
  if (user.messages == User::Messages::kOurs) Deliver(user_id, user, {0, std::move(message), born});
  if (user.messages == User::Messages::kUnknown) Keep(&user.undecided, {0, std::move(message), born});
}

void LeaseEvents::Released(const std::string& user_id, uint64_t epoch) {
  const auto found = users_.find(user_id);
  if (found == users_.end() || found->second.epoch != epoch) return;
  found->second.epoch = 0;
  ForgetIfIdle(found);
}

void LeaseEvents::Interrupted() {
  for (auto& [user_id, user] : users_) {
    if (user.messages == User::Messages::kOurs || user.epoch > 0) user.messages = User::Messages::kUnknown;
  }
}

void LeaseEvents::Confirmed(const std::string& user_id, uint64_t epoch) {
  const auto found = users_.find(user_id);
  if (found == users_.end()) return;
  User& user = found->second;
  if (user.messages != User::Messages::kUnknown || user.epoch != epoch) return;
  user.messages = User::Messages::kOurs;
  for (Event& event : std::exchange(user.undecided, {})) {
    kept_bytes_ -= event.message.size() + kEventOverhead;
    Deliver(user_id, user, std::move(event));
  }
}

bool LeaseEvents::OwnershipUnknown(const std::string& user_id) const {
  const auto found = users_.find(user_id);
  return found != users_.end() && found->second.messages == User::Messages::kUnknown;
}

bool LeaseEvents::Remember(const std::string& user_id, uint64_t epoch) {
  const auto [found, added] = users_.try_emplace(user_id);
  if (!added) return false;
  found->second.epoch = epoch;
  found->second.messages = User::Messages::kUnknown;
  return true;
}

void LeaseEvents::ForgetAll() {
  for (const auto& [user_id, user] : std::exchange(users_, {})) events_.forgotten(user_id);
  kept_bytes_ = 0;
}

void LeaseEvents::Deliver(const std::string& user_id, User& user, Event event) {
  if (user.claims > 0) return Keep(&user.waiting, std::move(event));
  if (event.replaced_by > 0) return ReportReplaced(user_id, user, event.replaced_by);
  events_.command(user_id, std::move(event.message), event.born);
}

void LeaseEvents::ReportReplaced(const std::string& user_id, User& user, uint64_t epoch) {
  if (epoch <= user.epoch) return;  // Old news: what it replaced has been replaced by the lease that is held.
  user.epoch = 0;
  if (epoch > user.marked) user.messages = User::Messages::kNotOurs;
  events_.replaced(user_id, epoch);
}

void LeaseEvents::Keep(std::vector<Event>* kept, Event event) {
  const size_t bytes = event.message.size() + kEventOverhead;
  if (event.replaced_by == 0 && kept_bytes_ + bytes > kKeptBytesMax) {
    counters_.dropped.Add();
    return;
  }
  kept_bytes_ += bytes;
  kept->push_back(std::move(event));
}

void LeaseEvents::DropUndecided(User& user) {
  for (const Event& event : std::exchange(user.undecided, {})) kept_bytes_ -= event.message.size() + kEventOverhead;
}

void LeaseEvents::ForgetIfIdle(Users::iterator found) {
  User& user = found->second;
  if (user.claims > 0 || user.epoch > 0) return;
  DropUndecided(user);
  const std::string user_id = found->first;
  users_.erase(found);
  events_.forgotten(user_id);
}

}  // namespace toolwire
