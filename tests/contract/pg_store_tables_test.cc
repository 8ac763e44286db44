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
#include "common/store/pg_errors.h"
#include "common/store/pg_inspection.h"
#include "common/store/pg_store.h"
#include "common/store/secret.h"
#include "tests/contract/pg_store_fixture.h"
#include "tests/fakes/temp_dir.h"
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

TEST_F(PgStoreTest, ServingProcessesRunNoDdlAndSayWhatToRun) {
  for (const char* tables : {"", kOldTables}) {
    url_ = options_.url = server_->NewDatabase();
    if (*tables != 0) Sql(tables);
    const std::string shape =
        "SELECT count(*) FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid WHERE c.relname !~ '^pg_'";
    const std::string before = One(shape);
    ::testing::internal::CaptureStderr();
    auto store = Open();
    for (int i = 0; i < 3; ++i) {
      const absl::Status status = store->AppendAudit({Row("1", "c1")});
      EXPECT_TRUE(absl::IsUnavailable(status)) << status;
      EXPECT_NE(status.message().find("run toolwire migrate"), std::string::npos) << status;
    }
    const bool can_log_in = store->CheckCredentials({{"old_user", kSecret}}).ok();
    EXPECT_EQ(can_log_in, *tables != 0) << "agent_credentials alone is needed";
    EXPECT_NE(store->NotReady().find("run toolwire migrate"), std::string::npos) << store->NotReady();
    const std::string log = ::testing::internal::GetCapturedStderr();
    EXPECT_NE(log.find("database is not ready"), std::string::npos) << log;
    EXPECT_EQ(log.find("database is not ready"), log.rfind("database is not ready")) << "said once: " << log;
    EXPECT_EQ(One(shape), before);
    ASSERT_TRUE(Prepare().ok());
    EXPECT_TRUE(Soon([&] { return store->AppendAudit({Row("1", "c1")}).ok(); }));
    EXPECT_EQ(store->NotReady(), "");
  }
}

TEST_F(PgStoreTest, ProcessWithoutCallsKnowsWhetherItsTablesAreReady) {
  const TempDir directory;
  auto store = Open();
  AuditLog::Options options;
  options.spool.directory = directory.File("spool");
  options.adopt_every = milliseconds(10);
  AuditLog log(*store, options);
  EXPECT_TRUE(Soon([&] { return store->NotReady().find("run toolwire migrate") != std::string::npos; }));
  ASSERT_TRUE(Prepare().ok());
  EXPECT_TRUE(Soon([&] { return store->NotReady().empty(); }));
}

TEST_F(PgStoreTest, ProcessWithoutCallsLearnsThatItsStoreTakesNoRowsAndThatItDoesAgain) {
  const TempDir directory;
  auto store = OpenNew();
  AuditLog::Options options;
  options.spool.directory = directory.File("spool");
  options.adopt_every = milliseconds(10);
  AuditLog log(*store, options);
  const auto set_for_all = [&](const std::string& what) {
    Sql("DO $$ BEGIN EXECUTE 'ALTER DATABASE ' || current_database() || ' " + what + "'; END $$");
    KillBackends();
  };
  set_for_all("SET default_transaction_read_only = on");
  EXPECT_TRUE(Soon([&] { return store->NotReady().find("25006") != std::string::npos; })) << store->NotReady();
  PostgresClient other(url_);
  other.Query("SET default_transaction_read_only = off");
  other.Query("DO $$ BEGIN EXECUTE 'ALTER DATABASE ' || current_database() ||"
              " ' RESET default_transaction_read_only'; END $$");
  KillBackends();
  EXPECT_TRUE(Soon([&] { return store->NotReady().empty(); })) << store->NotReady();
  Sql("ALTER TABLE tool_execution_logs RENAME TO logs");
  EXPECT_TRUE(Soon([&] { return store->NotReady().find("tool_execution_logs") != std::string::npos; }));
  Sql("ALTER TABLE logs RENAME TO tool_execution_logs");
  EXPECT_TRUE(Soon([&] { return store->NotReady().empty(); })) << store->NotReady();
  EXPECT_EQ(RowCount(), "0") << "it asks, and writes nothing";
}

