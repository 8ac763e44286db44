// What every store keeps, as one body of tests over each implementation: here credentials, and the implementations.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "common/store/migration.h"
#include "common/store/pg_store.h"
#include "common/store/secret.h"
#include "common/store/sqlite_store.h"
#include "tests/contract/store_contract_fixture.h"
#include "tests/fakes/memory_store.h"
#include "tests/support/postgres_server.h"

namespace toolwire {
namespace {

std::unique_ptr<Store> OpenPostgres() {
  PgOptions options;
  options.url = PostgresServer::Shared()->NewDatabase();
  StoreOptions lacking;
  lacking.database = options;
  const auto made = Migrate(lacking, std::chrono::seconds(60), {[](const auto&) {}, [](const auto&) {}});
  EXPECT_TRUE(made.ok()) << made.status();
  auto store = OpenPgStore(options, kCapBytes);
  EXPECT_TRUE(store.ok()) << store.status();
  return store.ok() ? std::move(*store) : nullptr;
}

// What jsonb, which keeps values and not their text, takes for the same.
bool IsSameJsonb(const std::string& a, const std::string& b) {
  static const std::string database = PostgresServer::Shared()->NewDatabase();
  return a == b || Query(database, "SELECT $1::jsonb = $2::jsonb", {a, b})[0][0] == "t";
}

Store::NewCredential Plain(const std::string& user_id, const std::string& secret) {
  return {user_id, "linux", secret, 1000};
}

INSTANTIATE_TEST_SUITE_P(
    AllStores, StoreContract,
    ::testing::Values(
        StoreImplementation{"Sqlite", [](const TempDir& dir) { return OpenSqlite(dir.File("store.db")); }},
        StoreImplementation{"Memory", [](const TempDir&) { return std::make_unique<MemoryStore>(kCapBytes); }},
        StoreImplementation{"Postgres", [](const TempDir&) { return OpenPostgres(); }, IsSameJsonb, true}),
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

TEST_P(StoreContract, DigestOfASecretIsRightUntilTheSecretIsReplacedOrRevoked) {
  ASSERT_TRUE(store_->CreateCredentials({Hashed("a", kSecretA), {"plain", "linux", kSecretB, 1000}}).ok());
  const SecretDigest a = DigestOfSecret(kSecretA), b = DigestOfSecret(kSecretB);
  const auto check = [&](const std::vector<SecretCheck>& checks) {
    const auto verdicts = store_->CheckDigests(checks);
    EXPECT_TRUE(verdicts.ok()) << verdicts.status();
    return verdicts.ok() ? *verdicts : std::vector<bool>();
  };
  EXPECT_EQ(check({{"plain", b}, {"a", a}, {"a", b}, {"nobody", a}, {"a", {}}, {"a", a}}),
            (std::vector<bool>{true, true, false, false, false, true}));
  EXPECT_TRUE(check({}).empty());
  const std::string next = MakeSecret();
  ASSERT_TRUE(store_->ReplaceSecret("a", HashSecret(next)).ok());
  EXPECT_EQ(check({{"a", a}, {"a", DigestOfSecret(next)}}), (std::vector<bool>{false, true}));
  ASSERT_TRUE(store_->Revoke("a").ok());
  EXPECT_EQ(check({{"a", a}, {"a", DigestOfSecret(next)}, {"plain", b}}), (std::vector<bool>{false, false, true}));
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

TEST_P(StoreContract, OfSeveralLeasesTheNewestDecidesWhateverTheClocksOfEdgesSay) {
  ASSERT_TRUE(store_->CreateCredentials({Hashed("a", kSecretA)}).ok());
  const auto after = [&](AgentStatus status, int64_t at_ms, uint64_t epoch) {
    const auto held = store_->UpdateStatus({{"a", status, at_ms, epoch}});
    EXPECT_TRUE(held.ok() && held->empty());
    return store_->ListCredentials("", 1)->front().status;
  };
  constexpr int64_t kNow = 1763300000000;
  EXPECT_EQ(after(AgentStatus::kConnected, kNow, 10), AgentStatus::kConnected);
  EXPECT_EQ(after(AgentStatus::kDisconnected, kNow - 3600000, 10), AgentStatus::kDisconnected) << "a clock set back";
  EXPECT_EQ(after(AgentStatus::kConnected, kNow + 1, 10), AgentStatus::kDisconnected) << "a lease ends once";
  EXPECT_EQ(after(AgentStatus::kConnected, kNow - 3600000, 12), AgentStatus::kConnected);
  EXPECT_EQ(after(AgentStatus::kDisconnected, kNow + 3600000, 10), AgentStatus::kConnected) << "late, of the older edge";
  EXPECT_EQ(after(AgentStatus::kDisconnected, kNow - 1, 12), AgentStatus::kDisconnected);
  ASSERT_TRUE(store_->Revoke("a").ok());
  EXPECT_EQ(after(AgentStatus::kConnected, kNow, 11), AgentStatus::kDisconnected);
}

TEST_P(StoreContract, LastSeenNeverGoesBack) {
  ASSERT_TRUE(store_->CreateCredentials({Hashed("a", kSecretA)}).ok());
  constexpr int64_t kNow = 1763300000000;
  const auto seen = [&](AgentStatus status, int64_t at_ms, uint64_t epoch) {
    EXPECT_TRUE(store_->UpdateStatus({{"a", status, at_ms, epoch}}).ok());
    return store_->ListCredentials("", 1)->front().last_seen_ms;
  };
  EXPECT_EQ(seen(AgentStatus::kConnected, kNow, 10), kNow);
  EXPECT_EQ(seen(AgentStatus::kDisconnected, kNow - 5000, 10), kNow);
  EXPECT_EQ(seen(AgentStatus::kConnected, kNow - 4000, 12), kNow);
  EXPECT_EQ(seen(AgentStatus::kConnected, kNow - 3000, 0), kNow) << "also where no lease is known";
  EXPECT_EQ(seen(AgentStatus::kDisconnected, kNow + 1, 12), kNow + 1);
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

TEST_P(StoreContract, WhoHasACredentialIsKnownBeforeItsSecretIsReplaced) {
  ASSERT_TRUE(store_->CreateCredentials({Plain("a", kSecretA), Hashed("b", kSecretB)}).ok());
  ASSERT_TRUE(store_->Revoke("b").ok());
  EXPECT_TRUE(*store_->HasCredential("a"));
  for (const char* user : {"b", "nobody", ""}) EXPECT_FALSE(*store_->HasCredential(user)) << user;
  EXPECT_EQ(Check({{"a", kSecretA}}), std::vector<bool>{true});
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

}  // namespace
}  // namespace toolwire
