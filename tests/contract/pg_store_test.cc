// What only the PostgreSQL store promises: taking over tables, and living with a server that comes and goes.
#include "common/store/pg_store.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <limits>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "common/audit/audit_log.h"
#include "common/store/secret.h"
#include "tests/support/postgres_server.h"

namespace toolwire {
namespace {

using std::chrono::milliseconds;

const std::string kSecret(64, 'a');

// The tables as the server before made them.
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

AuditRow Row(const std::string& request_id, const std::string& call_id = "") {
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
bool Soon(const std::function<bool()>& attempt) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (!attempt()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(milliseconds(10));
  }
  return true;
}

class PgStoreTest : public ::testing::Test {
 protected:
  void SetUp() override {
    server_ = PostgresServer::Shared();
    if (server_ == nullptr) GTEST_SKIP() << "PostgreSQL is not installed: scripts/setup test";
    url_ = server_->NewDatabase();
    options_.database_url = url_;
  }

  std::unique_ptr<PgStore> Open() {
    auto store = PgStore::Open(options_);
    EXPECT_TRUE(store.ok()) << store.status();
    return store.ok() ? std::move(*store) : nullptr;
  }
  // Opens, makes the tables, and a user of them.
  std::unique_ptr<PgStore> OpenNew() {
    auto store = Open();
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
  // For tests that change the table, which would meet those who build its indexes.
  void AwaitIndexes() {
    EXPECT_TRUE(
        Soon([&] { return ValidIndexes() == "toolwire_audit_call_id toolwire_audit_time toolwire_audit_user_time"; }));
  }
  void KillBackends() {
    Sql("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
        " WHERE application_name = 'toolwire' AND datname = current_database()");
  }
  bool IsRight(PgStore& store, const std::string& user = "old_user") {
    const auto verdicts = store.CheckCredentials({{user, kSecret}});
    EXPECT_TRUE(verdicts.ok()) << verdicts.status();
    return verdicts.ok() && verdicts->front();
  }

  PostgresServer* server_ = nullptr;
  std::string url_;
  PgStore::Options options_;
};

// --- opening ---------------------------------------------------------------------------------------------------------

TEST_F(PgStoreTest, UrlThatIsNoneIsInvalidAndNotRepeated) {
  for (const char* url :
       {"", "hunter2", "mysql://user:hunter2@localhost/db", "postgresql://user:hunter2@localhost:port/db",
        "postgresql://user:hunter2@localhost:70000/db", "postgresql://user:hun@ter2@localhost/db",
        "postgresql://user:12/hunter2@localhost/db", "postgresql://user:hunter2@localhost/db?no_such=1",
        "postgresql://user:%zzhunter2@localhost/db", "host=localhost password='hunter2"}) {
    options_.database_url = url;
    const absl::Status status = PgStore::Open(options_).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << url;
    EXPECT_NE(status.message().find("DATABASE_URL"), std::string::npos) << status;
    EXPECT_EQ(status.message().find("ter2"), std::string::npos) << status;
  }
}

TEST_F(PgStoreTest, ConnectionsAreOneToTwenty) {
  for (const auto& [count, valid] : {std::pair(0, false), {1, true}, {20, true}, {21, false}}) {
    options_.connections_max = count;
    EXPECT_EQ(PgStore::Open(options_).ok(), valid) << count;
  }
}

TEST_F(PgStoreTest, KeyValueListIsTakenAndOneConnectionIsEnough) {
  const std::string port = url_.substr(url_.rfind(':') + 1, url_.rfind('/') - url_.rfind(':') - 1);
  options_.database_url =
      "host=127.0.0.1 user=postgres password='it''s' port=" + port + " dbname=" + url_.substr(url_.rfind('/') + 1);
  EXPECT_FALSE(PgStore::Open(options_).ok()) << "libpq escapes quotes by a backslash";
  options_.database_url.replace(options_.database_url.find("''"), 1, "\\");
  options_.connections_max = 1;
  auto store = OpenNew();
  EXPECT_TRUE(IsRight(*store));
  EXPECT_TRUE(store->AppendAudit({Row("1", "c1")}).ok());
  EXPECT_EQ(RowCount(), "1");
}

TEST_F(PgStoreTest, StoresThatOpenAtOnceAllSucceed) {
  for (const char* tables : {"", kOldTables}) {
    url_ = options_.database_url = server_->NewDatabase();
    if (*tables != 0) Sql(tables);
    std::vector<std::thread> threads;
    for (int t = 0; t < 6; ++t) {
      threads.emplace_back([&, t] {
        auto store = Open();
        EXPECT_TRUE(Soon([&] { return store->AppendAudit({Row(std::to_string(t), "call")}).ok(); }));
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(One("SELECT count(*) FROM tool_execution_logs WHERE call_id = 'call'"), "1");
    AwaitIndexes();
  }
}

// --- taking over -----------------------------------------------------------------------------------------------------

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
  Sql("ALTER TABLE tool_execution_logs ADD COLUMN call_id text");
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
  options_.statement_timeout = milliseconds(300);
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
  options_.database_url = "postgresql://clerk" + url_.substr(url_.find('@'));
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
      url_ = options_.database_url = server_->NewDatabase();
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

// --- rows ------------------------------------------------------------------------------------------------------------

TEST_F(PgStoreTest, CallIdsMakeRepetitionHarmless) {
  auto store = OpenNew();
  const std::vector<AuditRow> batch = {Row("1", "c1"), Row("2", "c2"), Row("2 again", "c2"), Row("3")};
  ASSERT_TRUE(store->AppendAudit(batch).ok());
  ASSERT_TRUE(store->AppendAudit(batch).ok());
  ASSERT_TRUE(store->AppendAudit({Row("1 again", "c1"), Row("4", "c4")}).ok());
  EXPECT_EQ(One("SELECT string_agg(request_id, ' ' ORDER BY id) FROM tool_execution_logs"), "1 2 3 3 4");
}

TEST_F(PgStoreTest, NumbersAndTimesOutsideTheColumnsAreClamped) {
  auto store = OpenNew();
  AuditRow row = Row("1", "c1");
  row.execution_time_ms = row.created_at_ms = std::numeric_limits<int64_t>::max();
  ASSERT_TRUE(store->AppendAudit({row}).ok());
  AuditRow other = Row("2", "c2");
  other.execution_time_ms = other.created_at_ms = std::numeric_limits<int64_t>::min();
  ASSERT_TRUE(store->AppendAudit({other}).ok());
  EXPECT_EQ(
      Sql("SELECT execution_time_ms, extract(epoch FROM created_at)::bigint FROM tool_execution_logs ORDER BY id"),
      (PostgresRows{{"2147483647", "253402300800"}, {"-2147483648", "0"}}));
}

TEST_F(PgStoreTest, UsersWhoAreNoTextAreWrongAndTheOthersAreNot) {
  auto store = OpenNew();
  const std::string nul("old_user\0", 9);
  const auto verdicts = store->CheckCredentials(
      {{nul, kSecret}, {"old_user", kSecret}, {"\xFF", kSecret}, {"old_user", kSecret + std::string(1, '\0')}});
  ASSERT_TRUE(verdicts.ok()) << verdicts.status();
  EXPECT_EQ(*verdicts, (std::vector<bool>{false, true, false, false}));
  EXPECT_EQ(*store->CheckCredentials({{"\xFF", kSecret}}), std::vector<bool>{false});
  EXPECT_TRUE(store->UpdateStatus({{nul, AgentStatus::kConnected, 1}, {"\xFF", AgentStatus::kConnected, 1}}).ok());
  EXPECT_EQ(One("SELECT status FROM agent_credentials"), "pending");
}

TEST_F(PgStoreTest, ErrorsQuoteNoRows) {
  auto store = OpenNew();
  ASSERT_TRUE(store->AppendAudit({Row("0", "c0")}).ok());
  AwaitIndexes();
  Sql("ALTER TABLE tool_execution_logs ADD CONSTRAINT short CHECK (length(tool_name) < 20)");
  AuditRow row = Row("private-request", "c1");
  row.tool = "a tool with a longer name than the constraint allows";
  ::testing::internal::CaptureStderr();
  const absl::Status status = store->AppendAudit({row});
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_NE(status.message().find("\"short\""), std::string::npos) << status;
  Sql("CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS"
      " $$ BEGIN RAISE EXCEPTION 'refused %', NEW.request_id; END $$;"
      "CREATE TRIGGER no BEFORE INSERT ON tool_execution_logs FOR EACH ROW EXECUTE FUNCTION no()");
  const absl::Status raised = store->AppendAudit({Row("private-request", "c1")});
  EXPECT_TRUE(absl::IsInternal(raised)) << raised;
  const std::string all = status.ToString() + raised.ToString() + ::testing::internal::GetCapturedStderr();
  for (const char* secret : {"private-request", "longer name", "hunter2"}) {
    EXPECT_EQ(all.find(secret), std::string::npos) << all;
  }
}

TEST_F(PgStoreTest, SlowStatementsAreLoggedWithoutTheirParameters) {
  auto store = OpenNew();
  ASSERT_TRUE(store->AppendAudit({Row("1", "c1")}).ok());
  options_.slow_statement = Duration::zero();
  auto slow = Open();
  ::testing::internal::CaptureStderr();
  ASSERT_TRUE(slow->AppendAudit({Row("private-request", "c2"), Row("private-request", "c3")}).ok());
  EXPECT_TRUE(IsRight(*slow));
  const std::string log = ::testing::internal::GetCapturedStderr();
  EXPECT_NE(log.find("slow statement"), std::string::npos) << log;
  EXPECT_NE(log.find("appending audit rows"), std::string::npos) << log;
  EXPECT_NE(log.find("rows=2"), std::string::npos) << log;
  for (const std::string& secret : {std::string("private-request"), kSecret, std::string("hunter2")}) {
    EXPECT_EQ(log.find(secret), std::string::npos) << log;
  }
}

TEST_F(PgStoreTest, TenThousandChecksAreTwentyStatements) {
  auto store = OpenNew();
  Sql("DO $$ BEGIN EXECUTE 'ALTER DATABASE ' || current_database() || ' SET log_statement = ''all'''; END $$");
  KillBackends();  // The setting counts from the next connection.
  const auto count = [&] {
    const std::string log = server_->Log();
    int found = 0;
    for (size_t at = 0; (at = log.find("user_id = ANY ($1::text[])", at)) != std::string::npos; ++at) ++found;
    return found;
  };
  const int before = count();
  for (int begin = 0; begin < 10000; begin += 512) {
    std::vector<CredentialCheck> checks(512, {"old_user", kSecret});
    for (size_t i = 0; i < checks.size(); i += 2) checks[i].user_id = "nobody_" + std::to_string(begin + i);
    const auto verdicts = store->CheckCredentials(checks);
    ASSERT_TRUE(verdicts.ok()) << verdicts.status();
    EXPECT_FALSE((*verdicts)[0]);
    EXPECT_TRUE((*verdicts)[1]);
  }
  EXPECT_EQ(count() - before, 20);
}

// --- a server that comes and goes ------------------------------------------------------------------------------------

TEST_F(PgStoreTest, ConnectionsNeverExceedTheirNumber) {
  options_.connections_max = 3;
  auto store = OpenNew();
  // The server lists a connection for a moment after its client has closed it, as whoever builds the indexes does; the
  // first row has them built.
  const std::string connections =
      "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'toolwire'";
  ASSERT_TRUE(store->AppendAudit({Row("0", "c0")}).ok());
  AwaitIndexes();
  ASSERT_TRUE(Soon([&] { return std::stoi(One(connections)) <= 1; }));
  std::atomic<bool> done{false};
  std::vector<std::thread> threads;
  for (int t = 0; t < 12; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; !done; ++i) {
        EXPECT_TRUE(IsRight(*store));
        EXPECT_TRUE(store->AppendAudit({Row("r", std::to_string(t) + "/" + std::to_string(i))}).ok());
      }
    });
  }
  int most = 0;
  PostgresClient watcher(url_);
  const bool all_used = Soon([&] {
    most = std::max(most, std::stoi(watcher.Query(connections)[0][0]));
    return most >= 3;
  });
  done = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(all_used);
  EXPECT_EQ(most, 3);
}

TEST_F(PgStoreTest, KilledConnectionsFailNoCall) {
  auto store = OpenNew();
  ASSERT_TRUE(store->AppendAudit({Row("0", "c0")}).ok());
  for (int round = 0; round < 3; ++round) {
    std::vector<std::thread> threads;  // To have several connections.
    for (int t = 0; t < 4; ++t) threads.emplace_back([&] { EXPECT_TRUE(IsRight(*store)); });
    for (std::thread& thread : threads) thread.join();
    KillBackends();
    const std::string n = std::to_string(round);
    EXPECT_TRUE(store->CreateCredentials({{"user_" + n, "linux", HashSecret(n), 1}}).ok());
    KillBackends();
    EXPECT_TRUE(store->AppendAudit({Row(n, "call_" + n)}).ok());
    KillBackends();
    EXPECT_TRUE(store->UpdateStatus({{"user_" + n, AgentStatus::kConnected, 1}}).ok());
    EXPECT_TRUE(IsRight(*store));
  }
  EXPECT_EQ(RowCount(), "4");
}

TEST_F(PgStoreTest, ServerThatIsAwayIsUnavailableUntilItIsBack) {
  auto store = OpenNew();
  ASSERT_TRUE(store->AppendAudit({Row("1", "c1")}).ok());
  server_->Stop();
  auto late = Open();
  for (PgStore* one : {store.get(), late.get()}) {
    for (int i = 0; i < 100; ++i) {
      const absl::Status status = one->CheckCredentials({{"old_user", kSecret}}).status();
      EXPECT_TRUE(absl::IsUnavailable(status)) << status;
      EXPECT_EQ(status.message().find("hunter2"), std::string::npos) << status;
    }
    EXPECT_TRUE(absl::IsUnavailable(one->UpdateStatus({{"old_user", AgentStatus::kConnected, 1}})));
    EXPECT_TRUE(absl::IsUnavailable(one->AppendAudit({Row("2", "c2")})));
    EXPECT_TRUE(absl::IsUnavailable(one->CreateCredentials({{"a", "linux", "s", 1}})));
    EXPECT_TRUE(absl::IsUnavailable(one->ListCredentials("", 1).status()));
    EXPECT_TRUE(absl::IsUnavailable(one->ListAudit({"", 1}).status()));
  }
  server_->Resume();
  for (PgStore* one : {store.get(), late.get()}) {
    EXPECT_TRUE(Soon([&] { return one->AppendAudit({Row("2", "c2")}).ok(); }));
    EXPECT_TRUE(IsRight(*one));
  }
  EXPECT_EQ(RowCount(), "2");
}

TEST_F(PgStoreTest, RestartedServerFailsNoCall) {
  auto store = OpenNew();
  server_->Stop();
  server_->Resume();
  EXPECT_TRUE(IsRight(*store));
  server_->Stop();
  server_->Resume();
  EXPECT_TRUE(store->AppendAudit({Row("1", "c1")}).ok());
}

TEST_F(PgStoreTest, ServerThatFallsSilentIsUnavailableUntilItAnswers) {
  options_.statement_timeout = milliseconds(200);
  auto store = OpenNew();
  options_.connect_timeout = std::chrono::seconds(2);
  auto unconnected = Open();
  server_->Freeze();
  const absl::Status silent = store->CheckCredentials({{"old_user", kSecret}}).status();
  const absl::Status unanswered = unconnected->CheckCredentials({{"old_user", kSecret}}).status();
  server_->Thaw();
  EXPECT_TRUE(absl::IsUnavailable(silent)) << silent;
  EXPECT_TRUE(absl::IsUnavailable(unanswered)) << unanswered;
  for (PgStore* one : {store.get(), unconnected.get()}) {
    EXPECT_TRUE(Soon([&] { return one->CheckCredentials({{"old_user", kSecret}}).ok(); }));
  }
}

TEST_F(PgStoreTest, StatementThatTakesTooLongIsUnavailable) {
  auto store = OpenNew();
  options_.statement_timeout = milliseconds(200);
  auto hasty = Open();
  EXPECT_TRUE(IsRight(*hasty));
  PostgresClient other(url_);
  other.Query("BEGIN; LOCK TABLE agent_credentials");
  const absl::Status status = hasty->CheckCredentials({{"old_user", kSecret}}).status();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  other.Query("COMMIT");
  EXPECT_TRUE(IsRight(*hasty));
}

TEST_F(PgStoreTest, ReadOnlyStandbyIsUnavailableForWhatWrites) {
  auto store = OpenNew();
  ASSERT_TRUE(store->AppendAudit({Row("1", "c1")}).ok());
  const auto set_read_only = [&](const std::string& value) {
    Sql("DO $$ BEGIN EXECUTE 'ALTER DATABASE ' || current_database() || ' SET default_transaction_read_only = " +
        value + "'; END $$");
    KillBackends();
  };
  set_read_only("on");
  EXPECT_TRUE(IsRight(*store));
  EXPECT_TRUE(absl::IsUnavailable(store->AppendAudit({Row("2", "c2")})));
  Query(
      "postgresql://postgres" + url_.substr(url_.find('@')) + "?options=-c%20default_transaction_read_only%3Doff",
      "DO $$ BEGIN EXECUTE 'ALTER DATABASE ' || current_database() || ' RESET default_transaction_read_only'; END $$");
  KillBackends();
  EXPECT_TRUE(store->AppendAudit({Row("2", "c2")}).ok());
}

TEST_F(PgStoreTest, TablesThatAreGoneAreMadeAgain) {
  auto store = OpenNew();
  ASSERT_TRUE(store->AppendAudit({Row("1", "c1")}).ok());
  AwaitIndexes();
  Sql("DROP TABLE tool_execution_logs");
  EXPECT_TRUE(absl::IsUnavailable(store->AppendAudit({Row("2", "c2")})));
  EXPECT_TRUE(Soon([&] { return store->AppendAudit({Row("2", "c2")}).ok(); }));
  EXPECT_EQ(RowCount(), "1");
}

TEST_F(PgStoreTest, KilledConnectionsUnderLoadLeaveEachRowOnce) {
  constexpr int kRows = 20000;
  auto store = OpenNew();
  AuditLog log(*store, {});
  std::atomic<bool> done{false};
  std::thread killer([&] {
    while (!done) KillBackends();
  });
  for (int i = 0; i < kRows; ++i) log.Append(Row("r", "call_" + std::to_string(i)));
  EXPECT_TRUE(Soon([&] { return std::stoi(RowCount()) > kRows / 2; }));
  done = true;
  killer.join();
  EXPECT_TRUE(log.Flush(std::chrono::seconds(60)));
  EXPECT_EQ(log.counters().refused, 0u);
  EXPECT_EQ(Sql("SELECT count(*), count(DISTINCT call_id) FROM tool_execution_logs"),
            (PostgresRows{{std::to_string(kRows), std::to_string(kRows)}}));
}

}  // namespace
}  // namespace toolwire
