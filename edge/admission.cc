// Sockets, sockets not logged in and rooms of sessions are counted; at their limits accepting waits, or a login finds
// no room. Each socket that is no session has a state; those that may have to make room are in a queue by address:
// silent ones, those that are closing, and those that are closing after a session. When all is full one of them goes
// for each that is accepted, so that nobody is kept out by sockets that do nothing. The rate is a token bucket: each
// socket takes one, and what is missing is the wait. Failed logins are counted for each address from its first, for a
// minute.
#include "edge/admission.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

namespace toolwire {
namespace {

constexpr Duration kMinute = std::chrono::minutes(1);
// How long to wait for a socket to log in or close before looking again.
constexpr Duration kFullWait = std::chrono::milliseconds(20);

// So many may still be closing that were asked to make room, while those for whom they do are accepted.
constexpr int kLeavingMax = 16;
constexpr Duration kRoomWait = std::chrono::milliseconds(1);

double Seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }

}  // namespace

Admission::Place::~Place() {
  MutexLock lock(admission_.mu_);
  admission_.Move(this, State::kNone);
}

ByAddress<Admission::Place>* Admission::QueueOf(State state) {
  return state == State::kSilent    ? &silent_
         : state == State::kClosing ? &closing_
         : state == State::kEnding  ? &ending_
                                    : nullptr;
}

void Admission::Move(Place* place, State to) {
  const auto is_unauthenticated = [](State state) { return state == State::kSilent || state == State::kSpoke; };
  const State from = std::exchange(place->state_, to);
  if (auto* const queue = QueueOf(from)) queue->Remove(place);
  if (auto* const queue = QueueOf(to)) queue->Add(place, place->key);
  unauthenticated_ += is_unauthenticated(to) - is_unauthenticated(from);
  leaving_ += (to == State::kLeaving) - (from == State::kLeaving);
}

size_t Admission::silent_max() const {
  return static_cast<size_t>(
      std::clamp(options_.silent_per_address_max, 1, std::max(options_.unauthenticated_max / 4, 1)));
}

// An address over its share makes room before others, once its sockets are old enough.
Admission::Place* Admission::FirstSilent(MonoTime now) const {
  Place* const first = silent_.First();
  if (first == nullptr || IsSilentForLong(*first, now)) return first;
  if (silent_.SizeOf(first->key) > silent_max()) return nullptr;
  return silent_.FirstIf([now](const Place& place) { return IsSilentForLong(place, now); });
}

Duration Admission::AcceptDelay(MonoTime now) {
  std::optional<uint64_t> make_room;
  bool is_closing = false;
  {
    MutexLock lock(mu_);
    const Duration pace = PaceDelay(now);
    if (pace > Duration::zero()) return pace;
    const int others = sockets_ - options_.sessions_max - std::min(leaving_, kLeavingMax);
    LimitCounter* const full = others >= options_.spare_sockets_max               ? &counters_.sockets_full
                               : unauthenticated_ >= options_.unauthenticated_max ? &counters_.unauthenticated_full
                                                                                  : nullptr;
    // Counted when it is reached, not each time it is looked at.
    if (std::exchange(full_, full) != full && full != nullptr) full->Add();
    if (full == nullptr) return Duration::zero();
    if (leaving_ >= kLeavingMax) return kRoomWait;
    Place* one = full == &counters_.sockets_full ? closing_.size() > 0 ? closing_.First() : ending_.First() : nullptr;
    is_closing = one != nullptr;
    if (is_closing) counters_.closing_cut.Add();
    if (one == nullptr) one = FirstSilent(now);
    if (one == nullptr) return kFullWait;
    make_room = one->id;
    Move(one, State::kLeaving);
  }
  make_room_(*make_room, is_closing);
  return Duration::zero();
}

Duration Admission::PaceDelay(MonoTime now) {
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
  std::vector<uint64_t> make_room;
  {
    MutexLock lock(mu_);
    ++sockets_;
    tokens_ -= 1;
    counters_.accepted.Add();
    Move(place.get(), State::kSilent);
    // Two, so that what came within a second shrinks to its share.
    while (make_room.size() < 2 && silent_.SizeOf(place->key) > silent_max()) {
      Place* const oldest = silent_.FirstOf(place->key);
      if (!IsSilentForLong(*oldest, now)) break;
      make_room.push_back(oldest->id);
      Move(oldest, State::kLeaving);
    }
  }
  for (const uint64_t one : make_room) make_room_(one, /*is_closing=*/false);
  return place;
}

void Admission::Spoke(Place* place) {
  MutexLock lock(mu_);
  Move(place, State::kSpoke);
}

void Admission::Keep(Place* place) {
  MutexLock lock(mu_);
  Move(place, State::kSilent);
}

void Admission::Closing(Place* place) {
  std::optional<uint64_t> cut;
  {
    MutexLock lock(mu_);
    Move(place, State::kClosing);
    Place* const one = closing_.SizeOf(place->key) > options_.closing_per_address_max ? closing_.FirstOf(place->key)
                       : closing_.size() > options_.closing_max                       ? closing_.First()
                                                                                      : nullptr;
    if (one == nullptr) return;
    counters_.closing_cut.Add();
    cut = one->id;
    Move(one, State::kLeaving);
  }
  make_room_(*cut, /*is_closing=*/true);
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

std::unique_ptr<Admission::Place> Admission::SessionEnded(uint64_t id, std::string address) {
  auto place = std::make_unique<Place>(*this, id, std::move(address), MonoTime());
  MutexLock lock(mu_);
  --rooms_taken_;
  Move(place.get(), State::kEnding);
  return place;
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
