// Kinds of work beside each other in the PostgreSQL store: what is slow, or locked by others, holds up only itself.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <future>
#include <string>
#include <thread>
#include <vector>

#include "common/store/pg_errors.h"
#include "common/store/secret.h"
#include "tests/contract/pg_store_fixture.h"
#include "tests/support/postgres_server.h"

namespace toolwire {
namespace {

using std::chrono::milliseconds;

class PgStoreLanesTest : public PgStoreTest {
 protected:
  // How many of our sessions wait for a lock.
  std::string Waiting() { return One("SELECT count(*) FROM pg_locks WHERE NOT granted"); }
};

TEST_F(PgStoreLanesTest, SlowListingsHoldUpNeitherChangesNorLogins) {
  OpenNew();
  options_.connections_max = 5;
  options_.statement_timeout = std::chrono::minutes(10);
  // Whoever reads the log waits at the gate.
  Sql("CREATE TABLE gate (); CREATE FUNCTION gate() RETURNS boolean LANGUAGE plpgsql AS"
      " $$ BEGIN PERFORM 1 FROM gate; RETURN true; END $$;"
      "INSERT INTO tool_execution_logs (user_id, request_id, tool_name, success) VALUES ('u', 'r', 't', true);"
      "ALTER TABLE tool_execution_logs ENABLE ROW LEVEL SECURITY;"
      "CREATE POLICY slow ON tool_execution_logs FOR SELECT USING (gate());"
      "CREATE POLICY quick ON tool_execution_logs FOR INSERT WITH CHECK (true); CREATE ROLE lister LOGIN;"
      "GRANT ALL ON ALL TABLES IN SCHEMA public TO lister; GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO lister");
  options_.url = "postgresql://lister" + url_.substr(url_.find('@'));
  auto store = Open();
  PostgresClient other(url_);
  other.Query("BEGIN; LOCK TABLE gate");
  std::vector<std::future<bool>> listings;
  for (int i = 0; i < 8; ++i) {
    listings.push_back(std::async(std::launch::async, [&] { return store->ListAudit({"", 10}).ok(); }));
  }
  EXPECT_TRUE(Soon([&] { return Waiting() != "0"; }));
  EXPECT_TRUE(IsRight(*store));
  EXPECT_TRUE(store->CreateCredentials({{"new", "linux", HashSecret("new"), 1}}).ok());
  EXPECT_TRUE(store->UpdateStatus({{"old_user", AgentStatus::kConnected, 1, 1}}).ok());
  EXPECT_TRUE(store->Revoke("old_user").ok());
  EXPECT_FALSE(IsRight(*store));
  EXPECT_NE(Waiting(), "0") << "the listings still wait";
  other.Query("COMMIT");
  for (auto& listing : listings) EXPECT_TRUE(listing.get());
  store.reset();
  Sql("DROP OWNED BY lister; DROP ROLE lister");
}

TEST_F(PgStoreLanesTest, ListWhoseCallerHasGoneEndsAtTheServerAndHoldsUpNoOther) {
  OpenNew();
  options_.connections_max = 5;
  options_.statement_timeout = std::chrono::minutes(10);
  auto store = Open();
  PostgresClient other(url_);
  other.Query("BEGIN; LOCK TABLE tool_execution_logs");
  std::atomic<bool> is_gone{false};
  const auto asking = [&] { return is_gone.load(); };
  auto running = std::async(std::launch::async, [&] { return store->ListAudit({"", 10}, asking).status(); });
  EXPECT_TRUE(Soon([&] { return Waiting() == "1"; }));
  // This one waits for the lane's only connection.
  auto waiting = std::async(std::launch::async, [&] { return store->ListCredentials("", 10, asking).status(); });
  is_gone = true;
  EXPECT_TRUE(absl::IsCancelled(running.get()));
  EXPECT_TRUE(absl::IsCancelled(waiting.get()));
  EXPECT_TRUE(Soon([&] { return Waiting() == "0"; })) << "the server has ended it";
  is_gone = false;
  EXPECT_EQ(store->ListCredentials("", 10, asking)->size(), 1u);
  EXPECT_EQ(store->NotReady(), "");
  other.Query("COMMIT");
  EXPECT_TRUE(store->ListAudit({"", 10}, asking).ok());
}

TEST_F(PgStoreLanesTest, RowThatOthersHoldLockedPutsOffItsOwnStatusAlone) {
  auto store = OpenNew();
  ASSERT_TRUE(store->CreateCredentials({{"a", "linux", HashSecret("a"), 1}, {"b", "linux", HashSecret("b"), 1}}).ok());
  PostgresClient other(url_);
  other.Query("BEGIN; UPDATE agent_credentials SET metadata = '{}' WHERE user_id = 'old_user'");
  const auto held = store->UpdateStatus({{"a", AgentStatus::kConnected, 10, 1},
                                         {"old_user", AgentStatus::kConnected, 10, 1},
                                         {"nobody", AgentStatus::kConnected, 10, 1},
                                         {"b", AgentStatus::kConnected, 10, 1}});
  ASSERT_TRUE(held.ok()) << held.status();
  ASSERT_EQ(held->size(), 1u);
  EXPECT_EQ(held->front().user_id, "old_user");
  EXPECT_EQ(One("SELECT string_agg(user_id || ' ' || status, ', ' ORDER BY user_id) FROM agent_credentials"),
            "a connected, b connected, old_user pending");
  EXPECT_TRUE(IsRight(*store));
  other.Query("COMMIT");
  const auto again = store->UpdateStatus(*held);
  EXPECT_TRUE(again.ok() && again->empty());
  EXPECT_EQ(One("SELECT status FROM agent_credentials WHERE user_id = 'old_user'"), "connected");
}

TEST_F(PgStoreLanesTest, LockedTablePutsOffStatusForAMomentOnly) {
  OpenNew();
  options_.status_lock_timeout = milliseconds(50);
  options_.statement_timeout = std::chrono::minutes(10);
  auto store = Open();
  PostgresClient other(url_);
  other.Query("BEGIN; LOCK TABLE agent_credentials IN EXCLUSIVE MODE");
  const absl::Status status = store->UpdateStatus({{"old_user", AgentStatus::kConnected, 1, 1}}).status();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_TRUE(IsLockTimeout(status)) << status;
  EXPECT_TRUE(IsRight(*store));
  other.Query("COMMIT");
  EXPECT_TRUE(store->UpdateStatus({{"old_user", AgentStatus::kConnected, 1, 1}}).ok());
}

TEST_F(PgStoreLanesTest, ChangeOfACredentialThatOthersHoldLockedIsToldSoon) {
  OpenNew();
  options_.change_lock_timeout = milliseconds(50);
  options_.statement_timeout = std::chrono::minutes(10);
  auto store = Open();
  PostgresClient other(url_);
  other.Query("BEGIN; UPDATE agent_credentials SET metadata = '{}' WHERE user_id = 'old_user';"
              "INSERT INTO agent_credentials (user_id, shared_secret, platform) VALUES ('new', 'x', 'linux')");
  for (const absl::Status& status :
       {store->Revoke("old_user"), store->ReplaceSecret("old_user", HashSecret("new")),
        store->CreateCredentials({{"new", "linux", HashSecret("new"), 1}})}) {
    EXPECT_TRUE(absl::IsUnavailable(status)) << status;
    EXPECT_NE(status.message().find("another transaction holds the credential locked"), std::string::npos) << status;
  }
  other.Query("ROLLBACK");
  EXPECT_TRUE(store->CreateCredentials({{"new", "linux", HashSecret("new"), 1}}).ok());
  EXPECT_TRUE(store->Revoke("old_user").ok());
}

TEST_F(PgStoreLanesTest, RowsThatWaitForOthersLockAreNeitherSlowNorRefused) {
  OpenNew();
  options_.statement_timeout = std::chrono::seconds(4);
  auto store = Open();
  PostgresClient other(url_);
  other.Query("BEGIN; LOCK TABLE tool_execution_logs IN SHARE MODE");
  for (const size_t count : {1, 20}) {
    std::vector<AuditRow> rows;
    for (size_t i = 0; i < count; ++i) rows.push_back(Row("r", std::to_string(count) + "/" + std::to_string(i)));
    const absl::Status status = store->AppendAudit(rows);
    EXPECT_TRUE(absl::IsUnavailable(status)) << status;
    EXPECT_TRUE(IsLockTimeout(status)) << status;
    EXPECT_EQ(StoreFaultOf(status), StoreFault::kAway);
  }
  other.Query("COMMIT");
  EXPECT_EQ(RowCount(), "0");
}

TEST_F(PgStoreLanesTest, LockedLogWhoseChecksAreLookedAtHoldsUpNoLogin) {
  OpenNew();
  Sql("ALTER TABLE tool_execution_logs ADD CONSTRAINT good CHECK (success)");
  PostgresClient other(url_);
  other.Query("BEGIN; LOCK TABLE tool_execution_logs");
  ::testing::internal::CaptureStderr();
  auto store = Open();
  EXPECT_TRUE(IsRight(*store));
  EXPECT_TRUE(store->CreateCredentials({{"new", "linux", HashSecret("new"), 1}}).ok());
  EXPECT_TRUE(store->UpdateStatus({{"old_user", AgentStatus::kConnected, 1, 1}}).ok());
  EXPECT_TRUE(store->Identity().ok()) << "the audit log's own lane neither";
  other.Query("COMMIT");
  std::string log;
  const auto is_told = [&] {
    EXPECT_TRUE(store->Probe().ok());
    log += ::testing::internal::GetCapturedStderr();
    ::testing::internal::CaptureStderr();
    return log.find("CHECK good of tool_execution_logs refuses success = false") != std::string::npos;
  };
  EXPECT_TRUE(Soon(is_told)) << log;
  ::testing::internal::GetCapturedStderr();
}

TEST_F(PgStoreLanesTest, ThreeConnectionsKeepApartWhatOneProcessDoes) {
  OpenNew();
  options_.connections_max = 3;
  options_.statement_timeout = std::chrono::minutes(10);
  options_.status_lock_timeout = Duration::zero();
  auto store = Open();
  EXPECT_TRUE(store->AppendAudit({Row("1", "c1")}).ok());
  PostgresClient other(url_);
  other.Query("BEGIN; LOCK TABLE tool_execution_logs");
  auto append = std::async(std::launch::async, [&] { return store->AppendAudit({Row("2", "c2")}); });
  EXPECT_TRUE(Soon([&] { return Waiting() == "1"; }));
  EXPECT_TRUE(IsRight(*store));
  EXPECT_TRUE(store->UpdateStatus({{"old_user", AgentStatus::kConnected, 1, 1}}).ok());
  EXPECT_TRUE(store->Revoke("old_user").ok());
  EXPECT_TRUE(store->ListCredentials("", 1).ok());
  other.Query("COMMIT");
  EXPECT_EQ(append.get(), absl::OkStatus());
}

TEST_F(PgStoreLanesTest, LanesShareAConnectionWhereTheServerHasNoRoomForMore) {
  OpenNew();
  Sql("CREATE ROLE single LOGIN CONNECTION LIMIT 1; GRANT ALL ON ALL TABLES IN SCHEMA public TO single;"
      "GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO single");
  options_.url = "postgresql://single" + url_.substr(url_.find('@'));
  ::testing::internal::CaptureStderr();
  auto store = Open();
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(IsRight(*store));
    EXPECT_EQ(store->AppendAudit({Row("r", std::to_string(i))}), absl::OkStatus());
    EXPECT_TRUE(store->UpdateStatus({{"old_user", AgentStatus::kConnected, 1, 1}}).ok());
    EXPECT_TRUE(store->ListAudit({"", 1}).ok());
  }
  const std::string log = ::testing::internal::GetCapturedStderr();
  EXPECT_NE(log.find("too many connections"), std::string::npos) << "it is told: " << log;
  store.reset();
  Sql("DROP OWNED BY single; DROP ROLE single");
}

TEST_F(PgStoreLanesTest, SessionsThatTheServerEndsForIdlenessFailNoCall) {
  auto store = OpenNew();
  for (const char* setting : {"idle_session_timeout", "idle_in_transaction_session_timeout"}) {
    Sql(std::string("DO $$ BEGIN EXECUTE 'ALTER DATABASE ' || current_database() || ' SET ") + setting +
        " = 2000'; END $$");  // A busy machine stands still for less.
  }
  KillBackends();
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(IsRight(*store));
    EXPECT_EQ(store->AppendAudit({Row("r", std::to_string(i))}), absl::OkStatus());
    EXPECT_TRUE(store->UpdateStatus({{"old_user", AgentStatus::kConnected, 1, 1}}).ok());
    EXPECT_TRUE(Soon([&] {
      return One("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'toolwire'"
                 " AND datname = current_database()") == "0";
    }));
  }
  EXPECT_EQ(RowCount(), "3");
}