TEST_F(PgStoreTest, LabelsAndChecksThatRefuseWhatIsWrittenAreToldAtTheStartAndByTheDoctor) {
  const struct {
    const char* sql;
    const char* told;
  } cases[] = {
      {"CREATE TYPE agent_status AS ENUM ('pending', 'disconnected');"
       "ALTER TABLE agent_credentials DROP CONSTRAINT agent_credentials_status_check, ALTER status DROP DEFAULT,"
       " ALTER status TYPE agent_status USING status::agent_status",
       "agent_credentials.status is of the type agent_status, which does not take 'connected'"},
      {"CREATE DOMAIN os AS text CHECK (VALUE IN ('win32', 'darwin'));"
       "ALTER TABLE agent_credentials ALTER platform TYPE os",
       "agent_credentials.platform is of the type os, which does not take 'linux'"},
      {"ALTER TABLE agent_credentials DROP CONSTRAINT agent_credentials_status_check,"
       " ADD CHECK (status IN ('pending', 'connected'))",
       "agent_credentials_status_check of agent_credentials refuses status = disconnected"},
      {"ALTER TABLE tool_execution_logs ADD CONSTRAINT \"only good\" CHECK (success)",
       "CHECK \"only good\" of tool_execution_logs refuses success = false"},
      {"ALTER TABLE tool_execution_logs ADD CONSTRAINT told CHECK (success OR result IS NOT NULL)",
       "CHECK told of tool_execution_logs refuses rows of calls that failed"},
      {"ALTER TABLE tool_execution_logs ADD tenant text, ADD CHECK (tenant IS NULL OR tenant < user_id),"
       " ADD CHECK (error <> ''), ADD CHECK (execution_time_ms >= 0)",
       ""},
  };
  for (const auto& one : cases) {
    url_ = options_.url = server_->NewDatabase();
    Sql(kOldTables);
    ASSERT_TRUE(Prepare().ok());
    Sql(one.sql);
    ::testing::internal::CaptureStderr();
    auto store = Open();
    EXPECT_TRUE(IsRight(*store));
    EXPECT_TRUE(store->Identity().ok());  // As the audit log asks when it begins.
    const std::string log = ::testing::internal::GetCapturedStderr();
    const auto found = InspectPg(url_, std::chrono::minutes(1));
    ASSERT_TRUE(found.ok()) << found.status();
    if (*one.told == 0) {
      EXPECT_EQ(found->warnings, std::vector<std::string>());
      continue;
    }
    ASSERT_EQ(found->warnings.size(), 1u) << one.told;
    EXPECT_NE(found->warnings[0].find(one.told), std::string::npos) << found->warnings[0];
    EXPECT_NE(log.find("database table"), std::string::npos) << log;
  }
}

TEST_F(PgStoreTest, ReaderOfTheLogHoldsUpNeitherLoginsNorTheReplacedServer) {
  Sql(kOldTables);
  PostgresClient reader(url_);
  reader.Query("BEGIN; SELECT count(*) FROM tool_execution_logs");
  auto store = Open();
  EXPECT_TRUE(absl::IsUnavailable(store->AppendAudit({Row("1", "c1")})));
  EXPECT_TRUE(IsRight(*store));
  EXPECT_EQ(One("SELECT count(*) FROM pg_locks WHERE NOT granted"), "0");
  Sql(kOldInsert);
  reader.Query("COMMIT");
}

TEST_F(PgStoreTest, RowsAreWrittenOnceBeforeTheIndexIsThereAndAfter) {
  Sql(kOldTables);
  auto early = OpenPrepared();
  Sql("DROP INDEX toolwire_audit_call_id");
  ASSERT_TRUE(early->AppendAudit({Row("1", "c1"), Row("2", "c2"), Row("2 again", "c2"), Row("3")}).ok());
  std::vector<AuditRow> many;
  for (int i = 0; i < 20; ++i) many.push_back(Row("m", "m" + std::to_string(i)));
  for (int i = 0; i < 2; ++i) EXPECT_TRUE(early->AppendAudit(many).ok());
  ASSERT_TRUE(early->AppendAudit({Row("1 again", "c1"), Row("4", "c4")}).ok());
  ASSERT_TRUE(Prepare().ok());
  auto late = Open();
  ASSERT_TRUE(late->AppendAudit({Row("1 once more", "c1"), Row("5", "c5")}).ok());
  EXPECT_TRUE(early->AppendAudit({Row("5 again", "c5"), Row("6", "c6")}).ok()) << "it does not know the index yet";
  EXPECT_EQ(One("SELECT string_agg(request_id, ' ' ORDER BY id) FROM tool_execution_logs WHERE request_id <> 'm'"),
            "old_1 1 2 3 4 5 6");
  EXPECT_EQ(One("SELECT count(*) FROM tool_execution_logs WHERE request_id = 'm'"), "20");
}

