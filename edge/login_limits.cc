// An address is counted from its first failure for a minute; at the limit it waits, and is counted anew after that. A
// user at an address has some failures free, and waits after each one from then on. Who waits is not counted, since its
// secrets are not checked. Right secrets are remembered in two sets: the newer one takes them, and when it is full
// becomes the older one, whose content is forgotten; only who logs in adds to them, so no stranger can make them full.
#include "edge/login_limits.h"

#include <algorithm>
#include <utility>

#include "common/base/by_address.h"
#include "common/wire/names.h"

namespace toolwire {
namespace {

constexpr Duration kMinute = std::chrono::minutes(1);

// Doubles `first` that often, up to `most`.
Duration WaitAfter(Duration first, int doublings, Duration most) {
  for (; doublings > 0 && first < most; --doublings) first *= 2;
  return std::min(first, most);
}

}  // namespace

LoginLimits::Failures* LoginLimits::UseOrAdd(Table* table, const std::string& key, size_t size_max, MonoTime now,
                                             LimitCounter* full) {
  if (Failures* const failures = table->Use(key)) return failures;
  if (table->size() >= size_max) {
    full->Add();
    table->DropOldest();
  }
  Failures failures;
  failures.since = now;
  return table->Add(key, failures);
}

// No user id has a zero byte, so keys of IPv4 and IPv6 addresses, which differ in length, cannot be mixed up.
std::string LoginLimits::UserKey(const Attempt& attempt) {
  return AddressKey(attempt.address) + '\0' + attempt.user_id;
}

SecretDigest LoginLimits::KnownKey(const Attempt& attempt) {
  return DigestOfSecret(attempt.user_id + '\0' + std::string(attempt.secret.begin(), attempt.secret.end()));
}

bool LoginLimits::IsKnown(const Attempt& attempt) const {
  const SecretDigest key = KnownKey(attempt);
  return known_.contains(key) || known_before_.contains(key);
}

bool LoginLimits::MayLogIn(const Attempt& attempt, MonoTime now) {
  const std::string address_key = AddressKey(attempt.address);
  MutexLock lock(mu_);
  const auto waits = [now](Table* table, const std::string& key) {
    const Failures* const failures = table->Find(key);
    if (failures == nullptr || now >= failures->wait_until) return false;
    table->Use(key);
    return true;
  };
  const bool address_waits = waits(&addresses_, address_key);
  const bool user_waits = CheckUserId(attempt.user_id) == nullptr && waits(&users_, UserKey(attempt));
  if (!address_waits && !user_waits) return true;
  if (IsKnown(attempt)) return true;
  (address_waits ? counters_.addresses_rejected : counters_.users_rejected).Add();
  return false;
}

LoginLimits::Waits LoginLimits::Failed(const Attempt& attempt, MonoTime now) {
  const SecretDigest key = KnownKey(attempt);
  MutexLock lock(mu_);
  // It was right once, and is revoked.
  known_.erase(key);
  known_before_.erase(key);
  return {FailedOfAddress(attempt, now), FailedOfUser(attempt, now)};
}

Duration LoginLimits::FailedOfAddress(const Attempt& attempt, MonoTime now) {
  if (options_.failures_per_minute_max == 0) return {};
  Failures* const failures =
      UseOrAdd(&addresses_, AddressKey(attempt.address), options_.addresses_max, now, &counters_.addresses_full);
  if (now - failures->since >= kMinute) {
    failures->since = now;
    failures->count = 0;
  }
  if (++failures->count < options_.failures_per_minute_max || now < failures->wait_until) return {};
  if (now - failures->wait_until >= options_.wait_max) failures->waits = 0;
  const Duration wait = WaitAfter(kMinute, failures->waits++, options_.wait_max);
  failures->wait_until = now + wait;
  failures->since = failures->wait_until;
  failures->count = 0;
  return wait;
}

Duration LoginLimits::FailedOfUser(const Attempt& attempt, MonoTime now) {
  if (options_.user_failures_max == 0 || CheckUserId(attempt.user_id) != nullptr) return {};
  Failures* const failures = UseOrAdd(&users_, UserKey(attempt), options_.users_max, now, &counters_.users_full);
  if (now - failures->since >= kUserForgotten) *failures = Failures();
  failures->since = now;
  if (++failures->count < options_.user_failures_max || now < failures->wait_until) return {};
  const Duration wait = WaitAfter(kUserWaitMin, failures->waits++, kUserWaitMax);
  failures->wait_until = now + wait;
  return wait;
}

void LoginLimits::Succeeded(const Attempt& attempt) {
  const SecretDigest key = KnownKey(attempt);
  MutexLock lock(mu_);
  if (known_.size() >= std::max<size_t>(options_.known_max / 2, 1) && !known_.contains(key)) {
    known_before_ = std::exchange(known_, {});
  }
  known_.insert(key);
}

}  // namespace toolwire
