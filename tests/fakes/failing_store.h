// A store that fails the operations a test chooses: the first, then the second, and so on in a loop.
#ifndef TOOLWIRE_TESTS_FAKES_FAILING_STORE_H_
#define TOOLWIRE_TESTS_FAKES_FAILING_STORE_H_

#include <cstdint>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "common/store/store.h"

namespace toolwire {

// Forwards to another store. A failed operation is not forwarded, so nothing of it happened. Any thread.
class FailingStore final : public Store {
 public:
  // `inner` outlives this.
  explicit FailingStore(Store& inner) : inner_(inner) {}

  // Fails `count` operations with `error`, beginning with the `nth` from now (1: the next one). Operations of all
  // methods count.
  void Fail(uint64_t nth, uint64_t count, absl::Status error) {
    std::lock_guard<std::mutex> lock(mu_);
    fail_from_ = operations_ + nth;
    fail_to_ = fail_from_ + count;
    error_ = std::move(error);
  }

  // How many operations were asked for so far, failed ones included.
  uint64_t operations() const {
    std::lock_guard<std::mutex> lock(mu_);
    return operations_;
  }

  absl::StatusOr<std::vector<bool>> CheckCredentials(const std::vector<CredentialCheck>& checks) override {
    if (absl::Status status = Next(); !status.ok()) return status;
    return inner_.CheckCredentials(checks);
  }
  absl::StatusOr<std::vector<bool>> CheckDigests(const std::vector<SecretCheck>& checks) override {
    if (absl::Status status = Next(); !status.ok()) return status;
    return inner_.CheckDigests(checks);
  }
  absl::StatusOr<std::vector<StatusUpdate>> UpdateStatus(const std::vector<StatusUpdate>& updates) override {
    if (absl::Status status = Next(); !status.ok()) return status;
    return inner_.UpdateStatus(updates);
  }
  absl::Status AppendAudit(const std::vector<AuditRow>& rows) override {
    if (absl::Status status = Next(); !status.ok()) return status;
    return inner_.AppendAudit(rows);
  }
  absl::Status CreateCredentials(const std::vector<NewCredential>& credentials) override {
    if (absl::Status status = Next(); !status.ok()) return status;
    return inner_.CreateCredentials(credentials);
  }
  absl::StatusOr<bool> HasCredential(const std::string& user_id) override {
    if (absl::Status status = Next(); !status.ok()) return status;
    return inner_.HasCredential(user_id);
  }
  absl::Status ReplaceSecret(const std::string& user_id, const std::string& stored_secret) override {
    if (absl::Status status = Next(); !status.ok()) return status;
    return inner_.ReplaceSecret(user_id, stored_secret);
  }
  absl::Status Revoke(const std::string& user_id) override {
    if (absl::Status status = Next(); !status.ok()) return status;
    return inner_.Revoke(user_id);
  }
  absl::StatusOr<std::vector<Credential>> ListCredentials(const std::string& after, int limit,
                                                          const IsGone& is_gone) override {
    if (absl::Status status = Next(); !status.ok()) return status;
    return inner_.ListCredentials(after, limit, is_gone);
  }
  absl::StatusOr<std::vector<ListedAuditRow>> ListAudit(const AuditQuery& query, const IsGone& is_gone) override {
    if (absl::Status status = Next(); !status.ok()) return status;
    return inner_.ListAudit(query, is_gone);
  }

 private:
  absl::Status Next() {
    std::lock_guard<std::mutex> lock(mu_);
    ++operations_;
    return operations_ >= fail_from_ && operations_ < fail_to_ ? error_ : absl::OkStatus();
  }

  Store& inner_;
  mutable std::mutex mu_;
  uint64_t operations_ = 0;  // Guarded by mu_, as are the others.
  uint64_t fail_from_ = 0;
  uint64_t fail_to_ = 0;
  absl::Status error_;
};

}  // namespace toolwire

#endif  // TOOLWIRE_TESTS_FAKES_FAILING_STORE_H_
