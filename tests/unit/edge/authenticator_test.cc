#include "edge/authenticator.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <future>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "common/store/secret.h"
#include "tests/fakes/memory_store.h"
#include "tests/support/await.h"

namespace toolwire {
namespace {

// A hang is a failure after this long; nothing is measured by it.
constexpr Duration kForever = std::chrono::seconds(60);

// A store that writes down its statements, can be held before each of them, and fails as the test decides.
class GatedStore final : public Store {
 public:
  // Decides about the statement with this number, counted from 1 for each of the two methods.
  using Judge = std::function<absl::Status(int number)>;

  explicit GatedStore(std::vector<std::string> users = {}) {
    for (const std::string& user : users) {
      EXPECT_TRUE(kept_.CreateCredentials({{user, "linux", HashSecret("secret of " + user), 1}}).ok());
    }
  }

  void Hold() {
    Change([this] { held_ = true; });
  }
  void LetGo() {
    Change([this] { held_ = false; });
  }
  // Updates alone.
  void HoldUpdates(bool held) {
    Change([&] { updates_held_ = held; });
  }
  // Updates of this user are returned, as those whose rows others hold locked.
  void HoldRowOf(const std::string& user) {
    Change([&] { held_user_ = user; });
  }
  void JudgeChecks(Judge judge) {
    Change([&] { judge_checks_ = std::move(judge); });
  }
  void JudgeUpdates(Judge judge) {
    Change([&] { judge_updates_ = std::move(judge); });
  }
  // Before all checks.
  void RefuseChecksOf(const std::string& user) { refused_user_ = user; }
  // Statements that began, refused ones included.
  void WaitForStatements(size_t count) {
    std::unique_lock<std::mutex> lock(mu_);
    ASSERT_TRUE(changed_.wait_for(lock, kForever, [&] { return statements_.size() >= count; }));
  }
  void WaitForUpdates(size_t batches) {
    std::unique_lock<std::mutex> lock(mu_);
    ASSERT_TRUE(changed_.wait_for(lock, kForever, [&] { return updates_.size() >= batches; }));
  }
  // "check 512", "update 3", in their order.
  std::vector<std::string> statements() {
    std::lock_guard<std::mutex> lock(mu_);
    return statements_;
  }
  // The batches that were applied: "user_1 connected".
  std::vector<std::vector<std::string>> updates() {
    std::lock_guard<std::mutex> lock(mu_);
    return updates_;
  }

  absl::StatusOr<std::vector<bool>> CheckCredentials(const std::vector<CredentialCheck>& checks) override {
    if (absl::Status status = Pass("check", checks.size(), &checks_, judge_checks_); !status.ok()) return status;
    for (const CredentialCheck& check : checks) {
      if (!refused_user_.empty() && check.user_id == refused_user_) return absl::InternalError("a damaged page");
    }
    return kept_.CheckCredentials(checks);
  }
  absl::StatusOr<std::vector<bool>> CheckDigests(const std::vector<SecretCheck>& checks) override {
    if (absl::Status status = Pass("recheck", checks.size(), &checks_, judge_checks_); !status.ok()) return status;
    return kept_.CheckDigests(checks);
  }
  absl::StatusOr<std::vector<StatusUpdate>> UpdateStatus(const std::vector<StatusUpdate>& updates) override {
    if (absl::Status status = Pass("update", updates.size(), &update_attempts_, judge_updates_); !status.ok()) {
      return status;
    }
    std::vector<StatusUpdate> taken, held;
    Change([&] {
      updates_.emplace_back();
      for (const StatusUpdate& one : updates) {
        (one.user_id == held_user_ ? held : taken).push_back(one);
        if (one.user_id != held_user_) updates_.back().push_back(one.user_id + " " + StatusWord(one.status));
      }
    });
    if (auto status = kept_.UpdateStatus(taken); !status.ok()) return status;
    return held;
  }

  absl::Status AppendAudit(const std::vector<AuditRow>&) override { return Unused(); }
  absl::Status CreateCredentials(const std::vector<NewCredential>&) override { return Unused(); }
  using Store::ListCredentials;
  absl::StatusOr<std::vector<Credential>> ListCredentials(const std::string& after, int limit,
                                                          const IsGone& is_gone) override {
    return kept_.ListCredentials(after, limit, is_gone);
  }
  absl::Status ReplaceSecret(const std::string&, const std::string&) override { return Unused(); }
  absl::Status Revoke(const std::string&) override { return Unused(); }
  absl::StatusOr<std::vector<ListedAuditRow>> ListAudit(const AuditQuery&, const IsGone&) override { return Unused(); }

