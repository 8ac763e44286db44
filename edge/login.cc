// A login asks twice and comes back to the loop after each: the store checks the secret on a thread of its own, then
// the registry gives the lease, on the caller's thread or another. When either answer comes, the socket may be gone,
// the time over or the secret revoked; then no session opens, and what was claimed is released, unless a session of the
// user stands on it (UserPlace). A revocation between the
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
  login->came = shared_.clock->Now();
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

void Logins::Named(SessionId id, const std::optional<std::string>& client) {
  auto found = logins_.find(id);
  if (found == logins_.end() || found->second->closing) return;
  Login& login = *found->second;
  login.from = !client ? Login::From::kUnnamed : client->empty() ? Login::From::kProxy : Login::From::kClient;
  if (login.from == Login::From::kClient) shared_.admission->Named(login.place.get(), *client, shared_.clock->Now());
}

bool Logins::RefusesUnnamed(SessionId id) {
  auto found = logins_.find(id);
  if (found == logins_.end() || found->second->from != Login::From::kUnnamed) return false;
  shared_.proxy_headers->missing.Add();
  if (const auto others = unnamed_line_.Take(shared_.clock->Now())) {
    log::Warn("PROXY header missing", {{"proxy", found->second->place->address()}, {"others", *others}});
  }
  return true;
}

void Logins::Spoke(SessionId id, const std::string& proxied) {
  auto found = logins_.find(id);
  if (found == logins_.end() || found->second->closing) return;
  if (std::exchange(found->second->spoke, true)) return;
  Admission::Place* const place = found->second->place.get();
  found->second->over_share =
      !shared_.admission->Spoke(place, found->second->from == Login::From::kClient
                                           ? ClientAddress(place->address(), proxied, shared_.trusted_proxies)
                                           : place->address());
}

std::string Logins::AddressOf(SessionId id) const {
  auto found = logins_.find(id);
  return found == logins_.end() ? std::string() : found->second->place->address();
}

void Logins::Begin(SessionId id, const std::string& target, const std::string& authorization) {
  auto found = logins_.find(id);
  if (found == logins_.end() || found->second->closing) return;
  if (RefusesUnnamed(id)) return Fail(id, close_reason::kNoProxyHeader);
  Login& login = *found->second;
  auto check = ParseLoginRequest(target, authorization);
  if (!check) {
    LogRefused(login, "missing credentials");
    return Fail(id, close_reason::kMissingCredentials);
  }
  login.user_id = check->user_id;
  login.secret = DigestOfSecret(check->secret);
  if (login.over_share) {
    shared_.admission->counters().address_logins_full.Add();
    if (const auto others = share_line_.Take(shared_.clock->Now())) {
      log::Warn("too many logins at once", {{"address", login.place->address()}, {"others", *others}});
    }
    return Fail(id, close_reason::kTooManyLogins);
  }
  if (!shared_.login_limits->MayLogIn(AttemptOf(login), shared_.clock->Now())) {
    return Fail(id, close_reason::kTooManyFailedLogins);
  }
  // Who is here already takes no further room: the older session ends.
  if (!shared_.directory->Find(check->user_id) && !shared_.admission->HasRoom()) {
    return Fail(id, close_reason::kEdgeFull);
  }
  login.under_way = true;
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
  if (known && !shared_.login_limits->MayLogIn(AttemptOf(*login), shared_.clock->Now())) {
    return Fail(id, close_reason::kTooManyFailedLogins);
  }
  switch (verdict) {
    case Verdict::kRight:
      shared_.login_limits->Succeeded(AttemptOf(*login));
      // A claim would end a session elsewhere that was opened with a newer secret.
      if (IsStale(*login)) return FailAsLate(id);
      if (shared_.revocations->Covers(login->user_id, login->check_began)) return FailAsRevoked(*login);
      // Taken now: others have found the same room free meanwhile.
      login->has_room = shared_.admission->TakeRoom(/*beyond=*/shared_.directory->Find(login->user_id).has_value());
      if (!login->has_room) return Fail(id, close_reason::kEdgeFull);
      return Claim(id, login);
    case Verdict::kWrong:
      CountWrong(*login);
      return Fail(id, close_reason::kInvalidCredentials);
    case Verdict::kStoreUnavailable:
      return Fail(id, close_reason::kStoreUnavailable);
    case Verdict::kInternal:
      return Fail(id, close_reason::kInternalError);
  }
}

void Logins::CountWrong(const Login& login) {
  LogRefused(login, "invalid credentials");
  const LoginLimits::Waits waits = shared_.login_limits->Failed(AttemptOf(login), shared_.clock->Now());
  if (waits.address == Duration::zero() && waits.user == Duration::zero()) return;
  if (const auto others = wait_line_.Take(shared_.clock->Now())) {
    const bool of_address = waits.address > Duration::zero();
    const auto wait = std::chrono::duration_cast<std::chrono::milliseconds>(of_address ? waits.address : waits.user);
    log::Warn("too many failed logins", {{"of", of_address ? "address" : "user at address"},
                                         {"user", login.user_id},
                                         {"address", login.place->address()},
                                         {"wait_ms", wait.count()},
                                         {"others", *others}});
  }
}

