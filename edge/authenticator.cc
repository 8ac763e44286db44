// The thread waits until there is something to ask, takes up to kBatchMax checks and all updates, and makes one
// statement of each. Checks that the store refuses together are halved until the bad one is alone. Updates that the
// store did not take are kept, merged with newer ones, and tried again every 500 ms; while the store is unavailable and
// nothing waits, empty credentials are checked as often. A stop writes what is kept, until its deadline.
#include "edge/authenticator.h"

#include <algorithm>
#include <chrono>
#include <iterator>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "common/base/log.h"

namespace toolwire {
namespace {

constexpr Duration kRetryWait = std::chrono::milliseconds(500);

// The newest update of each user, in the order of their first.
std::vector<StatusUpdate> NewestOfEach(std::vector<StatusUpdate> updates) {
  absl::flat_hash_map<std::string, size_t> index;
  std::vector<StatusUpdate> newest;
  for (StatusUpdate& update : updates) {
    auto [it, is_new] = index.try_emplace(update.user_id, newest.size());
    if (is_new) {
      newest.push_back(std::move(update));
    } else {
      newest[it->second] = std::move(update);
    }
  }
  return newest;
}

}  // namespace

Authenticator::Authenticator(Store& store) : store_(store), thread_([this] { Run(); }) {}

void Authenticator::Stop(MonoTime until) {
  if (!thread_.joinable()) return;
  {
    MutexLock lock(mu_);
    stopping_ = true;
    stop_at_ = until;
  }
  wake_.NotifyOne();
  thread_.join();
}

void Authenticator::Check(CredentialCheck check, Done done) {
  {
    MutexLock lock(mu_);
    checks_.emplace_back(std::move(check), std::move(done));
  }
  wake_.NotifyOne();
}

void Authenticator::ReportStatus(StatusUpdate update) {
  {
    MutexLock lock(mu_);
    updates_.push_back(std::move(update));
  }
  wake_.NotifyOne();
}

void Authenticator::Recheck(std::vector<SecretCheck> checks, RechecksDone done) {
  {
    MutexLock lock(mu_);
    rechecks_.emplace_back(std::move(checks), std::move(done));
  }
  wake_.NotifyOne();
}

void Authenticator::Run() {
  std::vector<StatusUpdate> kept;  // Updates that the store did not take yet.
  while (true) {
    std::vector<std::pair<CredentialCheck, Done>> checks;
    std::pair<std::vector<SecretCheck>, RechecksDone> rechecks;
    bool stopping = false;
    {
      MutexLock lock(mu_);
      const auto ready = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
        return stopping_ || !checks_.empty() || !updates_.empty() || !rechecks_.empty();
      };
      if (kept.empty() && !store_unavailable_) {
        wake_.Wait(mu_, ready);
      } else if (kept.empty()) {
        wake_.WaitFor(mu_, kRetryWait, ready);
      } else {
        wake_.WaitFor(mu_, kRetryWait, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
          return !checks_.empty() || (stopping_ && updates_.empty());
        });
      }
      stopping = stopping_;
      const size_t count = std::min(checks_.size(), kBatchMax);
      std::move(checks_.begin(), checks_.begin() + count, std::back_inserter(checks));
      checks_.erase(checks_.begin(), checks_.begin() + count);
      std::move(updates_.begin(), updates_.end(), std::back_inserter(kept));
      updates_.clear();
      if (!rechecks_.empty()) {
        rechecks = std::move(rechecks_.front());
        rechecks_.pop_front();
      }
    }
    // Logins first: agents wait for their verdicts, and nothing waits for a status.
    if (checks.empty() && kept.empty() && !stopping && store_unavailable_) Probe();
    if (!checks.empty() && !stopping) RunChecks(std::move(checks));
    kept = NewestOfEach(std::move(kept));
    const bool written = RunUpdates(&kept);
    if (rechecks.second && !stopping) RunRechecks(rechecks.first, rechecks.second);
    if (stopping) {
      MutexLock lock(mu_);
      const MonoTime now = std::chrono::steady_clock::now();
      if (written || now >= stop_at_) return;
      wake_.WaitUntil(mu_, std::min(now + kRetryWait, stop_at_));
    }
  }
}

void Authenticator::RunChecks(std::vector<std::pair<CredentialCheck, Done>> batch) {
  std::vector<CredentialCheck> checks;
  checks.reserve(batch.size());
  for (auto& [check, done] : batch) checks.push_back(std::move(check));
  counters_.statements.Add();
  const auto verdicts = store_.CheckCredentials(checks);
  store_unavailable_ = absl::IsUnavailable(verdicts.status());
  if (!verdicts.ok() && !store_unavailable_ && batch.size() > 1) {
    // One of them, or its row, may be bad: that must not refuse the others.
    counters_.store_errors.Add();
    for (size_t i = 0; i < batch.size(); ++i) batch[i].first = std::move(checks[i]);
    const auto middle = batch.begin() + static_cast<ptrdiff_t>(batch.size() / 2);
    std::vector<std::pair<CredentialCheck, Done>> second(std::make_move_iterator(middle),
                                                         std::make_move_iterator(batch.end()));
    batch.erase(middle, batch.end());
    RunChecks(std::move(batch));
    return RunChecks(std::move(second));
  }
  counters_.checks.Add(checks.size());
  if (!verdicts.ok()) {
    counters_.store_errors.Add();
    log::Error("credentials could not be checked",
               {{"agents", checks.size()}, {"error", std::string(verdicts.status().message())}});
    for (auto& [check, done] : batch) done(store_unavailable_ ? Verdict::kStoreUnavailable : Verdict::kInternal);
    return;
  }
  for (size_t i = 0; i < batch.size(); ++i) {
    const bool right = (*verdicts)[i];
    (right ? counters_.right : counters_.wrong).Add();
    batch[i].second(right ? Verdict::kRight : Verdict::kWrong);
  }
}

void Authenticator::RunRechecks(const std::vector<SecretCheck>& checks, const RechecksDone& done) {
  counters_.statements.Add();
  absl::StatusOr<std::vector<bool>> verdicts = store_.CheckDigests(checks);
  store_unavailable_ = absl::IsUnavailable(verdicts.status());
  if (verdicts.ok()) {
    counters_.rechecks.Add(checks.size());
  } else {
    counters_.store_errors.Add();
    log::Error("sessions' secrets could not be checked",
               {{"sessions", checks.size()}, {"error", std::string(verdicts.status().message())}});
  }
  done(std::move(verdicts));
}

void Authenticator::Probe() {
  counters_.statements.Add();
  store_unavailable_ = absl::IsUnavailable(store_.CheckCredentials({CredentialCheck{}}).status());
}

bool Authenticator::RunUpdates(std::vector<StatusUpdate>* updates) {
  if (updates->empty()) return true;
  counters_.statements.Add();
  const absl::Status status = store_.UpdateStatus(*updates);
  store_unavailable_ = absl::IsUnavailable(status);
  if (absl::IsUnavailable(status)) {
    counters_.store_errors.Add();
    return false;
  }
  if (!status.ok()) {
    counters_.store_errors.Add();
    log::Error("agent status could not be written",
               {{"agents", updates->size()}, {"error", std::string(status.message())}});
  } else {
    counters_.status_updates.Add(updates->size());
  }
  updates->clear();
  return true;
}

}  // namespace toolwire
