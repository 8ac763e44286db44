// The PostgreSQL store by way of a PgBouncer, as packaged and in transaction mode.
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "common/audit/audit_log.h"
#include "common/store/pg_errors.h"
#include "common/store/secret.h"
#include "tests/contract/pg_store_fixture.h"
#include "tests/support/pgbouncer.h"
#include "tests/support/postgres_server.h"

namespace toolwire {
namespace {

class PgBouncerTest : public PgStoreTest, public ::testing::WithParamInterface<const char*> {
 protected:
  void SetUp() override {
    PgStoreTest::SetUp();
    if (server_ == nullptr) return;
    bouncer_ = PgBouncer::Start(url_, GetParam());
    if (bouncer_ == nullptr) GTEST_SKIP() << "PgBouncer is not installed: scripts/setup test";
    direct_ = url_;
    url_ = options_.url = bouncer_->url();
  }
  std::string Directly(const std::string& sql) { return Query(direct_, sql)[0][0]; }

  std::unique_ptr<PgBouncer> bouncer_;
  std::string direct_;
};

INSTANTIATE_TEST_SUITE_P(Modes, PgBouncerTest, ::testing::Values("session", "transaction"),
                         [](const auto& info) { return std::string(info.param); });

TEST_P(PgBouncerTest, TablesAreMadeAndAllWorkIsDone) {
  auto store = OpenNew();
  EXPECT_TRUE(IsRight(*store));
  const auto held = store->UpdateStatus({{"old_user", AgentStatus::kConnected, 1, 2}});
  EXPECT_TRUE(held.ok()) << held.status();
  EXPECT_EQ(store->AppendAudit({Row("1", "c1")}), absl::OkStatus());
  std::vector<AuditRow> rows;
  for (int i = 0; i < 50; ++i) rows.push_back(Row("r", std::to_string(i)));
  for (int i = 0; i < 2; ++i) EXPECT_EQ(store->AppendAudit(rows), absl::OkStatus());
  EXPECT_EQ(store->ListAudit({"", 100})->size(), 51u);
  EXPECT_EQ(store->ListCredentials("", 10)->size(), 1u);
  EXPECT_TRUE(store->ReplaceSecret("old_user", HashSecret("new")).ok());
  EXPECT_TRUE(store->Revoke("old_user").ok());
  EXPECT_FALSE(store->Identity()->empty());
}

TEST_P(PgBouncerTest, NothingStaysInTheServersSessions) {
  auto store = OpenNew();
  for (int i = 0; i < 20; ++i) EXPECT_EQ(store->AppendAudit({Row("1", std::to_string(i))}), absl::OkStatus());
  EXPECT_TRUE(store->UpdateStatus({{"old_user", AgentStatus::kConnected, 1, 2}}).ok());
  EXPECT_EQ(Directly("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"), "0");
  EXPECT_EQ(Directly("SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'"), "0");
  if (std::string(GetParam()) == "session") return;
  // Whoever gets one of these sessions next finds it as it was.
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(One("SHOW statement_timeout"), "0");
    EXPECT_EQ(One("SHOW lock_timeout"), "0");
  }
}

TEST_P(PgBouncerTest, LimitsOfTimeHold) {
  OpenNew();
  options_.status_lock_timeout = options_.change_lock_timeout = std::chrono::milliseconds(50);
  auto store = Open();
  PostgresClient other(direct_);
  other.Query("BEGIN; LOCK TABLE agent_credentials IN EXCLUSIVE MODE");
  EXPECT_TRUE(IsLockTimeout(store->UpdateStatus({{"old_user", AgentStatus::kConnected, 1, 1}}).status()));
  EXPECT_TRUE(absl::IsUnavailable(store->Revoke("old_user")));
  EXPECT_TRUE(IsRight(*store));
  other.Query("ROLLBACK");
  EXPECT_TRUE(store->Revoke("old_user").ok());
}

TEST_P(PgBouncerTest, ListWhoseCallerHasGoneEndsAtTheServer) {
  OpenNew();
  options_.statement_timeout = std::chrono::minutes(10);
  auto store = Open();
  PostgresClient other(direct_);
  other.Query("BEGIN; LOCK TABLE tool_execution_logs");
  const auto waiting = [&] { return Directly("SELECT count(*) FROM pg_locks WHERE NOT granted"); };
  std::atomic<bool> is_gone{false};
  std::thread list([&] {
    EXPECT_TRUE(absl::IsCancelled(store->ListAudit({"", 10}, [&] { return is_gone.load(); }).status()));
  });
  EXPECT_TRUE(Soon([&] { return waiting() == "1"; }));
  is_gone = true;
  list.join();
  EXPECT_TRUE(Soon([&] { return waiting() == "0"; }));
  other.Query("COMMIT");
  EXPECT_TRUE(store->ListAudit({"", 10}).ok());
}

TEST_P(PgBouncerTest, SeveralProcessesWriteEachRowOnceWhileItIsRestarted) {
  constexpr int kStores = 4, kRows = 400;
  OpenNew();
  std::vector<std::unique_ptr<Store>> stores;
  for (int i = 0; i < kStores; ++i) stores.push_back(Open());
  {
    std::vector<std::unique_ptr<AuditLog>> logs;
    for (auto& store : stores) logs.push_back(std::make_unique<AuditLog>(*store, AuditLog::Options()));
    for (int i = 0; i < kRows; ++i) {
      for (int s = 0; s < kStores; ++s) logs[s]->Append(Row("r", std::to_string(s) + "/" + std::to_string(i)));
      if (i == kRows / 2) bouncer_->Restart();
    }
    for (auto& log : logs) {
      EXPECT_TRUE(log->Flush(std::chrono::seconds(60)));
      EXPECT_EQ(log->counters().refused, 0u);
    }
  }
  EXPECT_EQ(Directly("SELECT count(*) FROM tool_execution_logs"), std::to_string(kStores * kRows));
  EXPECT_EQ(Directly("SELECT count(DISTINCT call_id) FROM tool_execution_logs"), std::to_string(kStores * kRows));
}

}  // namespace
}  // namespace toolwire
