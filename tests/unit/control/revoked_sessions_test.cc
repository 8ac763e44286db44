// Which sessions end because a secret was revoked, at edges that were linked then and at those that were not.
#include "control/revoked_sessions.h"

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "control/dispatcher.h"
#include "tests/fakes/fake_clock.h"
#include "tests/fakes/scripted_edge.h"
#include "tests/fakes/scripted_registry.h"

namespace toolwire {
namespace {

using std::chrono::milliseconds;
using Seen = std::vector<std::string>;

constexpr uint64_t kOld = 7;  // An epoch from before the revocation.
constexpr int64_t kLoginMs = std::chrono::duration_cast<milliseconds>(RevokedSessions::kLoginMaxLeast).count();

// "user revoked 0" for each disconnect that an edge was sent.
Seen Disconnects(const ScriptedEdge& edge) {
  Seen seen;
  for (const v1::ControlFrame& frame : edge.frames()) {
    for (const v1::Disconnect& one : frame.disconnects()) {
      seen.push_back(one.user_id() + (one.cause() == v1::Disconnect::CREDENTIAL_REVOKED ? " revoked " : " operator ") +
                     std::to_string(one.epoch_max()));
    }
  }
  return seen;
}

class RevokedSessionsTest : public ::testing::Test {
 protected:
  struct Linked {
    std::shared_ptr<ScriptedEdge> edge = std::make_shared<ScriptedEdge>();
    uint64_t number = 0;
  };
  // `login_max` is what the edge says in its hello.
  Linked Link(const std::string& edge_id, milliseconds login_max = milliseconds(0)) {
    Linked linked;
    linked.number = dispatcher_.LinkUp(edge_id, linked.edge, login_max);
    return linked;
  }
  // `began` is when the session began, from now.
  void Report(const Linked& at, const std::string& user_id, uint64_t epoch, milliseconds began = milliseconds(0)) {
    v1::EdgeFrame frame;
    v1::SessionEvent* event = frame.add_sessions();
    event->set_user_id(user_id);
    event->set_epoch(epoch);
    event->set_connected(true);
    event->set_connected_at_ms(clock_.WallMs() + began.count());
    dispatcher_.Receive(at.number, std::move(frame));
  }

  void EndRevoked(const std::string& user_id, uint64_t epoch) {
    reach_.reset();
    dispatcher_.EndRevoked(user_id, epoch, [this](RevocationAcks::Reach reach) {
      EXPECT_FALSE(reach_) << "once";
      reach_ = std::move(reach);
    });
  }
  // The edge has done what it was last sent.
  void Confirm(const Linked& at) {
    v1::EdgeFrame frame;
    frame.add_disconnects_done(at.edge->frames().back().disconnects(0).id());
    dispatcher_.Receive(at.number, std::move(frame));
  }

