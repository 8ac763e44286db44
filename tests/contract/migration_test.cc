// Preparing stores before servers use them: real PostgreSQL databases in all states, and SQLite files.
#include "common/store/migration.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "common/base/mutex.h"
#include "common/store/open_store.h"
#include "tests/contract/pg_store_fixture.h"
#include "tests/fakes/temp_dir.h"
#include "tests/support/postgres_server.h"

namespace toolwire {
namespace {

constexpr std::chrono::seconds kPatience(60);

// The audit table of the replaced server, and its credentials.
constexpr char kOldTables[] = R"sql(
CREATE TABLE agent_credentials (user_id text PRIMARY KEY, shared_secret text NOT NULL UNIQUE, platform text NOT NULL,
  status text DEFAULT 'pending', created_at timestamp DEFAULT now(), last_seen timestamp);
CREATE TABLE tool_execution_logs (id bigserial PRIMARY KEY, user_id text, request_id text, tool_name text,
  params jsonb, result jsonb, success boolean NOT NULL, error text, execution_time_ms integer,
  created_at timestamp DEFAULT now());
INSERT INTO tool_execution_logs (user_id, request_id, tool_name, success)
  SELECT 'u' || i % 10, 'r' || i, 't', true FROM generate_series(1, 1000) i)sql";
constexpr char kOldInsert[] =
    "INSERT INTO tool_execution_logs (user_id, request_id, tool_name, success) VALUES ('old_user', 'x', 't', true)";

std::vector<std::string> NamesOf(const std::vector<MigrationStep>& steps) {
  std::vector<std::string> names;
  for (const MigrationStep& step : steps) names.push_back(step.what);
  return names;
}

const std::vector<std::string> kIndexes = {"index toolwire_audit_call_id", "index toolwire_audit_user_time",
                                           "index toolwire_audit_time"};
std::vector<std::string> AndIndexes(std::vector<std::string> names) {
  names.insert(names.end(), kIndexes.begin(), kIndexes.end());
  return names;
}

class MigrationTest : public PgStoreTest {
 protected:
  void SetUp() override {
    PgStoreTest::SetUp();
    store_options_.database = options_;
  }
  std::vector<std::string> Planned() {
    const auto plan = PlanMigration(store_options_);
    EXPECT_TRUE(plan.ok()) << plan.status();
    return plan.ok() ? NamesOf(plan->steps) : std::vector<std::string>();
  }
  absl::Status Run(Duration patience = kPatience) {
    MigrationEvents events;
    events.on_done = [this](const MigrationStep& step) {
      MutexLock lock(mu_);
      done_.push_back(step.what);
    };
    events.on_waiting = [this](const std::string& what) {
      MutexLock lock(mu_);
      waited_ += what + "\n";
    };
    return Migrate(store_options_, patience, events).status();
  }
  std::vector<std::string> Done() {
    MutexLock lock(mu_);
    return done_;
  }
  bool HasWaitedFor(const std::string& what) {
    MutexLock lock(mu_);
    return waited_.find(what) != std::string::npos;
  }

