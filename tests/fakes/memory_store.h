// The store in memory: real behaviour, no file. It passes the same contract tests as the others.
#ifndef TOOLWIRE_TESTS_FAKES_MEMORY_STORE_H_
#define TOOLWIRE_TESTS_FAKES_MEMORY_STORE_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/store/secret.h"
#include "common/store/store.h"

namespace toolwire {

class MemoryStore : public Store {
 public:
  explicit MemoryStore(size_t audit_json_bytes_max = kAuditJsonBytesMax)
      : audit_json_bytes_max_(audit_json_bytes_max) {}

  absl::StatusOr<std::vector<bool>> CheckCredentials(const std::vector<CredentialCheck>& checks) override {
    std::lock_guard<std::mutex> lock(mu_);
    std::vector<bool> verdicts;
    for (const CredentialCheck& check : checks) {
      auto it = credentials_.find(check.user_id);
      verdicts.push_back(it != credentials_.end() && SecretMatches(check.secret, it->second.stored_secret));
    }
    return verdicts;
  }

  absl::StatusOr<std::vector<bool>> CheckDigests(const std::vector<SecretCheck>& checks) override {
    std::lock_guard<std::mutex> lock(mu_);
    std::vector<bool> verdicts;
    for (const SecretCheck& check : checks) {
      auto it = credentials_.find(check.user_id);
      verdicts.push_back(it != credentials_.end() && DigestMatches(check.digest, it->second.stored_secret));
    }
    return verdicts;
  }

  absl::StatusOr<std::vector<StatusUpdate>> UpdateStatus(const std::vector<StatusUpdate>& updates) override {
    std::lock_guard<std::mutex> lock(mu_);
    for (const StatusUpdate& update : updates) {
      auto it = credentials_.find(update.user_id);
      if (it == credentials_.end()) continue;
      Entry& entry = it->second;
      const bool ends = update.status == AgentStatus::kDisconnected;
      auto& seen_ms = entry.shown.last_seen_ms;
      if (update.epoch == 0 ? ends && seen_ms && *seen_ms > update.at_ms
                            : update.epoch < entry.epoch || (update.epoch == entry.epoch && !ends)) {
        continue;
      }
      entry.shown.status = update.status;
      seen_ms = std::max(seen_ms.value_or(update.at_ms), update.at_ms);
      entry.epoch = std::max(entry.epoch, update.epoch);
    }
    return std::vector<StatusUpdate>();
  }

  absl::Status AppendAudit(const std::vector<AuditRow>& rows) override {
    std::lock_guard<std::mutex> lock(mu_);
    for (const AuditRow& row : rows) {
      if (!row.call_id.empty() && !call_ids_.insert(row.call_id).second) continue;
      rows_.push_back(AuditSafeRow(row, audit_json_bytes_max_));
    }
    return absl::OkStatus();
  }

  absl::Status CreateCredentials(const std::vector<NewCredential>& credentials) override {
    std::lock_guard<std::mutex> lock(mu_);
    auto next = credentials_;
    auto next_secrets = secrets_;
    for (const NewCredential& one : credentials) {
      if (absl::Status status = CheckNewCredential(one); !status.ok()) return status;
      Entry entry{one.stored_secret,
                  {one.user_id, one.platform, AgentStatus::kPending, one.created_at_ms, std::nullopt, false},
                  0};
      const auto found = next.find(one.user_id);
      if (found != next.end() && found->second.shown.revoked) {
        entry.epoch = found->second.epoch;
        next.erase(found);
      }
      if (!next.emplace(one.user_id, std::move(entry)).second) {
        return absl::AlreadyExistsError("user \"" + one.user_id + "\" has credentials already");
      }
      if (!next_secrets.insert(one.stored_secret).second) {
        return absl::AlreadyExistsError("the secret for user \"" + one.user_id + "\" is in use already");
      }
    }
    credentials_ = std::move(next);
    secrets_ = std::move(next_secrets);
    return absl::OkStatus();
  }

