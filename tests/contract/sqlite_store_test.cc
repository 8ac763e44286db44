// What only the SQLite store promises: its file.
#include "common/store/sqlite_store.h"

#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "common/store/secret.h"
#include "tests/contract/store_contract_fixture.h"
#include "tests/fakes/temp_dir.h"

namespace toolwire {
namespace {

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

TEST_F(SqliteStoreTest, FileThatWasMovedOrReplacedIsUnavailableUntilItIsBack) {
  auto store = OpenSqlite(path_);
  ASSERT_TRUE(store->CreateCredentials({Hashed("user", kSecretA)}).ok());
  const auto all = [&] {
    const std::vector<absl::Status> statuses = {store->AppendAudit({Row("user", "1")}),
                                                store->CheckCredentials({{"user", kSecretA}}).status(),
                                                store->CheckDigests({{"user", DigestOfSecret(kSecretA)}}).status(),
                                                store->UpdateStatus({{"user", AgentStatus::kConnected, 1}}).status(),
                                                store->CreateCredentials({Hashed("other", kSecretB)}),
                                                store->ReplaceSecret("user", HashSecret("new")),
                                                store->Revoke("user"),
                                                store->ListCredentials("", 1).status(),
                                                store->ListAudit({"", 1}).status()};
    return statuses;
  };
  std::filesystem::rename(path_, path_ + ".moved");
  for (const absl::Status& status : all()) EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  std::ofstream(path_) << "another";
  for (const absl::Status& status : all()) EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  std::filesystem::rename(path_ + ".moved", path_);
  EXPECT_EQ(*store->CheckCredentials({{"user", kSecretA}}), std::vector<bool>{true});
  EXPECT_TRUE(store->AppendAudit({Row("user", "1")}).ok());
  EXPECT_EQ(RequestIds(OpenSqlite(path_)->ListAudit({"", 10})), std::vector<std::string>{"1"});
}

TEST_F(SqliteStoreTest, EachFileSaysWhatItIsAndSaysSoWhereverItIs) {
  const auto identity = [](const std::string& path) { return *OpenSqlite(path)->Identity(); };
  const std::string one = identity(path_);
  EXPECT_EQ(identity(path_), one);
  EXPECT_NE(identity(path_ + "2"), one);
  std::filesystem::copy(path_, path_ + "3");
  EXPECT_EQ(identity(path_ + "3"), one);
}

TEST_F(SqliteStoreTest, RowsLargerThanAPageAreCutWhateverWasAllowedToBeWritten) {
  auto store = OpenSqliteStore(path_, 16u << 20);
  ASSERT_TRUE(store.ok()) << store.status();
  AuditRow large = Row("user", "large"), whole = Row("user", "whole");
  large.params_json = "\"" + std::string(kListedJsonBytesMax - 1, 'x') + "\"";
  large.error = std::string(kListedTextBytesMax + 1, 'e');
  whole.params_json = "\"" + std::string(kListedJsonBytesMax - 2, 'x') + "\"";
  whole.error = std::string(kListedTextBytesMax, 'e');
  ASSERT_TRUE((*store)->AppendAudit({large, whole}).ok());
  const auto rows = (*store)->ListAudit({"", 10});
  ASSERT_TRUE(rows.ok()) << rows.status();
  ASSERT_EQ(rows->size(), 2u);
  EXPECT_EQ((*rows)[0].params_json, whole.params_json);
  EXPECT_EQ((*rows)[0].error, whole.error);
  EXPECT_EQ((*rows)[1].params_json.substr(0, 51), "{\"toolwire_truncated\":true,\"bytes\":1048577,\"prefix\"");
  EXPECT_LE((*rows)[1].params_json.size(), kListedJsonBytesMax);
  EXPECT_NE((*rows)[1].error.find("[cut: 131073 bytes]"), std::string::npos);
}

TEST_F(SqliteStoreTest, TwoStoresOnOneFileSeeEachOther) {
  auto one = OpenSqlite(path_);
  auto other = OpenSqlite(path_);
  ASSERT_TRUE(one->CreateCredentials({Hashed("user", kSecretA)}).ok());
  EXPECT_EQ(*other->CheckCredentials({{"user", kSecretA}}), std::vector<bool>{true});
  EXPECT_TRUE(absl::IsAlreadyExists(other->CreateCredentials({Hashed("user", kSecretB)})));

  std::vector<std::thread> threads;
  for (Store* store : {one.get(), other.get()}) {
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

TEST_F(SqliteStoreTest, AfterTheDeadlineOfAStopALockedFileIsNotWaitedFor) {
  auto store = OpenSqlite(path_);
  ASSERT_TRUE(store->CreateCredentials({Hashed("user", kSecretA)}).ok());
  sqlite3* other = nullptr;
  ASSERT_EQ(sqlite3_open(path_.c_str(), &other), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(other, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr), SQLITE_OK);
  const auto begun = std::chrono::steady_clock::now();
  store->EndBy(begun);
  EXPECT_TRUE(absl::IsUnavailable(store->UpdateStatus({{"user", AgentStatus::kConnected, 42}}).status()));
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(4));  // Else it waits for 5 s.
  sqlite3_close(other);
  EXPECT_TRUE(store->UpdateStatus({{"user", AgentStatus::kConnected, 42}}).ok());
}

TEST_F(SqliteStoreTest, ListWhoseCallerHasGoneEnds) {
  auto store = OpenSqlite(path_);
  std::vector<AuditRow> rows(20000);
  for (AuditRow& row : rows) row.user_id = "user", row.request_id = "r", row.tool = "t";
  ASSERT_TRUE(store->AppendAudit(rows).ok());
  EXPECT_TRUE(absl::IsCancelled(store->ListAudit({"", 20000}, [] { return true; }).status()));
  EXPECT_EQ(store->ListAudit({"", 20000}, [] { return false; })->size(), rows.size());
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
    auto store = OpenSqliteStore(path, kCapBytes);
    EXPECT_TRUE(absl::IsUnavailable(store.status())) << store.status();
    EXPECT_NE(store.status().message().find(path), std::string::npos) << store.status();
  }
}

TEST_F(SqliteStoreTest, MemoryAndNamelessDatabasesAreInvalid) {
  EXPECT_TRUE(absl::IsInvalidArgument(OpenSqliteStore(":memory:", kCapBytes).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(OpenSqliteStore("", kCapBytes).status()));
}

TEST_F(SqliteStoreTest, FileThatIsNoDatabaseIsAnErrorAndIsLeftAlone) {
  const std::string text(5000, 'x');
  std::ofstream(path_) << text;
  auto store = OpenSqliteStore(path_, kCapBytes);
  EXPECT_TRUE(absl::IsInternal(store.status())) << store.status();
  EXPECT_EQ(AllBytes(), text);
}

TEST_F(SqliteStoreTest, FileOfTheFirstVersionIsBroughtUpToDateAndKeepsItsRows) {
  ASSERT_TRUE(OpenSqlite(path_)->AppendAudit({Row("user", "1"), Row("user", "2")}).ok());
  sqlite3* db = nullptr;
  ASSERT_EQ(sqlite3_open(path_.c_str(), &db), SQLITE_OK);
  constexpr char kAsInTheFirst[] =
      "DROP INDEX tool_execution_logs_created_at; DROP INDEX tool_execution_logs_call_id; ALTER TABLE "
      "tool_execution_logs DROP COLUMN call_id; ALTER TABLE tool_execution_logs DROP COLUMN caller;"
      "ALTER TABLE agent_credentials DROP COLUMN status_epoch;"
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
  EXPECT_EQ(version(std::nullopt), 5);
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
