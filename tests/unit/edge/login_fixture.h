// What all tests of logins begin with: the logins of one loop, which is the test.
#ifndef TOOLWIRE_TESTS_UNIT_EDGE_LOGIN_FIXTURE_H_
#define TOOLWIRE_TESTS_UNIT_EDGE_LOGIN_FIXTURE_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/registry/memory_registry.h"
#include "common/store/secret.h"
#include "edge/login.h"
#include "tests/fakes/failing_store.h"
#include "tests/fakes/fake_clock.h"
#include "tests/fakes/memory_store.h"
#include "tests/support/await.h"

namespace toolwire {

// A hang is a failure after this long; nothing is measured by it.
inline constexpr Duration kForever = std::chrono::seconds(60);
inline constexpr Duration kLoginTimeout = std::chrono::seconds(5);
inline constexpr Duration kMs = std::chrono::milliseconds(1);
inline constexpr int kSessionsMax = 10;
inline constexpr int kLoginsMax = 12;  // At once, of one address.
inline const std::string kUser = "user_42";
inline const std::string kSecret = "right";

using Strings = std::vector<std::string>;

// The logins of one loop, which is this test: what they post waits until the test runs it, so that anything can happen
// between a login's steps. After each test `TearDown` ends what is left and checks that everything was given back once.
class LoginTest : public ::testing::Test, protected Logins::Handler {
 protected:
  LoginTest() {
    EXPECT_TRUE(memory_.CreateCredentials({{kUser, "linux", HashSecret(kSecret), 1}}).ok());
    EXPECT_TRUE(memory_.CreateCredentials({{"user_1", "linux", HashSecret("other"), 1}}).ok());
  }

  void TearDown() override {
    authenticator_.Stop(InTime());
    while (!accepted_.empty()) CloseSocket(*accepted_.begin());
    RunAll();
    EXPECT_EQ(admission_.sockets(), 0);
    EXPECT_EQ(admission_.unauthenticated(), 0);
    for (int i = 0; i < kSessionsMax; ++i) {
      EXPECT_TRUE(admission_.TakeRoom(/*beyond=*/false)) << "room that was not given back";
    }
    EXPECT_FALSE(admission_.HasRoom()) << "room that was given back twice";
    EXPECT_EQ(directory_.Users(), Strings());
    EXPECT_NE(LeaseOf(kUser).edge_id, "edge-1");
    EXPECT_NE(LeaseOf("user_1").edge_id, "edge-1");
    EXPECT_FALSE(logins_.has_timers());
  }

  // --- what happens ---
  void Accept(SessionId id, const std::string& address = "10.0.0.1") {
    accepted_.insert(id);
    logins_.Accepted(admission_.Accepted(id, address, clock_.Now()));
  }
  void Dial(SessionId id, const std::string& user_id = kUser, const std::string& secret = kSecret,
            const std::string& address = "10.0.0.1") {
    Accept(id, address);
    logins_.Spoke(id, proxied_);
    logins_.Begin(id, "/?userId=" + user_id + "&secret=" + secret, "");
  }
  // Waits until that many tasks are posted and not run.
  void AwaitPosted(size_t count) {
    std::unique_lock<std::mutex> lock(mu_);
    ASSERT_TRUE(posted_.wait_for(lock, kForever, [&] { return tasks_.size() >= count; }));
  }
  // Runs the task that was posted first: a verdict, or after that a claim.
  void RunNext() {
    AwaitPosted(1);
    Take(0)();
  }
  void RunNewest() {
    AwaitPosted(1);
    Take(pending() - 1)();
  }
  void RunAll() {
    while (pending() > 0) RunNext();
  }
  void LogIn(SessionId id, const std::string& user_id = kUser, const std::string& secret = kSecret) {
    Dial(id, user_id, secret);
    RunNext();
    RunNext();
  }
  // Through the proxy at this address, which is trusted.
  void DialThroughProxy(SessionId id, const std::string& client, const std::string& secret) {
    proxied_ = client;
    Dial(id, kUser, secret, "10.9.9.9");
    proxied_.clear();
  }
  void KeepEarly(SessionId id, std::string text) { logins_.KeepEarly(id, text); }
  // Its close begins; the socket lingers.
  void BeginClose(SessionId id) {
    logins_.Cancel(id);
    if (auto open = open_.extract(id)) logins_.LogOut(id, open.mapped().first, open.mapped().second);
  }
  // The socket is gone, as when its peer has closed it: what the loop does.
  void CloseSocket(SessionId id) {
    BeginClose(id);
    accepted_.erase(id);
    logins_.Closed(id);
  }
  // As the loop does: in ticks.
  void Advance(Duration by) {
    for (; by > Duration::zero(); by -= std::min<Duration>(by, Logins::kTick)) {
      clock_.Advance(std::min<Duration>(by, Logins::kTick));
      logins_.Advance();
    }
  }