  absl::StatusOr<bool> HasCredential(const std::string& user_id) override {
    std::lock_guard<std::mutex> lock(mu_);
    const auto it = credentials_.find(user_id);
    return it != credentials_.end() && !it->second.shown.revoked;
  }

  absl::Status ReplaceSecret(const std::string& user_id, const std::string& stored_secret) override {
    if (absl::Status status = CheckNewSecret(user_id, stored_secret); !status.ok()) return status;
    std::lock_guard<std::mutex> lock(mu_);
    auto it = credentials_.find(user_id);
    if (it == credentials_.end() || it->second.shown.revoked) return NoCredentialError(user_id);
    if (it->second.stored_secret == stored_secret) return absl::OkStatus();
    if (!secrets_.insert(stored_secret).second) return absl::AlreadyExistsError("the secret is in use already");
    secrets_.erase(std::exchange(it->second.stored_secret, stored_secret));
    return absl::OkStatus();
  }

  absl::Status Revoke(const std::string& user_id) override {
    std::lock_guard<std::mutex> lock(mu_);
    auto it = credentials_.find(user_id);
    if (it == credentials_.end()) return NoCredentialError(user_id);
    it->second.shown.status = AgentStatus::kDisconnected;
    it->second.shown.revoked = true;
    secrets_.erase(std::exchange(it->second.stored_secret, MakeRevokedSecret()));
    return absl::OkStatus();
  }

  using Store::ListAudit;
  using Store::ListCredentials;
  absl::StatusOr<std::vector<Credential>> ListCredentials(const std::string& after, int limit,
                                                          const IsGone&) override {
    std::lock_guard<std::mutex> lock(mu_);
    std::vector<Credential> listed;
    for (auto it = credentials_.upper_bound(after); it != credentials_.end(); ++it) {
      if (static_cast<int>(listed.size()) >= limit) break;
      listed.push_back(it->second.shown);
    }
    return listed;
  }

  absl::StatusOr<std::vector<ListedAuditRow>> ListAudit(const AuditQuery& query, const IsGone&) override {
    std::lock_guard<std::mutex> lock(mu_);
    std::map<Place, const AuditRow*> wanted;
    for (size_t i = 0; i < rows_.size(); ++i) {
      const AuditRow& row = rows_[i];
      if (!query.user_id.empty() && row.user_id != query.user_id) continue;
      if (row.user_id.compare(0, query.user_prefix.size(), query.user_prefix) != 0) continue;
      if (query.from_ms && row.created_at_ms < *query.from_ms) continue;
      if (query.until_ms && row.created_at_ms >= *query.until_ms) continue;
      wanted.emplace(Place(row.created_at_ms, i), &row);
    }
    auto end = wanted.end();
    if (!query.after.empty()) {
      const absl::StatusOr<AuditCursor> after = ReadAuditCursor(query.after);
      int64_t number = 0;
      if (!after.ok() || !ReadInt(after->id, &number)) return absl::InvalidArgumentError("not a cursor");
      end = wanted.lower_bound(Place(after->time, number));
    }
    std::vector<ListedAuditRow> listed;
    while (end != wanted.begin() && static_cast<int>(listed.size()) < query.limit) {
      --end;
      listed.push_back({*end->second, std::to_string(end->first.first) + ":" + std::to_string(end->first.second)});
    }
    return listed;
  }

 private:
  using Place = std::pair<int64_t, int64_t>;  // A row's time and its number.
  struct Entry {
    std::string stored_secret;
    Credential shown;
    uint64_t epoch = 0;  // Of the newest status.
  };

  const size_t audit_json_bytes_max_;
  std::mutex mu_;
  std::map<std::string, Entry> credentials_;  // Guarded by mu_, as are the others.
  std::set<std::string> secrets_;
  std::vector<AuditRow> rows_;
  std::set<std::string> call_ids_;  // Of rows_.
};

}  // namespace toolwire

#endif  // TOOLWIRE_TESTS_FAKES_MEMORY_STORE_H_
