// How PostgreSQL carries out each statement of ours over the tables of the replaced server, with many rows: no statement
// reads a table whole, and none sorts more than it returns.
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/store/audit_row.h"
#include "common/store/pg_schema.h"
#include "common/store/pg_statements.h"
#include "tests/contract/pg_store_fixture.h"
#include "tests/support/postgres_server.h"

namespace toolwire {
namespace {

// What the choice of a plan depends on is there with a few hundred thousand rows as with ten million: that reading an
// index costs less than reading the table. Rows are short, which makes the latter cheap.
constexpr char kLargeTables[] = R"sql(
CREATE TABLE agent_credentials (
  user_id text PRIMARY KEY, shared_secret text NOT NULL UNIQUE, platform text NOT NULL, status text DEFAULT 'pending',
  created_at timestamp DEFAULT now(), last_seen timestamp, metadata jsonb);
CREATE TABLE tool_execution_logs (
  id bigserial PRIMARY KEY, user_id text, request_id text, tool_name text, params jsonb NOT NULL, result jsonb,
  success boolean NOT NULL, error text, execution_time_ms integer, created_at timestamp DEFAULT now());
INSERT INTO agent_credentials (user_id, shared_secret, platform)
  SELECT 'user_' || i, md5(i::text), 'linux' FROM generate_series(1, 100000) i;
INSERT INTO tool_execution_logs (user_id, request_id, tool_name, params, success, created_at)
  SELECT 'user_' || 1 + i % 30, 'r' || i, 'read_file', '{}', true, timestamp '2026-01-01' - i * interval '1 min'
  FROM generate_series(1, 300000) i)sql";

// A row's place in the middle of them.
constexpr char kMiddle[] = "1758000000000000:150000";

class PgStorePlansTest : public PgStoreTest {
 protected:
  void SetUp() override {
    PgStoreTest::SetUp();
    if (server_ == nullptr) return;
    Sql(kLargeTables);
    const absl::Status status = Prepare();
    ASSERT_TRUE(status.ok()) << status;
    Sql("INSERT INTO toolwire_audit_calls SELECT md5(i::text), now() - i * interval '10 min'"
        " FROM generate_series(1, 100000) i");
    // Then all rows are looked at, not a sample of them: plans are the same each time.
    Sql("ALTER TABLE tool_execution_logs ALTER user_id SET STATISTICS 1000");
    Sql("ALTER TABLE agent_credentials ALTER user_id SET STATISTICS 1000");
    Sql("VACUUM ANALYZE");
    connections_ = *PgConnections::Open(options_);
    Look();
  }
  void Look() {
    const absl::Status status = connections_->Run(PgLane::kListings, [&](PgSession& session) {
      session.Transact([&](pqxx::transaction_base& transaction) {
        statements_ = PgStatementsFor(LookAtPgTables(session, transaction), kAuditJsonBytesMax);
      });
      return absl::OkStatus();
    });
    ASSERT_TRUE(status.ok()) << status;
  }
  std::string PlanOf(const std::string& sql, const PgParams& params) {
    std::string plan;
    const absl::Status status = connections_->Run(PgLane::kListings, [&](PgSession& session) {
      session.Transact([&](pqxx::transaction_base& transaction) {
        plan.clear();
        for (const auto& row : session.Exec(transaction, "explaining", "EXPLAIN (COSTS OFF) " + sql, params)) {
          absl::StrAppend(&plan, row[0].c_str(), "\n");
        }
      });
      return absl::OkStatus();
    });
    EXPECT_TRUE(status.ok()) << status << " of " << sql;
    return plan;
  }
  void ExpectNoWholeTable(const std::string& plan) {
    for (const char* table : {"agent_credentials", "tool_execution_logs", "toolwire_audit_calls"}) {
      EXPECT_EQ(plan.find(absl::StrCat("Seq Scan on ", table)), std::string::npos) << plan;
    }
  }
  void ExpectIndex(const std::string& plan, const std::string& index) {
    EXPECT_NE(plan.find(" using " + index), std::string::npos) << plan;
    EXPECT_EQ(plan.find("Sort Key"), std::string::npos) << plan;
    ExpectNoWholeTable(plan);
  }
  std::string PlanOfList(const AuditQuery& query) {
    std::string both;
    for (const PgTexts texts : {PgTexts::kAll, PgTexts::kInRow}) {
      PgParams params;
      const auto sql = PgListStatement(statements_, texts, query, &params);
      EXPECT_TRUE(sql.ok()) << sql.status();
      absl::StrAppend(&both, PlanOf(*sql, params));
    }
    return both;
  }
  // So many users, texts or numbers, as a batch has them.
  static std::vector<std::optional<std::string_view>> Texts(const std::vector<std::string>& of) {
    return {of.begin(), of.end()};
  }

