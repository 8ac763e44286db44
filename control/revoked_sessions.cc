#include "control/revoked_sessions.h"

#include <algorithm>

namespace toolwire {

void RevokedSessions::Add(const std::string& user_id, uint64_t order, uint64_t epoch, int64_t at_ms, MonoTime now) {
  MutexLock lock(mu_);
  Revocation* revocation = users_.Use(user_id);
  if (revocation == nullptr) revocation = users_.Add(user_id, {});
  *revocation = {order, std::max(epoch, revocation->epoch), at_ms, now};
  ForgetLocked(now);
}

void RevokedSessions::EndRevoked(uint64_t link_order, Duration login_max,
                                 const google::protobuf::RepeatedPtrField<v1::SessionEvent>& events, MonoTime now,
                                 v1::ControlFrame* frame) {
  MutexLock lock(mu_);
  if (users_.size() == 0) return;
  ForgetLocked(now);
  const int64_t login_max_ms =
      std::chrono::duration_cast<std::chrono::milliseconds>(std::max(login_max, kLoginMaxLeast)).count();
  for (const v1::SessionEvent& event : events) {
    if (!event.connected()) continue;
    const Revocation* const revocation = users_.Find(event.user_id());
    if (revocation == nullptr || link_order < revocation->order) continue;
    const bool is_before =
        event.epoch() <= revocation->epoch || event.connected_at_ms() <= revocation->at_ms + login_max_ms;
    if (!is_before) continue;
    v1::Disconnect* disconnect = frame->add_disconnects();
    disconnect->set_user_id(event.user_id());
    disconnect->set_cause(v1::Disconnect::CREDENTIAL_REVOKED);
    disconnect->set_epoch_max(event.epoch());
  }
}

void RevokedSessions::ForgetLocked(MonoTime now) {
  while (users_.size() > kUsersMax || (users_.size() > 0 && now - users_.oldest().second.added >= kKept)) {
    users_.DropOldest();
  }
}

}  // namespace toolwire
