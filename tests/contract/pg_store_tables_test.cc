// What the PostgreSQL store makes of the tables that it finds: none, complete ones, those of the replaced server.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <limits>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "common/audit/audit_log.h"
#include "common/store/pg_store.h"
#include "tests/contract/pg_store_fixture.h"
#include "tests/support/postgres_server.h"

namespace toolwire {
namespace {

using std::chrono::milliseconds;

// The tables as the replaced server made them.
constexpr char kOldTables[] = R"sql(
CREATE TABLE agent_credentials (
  user_id text PRIMARY KEY,
  shared_secret text NOT NULL UNIQUE,
  platform text NOT NULL CHECK (platform IN ('win32', 'linux', 'darwin')),
  status text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'connected', 'disconnected')),
  created_at timestamp NOT NULL DEFAULT now(),
  last_seen timestamp,
  metadata jsonb);
CREATE TABLE tool_execution_logs (
  id bigserial PRIMARY KEY, user_id text NOT NULL, request_id text NOT NULL, tool_name text NOT NULL, params jsonb,
  result jsonb, success boolean NOT NULL, error text, execution_time_ms integer, created_at timestamptz DEFAULT now());
INSERT INTO agent_credentials (user_id, shared_secret, platform, created_at)
  VALUES ('old_user', 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', 'win32', '2024-01-01 00:00');
INSERT INTO tool_execution_logs (user_id, request_id, tool_name, params, success, created_at)
  VALUES ('old_user', 'old_1', 'read_file', '{"a": 1}', true, '2024-01-01 00:00Z'))sql";
constexpr char kOldInsert[] =
    "INSERT INTO tool_execution_logs (user_id, request_id, tool_name, params, result, success, error,"
    " execution_time_ms) VALUES ('old_user', 'old_2', 'read_file', '{}', NULL, false, 'no', 3)";

