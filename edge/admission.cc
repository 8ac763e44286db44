// Sockets, sockets not logged in and rooms of sessions are counted; at their limits accepting waits, or a login finds
// no room. The rate is a token bucket: each socket takes one, and what is missing is the wait. Failed logins are
// counted for each address from its first, for a minute.
#include "edge/admission.h"

#include <algorithm>
#include <utility>

namespace toolwire {
namespace {

constexpr Duration kMinute = std::chrono::minutes(1);
// How long to wait for a socket to log in or close before looking again.
constexpr Duration kFullWait = std::chrono::milliseconds(20);

double Seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }

}  // namespace

Duration Admission::AcceptDelay(MonoTime now) {
  MutexLock lock(mu_);
  LimitCounter* const full = sockets_ - options_.sessions_max >= options_.spare_sockets_max ? &counters_.sockets_full
                             : unauthenticated_ >= options_.unauthenticated_max ? &counters_.unauthenticated_full
                                                                                : nullptr;
  // Counted when it is reached, not each time it is looked at.
  if (std::exchange(full_, full) != full && full != nullptr) full->Add();
  if (full != nullptr) return kFullWait;
  const double rate = options_.handshakes_per_second_max;
  // A tenth of a second's worth may come at once, and always one.
  tokens_ = std::min(tokens_ + rate * std::max(Seconds(now - tokens_at_), 0.0), std::max(rate / 10, 1.0));
  tokens_at_ = now;
  if (tokens_ >= 1) return Duration::zero();
  counters_.paced.Add();
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>((1 - tokens_) / rate)) +
         std::chrono::milliseconds(1);
}

void Admission::Accepted(MonoTime) {
  MutexLock lock(mu_);
  ++sockets_;
  ++unauthenticated_;
  tokens_ -= 1;
  counters_.accepted.Add();
}

bool Admission::HasRoom() {
  MutexLock lock(mu_);
  if (rooms_taken_ < options_.sessions_max) return true;
  counters_.sessions_full.Add();
  return false;
}

bool Admission::TakeRoom(bool beyond) {
  MutexLock lock(mu_);
  if (!beyond && rooms_taken_ >= options_.sessions_max) {
    counters_.sessions_full.Add();
    return false;
  }
  ++rooms_taken_;
  return true;
}

void Admission::GiveRoomBack() {
  MutexLock lock(mu_);
  --rooms_taken_;
}

void Admission::LoggedIn() {
  MutexLock lock(mu_);
  --unauthenticated_;
}

void Admission::Closed(bool was_logged_in) {
  MutexLock lock(mu_);
  --sockets_;
  if (!was_logged_in) --unauthenticated_;
}

bool Admission::MayLogIn(const std::string& address, MonoTime now) {
  if (options_.failed_logins_per_minute_max == 0) return true;
  MutexLock lock(mu_);
  auto found = failures_.find(address);
  if (found == failures_.end()) return true;
  if (now - found->second.since >= kMinute) {
    failures_.erase(found);
    return true;
  }
  if (found->second.count < options_.failed_logins_per_minute_max) return true;
  counters_.addresses_rejected.Add();
  return false;
}

void Admission::LoginFailed(const std::string& address, MonoTime now) {
  MutexLock lock(mu_);
  if (failures_.size() >= options_.addresses_max && !failures_.contains(address)) {
    absl::erase_if(failures_, [now](const auto& one) { return now - one.second.since >= kMinute; });
    if (failures_.size() >= options_.addresses_max) {  // Attackers cannot make this map grow.
      counters_.addresses_full.Add();
      return;
    }
  }
  Failures& failures = failures_[address];
  if (failures.count == 0 || now - failures.since >= kMinute) failures = Failures{now, 0};
  ++failures.count;
}

int Admission::sockets() const {
  MutexLock lock(mu_);
  return sockets_;
}

int Admission::unauthenticated() const {
  MutexLock lock(mu_);
  return unauthenticated_;
}

}  // namespace toolwire
