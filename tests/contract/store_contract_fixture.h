// What all tests of stores begin with: secrets, rows, and the implementation under test.
#ifndef TOOLWIRE_TESTS_CONTRACT_STORE_CONTRACT_FIXTURE_H_
#define TOOLWIRE_TESTS_CONTRACT_STORE_CONTRACT_FIXTURE_H_

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "common/store/secret.h"
#include "common/store/sqlite_store.h"
#include "common/store/store.h"
#include "tests/fakes/temp_dir.h"
#include "tests/support/postgres_server.h"

namespace toolwire {

inline constexpr size_t kCapBytes = 8192;
inline constexpr char kSecretA[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
inline constexpr char kSecretB[] = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

inline std::unique_ptr<Store> OpenSqlite(const std::string& path) {
  auto store = OpenSqliteStore(path, kCapBytes);
  EXPECT_TRUE(store.ok()) << store.status();
  return store.ok() ? std::move(*store) : nullptr;
}

inline Store::NewCredential Hashed(const std::string& user_id, const std::string& secret) {
  return {user_id, "linux", HashSecret(secret), 1000};
}

inline AuditRow Row(const std::string& user_id, const std::string& request_id) {
  AuditRow row;
  row.user_id = user_id;
  row.request_id = request_id;
  row.tool = "read_file";
  row.params_json = R"({"path":"/tmp/x"})";
  row.result_json = R"("content")";
  row.success = true;
  row.execution_time_ms = 12;
  row.created_at_ms = 1'700'000'000'123;
  return row;
}

inline std::vector<std::string> RequestIds(const absl::StatusOr<std::vector<ListedAuditRow>>& rows) {
  std::vector<std::string> ids;
  if (!rows.ok()) return {rows.status().ToString()};
  for (const AuditRow& row : *rows) ids.push_back(row.request_id);
  return ids;
}

inline AuditRow RowOfCall(const std::string& call_id, const std::string& request_id) {
  AuditRow row = Row("a", request_id);
  row.call_id = call_id;
  return row;
}

inline bool IsSameText(const std::string& a, const std::string& b) { return a == b; }

struct StoreImplementation {
  const char* name;
  std::function<std::unique_ptr<Store>(const TempDir&)> make;
  std::function<bool(const std::string&, const std::string&)> is_same_json = IsSameText;
  bool needs_postgres = false;
};

inline void PrintTo(const StoreImplementation& implementation, std::ostream* out) { *out << implementation.name; }

class StoreContract : public ::testing::TestWithParam<StoreImplementation> {
 protected:
  void SetUp() override {
    if (GetParam().needs_postgres && PostgresServer::Shared() == nullptr) {
      GTEST_SKIP() << "PostgreSQL is not installed: scripts/setup test";
    }
    store_ = GetParam().make(dir_);
    ASSERT_NE(store_, nullptr);
  }

  std::vector<bool> Check(const std::vector<CredentialCheck>& checks) {
    auto verdicts = store_->CheckCredentials(checks);
    EXPECT_TRUE(verdicts.ok()) << verdicts.status();
    return verdicts.ok() ? *verdicts : std::vector<bool>();
  }

  // The row as it reads after it was stored.
  AuditRow StoredForm(const AuditRow& row) {
    const absl::Status status = store_->AppendAudit({row});
    EXPECT_TRUE(status.ok()) << status;
    auto rows = store_->ListAudit({"", 1});
    EXPECT_TRUE(rows.ok() && rows->size() == 1);
    return rows.ok() && rows->size() == 1 ? rows->front() : AuditRow();
  }

  TempDir dir_;
  std::unique_ptr<Store> store_;
};

}  // namespace toolwire

#endif  // TOOLWIRE_TESTS_CONTRACT_STORE_CONTRACT_FIXTURE_H_