TEST_F(PgStoreTest, StoresThatOpenAtOnceAllSucceed) {
  for (const char* tables : {"", kOldTables}) {
    url_ = options_.url = server_->NewDatabase();
    if (*tables != 0) Sql(tables);
    // Open until the indexes are there: one that is closed builds no more of them.
    std::vector<decltype(Open())> stores(6);
    std::vector<std::thread> threads;
    for (int t = 0; t < 6; ++t) {
      threads.emplace_back([&, t] {
        stores[t] = Open();
        EXPECT_TRUE(Soon([&] { return stores[t]->AppendAudit({Row(std::to_string(t), "call")}).ok(); }));
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(One("SELECT count(*) FROM tool_execution_logs WHERE call_id = 'call'"), "1");
    AwaitIndexes();
  }
}

TEST_F(PgStoreTest, OldTablesAreTakenOverWithTheirDataAndServeBothServers) {
  Sql(kOldTables);
  const PostgresRows before = Sql("SELECT * FROM agent_credentials");
  auto store = Open();
  EXPECT_TRUE(IsRight(*store));
  EXPECT_EQ(Sql("SELECT * FROM agent_credentials"), before);
  ASSERT_TRUE(store->AppendAudit({Row("new_1", "c1"), Row("new_2", "c2")}).ok());
  Sql(kOldInsert);
  ASSERT_TRUE(store->AppendAudit({Row("new_1", "c1"), Row("new_3", "c3")}).ok());
  Sql(kOldInsert);

  const auto rows = store->ListAudit({"old_user", 10});
  ASSERT_TRUE(rows.ok()) << rows.status();
  std::vector<std::string> ids;
  for (const AuditRow& row : *rows) ids.push_back(row.request_id);
  EXPECT_EQ(ids, (std::vector<std::string>{"old_2", "old_2", "old_1", "new_3", "new_2", "new_1"}));
  EXPECT_EQ((*rows)[2].created_at_ms, 1704067200000);
  EXPECT_EQ((*rows)[2].params_json, R"({"a": 1})");
  EXPECT_EQ(rows->front().execution_time_ms, 3);
  EXPECT_EQ((*rows)[3].created_at_ms, 1'700'000'000'123);
}

TEST_F(PgStoreTest, TimesWithoutZoneAreTheSessionsAsBefore) {
  Sql(kOldTables);
  auto store = Open();
  EXPECT_EQ(store->ListCredentials("", 1)->front().created_at_ms, 1704067200000 + 5 * 3600000) << "New York, winter";
  ASSERT_TRUE(store->UpdateStatus({{"old_user", AgentStatus::kConnected, 1'700'000'000'123}}).ok());
  EXPECT_EQ(store->ListCredentials("", 1)->front().last_seen_ms, 1'700'000'000'123);
  EXPECT_EQ(
      One("SELECT last_seen = (timestamptz 'epoch' + interval '1700000000.123 s')::timestamp FROM agent_credentials"),
      "t");
}

TEST_F(PgStoreTest, TablesOfOtherShapesAreTakenOver) {
  Sql(kOldTables);
  Sql(R"sql(
DROP TABLE tool_execution_logs;
CREATE TABLE tool_execution_logs (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id varchar(255) REFERENCES agent_credentials (user_id),
  request_id varchar(255), tool_name varchar(255), params json NOT NULL, result jsonb NOT NULL, success boolean,
  error text NOT NULL DEFAULT '', execution_time_ms integer NOT NULL, created_at timestamp DEFAULT now(),
  organization text NOT NULL DEFAULT 'ours',
  CONSTRAINT quick CHECK (execution_time_ms >= 0)))sql");
  auto store = Open();
  AuditRow empty = Row("1", "c1");
  empty.params_json = empty.result_json = empty.error = "";
  AuditRow later = Row("2", "c2");
  later.created_at_ms += 1;
  later.execution_time_ms = 7;
  ASSERT_TRUE(store->AppendAudit({later, empty}).ok());
  EXPECT_EQ(Sql("SELECT params, result, error, execution_time_ms, organization FROM tool_execution_logs"
                " WHERE request_id = '1'"),
            (PostgresRows{{"{}", "null", "", "0", "ours"}}));
  const auto rows = store->ListAudit({"old_user", 10});
  ASSERT_TRUE(rows.ok()) << rows.status();
  ASSERT_EQ(rows->size(), 2u);
  EXPECT_EQ(rows->front().request_id, "2") << "by time, as random ids tell no order";
  EXPECT_EQ(rows->front().created_at_ms, later.created_at_ms);
}

TEST_F(PgStoreTest, LargeBatchFillsColumnsThatMustHaveAValue) {
  Sql(R"sql(
CREATE TABLE tool_execution_logs (
  id bigserial PRIMARY KEY, user_id text NOT NULL, request_id text NOT NULL, tool_name text NOT NULL,
  params jsonb NOT NULL, result json NOT NULL, success boolean NOT NULL, error text NOT NULL,
  execution_time_ms integer NOT NULL, created_at timestamptz NOT NULL))sql");
  auto store = Open();
  std::vector<AuditRow> rows;
  for (int i = 0; i < 20; ++i) {
    rows.push_back(Row(std::to_string(i), "c" + std::to_string(i)));
    rows.back().params_json = rows.back().result_json = rows.back().error = "";
    rows.back().execution_time_ms.reset();
  }
  ASSERT_TRUE(store->AppendAudit(rows).ok());
  EXPECT_EQ(Sql("SELECT DISTINCT params::text, result::text, error, execution_time_ms FROM tool_execution_logs"),
            (PostgresRows{{"{}", "null", "", "0"}}));
  EXPECT_EQ(One("SELECT count(*) FROM tool_execution_logs"), "20");
}

TEST_F(PgStoreTest, RowThatAForeignKeyRefusesDoesNotHoldUpTheOthers) {
  Sql(kOldTables);
  Sql("ALTER TABLE tool_execution_logs ADD FOREIGN KEY (user_id) REFERENCES agent_credentials (user_id)");
  auto store = Open();
  AuditRow nobodys = Row("2", "c2");
  nobodys.user_id = "nobody-of-note";
  const absl::Status status = store->AppendAudit({Row("1", "c1"), nobodys, Row("3", "c3")});
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_EQ(status.message().find("of-note"), std::string::npos) << status;
  AuditLog log(*store, {});
  for (const AuditRow& row : {Row("1", "c1"), nobodys, Row("3", "c3")}) log.Append(row);
  ASSERT_TRUE(log.Flush(std::chrono::seconds(60)));
  EXPECT_EQ(log.counters().written, 2u);
  EXPECT_EQ(log.counters().refused, 1u);
  EXPECT_EQ(One("SELECT string_agg(request_id, ' ' ORDER BY id) FROM tool_execution_logs"), "old_1 1 3");
}

TEST_F(PgStoreTest, IndexThatWasLeftUnfinishedIsBuiltAnew) {
  Sql(kOldTables);
  Sql("ALTER TABLE tool_execution_logs ADD COLUMN call_id text, ADD COLUMN caller text");
  Sql("INSERT INTO tool_execution_logs (user_id, request_id, tool_name, success, call_id)"
      " VALUES ('a', 'x', 't', true, 'same'), ('a', 'y', 't', true, 'same')");
  // Fails for the duplicates, and leaves an index that is invalid.
  PostgresClient(url_).Try(
      "CREATE UNIQUE INDEX CONCURRENTLY toolwire_audit_call_id ON tool_execution_logs (call_id)"
      " WHERE call_id IS NOT NULL");
  ASSERT_EQ(One("SELECT indisvalid FROM pg_index WHERE indexrelid = 'toolwire_audit_call_id'::regclass"), "f");
  auto store = Open();
  EXPECT_TRUE(absl::IsUnavailable(store->AppendAudit({Row("1", "c1")}))) << "there are still duplicates";
  Sql("DELETE FROM tool_execution_logs WHERE request_id = 'y'");
  EXPECT_TRUE(Soon([&] { return store->AppendAudit({Row("1", "c1")}).ok(); }));
  EXPECT_EQ(One("SELECT indisvalid FROM pg_index WHERE indexrelid = 'toolwire_audit_call_id'::regclass"), "t");
}

TEST_F(PgStoreTest, IndexThatTakesLongHoldsUpNeitherLoginsNorTheEnd) {
  OpenNew().reset();
  PostgresClient other(url_);
  other.Query(
      "BEGIN; INSERT INTO tool_execution_logs (user_id, request_id, tool_name, success) VALUES ('a', 'x', 't', true)");
  options_.statement_timeout = milliseconds(1000);  // A busy machine stands still for less.
  {
    auto store = Open();
    EXPECT_TRUE(absl::IsUnavailable(store->AppendAudit({Row("1", "c1")})));
    EXPECT_TRUE(IsRight(*store));
  }
  auto store = Open();
  EXPECT_TRUE(absl::IsUnavailable(store->AppendAudit({Row("1", "c1")})));
  other.Query("COMMIT");
  EXPECT_TRUE(Soon([&] { return store->AppendAudit({Row("1", "c1")}).ok(); }));
  EXPECT_EQ(RowCount(), "2");
}

TEST_F(PgStoreTest, ColumnThatIsMissingIsUnavailableAndNamed) {
  Sql("CREATE TABLE agent_credentials (user_id text PRIMARY KEY)");
  auto store = Open();
  const absl::Status status = store->UpdateStatus({{"a", AgentStatus::kConnected, 1}});
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_NE(status.message().find("agent_credentials has no column"), std::string::npos) << status;
}

TEST_F(PgStoreTest, RoleThatMayNotChangeTablesIsEnoughOnceTheyAreThere) {
  auto owner = OpenNew();
  ASSERT_TRUE(owner->AppendAudit({Row("1", "c1")}).ok());
  AwaitIndexes();
  Sql("DROP INDEX toolwire_audit_time");  // One can do without.
  Sql("CREATE ROLE clerk LOGIN;"
      "GRANT SELECT, UPDATE ON agent_credentials TO clerk; GRANT SELECT, INSERT ON tool_execution_logs TO clerk;"
      "GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO clerk");
  options_.url = "postgresql://clerk" + url_.substr(url_.find('@'));
  auto store = Open();
  EXPECT_TRUE(IsRight(*store));
  ::testing::internal::CaptureStderr();
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(store->AppendAudit({Row("2", "c2")}).ok());
  store.reset();
  const std::string log = ::testing::internal::GetCapturedStderr();
  EXPECT_EQ(log.find("index not built"), log.rfind("index not built")) << "said once: " << log;
  store = Open();
  // What an operator mends is no fault of the rows: they wait.
  Sql("REVOKE INSERT ON tool_execution_logs FROM clerk");
  const absl::Status status = store->AppendAudit({Row("3", "c3")});
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_NE(status.message().find("permission denied"), std::string::npos) << status;
  Sql("GRANT INSERT ON tool_execution_logs TO clerk");
  EXPECT_TRUE(store->AppendAudit({Row("3", "c3")}).ok());
  Sql("DROP OWNED BY clerk; DROP ROLE clerk");
}

TEST_F(PgStoreTest, PagesOfTakenOverTablesHaveEveryRowOnceInTheOrderOfTime) {
  for (const char* id : {"id bigserial PRIMARY KEY", "id uuid PRIMARY KEY DEFAULT gen_random_uuid()"}) {
    for (const char* time : {"created_at timestamp DEFAULT now()", "created_at timestamptz DEFAULT now()"}) {
      url_ = options_.url = server_->NewDatabase();
      Sql(kOldTables);
      Sql(std::string("DROP TABLE tool_execution_logs; CREATE TABLE tool_execution_logs (") + id +
          ", user_id text NOT NULL, request_id text NOT NULL, tool_name text NOT NULL, params jsonb, result jsonb,"
          " success boolean NOT NULL, error text, execution_time_ms integer, " +
          time + ")");
      // Two of each microsecond, some in the hour that summer time's end repeats, and some without a time.
      Sql("INSERT INTO tool_execution_logs (user_id, request_id, tool_name, success, created_at) SELECT 'old_user',"
          " 'r' || i, 't', true, CASE WHEN i < 5 THEN NULL ELSE timestamptz '2023-11-05 05:59:59.999995Z'"
          " + (i / 2) * interval '1 microsecond' END FROM generate_series(1, 30) i");
      auto store = Open();
      std::set<std::string> seen;
      AuditQuery query{"", 7};
      int64_t newest_ms = std::numeric_limits<int64_t>::max();
      int rows = 0;
      while (true) {
        const auto page = store->ListAudit(query);
        ASSERT_TRUE(page.ok()) << page.status();
        if (page->empty()) break;
        for (const ListedAuditRow& row : *page) {
          seen.insert(row.request_id);
          ++rows;
          EXPECT_LE(row.created_at_ms, newest_ms);
          newest_ms = row.created_at_ms;
        }
        query.after = page->back().cursor;
      }
      EXPECT_EQ(rows, 30) << id << ", " << time;
      EXPECT_EQ(seen.size(), 30u) << id << ", " << time;
      query = {"old_user", 100, 1'000'000'000'000};
      EXPECT_EQ(store->ListAudit(query)->size(), 26u) << "rows without a time count as of 1970";
    }
  }
}

TEST_F(PgStoreTest, ListsOfALargeTableReadTheirIndexes) {
  auto store = OpenNew();
  ASSERT_TRUE(store->AppendAudit({Row("1", "c1")}).ok());
  AwaitIndexes();
  Sql("INSERT INTO tool_execution_logs (user_id, request_id, tool_name, success, created_at) SELECT 'u' || i % 100,"
      " 'r', 't', true, now() - i * interval '1 s' FROM generate_series(1, 20000) i; ANALYZE tool_execution_logs");
  const auto used = [&](const std::string& index) {
    return std::stoi(One("SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = '" + index + "'"));
  };
  const int of_all = used("toolwire_audit_time"), of_user = used("toolwire_audit_user_time");
  AuditQuery query{"", 10, 1'600'000'000'000};
  query.after = store->ListAudit(query)->back().cursor;
  EXPECT_EQ(store->ListAudit(query)->size(), 10u);
  query.user_id = "u7";
  EXPECT_EQ(store->ListAudit(query)->size(), 10u);
  EXPECT_TRUE(Soon([&] { return used("toolwire_audit_time") > of_all && used("toolwire_audit_user_time") > of_user; }));
}

}  // namespace
}  // namespace toolwire
