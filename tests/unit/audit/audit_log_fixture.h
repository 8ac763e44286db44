// What all tests of AuditLog begin with: rows, quick options, and a store that a test holds and judges for.
#ifndef TOOLWIRE_TESTS_UNIT_AUDIT_AUDIT_LOG_FIXTURE_H_
#define TOOLWIRE_TESTS_UNIT_AUDIT_AUDIT_LOG_FIXTURE_H_

#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "common/audit/audit_log.h"
#include "tests/fakes/memory_store.h"

namespace toolwire {

// A hang is a failure after this long; nothing is measured by it.
inline constexpr Duration kForever = std::chrono::seconds(60);

inline AuditRow Row(int number) {
  AuditRow row;
  row.user_id = "user";
  row.request_id = std::to_string(number);
  row.tool = "read_file";
  row.params_json = R"({"path":"/tmp/x"})";
  row.result_json = "1";
  row.success = true;
  return row;
}

inline AuditLog::Options Quick() {
  AuditLog::Options options;
  options.gather_time = Duration::zero();
  options.retry_min = Duration::zero();
  options.retry_max = Duration::zero();
  options.close_time = kForever;
  return options;
}

// Request ids in the order of writing.
inline std::vector<std::string> Written(Store& store) {
  std::vector<std::string> ids;
  auto rows = store.ListAudit({"", 1'000'000});
  EXPECT_TRUE(rows.ok());
  for (auto row = rows->rbegin(); row != rows->rend(); ++row) ids.push_back(row->request_id);
  return ids;
}

inline std::vector<std::string> Numbers(int from, int to) {
  std::vector<std::string> numbers;
  for (int i = from; i < to; ++i) numbers.push_back(std::to_string(i));
  return numbers;
}

// A store whose AppendAudit does what the test chose, and can be held: then attempts wait at the gate. Once a test has
// seen an attempt begin, the queue behind it is all its own.
class GatedStore final : public Store {
 public:
  using Judge = std::function<absl::Status(const std::vector<AuditRow>&)>;

  // Attempts are judged by `judge`; those that it lets pass are kept.
  explicit GatedStore(Judge judge = [](const std::vector<AuditRow>&) { return absl::OkStatus(); })
      : judge_(std::move(judge)) {}

  void Hold() { SetHeld(true); }
  void LetGo() { SetHeld(false); }
  void WaitForAttempts(int attempts) {
    std::unique_lock<std::mutex> lock(mu_);
    ASSERT_TRUE(changed_.wait_for(lock, kForever, [&] { return attempts_ >= attempts; }));
  }
  std::vector<size_t> batch_sizes() {
    std::lock_guard<std::mutex> lock(mu_);
    return batch_sizes_;
  }
  MemoryStore& kept() { return kept_; }

  absl::Status AppendAudit(const std::vector<AuditRow>& rows) override {
    {
      std::unique_lock<std::mutex> lock(mu_);
      ++attempts_;
      batch_sizes_.push_back(rows.size());
      changed_.notify_all();
      changed_.wait(lock, [&] { return !held_; });
    }
    absl::Status status = judge_(rows);
    return status.ok() ? kept_.AppendAudit(rows) : status;
  }

  absl::StatusOr<std::vector<bool>> CheckCredentials(const std::vector<CredentialCheck>&) override { return Unused(); }
  absl::StatusOr<std::vector<bool>> CheckDigests(const std::vector<SecretCheck>&) override { return Unused(); }
  absl::StatusOr<std::vector<StatusUpdate>> UpdateStatus(const std::vector<StatusUpdate>&) override { return Unused(); }
  absl::Status CreateCredentials(const std::vector<NewCredential>&) override { return Unused(); }
  absl::StatusOr<std::vector<Credential>> ListCredentials(const std::string&, int, const IsGone&) override { return Unused(); }
  absl::Status ReplaceSecret(const std::string&, const std::string&) override { return Unused(); }
  absl::Status Revoke(const std::string&) override { return Unused(); }
  absl::StatusOr<std::vector<ListedAuditRow>> ListAudit(const AuditQuery&, const IsGone&) override { return Unused(); }

 private:
  static absl::Status Unused() { return absl::UnimplementedError("only AppendAudit is"); }
  void SetHeld(bool held) {
    std::lock_guard<std::mutex> lock(mu_);
    held_ = held;
    changed_.notify_all();
  }

  const Judge judge_;
  MemoryStore kept_;
  std::mutex mu_;
  std::condition_variable changed_;
  bool held_ = false;  // Guarded by mu_, as are the others.
  int attempts_ = 0;
  std::vector<size_t> batch_sizes_;
};

}  // namespace toolwire

#endif  // TOOLWIRE_TESTS_UNIT_AUDIT_AUDIT_LOG_FIXTURE_H_
