// A login asks twice and comes back to the loop after each: the store checks the secret on a thread of its own, then
// the registry gives the lease, on the caller's thread or another. When either answer comes, the socket may be gone,
// the time over or the secret revoked; then what was claimed is released and no session opens. A revocation between the
// two answers is seen because the session enters the directory first and Revocations are asked after that.
#include "edge/login.h"

#include <algorithm>
#include <utility>

#include "common/base/log.h"
#include "common/wire/names.h"
#include "edge/login_request.h"

namespace toolwire {

Logins::Logins(uint32_t loop, const LoginShared& shared, Handler& handler)
    : loop_(loop),
      shared_(shared),
      handler_(handler),
      advanced_at_(shared.clock->Now()),
      time_(advanced_at_),
      wheel_(kTick, 256, time_) {}

void Logins::Accepted(std::unique_ptr<Admission::Place> place) {
  auto login = std::make_unique<Login>();
  login->id = place->id;
  login->place = std::move(place);
  if (wheel_.empty()) advanced_at_ = shared_.clock->Now();  // Without timers nobody has called Advance.
  wheel_.Arm(login.get(), Time() + shared_.login_timeout);
  logins_.emplace(login->id, std::move(login));
}

bool Logins::MakeRoom(SessionId id, bool unread) {
  auto found = logins_.find(id);
  if (found == logins_.end() || found->second->spoke || found->second->closing) return false;
  if (unread) {
    shared_.admission->Keep(found->second->place.get());
    return false;
  }
  shared_.admission->counters().silent_closed.Add();
  return true;
}

void Logins::Spoke(SessionId id) {
  auto found = logins_.find(id);
  if (found == logins_.end() || found->second->closing) return;
  if (!std::exchange(found->second->spoke, true)) shared_.admission->Spoke(found->second->place.get());
}

std::string Logins::AddressOf(SessionId id) const {
  auto found = logins_.find(id);
  return found == logins_.end() ? std::string() : found->second->place->address;
}

void Logins::Begin(SessionId id, const std::string& target, const std::string& authorization) {
  auto found = logins_.find(id);
  if (found == logins_.end() || found->second->closing) return;
  Login& login = *found->second;
  auto check = ParseLoginRequest(target, authorization);
  if (!check) {
    log::Info("login refused", {{"why", "missing credentials"}, {"address", login.place->address}});
    return Fail(id, close_reason::kMissingCredentials);
  }
  if (!shared_.admission->MayLogIn(login.place->address, shared_.clock->Now())) {
    return Fail(id, close_reason::kTooManyFailedLogins);
  }
  // Who is here already takes no further room: the older session ends.
  if (!shared_.directory->Find(check->user_id) && !shared_.admission->HasRoom()) {
    return Fail(id, close_reason::kEdgeFull);
  }
  login.under_way = true;
  login.user_id = check->user_id;
  if (CheckUserId(check->user_id) != nullptr) return OnVerdict(id, Verdict::kWrong);
  login.check_began = shared_.clock->Now();
  shared_.authenticator->Check(std::move(*check), [this, id](Verdict verdict) {
    handler_.Post([this, id, verdict] { OnVerdict(id, verdict); });
  });
}

void Logins::OnVerdict(SessionId id, Verdict verdict) {
  Login* const login = UnderWay(id);
  if (login == nullptr) return;
  const bool known = verdict == Verdict::kRight || verdict == Verdict::kWrong;
  // Asked again: who guesses many secrets at once learns of no more than the limit.
  if (known && !shared_.admission->MayLogIn(login->place->address, shared_.clock->Now())) {
    return Fail(id, close_reason::kTooManyFailedLogins);
  }
  switch (verdict) {
    case Verdict::kRight:
      // A claim would end a session elsewhere that was opened with a newer secret.
      if (IsStale(*login)) return FailAsLate(id);
      if (shared_.revocations->Covers(login->user_id, login->check_began)) return FailAsRevoked(id, login->user_id);
      // Taken now: others have found the same room free meanwhile.
      login->has_room = shared_.admission->TakeRoom(/*beyond=*/shared_.directory->Find(login->user_id).has_value());
      if (!login->has_room) return Fail(id, close_reason::kEdgeFull);
      return shared_.registry->Claim(
          login->user_id, shared_.server_id, [this, id, user_id = login->user_id](absl::StatusOr<uint64_t> epoch) {
            handler_.Post([this, id, user_id, epoch = std::move(epoch)] { OnClaimed(id, user_id, epoch); });
          });
    case Verdict::kWrong:
      shared_.admission->LoginFailed(login->place->address, shared_.clock->Now());
      log::Warn("login refused",
                {{"why", "invalid credentials"}, {"user", login->user_id}, {"address", login->place->address}});
      return Fail(id, close_reason::kInvalidCredentials);
    case Verdict::kStoreUnavailable:
      return Fail(id, close_reason::kStoreUnavailable);
    case Verdict::kInternal:
      return Fail(id, close_reason::kInternalError);
  }
}

void Logins::OnClaimed(SessionId id, const std::string& user_id, const absl::StatusOr<uint64_t>& epoch) {
  Login* const login = UnderWay(id);
  if (login == nullptr) {  // The socket is gone.
    if (epoch.ok()) Release(user_id, *epoch);
    return;
  }
  if (!epoch.ok()) return Fail(id, close_reason::kRegistryUnavailable);
  if (IsStale(*login)) {
    Release(user_id, *epoch);
    return FailAsLate(id);
  }
  const auto inserted = shared_.directory->Insert(user_id, SessionRef{loop_, id, *epoch});
  // After the insert: a revocation that comes later finds the session.
  const bool revoked = shared_.revocations->Covers(user_id, login->check_began);
  if (inserted.displaced) shared_.close_displaced(*inserted.displaced, revoked);
  if (revoked) {
    if (shared_.directory->Remove(user_id, id)) Release(user_id, *epoch);
    return FailAsRevoked(id, user_id);
  }
  Open(id, *epoch, inserted.current);
}

void Logins::Open(SessionId id, uint64_t epoch, bool current) {
  const std::unique_ptr<Login> login = std::move(logins_.extract(id).mapped());
  log::Info("agent connected", {{"user", login->user_id}, {"epoch", epoch}, {"address", login->place->address}});
  addresses_.emplace(id, login->place->address);
  login->place.reset();
  if (!current) {
    // A newer connection of this user got through the login first.
    handler_.OpenSession(id, login->user_id, epoch, {});
    return handler_.CloseSocket(id, close_reason::kReplaced);
  }
  shared_.authenticator->ReportStatus({login->user_id, AgentStatus::kConnected, shared_.clock->WallMs()});
  handler_.OpenSession(id, login->user_id, epoch, std::move(login->early));
}

void Logins::KeepEarly(SessionId id, std::string& text) {
  Login* const login = UnderWay(id);
  if (login == nullptr) return;
  if (login->early.size() >= kEarlyFramesMax) {
    shared_.counters->early_full.Add();
    return Fail(id, close_reason::kTooMuchBeforeLogin);
  }
  login->early.push_back(std::move(text));
}

void Logins::Cancel(SessionId id) {
  auto found = logins_.find(id);
  if (found == logins_.end()) return;
  Login& login = *found->second;
  login.under_way = false;
  login.early = {};
  if (std::exchange(login.has_room, false)) shared_.admission->GiveRoomBack();
  wheel_.Disarm(&login);
  if (!std::exchange(login.closing, true)) shared_.admission->Closing(login.place.get());
}

void Logins::Closed(SessionId id) {
  logins_.erase(id);
  shared_.admission->Closed();
}

void Logins::LogOut(SessionId id, const std::string& user_id, uint64_t epoch) {
  auto login = std::make_unique<Login>();
  login->closing = true;
  login->place = shared_.admission->SessionEnded(id, std::move(addresses_.extract(id).mapped()));
  logins_.emplace(id, std::move(login));
  // Only the user's current session may clean up: a replaced one would take the newer one's lease and status away.
  if (shared_.directory->Remove(user_id, id)) Release(user_id, epoch);
  log::Info("agent disconnected", {{"user", user_id}, {"epoch", epoch}});
}

MonoTime Logins::Time() const { return time_ + std::min<Duration>(shared_.clock->Now() - advanced_at_, 2 * kTick); }

bool Logins::IsStale(const Login& login) const {
  return shared_.clock->Now() - login.check_began > shared_.login_timeout;
}

// By the time of the last call: what came while this process was paused or busy is read before anybody is judged.
void Logins::Advance() {
  wheel_.Advance(time_, [this](TimerNode* node) {
    const auto* login = static_cast<const Login*>(node);
    if (login->under_way) log::Warn("login timed out", {{"user", login->user_id}});
    FailAsLate(login->id);
  });
  time_ = Time();
  advanced_at_ = shared_.clock->Now();
}

void Logins::Fail(SessionId id, const CloseReason& reason) {
  Cancel(id);
  handler_.CloseSocket(id, reason);
}

void Logins::FailAsLate(SessionId id) {
  shared_.counters->logins_late.Add();
  Fail(id, close_reason::kLoginTimedOut);
}

void Logins::FailAsRevoked(SessionId id, const std::string& user_id) {
  shared_.counters->logins_revoked.Add();
  log::Warn("login refused", {{"why", "credentials revoked"}, {"user", user_id}});
  Fail(id, close_reason::kCredentialsRevoked);
}

// Releases the lease. Unless a newer claim holds it, nobody has the agent now but perhaps an older session of this
// edge, which a failed login left without its lease: it is made again, under the epoch that controls know the session
// by. That fences as before: a claim made meanwhile, or later, has a greater epoch, and the refresh then ends the
// session. Should the session end at this very moment, the lease is left without an agent, until it expires or the
// agent is back.
void Logins::Release(const std::string& user_id, uint64_t epoch) {
  const int64_t at_ms = shared_.clock->WallMs();
  // Not `this`, which may be gone when Redis is back.
  shared_.registry->Release(user_id, shared_.server_id, epoch, [&shared = shared_, user_id, at_ms](bool released) {
    if (!released) return;
    const auto ref = shared.directory->Find(user_id);
    if (ref) return shared.registry->Refresh(shared.server_id, {{user_id, ref->epoch}});
    shared.authenticator->ReportStatus({user_id, AgentStatus::kDisconnected, at_ms});
  });
}

Logins::Login* Logins::UnderWay(SessionId id) {
  auto found = logins_.find(id);
  return found != logins_.end() && found->second->under_way ? found->second.get() : nullptr;
}

}  // namespace toolwire