TEST_F(PgStoreTest, LogTableThatWasRenamedGetsAnIndexOfItsOwn) {
  auto store = OpenNew();
  ASSERT_TRUE(store->AppendAudit({Row("1", "c1")}).ok());
  Sql("ALTER TABLE tool_execution_logs RENAME TO tool_execution_logs_before;"
      "CREATE TABLE tool_execution_logs (LIKE tool_execution_logs_before INCLUDING DEFAULTS INCLUDING GENERATED)");
  std::vector<AuditRow> rows;
  for (int i = 0; i < 20; ++i) rows.push_back(Row("r", "r" + std::to_string(i)));
  EXPECT_TRUE(Soon([&] { return store->AppendAudit(rows).ok(); }));
  ASSERT_TRUE(store->AppendAudit(rows).ok()) << "once, though there is no index on it";
  ASSERT_TRUE(Prepare().ok());
  EXPECT_EQ(ValidIndexes(), "toolwire_audit_call_id_2 toolwire_audit_time_2 toolwire_audit_user_time_2");
  for (int i = 0; i < 2; ++i) EXPECT_TRUE(store->AppendAudit(rows).ok());
  EXPECT_EQ(RowCount(), "20");
}

TEST_F(PgStoreTest, PartitionedLogHasEachRowOnce) {
  Sql(R"sql(
CREATE TABLE tool_execution_logs (
  id bigserial, user_id text NOT NULL, request_id text NOT NULL, tool_name text NOT NULL, params jsonb, result jsonb,
  success boolean NOT NULL, error text, execution_time_ms integer, created_at timestamptz NOT NULL,
  PRIMARY KEY (id, created_at)) PARTITION BY RANGE (created_at);
CREATE TABLE logs_old PARTITION OF tool_execution_logs FOR VALUES FROM (MINVALUE) TO ('2024-01-01');
CREATE TABLE logs_new PARTITION OF tool_execution_logs FOR VALUES FROM ('2024-01-01') TO (MAXVALUE))sql");
  auto store = OpenPrepared();
  std::vector<AuditRow> rows;
  for (int i = 0; i < 20; ++i) rows.push_back(Row("r" + std::to_string(i), "c" + std::to_string(i)));
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(store->AppendAudit(rows).ok());
  EXPECT_EQ(RowCount(), "20");
  EXPECT_EQ(store->ListAudit({"", 100})->size(), 20u);
  EXPECT_EQ(store->NotReady(), "");
}

TEST_F(PgStoreTest, OldCallIdsAreForgottenFasterThanNewOnesCome) {
  auto store = OpenNew();
  Sql("DROP INDEX toolwire_audit_call_id; INSERT INTO toolwire_audit_calls"
      " SELECT 'old' || i, now() - interval '31 days' FROM generate_series(1, 20000) i");
  std::vector<AuditRow> rows;
  for (int batch = 0; batch < 4; ++batch) {
    rows.clear();
    for (int i = 0; i < 2500; ++i) rows.push_back(Row("r", std::to_string(batch) + "_" + std::to_string(i)));
    ASSERT_EQ(store->AppendAudit(rows), absl::OkStatus());
  }
  EXPECT_EQ(One("SELECT count(*) FROM toolwire_audit_calls WHERE call_id LIKE 'old%'"), "0");
  EXPECT_EQ(One("SELECT count(*) FROM toolwire_audit_calls"), "10000");
  ASSERT_EQ(store->AppendAudit(rows), absl::OkStatus());
  EXPECT_EQ(RowCount(), "10000");
}