  StoreOptions store_options_;
  Mutex mu_;
  std::vector<std::string> done_ ABSL_GUARDED_BY(mu_);
  std::string waited_ ABSL_GUARDED_BY(mu_);
};

TEST_F(MigrationTest, PlanOfAnEmptyDatabaseIsEverythingAndChangesNothing) {
  const std::vector<std::string> all =
      AndIndexes({"table agent_credentials", "table tool_execution_logs", "table toolwire_audit_calls",
                  "column status_epoch of agent_credentials", "column call_id of tool_execution_logs",
                  "column caller of tool_execution_logs"});
  EXPECT_EQ(Planned(), all);
  EXPECT_EQ(Planned(), all);
  EXPECT_EQ(One("SELECT to_regclass('tool_execution_logs')"), "NULL");
}

TEST_F(MigrationTest, StatementsOfThePlanAreThoseThatMakeTheStore) {
  const auto plan = PlanMigration(store_options_);
  ASSERT_TRUE(plan.ok()) << plan.status();
  for (const MigrationStep& step : plan->steps) Sql(step.statement);
  EXPECT_EQ(Planned(), std::vector<std::string>());
  auto store = OpenNew();
  EXPECT_TRUE(store->AppendAudit({Row("1", "c1")}).ok());
}

TEST_F(MigrationTest, MigratedTablesAreCompleteForServersThatMayNotChangeThem) {
  for (const char* tables : {"", kOldTables}) {
    url_ = options_.url = store_options_.database.url = server_->NewDatabase();
    if (*tables != 0) Sql(tables);
    const std::vector<std::string> planned = Planned();
    done_.clear();
    ASSERT_TRUE(Run().ok());
    EXPECT_EQ(Done(), planned);
    EXPECT_EQ(Planned(), std::vector<std::string>());
    ASSERT_TRUE(Run().ok());
    EXPECT_EQ(Done(), planned) << "nothing is left";
    Sql("CREATE ROLE reader LOGIN; GRANT SELECT, UPDATE ON agent_credentials TO reader;"
        "GRANT SELECT, INSERT ON tool_execution_logs TO reader;"
        "GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO reader");
    options_.url = "postgresql://reader" + url_.substr(url_.find('@'));
    EXPECT_TRUE(Open()->AppendAudit({Row("1", "c1")}).ok());
    Sql("DROP OWNED BY reader; DROP ROLE reader");
  }
}

TEST_F(MigrationTest, WhoMayWriteTheLogMayUseTheTableThatStandsInForItsIndex) {
  Sql(std::string(kOldTables) +
      "; CREATE ROLE \"a server\" LOGIN; GRANT SELECT, INSERT, UPDATE ON agent_credentials TO \"a server\";"
      "GRANT SELECT, INSERT ON tool_execution_logs TO \"a server\";"
      "GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO \"a server\";"
      "CREATE ROLE onlooker LOGIN; GRANT SELECT ON tool_execution_logs TO onlooker");
  const std::vector<std::string> planned = Planned();
  EXPECT_EQ(planned[1], "rights of \"a server\" on toolwire_audit_calls");
  ASSERT_TRUE(Run().ok());
  EXPECT_EQ(Done(), planned);
  EXPECT_EQ(Planned(), std::vector<std::string>());
  EXPECT_EQ(One("SELECT has_table_privilege('onlooker', 'toolwire_audit_calls', 'SELECT')"), "f");
  Sql("DROP INDEX toolwire_audit_call_id");
  options_.url = "postgresql://a%20server" + url_.substr(url_.find('@'));
  auto store = Open();
  for (int i = 0; i < 2; ++i) EXPECT_EQ(store->AppendAudit({Row("1", "c1")}), absl::OkStatus());
  EXPECT_EQ(RowCount(), "1001") << "once, beside those that were there";
  // A database that was migrated before this was done.
  Sql("REVOKE ALL ON toolwire_audit_calls FROM \"a server\"");
  store = Open();
  EXPECT_TRUE(absl::IsUnavailable(store->AppendAudit({Row("2", "c2")})));
  EXPECT_NE(store->NotReady().find("GRANT SELECT, INSERT, DELETE ON toolwire_audit_calls TO a server"),
            std::string::npos)
      << store->NotReady();
  ASSERT_TRUE(Run().ok());
  EXPECT_TRUE(Soon([&] { return store->AppendAudit({Row("2", "c2")}).ok(); }));
  store.reset();
  Sql("DROP OWNED BY \"a server\", onlooker; DROP ROLE \"a server\", onlooker");
}

TEST_F(MigrationTest, PlanOfOldTablesNamesTheirSizeAndTheLocks) {
  Sql(std::string(kOldTables) + "; ANALYZE tool_execution_logs");
  const auto plan = PlanMigration(store_options_);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(NamesOf(plan->steps),
            AndIndexes({"table toolwire_audit_calls", "column status_epoch of agent_credentials",
                        "column call_id of tool_execution_logs", "column caller of tool_execution_logs"}));
  EXPECT_NE(plan->size.find("about 1000 rows"), std::string::npos) << plan->size;
  EXPECT_EQ(plan->store.find("hunter2"), std::string::npos) << plan->store;
  EXPECT_NE(plan->steps[2].locks.find("(ACCESS EXCLUSIVE) for an instant"), std::string::npos);
  EXPECT_NE(plan->steps[4].locks.find("reads and writes go on"), std::string::npos);
  EXPECT_NE(plan->steps[5].statement.find("coalesce(created_at"), std::string::npos) << "of this table's shape";
}

TEST_F(MigrationTest, ColumnIsTriedAgainUntilATransactionThatUsesTheTableEnds) {
  Sql(kOldTables);
  PostgresClient other(url_);
  other.Query(std::string("BEGIN; ") + kOldInsert);
  const absl::Status early = Run(Duration::zero());
  EXPECT_TRUE(absl::IsUnavailable(early)) << early;
  EXPECT_NE(early.message().find("55P03"), std::string::npos) << early;
  EXPECT_NE(early.message().find("idle in transaction"), std::string::npos) << "who holds it: " << early;
  EXPECT_NE(early.message().find(other.Query("SELECT pg_backend_pid()")[0][0]), std::string::npos) << early;
  Sql(kOldInsert);
  std::thread migration([&] { EXPECT_TRUE(Run().ok()); });
  EXPECT_TRUE(Soon([&] { return HasWaitedFor("55P03"); }));
  other.Query("COMMIT");
  migration.join();
  EXPECT_EQ(Planned(), std::vector<std::string>());
}

TEST_F(MigrationTest, OldServerWritesOnWhileAnIndexIsBuiltAndProgressIsReported) {
  Sql(std::string(kOldTables) + "; ALTER TABLE tool_execution_logs ADD COLUMN call_id text, ADD COLUMN caller text");
  PostgresClient other(url_);
  other.Query(std::string("BEGIN; ") + kOldInsert);
  std::thread migration([&] { EXPECT_TRUE(Run().ok()); });
  EXPECT_TRUE(Soon([&] { return HasWaitedFor("toolwire_audit_call_id: waiting for writers"); }));
  Sql(kOldInsert);
  other.Query("COMMIT");
  migration.join();
  EXPECT_EQ(Done(), AndIndexes({"table toolwire_audit_calls", "column status_epoch of agent_credentials"}));
  EXPECT_EQ(RowCount(), "1002");
}

TEST_F(MigrationTest, MigrationsAtOnceBesideServersThatStartAllSucceed) {
  for (const char* tables : {"", kOldTables}) {
    url_ = options_.url = store_options_.database.url = server_->NewDatabase();
    if (*tables != 0) Sql(tables);
    std::vector<std::thread> threads;
    for (int t = 0; t < 3; ++t) {
      threads.emplace_back([&] { EXPECT_TRUE(Run().ok()); });
      threads.emplace_back([&] {
        auto store = Open();
        EXPECT_TRUE(Soon([&] { return store->AppendAudit({Row("1", "call")}).ok(); }));
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(Planned(), std::vector<std::string>());
  }
}

TEST_F(MigrationTest, IndexThatWasLeftUnfinishedIsDroppedAndBuilt) {
  Sql(kOldTables);
  Sql("ALTER TABLE tool_execution_logs ADD COLUMN call_id text, ADD COLUMN caller text;"
      "UPDATE tool_execution_logs SET call_id = 'same'");
  PostgresClient(url_).Try(
      "CREATE UNIQUE INDEX CONCURRENTLY toolwire_audit_call_id ON tool_execution_logs (call_id)"
      " WHERE call_id IS NOT NULL");
  EXPECT_EQ(PlanMigration(store_options_)->steps[2].statement.find("DROP INDEX CONCURRENTLY"), 0u);
  const absl::Status status = Run();
  EXPECT_FALSE(status.ok() || absl::IsUnavailable(status)) << "waiting would not help: " << status;
  Sql("UPDATE tool_execution_logs SET call_id = NULL");
  EXPECT_TRUE(Run().ok());
  EXPECT_EQ(Planned(), std::vector<std::string>());
}

TEST_F(MigrationTest, PartitionedLogGetsTheIndexesOfListsOnEachPartitionWhileTheOldServerWrites) {
  Sql(kOldTables);
  Sql(R"sql(
DROP TABLE tool_execution_logs;
CREATE TABLE tool_execution_logs (
  id bigserial, user_id text, request_id text, tool_name text, params jsonb, result jsonb, success boolean NOT NULL,
  error text, execution_time_ms integer, created_at timestamptz NOT NULL DEFAULT now()) PARTITION BY RANGE (created_at);
CREATE TABLE logs_1 PARTITION OF tool_execution_logs FOR VALUES FROM (MINVALUE) TO ('2024-01-01');
CREATE SCHEMA archive;
CREATE TABLE archive."logs 2" PARTITION OF tool_execution_logs FOR VALUES FROM ('2024-01-01') TO ('2025-01-01')
  PARTITION BY HASH (user_id);
CREATE TABLE archive.logs_2a PARTITION OF archive."logs 2" FOR VALUES WITH (MODULUS 1, REMAINDER 0);
CREATE TABLE logs_3 PARTITION OF tool_execution_logs FOR VALUES FROM ('2025-01-01') TO ('2099-01-01');
INSERT INTO tool_execution_logs (user_id, request_id, tool_name, success, created_at)
  SELECT 'u' || i % 100, 'r', 't', true, timestamptz '2023-01-01Z' + i * interval '1 hour'
  FROM generate_series(1, 30000) i)sql");
  // A step of the whole waits for this writer for a moment only, and is tried again.
  PostgresClient writer(url_);
  writer.Query(std::string("BEGIN; ") + kOldInsert);
  std::thread migration([&] { EXPECT_EQ(Run(), absl::OkStatus()); });
  EXPECT_TRUE(Soon([&] { return HasWaitedFor("held by"); }));
  Sql(kOldInsert);
  writer.Query("COMMIT");
  migration.join();
  EXPECT_EQ(ValidIndexes(), "toolwire_audit_time toolwire_audit_user_time");
  EXPECT_EQ(One("SELECT count(*) FROM pg_index WHERE NOT indisvalid"), "0");
  EXPECT_TRUE(Planned().empty());
  Sql("CREATE TABLE logs_4 PARTITION OF tool_execution_logs FOR VALUES FROM ('2099-01-01') TO (MAXVALUE);"
      "ANALYZE tool_execution_logs");
  EXPECT_EQ(One("SELECT count(*) FROM pg_index WHERE indrelid = 'logs_4'::regclass AND indisvalid"), "2");
  // None of the large tables is read whole for a page.
  const auto scans = [&] {
    return One("SELECT sum(seq_tup_read) FROM pg_stat_user_tables WHERE relname IN ('logs_1', 'logs_2a', 'logs_3')");
  };
  Sql("SELECT count(*) FROM logs_1");
  EXPECT_TRUE(Soon([&] { return std::stoi(scans()) > 0; })) << "what came before is counted";
  const std::string before = scans();
  auto store = Open();
  for (const char* user : {"", "u7"}) {
    AuditQuery query{user, 10};
    const auto page = store->ListAudit(query);
    ASSERT_TRUE(page.ok() && page->size() == 10u) << page.status();
    query.after = page->back().cursor;
    EXPECT_EQ(store->ListAudit(query)->size(), 10u);
  }
  store.reset();
  EXPECT_EQ(scans(), before);
}

TEST_F(MigrationTest, WhatAnOperatorMustMendIsRefusedAtOnce) {
  Sql("CREATE TABLE tool_execution_logs (id bigserial PRIMARY KEY, user_id text)");
  absl::Status status = Run();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_NE(status.message().find("tool_execution_logs.created_at is missing"), std::string::npos) << status;
  Sql("DROP TABLE tool_execution_logs; CREATE ROLE guest LOGIN; REVOKE CREATE ON SCHEMA public FROM PUBLIC");
  store_options_.database.url = "postgresql://guest" + url_.substr(url_.find('@'));
  status = Run();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_NE(status.message().find("permission denied"), std::string::npos) << status;
  EXPECT_FALSE(HasWaitedFor("denied"));
  Sql("DROP ROLE guest");
}

TEST(SqliteMigrationTest, FileIsPlannedWithoutBeingMadeThenMadeThenComplete) {
  const TempDir directory;
  StoreOptions options;
  options.data_dir = directory.File("data");
  auto plan = PlanMigration(options);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->steps.size(), 5u);
  EXPECT_NE(access(options.data_dir.c_str(), F_OK), 0);

  std::vector<std::string> done;
  MigrationEvents events;
  events.on_done = [&](const MigrationStep& step) { done.push_back(step.what); };
  const auto migrated = Migrate(options, kPatience, events);
  ASSERT_TRUE(migrated.ok()) << migrated.status();
  EXPECT_EQ(done, NamesOf(plan->steps));
  plan = PlanMigration(options);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->steps.size(), 0u);
}

}  // namespace
}  // namespace toolwire