  // --- what came of it ---
  // "open 1 user_42 epoch 1", "close 1 1008 Invalid credentials", since the last call.
  Strings Events() { return std::exchange(events_, {}); }
  size_t pending() {
    std::lock_guard<std::mutex> lock(mu_);
    return tasks_.size();
  }
  Lease LeaseOf(const std::string& user_id) {
    Lease lease;
    registry_.Lookup(user_id, [&](absl::StatusOr<std::optional<Lease>> found) { lease = found->value_or(Lease()); });
    return lease;
  }
  // Somebody who is not known.
  bool MayLogIn(const std::string& address = "10.0.0.1") {
    return login_limits_.MayLogIn({address, "", {}}, clock_.Now());
  }
  void ClaimElsewhere() {
    registry_.Claim(kUser, "edge-2", [](const absl::StatusOr<uint64_t>& epoch) { EXPECT_TRUE(epoch.ok()); });
  }
  // What the store knows of the user once everything that was reported is written. No check is answered after that.
  std::string WrittenStatus() {
    authenticator_.Stop(InTime());
    return StatusWord(Written().status);
  }
  Credential Written() { return memory_.ListCredentials(kUser.substr(0, 6), 1)->at(0); }

  FakeClock clock_;
  MemoryStore memory_;
  FailingStore store_{memory_};
  MemoryRegistry registry_{clock_, kLeaseTtl};
  UserDirectory directory_;
  Revocations revocations_{clock_, kLoginTimeout};
  EdgeCounters counters_;
  ProxyHeaderCounters proxy_headers_;
  Admission admission_{[] {
    Admission::Options options;
    options.sessions_max = kSessionsMax;
    options.logins_per_address_max = kLoginsMax;
    return options;
  }()};
  LoginLimits login_limits_{[] {
    LoginLimits::Options options;
    options.failures_per_minute_max = 2;  // Of one address.
    return options;
  }()};
  LoginShared shared_ = Shared();
  std::map<SessionId, Strings> early_;  // What came before each session.
  std::string proxied_;                 // What the next request says of its client.
  bool closed_at_once_ = false;         // Sockets that the logins close do not linger.

 private:
  LoginShared Shared() {
    LoginShared shared;
    shared.server_id = "edge-1";
    shared.login_timeout = kLoginTimeout;
    shared.trusted_proxies.networks = *Networks::ParseNamed("10.9.9.0/24");
    shared.clock = &clock_;
    shared.registry = &registry_;
    shared.authenticator = &authenticator_;
    shared.admission = &admission_;
    shared.login_limits = &login_limits_;
    shared.directory = &directory_;
    shared.revocations = &revocations_;
    shared.counters = &counters_;
    shared.proxy_headers = &proxy_headers_;
    shared.close_displaced = [this](const SessionRef& ref, bool revoked) {
      events_.push_back("displaced " + std::to_string(ref.id) + (revoked ? " revoked" : ""));
    };
    return shared;
  }
  void Post(std::function<void()> task) override {
    std::lock_guard<std::mutex> lock(mu_);
    tasks_.push_back(std::move(task));
    posted_.notify_all();
  }
  void CloseSocket(SessionId id, const CloseReason& reason) override {
    events_.push_back("close " + std::to_string(id) + " " + std::to_string(static_cast<int>(reason.code)) + " " +
                      reason.text);
    if (closed_at_once_) return CloseSocket(id);
    BeginClose(id);
  }
  void OpenSession(SessionId id, const std::string& user_id, uint64_t epoch, const SecretDigest& secret,
                   Strings early) override {
    EXPECT_NE(secret, SecretDigest()) << "what it was opened with";
    events_.push_back("open " + std::to_string(id) + " " + user_id + " epoch " + std::to_string(epoch));
    EXPECT_TRUE(open_.emplace(id, std::make_pair(user_id, epoch)).second);
    early_[id] = std::move(early);
  }
  std::function<void()> Take(size_t index) {
    std::lock_guard<std::mutex> lock(mu_);
    auto task = std::move(tasks_[index]);
    tasks_.erase(tasks_.begin() + static_cast<std::ptrdiff_t>(index));
    return task;
  }

  Strings events_;
  std::set<SessionId> accepted_;
  std::map<SessionId, std::pair<std::string, uint64_t>> open_;
  std::mutex mu_;
  std::condition_variable posted_;
  std::deque<std::function<void()>> tasks_;  // Guarded by mu_.

 protected:
  Logins logins_{3, shared_, *this};
  Authenticator authenticator_{store_};  // Last: its thread posts until it is gone.
};

}  // namespace toolwire

#endif  // TOOLWIRE_TESTS_UNIT_EDGE_LOGIN_FIXTURE_H_