TEST_F(PgStoreTest, ParametersAreCastToTheTypesOfTheColumns) {
  Sql(R"sql(
CREATE TYPE agent_status AS ENUM ('pending', 'connected', 'disconnected');
CREATE TYPE agent_platform AS ENUM ('win32', 'linux', 'darwin');
CREATE TABLE agent_credentials (user_id uuid PRIMARY KEY, shared_secret varchar(255) NOT NULL UNIQUE,
  platform agent_platform NOT NULL, status agent_status NOT NULL DEFAULT 'pending',
  created_at timestamp NOT NULL DEFAULT now(), last_seen timestamp, metadata jsonb);
CREATE TABLE tool_execution_logs (
  id bigserial PRIMARY KEY, user_id uuid NOT NULL, request_id char(40) NOT NULL, tool_name varchar(64) NOT NULL,
  params json, result json, success boolean NOT NULL, error varchar(2000), execution_time_ms bigint,
  created_at timestamptz NOT NULL))sql");
  const std::string user = "6f1c2b54-8a0e-4d27-9a53-0d4b9a3f1c11";
  auto store = OpenPrepared();
  ASSERT_TRUE(store->CreateCredentials({{user, "darwin", HashSecret(kSecret), 1}}).ok());
  EXPECT_EQ(*store->CheckCredentials({{"no uuid", kSecret}, {user, kSecret}}), (std::vector<bool>{false, true}));
  ASSERT_TRUE(store->UpdateStatus({{user, AgentStatus::kConnected, 1'700'000'000'000, 4}}).ok());
  const auto listed = store->ListCredentials("", 10);
  ASSERT_TRUE(listed.ok()) << listed.status();
  EXPECT_EQ(listed->front().status, AgentStatus::kConnected);
  EXPECT_TRUE(store->ListCredentials(user, 10)->empty());
  for (const int count : {1, 20}) {
    std::vector<AuditRow> rows;
    for (int i = 0; i < count; ++i) {
      rows.push_back(Row("r", std::to_string(count) + "/" + std::to_string(i)));
      rows.back().user_id = user;
    }
    EXPECT_EQ(store->AppendAudit(rows), absl::OkStatus());
  }
  EXPECT_EQ(store->ListAudit({user, 100})->size(), 21u);
  AuditRow others = Row("r", "x");
  EXPECT_EQ(StoreFaultOf(store->AppendAudit({others})), StoreFault::kRowRefused) << "a user that is no uuid";
  EXPECT_TRUE(store->ReplaceSecret(user, HashSecret("new")).ok());
  EXPECT_TRUE(store->Revoke(user).ok());
}

TEST_F(PgStoreTest, UserIdThatADomainWouldCutIsNobodyElses) {
  Sql("CREATE DOMAIN short AS varchar(8); CREATE DOMAIN id AS short;");
  Sql(kOldTables);
  Sql("ALTER TABLE agent_credentials ALTER user_id TYPE id; ALTER TABLE tool_execution_logs ALTER user_id TYPE id");
  auto store = OpenPrepared();
  EXPECT_TRUE(IsRight(*store));
  EXPECT_TRUE(absl::IsNotFound(store->Revoke("old_user too long")));
  EXPECT_TRUE(absl::IsNotFound(store->ReplaceSecret("old_user too long", HashSecret("new"))));
  EXPECT_FALSE(store->CreateCredentials({{"old_user too long", "linux", HashSecret("new"), 1}}).ok());
  EXPECT_TRUE(IsRight(*store));
  EXPECT_TRUE(store->UpdateStatus({{"old_user", AgentStatus::kConnected, 1, 1}}).ok());
  for (const size_t count : {1, 20}) {
    std::vector<AuditRow> rows;
    for (size_t i = 0; i < count; ++i) rows.push_back(Row("r", std::to_string(count) + "/" + std::to_string(i)));
    EXPECT_EQ(store->AppendAudit(rows), absl::OkStatus());
    rows.back().user_id = "old_user too long";
    rows.back().call_id += " too long";
    EXPECT_EQ(StoreFaultOf(store->AppendAudit(rows)), StoreFault::kRowRefused);
  }
  EXPECT_EQ(store->ListAudit({"old_user", 100})->size(), 22u);
  EXPECT_TRUE(store->ListAudit({"old_user too long", 100})->empty());
  EXPECT_TRUE(store->Revoke("old_user").ok());
}