 private:
  static absl::Status Unused() { return absl::UnimplementedError("the authenticator does not need it"); }
  template <typename Do>
  void Change(Do what) {
    std::lock_guard<std::mutex> lock(mu_);
    what();
    changed_.notify_all();
  }
  absl::Status Pass(const std::string& name, size_t rows, int* count, const Judge& judge) {
    std::unique_lock<std::mutex> lock(mu_);
    statements_.push_back(name + " " + std::to_string(rows));
    changed_.notify_all();
    changed_.wait(lock, [&] { return !held_ && !(updates_held_ && name == "update"); });
    ++*count;
    return judge ? judge(*count) : absl::OkStatus();
  }

  MemoryStore kept_;
  std::mutex mu_;
  std::condition_variable changed_;
  bool held_ = false;  // Guarded by mu_, as are the others.
  bool updates_held_ = false;
  std::string held_user_;
  int checks_ = 0;
  int update_attempts_ = 0;
  std::string refused_user_;  // Empty: nobody.
  Judge judge_checks_;
  Judge judge_updates_;
  std::vector<std::string> statements_;
  std::vector<std::vector<std::string>> updates_;
};

// Verdicts by user, as they come.
class Verdicts {
 public:
  Authenticator::Done For(const std::string& user) {
    return [this, user](Verdict verdict) {
      std::lock_guard<std::mutex> lock(mu_);
      ++count_;
      verdicts_[user].push_back(verdict);
      threads_[std::this_thread::get_id()] += 1;
      changed_.notify_all();
    };
  }
  void WaitFor(size_t count) {
    std::unique_lock<std::mutex> lock(mu_);
    ASSERT_TRUE(changed_.wait_for(lock, kForever, [&] { return count_ >= count; }));
  }
  std::vector<Verdict> Of(const std::string& user) {
    std::lock_guard<std::mutex> lock(mu_);
    return verdicts_[user];
  }
  size_t count() {
    std::lock_guard<std::mutex> lock(mu_);
    return count_;
  }
  size_t most_of_one() {
    std::lock_guard<std::mutex> lock(mu_);
    size_t most = 0;
    for (const auto& [user, verdicts] : verdicts_) most = std::max(most, verdicts.size());
    return most;
  }
  std::map<std::thread::id, int> threads() {
    std::lock_guard<std::mutex> lock(mu_);
    return threads_;
  }

