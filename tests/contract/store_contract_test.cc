// What every store keeps, as one body of tests over each implementation; then what only the SQLite file promises.
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <atomic>
#include <cctype>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <ostream>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "common/base/json_text.h"
#include "common/store/pg_store.h"
#include "common/store/secret.h"
#include "common/store/sqlite_store.h"
#include "common/store/store.h"
#include "tests/fakes/memory_store.h"
#include "tests/fakes/temp_dir.h"
#include "tests/support/postgres_server.h"

namespace toolwire {
namespace {

constexpr size_t kCapBytes = 8192;
constexpr char kSecretA[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
constexpr char kSecretB[] = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

std::unique_ptr<SqliteStore> OpenSqlite(const std::string& path) {
  SqliteStore::Options options;
  options.path = path;
  options.audit_json_bytes_max = kCapBytes;
  auto store = SqliteStore::Open(options);
  EXPECT_TRUE(store.ok()) << store.status();
  return store.ok() ? std::move(*store) : nullptr;
}

std::unique_ptr<PgStore> OpenPostgres() {
  PgStore::Options options;
  options.database_url = PostgresServer::Shared()->NewDatabase();
  options.audit_json_bytes_max = kCapBytes;
  auto store = PgStore::Open(options);
  EXPECT_TRUE(store.ok()) << store.status();
  return store.ok() ? std::move(*store) : nullptr;
}

bool IsSameText(const std::string& a, const std::string& b) { return a == b; }

// What jsonb, which keeps values and not their text, takes for the same.
bool IsSameJsonb(const std::string& a, const std::string& b) {
  static const std::string database = PostgresServer::Shared()->NewDatabase();
  return a == b || Query(database, "SELECT $1::jsonb = $2::jsonb", {a, b})[0][0] == "t";
}

Store::NewCredential Plain(const std::string& user_id, const std::string& secret) {
  return {user_id, "linux", secret, 1000};
}

Store::NewCredential Hashed(const std::string& user_id, const std::string& secret) {
  return {user_id, "linux", HashSecret(secret), 1000};
}

AuditRow Row(const std::string& user_id, const std::string& request_id) {
  AuditRow row;
  row.user_id = user_id;
  row.request_id = request_id;
  row.tool = "read_file";
  row.params_json = R"({"path":"/tmp/x"})";
  row.result_json = R"("content")";
  row.success = true;
  row.execution_time_ms = 12;
  row.created_at_ms = 1'700'000'000'123;
  return row;
}

std::vector<std::string> RequestIds(const absl::StatusOr<std::vector<ListedAuditRow>>& rows) {
  std::vector<std::string> ids;
  if (!rows.ok()) return {rows.status().ToString()};
  for (const AuditRow& row : *rows) ids.push_back(row.request_id);
  return ids;
}

struct Implementation {
  const char* name;
  std::function<std::unique_ptr<Store>(const TempDir&)> make;
  std::function<bool(const std::string&, const std::string&)> is_same_json = IsSameText;
  bool needs_postgres = false;
};

void PrintTo(const Implementation& implementation, std::ostream* out) { *out << implementation.name; }

class StoreContract : public ::testing::TestWithParam<Implementation> {
 protected:
  void SetUp() override {
    if (GetParam().needs_postgres && PostgresServer::Shared() == nullptr) {
      GTEST_SKIP() << "PostgreSQL is not installed: scripts/setup test";
    }
    store_ = GetParam().make(dir_);
    ASSERT_NE(store_, nullptr);
  }

  std::vector<bool> Check(const std::vector<CredentialCheck>& checks) {
    auto verdicts = store_->CheckCredentials(checks);
    EXPECT_TRUE(verdicts.ok()) << verdicts.status();
    return verdicts.ok() ? *verdicts : std::vector<bool>();
  }

  // The row as it reads after it was stored.
  AuditRow StoredForm(const AuditRow& row) {
    const absl::Status status = store_->AppendAudit({row});
    EXPECT_TRUE(status.ok()) << status;
    auto rows = store_->ListAudit({"", 1});
    EXPECT_TRUE(rows.ok() && rows->size() == 1);
    return rows.ok() && rows->size() == 1 ? rows->front() : AuditRow();
  }

  TempDir dir_;
  std::unique_ptr<Store> store_;
};

INSTANTIATE_TEST_SUITE_P(
    AllStores, StoreContract,
    ::testing::Values(Implementation{"Sqlite", [](const TempDir& dir) { return OpenSqlite(dir.File("store.db")); }},
                      Implementation{"Memory", [](const TempDir&) { return std::make_unique<MemoryStore>(kCapBytes); }},
                      Implementation{"Postgres", [](const TempDir&) { return OpenPostgres(); }, IsSameJsonb, true}),
    [](const auto& info) { return info.param.name; });

TEST_P(StoreContract, RightSecretIsAcceptedInBothStoredForms) {
  ASSERT_TRUE(store_->CreateCredentials({Plain("plain", kSecretA), Hashed("hashed", kSecretB)}).ok());
  EXPECT_EQ(Check({{"plain", kSecretA}, {"hashed", kSecretB}}), (std::vector<bool>{true, true}));
}

TEST_P(StoreContract, WrongEmptyAndOthersSecretsAreRejectedInBothStoredForms) {
  ASSERT_TRUE(store_->CreateCredentials({Plain("plain", kSecretA), Hashed("hashed", kSecretB)}).ok());
  const std::string nearly = std::string(kSecretA).substr(1);
  EXPECT_EQ(Check({{"plain", kSecretB}, {"plain", ""}, {"plain", nearly}, {"hashed", kSecretA}, {"hashed", ""}}),
            std::vector<bool>(5, false));
}

TEST_P(StoreContract, StoredHashIsNotASecret) {
  ASSERT_TRUE(store_->CreateCredentials({Hashed("user", kSecretA)}).ok());
  const std::string hash = HashSecret(kSecretA);
  EXPECT_EQ(Check({{"user", hash}, {"user", hash.substr(7)}}), (std::vector<bool>{false, false}));
}

TEST_P(StoreContract, UnknownUserIsRejectedAndVerdictsKeepTheirOrder) {
  ASSERT_TRUE(store_->CreateCredentials({Hashed("a", kSecretA), Hashed("b", kSecretB)}).ok());
  EXPECT_EQ(Check({{"nobody", kSecretA}, {"a", kSecretA}, {"", ""}, {"A", kSecretA}, {"b", kSecretB}, {"a", kSecretB}}),
            (std::vector<bool>{false, true, false, false, true, false}));
  EXPECT_TRUE(Check({}).empty());
}

TEST_P(StoreContract, UserIdsAreNeverReadAsSql) {
  const std::string odd = "o'brien\"; DROP TABLE agent_credentials; --\xE2\x82\xAC%_";
  ASSERT_TRUE(store_->CreateCredentials({Hashed(odd, kSecretA)}).ok());
  EXPECT_EQ(Check({{odd, kSecretA}, {"%", kSecretA}}), (std::vector<bool>{true, false}));
  auto listed = store_->ListCredentials("", 10);
  ASSERT_TRUE(listed.ok());
  ASSERT_EQ(listed->size(), 1u);
  EXPECT_EQ(listed->front().user_id, odd);
}

TEST_P(StoreContract, NewCredentialsArePendingAndNeverSeen) {
  ASSERT_TRUE(store_->CreateCredentials({{"user", "darwin", HashSecret(kSecretA), 4711}}).ok());
  auto listed = store_->ListCredentials("", 10);
  ASSERT_TRUE(listed.ok());
  ASSERT_EQ(listed->size(), 1u);
  EXPECT_EQ(listed->front().platform, "darwin");
  EXPECT_EQ(listed->front().status, AgentStatus::kPending);
  EXPECT_EQ(listed->front().created_at_ms, 4711);
  EXPECT_FALSE(listed->front().last_seen_ms.has_value());
}

TEST_P(StoreContract, LateDisconnectDoesNotUndoANewerConnect) {
  ASSERT_TRUE(store_->CreateCredentials({Hashed("a", kSecretA)}).ok());
  const auto after = [&](AgentStatus status, int64_t at_ms) {
    EXPECT_TRUE(store_->UpdateStatus({{"a", status, at_ms}}).ok());
    return store_->ListCredentials("", 1)->front().status;
  };
  EXPECT_EQ(after(AgentStatus::kConnected, 1763300000100), AgentStatus::kConnected);
  EXPECT_EQ(after(AgentStatus::kDisconnected, 1763300000099), AgentStatus::kConnected);
  EXPECT_EQ(store_->ListCredentials("", 1)->front().last_seen_ms, 1763300000100);
  EXPECT_EQ(after(AgentStatus::kDisconnected, 1763300000100), AgentStatus::kDisconnected);
  EXPECT_EQ(after(AgentStatus::kConnected, 1763300000050), AgentStatus::kConnected) << "by another edge's clock";
}

TEST_P(StoreContract, StatusUpdatesApplyInOrderAndPassOverUnknownUsers) {
  ASSERT_TRUE(store_->CreateCredentials({Hashed("a", kSecretA), Hashed("b", kSecretB)}).ok());
  ASSERT_TRUE(store_
                  ->UpdateStatus({{"a", AgentStatus::kConnected, 10},
                                  {"nobody", AgentStatus::kConnected, 11},
                                  {"b", AgentStatus::kConnected, 12},
                                  {"a", AgentStatus::kDisconnected, 13}})
                  .ok());
  ASSERT_TRUE(store_->UpdateStatus({}).ok());
  auto listed = store_->ListCredentials("", 10);
  ASSERT_TRUE(listed.ok());
  ASSERT_EQ(listed->size(), 2u);
  EXPECT_EQ((*listed)[0].status, AgentStatus::kDisconnected);
  EXPECT_EQ((*listed)[0].last_seen_ms, 13);
  EXPECT_EQ((*listed)[1].status, AgentStatus::kConnected);
  EXPECT_EQ((*listed)[1].last_seen_ms, 12);
}

TEST_P(StoreContract, DuplicateUserCreatesNothing) {
  ASSERT_TRUE(store_->CreateCredentials({Hashed("a", kSecretA)}).ok());
  const absl::Status taken = store_->CreateCredentials({Hashed("new", kSecretB), Hashed("a", MakeSecret())});
  EXPECT_EQ(taken.code(), absl::StatusCode::kAlreadyExists) << taken;
  const absl::Status twice = store_->CreateCredentials({Hashed("c", MakeSecret()), Hashed("c", MakeSecret())});
  EXPECT_EQ(twice.code(), absl::StatusCode::kAlreadyExists) << twice;
  auto listed = store_->ListCredentials("", 10);
  ASSERT_TRUE(listed.ok());
  ASSERT_EQ(listed->size(), 1u);
  EXPECT_EQ(Check({{"a", kSecretA}, {"new", kSecretB}}), (std::vector<bool>{true, false}));
  EXPECT_TRUE(store_->CreateCredentials({Hashed("new", kSecretB)}).ok());
}

TEST_P(StoreContract, DuplicateSecretCreatesNothingAndIsNotInTheMessage) {
  ASSERT_TRUE(store_->CreateCredentials({Plain("a", kSecretA)}).ok());
  const absl::Status status = store_->CreateCredentials({Hashed("b", kSecretB), Plain("c", kSecretA)});
  EXPECT_EQ(status.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(status.message().find(kSecretA), std::string::npos) << status;
  EXPECT_EQ(Check({{"b", kSecretB}}), std::vector<bool>{false});
}

TEST_P(StoreContract, MalformedCredentialsAreInvalidAndCreateNothing) {
  const std::vector<Store::NewCredential> bad = {
      {"", "linux", HashSecret(kSecretB), 1},
      {"user", "amiga", HashSecret(kSecretB), 1},
      {"user", "", HashSecret(kSecretB), 1},
      {"user", "linux", "", 1},
      {"us\xFF"
       "er",
       "linux", HashSecret(kSecretB), 1},
      {std::string("us\0er", 5), "linux", HashSecret(kSecretB), 1},
      {"us\ner", "linux", HashSecret(kSecretB), 1},
      {"us\x7f"
       "er",
       "linux", HashSecret(kSecretB), 1},
      {std::string(257, 'u'), "linux", HashSecret(kSecretB), 1},
  };
  for (const Store::NewCredential& one : bad) {
    const absl::Status status = store_->CreateCredentials({Hashed("good", kSecretA), one});
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << one.user_id << " " << one.platform;
  }
  auto listed = store_->ListCredentials("", 10);
  ASSERT_TRUE(listed.ok());
  EXPECT_TRUE(listed->empty());
}

TEST_P(StoreContract, UserIdOf256BytesGetsACredential) {
  const std::string user(256, 'u');
  ASSERT_TRUE(store_->CreateCredentials({Hashed(user, kSecretA)}).ok());
  EXPECT_EQ(Check({{user, kSecretA}}), std::vector<bool>{true});
}

TEST_P(StoreContract, CredentialsAreListedInPagesByUserId) {
  for (const char* user : {"c", "a", "B", "\xC3\xA9", "b"}) {
    ASSERT_TRUE(store_->CreateCredentials({Hashed(user, MakeSecret())}).ok());
  }
  std::vector<std::string> users;
  std::string after;
  while (true) {
    auto page = store_->ListCredentials(after, 2);
    ASSERT_TRUE(page.ok());
    if (page->empty()) break;
    EXPECT_LE(page->size(), 2u);
    for (const Credential& one : *page) users.push_back(one.user_id);
    after = users.back();
  }
  EXPECT_EQ(users, (std::vector<std::string>{"B", "a", "b", "c", "\xC3\xA9"}));
  EXPECT_TRUE(store_->ListCredentials("", 0)->empty());
  EXPECT_TRUE(store_->ListCredentials("", -1)->empty());
}

TEST_P(StoreContract, AuditRowReadsBackAsItWasWritten) {
  const AuditRow row = Row("user", "req_1");
  const AuditRow back = StoredForm(row);
  EXPECT_EQ(back.user_id, row.user_id);
  EXPECT_EQ(back.request_id, row.request_id);
  EXPECT_EQ(back.tool, row.tool);
  EXPECT_PRED2(GetParam().is_same_json, back.params_json, row.params_json);
  EXPECT_PRED2(GetParam().is_same_json, back.result_json, row.result_json);
  EXPECT_TRUE(back.success);
  EXPECT_EQ(back.error, "");
  EXPECT_EQ(back.execution_time_ms, 12);
  EXPECT_EQ(back.created_at_ms, row.created_at_ms);
}

TEST_P(StoreContract, FailedCallKeepsItsReasonAndHasNoResult) {
  AuditRow row = Row("user", "req_1");
  row.success = false;
  row.result_json.clear();
  row.error = "AGENT_NOT_CONNECTED: no agent \xE2\x80\x9Cuser\xE2\x80\x9D";
  row.execution_time_ms.reset();
  const AuditRow back = StoredForm(row);
  EXPECT_FALSE(back.success);
  EXPECT_EQ(back.result_json, "");
  EXPECT_EQ(back.error, row.error);
  EXPECT_FALSE(back.execution_time_ms.has_value());
}

TEST_P(StoreContract, AuditRowsAreListedNewestFirstAndByUser) {
  ASSERT_TRUE(store_->AppendAudit({Row("a", "1"), Row("b", "2"), Row("a", "3")}).ok());
  AuditRow late = Row("a", "4");
  late.created_at_ms = 1;  // The order is that of the calls' ends; a row may be written long after.
  ASSERT_TRUE(store_->AppendAudit({late}).ok());
  ASSERT_TRUE(store_->AppendAudit({}).ok());
  EXPECT_EQ(RequestIds(store_->ListAudit({"", 10})), (std::vector<std::string>{"3", "2", "1", "4"}));
  EXPECT_EQ(RequestIds(store_->ListAudit({"", 2})), (std::vector<std::string>{"3", "2"}));
  EXPECT_EQ(RequestIds(store_->ListAudit({"a", 2})), (std::vector<std::string>{"3", "1"}));
  EXPECT_EQ(RequestIds(store_->ListAudit({"b", 2})), (std::vector<std::string>{"2"}));
  EXPECT_TRUE(RequestIds(store_->ListAudit({"nobody", 2})).empty());
  EXPECT_TRUE(RequestIds(store_->ListAudit({"", 0})).empty());
  EXPECT_TRUE(RequestIds(store_->ListAudit({"a", -1})).empty());
}

TEST_P(StoreContract, SameRequestIdMayHaveSeveralRows) {
  ASSERT_TRUE(store_->AppendAudit({Row("a", "same"), Row("a", "same")}).ok());
  EXPECT_EQ(RequestIds(store_->ListAudit({"a", 10})).size(), 2u);
}

AuditRow RowOfCall(const std::string& call_id, const std::string& request_id) {
  AuditRow row = Row("a", request_id);
  row.call_id = call_id;
  return row;
}

TEST_P(StoreContract, CallIdReadsBack) {
  EXPECT_EQ(StoredForm(RowOfCall("0123456789abcdef-00000001", "1")).call_id, "0123456789abcdef-00000001");
  EXPECT_EQ(StoredForm(Row("a", "2")).call_id, "");
}

TEST_P(StoreContract, FirstRowOfACallIsKeptAndLaterOnesArePassedOverInOneBatchAndAcrossBatches) {
  ASSERT_TRUE(store_->AppendAudit({RowOfCall("c1", "1"), RowOfCall("c1", "1 again"), RowOfCall("c2", "2")}).ok());
  ASSERT_TRUE(store_->AppendAudit({RowOfCall("c2", "2 again"), RowOfCall("c3", "3"), RowOfCall("c1", "no")}).ok());
  ASSERT_TRUE(store_->AppendAudit({RowOfCall("c3", "3 again")}).ok());
  EXPECT_EQ(RequestIds(store_->ListAudit({"", 10})), (std::vector<std::string>{"3", "2", "1"}));
}

// Stores may write many rows in another way than few.
TEST_P(StoreContract, LargeBatchReadsBackRowForRowAndPassesOverWhatIsThere) {
  const std::vector<std::string> texts = {"plain",
                                          "tab\there",
                                          "line\nbreak",
                                          "back\\slash \\N \\.",
                                          "quote\"'",
                                          "\xE2\x80\x9C\xF0\x9F\x98\x80",
                                          "\r\v\f\b",
                                          "{a,b}",
                                          " "};
  std::vector<AuditRow> rows;
  for (int i = 0; i < 100; ++i) {
    AuditRow row = RowOfCall("call-" + std::to_string(i), "req " + texts[static_cast<size_t>(i) % texts.size()]);
    row.user_id = texts[static_cast<size_t>(i + 1) % texts.size()];
    row.tool = texts[static_cast<size_t>(i + 2) % texts.size()];
    row.params_json = i % 3 == 0 ? "" : R"({"path":"C:\\new\\table","n":123456789012345678901234567890})";
    row.result_json = i % 4 == 0 ? "" : R"(["\t\n\"",null])";
    row.success = i % 2 == 0;
    row.error = row.success ? "" : texts[static_cast<size_t>(i + 3) % texts.size()];
    row.execution_time_ms.reset();
    if (i % 5 != 0) row.execution_time_ms = i;
    row.created_at_ms = 1'700'000'000'000 + i;
    rows.push_back(row);
  }
  ASSERT_TRUE(store_->AppendAudit(rows).ok());
  const auto check = [&] {
    const auto listed = store_->ListAudit({"", 1000});
    ASSERT_TRUE(listed.ok()) << listed.status();
    ASSERT_EQ(listed->size(), rows.size());
    for (size_t i = 0; i < rows.size(); ++i) {
      const AuditRow& row = rows[i];
      const AuditRow& back = (*listed)[rows.size() - 1 - i];
      EXPECT_EQ(back.call_id, row.call_id);
      EXPECT_EQ(back.user_id, row.user_id);
      EXPECT_EQ(back.request_id, row.request_id);
      EXPECT_EQ(back.tool, row.tool);
      EXPECT_EQ(nlohmann::json::parse(back.params_json.empty() ? "0" : back.params_json),
                nlohmann::json::parse(row.params_json.empty() ? "0" : row.params_json));
      EXPECT_EQ(back.result_json.empty(), row.result_json.empty());
      EXPECT_EQ(back.success, row.success);
      EXPECT_EQ(back.error, row.error);
      EXPECT_EQ(back.execution_time_ms, row.execution_time_ms);
      EXPECT_EQ(back.created_at_ms, row.created_at_ms);
    }
  };
  check();
  // The same again with new ones among them, as after a commit whose answer was lost.
  std::vector<AuditRow> again(rows.begin(), rows.begin() + 50);
  for (AuditRow& row : again) row.tool = "another";
  for (int i = 100; i < 110; ++i) {
    AuditRow row = RowOfCall("call-" + std::to_string(i), "new");
    row.created_at_ms = 1'700'000'000'000 + i;
    row.params_json = R"({"n":1})";
    again.push_back(row);
    rows.push_back(row);
  }
  again.push_back(again.back());
  ASSERT_TRUE(store_->AppendAudit(again).ok());
  check();
}

TEST_P(StoreContract, RowsWithoutACallIdAreAllKept) {
  ASSERT_TRUE(store_->AppendAudit({Row("a", "1"), Row("a", "2"), RowOfCall("c1", "3")}).ok());
  ASSERT_TRUE(store_->AppendAudit({Row("a", "4")}).ok());
  EXPECT_EQ(RequestIds(store_->ListAudit({"", 10})), (std::vector<std::string>{"4", "3", "2", "1"}));
}

TEST_P(StoreContract, JsonAtTheCapIsKeptAndOneByteMoreIsMarked) {
  AuditRow row = Row("user", "req_1");
  row.params_json = "{\"t\":\"" + std::string(kCapBytes - 8, 'x') + "\"}";
  row.result_json = "\"" + std::string(kCapBytes - 1, 'y') + "\"";
  ASSERT_EQ(row.params_json.size(), kCapBytes);
  ASSERT_EQ(row.result_json.size(), kCapBytes + 1);
  const AuditRow back = StoredForm(row);
  EXPECT_PRED2(GetParam().is_same_json, back.params_json, row.params_json);
  EXPECT_LE(back.result_json.size(), kCapBytes);
  const auto marked = nlohmann::json::parse(back.result_json);
  EXPECT_EQ(marked["toolwire_truncated"], true);
  EXPECT_EQ(marked["bytes"], kCapBytes + 1);
  EXPECT_EQ(marked["reason"], "too large");
  const std::string prefix = marked["prefix"];
  EXPECT_EQ(prefix, row.result_json.substr(0, prefix.size()));
  EXPECT_GE(prefix.size(), kCapBytes / 2 - 2);
}

TEST_P(StoreContract, JsonThatDatabasesRefuseIsMarkedAndTheRowIsKept) {
  const std::vector<std::string> refused = {
      R"({"t":"a\u0000b"})",
      R"({"a\u0000":1})",
      R"(["\uD800"])",
      R"(["\uD800\u0041"])",
      R"(["\uD800\n"])",
      R"(["\uDC00\uD800"])",
      R"({"n":1e10000})",
      R"([-1E-099999])",
      "[" + std::string(4097, '1') + "]",
      "{\"t\":",
      "not json",
      "{} {}",
      "[\"\xFF\"]",
      "\xFF\xFE",
      std::string("[\"\0\"]", 5),
      std::string(1025, '[') + std::string(1025, ']'),
  };
  for (const std::string& json : refused) {
    AuditRow row = Row("user", "req_1");
    row.params_json = json;
    row.result_json = json;
    const AuditRow back = StoredForm(row);
    EXPECT_EQ(back.params_json, back.result_json);
    ASSERT_TRUE(nlohmann::json::accept(back.params_json)) << back.params_json;
    const auto marked = nlohmann::json::parse(back.params_json);
    EXPECT_EQ(marked["toolwire_truncated"], true) << json;
    EXPECT_EQ(marked["bytes"], json.size());
    EXPECT_EQ(marked["reason"], "not storable");
    EXPECT_EQ(marked["prefix"].get<std::string>().find('\0'), std::string::npos);
  }
}

TEST_P(StoreContract, JsonThatOnlyLooksOddIsKept) {
  const std::vector<std::string> kept = {
      R"({"t":"a\\u0000b"})",
      R"(["\\\\u0000", "\\uD800"])",
      R"(["\uD83D\uDE00"])",
      R"(["\ud83d\ude00\u0001\/"])",
      R"( {"b":1, "a":12345678901234567890123456789, "b":1.50e+0400} )",
      R"(["1e99999", "-"])",
      "[" + std::string(4096, '1') + "]",
      std::string(1024, '[') + std::string(1024, ']'),
      "null",
      "\"\"",
      "0",
      "[\"\xF0\x9F\x98\x80\"]",
  };
  for (const std::string& json : kept) {
    AuditRow row = Row("user", "req_1");
    row.params_json = json;
    EXPECT_PRED2(GetParam().is_same_json, StoredForm(row).params_json, row.params_json);
  }
}

TEST_P(StoreContract, MarkedJsonIsCutBetweenCharacters) {
  for (size_t shift = 0; shift < 4; ++shift) {
    AuditRow row = Row("user", "req_1");
    row.result_json = "\"" + std::string(shift, 'x');
    while (row.result_json.size() <= kCapBytes) row.result_json += "\xF0\x9F\x98\x80\\\"";
    row.result_json += "\"";
    const AuditRow back = StoredForm(row);
    EXPECT_LE(back.result_json.size(), kCapBytes);
    ASSERT_TRUE(json::IsUtf8(back.result_json));
    const std::string prefix = nlohmann::json::parse(back.result_json)["prefix"];
    EXPECT_EQ(prefix, row.result_json.substr(0, prefix.size()));
    EXPECT_GT(prefix.size(), kCapBytes / 4);
  }
}

TEST_P(StoreContract, TextThatDatabasesRefuseIsMadeSafe) {
  AuditRow row = Row("user", std::string("r\0q", 3));
  row.tool = "to\xFFol";
  row.error = "bad \xE2\x82 text \xE2\x82\xAC";
  AuditRow back = StoredForm(row);
  EXPECT_EQ(back.request_id, "r?q");
  EXPECT_EQ(back.tool, "to?ol");
  EXPECT_EQ(back.error, "bad ?? text \xE2\x82\xAC");

  row.error = std::string(kCapBytes, 'e');
  EXPECT_EQ(StoredForm(row).error, row.error);
  row.error += 'e';
  back = StoredForm(row);
  EXPECT_EQ(back.error, std::string(kCapBytes / 2, 'e') + " [cut: " + std::to_string(kCapBytes + 1) + " bytes]");
}

TEST_P(StoreContract, RowsOfConcurrentWritersAreAllThereInTheirOwnOrder) {
  constexpr int kWriters = 4, kBatches = 10, kRows = 5;
  std::vector<std::thread> threads;
  for (int w = 0; w < kWriters; ++w) {
    threads.emplace_back([&, w] {
      const std::string user = "user_" + std::to_string(w);
      for (int b = 0; b < kBatches; ++b) {
        std::vector<AuditRow> rows;
        for (int r = 0; r < kRows; ++r) rows.push_back(Row(user, std::to_string(b * kRows + r)));
        EXPECT_TRUE(store_->AppendAudit(rows).ok());
        EXPECT_TRUE(store_->CheckCredentials({{user, kSecretA}}).ok());
        EXPECT_TRUE(store_->UpdateStatus({{user, AgentStatus::kConnected, b}}).ok());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(RequestIds(store_->ListAudit({"", 1000})).size(), size_t{kWriters * kBatches * kRows});
  for (int w = 0; w < kWriters; ++w) {
    const auto ids = RequestIds(store_->ListAudit({"user_" + std::to_string(w), 1000}));
    ASSERT_EQ(ids.size(), size_t{kBatches * kRows});
    for (int i = 0; i < kBatches * kRows; ++i) EXPECT_EQ(ids[i], std::to_string(kBatches * kRows - 1 - i));
  }
}

TEST_P(StoreContract, OnlyOneOfConcurrentCreatorsWins) {
  std::vector<std::thread> threads;
  std::atomic<int> created{0}, refused{0};
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      const absl::Status status = store_->CreateCredentials({Hashed("user", MakeSecret())});
      if (status.ok()) ++created;
      if (absl::IsAlreadyExists(status)) ++refused;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(created, 1);
  EXPECT_EQ(refused, 3);
}

// --- rotating and revoking -------------------------------------------------------------------------------------------

TEST_P(StoreContract, ReplacedSecretIsRefusedAndTheNewOneAccepted) {
  for (const auto& old : {Plain("a", kSecretA), Hashed("b", kSecretB)}) {
    ASSERT_TRUE(store_->CreateCredentials({old}).ok());
    const std::string fresh = MakeSecret();
    ASSERT_TRUE(store_->UpdateStatus({{old.user_id, AgentStatus::kConnected, 10}}).ok());
    ASSERT_TRUE(store_->ReplaceSecret(old.user_id, HashSecret(fresh)).ok());
    EXPECT_TRUE(store_->ReplaceSecret(old.user_id, HashSecret(fresh)).ok()) << "also a second time";
    EXPECT_EQ(Check({{old.user_id, old.user_id == "a" ? kSecretA : kSecretB}, {old.user_id, fresh}}),
              (std::vector<bool>{false, true}));
  }
  EXPECT_EQ(store_->ListCredentials("", 1)->front().status, AgentStatus::kConnected);
  EXPECT_EQ(store_->ListCredentials("", 1)->front().created_at_ms, 1000);
}

TEST_P(StoreContract, OnlyAGoodCredentialHasASecretToReplace) {
  const auto replace = [&](const std::string& user, const std::string& stored) {
    return store_->ReplaceSecret(user, stored).code();
  };
  ASSERT_TRUE(store_->CreateCredentials({Hashed("a", kSecretA), Hashed("b", kSecretB)}).ok());
  EXPECT_EQ(replace("nobody", HashSecret(MakeSecret())), absl::StatusCode::kNotFound);
  EXPECT_EQ(replace("a", ""), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(replace("a", MakeRevokedSecret()), absl::StatusCode::kInvalidArgument);
  const absl::Status taken = store_->ReplaceSecret("a", HashSecret(kSecretB));
  EXPECT_EQ(taken.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(taken.message().find(HashSecret(kSecretB).substr(7)), std::string::npos) << taken;
  ASSERT_TRUE(store_->Revoke("b").ok());
  EXPECT_EQ(replace("b", HashSecret(MakeSecret())), absl::StatusCode::kNotFound);
  EXPECT_EQ(Check({{"a", kSecretA}, {"b", kSecretB}}), (std::vector<bool>{true, false}));
}

TEST_P(StoreContract, RevokedCredentialIsListedAndMatchesNothing) {
  ASSERT_TRUE(store_->CreateCredentials({Plain("a", kSecretA), Hashed("b", kSecretB)}).ok());
  ASSERT_TRUE(store_->UpdateStatus({{"a", AgentStatus::kConnected, 10}}).ok());
  for (int repeated = 0; repeated < 2; ++repeated) {
    EXPECT_TRUE(store_->Revoke("a").ok());
    EXPECT_EQ(Check({{"a", kSecretA}, {"a", ""}, {"b", kSecretB}}), (std::vector<bool>{false, false, true}));
    const auto listed = store_->ListCredentials("", 10);
    ASSERT_TRUE(listed.ok());
    ASSERT_EQ(listed->size(), 2u);
    EXPECT_TRUE((*listed)[0].revoked);
    EXPECT_EQ((*listed)[0].status, AgentStatus::kDisconnected);
    EXPECT_EQ((*listed)[0].last_seen_ms, 10);
    EXPECT_FALSE((*listed)[1].revoked);
  }
  EXPECT_TRUE(store_->Revoke("b").ok()) << "their stored texts differ";
  EXPECT_EQ(store_->Revoke("nobody").code(), absl::StatusCode::kNotFound);
}

TEST_P(StoreContract, RevokedCredentialIsReplacedByANewOneOnce) {
  ASSERT_TRUE(store_->CreateCredentials({Hashed("a", kSecretA), Hashed("b", kSecretB)}).ok());
  ASSERT_TRUE(store_->UpdateStatus({{"a", AgentStatus::kConnected, 10}}).ok());
  ASSERT_TRUE(store_->Revoke("a").ok());
  const std::string fresh = MakeSecret();
  const absl::Status twice = store_->CreateCredentials({Hashed("a", MakeSecret()), Hashed("a", MakeSecret())});
  EXPECT_EQ(twice.code(), absl::StatusCode::kAlreadyExists) << twice;
  const absl::Status mixed = store_->CreateCredentials({Hashed("a", MakeSecret()), Hashed("b", MakeSecret())});
  EXPECT_EQ(mixed.code(), absl::StatusCode::kAlreadyExists) << mixed;
  const absl::Status taken = store_->CreateCredentials({Hashed("a", kSecretB)});
  EXPECT_EQ(taken.code(), absl::StatusCode::kAlreadyExists) << taken;
  EXPECT_TRUE(store_->ListCredentials("", 1)->front().revoked) << "all or none";
  ASSERT_TRUE(store_->CreateCredentials({{"a", "win32", HashSecret(fresh), 2000}, Hashed("c", MakeSecret())}).ok());
  const Credential made = store_->ListCredentials("", 1)->front();
  EXPECT_FALSE(made.revoked);
  EXPECT_EQ(made.platform, "win32");
  EXPECT_EQ(made.status, AgentStatus::kPending);
  EXPECT_EQ(made.created_at_ms, 2000);
  EXPECT_FALSE(made.last_seen_ms.has_value());
  EXPECT_EQ(Check({{"a", kSecretA}, {"a", fresh}}), (std::vector<bool>{false, true}));
  EXPECT_EQ(store_->CreateCredentials({Hashed("a", MakeSecret())}).code(), absl::StatusCode::kAlreadyExists);
}

// --- the audit log by user and time ----------------------------------------------------------------------------------

AuditRow RowAt(const std::string& user_id, const std::string& request_id, int64_t at_ms) {
  AuditRow row = Row(user_id, request_id);
  row.created_at_ms = at_ms;
  return row;
}

TEST_P(StoreContract, AuditRowsAreFoundByUserAndTime) {
  ASSERT_TRUE(store_
                  ->AppendAudit({RowAt("a", "1", 1000), RowAt("b", "2", 1001), RowAt("a", "3", 1001),
                                 RowAt("a", "4", 1002), RowAt("b", "5", 2000)})
                  .ok());
  const auto ids = [&](AuditQuery query) { return RequestIds(store_->ListAudit(query)); };
  using Ids = std::vector<std::string>;
  EXPECT_EQ(ids({"", 10, 1001, 1002}), (Ids{"3", "2"})) << "from is in, until is out";
  EXPECT_EQ(ids({"", 10, 1001}), (Ids{"5", "4", "3", "2"}));
  EXPECT_EQ(ids({"", 10, {}, 1001}), (Ids{"1"}));
  EXPECT_EQ(ids({"a", 10, 1001, 3000}), (Ids{"4", "3"}));
  EXPECT_EQ(ids({"a", 1, {}, 1002}), (Ids{"3"}));
  EXPECT_EQ(ids({"", 10, 1002, 1001}), Ids{});
  constexpr int64_t kEnd = std::numeric_limits<int64_t>::max();
  EXPECT_EQ(ids({"b", 10, std::numeric_limits<int64_t>::min(), kEnd}), (Ids{"5", "2"}));
}

// Pages through with rows coming in between: newer ones, and a late one among those not seen yet.
TEST_P(StoreContract, PagesOfAuditRowsNeitherRepeatNorSkipWhileRowsAreAdded) {
  using Ids = std::vector<std::string>;
  ASSERT_TRUE(store_
                  ->AppendAudit({RowAt("a", "1", 1000), RowAt("a", "2", 1000), RowAt("b", "3", 1000),
                                 RowAt("a", "4", 1000), RowAt("a", "5", 1005)})
                  .ok());
  AuditQuery all{"", 2}, of_user{"a", 2};
  all.until_ms = of_user.until_ms = 3000;
  auto page = store_->ListAudit(all);
  EXPECT_EQ(RequestIds(page), (Ids{"5", "4"}));
  all.after = of_user.after = page->back().cursor;
  ASSERT_TRUE(store_->AppendAudit({RowAt("a", "newer", 2000), RowAt("a", "late", 500)}).ok());
  page = store_->ListAudit(all);
  EXPECT_EQ(RequestIds(page), (Ids{"3", "2"}));
  EXPECT_EQ(RequestIds(store_->ListAudit(of_user)), (Ids{"2", "1"}));
  all.after = page->front().cursor;
  EXPECT_EQ(RequestIds(store_->ListAudit(all)), (Ids{"2", "1"})) << "any row may be the last of a page";
  all.after = page->back().cursor;
  EXPECT_EQ(RequestIds(store_->ListAudit(all)), (Ids{"1", "late"}));
  all.from_ms = 600;
  EXPECT_EQ(RequestIds(store_->ListAudit(all)), Ids{"1"});
}

TEST_P(StoreContract, CursorThatIsNoneIsInvalid) {
  ASSERT_TRUE(store_->AppendAudit({Row("a", "1")}).ok());
  for (const char* cursor : {"x", ":", "1", "1:", ":1", "1:x", "x:1", "' OR 1=1"}) {
    AuditQuery query;
    query.after = cursor;
    EXPECT_EQ(store_->ListAudit(query).status().code(), absl::StatusCode::kInvalidArgument) << cursor;
  }
}

// --- secrets ---------------------------------------------------------------------------------------------------------

TEST(Secrets, HashIsThePublishedSha256) {
  EXPECT_EQ(HashSecret("abc"), "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(Secrets, NewSecretsAre64HexDigitsAndDiffer) {
  const std::string one = MakeSecret();
  EXPECT_EQ(one.size(), 64u);
  EXPECT_EQ(one.find_first_not_of("0123456789abcdef"), std::string::npos);
  EXPECT_NE(one, MakeSecret());
}

TEST(Secrets, HexDigitsOfAStoredHashMayBeUpperCase) {
  std::string stored = HashSecret("abc");
  for (size_t i = 7; i < stored.size(); ++i) stored[i] = static_cast<char>(std::toupper(stored[i]));
  EXPECT_TRUE(SecretMatches("abc", stored));
}

TEST(Secrets, MalformedHashesMatchNothing) {
  const std::string hash = HashSecret("abc");
  std::string not_hex = hash;
  not_hex[not_hex.find('f')] = 'g';  // Read carelessly, both have the same low bits.
  for (const std::string& stored :
       {std::string("sha256:"), hash + "0", hash.substr(0, hash.size() - 1), "sha256:0" + hash.substr(7), not_hex}) {
    EXPECT_FALSE(SecretMatches("abc", stored)) << stored;
    EXPECT_FALSE(SecretMatches(stored, stored)) << stored;
  }
}

TEST(Secrets, RevokedMatchesNothingAlsoNotItself) {
  const std::string stored = MakeRevokedSecret();
  EXPECT_EQ(stored.size(), 8 + 64u);
  EXPECT_NE(stored, MakeRevokedSecret());
  for (const std::string& presented : {stored, stored.substr(8), std::string("revoked:"), std::string("revoked:x")}) {
    EXPECT_FALSE(SecretMatches(presented, stored)) << presented;
    EXPECT_FALSE(SecretMatches(presented, "revoked:")) << presented;
    EXPECT_FALSE(SecretMatches(presented, "revoked:x")) << presented;
  }
  EXPECT_TRUE(SecretMatches("revoked", "revoked")) << "a plain secret of the server before";
}

TEST(Secrets, EmptySecretMatchesNothing) {
  EXPECT_FALSE(SecretMatches("", ""));
  EXPECT_FALSE(SecretMatches("", HashSecret("")));
  EXPECT_FALSE(SecretMatches("abc", ""));
}

// --- the SQLite file -------------------------------------------------------------------------------------------------

class SqliteStoreTest : public ::testing::Test {
 protected:
  // Every byte of the database and the files beside it.
  std::string AllBytes() const {
    std::string bytes;
    for (const char* suffix : {"", "-wal", "-shm"}) {
      std::ifstream file(path_ + suffix, std::ios::binary);
      std::ostringstream content;
      content << file.rdbuf();
      bytes += content.str();
    }
    return bytes;
  }

  TempDir dir_;
  const std::string path_ = dir_.File("store.db");
};

TEST_F(SqliteStoreTest, ReopenedFileHasEverything) {
  {
    auto store = OpenSqlite(path_);
    ASSERT_TRUE(store->CreateCredentials({Hashed("user", kSecretA)}).ok());
    ASSERT_TRUE(store->UpdateStatus({{"user", AgentStatus::kConnected, 42}}).ok());
    ASSERT_TRUE(store->AppendAudit({Row("user", "1"), Row("user", "2")}).ok());
  }
  auto store = OpenSqlite(path_);
  EXPECT_EQ(*store->CheckCredentials({{"user", kSecretA}}), std::vector<bool>{true});
  EXPECT_EQ(store->ListCredentials("", 1)->front().last_seen_ms, 42);
  ASSERT_TRUE(store->AppendAudit({Row("user", "3")}).ok());
  EXPECT_EQ(RequestIds(store->ListAudit({"user", 10})), (std::vector<std::string>{"3", "2", "1"}));
}

TEST_F(SqliteStoreTest, TwoStoresOnOneFileSeeEachOther) {
  auto one = OpenSqlite(path_);
  auto other = OpenSqlite(path_);
  ASSERT_TRUE(one->CreateCredentials({Hashed("user", kSecretA)}).ok());
  EXPECT_EQ(*other->CheckCredentials({{"user", kSecretA}}), std::vector<bool>{true});
  EXPECT_TRUE(absl::IsAlreadyExists(other->CreateCredentials({Hashed("user", kSecretB)})));

  std::vector<std::thread> threads;
  for (SqliteStore* store : {one.get(), other.get()}) {
    threads.emplace_back([store] {
      for (int i = 0; i < 50; ++i) EXPECT_TRUE(store->AppendAudit({Row("user", "x"), Row("user", "y")}).ok());
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(RequestIds(one->ListAudit({"user", 1000})).size(), 200u);
  other.reset();  // Must not take the locks of the one that stays.
  ASSERT_TRUE(one->AppendAudit({Row("user", "last")}).ok());
  EXPECT_EQ(RequestIds(OpenSqlite(path_)->ListAudit({"", 1})), std::vector<std::string>{"last"});
}

TEST_F(SqliteStoreTest, StoresThatOpenANewFileAtOnceAllSucceed) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      auto store = OpenSqlite(path_);
      ASSERT_NE(store, nullptr);
      EXPECT_TRUE(store->AppendAudit({Row("user", std::to_string(t))}).ok());
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(RequestIds(OpenSqlite(path_)->ListAudit({"", 10})).size(), 4u);
}

TEST_F(SqliteStoreTest, HashedSecretsAreNotInTheFiles) {
  const std::string secret = MakeSecret();
  auto store = OpenSqlite(path_);
  ASSERT_TRUE(store->CreateCredentials({Hashed("user", secret)}).ok());
  ASSERT_EQ(*store->CheckCredentials({{"user", secret}}), std::vector<bool>{true});
  EXPECT_NE(AllBytes().find(HashSecret(secret)), std::string::npos);
  EXPECT_EQ(AllBytes().find(secret), std::string::npos);
  store.reset();
  EXPECT_EQ(AllBytes().find(secret), std::string::npos);
}

TEST_F(SqliteStoreTest, FilesAreOfTheOwnerOnly) {
  auto store = OpenSqlite(path_);
  ASSERT_TRUE(store->AppendAudit({Row("user", "1")}).ok());
  for (const char* suffix : {"", "-wal", "-shm"}) {
    struct stat info {};
    ASSERT_EQ(stat((path_ + suffix).c_str(), &info), 0) << suffix;
    EXPECT_EQ(info.st_mode & 0777, 0600u) << suffix;
  }
}

TEST_F(SqliteStoreTest, PathThatCannotBeOpenedIsUnavailable) {
  for (const std::string& path : {dir_.File("missing/store.db"), dir_.File("")}) {
    auto store = SqliteStore::Open({path, kCapBytes});
    EXPECT_TRUE(absl::IsUnavailable(store.status())) << store.status();
    EXPECT_NE(store.status().message().find(path), std::string::npos) << store.status();
  }
}

TEST_F(SqliteStoreTest, MemoryAndNamelessDatabasesAreInvalid) {
  EXPECT_TRUE(absl::IsInvalidArgument(SqliteStore::Open({":memory:", kCapBytes}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(SqliteStore::Open({"", kCapBytes}).status()));
}

TEST_F(SqliteStoreTest, FileThatIsNoDatabaseIsAnErrorAndIsLeftAlone) {
  const std::string text(5000, 'x');
  std::ofstream(path_) << text;
  auto store = SqliteStore::Open({path_, kCapBytes});
  EXPECT_TRUE(absl::IsInternal(store.status())) << store.status();
  EXPECT_EQ(AllBytes(), text);
}

TEST_F(SqliteStoreTest, FileOfTheFirstVersionIsBroughtUpToDateAndKeepsItsRows) {
  ASSERT_TRUE(OpenSqlite(path_)->AppendAudit({Row("user", "1"), Row("user", "2")}).ok());
  sqlite3* db = nullptr;
  ASSERT_EQ(sqlite3_open(path_.c_str(), &db), SQLITE_OK);
  constexpr char kAsInTheFirst[] =
      "DROP INDEX tool_execution_logs_created_at; DROP INDEX tool_execution_logs_call_id; ALTER TABLE "
      "tool_execution_logs DROP COLUMN call_id;"
      " PRAGMA user_version = 1";
  EXPECT_EQ(sqlite3_exec(db, kAsInTheFirst, nullptr, nullptr, nullptr), SQLITE_OK) << sqlite3_errmsg(db);
  sqlite3_close(db);
  auto store = OpenSqlite(path_);
  ASSERT_NE(store, nullptr);
  ASSERT_TRUE(store->AppendAudit({RowOfCall("c1", "3"), RowOfCall("c1", "3 again")}).ok());
  EXPECT_EQ(RequestIds(store->ListAudit({"", 10})), (std::vector<std::string>{"3", "2", "1"}));
}

TEST_F(SqliteStoreTest, FileOfANewerProgramIsUsedAsItIs) {
  OpenSqlite(path_)->CreateCredentials({Hashed("user", kSecretA)}).IgnoreError();
  // Byte 63 of a SQLite file is the lowest of its user_version, where the store keeps the version of its tables.
  const auto version = [&](std::optional<char> set) {
    std::fstream file(path_, std::ios::binary | std::ios::in | std::ios::out);
    if (set) file.seekp(63).put(*set);
    return file.seekg(63).get();
  };
  EXPECT_EQ(version(std::nullopt), 3);
  version(99);
  {
    auto store = OpenSqlite(path_);
    ASSERT_NE(store, nullptr);
    EXPECT_EQ(*store->CheckCredentials({{"user", kSecretA}}), std::vector<bool>{true});
    EXPECT_TRUE(store->AppendAudit({Row("user", "1")}).ok());
  }
  EXPECT_EQ(version(std::nullopt), 99);
}

// A full disk is played by the limit on file sizes: writes past it fail as they do there.
TEST_F(SqliteStoreTest, FullDiskIsUnavailableLeavesNoHalfBatchAndHeals) {
  auto store = OpenSqlite(path_);
  ASSERT_TRUE(store->AppendAudit({Row("user", "first")}).ok());
  std::vector<AuditRow> batch(500, Row("user", "lost"));
  struct rlimit before {};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  struct rlimit full = before;
  full.rlim_cur = std::filesystem::file_size(path_ + "-wal") + 8192;
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &full), 0);
  const absl::Status status = store->AppendAudit(batch);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, old_handler);

  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_EQ(RequestIds(store->ListAudit({"", 1000})), std::vector<std::string>{"first"});
  ASSERT_TRUE(store->AppendAudit({Row("user", "next")}).ok());
  EXPECT_EQ(RequestIds(store->ListAudit({"", 1000})), (std::vector<std::string>{"next", "first"}));
}

}  // namespace
}  // namespace toolwire
