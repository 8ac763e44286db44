// Sockets, sockets not logged in and rooms of sessions are counted; at their limits accepting waits, or a login finds
// no room. Each socket that is no session has a state; those that may have to make room are in a queue by address:
// silent ones, those that are closing, and those that are closing after a session. When all is full one of them goes
// for each that is accepted, so that nobody is kept out by sockets that do nothing. Those that have sent a request are
// in such a queue, too, for their number by address. The rate is a token bucket: each socket takes one, and what is
// missing is the wait.
#include "edge/admission.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

namespace toolwire {
namespace {

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
         : state == State::kSpoke   ? &spoken_
         : state == State::kClosing ? &closing_
         : state == State::kEnding  ? &ending_
                                    : nullptr;
}

void Admission::Move(Place* place, State to) {
  const auto is_unauthenticated = [](State state) { return state == State::kSilent || state == State::kSpoke; };
  const State from = std::exchange(place->state_, to);
  if (auto* const queue = QueueOf(from)) queue->Remove(place);
  if (auto* const queue = QueueOf(to)) queue->Add(place, place->key_);
  unauthenticated_ += is_unauthenticated(to) - is_unauthenticated(from);
  leaving_ += (to == State::kLeaving) - (from == State::kLeaving);
}

size_t Admission::silent_max() const {
  return static_cast<size_t>(
      std::clamp(options_.silent_per_address_max, 1, std::max(options_.unauthenticated_max / 4, 1)));
}

size_t Admission::logins_max() const {
  return static_cast<size_t>(
      std::clamp(options_.logins_per_address_max, 1, std::max(options_.unauthenticated_max / 4 * 3, 1)));
}

// An address over its share makes room before others, once its sockets are old enough.
Admission::Place* Admission::FirstSilent(MonoTime now) const {
  Place* const first = silent_.First();
  if (first == nullptr || IsSilentForLong(*first, now)) return first;
  if (silent_.SizeOf(first->key_) > silent_max()) return nullptr;
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
    make_room = OverShareOf(*place, now);
  }
  for (const uint64_t one : make_room) make_room_(one, /*is_closing=*/false);
  return place;
}

std::vector<uint64_t> Admission::OverShareOf(const Place& place, MonoTime now) {
  std::vector<uint64_t> make_room;
  // Two, so that what came within a second shrinks to its share.
  while (make_room.size() < 2 && silent_.SizeOf(place.key_) > silent_max()) {
    Place* const oldest = silent_.FirstOf(place.key_);
    if (!IsSilentForLong(*oldest, now)) break;
    make_room.push_back(oldest->id);
    Move(oldest, State::kLeaving);
  }
  return make_room;
}

void Admission::Readdress(Place* place, std::string address) {
  if (address == place->address_) return;
  place->address_ = std::move(address);
  place->key_ = AddressKey(place->address_);
}

void Admission::Named(Place* place, std::string client, MonoTime now) {
  std::vector<uint64_t> make_room;
  {
    MutexLock lock(mu_);
    const State state = place->state_;  // Silent, or asked to make room just now.
    Move(place, State::kNone);
    Readdress(place, std::move(client));
    Move(place, state);
    if (state == State::kSilent) make_room = OverShareOf(*place, now);
  }
  for (const uint64_t one : make_room) make_room_(one, /*is_closing=*/false);
}

bool Admission::Spoke(Place* place, std::string address) {
  MutexLock lock(mu_);
  Move(place, State::kNone);
  Readdress(place, std::move(address));
  Move(place, State::kSpoke);
  return spoken_.SizeOf(place->key_) <= logins_max();
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
    Place* const one = closing_.SizeOf(place->key_) > options_.closing_per_address_max ? closing_.FirstOf(place->key_)
                       : closing_.size() > options_.closing_max                        ? closing_.First()
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

int Admission::sockets() const {
  MutexLock lock(mu_);
  return sockets_;
}

int Admission::unauthenticated() const {
  MutexLock lock(mu_);
  return unauthenticated_;
}

}  // namespace toolwire