  FakeClock clock_;
  std::optional<RevocationAcks::Reach> reach_;  // Of the last one, once it is done.
  ScriptedRegistry registry_;
  AgentDirectory directory_;
  Dispatcher dispatcher_{clock_, registry_, directory_, nullptr, Dispatcher::Options()};
};

TEST_F(RevokedSessionsTest, EveryLinkedEdgeIsToldAtOnceAndOnceOnly) {
  const Linked a = Link("a"), b = Link("b");
  EndRevoked("user", 0);
  EXPECT_EQ(Disconnects(*a.edge), Seen{"user revoked 0"});
  EXPECT_EQ(Disconnects(*b.edge), Seen{"user revoked 0"});
  // The edge itself sees to logins that were under way; what it reports from now on has the new secret.
  Report(a, "user", kOld);
  EXPECT_EQ(Disconnects(*a.edge).size(), 1u);
}

TEST_F(RevokedSessionsTest, RevocationIsDoneOnceEveryLinkedEdgeHasConfirmedIt) {
  registry_.SetEdges(Seen{"a", "b"});
  const Linked a = Link("a"), b = Link("b");
  Report(a, "user", kOld);
  EndRevoked("user", 0);
  Confirm(a);
  EXPECT_FALSE(reach_);
  Confirm(b);
  ASSERT_TRUE(reach_);
  EXPECT_TRUE(reach_->everywhere);
  EXPECT_TRUE(reach_->session_closed);
  EndRevoked("nobody", 0);
  Confirm(a);
  Confirm(b);
  ASSERT_TRUE(reach_);
  EXPECT_TRUE(reach_->everywhere);
  EXPECT_FALSE(reach_->session_closed) << "none was known";
}

TEST_F(RevokedSessionsTest, EdgesThatHaveNotConfirmedInTimeAreNamed) {
  registry_.SetEdges(Seen{"a", "b"});
  const Linked a = Link("a"), b = Link("b");
  Report(b, "user", kOld);
  EndRevoked("user", 0);
  Confirm(a);
  clock_.Advance(RevocationAcks::kWaitMax - milliseconds(1));
  dispatcher_.Tick();
  EXPECT_FALSE(reach_);
  clock_.Advance(milliseconds(1));
  dispatcher_.Tick();
  ASSERT_TRUE(reach_);
  EXPECT_FALSE(reach_->everywhere);
  EXPECT_FALSE(reach_->session_closed);
  EXPECT_EQ(reach_->not_heard, Seen{"b"});
  Confirm(b);  // Too late, and harmless.
}

TEST_F(RevokedSessionsTest, EdgesThatCannotConfirmAreNotWaitedFor) {
  registry_.SetEdges(Seen{"a", "b", "unlinked"});
  const Linked a = Link("a"), b = Link("b"), c = Link("c");
  b.edge->Break();
  EndRevoked("user", 0);
  Confirm(a);
  EXPECT_FALSE(reach_);
  dispatcher_.LinkDown(c.number, {});
  ASSERT_TRUE(reach_);
  EXPECT_EQ(reach_->not_heard, (Seen{"b", "c", "unlinked"}));
}

TEST_F(RevokedSessionsTest, WithoutTheRegistryNobodyKnowsWhetherItIsEverywhere) {
  registry_.SetEdges(absl::UnavailableError("as the test wants"));
  const Linked a = Link("a");
  EndRevoked("user", 0);
  Confirm(a);
  ASSERT_TRUE(reach_);
  EXPECT_FALSE(reach_->everywhere);
  EXPECT_TRUE(reach_->not_heard.empty());
}

TEST_F(RevokedSessionsTest, AllThatWaitAreDoneWhenControlStops) {
  const Linked a = Link("a");
  EndRevoked("user", 0);
  EXPECT_FALSE(reach_);
  dispatcher_.EndWaiting();
  ASSERT_TRUE(reach_);
  EXPECT_EQ(reach_->not_heard, Seen{"a"});
}

TEST_F(RevokedSessionsTest, EdgesLearnWhichSecretAKeptSessionCountsAsOpenedWith) {
  const Linked a = Link("a");
  dispatcher_.KeepSession("user", DigestOfSecret("new"));
  ASSERT_EQ(a.edge->frames().size(), 1u);
  const v1::KeptSession kept = a.edge->frames()[0].kept_sessions(0);
  EXPECT_EQ(kept.user_id(), "user");
  const SecretDigest digest = DigestOfSecret("new");
  EXPECT_EQ(kept.secret_digest(), std::string(digest.begin(), digest.end()));
  EXPECT_EQ(Disconnects(*a.edge), Seen{});
}

TEST_F(RevokedSessionsTest, EdgeThatLinksLaterEndsSessionsOfBeforeAndNoOthers) {
  EndRevoked("user", kOld);
  clock_.Advance(RevokedSessions::kKept / 2);
  const Linked a = Link("a");
  Report(a, "user", kOld);  // Also if the edge's clock says it began just now.
  Report(a, "other", kOld);
  EXPECT_EQ(Disconnects(*a.edge), Seen{"user revoked 7"});
  Report(a, "user", kOld + 1);
  EXPECT_EQ(Disconnects(*a.edge).size(), 1u) << "its secret is a new one, whichever control made it";
}

TEST_F(RevokedSessionsTest, WhereNoEpochIsKnownTheTimeTellsSessionsOfBefore) {
  EndRevoked("user", 0);
  clock_.Advance(milliseconds(2 * kLoginMs));
  const Linked a = Link("a");
  Report(a, "user", 100, -milliseconds(kLoginMs));  // A login may have been under way.
  EXPECT_EQ(Disconnects(*a.edge), Seen{"user revoked 100"});
  Report(a, "user", 101, -milliseconds(kLoginMs - 1));
  EXPECT_EQ(Disconnects(*a.edge).size(), 1u);
}

TEST_F(RevokedSessionsTest, LoginMayTakeAsLongAsItsEdgeSaysButFiveSecondsAtLeast) {
  EndRevoked("user", 0);
  clock_.Advance(std::chrono::seconds(40));
  const Linked slow = Link("slow", std::chrono::seconds(30)), usual = Link("usual"),
               quick = Link("quick", milliseconds(50));
  const auto ends = [&](const Linked& at, milliseconds after) {
    const size_t before = Disconnects(*at.edge).size();
    Report(at, "user", 100, after - std::chrono::seconds(40));
    return Disconnects(*at.edge).size() > before;
  };
  EXPECT_TRUE(ends(slow, std::chrono::seconds(20)));
  EXPECT_TRUE(ends(slow, std::chrono::seconds(30)));
  EXPECT_FALSE(ends(slow, milliseconds(30001)));
  EXPECT_FALSE(ends(usual, std::chrono::seconds(20))) << "another edge's logins do not take longer";
  for (const Linked& edge : {usual, quick}) {
    EXPECT_TRUE(ends(edge, milliseconds(kLoginMs)));
    EXPECT_FALSE(ends(edge, milliseconds(kLoginMs + 1)));
  }
}

TEST_F(RevokedSessionsTest, EdgeThatLinksAgainIsJudgedAgain) {
  Linked a = Link("a");
  Report(a, "user", kOld);
  dispatcher_.LinkDown(a.number, {});
  EndRevoked("user", 0);
  a = Link("a");
  Report(a, "user", kOld);
  EXPECT_EQ(Disconnects(*a.edge), Seen{"user revoked 7"});
}

TEST_F(RevokedSessionsTest, LaterRevocationCountsAndKnowsTheEpochsOfTheEarlierOne) {
  EndRevoked("user", kOld);
  const Linked a = Link("a");
  EndRevoked("user", 0);
  const Linked b = Link("b");
  clock_.Advance(milliseconds(2 * kLoginMs));
  Report(a, "user", kOld);
  Report(b, "user", kOld);
  EXPECT_EQ(Disconnects(*a.edge), Seen{"user revoked 0"}) << "notified of the second when it came";
  EXPECT_EQ(Disconnects(*b.edge), Seen{"user revoked 7"});
}

TEST_F(RevokedSessionsTest, RevocationsAreForgottenAfterTheirTimeAndBeyondTheirNumber) {
  EndRevoked("user", kOld);
  clock_.Advance(RevokedSessions::kKept);
  const Linked a = Link("a");
  Report(a, "user", kOld, -std::chrono::minutes(20));
  EXPECT_EQ(Disconnects(*a.edge), Seen{});

  for (size_t i = 0; i <= RevokedSessions::kUsersMax; ++i) {
    EndRevoked("user_" + std::to_string(i), kOld);
  }
  const Linked b = Link("b");
  for (const char* user : {"user_0", "user_1", "user_10000"}) Report(b, user, kOld);
  EXPECT_EQ(Disconnects(*b.edge), (Seen{"user_1 revoked 7", "user_10000 revoked 7"}));
}

TEST_F(RevokedSessionsTest, AStormOfOneUserMakesNobodyElsesForgotten) {
  EndRevoked("other", kOld);
  for (size_t i = 0; i <= RevokedSessions::kUsersMax; ++i) EndRevoked("user", kOld);
  const Linked a = Link("a");
  for (const char* user : {"other", "user"}) Report(a, user, kOld);
  EXPECT_EQ(Disconnects(*a.edge), (Seen{"other revoked 7", "user revoked 7"}));
}

TEST_F(RevokedSessionsTest, OperatorEndsOneSessionAtItsEdgeIfThatIsLinked) {
  const Linked a = Link("a"), b = Link("b");
  EXPECT_TRUE(dispatcher_.EndSession("user", {"b", 3}));
  EXPECT_EQ(Disconnects(*b.edge), Seen{"user operator 3"});
  EXPECT_EQ(Disconnects(*a.edge), Seen{});
  EXPECT_FALSE(dispatcher_.EndSession("user", {"c", 3}));
  b.edge->Break();
  EXPECT_FALSE(dispatcher_.EndSession("user", {"b", 3}));
}

}  // namespace
}  // namespace toolwire