TEST_F(PgStoreTest, TableThatCannotBeUsedIsToldByColumnAndReason) {
  const struct {
    const char* sql;
    const char* told;
  } cases[] = {
      {"ALTER TABLE tool_execution_logs ADD COLUMN tenant text NOT NULL DEFAULT 'x';"
       "ALTER TABLE tool_execution_logs ALTER COLUMN tenant DROP DEFAULT",
       "tool_execution_logs.tenant must have a value"},
      {"ALTER TABLE tool_execution_logs RENAME TO logs; CREATE VIEW tool_execution_logs AS SELECT * FROM logs",
       "tool_execution_logs is a view"},
      {"ALTER TABLE agent_credentials RENAME COLUMN status TO state", "agent_credentials has no column status"},
      {"CREATE SCHEMA app; ALTER TABLE agent_credentials SET SCHEMA app",
       "agent_credentials is in the schema app, which is not on the search_path of postgres"},
      {"DROP TABLE toolwire_audit_calls; DROP INDEX toolwire_audit_call_id", "no unique index on call_id"},
  };
  for (const auto& one : cases) {
    url_ = options_.url = server_->NewDatabase();
    Sql(kOldTables);
    ASSERT_TRUE(Prepare().ok());
    Sql(one.sql);
    ::testing::internal::CaptureStderr();
    auto store = Open();
    EXPECT_TRUE(absl::IsUnavailable(store->AppendAudit({Row("1", "c1")})) ||
                absl::IsUnavailable(store->CheckCredentials({{"old_user", kSecret}}).status()));
    const std::string log = ::testing::internal::GetCapturedStderr();
    EXPECT_NE(store->NotReady().find(one.told), std::string::npos) << store->NotReady();
    EXPECT_NE(log.find(one.told), std::string::npos) << log;
  }
  url_ = options_.url = server_->NewDatabase();
  Sql(kOldTables);
  Sql("ALTER TABLE agent_credentials ALTER COLUMN shared_secret TYPE varchar(64);"
      "ALTER TABLE tool_execution_logs ALTER COLUMN tool_name TYPE varchar(64)");
  ::testing::internal::CaptureStderr();
  auto store = OpenPrepared();
  EXPECT_TRUE(store->AppendAudit({Row("1", "c1")}).ok());
  const std::string log = ::testing::internal::GetCapturedStderr();
  EXPECT_NE(log.find("agent_credentials.shared_secret takes 64 characters"), std::string::npos) << log;
  EXPECT_NE(log.find("tool_execution_logs.tool_name takes 64 characters"), std::string::npos) << log;
}

TEST_F(PgStoreTest, OldTablesAreTakenOverWithTheirDataAndServeBothServers) {
  Sql(kOldTables);
  const std::string theirs =
      "SELECT user_id, shared_secret, platform, status, created_at, last_seen, metadata FROM agent_credentials";
  const PostgresRows before = Sql(theirs);
  auto store = OpenPrepared();
  EXPECT_TRUE(IsRight(*store));
  EXPECT_EQ(Sql(theirs), before);
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
  auto store = OpenPrepared();
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
  auto store = OpenPrepared();
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
  auto store = OpenPrepared();
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
  auto store = OpenPrepared();
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

TEST_F(PgStoreTest, ColumnThatIsMissingIsUnavailableAndNamed) {
  Sql("CREATE TABLE agent_credentials (user_id text PRIMARY KEY)");
  auto store = Open();
  const absl::Status status = store->UpdateStatus({{"a", AgentStatus::kConnected, 1}}).status();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_NE(status.message().find("agent_credentials has no column"), std::string::npos) << status;
}

TEST_F(PgStoreTest, RoleThatMayNotChangeTablesIsEnoughOnceTheyAreThere) {
  auto owner = OpenNew();
  ASSERT_TRUE(owner->AppendAudit({Row("1", "c1")}).ok());
  Sql("CREATE ROLE clerk LOGIN;"
      "GRANT SELECT, UPDATE ON agent_credentials TO clerk; GRANT SELECT, INSERT ON tool_execution_logs TO clerk;"
      "GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO clerk");
  options_.url = "postgresql://clerk" + url_.substr(url_.find('@'));
  auto store = Open();
  EXPECT_TRUE(IsRight(*store));
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(store->AppendAudit({Row("2", "c2")}).ok());
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
      auto store = OpenPrepared();
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
