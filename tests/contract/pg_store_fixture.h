// What all tests of the PostgreSQL store begin with: a database of their own on the shared server.
#ifndef TOOLWIRE_TESTS_CONTRACT_PG_STORE_FIXTURE_H_
#define TOOLWIRE_TESTS_CONTRACT_PG_STORE_FIXTURE_H_

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "common/store/migration.h"
#include "common/store/pg_store.h"
#include "tests/support/postgres_server.h"

namespace toolwire {

class PgStoreTest : public ::testing::Test {
 protected:
  static inline const std::string kSecret = std::string(64, 'a');

  static AuditRow Row(const std::string& request_id, const std::string& call_id = "") {
    AuditRow row;
    row.user_id = "old_user";
    row.request_id = request_id;
    row.tool = "read_file";
    row.params_json = R"({"path":"/tmp/x"})";
    row.result_json = R"("content")";
    row.success = true;
    row.created_at_ms = 1'700'000'000'123;
    row.call_id = call_id;
    return row;
  }
  // Tries until it succeeds, which is soon or never.
  static bool Soon(const std::function<bool()>& attempt) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (!attempt()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return true;
  }

  void SetUp() override {
    server_ = PostgresServer::Shared();
    if (server_ == nullptr) GTEST_SKIP() << "PostgreSQL is not installed: scripts/setup test";
    url_ = server_->NewDatabase();
    options_.url = url_;
  }

  // What `toolwire migrate` does, without patience.
  absl::Status Prepare() {
    StoreOptions options;
    options.database.url = url_;
    return Migrate(options, std::chrono::seconds(60), {[](const MigrationStep&) {}, [](const std::string&) {}}).status();
  }
  std::unique_ptr<Store> OpenPrepared() {
    const absl::Status status = Prepare();
    EXPECT_TRUE(status.ok()) << status;
    return Open();
  }
  std::unique_ptr<Store> Open() {
    auto store = OpenPgStore(options_);
    EXPECT_TRUE(store.ok()) << store.status();
    return store.ok() ? std::move(*store) : nullptr;
  }
  // Makes the tables and a user of them, and opens.
  std::unique_ptr<Store> OpenNew() {
    auto store = OpenPrepared();
    const absl::Status status = store->CreateCredentials({{"old_user", "linux", kSecret, 1}});
    EXPECT_TRUE(status.ok()) << status;
    return store;
  }
  PostgresRows Sql(const std::string& sql) { return Query(url_, sql); }
  std::string One(const std::string& sql) {
    const PostgresRows rows = Sql(sql);
    return rows.size() == 1 && rows[0].size() == 1 ? rows[0][0] : "not one value";
  }
  std::string RowCount() { return One("SELECT count(*) FROM tool_execution_logs"); }
  std::string ValidIndexes() {
    return One(
        "SELECT string_agg(indexrelid::regclass::text, ' ' ORDER BY indexrelid::regclass::text) FROM pg_index"
        " WHERE indrelid = 'tool_execution_logs'::regclass AND indisvalid AND NOT indisprimary");
  }
  void KillBackends() {
    Sql("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
        " WHERE application_name = 'toolwire' AND datname = current_database()");
  }
  bool IsRight(Store& store, const std::string& user = "old_user") {
    const auto verdicts = store.CheckCredentials({{user, kSecret}});
    EXPECT_TRUE(verdicts.ok()) << verdicts.status();
    return verdicts.ok() && verdicts->front();
  }

  PostgresServer* server_ = nullptr;
  std::string url_;
  PgOptions options_;
};

}  // namespace toolwire

#endif  // TOOLWIRE_TESTS_CONTRACT_PG_STORE_FIXTURE_H_
