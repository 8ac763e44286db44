#include "edge/login.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "common/base/log.h"
#include "tests/unit/edge/login_fixture.h"

namespace toolwire {
namespace {

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
  EXPECT_EQ(LeaseOf(kUser).epoch, 2u);
  EXPECT_EQ(directory_.LeaseOf(kUser, /*epoch=*/1), 2u) << "what the older session's heartbeats refresh";
  EXPECT_EQ(Events(), Strings{"open 1 user_42 epoch 1"});
  ClaimElsewhere();
  EXPECT_GT(LeaseOf(kUser).epoch, 2u);
  EXPECT_EQ(WrittenStatus(), "connected");
}

TEST_F(LoginTest, SessionThatEndsDuringALoginLeavesItTheLease) {
  LogIn(1);
  Dial(2);
  RunNext();
  CloseSocket(1);
  EXPECT_EQ(LeaseOf(kUser).epoch, 2u);
  RunNext();
  EXPECT_EQ(Events(), (Strings{"open 1 user_42 epoch 1", "open 2 user_42 epoch 2"}));
  EXPECT_EQ(LeaseOf(kUser).epoch, 2u);
  EXPECT_EQ(WrittenStatus(), "connected");
}

// Keeps what is claimed.
class ClaimKeeper final : public Registry {
 public:
  using Registry::Claim;
  void Claim(const ClaimRequest& request, ClaimDone done) override { claims.emplace_back(request, std::move(done)); }
  void Refresh(const std::string&, std::vector<Held>) override {}
  void Release(const std::string&, const std::string&, uint64_t epoch, ReleaseDone) override {
    released.push_back(epoch);
  }
  void Lookup(const std::string&, LookupDone done) override { done(std::nullopt); }
  void Join(const EdgeAddress&, EdgeEvents) override {}
  void Leave(const std::string&, MonoTime) override {}
  void WatchEdges(EdgesChanged) override {}
  void ListEdges(ListDone done) override { done(std::vector<std::string>()); }
  bool connected() const override { return true; }

  std::vector<std::pair<ClaimRequest, ClaimDone>> claims;
  std::vector<uint64_t> released;
};

TEST_F(LoginTest, ClaimSaysWhenItsSocketCameAndIsTakenBackWhenThatGoes) {
  ClaimKeeper keeper;
  shared_.registry = &keeper;
  const MonoTime came = clock_.Now();
  Dial(1);
  clock_.Advance(kMs);
  RunNext();
  ASSERT_EQ(keeper.claims.size(), 1u);
  EXPECT_EQ(keeper.claims[0].first.came, came);
  EXPECT_FALSE(*keeper.claims[0].first.taken_back);
  CloseSocket(1);
  EXPECT_TRUE(*keeper.claims[0].first.taken_back);
  keeper.claims[0].second(absl::CancelledError("taken back"));
  RunAll();
  EXPECT_EQ(Events(), Strings());
  EXPECT_TRUE(keeper.released.empty());
}

TEST_F(LoginTest, ConnectionThatIsOlderThanTheLeaseIsReplaced) {
  Dial(1);
  AwaitPosted(1);
  clock_.Advance(kMs);
  ClaimElsewhere();
  RunNext();
  RunNext();
  EXPECT_EQ(Events(), Strings{"close 1 4001 Replaced by a newer connection"});
  EXPECT_EQ(LeaseOf(kUser).edge_id, "edge-2");
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

// As when the store stands still: anybody can begin logins.
TEST_F(LoginTest, LoginsThatAreLateTogetherLeaveSomeLines) {
  ::testing::internal::CaptureStderr();
  constexpr SessionId kLogins = 40;
  for (SessionId id = 1; id <= kLogins; ++id) Dial(id, kUser, kSecret, "10.0.0." + std::to_string(id));
  Advance(kLoginTimeout + 2 * Logins::kTick);
  log::Flush(kForever);
  const std::string text = ::testing::internal::GetCapturedStderr();
  size_t lines = 0;
  for (size_t at = text.find("login timed out"); at != std::string::npos; at = text.find("login timed out", at + 1))
    ++lines;
  EXPECT_EQ(lines, 10u) << text;
  EXPECT_EQ(counters_.logins_late.value(), kLogins);
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
