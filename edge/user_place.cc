#include "edge/user_place.h"

#include <algorithm>
#include <utility>

namespace toolwire {

UserPlace::Opened UserPlace::Open(const SessionRef& ref) {
  EndClaim(ref.epoch);
  if (session_ && session_->epoch > ref.epoch) return {false, std::nullopt};
  return {true, std::exchange(session_, ref)};
}

uint64_t UserPlace::GiveUp(uint64_t epoch) {
  EndClaim(epoch);
  return ReleaseIfUnused();
}

std::optional<uint64_t> UserPlace::Close(SessionId id) {
  if (!session_ || session_->id != id) return std::nullopt;
  session_.reset();
  return ReleaseIfUnused();
}

void UserPlace::EndClaim(uint64_t epoch) {
  if (claims_ > 0) --claims_;
  lease_ = std::max(lease_, epoch);
}

uint64_t UserPlace::ReleaseIfUnused() { return session_ || claims_ > 0 ? 0 : std::exchange(lease_, 0); }

}  // namespace toolwire