TEST_F(PgStoreLanesTest, ListingsReadTheIndexesOfTakenOverTables) {
  for (const char* collation : {"", "COLLATE \"en_US.utf8\"", "COLLATE \"C\""}) {
    if (std::string(collation).find("en_US") != std::string::npos &&
        One("SELECT count(*) FROM pg_collation WHERE collname = 'en_US.utf8'") == "0") {
      continue;  // Of the machine's locales.
    }
    url_ = options_.url = server_->NewDatabase();
    Sql(std::string("CREATE TABLE agent_credentials (user_id text ") + collation +
        " PRIMARY KEY, shared_secret text NOT NULL UNIQUE, platform text NOT NULL, status text DEFAULT 'pending',"
        " created_at timestamp DEFAULT now(), last_seen timestamp)");
    auto store = OpenPrepared();
    Sql("INSERT INTO agent_credentials (user_id, shared_secret, platform) SELECT 'u_' || md5(i::text), i, 'linux'"
        " FROM generate_series(1, 20000) i; ANALYZE agent_credentials");
    const auto scans = [&] {
      return One("SELECT seq_scan FROM pg_stat_user_tables WHERE relname = 'agent_credentials'");
    };
    const auto used = [&] {
      return std::stoi(One("SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = 'agent_credentials_pkey'"));
    };
    // What came before is counted by now.
    Sql("SELECT count(*) FROM agent_credentials WHERE platform = 'none'");
    EXPECT_TRUE(Soon([&] { return scans() != "0"; }));
    const int before = used();
    size_t listed = 0;
    std::string after;
    for (int page = 0; page < 30; ++page) {
      const auto rows = store->ListCredentials(after, 1000);
      ASSERT_TRUE(rows.ok()) << rows.status();
      if (rows->empty()) break;
      listed += rows->size();
      after = rows->back().user_id;
    }
    EXPECT_EQ(listed, 20000u);
    store.reset();
    EXPECT_TRUE(Soon([&] { return used() >= before + 20; })) << collation;
  }
}

}  // namespace
}  // namespace toolwire
