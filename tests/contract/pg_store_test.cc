// What only the PostgreSQL store promises: its statements, and living with a server that comes and goes.
#include "common/store/pg_store.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <future>
#include <limits>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/audit/audit_log.h"
#include "common/store/secret.h"
#include "tests/contract/pg_store_fixture.h"
#include "tests/support/silent_host.h"
#include "tests/support/postgres_server.h"

namespace toolwire {
namespace {

using std::chrono::milliseconds;

// --- opening ---------------------------------------------------------------------------------------------------------

TEST_F(PgStoreTest, UrlThatIsNoneIsInvalidAndNotRepeated) {
  for (const char* url :
       {"", "hunter2", "mysql://user:hunter2@localhost/db", "postgresql://user:hunter2@localhost:port/db",
        "postgresql://user:hunter2@localhost:70000/db", "postgresql://user:hun@ter2@localhost/db",
        "postgresql://user:12/hunter2@localhost/db", "postgresql://user:hunter2@localhost/db?no_such=1",
        "postgresql://user:%zzhunter2@localhost/db", "host=localhost password='hunter2"}) {
    options_.url = url;
    const absl::Status status = OpenPgStore(options_).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << url;
    EXPECT_NE(status.message().find("DATABASE_URL"), std::string::npos) << status;
    EXPECT_EQ(status.message().find("ter2"), std::string::npos) << status;
  }
}

TEST_F(PgStoreTest, ConnectionsAreOneToTwenty) {
  for (const auto& [count, valid] : {std::pair(0, false), {1, true}, {20, true}, {21, false}}) {
    options_.connections_max = count;
    EXPECT_EQ(OpenPgStore(options_).ok(), valid) << count;
  }
}

TEST_F(PgStoreTest, KeyValueListIsTakenAndOneConnectionIsEnough) {
  const std::string port = url_.substr(url_.rfind(':') + 1, url_.rfind('/') - url_.rfind(':') - 1);
  options_.url =
      "host=127.0.0.1 user=postgres password='it''s' port=" + port + " dbname=" + url_.substr(url_.rfind('/') + 1);
  EXPECT_FALSE(OpenPgStore(options_).ok()) << "libpq escapes quotes by a backslash";
  options_.url.replace(options_.url.find("''"), 1, "\\");
  options_.connections_max = 1;
  auto store = OpenNew();
  EXPECT_TRUE(IsRight(*store));
  EXPECT_TRUE(store->AppendAudit({Row("1", "c1")}).ok());
  EXPECT_EQ(RowCount(), "1");
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
    for (size_t at = 0; (at = log.find("SELECT user_id::text, shared_secret::text FROM agent_credentials", at)) != std::string::npos; ++at) ++found;
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
  // The server lists a connection for a moment after its client has closed it, as whoever makes the tables does.
  const std::string connections =
      "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'toolwire'";
  ASSERT_TRUE(store->AppendAudit({Row("0", "c0")}).ok());
  // One for changes, one for the audit log.
  ASSERT_TRUE(Soon([&] { return std::stoi(One(connections)) <= 2; }));
  std::atomic<bool> done{false};
  std::vector<std::thread> threads;
  for (int t = 0; t < 12; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; !done; ++i) {
        EXPECT_TRUE(IsRight(*store));
        EXPECT_TRUE(store->AppendAudit({Row("r", std::to_string(t) + "/" + std::to_string(i))}).ok());
        EXPECT_TRUE(store->ListCredentials("", 1).ok());
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

TEST_F(PgStoreTest, ServerThatIsStoppedIsUnavailableUntilItRunsAgain) {
  auto store = OpenNew();
  ASSERT_TRUE(store->AppendAudit({Row("1", "c1")}).ok());
  server_->Stop();
  auto late = Open();
  for (Store* one : {store.get(), late.get()}) {
    for (int i = 0; i < 100; ++i) {
      const absl::Status status = one->CheckCredentials({{"old_user", kSecret}}).status();
      EXPECT_TRUE(absl::IsUnavailable(status)) << status;
      EXPECT_EQ(status.message().find("hunter2"), std::string::npos) << status;
    }
    EXPECT_TRUE(absl::IsUnavailable(one->UpdateStatus({{"old_user", AgentStatus::kConnected, 1}}).status()));
    EXPECT_TRUE(absl::IsUnavailable(one->AppendAudit({Row("2", "c2")})));
    EXPECT_TRUE(absl::IsUnavailable(one->CreateCredentials({{"a", "linux", "s", 1}})));
    EXPECT_TRUE(absl::IsUnavailable(one->ListCredentials("", 1).status()));
    EXPECT_TRUE(absl::IsUnavailable(one->ListAudit({"", 1}).status()));
  }
  server_->Resume();
  for (Store* one : {store.get(), late.get()}) {
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
  options_.statement_timeout = milliseconds(1000);  // A busy machine stands still for less.
  auto store = OpenNew();
  options_.connect_timeout = std::chrono::seconds(2);
  auto unconnected = Open();
  server_->Freeze();
  const absl::Status silent = store->CheckCredentials({{"old_user", kSecret}}).status();
  const absl::Status unanswered = unconnected->CheckCredentials({{"old_user", kSecret}}).status();
  server_->Thaw();
  EXPECT_TRUE(absl::IsUnavailable(silent)) << silent;
  EXPECT_TRUE(absl::IsUnavailable(unanswered)) << unanswered;
  for (Store* one : {store.get(), unconnected.get()}) {
    EXPECT_TRUE(Soon([&] { return one->CheckCredentials({{"old_user", kSecret}}).ok(); }));
  }
}

TEST_F(PgStoreTest, CheckDoesNotWaitForASilentServerAsLongAsOtherWorkMay) {
  options_.statement_timeout = std::chrono::minutes(10);
  options_.check_timeout = milliseconds(200);
  auto store = OpenNew();
  EXPECT_TRUE(IsRight(*store));
  server_->Freeze();
  const absl::Status silent = store->CheckCredentials({{"old_user", kSecret}}).status();
  server_->Thaw();
  EXPECT_TRUE(absl::IsUnavailable(silent)) << silent;
  EXPECT_TRUE(Soon([&] { return store->CheckCredentials({{"old_user", kSecret}}).ok(); }));
}

TEST_F(PgStoreTest, HostThatDoesNotAnswerIsNotWaitedForWithEachConnection) {
  SilentHost silent;
  // Two hosts, the first of which is dead.
  const size_t host = url_.rfind('@') + 1, colon = url_.rfind(':'), slash = url_.rfind('/');
  options_.url =
      absl::StrCat(url_.substr(0, host), "127.0.0.1:", silent.port(), ",127.0.0.1", url_.substr(colon, slash - colon),
                   url_.substr(slash), "?target_session_attrs=primary&connect_timeout=2");
  auto store = OpenNew();
  EXPECT_GT(silent.dials(), 0);
  for (int i = 0; i < 3; ++i) {
    KillBackends();
    EXPECT_TRUE(IsRight(*store));
    EXPECT_TRUE(store->AppendAudit({Row(std::to_string(i))}).ok());
  }
  EXPECT_EQ(silent.dials(), 0);
}

TEST_F(PgStoreTest, AtTheDeadlineOfAStopWhatRunsAndWhatFollowsIsUnavailable) {
  options_.statement_timeout = std::chrono::minutes(10);
  auto store = OpenNew();
  PostgresClient other(url_);
  other.Query("BEGIN; LOCK TABLE agent_credentials");
  auto running = std::async(std::launch::async, [&] {
    return store->CheckCredentials({{"old_user", kSecret}}).status();
  });
  EXPECT_TRUE(Soon([&] { return One("SELECT count(*) FROM pg_locks WHERE NOT granted") == "1"; }));
  store->EndBy(std::chrono::steady_clock::now() + milliseconds(50));
  EXPECT_TRUE(absl::IsUnavailable(running.get()));
  other.Query("COMMIT");
  EXPECT_TRUE(absl::IsUnavailable(store->CheckCredentials({{"old_user", kSecret}}).status()));
}

TEST_F(PgStoreTest, StatementThatTakesTooLongIsUnavailable) {
  auto store = OpenNew();
  options_.statement_timeout = milliseconds(1000);  // A busy machine stands still for less.
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
  EXPECT_EQ(store->NotReady(), "");
  for (const absl::Status& status : {store->AppendAudit({Row("2", "c2")}), store->Revoke("old_user"),
                                     store->UpdateStatus({{"old_user", AgentStatus::kConnected, 1, 1}}).status()}) {
    EXPECT_TRUE(absl::IsUnavailable(status)) << status;
    EXPECT_NE(status.message().find("25006"), std::string::npos) << status;
  }
  EXPECT_TRUE(IsRight(*store)) << "logins only read";
  EXPECT_NE(store->NotReady().find("25006"), std::string::npos) << store->NotReady();
  Query(
      "postgresql://postgres" + url_.substr(url_.find('@')) + "?options=-c%20default_transaction_read_only%3Doff",
      "DO $$ BEGIN EXECUTE 'ALTER DATABASE ' || current_database() || ' RESET default_transaction_read_only'; END $$");
  KillBackends();
  EXPECT_TRUE(store->AppendAudit({Row("2", "c2")}).ok());
  EXPECT_TRUE(store->UpdateStatus({{"old_user", AgentStatus::kConnected, 1, 1}}).ok());
  EXPECT_EQ(store->NotReady(), "");
}

TEST_F(PgStoreTest, ChangedPasswordIsUnavailableAndToldUntilItIsRightAgain) {
  OpenNew();
  Sql("CREATE ROLE rotated LOGIN PASSWORD 'hunter2'; GRANT ALL ON ALL TABLES IN SCHEMA public TO rotated;"
      "GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO rotated");
  const auto set_rules = [&](const std::string& first) {
    Sql("DO $$ BEGIN EXECUTE format('COPY (VALUES (''" + first +
        "''), (''local all all trust''), (''host all all all trust'')) TO %L', current_setting('hba_file')); END $$");
    Sql("SELECT pg_reload_conf()");
  };
  set_rules("host all rotated all scram-sha-256");
  options_.url = "postgresql://rotated:hunter2" + url_.substr(url_.find('@'));
  ASSERT_TRUE(Soon([&] { return One("SELECT count(*) FROM pg_hba_file_rules WHERE 'rotated' = ANY (user_name)") == "1"; }));
  auto store = Open();
  EXPECT_TRUE(IsRight(*store));
  AuditLog log(*store, {});
  log.Append(Row("1", "c1"));
  EXPECT_TRUE(log.Flush(std::chrono::seconds(60)));
  Sql("ALTER ROLE rotated PASSWORD 'another'");
  KillBackends();
  absl::Status status;
  EXPECT_TRUE(Soon([&] {
    KillBackends();  // A server that has not read its rules again takes any password.
    status = store->CheckCredentials({{"old_user", kSecret}}).status();
    return !status.ok();
  }));
  log.Append(Row("2", "c2"));
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  for (const std::string& told : {std::string(status.message()), store->NotReady()}) {
    EXPECT_NE(told.find("password authentication failed"), std::string::npos) << told;
    EXPECT_EQ(told.find("hunter2"), std::string::npos) << told;
  }
  Sql("ALTER ROLE rotated PASSWORD 'hunter2'");
  EXPECT_TRUE(Soon([&] { return store->CheckCredentials({{"old_user", kSecret}}).ok(); }));
  EXPECT_TRUE(log.Flush(std::chrono::seconds(60)));
  EXPECT_TRUE(Soon([&] { return RowCount() == "2" && store->NotReady().empty(); }));
  EXPECT_EQ(log.counters().refused + log.counters().dropped, 0u);
  EXPECT_TRUE(log.Close(std::chrono::steady_clock::now() + std::chrono::seconds(60)));
  store.reset();
  set_rules("local all postgres trust");
  Sql("DROP OWNED BY rotated; DROP ROLE rotated");
}

TEST_F(PgStoreTest, TablesThatAreGoneAreNotMadeAgainAndUsedOnceTheyAreThere) {
  auto store = OpenNew();
  ASSERT_TRUE(store->AppendAudit({Row("1", "c1")}).ok());
  Sql("DROP TABLE tool_execution_logs");
  EXPECT_TRUE(absl::IsUnavailable(store->AppendAudit({Row("2", "c2")})));
  EXPECT_TRUE(IsRight(*store));
  EXPECT_EQ(One("SELECT to_regclass('tool_execution_logs')"), "NULL");
  ASSERT_TRUE(Prepare().ok());
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
