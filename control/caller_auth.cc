// A token is found by its hash. What an attacker can learn from how long that takes is something about the hashes of
// tokens that he made up, and of stored ones with which those share their first bits; to get closer he would have to
// find texts with wanted hashes, and the whole hash would still not be the token.
#include "control/caller_auth.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/base/log.h"

namespace toolwire {

using E = v1::CallError;

namespace {

constexpr Duration kLogEvery = std::chrono::seconds(10);

// The token of `Bearer TOKEN`, or empty.
std::string_view TokenOf(std::string_view value) {
  constexpr std::string_view kScheme = "bearer ";
  if (value.size() < kScheme.size()) return {};
  for (size_t i = 0; i < kScheme.size(); ++i) {
    if (absl::ascii_tolower(static_cast<unsigned char>(value[i])) != kScheme[i]) return {};
  }
  value.remove_prefix(std::min(value.find_first_not_of(' ', kScheme.size()), value.size()));
  return value;
}

v1::CallFailure Unauthenticated(std::string_view message, std::string_view request_id = {}) {
  return MakeFailure(E::UNAUTHENTICATED, E::NOT_SENT, request_id, message);
}

bool IsSame(const Caller& caller, const Token& token) {
  return caller.name == token.name && caller.scopes == token.scopes && caller.users == token.users;
}

}  // namespace

v1::CallFailure CallerAuth::Expired(std::string_view request_id) {
  return Unauthenticated("the token has expired: use a newer one, of this control's operator or of the issuer",
                         request_id);
}

v1::CallFailure CallerAuth::Removed(std::string_view request_id) {
  return Unauthenticated(
      "the token was removed from this control's tokens, its line was changed, or the key that signed it is gone",
      request_id);
}

absl::Status CallerAuth::Take(std::string_view file) {
  absl::StatusOr<std::vector<Token>> tokens = ParseTokens(file);
  if (!tokens.ok()) {
    counters_.not_taken.Add();
    return tokens.status();
  }
  MutexLock lock(mu_);
  absl::flat_hash_map<std::string_view, std::shared_ptr<Caller::Counts>> counts;
  for (const auto& [digest, caller] : callers_) counts.emplace(caller->name, caller->counts);
  Callers callers;
  for (const Token& token : *tokens) {
    const auto known = callers_.find(token.digest);
    if (known != callers_.end() && IsSame(*known->second, token)) {
      known->second->expires_ms = token.expires_ms;
      callers.insert(callers_.extract(known));
      continue;
    }
    auto& counts_of_name = counts[token.name];
    if (counts_of_name == nullptr) counts_of_name = std::make_shared<Caller::Counts>();
    callers.emplace(token.digest, std::make_shared<Caller>(token, counts_of_name));
  }
  for (const auto& [digest, caller] : callers_) caller->Remove();
  callers_.swap(callers);
  asks_ = true;
  counters_.taken.Add();
  return absl::OkStatus();
}

bool CallerAuth::Asks() const {
  MutexLock lock(mu_);
  return asks_;
}

CallerAuth::Admission CallerAuth::FindJwt(std::string_view token, std::string_view peer) {
  JwtAuth::Found found = jwt_.Find(token, peer);
  if (found.caller != nullptr) return {std::move(found.caller), std::nullopt};
  if (found.busy) {
    return {nullptr, MakeFailure(E::CALLER_BUSY, E::NOT_SENT, "",
                                 "too many tokens that are not good came from this address: try again in a second")};
  }
  if (found.problem == JwtProblem::kUnknownKey) {
    counters_.unknown.Add();
  } else {
    counters_.invalid.Add();
    MutexLock lock(mu_);
    last_invalid_ = found.problem;
  }
  return {nullptr, Unauthenticated(absl::StrCat("this control does not take the token: ", SentenceOf(found.problem)))};
}

CallerAuth::Admission CallerAuth::Find(std::string_view token, std::string_view peer) {
  if (IsTokenForm(token)) {
    const Sha256Digest digest = Sha256(token);
    MutexLock lock(mu_);
    const auto found = callers_.find(digest);
    if (found != callers_.end()) return {found->second, std::nullopt};
  } else if (IsJwtForm(token) && jwt_.has_keys()) {
    return FindJwt(token, peer);
  }
  counters_.unknown.Add();
  return {nullptr, Unauthenticated("this control does not know the token: look whether it is complete, and was not "
                                   "replaced or removed")};
}

CallerAuth::Admission CallerAuth::Admit(const std::vector<std::string_view>& authorization, Scope scope,
                                        std::string_view peer) {
  if (!Asks() && !jwt_.has_keys()) return {};
  const std::string_view token = authorization.size() == 1 ? TokenOf(authorization.front()) : std::string_view();
  if (token.empty()) {
    counters_.missing.Add();
    return {nullptr, Unauthenticated("this control asks for a token: send one, as metadata `authorization: Bearer "
                                     "...`, or name its file with --token-file")};
  }
  Admission found = Find(token, peer);
  if (found.refused) return found;
  const std::shared_ptr<Caller>& caller = found.caller;
  if (caller->HasExpired(clock_.WallMs())) {
    counters_.expired.Add();
    return {nullptr, Expired()};
  }
  if (!caller->May(scope)) {
    counters_.scope.Add();
    return {nullptr, MakeFailure(E::PERMISSION_DENIED, E::NOT_SENT, "",
                                 absl::StrCat("the token's scopes do not include ", NameOf(scope)))};
  }
  return found;
}

std::optional<v1::CallFailure> CallerAuth::CheckGood(const Caller* caller, std::string_view request_id) {
  if (caller == nullptr) return std::nullopt;
  if (caller->IsRemoved()) {
    counters_.unknown.Add();
    return Removed(request_id);
  }
  if (caller->HasExpired(clock_.WallMs())) {
    counters_.expired.Add();
    return Expired(request_id);
  }
  return std::nullopt;
}

std::optional<v1::CallFailure> CallerAuth::CheckUser(const Caller* caller, std::string_view user_id,
                                                     std::string_view request_id) {
  if (auto refused = CheckGood(caller, request_id)) return refused;
  if (caller == nullptr || caller->users.Covers(user_id)) return std::nullopt;
  counters_.user.Add();
  return MakeFailure(E::PERMISSION_DENIED, E::NOT_SENT, request_id, "the token may not name this user", "user_id");
}

void CallerAuth::LogRefused() {
  const MonoTime now = clock_.Now();
  if (now - logged_at_ < kLogEvery) return;
  std::array<uint64_t, 6> seen{};
  const auto counters = counters_.refused();
  for (size_t i = 0; i < seen.size(); ++i) seen[i] = counters[i]->value();
  if (seen == logged_) return;
  JwtProblem invalid{};
  {
    MutexLock lock(mu_);
    invalid = std::exchange(last_invalid_, JwtProblem::kNone);
  }
  log::Warn("callers refused", {{"missing", seen[0] - logged_[0]},
                                {"unknown", seen[1] - logged_[1]},
                                {"invalid", seen[2] - logged_[2]},
                                {"expired", seen[3] - logged_[3]},
                                {"scope", seen[4] - logged_[4]},
                                {"user", seen[5] - logged_[5]},
                                {"lastInvalid", SentenceOf(invalid)}});
  logged_ = seen;
  logged_at_ = now;
}

size_t CallerAuth::tokens() const {
  MutexLock lock(mu_);
  return callers_.size();
}

void CallerAuth::AddSamples(std::vector<Sample>* out) const {
  counters_.AddSamples(out);
  jwt_.AddSamples(out);
  absl::flat_hash_map<std::string, std::shared_ptr<Caller::Counts>> counts;
  size_t tokens = 0;
  {
    MutexLock lock(mu_);
    tokens = callers_.size();
    for (const auto& [digest, caller] : callers_) counts.emplace(caller->name, caller->counts);
  }
  AddGauge(out, "toolwire_control_tokens", "Tokens in use.", static_cast<double>(tokens));
  for (const auto& [name, count] : counts) {
    AddCount(out, "toolwire_control_calls_of_caller_total", kCallsOfCallerHelp,
             count->calls.load(std::memory_order_relaxed));
    out->back().labels.emplace_back("caller", name);
  }
}

}  // namespace toolwire
