// A thread waits until there is something to ask, takes up to kBatchMax checks or all updates, and makes one statement
// of them. What the store refuses together is halved until the bad one is alone. Updates that the store did not take are
// kept, merged with newer ones, and tried again every 500 ms; while the store is unavailable and nothing waits, empty
// credentials are checked as often. A stop writes what is kept, until its deadline.
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
    } else if (Supersedes(update, newest[it->second])) {
      newest[it->second] = std::move(update);
    }
  }
  return newest;
}

}  // namespace

Authenticator::Authenticator(Store& store)
    : store_(store), checks_thread_([this] { RunAllChecks(); }), updates_thread_([this] { RunAllUpdates(); }) {}

void Authenticator::Stop(MonoTime until) {
  if (!checks_thread_.joinable()) return;
  {
    MutexLock lock(mu_);
    stopping_ = true;
    stop_at_ = until;
  }
  wake_checks_.NotifyOne();
  wake_updates_.NotifyOne();
  checks_thread_.join();
  updates_thread_.join();
}

void Authenticator::Check(CredentialCheck check, Done done) {
  {
    MutexLock lock(mu_);
    checks_.emplace_back(std::move(check), std::move(done));
  }
  wake_checks_.NotifyOne();
}

void Authenticator::ReportStatus(StatusUpdate update) {
  {
    MutexLock lock(mu_);
    updates_.push_back(std::move(update));
  }
  wake_updates_.NotifyOne();
}

void Authenticator::Recheck(std::vector<SecretCheck> checks, RechecksDone done) {
  {
    MutexLock lock(mu_);
    rechecks_.emplace_back(std::move(checks), std::move(done));
  }
  wake_checks_.NotifyOne();
}

void Authenticator::RunAllChecks() {
  while (true) {
    std::vector<std::pair<CredentialCheck, Done>> checks;
    std::pair<std::vector<SecretCheck>, RechecksDone> rechecks;
    {
      MutexLock lock(mu_);
      const auto ready = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
        return stopping_ || !checks_.empty() || !rechecks_.empty();
      };
      if (store_unavailable_) {
        wake_checks_.WaitFor(mu_, kRetryWait, ready);
      } else {
        wake_checks_.Wait(mu_, ready);
      }
      if (stopping_) return;
      const size_t count = std::min(checks_.size(), kBatchMax);
      std::move(checks_.begin(), checks_.begin() + count, std::back_inserter(checks));
      checks_.erase(checks_.begin(), checks_.begin() + count);
      if (!rechecks_.empty()) {
        rechecks = std::move(rechecks_.front());
        rechecks_.pop_front();
      }
    }
    // Agents that log in wait for their verdicts; sessions that are open can wait.
    if (!checks.empty()) {
      RunChecks(std::move(checks));
    } else if (!rechecks.second) {
      Probe();
    }
    if (rechecks.second) RunRechecks(rechecks.first, rechecks.second);
  }
}

void Authenticator::RunAllUpdates() {
  std::vector<StatusUpdate> kept;  // Updates that the store did not take yet.
  while (true) {
    bool stopping = false;
    {
      MutexLock lock(mu_);
      if (kept.empty()) {
        wake_updates_.Wait(mu_, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return stopping_ || !updates_.empty(); });
      } else {
        const MonoTime again = std::chrono::steady_clock::now() + kRetryWait;
        wake_updates_.WaitUntil(mu_, stopping_ ? std::min(again, stop_at_) : again);
      }
      stopping = stopping_;
      std::move(updates_.begin(), updates_.end(), std::back_inserter(kept));
      updates_.clear();
    }
    kept = NewestOfEach(std::move(kept));
    RunUpdates(&kept);
    if (!stopping) continue;
    MutexLock lock(mu_);
    if ((kept.empty() && updates_.empty()) || std::chrono::steady_clock::now() >= stop_at_) return;
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

void Authenticator::RunUpdates(std::vector<StatusUpdate>* updates) {
  if (updates->empty()) return;
  counters_.statements.Add();
  absl::StatusOr<std::vector<StatusUpdate>> held = store_.UpdateStatus(*updates);
  if (held.ok()) {
    if (std::exchange(status_waits_, false)) log::Info("agents' status is written again");
    counters_.status_updates.Add(updates->size() - held->size());
    counters_.status_held.Add(held->size());
    *updates = *std::move(held);
    return;
  }
  counters_.store_errors.Add();
  if (absl::IsUnavailable(held.status())) {
    if (std::exchange(status_waits_, true)) return;
    log::Warn("agents' status waits",
              {{"agents", updates->size()}, {"error", std::string(held.status().message())}});
    return;
  }
  if (updates->size() == 1) {
    log::Error("agent status could not be written",
               {{"user", updates->front().user_id}, {"error", std::string(held.status().message())}});
    return updates->clear();
  }
  // One of them, or its row, may be bad: the others are written.
  const auto middle = updates->begin() + static_cast<ptrdiff_t>(updates->size() / 2);
  std::vector<StatusUpdate> second(std::make_move_iterator(middle), std::make_move_iterator(updates->end()));
  updates->erase(middle, updates->end());
  RunUpdates(updates);
  RunUpdates(&second);
  std::move(second.begin(), second.end(), std::back_inserter(*updates));
}

}  // namespace toolwire
