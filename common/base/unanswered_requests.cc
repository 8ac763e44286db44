#include "common/base/unanswered_requests.h"

#include <algorithm>

namespace toolwire {

namespace {
constexpr int kExpiredByAdd = 2;      // More than one, so that those that are too old become fewer.
constexpr int kExpiredAtOnce = 1000;  // 0.1 ms.
}  // namespace

// The hash of the owner is part of the key for the request id, so that no end of one can be the beginning of the other.
uint64_t UnansweredRequests::NameOf(std::string_view owner, std::string_view request_id) const {
  return SipHash({key_.k0 ^ SipHash(key_, owner), key_.k1}, request_id);
}

void UnansweredRequests::Add(std::string_view owner, std::string_view request_id, uint64_t attempt, MonoTime now) {
  ExpireSome(now, kExpiredByAdd);
  const uint64_t name = NameOf(owner, request_id);
  if (const auto known = by_name_.find(name); known != by_name_.end()) Erase(known->second);
  if (by_name_.size() >= static_cast<size_t>(options_.requests_max)) {
    forgotten_.Add();
    Erase(entries_.begin());
  }
  const auto entry = entries_.insert(entries_.end(), Entry{name, attempt, now + options_.kept});
  by_name_.emplace(name, entry);
  if (attempt != 0) by_attempt_[attempt] = entry;
}

bool UnansweredRequests::Has(std::string_view owner, std::string_view request_id, MonoTime now) const {
  if (by_name_.empty()) return false;
  const auto found = by_name_.find(NameOf(owner, request_id));
  return found != by_name_.end() && now < found->second->until;
}

bool UnansweredRequests::Remove(std::string_view owner, std::string_view request_id) {
  if (by_name_.empty()) return false;
  const auto found = by_name_.find(NameOf(owner, request_id));
  if (found == by_name_.end()) return false;
  Erase(found->second);
  return true;
}

bool UnansweredRequests::RemoveAttempt(uint64_t attempt) {
  const auto found = by_attempt_.find(attempt);
  if (found == by_attempt_.end()) return false;
  Erase(found->second);
  return true;
}

void UnansweredRequests::Expire(MonoTime now) { ExpireSome(now, kExpiredAtOnce); }

void UnansweredRequests::Erase(Entries::iterator entry) {
  by_name_.erase(entry->name);
  by_attempt_.erase(entry->attempt);
  entries_.erase(entry);
}

void UnansweredRequests::ExpireSome(MonoTime now, int at_most) {
  for (; at_most > 0 && !entries_.empty() && now >= entries_.front().until; --at_most) Erase(entries_.begin());
}

}  // namespace toolwire