void Logins::LogRefused(const Login& login, const char* why) {
  if (const auto others = refused_line_.Take(shared_.clock->Now())) {
    log::Warn("login refused",
              {{"why", why}, {"user", login.user_id}, {"address", login.place->address()}, {"others", *others}});
  }
}

// A store that stands still makes all of them late.
void Logins::LogLate(const Login& login) {
  if (const auto others = late_line_.Take(shared_.clock->Now())) {
    log::Warn("login timed out", {{"user", login.user_id}, {"address", login.place->address()}, {"others", *others}});
  }
}

void Logins::Claim(SessionId id, Login* login) {
  shared_.directory->BeginClaim(login->user_id);
  login->claim_taken_back = std::make_shared<std::atomic<bool>>(false);
  const std::string user_id = login->user_id;
  shared_.registry->Claim(
      {user_id, shared_.server_id, login->came, login->claim_taken_back},
      [this, id, user_id](absl::StatusOr<uint64_t> epoch) {
        handler_.Post([this, id, user_id, epoch = std::move(epoch)] { OnClaimed(id, user_id, epoch); });
      });
}

void Logins::OnClaimed(SessionId id, const std::string& user_id, const absl::StatusOr<uint64_t>& epoch) {
  Login* const login = UnderWay(id);
  const bool late = login != nullptr && epoch.ok() && IsStale(*login);
  if (login == nullptr || late || !epoch.ok()) {
    Release(user_id, shared_.directory->GiveUp(user_id, epoch.value_or(0)));
    if (login == nullptr) return;  // The socket is gone.
    if (late) return FailAsLate(id);
    return Fail(id, absl::IsAborted(epoch.status()) ? close_reason::kReplaced : close_reason::kRegistryUnavailable);
  }
  const auto inserted = shared_.directory->Insert(user_id, SessionRef{loop_, id, *epoch});
  // After the insert: a revocation that comes later finds the session.
  const bool revoked = shared_.revocations->Covers(user_id, login->check_began);
  if (inserted.displaced) shared_.close_displaced(*inserted.displaced, revoked);
  if (revoked) {
    Release(user_id, shared_.directory->Remove(user_id, id).value_or(0));
    return FailAsRevoked(*login);
  }
  Open(id, *epoch, inserted.current);
}

void Logins::Open(SessionId id, uint64_t epoch, bool current) {
  const std::unique_ptr<Login> login = std::move(logins_.extract(id).mapped());
  log::Info("agent connected", {{"user", login->user_id}, {"epoch", epoch}, {"address", login->place->address()}});
  addresses_.emplace(id, login->place->address());
  login->place.reset();
  if (!current) {
    // A newer connection of this user got through the login first.
    handler_.OpenSession(id, login->user_id, epoch, login->secret, {});
    return handler_.CloseSocket(id, close_reason::kReplaced);
  }
  shared_.authenticator->ReportStatus(
      {login->user_id, AgentStatus::kConnected, shared_.clock->WallMs(), epoch});
  handler_.OpenSession(id, login->user_id, epoch, login->secret, std::move(login->early));
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
  if (login.claim_taken_back != nullptr) *login.claim_taken_back = true;
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
  // Only the user's current session may clean up: one that was displaced would take the newer one's lease away. One
  // that was replaced elsewhere gives back what the edge still has of the older lease.
  Release(user_id, shared_.directory->Remove(user_id, id).value_or(0));
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
    if (login->under_way) LogLate(*login);
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

void Logins::FailAsRevoked(const Login& login) {
  shared_.counters->logins_revoked.Add();
  LogRefused(login, "credentials revoked");
  Fail(login.id, close_reason::kCredentialsRevoked);
}

// No session of this edge stands on the lease. Unless a newer claim holds it, nobody has the agent now.
void Logins::Release(const std::string& user_id, uint64_t epoch) {
  if (epoch == 0) return;
  const int64_t at_ms = shared_.clock->WallMs();
  // Not `this`, which may be gone when Redis is back.
  shared_.registry->Release(user_id, shared_.server_id, epoch, [&shared = shared_, user_id, at_ms, epoch](bool released) {
    if (!released || shared.directory->Find(user_id)) return;
    shared.authenticator->ReportStatus({user_id, AgentStatus::kDisconnected, at_ms, epoch});
  });
}

Logins::Login* Logins::UnderWay(SessionId id) {
  auto found = logins_.find(id);
  return found != logins_.end() && found->second->under_way ? found->second.get() : nullptr;
}

}  // namespace toolwire
