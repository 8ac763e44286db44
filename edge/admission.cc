// Sockets, sockets not logged in and rooms of sessions are counted; at their limits accepting waits, or a login finds
// no room. Sockets that have sent nothing are in two lists by age, of all and of their address: when one is full, its
// oldest has to close, so that nobody is kept out by sockets that do nothing. The rate is a token bucket: each socket
// takes one, and what is missing is the wait. Failed logins are counted for each address from its first, for a minute.
#include "edge/admission.h"

#include <algorithm>
#include <utility>

#include "edge/networks.h"

namespace toolwire {
namespace {

constexpr Duration kMinute = std::chrono::minutes(1);
// How long to wait for a socket to log in or close before looking again.
constexpr Duration kFullWait = std::chrono::milliseconds(20);

// Who has been silent for so long makes room: longer than a request is under way, also from afar or in a storm.
constexpr Duration kSilentGrace = std::chrono::seconds(1);
// So many at once; then until they are closed.
constexpr size_t kClosedAtOnce = 32;
constexpr Duration kRoomWait = std::chrono::milliseconds(1);

double Seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }

}  // namespace

Admission::Place::~Place() {
  MutexLock lock(admission_.mu_);
  --admission_.unauthenticated_;
  admission_.UnmarkSilent(this);
}

void Admission::MarkSilent(Place* place) {
  const std::string key = AddressKey(place->address);
  Share& share = shares_[key];
  if (share.silent.empty()) share.address = key;
  place->share_ = &share;
  place->in_all_ = silent_.insert(silent_.end(), place);
  place->in_share_ = share.silent.insert(share.silent.end(), place);
}

void Admission::UnmarkSilent(Place* place) {
  Share* const share = std::exchange(place->share_, nullptr);
  if (share == nullptr) return;
  silent_.erase(place->in_all_);
  share->silent.erase(place->in_share_);
  if (share->silent.empty()) shares_.erase(std::string(share->address));
}

void Admission::TakeSilent(const std::list<Place*>& silent, size_t left, MonoTime now, std::vector<uint64_t>* ids) {
  while (silent.size() > left && ids->size() < kClosedAtOnce && now - silent.front()->accepted_at >= kSilentGrace) {
    ids->push_back(silent.front()->id);
    UnmarkSilent(silent.front());
  }
}

Duration Admission::AcceptDelay(MonoTime now) {
  std::vector<uint64_t> make_room;
  MutexLock lock(mu_);
  LimitCounter* const full = sockets_ - options_.sessions_max >= options_.spare_sockets_max ? &counters_.sockets_full
                             : unauthenticated_ >= options_.unauthenticated_max ? &counters_.unauthenticated_full
                                                                                : nullptr;
  // Counted when it is reached, not each time it is looked at.
  if (std::exchange(full_, full) != full && full != nullptr) full->Add();
  if (full != nullptr) {
    TakeSilent(silent_, 0, now, &make_room);
    lock.Unlock();
    for (const uint64_t id : make_room) close_silent_(id);
    return make_room.empty() ? kFullWait : kRoomWait;
  }
  const double rate = options_.handshakes_per_second_max;
  // A tenth of a second's worth may come at once, and always one.
  tokens_ = std::min(tokens_ + rate * std::max(Seconds(now - tokens_at_), 0.0), std::max(rate / 10, 1.0));
  tokens_at_ = now;
  if (tokens_ >= 1) return Duration::zero();
  counters_.paced.Add();
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>((1 - tokens_) / rate)) +
         std::chrono::milliseconds(1);
}

std::unique_ptr<Admission::Place> Admission::Accepted(uint64_t id, std::string address, MonoTime now) {
  auto place = std::make_unique<Place>(*this, id, std::move(address), now);
  const auto silent_max = static_cast<size_t>(
      std::clamp(options_.silent_per_address_max, 1, std::max(options_.unauthenticated_max / 4, 1)));
  std::vector<uint64_t> make_room;
  {
    MutexLock lock(mu_);
    ++sockets_;
    ++unauthenticated_;
    tokens_ -= 1;
    counters_.accepted.Add();
    MarkSilent(place.get());
    TakeSilent(place->share_->silent, silent_max, now, &make_room);
  }
  for (const uint64_t one : make_room) close_silent_(one);
  return place;
}

void Admission::Spoke(Place* place) {
  MutexLock lock(mu_);
  UnmarkSilent(place);
}

void Admission::Keep(Place* place) {
  MutexLock lock(mu_);
  UnmarkSilent(place);
  MarkSilent(place);
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

void Admission::Closed() {
  MutexLock lock(mu_);
  --sockets_;
}

bool Admission::MayLogIn(const std::string& address, MonoTime now) {
  if (options_.failed_logins_per_minute_max == 0) return true;
  MutexLock lock(mu_);
  auto found = failures_.find(AddressKey(address));
  if (found == failures_.end() || now - found->second.since >= kMinute) return true;
  if (found->second.count < options_.failed_logins_per_minute_max) return true;
  Touch(found->second);
  counters_.addresses_rejected.Add();
  return false;
}

// Full, the address that has not failed, nor been rejected, for longest is forgotten: the failures of others make room
// for new ones, and never for the one that goes on.
void Admission::LoginFailed(const std::string& address, MonoTime now) {
  std::string key = AddressKey(address);
  MutexLock lock(mu_);
  auto found = failures_.find(key);
  if (found == failures_.end()) {
    if (failures_.size() >= options_.addresses_max) {
      counters_.addresses_full.Add();
      failures_.erase(failed_last_.front());
      failed_last_.pop_front();
    }
    const auto place = failed_last_.insert(failed_last_.end(), key);
    found = failures_.emplace(std::move(key), Failures{now, 0, place}).first;
  }
  Failures& failures = found->second;
  Touch(failures);
  if (now - failures.since >= kMinute) {
    failures.since = now;
    failures.count = 0;
  }
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
