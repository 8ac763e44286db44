#include "edge/login.h"

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
#include "tests/fakes/failing_store.h"
#include "tests/fakes/fake_clock.h"
#include "tests/fakes/memory_store.h"
#include "tests/support/await.h"

namespace toolwire {
namespace {

// A hang is a failure after this long; nothing is measured by it.
constexpr Duration kForever = std::chrono::seconds(60);
constexpr Duration kLoginTimeout = std::chrono::seconds(5);
constexpr Duration kMs = std::chrono::milliseconds(1);
constexpr int kSessionsMax = 10;
const std::string kUser = "user_42";
const std::string kSecret = "right";

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
    logins_.Spoke(id);
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
  bool MayLogIn() { return admission_.MayLogIn("10.0.0.1", clock_.Now()); }
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
  Admission admission_{[] {
    Admission::Options options;
    options.sessions_max = kSessionsMax;
    options.failed_logins_per_minute_max = 2;  // Of one address.
    return options;
  }()};
  LoginShared shared_ = Shared();
  std::map<SessionId, Strings> early_;  // What came before each session.
  bool closed_at_once_ = false;         // Sockets that the logins close do not linger.

 private:
  LoginShared Shared() {
    LoginShared shared;
    shared.server_id = "edge-1";
    shared.login_timeout = kLoginTimeout;
    shared.clock = &clock_;
    shared.registry = &registry_;
    shared.authenticator = &authenticator_;
    shared.admission = &admission_;
    shared.directory = &directory_;
    shared.revocations = &revocations_;
    shared.counters = &counters_;
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
  void OpenSession(SessionId id, const std::string& user_id, uint64_t epoch, Strings early) override {
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

// --- the verdict -----------------------------------------------------------------------------------------------------

TEST_F(LoginTest, RightSecretOpensASession) {
  LogIn(7);
  EXPECT_EQ(Events(), Strings{"open 7 user_42 epoch 1"});
  const auto ref = directory_.Find(kUser);
  ASSERT_TRUE(ref);
  EXPECT_EQ(ref->loop, 3u);
  EXPECT_EQ(ref->id, 7u);
  EXPECT_EQ(ref->epoch, 1u);
  EXPECT_EQ(LeaseOf(kUser).edge_id, "edge-1");
  EXPECT_EQ(admission_.unauthenticated(), 0);
  EXPECT_FALSE(logins_.has_timers());
  EXPECT_EQ(WrittenStatus(), "connected");
}

TEST_F(LoginTest, SilentSocketMakesRoomUnlessItsRequestIsHere) {
  Accept(1);
  EXPECT_FALSE(logins_.MakeRoom(1, /*unread=*/true));
  Accept(2);
  EXPECT_TRUE(logins_.MakeRoom(2, /*unread=*/false));
  logins_.Cancel(2);
  EXPECT_FALSE(logins_.MakeRoom(2, /*unread=*/false)) << "once";
  EXPECT_EQ(admission_.unauthenticated(), 1) << "its place is free before the socket is closed";
  CloseSocket(2);
  Dial(3);
  EXPECT_FALSE(logins_.MakeRoom(3, /*unread=*/false)) << "its login is under way";
  EXPECT_EQ(admission_.counters().silent_closed.value(), 1u);
  RunAll();
}

TEST_F(LoginTest, RefusedLoginAndEndedSessionGiveTheirPlacesBackBeforeTheirSocketsAreClosed) {
  Dial(1, kUser, "wrong");
  RunNext();
  EXPECT_EQ(Events(), Strings{"close 1 1008 Invalid credentials"});
  EXPECT_EQ(admission_.unauthenticated(), 0);
  EXPECT_EQ(admission_.sockets(), 1);
  LogIn(2);
  LogIn(3);
  EXPECT_EQ(logins_.AddressOf(3), "");
  BeginClose(3);
  EXPECT_EQ(logins_.AddressOf(3), "10.0.0.1");
  EXPECT_EQ(admission_.unauthenticated(), 0);
  EXPECT_EQ(admission_.sockets(), 3);
}

TEST_F(LoginTest, HandshakeAndLoginHaveOneDeadlineFromTheAcceptOn) {
  Accept(1);
  Advance(kLoginTimeout - kMs);
  logins_.Begin(1, "/?userId=" + kUser + "&secret=" + kSecret, "");
  AwaitPosted(1);
  EXPECT_EQ(Events(), Strings());
  Advance(2 * Logins::kTick);
  EXPECT_EQ(Events(), Strings{"close 1 1013 Login timed out"});
  RunNext();
  Accept(2);
  Advance(kLoginTimeout + 2 * Logins::kTick);
  EXPECT_EQ(Events(), Strings{"close 2 1013 Login timed out"}) << "without a request";
  EXPECT_EQ(counters_.logins_late.value(), 2u);
}

TEST_F(LoginTest, MissingCredentialsAreRefusedWithoutAskingTheStore) {
  Accept(1);
  logins_.Begin(1, "/?userId=" + kUser, "");
  EXPECT_EQ(Events(), Strings{"close 1 1008 Missing credentials"});
  EXPECT_EQ(authenticator_.counters().checks.value(), 0u);
}

TEST_F(LoginTest, WrongSecretClosesWith1008AndCountsAtTheAdmission) {
  for (SessionId id = 1; id <= 2; ++id) {
    Dial(id, kUser, "wrong");
    RunNext();
    EXPECT_EQ(Events(), Strings{"close " + std::to_string(id) + " 1008 Invalid credentials"});
  }
  EXPECT_EQ(LeaseOf(kUser).edge_id, "");
  Dial(3);
  EXPECT_EQ(Events(), Strings{"close 3 1013 Too many failed logins"}) << "however right its secret is";
  Dial(4, kUser, kSecret, "10.0.0.2");
  RunNext();
  RunNext();
  EXPECT_EQ(Events(), Strings{"open 4 user_42 epoch 1"}) << "another address";
}

TEST_F(LoginTest, SecretsGuessedAtOnceAreNotAllAnswered) {
  for (SessionId id = 1; id <= 3; ++id) {
    Dial(id, kUser, "wrong");
    AwaitPosted(id);
  }
  Dial(4);
  AwaitPosted(4);
  RunAll();
  EXPECT_EQ(Events(), (Strings{"close 1 1008 Invalid credentials", "close 2 1008 Invalid credentials",
                               "close 3 1013 Too many failed logins", "close 4 1013 Too many failed logins"}));
}

TEST_F(LoginTest, UserIdThatNobodyCanHaveIsWrongWithoutAskingTheStore) {
  for (SessionId id = 1; id <= 2; ++id) {
    Dial(id, "user%0A");
    EXPECT_EQ(Events(), Strings{"close " + std::to_string(id) + " 1008 Invalid credentials"});
  }
  EXPECT_FALSE(MayLogIn()) << "both are counted";
  EXPECT_EQ(authenticator_.counters().checks.value(), 0u);
}

TEST_F(LoginTest, UnavailableStoreClosesWith1013AndNoAttemptIsCounted) {
  store_.Fail(1, 1000, absl::UnavailableError("down"));  // The authenticator asks by itself, too.
  for (SessionId id = 1; id <= 2; ++id) {
    Dial(id);
    RunNext();
    EXPECT_EQ(Events(), Strings{"close " + std::to_string(id) + " 1013 Credential store unavailable"});
  }
  EXPECT_TRUE(MayLogIn());
}

TEST_F(LoginTest, StoreThatFailsOtherwiseClosesWith1011) {
  store_.Fail(1, 2, absl::InternalError("broken"));
  for (SessionId id = 1; id <= 2; ++id) {
    Dial(id);
    RunNext();
    EXPECT_EQ(Events(), Strings{"close " + std::to_string(id) + " 1011 Internal error"});
  }
  EXPECT_TRUE(MayLogIn());
}

TEST_F(LoginTest, FullEdgeRefusesNewUsersButNotOneWhoIsHere) {
  LogIn(1);
  for (int i = 1; i < kSessionsMax; ++i) admission_.TakeRoom(/*beyond=*/false);  // Other loops' sessions.
  Dial(2, "user_1", "other");
  LogIn(3);
  EXPECT_EQ(Events(),
            (Strings{"open 1 user_42 epoch 1", "close 2 1013 Edge is full", "displaced 1", "open 3 user_42 epoch 2"}));
  for (int i = 1; i < kSessionsMax; ++i) admission_.GiveRoomBack();
}

TEST_F(LoginTest, LoginsThatFoundTheSameRoomFreeDoNotAllGetIt) {
  const auto user = [](SessionId id) { return "many_" + std::to_string(id); };
  for (SessionId id = 1; id <= kSessionsMax + 1; ++id) {
    ASSERT_TRUE(memory_.CreateCredentials({{user(id), "linux", HashSecret(user(id)), 1}}).ok());
    Dial(id, user(id), /*secret=*/user(id));
    AwaitPosted(id);
  }
  for (SessionId id = 1; id <= kSessionsMax + 1; ++id) RunNext();
  EXPECT_EQ(Events(), Strings{"close 11 1013 Edge is full"});
  RunAll();
  EXPECT_EQ(Events().size(), size_t{kSessionsMax}) << "all others open";
}

TEST_F(LoginTest, LoginThatFailsAfterItTookRoomGivesItBack) {
  for (int i = 1; i < kSessionsMax; ++i) admission_.TakeRoom(/*beyond=*/false);  // Other loops' sessions.
  Dial(1);
  RunNext();
  EXPECT_FALSE(admission_.HasRoom());
  CloseSocket(1);
  EXPECT_TRUE(admission_.HasRoom());
  for (int i = 1; i < kSessionsMax; ++i) admission_.GiveRoomBack();
}

// --- revocations -----------------------------------------------------------------------------------------------------

TEST_F(LoginTest, SecretRevokedWhileItIsCheckedClaimsNothing) {
  ClaimElsewhere();
  Dial(1);
  AwaitPosted(1);
  revocations_.Add(kUser);
  RunNext();
  EXPECT_EQ(Events(), Strings{"close 1 1008 Credentials revoked"});
  EXPECT_EQ(LeaseOf(kUser).edge_id, "edge-2") << "a session with a newer secret stays";
  EXPECT_EQ(LeaseOf(kUser).epoch, 1u);
  EXPECT_EQ(counters_.logins_revoked.value(), 1u);
}

TEST_F(LoginTest, SecretRevokedBetweenClaimAndOpenReleasesTheLease) {
  Dial(1);
  RunNext();
  EXPECT_EQ(LeaseOf(kUser).edge_id, "edge-1");
  revocations_.Add(kUser);
  RunNext();
  EXPECT_EQ(Events(), Strings{"close 1 1008 Credentials revoked"});
  EXPECT_EQ(LeaseOf(kUser).edge_id, "");
  EXPECT_EQ(directory_.Users(), Strings());
  EXPECT_EQ(counters_.logins_revoked.value(), 1u);
  EXPECT_EQ(WrittenStatus(), "disconnected");
}

TEST_F(LoginTest, RevokedLoginEndsTheSessionThatItWouldHaveDisplaced) {
  LogIn(1);
  Dial(2);
  RunNext();
  clock_.Advance(kMs);
  revocations_.Add(kUser);
  RunNext();
  EXPECT_EQ(Events(), (Strings{"open 1 user_42 epoch 1", "displaced 1 revoked", "close 2 1008 Credentials revoked"}));
}

TEST_F(LoginTest, SecretCheckedAfterTheRevocationOpens) {
  revocations_.Add(kUser);
  clock_.Advance(kMs);
  LogIn(1);
  EXPECT_EQ(Events(), Strings{"open 1 user_42 epoch 1"});
}

// --- sockets that go, and time ---------------------------------------------------------------------------------------

TEST_F(LoginTest, SocketThatGoesWhileItsSecretIsCheckedClaimsNothing) {
  Dial(1);
  AwaitPosted(1);
  CloseSocket(1);
  EXPECT_FALSE(logins_.has_timers());
  RunNext();
  EXPECT_EQ(Events(), Strings());
  EXPECT_EQ(pending(), 0u) << "no claim was made";
  EXPECT_EQ(LeaseOf(kUser).edge_id, "");
}

TEST_F(LoginTest, SocketThatGoesWhileItsLeaseIsClaimedReleasesIt) {
  Dial(1);
  RunNext();
  EXPECT_EQ(LeaseOf(kUser).edge_id, "edge-1");
  CloseSocket(1);
  RunNext();
  EXPECT_EQ(Events(), Strings());
  EXPECT_EQ(LeaseOf(kUser).edge_id, "");
  EXPECT_EQ(WrittenStatus(), "disconnected");
}

TEST_F(LoginTest, LoginThatFailsAfterItsClaimLeavesTheUsersLiveSessionItsLease) {
  LogIn(1);
  Dial(2);
  RunNext();
  EXPECT_EQ(LeaseOf(kUser).epoch, 2u);
  CloseSocket(2);
  RunNext();
  EXPECT_EQ(LeaseOf(kUser).edge_id, "edge-1");
  EXPECT_EQ(LeaseOf(kUser).epoch, 1u) << "the epoch that controls know the session by";
  EXPECT_EQ(Events(), Strings{"open 1 user_42 epoch 1"});
  ClaimElsewhere();
  EXPECT_GT(LeaseOf(kUser).epoch, 2u);
  EXPECT_EQ(WrittenStatus(), "connected");
}

TEST_F(LoginTest, LoginThatFailsAfterItEndedASessionElsewhereReportsTheAgentDisconnected) {
  ASSERT_TRUE(memory_.UpdateStatus({{kUser, AgentStatus::kConnected, clock_.WallMs()}}).ok());
  ClaimElsewhere();
  Dial(1);
  RunNext();
  clock_.Advance(kLoginTimeout + kMs);
  RunNext();
  EXPECT_EQ(Events(), Strings{"close 1 1013 Login timed out"});
  EXPECT_EQ(LeaseOf(kUser).edge_id, "");
  EXPECT_EQ(WrittenStatus(), "disconnected");
}

TEST_F(LoginTest, SocketsMayBeClosedAtOnce) {
  closed_at_once_ = true;
  Accept(1);
  logins_.Begin(1, "/?userId=" + kUser, "");
  Dial(2, kUser, "wrong");
  RunNext();
  Dial(3);
  AwaitPosted(1);
  Advance(kLoginTimeout + 2 * Logins::kTick);
  RunNext();
  Dial(4);
  RunNext();
  clock_.Advance(kLoginTimeout + kMs);
  RunNext();
  EXPECT_EQ(Events(), (Strings{"close 1 1008 Missing credentials", "close 2 1008 Invalid credentials",
                               "close 3 1013 Login timed out", "close 4 1013 Login timed out"}));
  EXPECT_EQ(admission_.sockets(), 0);
}

TEST_F(LoginTest, SocketThatEndsButIsNotClosedYetOpensNoSession) {
  Dial(1);
  RunNext();
  logins_.Cancel(1);
  KeepEarly(1, "late");
  RunNext();
  Advance(2 * kLoginTimeout);
  EXPECT_EQ(Events(), Strings()) << "neither opened nor closed once more";
  EXPECT_EQ(LeaseOf(kUser).edge_id, "");
}

TEST_F(LoginTest, UnavailableRegistryClosesWith1013) {
  SingleEdgeRegistry refusing;
  shared_.registry = &refusing;
  LogIn(1);
  EXPECT_EQ(Events(), Strings{"close 1 1013 Registry unavailable"});
  EXPECT_EQ(directory_.Users(), Strings());
}

TEST_F(LoginTest, LoginThatTakesTooLongIsClosedAndClaimsNothingLater) {
  Dial(1);
  AwaitPosted(1);
  EXPECT_TRUE(logins_.has_timers());
  Advance(kLoginTimeout - Logins::kTick);
  EXPECT_EQ(Events(), Strings());
  Advance(3 * Logins::kTick);
  EXPECT_EQ(Events(), Strings{"close 1 1013 Login timed out"});
  EXPECT_EQ(counters_.logins_late.value(), 1u);
  RunNext();
  EXPECT_EQ(pending(), 0u) << "no claim was made";
}

TEST_F(LoginTest, TimeInWhichTheProcessWasPausedIsNotALogins) {
  Accept(1);
  Advance(kLoginTimeout - Logins::kTick);
  Dial(2);
  AwaitPosted(1);
  clock_.Advance(kLoginTimeout -
                 kMs);  // Paused: the request of the first waits unread, the verdict of the second, too.
  logins_.Advance();
  EXPECT_EQ(Events(), Strings()) << "nobody is judged before what has come is read";
  RunAll();
  EXPECT_EQ(Events(), Strings{"open 2 user_42 epoch 1"});
  logins_.Begin(1, "/?userId=user_1&secret=other", "");
  RunNext();
  RunNext();
  EXPECT_EQ(Events(), Strings{"open 1 user_1 epoch 2"});
  Accept(3);
  clock_.Advance(10 * kLoginTimeout);
  logins_.Advance();
  Advance(kLoginTimeout - 3 * Logins::kTick);
  EXPECT_EQ(Events(), Strings());
  Advance(3 * Logins::kTick);
  EXPECT_EQ(Events(), Strings{"close 3 1013 Login timed out"}) << "who sends nothing has its time, and no more";
}

TEST_F(LoginTest, LeaseThatComesAfterTheTimeIsReleasedThoughTheTimerIsLate) {
  Dial(1);
  RunNext();
  clock_.Advance(kLoginTimeout + kMs);
  RunNext();
  EXPECT_EQ(Events(), Strings{"close 1 1013 Login timed out"});
  EXPECT_EQ(counters_.logins_late.value(), 1u);
  EXPECT_EQ(LeaseOf(kUser).edge_id, "");
  EXPECT_EQ(directory_.Users(), Strings());
}

TEST_F(LoginTest, LeaseThatComesAtTheLastMomentOpens) {
  Dial(1);
  RunNext();
  clock_.Advance(kLoginTimeout);
  RunNext();
  EXPECT_EQ(Events(), Strings{"open 1 user_42 epoch 1"});
}

// --- early frames ----------------------------------------------------------------------------------------------------

TEST_F(LoginTest, EarlyFramesComeToTheSessionInOrder) {
  Dial(1);
  KeepEarly(1, "a");
  RunNext();
  KeepEarly(1, "b");
  RunNext();
  EXPECT_EQ(early_[1], (Strings{"a", "b"}));
}

TEST_F(LoginTest, AsManyEarlyFramesAsTheBoundAreKeptAndOneMoreCloses) {
  Dial(1);
  for (size_t i = 0; i < Logins::kEarlyFramesMax; ++i) KeepEarly(1, "x");
  RunNext();
  RunNext();
  EXPECT_EQ(Events(), Strings{"open 1 user_42 epoch 1"});
  EXPECT_EQ(early_[1].size(), Logins::kEarlyFramesMax);
  Dial(2, "user_1", "other");
  for (size_t i = 0; i < Logins::kEarlyFramesMax; ++i) KeepEarly(2, "x");
  EXPECT_EQ(Events(), Strings());
  KeepEarly(2, "x");
  EXPECT_EQ(Events(), Strings{"close 2 1008 Too much before login"});
  EXPECT_EQ(counters_.early_full.value(), 1u);
  RunNext();
  EXPECT_EQ(pending(), 0u) << "no claim was made";
}

// --- two logins of one user, and the end -----------------------------------------------------------------------------

TEST_F(LoginTest, NewerLoginOfTheSameUserDisplacesTheOlder) {
  LogIn(1);
  LogIn(2);
  EXPECT_EQ(Events(), (Strings{"open 1 user_42 epoch 1", "displaced 1", "open 2 user_42 epoch 2"}));
  CloseSocket(1);
  EXPECT_EQ(directory_.Find(kUser)->id, 2u);
  EXPECT_EQ(LeaseOf(kUser).epoch, 2u) << "the older one's end does not release the newer one's lease";
  EXPECT_EQ(WrittenStatus(), "connected");
}

TEST_F(LoginTest, OlderSessionThatEndsLastReportsNothing) {
  LogIn(1);
  LogIn(2);
  CloseSocket(2);
  const int64_t gone_ms = clock_.WallMs();
  clock_.Advance(std::chrono::seconds(1));
  CloseSocket(1);
  EXPECT_EQ(WrittenStatus(), "disconnected");
  EXPECT_EQ(Written().last_seen_ms, gone_ms);
}

TEST_F(LoginTest, LoginThatANewerOneOvertookIsOpenedAndReplacedAtOnce) {
  Dial(1);
  RunNext();
  Dial(2);
  AwaitPosted(2);
  RunNewest();
  AwaitPosted(2);
  KeepEarly(1, "a");
  RunNewest();
  RunNext();
  EXPECT_EQ(Events(), (Strings{"open 2 user_42 epoch 2", "open 1 user_42 epoch 1",
                               "close 1 4001 Replaced by a newer connection"}));
  EXPECT_EQ(early_[1], Strings());
  EXPECT_EQ(directory_.Find(kUser)->id, 2u);
  EXPECT_EQ(LeaseOf(kUser).epoch, 2u);
  EXPECT_EQ(WrittenStatus(), "connected");
}

TEST_F(LoginTest, EndOfTheSessionReleasesTheLeaseAndReportsTheAgentDisconnected) {
  LogIn(1);
  CloseSocket(1);
  EXPECT_EQ(LeaseOf(kUser).edge_id, "");
  EXPECT_EQ(directory_.Users(), Strings());
  EXPECT_EQ(WrittenStatus(), "disconnected");
}

TEST_F(LoginTest, AgentThatHasMovedIsNotReportedDisconnected) {
  LogIn(1);
  ClaimElsewhere();
  CloseSocket(1);
  EXPECT_EQ(LeaseOf(kUser).edge_id, "edge-2");
  EXPECT_EQ(WrittenStatus(), "connected");
}

}  // namespace
}  // namespace toolwire