 private:
  std::mutex mu_;
  std::condition_variable changed_;
  size_t count_ = 0;  // Guarded by mu_, as are the others.
  std::map<std::string, std::vector<Verdict>> verdicts_;
  std::map<std::thread::id, int> threads_;
};

CredentialCheck Right(const std::string& user) { return {user, "secret of " + user}; }
StatusUpdate Update(const std::string& user, AgentStatus status) { return {user, status, 5}; }
std::string User(int number) { return "user_" + std::to_string(number); }

using Strings = std::vector<std::string>;

TEST(AuthenticatorTest, RightAndWrongCredentialsAreToldApart) {
  GatedStore store({"user_1", "user_2"});
  Verdicts verdicts;
  Authenticator authenticator(store);
  authenticator.Check(Right("user_1"), verdicts.For("user_1"));
  authenticator.Check({"user_2", "secret of user_1"}, verdicts.For("user_2"));
  authenticator.Check(Right("nobody"), verdicts.For("nobody"));
  verdicts.WaitFor(3);
  EXPECT_EQ(verdicts.Of("user_1"), std::vector<Verdict>{Verdict::kRight});
  EXPECT_EQ(verdicts.Of("user_2"), std::vector<Verdict>{Verdict::kWrong});
  EXPECT_EQ(verdicts.Of("nobody"), std::vector<Verdict>{Verdict::kWrong});
  EXPECT_EQ(authenticator.counters().checks.value(), 3u);
  EXPECT_EQ(authenticator.counters().right.value(), 1u);
  EXPECT_EQ(authenticator.counters().wrong.value(), 2u);
}

TEST(AuthenticatorTest, VerdictsComeOnTheAuthenticatorsOwnThread) {
  GatedStore store;
  Verdicts verdicts;
  Authenticator authenticator(store);
  for (int i = 0; i < 100; ++i) authenticator.Check(Right(User(i)), verdicts.For(User(i)));
  verdicts.WaitFor(100);
  EXPECT_EQ(verdicts.threads().size(), 1u);
  EXPECT_EQ(verdicts.threads().count(std::this_thread::get_id()), 0u);
}

TEST(AuthenticatorTest, StormOfLoginsIsAFewLargeStatements) {
  Strings users;
  for (int i = 0; i < 1200; i += 2) users.push_back(User(i));
  GatedStore store(users);
  store.Hold();
  Verdicts verdicts;
  Authenticator authenticator(store);
  authenticator.Check(Right(User(0)), verdicts.For(User(0)));
  ASSERT_NO_FATAL_FAILURE(store.WaitForStatements(1));
  for (int i = 1; i < 1200; ++i) authenticator.Check(Right(User(i)), verdicts.For(User(i)));
  store.LetGo();
  verdicts.WaitFor(1200);
  ASSERT_EQ(Authenticator::kBatchMax, 512u);
  EXPECT_EQ(store.statements(), (Strings{"check 1", "check 512", "check 512", "check 175"}));
  EXPECT_EQ(authenticator.counters().statements.value(), 4u);
  for (int i = 0; i < 1200; ++i) {
    EXPECT_EQ(verdicts.Of(User(i)), std::vector<Verdict>{i % 2 == 0 ? Verdict::kRight : Verdict::kWrong}) << i;
  }
}

TEST(AuthenticatorTest, WhileTheStoreIsUnavailableChecksReportItAtOnce) {
  GatedStore store({"user_1"});
  store.JudgeChecks([](int) { return absl::UnavailableError("no route"); });
  Verdicts verdicts;
  Authenticator authenticator(store);
  authenticator.Check(Right("user_1"), verdicts.For("unavailable"));
  verdicts.WaitFor(1);
  store.JudgeChecks([](int) { return absl::InternalError("disk is broken"); });
  authenticator.Check(Right("user_1"), verdicts.For("broken"));
  verdicts.WaitFor(2);
  store.JudgeChecks(nullptr);
  authenticator.Check(Right("user_1"), verdicts.For("back"));
  verdicts.WaitFor(3);
  EXPECT_EQ(verdicts.Of("unavailable"), std::vector<Verdict>{Verdict::kStoreUnavailable});
  EXPECT_EQ(verdicts.Of("broken"), std::vector<Verdict>{Verdict::kInternal});
  EXPECT_EQ(verdicts.Of("back"), std::vector<Verdict>{Verdict::kRight});
  EXPECT_EQ(authenticator.counters().store_errors.value(), 2u);
  EXPECT_EQ(authenticator.counters().wrong.value(), 0u) << "no secret was found to be wrong";
}

TEST(AuthenticatorTest, CheckThatTheStoreRefusesFailsNoOther) {
  std::vector<std::string> users;
  for (int i = 0; i < 40; ++i) users.push_back(User(i));
  GatedStore store(users);
  store.RefuseChecksOf(User(17));
  store.Hold();
  Verdicts verdicts;
  Authenticator authenticator(store);
  for (const std::string& user : users) authenticator.Check(Right(user), verdicts.For(user));
  store.LetGo();
  verdicts.WaitFor(40);
  for (const std::string& user : users) {
    const Verdict right = user == User(17) ? Verdict::kInternal : Verdict::kRight;
    EXPECT_EQ(verdicts.Of(user), std::vector<Verdict>{right}) << user;
  }
  EXPECT_EQ(authenticator.counters().checks.value(), 40u);
  EXPECT_LE(authenticator.counters().statements.value(), 20u);
}

TEST(AuthenticatorTest, ThatTheStoreIsBackIsFoundOutWithoutLogins) {
  GatedStore store({"user_1"});
  store.JudgeChecks([](int) { return absl::UnavailableError("no route"); });
  Verdicts verdicts;
  Authenticator authenticator(store);
  authenticator.Check(Right("user_1"), verdicts.For("unavailable"));
  verdicts.WaitFor(1);
  EXPECT_TRUE(authenticator.store_unavailable());
  ASSERT_NO_FATAL_FAILURE(store.WaitForStatements(2));  // It asks by itself.
  store.JudgeChecks(nullptr);
  const auto give_up = std::chrono::steady_clock::now() + kForever;
  while (authenticator.store_unavailable() && std::chrono::steady_clock::now() < give_up) std::this_thread::yield();
  EXPECT_FALSE(authenticator.store_unavailable());
}

TEST(AuthenticatorTest, StatusThatIsHeldUpHoldsUpNoLogin) {
  GatedStore store({"user_1"});
  store.HoldUpdates(true);
  Verdicts verdicts;
  Authenticator authenticator(store);
  authenticator.ReportStatus(Update("user_1", AgentStatus::kConnected));
  ASSERT_NO_FATAL_FAILURE(store.WaitForStatements(1));
  for (int i = 1; i <= 3; ++i) {
    authenticator.Check(Right("user_1"), verdicts.For("user_1"));
    verdicts.WaitFor(static_cast<size_t>(i));
  }
  EXPECT_EQ(verdicts.Of("user_1"), std::vector<Verdict>(3, Verdict::kRight));
  EXPECT_EQ(store.updates().size(), 0u);
  store.HoldUpdates(false);
  ASSERT_NO_FATAL_FAILURE(store.WaitForUpdates(1));
}

TEST(AuthenticatorTest, StatusThatCannotBeWrittenDoesNotMeanThatTheStoreIsAway) {
  GatedStore store({"user_1"});
  store.JudgeUpdates([](int) { return absl::UnavailableError("locked"); });
  Authenticator authenticator(store);
  authenticator.ReportStatus(Update("user_1", AgentStatus::kConnected));
  ASSERT_NO_FATAL_FAILURE(store.WaitForStatements(2));
  EXPECT_FALSE(authenticator.store_unavailable());
}

TEST(AuthenticatorTest, UpdateOfALockedRowIsTriedAgainAndTheOthersAreWritten) {
  GatedStore store({"user_1", "user_2"});
  store.HoldRowOf("user_1");
  store.HoldUpdates(true);
  Authenticator authenticator(store);
  authenticator.ReportStatus(Update("user_1", AgentStatus::kConnected));
  authenticator.ReportStatus(Update("user_2", AgentStatus::kConnected));
  store.HoldUpdates(false);
  ASSERT_NO_FATAL_FAILURE(store.WaitForUpdates(2));
  const auto status_of = [&](size_t i) { return store.ListCredentials("", 10)->at(i).status; };
  store.HoldRowOf("");
  const auto give_up = std::chrono::steady_clock::now() + kForever;
  while (status_of(0) != AgentStatus::kConnected && std::chrono::steady_clock::now() < give_up) {
    std::this_thread::yield();
  }
  EXPECT_EQ(status_of(0), AgentStatus::kConnected);
  EXPECT_EQ(status_of(1), AgentStatus::kConnected);
  EXPECT_GE(authenticator.counters().status_held.value(), 1u);
}

TEST(AuthenticatorTest, UpdateThatTheStoreRefusesIsFoundAndTheOthersAreWritten) {
  std::vector<std::string> users;
  for (int i = 0; i < 8; ++i) users.push_back(User(i));
  GatedStore store(users);
  store.JudgeUpdates([](int number) { return number <= 2 ? absl::InternalError("refused") : absl::OkStatus(); });
  store.HoldUpdates(true);
  Authenticator authenticator(store);
  authenticator.ReportStatus(Update("filler", AgentStatus::kConnected));
  ASSERT_NO_FATAL_FAILURE(store.WaitForStatements(1));
  for (const std::string& user : users) authenticator.ReportStatus(Update(user, AgentStatus::kConnected));
  store.HoldUpdates(false);  // The filler is refused alone, then all together, then each half is taken.
  ASSERT_NO_FATAL_FAILURE(store.WaitForUpdates(2));
  authenticator.Stop(InTime());
  size_t written = 0;
  for (const Strings& batch : store.updates()) written += batch.size();
  EXPECT_EQ(written, 8u);
}

TEST(AuthenticatorTest, OfTheUpdatesThatWaitOnlyTheNewestOfEachUserIsWritten) {
  GatedStore store({"user_1", "user_2"});
  store.HoldUpdates(true);
  Authenticator authenticator(store);
  authenticator.ReportStatus(Update("filler", AgentStatus::kConnected));
  ASSERT_NO_FATAL_FAILURE(store.WaitForStatements(1));
  const auto at = [](const std::string& user, AgentStatus status, uint64_t epoch) {
    return StatusUpdate{user, status, 5, epoch};
  };
  authenticator.ReportStatus(at("user_1", AgentStatus::kConnected, 2));
  authenticator.ReportStatus(at("user_2", AgentStatus::kConnected, 4));
  authenticator.ReportStatus(at("user_1", AgentStatus::kDisconnected, 2));
  authenticator.ReportStatus(at("user_2", AgentStatus::kDisconnected, 2));  // Late: of an older lease.
  store.HoldUpdates(false);
  ASSERT_NO_FATAL_FAILURE(store.WaitForUpdates(2));
  authenticator.Stop(InTime());
  EXPECT_EQ(store.updates(), (std::vector<Strings>{{"filler connected"}, {"user_1 disconnected", "user_2 connected"}}));
  EXPECT_EQ(authenticator.counters().status_updates.value(), 3u);
  const auto credentials = store.ListCredentials("", 10);
  EXPECT_EQ(credentials->at(0).status, AgentStatus::kDisconnected);
  EXPECT_EQ(credentials->at(0).last_seen_ms, 5);
  EXPECT_EQ(credentials->at(1).status, AgentStatus::kConnected);
}

TEST(AuthenticatorTest, UpdatesAreKeptWhileTheStoreIsUnavailable) {
  GatedStore store({"user_1", "user_2"});
  store.JudgeUpdates([](int) { return absl::UnavailableError("no route"); });
  Verdicts verdicts;
  Authenticator authenticator(store);
  authenticator.ReportStatus(Update("user_1", AgentStatus::kConnected));
  authenticator.ReportStatus(Update("user_2", AgentStatus::kConnected));
  ASSERT_NO_FATAL_FAILURE(store.WaitForStatements(1));
  authenticator.ReportStatus(Update("user_1", AgentStatus::kDisconnected));
  store.JudgeUpdates(nullptr);
  authenticator.Check(Right("user_1"), verdicts.For("user_1"));
  verdicts.WaitFor(1);
  ASSERT_NO_FATAL_FAILURE(store.WaitForUpdates(1));
  authenticator.Stop(InTime());
  EXPECT_EQ(store.updates(), (std::vector<Strings>{{"user_1 disconnected", "user_2 connected"}}));
  EXPECT_EQ(verdicts.Of("user_1"), std::vector<Verdict>{Verdict::kRight}) << "logins go on";
}

TEST(AuthenticatorTest, UpdatesThatTheStoreRefusesDoNotHoldUpLaterOnes) {
  GatedStore store({"user_1", "user_2"});
  store.JudgeUpdates([](int number) { return number == 1 ? absl::InternalError("refused") : absl::OkStatus(); });
  Authenticator authenticator(store);
  authenticator.ReportStatus(Update("user_1", AgentStatus::kConnected));
  ASSERT_NO_FATAL_FAILURE(store.WaitForStatements(1));
  authenticator.ReportStatus(Update("user_2", AgentStatus::kConnected));
  ASSERT_NO_FATAL_FAILURE(store.WaitForUpdates(1));
  EXPECT_EQ(store.updates(), (std::vector<Strings>{{"user_2 connected"}}));
  EXPECT_EQ(authenticator.counters().store_errors.value(), 1u);
}

TEST(AuthenticatorTest, StopWritesTheUpdatesThatWait) {
  GatedStore store({"user_1"});
  for (int i = 0; i < 50; ++i) {
    Authenticator authenticator(store);
    authenticator.ReportStatus(Update("user_1", AgentStatus::kConnected));
    if (i % 2 == 0) authenticator.Stop(InTime());
    // Otherwise the destructor stops it.
  }
  EXPECT_EQ(store.updates().size(), 50u);
}

TEST(AuthenticatorTest, StopTriesAgainWhenTheStoreIsUnavailableForAMoment) {
  GatedStore store({"user_1"});
  store.JudgeUpdates([](int number) { return number <= 1 ? absl::UnavailableError("no route") : absl::OkStatus(); });
  Authenticator authenticator(store);
  authenticator.ReportStatus(Update("user_1", AgentStatus::kDisconnected));
  authenticator.Stop(InTime());
  EXPECT_EQ(store.updates(), (std::vector<Strings>{{"user_1 disconnected"}}));
}

TEST(AuthenticatorTest, StopEndsWhenTheStoreStaysUnavailable) {
  GatedStore store({"user_1"});
  store.JudgeUpdates([](int) { return absl::UnavailableError("no route"); });
  Authenticator authenticator(store);
  authenticator.ReportStatus(Update("user_1", AgentStatus::kDisconnected));
  authenticator.Stop(std::chrono::steady_clock::now() + std::chrono::milliseconds(50));  // Returns: that is the claim.
  EXPECT_EQ(store.updates().size(), 0u);
  EXPECT_GT(store.statements().size(), 1u) << "it tried more than once";
}

TEST(AuthenticatorTest, AfterStopNothingRunsAnyMore) {
  GatedStore store({"user_1"});
  Verdicts verdicts;
  Authenticator authenticator(store);
  authenticator.Stop(InTime());
  authenticator.Check(Right("user_1"), verdicts.For("user_1"));
  authenticator.ReportStatus(Update("user_1", AgentStatus::kConnected));
  authenticator.Stop(InTime());
  EXPECT_EQ(verdicts.count(), 0u);
  EXPECT_EQ(store.statements().size(), 0u);
}

TEST(AuthenticatorTest, StopDropsTheChecksThatWaitAndNoVerdictComesAfterwards) {
  constexpr int kRounds = 20;
  constexpr int kChecks = 2000;
  int dropped = 0;  // Rounds in which the stop came before the second statement.
  for (int round = 0; round < kRounds; ++round) {
    GatedStore store;
    store.Hold();
    auto verdicts = std::make_unique<Verdicts>();
    Authenticator authenticator(store);
    for (int i = 0; i < kChecks; ++i) authenticator.Check(Right(User(i)), verdicts->For(User(i)));
    ASSERT_NO_FATAL_FAILURE(store.WaitForStatements(1));
    std::atomic<bool> stopping{false};
    std::thread stopper([&] {
      stopping = true;
      authenticator.Stop(InTime());
    });
    // So that, in most rounds, the stop comes before the verdicts.
    while (!stopping) std::this_thread::yield();
    for (int i = 0; i < 1000; ++i) std::this_thread::yield();
    store.LetGo();
    stopper.join();
    EXPECT_LE(verdicts->most_of_one(), 1u);
    if (store.statements().size() == 1) ++dropped;
    verdicts.reset();  // The sanitizers see whoever is called now.
  }
  EXPECT_GT(dropped, 0);
}

TEST(AuthenticatorTest, ChecksAndUpdatesOfManyThreadsAllArrive) {
  constexpr int kThreads = 4;
  constexpr int kEach = 500;
  GatedStore store;
  Verdicts verdicts;
  Authenticator authenticator(store);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kEach; ++i) {
        const std::string user = User(t * kEach + i);
        authenticator.Check(Right(user), verdicts.For(user));
        authenticator.ReportStatus(Update(user, AgentStatus::kConnected));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  verdicts.WaitFor(kThreads * kEach);
  authenticator.Stop(InTime());
  EXPECT_EQ(verdicts.count(), static_cast<size_t>(kThreads * kEach));
  EXPECT_EQ(verdicts.most_of_one(), 1u);
  size_t written = 0;
  for (const Strings& batch : store.updates()) written += batch.size();
  EXPECT_EQ(written, static_cast<size_t>(kThreads * kEach));
}

TEST(AuthenticatorTest, OpenSessionsAreCheckedAgainBehindLoginsAndLearnOfAStoreThatIsUnavailable) {
  GatedStore store({"user_1"});
  Authenticator authenticator(store);
  Verdicts verdicts;
  std::promise<absl::StatusOr<std::vector<bool>>> first, second;
  store.Hold();
  authenticator.Check({"user_1", "wrong"}, verdicts.For("user_1"));
  store.WaitForStatements(1);
  authenticator.Recheck({{"user_1", DigestOfSecret("secret of user_1")}, {"user_2", DigestOfSecret("x")}},
                        [&](auto result) { first.set_value(std::move(result)); });
  authenticator.Check({"user_1", "secret of user_1"}, verdicts.For("user_1"));
  store.LetGo();
  const auto checked = first.get_future().get();
  ASSERT_TRUE(checked.ok());
  EXPECT_EQ(*checked, (std::vector<bool>{true, false}));
  EXPECT_EQ(store.statements(), (std::vector<std::string>{"check 1", "check 1", "recheck 2"}));
  EXPECT_EQ(authenticator.counters().rechecks.value(), 2u);
  store.JudgeChecks([](int) { return absl::UnavailableError("as the test wants"); });
  authenticator.Recheck({{"user_1", {}}}, [&](auto result) { second.set_value(std::move(result)); });
  EXPECT_TRUE(absl::IsUnavailable(second.get_future().get().status()));
}

}  // namespace
}  // namespace toolwire
