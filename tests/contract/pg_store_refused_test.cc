// A PostgreSQL that refuses rows, or cannot hold them: what of them is lost, and whom it keeps from logging in.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "common/audit/audit_log.h"
#include "common/store/secret.h"
#include "common/store/sqlite_store.h"
#include "tests/contract/pg_store_fixture.h"
#include "tests/fakes/temp_dir.h"
#include "tests/support/postgres_server.h"

namespace toolwire {
namespace {

using std::chrono::milliseconds;

constexpr char kItem[] = "\xE9\x81\x93\xE5\x85\xB7";  // Two characters that LATIN1 lacks.

class PgStoreRefusedTest : public PgStoreTest {
 protected:
  static AuditLog::Options Quick() {
    AuditLog::Options options;
    options.gather_time = milliseconds(1);
    options.retry_min = options.retry_max = milliseconds(5);
    return options;
  }
  // A database that holds no more than Latin letters.
  void UseLatin1() {
    const std::string name = url_.substr(url_.rfind('/') + 1) + "_latin1";
    Sql("CREATE DATABASE " + name + " ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0");
    url_ = url_.substr(0, url_.rfind('/') + 1) + name;
    options_.url = url_;
  }
  // Rows that come while the table is spoilt are all there once it is mended.
  void ExpectNoneIsLost(const std::string& spoil, const std::string& mend) {
    auto store = OpenNew();
    ASSERT_TRUE(store->AppendAudit({Row("before", "c0")}).ok());
      Sql(spoil);
    AuditLog log(*store, Quick());
    for (int i = 0; i < 5; ++i) log.Append(Row(std::to_string(i)));
    EXPECT_TRUE(Soon([&] { return log.counters().failed_batches >= 30; }));
    EXPECT_EQ(log.counters().refused, 0u);
    EXPECT_EQ(log.counters().waiting, 5u);
    Sql(mend);
    EXPECT_TRUE(log.Flush(std::chrono::seconds(60)));
    EXPECT_EQ(log.counters().refused, 0u);
    EXPECT_EQ(RowCount(), "6");
  }
};

TEST_F(PgStoreRefusedTest, NoRowIsLostToATriggerThatRaises) {
  ExpectNoneIsLost(
      "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$;"
      "CREATE TRIGGER no BEFORE INSERT ON tool_execution_logs FOR EACH ROW EXECUTE FUNCTION no()",
      "DROP TRIGGER no ON tool_execution_logs");
}

TEST_F(PgStoreRefusedTest, NoRowIsLostToAnAddedColumnThatMustHaveAValue) {
  ExpectNoneIsLost("DELETE FROM tool_execution_logs; ALTER TABLE tool_execution_logs ADD COLUMN tenant text NOT NULL;"
                   "INSERT INTO tool_execution_logs (user_id, request_id, tool_name, success, tenant)"
                   " VALUES ('u', 'r', 't', true, 'x')",
                   "ALTER TABLE tool_execution_logs ALTER COLUMN tenant DROP NOT NULL");
}

TEST_F(PgStoreRefusedTest, NoRowIsLostToACheckThatNoneMeets) {
  ExpectNoneIsLost("ALTER TABLE tool_execution_logs ADD CONSTRAINT odd CHECK (false) NOT VALID",
                   "ALTER TABLE tool_execution_logs DROP CONSTRAINT odd");
}

TEST_F(PgStoreRefusedTest, OnlyTheRowThatIsRefusedWhileOthersAreTakenIsDropped) {
  auto store = OpenNew();
  ASSERT_TRUE(store->AppendAudit({Row("before", "c0")}).ok());
  Sql("ALTER TABLE tool_execution_logs ADD CONSTRAINT short CHECK (length(tool_name) < 20)");
  AuditLog log(*store, Quick());
  for (int i = 0; i < 1024; ++i) {
    AuditRow row = Row(std::to_string(i));
    if (i == 300) row.tool = "a tool with a longer name than the constraint allows";
    log.Append(row);
  }
  EXPECT_TRUE(log.Flush(std::chrono::seconds(60)));
  EXPECT_EQ(log.counters().refused, 1u);
  EXPECT_LE(log.counters().failed_batches, 20u);
  EXPECT_EQ(RowCount(), "1024");
  EXPECT_EQ(One("SELECT count(*) FROM tool_execution_logs WHERE request_id = '300'"), "0");
}

TEST_F(PgStoreRefusedTest, NoRowIsLostToADamagedPageThoughOthersAreTaken) {
  auto store = OpenNew();
  ASSERT_TRUE(store->AppendAudit({Row("before", "c0")}).ok());
  Sql("CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = 'XX001';"
      " END $$; CREATE TRIGGER no BEFORE INSERT ON tool_execution_logs FOR EACH ROW WHEN (NEW.request_id = 'x')"
      " EXECUTE FUNCTION no()");
  AuditLog log(*store, Quick());
  for (int i = 0; i < 100; ++i) log.Append(Row(i % 20 == 7 ? "x" : "y"));
  EXPECT_TRUE(Soon([&] { return log.counters().written == 95 && log.counters().aside == 5; }));
  for (int i = 0; i < 100; ++i) log.Append(Row("y"));
  EXPECT_TRUE(Soon([&] { return log.counters().written == 195; }));
  EXPECT_EQ(log.counters().refused, 0u);
  Sql("DROP TRIGGER no ON tool_execution_logs");
  EXPECT_TRUE(log.Flush(std::chrono::seconds(60)));
  EXPECT_EQ(RowCount(), "201");
  EXPECT_EQ(One("SELECT count(*) FROM tool_execution_logs WHERE params ? 'toolwire_truncated'"), "0");
}

TEST_F(PgStoreRefusedTest, RowsThatTheEncodingLacksLettersForAreWrittenInAscii) {
  UseLatin1();
  auto store = OpenNew();
  AuditLog log(*store, Quick());
  for (int i = 0; i < 5; ++i) {
    AuditRow row = Row(std::to_string(i));
    if (i != 2) row.tool = kItem;
    if (i == 2) row.params_json = std::string("{\"name\":\"") + kItem + "\"}";
    log.Append(row);
  }
  EXPECT_TRUE(log.Flush(std::chrono::seconds(60)));
  EXPECT_EQ(log.counters().written, 5u);
  EXPECT_EQ(log.counters().refused, 0u);
  EXPECT_EQ(One("SELECT count(*) FROM tool_execution_logs WHERE tool_name = '\\u9053\\u5177'"), "4");
  EXPECT_EQ(One("SELECT params->>'reason' FROM tool_execution_logs WHERE request_id = '2'"), "refused by the store");
}

TEST_F(PgStoreRefusedTest, WhatTheDatabaseCannotHoldIsAnUnknownUserAndFailsNobodyElse) {
  UseLatin1();
  auto store = OpenNew();
  std::vector<CredentialCheck> checks;
  std::vector<SecretCheck> digests;
  std::vector<bool> expected;
  for (int i = 0; i < 40; ++i) {
    const bool stranger = i % 7 == 3;
    checks.push_back({stranger ? "\xE6\xBC\xA2" + std::to_string(i) : "old_user", kSecret});
    digests.push_back({checks.back().user_id, DigestOfSecret(kSecret)});
    expected.push_back(!stranger);
  }
  const auto verdicts = store->CheckCredentials(checks);
  ASSERT_TRUE(verdicts.ok()) << verdicts.status();
  EXPECT_EQ(*verdicts, expected);
  const auto rechecked = store->CheckDigests(digests);
  ASSERT_TRUE(rechecked.ok()) << rechecked.status();
  EXPECT_EQ(*rechecked, expected);
  EXPECT_TRUE(absl::IsNotFound(store->Revoke(kItem)));
  EXPECT_TRUE(absl::IsNotFound(store->ReplaceSecret(kItem, HashSecret("new"))));
  const auto rows = store->ListAudit({kItem, 10});
  ASSERT_TRUE(rows.ok()) << rows.status();
  EXPECT_TRUE(rows->empty());
}

TEST_F(PgStoreRefusedTest, RowsOfABatchThatTakesLongerThanAStatementMayAreWrittenInSmallerOnes) {
  auto store = OpenNew();
  ASSERT_TRUE(store->AppendAudit({Row("before", "c0")}).ok());
  Sql("CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.004); RETURN NEW; END $$;"
      "CREATE TRIGGER slow BEFORE INSERT ON tool_execution_logs FOR EACH ROW EXECUTE FUNCTION slow()");
  options_.statement_timeout = milliseconds(500);
  auto hasty = Open();
  AuditLog::Options options = Quick();
  options.gather_time = std::chrono::seconds(5);
  AuditLog log(*hasty, options);
  for (int i = 0; i < 512; ++i) log.Append(Row(std::to_string(i)));
  EXPECT_TRUE(log.Flush(std::chrono::seconds(60)));
  EXPECT_EQ(log.counters().written, 512u);
  EXPECT_EQ(log.counters().refused, 0u);
  EXPECT_GE(log.counters().failed_batches, 1u);
  EXPECT_LE(log.counters().failed_batches, 9u);
  EXPECT_EQ(RowCount(), "513");
}

// --- a spool that outlives its process, and its store ----------------------------------------------------------------

TEST_F(PgStoreRefusedTest, CallsOfAKilledProcessAreNeverWrittenToAnotherStore) {
  TempDir dir;
  AuditLog::Options options = Quick();
  options.spool.directory = dir.File("spool");
  options.adopt_every = milliseconds(1);
  options.spool.lost_reason = "LOST";
  const auto leave_call = [&](Store& store, const std::string& request_id) {
    AuditLog log(store, options);
    log.Append(Row("settled"));
    EXPECT_TRUE(log.Flush(std::chrono::seconds(60)));
    log.Begin({"user", request_id, "read_file", "{}", 1});
  };
  const std::string other_url = server_->NewDatabase();
  const auto open = [&](const std::string& url) {
    PgOptions other;
    other.url = url;
    url_ = url;
    EXPECT_TRUE(Prepare().ok());
    return *OpenPgStore(other);
  };
  auto sqlite = *OpenSqliteStore(dir.File("toolwire.db"));
  const std::string url = url_;
  auto one = open(url), other = open(other_url);
  leave_call(*sqlite, "of sqlite");
  leave_call(*one, "of one");
  leave_call(*other, "of other");
  const auto recovered = [&](Store& store) {
    AuditLog log(store, options);
    EXPECT_TRUE(Soon([&] { return log.counters().recovered >= 1; }));
    log.Append(Row("settled"));
    EXPECT_TRUE(log.Flush(std::chrono::seconds(60)));
    std::string found;
    const auto rows = store.ListAudit({"", 100});
    for (const AuditRow& row : *rows) {
      if (row.error == "LOST") found += row.request_id + ";";
    }
    return found;
  };
  EXPECT_EQ(recovered(*other), "of other;");
  EXPECT_EQ(recovered(*sqlite), "of sqlite;");
  // Its address may change meanwhile.
  std::string renamed = url;
  renamed.replace(renamed.find("127.0.0.1"), 9, "localhost");
  EXPECT_EQ(recovered(*open(renamed)), "of one;");
}

// --- lists -----------------------------------------------------------------------------------------------------------

TEST_F(PgStoreRefusedTest, RowsWithoutACapAreListedInBoundedPieces) {
  auto store = OpenPrepared();
  ASSERT_TRUE(store->AppendAudit({Row("ours", "c1")}).ok());
  Sql("INSERT INTO tool_execution_logs (user_id, request_id, tool_name, params, result, success, error)"
      " SELECT 'u', 'large', repeat('t', 1000000), jsonb_build_object('t', repeat('x', 5000000)),"
      " (SELECT jsonb_agg(md5(i::text)) FROM generate_series(1, 100000) AS i), false, repeat('\xC3\xA9', 3000000)");
  Sql("INSERT INTO tool_execution_logs (user_id, request_id, tool_name, params, success) VALUES"
      " ('u', 'numbers', 't', ('[' || repeat('1e9999,', 200) || '1]')::jsonb, true)");
  const auto rows = store->ListAudit({"", 10});
  ASSERT_TRUE(rows.ok()) << rows.status();
  ASSERT_EQ(rows->size(), 3u);
  for (const ListedAuditRow& row : *rows) {
    for (const std::string& text : {row.tool, row.params_json, row.result_json, row.error}) {
      EXPECT_LE(text.size(), 2 * kAuditJsonBytesMax + 1024) << row.request_id;
    }
    EXPECT_TRUE(row.params_json.empty() || nlohmann::json::accept(row.params_json)) << row.request_id;
  }
  const ListedAuditRow& large = (*rows)[1].request_id == "large" ? (*rows)[1] : (*rows)[0];
  EXPECT_EQ(large.request_id, "large");
  EXPECT_EQ(nlohmann::json::parse(large.params_json)["bytes"], 5000009);
  EXPECT_EQ(nlohmann::json::parse(large.params_json)["prefix"].get<std::string>().substr(0, 9), "{\"t\": \"xx");
  EXPECT_EQ(nlohmann::json::parse(large.result_json)["toolwire_truncated"], true);
  EXPECT_NE(large.error.find("[cut: 6000000 bytes]"), std::string::npos);
  EXPECT_NE(large.tool.find("[cut: 1000000 bytes]"), std::string::npos);
  EXPECT_EQ(rows->back().params_json, R"({"path": "/tmp/x"})");
}

TEST_F(PgStoreRefusedTest, RowsOfTimesThatNoCalendarHasAreShownAndPagedThrough) {
  for (const char* type : {"timestamptz", "timestamp"}) {
    SetUp();
    auto store = OpenPrepared();
    ASSERT_TRUE(store->AppendAudit({Row("ours", "c1")}).ok());
      Sql(std::string("ALTER TABLE tool_execution_logs ALTER created_at TYPE ") + type);
    KillBackends();
    store = OpenPrepared();
    for (const char* time : {"infinity", "infinity", "294276-01-01", "12000-01-01", "4000-01-01 BC", "-infinity"}) {
      Sql(std::string("INSERT INTO tool_execution_logs (user_id, request_id, tool_name, success, created_at) VALUES"
                      " ('u', '") + time + "', 't', true, '" + time + "')");
    }
    std::vector<std::string> found;
    AuditQuery query{"", 1};
    for (int page = 0; page < 20; ++page) {
      const auto rows = store->ListAudit(query);
      ASSERT_TRUE(rows.ok()) << rows.status();
      if (rows->empty()) break;
      found.push_back(rows->front().request_id);
      EXPECT_LE(rows->front().created_at_ms, 253402300799999);
      EXPECT_GE(rows->front().created_at_ms, -62135596800000);
      query.after = rows->front().cursor;
    }
    EXPECT_EQ(found, (std::vector<std::string>{"infinity", "infinity", "294276-01-01", "12000-01-01", "ours",
                                               "4000-01-01 BC", "-infinity"}));
    ASSERT_TRUE(store->CreateCredentials({{"someone", "linux", kSecret, 1}}).ok());
    Sql("UPDATE agent_credentials SET created_at = 'infinity', last_seen = '-infinity'");
    const auto credentials = store->ListCredentials("", 10);
    ASSERT_TRUE(credentials.ok()) << credentials.status();
    EXPECT_EQ(credentials->front().created_at_ms, 253402300799999);
  }
}

}  // namespace
}  // namespace toolwire
