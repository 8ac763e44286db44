// A claim subscribes to the user's channel (at edges that serve old channels), runs its script, and is made again if
// its connection was lost. While claims cannot be made they wait in `queued_`, with a deadline; one that was taken back
// by then is not made, nor one that Redis only gets to run after its edge has lost the connection.

#include "common/registry/redis_claims.h"

#include <algorithm>
#include <chrono>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/base/log.h"
#include "common/registry/redis_scripts.h"

namespace toolwire {
namespace {

// By how much the clock of Redis may be off, as it was measured, without that a claim is made twice.
constexpr Duration kClaimSlack = std::chrono::milliseconds(500);

int64_t Microseconds(Duration span) { return std::chrono::duration_cast<std::chrono::microseconds>(span).count(); }

}  // namespace

// FNV-1a: the same in every process, for ever.
std::string EpochHash(absl::string_view user_id) {
  uint32_t hash = 2166136261u;
  for (const char c : user_id) hash = (hash ^ static_cast<uint8_t>(c)) * 16777619u;
  return std::to_string((hash ^ hash >> 16) % kEpochHashes);
}

std::string CommandChannel(absl::string_view user_id) { return absl::StrCat("agent:", user_id, ":commands"); }

absl::StatusOr<uint64_t> EpochOf(const RedisReply& reply) {
  uint64_t epoch = 0;
  if (reply.text == kNewerConnection) {
    return absl::AbortedError("a newer connection of this user is at another edge");
  }
  if (absl::SimpleAtoi(reply.text, &epoch)) return epoch;
  return absl::InternalError("redis: an epoch that is no number");
}

void LogBrokenKeys(const char* what, const std::string& user_id, absl::string_view why) {
  log::Error("redis cannot change a lease",
             {{"what", what},
              {"user", user_id},
              {"keys", absl::StrCat("agent:", user_id, ":*, toolwire:epochs:", EpochHash(user_id))},
              {"why", std::string(why)}});
}

void RedisClaims::Add(const Registry::ClaimRequest& request, Registry::ClaimDone done) {
  if (claims_.size() >= kRedisWaitingMax) return done(absl::UnavailableError("redis: too many claims wait"));
  const uint64_t id = ++claims_made_;
  const MonoTime deadline = clock_.Now() + options_.wait_max;
  due_.emplace_back(deadline, id);
  lease_events_.ClaimBegun(request.user_id);
  claims_.emplace(id, Pending{request, std::move(done), deadline});
  ArmExpiry();
  Run(id);
}

void RedisClaims::RunQueued() {
  if (!around_.ready().ok()) return;
  for (const uint64_t id : std::exchange(queued_, {})) Run(id);
}

void RedisClaims::EndAll(const absl::Status& why) {
  while (!claims_.empty()) Finish(claims_.begin()->first, why);
}

void RedisClaims::Run(uint64_t id) {
  const auto found = claims_.find(id);
  if (found == claims_.end()) return;
  if (!around_.ready().ok()) return queued_.push_back(id);
  if (!options_.command_channels) return Send(id);
  // Subscribed before the lease is visible: a backend that finds it may publish at once.
  client_.Subscribe(CommandChannel(found->second.request.user_id), [this, id] { Send(id); });
}

void RedisClaims::Send(uint64_t id) {
  const auto found = claims_.find(id);
  if (found == claims_.end()) return;
  if (!around_.ready().ok()) return queued_.push_back(id);
  Pending& claim = found->second;
  const Registry::ClaimRequest& request = claim.request;
  if (request.taken_back != nullptr && *request.taken_back) return Finish(id, absl::CancelledError("taken back"));
  claim.sent = true;
  claim.interruptions = interruptions_;
  const Duration age = std::max(Duration::zero(), clock_.Now() - request.came);
  // By then it is answered, or made again on another connection.
  const int64_t until = client_.ServerTimeUs() + Microseconds(options_.command_timeout + kClaimSlack);
  client_.Eval(kClaimScript,
               {request.user_id, EpochHash(request.user_id), request.edge_id, options_.lease_ttl_ms,
                options_.command_channels ? "1" : "", options_.status_keys ? "1" : "", std::to_string(Microseconds(age)), std::to_string(until)},
               [this, id, user_id = request.user_id, edge_id = request.edge_id](absl::StatusOr<RedisReply> reply) {
                 if (!IsLate(id, reply)) OnReply(id, user_id, edge_id, reply);
               });
}

bool RedisClaims::IsLate(uint64_t id, const absl::StatusOr<RedisReply>& reply) {
  int64_t server_time = 0;
  absl::string_view late = reply.ok() ? absl::string_view(reply->text) : "";
  if (!absl::ConsumePrefix(&late, kLateClaim) || !absl::SimpleAtoi(late, &server_time)) return false;
  client_.SetServerTimeUs(server_time);  // Or the clock was set.
  const auto found = claims_.find(id);
  if (found == claims_.end()) return true;
  found->second.sent = false;
  if (clock_.Now() < found->second.deadline) {
    Send(id);
  } else {
    Finish(id, absl::UnavailableError("redis runs claims too late"));
  }
  return true;
}

void RedisClaims::OnReply(uint64_t id, const std::string& user_id, const std::string& edge_id,
                          const absl::StatusOr<RedisReply>& reply) {
  const absl::StatusOr<uint64_t> epoch = reply.ok() ? EpochOf(*reply) : reply.status();
  const auto found = claims_.find(id);
  if (found == claims_.end()) {
    if (epoch.ok()) around_.release(user_id, edge_id, *epoch);  // The edge has left meanwhile.
    return;
  }
  // Lost with its connection. To make it again does no harm, if it was made: the newer lease is as good.
  Pending& claim = found->second;
  claim.sent = false;
  const bool again = absl::IsUnavailable(epoch.status()) && !client_.connected() && clock_.Now() < claim.deadline;
  if (again) return queued_.push_back(id);
  if (absl::IsInternal(epoch.status())) LogBrokenKeys("claim", user_id, epoch.status().message());
  Finish(id, epoch);
}

void RedisClaims::Finish(uint64_t id, const absl::StatusOr<uint64_t>& epoch) {
  const Pending claim = std::move(claims_.extract(id).mapped());
  const std::string& user_id = claim.request.user_id;
  claim.done(epoch);
  if (!epoch.ok()) return lease_events_.ClaimFailed(user_id);
  lease_events_.Claimed(user_id, *epoch, claim.interruptions == interruptions_);
  if (client_.subscribed() && lease_events_.OwnershipUnknown(user_id)) {
    around_.refresh(claim.request.edge_id, {user_id, *epoch});
  }
}

// Fails those whose time is over, except those that Redis has now: these are answered within the command timeout.
void RedisClaims::ArmExpiry() {
  if (due_.empty() || std::exchange(expiry_armed_, true)) return;
  client_.After(due_.front().first - clock_.Now(), [this] {
    expiry_armed_ = false;
    for (const MonoTime now = clock_.Now(); !due_.empty() && due_.front().first <= now;) {
      const uint64_t id = due_.front().second;
      due_.pop_front();
      const auto found = claims_.find(id);
      if (found == claims_.end() || found->second.sent) continue;
      const absl::Status why = around_.ready();
      Finish(id, why.ok() ? absl::UnavailableError("redis does not acknowledge a subscription") : why);
    }
    ArmExpiry();
  });
}

}  // namespace toolwire
