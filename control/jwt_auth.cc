// A known token is found by its hash, whose caller was made when it was first seen. Nothing is kept of tokens that are
// not good: whoever sends such would send another one each time. Keys and signatures are looked at without the lock; a
// token that was checked with a key which has gone meanwhile is not remembered, and its caller not given out. What is
// known of tokens of keys that have gone stays until it makes room, and is not found any more.
#include "control/jwt_auth.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/wire/names.h"
#include "control/caller_peer.h"

namespace toolwire {
namespace {

constexpr Duration kFailuresWindow = std::chrono::seconds(1);
// Of a known token beside its texts: its places in map and list, and the caller.
constexpr size_t kKnownBytes = 512;
// What callers are called; alone, those without a name. No line of the token file can have such a name.
constexpr char kNamePrefix[] = "jwt:";

std::string NameByClaims(const JwtClaims& claims) {
  return absl::StrCat(kNamePrefix, claims.subject.empty() ? claims.client : claims.subject);
}

}  // namespace

JwtAuth::JwtAuth(const Clock& clock, JwtOptions options)
    : clock_(clock),
      options_(std::move(options)),
      failures_({options_.failures_per_second_max, kFailuresWindow, options_.addresses_max}) {}

absl::Status JwtAuth::Take(std::string_view file, std::vector<std::string>* skipped) {
  absl::StatusOr<Jwks> jwks = ParseJwks(file);
  if (!jwks.ok()) {
    counters_.not_taken.Add();
    return jwks.status();
  }
  absl::flat_hash_map<std::string, std::shared_ptr<SigningKey>> keys;
  MutexLock lock(mu_);
  for (std::shared_ptr<SigningKey>& key : jwks->keys) {
    const auto before = keys_.find(key->kid);
    if (before != keys_.end() && before->second->Equals(*key)) key = before->second;
    keys.emplace(key->kid, key);
  }
  for (const auto& [kid, key] : keys_) {
    const auto now = keys.find(kid);
    if (now == keys.end() || now->second != key) key->removed->store(true);
  }
  keys_.swap(keys);
  counters_.taken.Add();
  *skipped = std::move(jwks->skipped);
  return absl::OkStatus();
}

JwtAuth::Found JwtAuth::Find(std::string_view token, std::string_view peer) {
  if (token.size() > kJwtBytesMax) {
    counters_.large.Add();
    return {nullptr, JwtProblem::kTooLarge};
  }
  const Sha256Digest digest = Sha256(token);
  if (std::shared_ptr<Caller> known = FindKnown(digest)) return {std::move(known)};
  Jwt jwt;
  if (const JwtProblem problem = ReadJwt(token, &jwt); problem != JwtProblem::kNone) return {nullptr, problem};
  const std::shared_ptr<SigningKey> key = KeyOf(jwt.kid);
  if (key == nullptr) return {nullptr, JwtProblem::kUnknownKey};
  if (key->algorithm != jwt.algorithm) return {nullptr, JwtProblem::kAlgorithm};
  const std::string address = AddressOfPeer(peer);
  if (!MayTry(address)) {
    counters_.failures.Add();
    return {nullptr, JwtProblem::kNone, true};
  }
  Found found = Check(jwt, key, digest);
  if (found.caller == nullptr) NoteFailure(address);
  return found;
}

std::shared_ptr<Caller> JwtAuth::FindKnown(const Sha256Digest& digest) {
  MutexLock lock(mu_);
  const Known* const known = known_.Find(digest);
  if (known == nullptr || known->caller->IsRemoved()) return nullptr;
  return known_.Use(digest)->caller;
}

std::shared_ptr<SigningKey> JwtAuth::KeyOf(const std::string& kid) const {
  MutexLock lock(mu_);
  const auto found = keys_.find(kid);
  return found == keys_.end() ? nullptr : found->second;
}

JwtAuth::Found JwtAuth::Check(const Jwt& jwt, const std::shared_ptr<SigningKey>& key, const Sha256Digest& digest) {
  counters_.checked.Add();
  if (!key->Verify(jwt.signed_text, jwt.signature)) return {nullptr, JwtProblem::kSignature};
  JwtClaims claims;
  const JwtProblem problem = ReadClaims(jwt.claims, options_.rules, clock_.WallMs(), &claims);
  if (problem == JwtProblem::kLifetime) counters_.lifetime.Add();
  if (problem != JwtProblem::kNone) return {nullptr, problem};
  std::shared_ptr<Caller> caller = Remember(digest, key, std::move(claims));
  if (caller == nullptr) return {nullptr, JwtProblem::kUnknownKey};
  return {std::move(caller)};
}

std::shared_ptr<Caller> JwtAuth::Remember(const Sha256Digest& digest, const std::shared_ptr<SigningKey>& key,
                                          JwtClaims&& claims) {
  std::string name = NameByClaims(claims);
  const size_t bytes = kKnownBytes + name.size() + claims.users.text.size();
  MutexLock lock(mu_);
  if (key->removed->load()) return nullptr;
  const Known* const before = known_.Find(digest);
  if (before != nullptr && !before->caller->IsRemoved()) return before->caller;
  const std::shared_ptr<Caller> caller =
      std::make_shared<Caller>(std::move(name), claims.scopes, std::move(claims.users), claims.expires_ms, key->removed,
                               CountsOfLocked(claims.client));
  Known* const known = before == nullptr ? known_.Add(digest, {}) : known_.Use(digest);
  known->caller = caller;
  known_bytes_ += bytes - std::exchange(known->bytes, bytes);
  while (known_bytes_ > options_.cache_bytes_max) ForgetOldestLocked();  // `known` may be gone then.
  return caller;
}

void JwtAuth::ForgetOldestLocked() {
  const Known& oldest = known_.oldest().second;
  if (!oldest.caller->IsRemoved() && !oldest.caller->HasExpired(clock_.WallMs())) counters_.cache_full.Add();
  known_bytes_ -= oldest.bytes;
  known_.DropOldest();
}

JwtAuth::Counts JwtAuth::CountsOfLocked(const std::string& client) {
  if (CheckTokenName(client) != nullptr) return others_;
  const auto found = clients_.find(client);
  if (found != clients_.end()) return found->second;
  if (clients_.size() >= kClientsMax) return others_;
  return clients_.emplace(client, std::make_shared<Caller::Counts>()).first->second;
}

bool JwtAuth::MayTry(const std::string& address) {
  MutexLock lock(mu_);
  return failures_.MayTry(address, clock_.Now());
}

void JwtAuth::NoteFailure(const std::string& address) {
  MutexLock lock(mu_);
  if (failures_.Note(address, clock_.Now())) counters_.addresses_full.Add();
}

bool JwtAuth::has_keys() const {
  MutexLock lock(mu_);
  return !keys_.empty();
}

size_t JwtAuth::keys() const {
  MutexLock lock(mu_);
  return keys_.size();
}

void JwtAuth::AddSamples(std::vector<Sample>* out) const {
  counters_.AddSamples(out);
  std::vector<std::pair<std::string, uint64_t>> calls;
  size_t keys = 0, known = 0, bytes = 0;
  {
    MutexLock lock(mu_);
    if (keys_.empty()) return;
    for (const auto& [client, counts] : clients_) calls.emplace_back(absl::StrCat(kNamePrefix, client), counts->calls);
    keys = keys_.size();
    known = known_.size();
    bytes = known_bytes_;
  }
  calls.emplace_back(kNamePrefix, others_->calls);
  AddGauge(out, "toolwire_control_jwt_keys", "Keys in use that sign callers' tokens.", static_cast<double>(keys));
  AddGauge(out, "toolwire_control_jwts", "JSON Web Tokens that are known.", static_cast<double>(known));
  AddGauge(out, "toolwire_control_jwt_cache_bytes", "Memory of known JSON Web Tokens.", static_cast<double>(bytes));
  for (const auto& [name, count] : calls) {
    AddCount(out, "toolwire_control_calls_of_caller_total", kCallsOfCallerHelp, count);
    out->back().labels.emplace_back("caller", name);
  }
}

}  // namespace toolwire