  std::unique_ptr<PgConnections> connections_;
  PgStatements statements_;
};

TEST_F(PgStorePlansTest, BatchesOfChecksStatusesAndNewCredentialsReadTheKeysIndex) {
  for (const size_t count : {size_t{1}, size_t{64}, size_t{512}}) {
    std::vector<std::string> names, secrets;
    for (size_t i = 0; i < count; ++i) names.push_back(absl::StrCat("user_", 7 * i + 1));
    for (size_t i = 0; i < count; ++i) secrets.push_back(absl::StrCat("sha256:", i));
    const auto users = Texts(names);
    const std::vector<std::optional<std::string_view>> words(count, "connected"), platforms(count, "linux");
    const std::vector<std::optional<int64_t>> numbers(count, 1);
    ExpectNoWholeTable(PlanOf(statements_.find_secrets, PgParams().Texts(users)));
    ExpectNoWholeTable(
        PlanOf(statements_.update_status, PgParams().Texts(users).Texts(words).Ints(numbers).Ints(numbers)));
    if (count > 64) continue;  // Of a table of this size, reading it whole costs less than so many single rows.
    const PgParams created = PgParams().Texts(users).Texts(Texts(secrets)).Texts(platforms).Ints(numbers);
    ExpectNoWholeTable(PlanOf(statements_.replace_revoked, created));
    ExpectNoWholeTable(PlanOf(statements_.create_credentials, created));
  }
}

TEST_F(PgStorePlansTest, ChangesOfOneCredentialReadTheKeysIndex) {
  for (const std::string* sql : {&statements_.replace_secret, &statements_.revoke}) {
    ExpectIndex(PlanOf(*sql, PgParams().Text("user_7").Text("x")), "agent_credentials_pkey");
  }
}

TEST_F(PgStorePlansTest, PagesOfCredentialsAreReadInTheOrderOfTheKeysIndex) {
  ExpectIndex(PlanOf(statements_.list_first_credentials, PgParams().Int(1000)), "agent_credentials_pkey");
  ExpectIndex(PlanOf(statements_.list_credentials, PgParams().Int(1000).Text("user_5")), "agent_credentials_pkey");
}

TEST_F(PgStorePlansTest, PagesOfTheLogAreReadInTheOrderOfTheirIndexes) {
  for (const int limit : {1, 50, 1000}) {
    AuditQuery all, some;
    all.limit = some.limit = limit;
    ExpectIndex(PlanOfList(all), "toolwire_audit_time");
    all.after = kMiddle;
    ExpectIndex(PlanOfList(all), "toolwire_audit_time");
    all.from_ms = 1'752'000'000'000, all.until_ms = 1'763'000'000'000;
    ExpectIndex(PlanOfList(all), "toolwire_audit_time");
    some.user_id = "user_7";
    ExpectIndex(PlanOfList(some), "toolwire_audit_user_time");
    some.after = kMiddle;
    ExpectIndex(PlanOfList(some), "toolwire_audit_user_time");
    some.from_ms = 1'752'000'000'000, some.until_ms = 1'763'000'000'000;
    ExpectIndex(PlanOfList(some), "toolwire_audit_user_time");
  }
  // By a token's prefix: newest first until there are enough.
  AuditQuery bound;
  bound.limit = 50;
  bound.user_prefix = "user_7";
  ExpectIndex(PlanOfList(bound), "toolwire_audit_time");
}

TEST_F(PgStorePlansTest, RowsAreWrittenWithoutReadingTheLogWithItsIndexAndBeforeItIsThere) {
  const std::vector<std::string> ids = {"c1", "c2", "c3"};
  const auto texts = Texts(ids);
  const std::vector<std::optional<std::string_view>> json(3, "{}");
  const std::vector<std::optional<int64_t>> numbers(3, 1);
  const PgParams rows = PgParams().Texts(texts).Texts(texts).Texts(texts).Texts(json).Texts(json).Bools({true, true, true})
                            .Texts(texts).Ints(numbers).Ints(numbers).Texts(texts).Texts(texts);
  ASSERT_TRUE(statements_.has_call_index);
  ExpectNoWholeTable(PlanOf(statements_.append, rows));
  Sql("DROP INDEX toolwire_audit_call_id");
  Look();
  ASSERT_FALSE(statements_.has_call_index);
  ExpectNoWholeTable(PlanOf(statements_.append, rows));
  ExpectIndex(PlanOf(statements_.forget_calls, PgParams()), "toolwire_audit_calls_written_at");
}

}  // namespace
}  // namespace toolwire
