// Calls whose agent is between two sessions when they come: they wait for the next one, for a while.
#include <string>
#include <vector>

#include "tests/unit/control/dispatcher_fixture.h"

namespace toolwire {
namespace {

class DispatcherMovesTest : public DispatcherTest {
 protected:
  // A call that was delivered by this lease, whose session is not open yet.
  uint64_t BeginTooEarly(const LinkedEdge& at, const std::string& edge_id, uint64_t epoch,
                         Duration timeout = kTimeout) {
    registry_.SetLease(kUser, edge_id, epoch);
    const uint64_t call_id = Begin(kUser, timeout);
    EXPECT_EQ(at.edge->deliveries().back().call_id(), call_id);
    Refuse(at, call_id, R::NOT_HERE, E::NOT_SENT);
    EXPECT_EQ(OutcomeOf(call_id), "open");
    return call_id;
  }
  // Expects that the edge has got the call last, and answers it.
  void ExpectDelivered(const LinkedEdge& at, uint64_t call_id) {
    ASSERT_FALSE(at.edge->deliveries().empty());
    ASSERT_EQ(at.edge->deliveries().back().call_id(), call_id);
    Answer(at, call_id);
    EXPECT_EQ(OutcomeOf(call_id), "success 42");
  }
  uint64_t waited() const { return dispatcher_.counters().waited_for_session.value(); }

  const LinkedEdge a_ = Link("edge_a"), b_ = Link("edge_b");
};

TEST_F(DispatcherMovesTest, CallThatComesBeforeTheSessionOfItsLeaseIsDeliveredWhenThatOpens) {
  const uint64_t call_id = BeginTooEarly(b_, "edge_b", 2);
  EXPECT_EQ(dispatcher_.waiting_for_session(), 1u);
  clock_.Advance(seconds(1));
  Connect(b_, kUser, 2);
  ASSERT_EQ(b_.edge->deliveries().size(), 2u);
  EXPECT_EQ(b_.edge->deliveries()[1].timeout_us(), 9000000) << "the wait took a second of the caller's time";
  EXPECT_EQ(dispatcher_.waiting_for_session(), 0u);
  ExpectDelivered(b_, call_id);
  EXPECT_EQ(waited(), 1u);
  EXPECT_EQ(dispatcher_.counters().redelivered.value(), 1u);
}

TEST_F(DispatcherMovesTest, CallThatWaitsGoesToWhicheverEdgeReportsTheSession) {
  const uint64_t call_id = BeginTooEarly(b_, "edge_b", 2);
  Connect(a_, kUser, 3);
  ExpectDelivered(a_, call_id);
}

TEST_F(DispatcherMovesTest, CallThatWaitsGoesToTheNewerLeaseThatALookUpFinds) {
  const uint64_t call_id = BeginTooEarly(b_, "edge_b", 2);
  registry_.SetLease(kUser, "edge_a", 3);
  Advance(SessionWaits::kFirstPause);
  ExpectDelivered(a_, call_id);
}

TEST_F(DispatcherMovesTest, CallRefusedByTheOldEdgeAndTheNewIsDeliveredOnceTheSessionIsOpen) {
  Connect(a_, kUser, 1);
  registry_.SetLease(kUser, "edge_b", 2);
  const uint64_t call_id = BeginDelivered(a_);
  Refuse(a_, call_id, R::NOT_HERE, E::NOT_SENT);
  ASSERT_EQ(b_.edge->deliveries().size(), 1u);
  Refuse(b_, call_id, R::NOT_HERE, E::NOT_SENT);
  EXPECT_EQ(OutcomeOf(call_id), "open");
  Connect(b_, kUser, 2);
  ExpectDelivered(b_, call_id);
}

TEST_F(DispatcherMovesTest, SessionThatOpenedBeforeItsNotHereCameGetsTheCallAgainAndStaysKnown) {
  registry_.SetLease(kUser, "edge_b", 2);
  const uint64_t call_id = Begin();
  Connect(b_, kUser, 2);
  Refuse(b_, call_id, R::NOT_HERE, E::NOT_SENT);
  ASSERT_TRUE(directory_.Find(kUser)) << "a late NOT_HERE hides no session that came after the delivery";
  EXPECT_EQ(directory_.Find(kUser)->epoch, 2u);
  EXPECT_EQ(b_.edge->deliveries().size(), 2u);
  EXPECT_EQ(waited(), 0u);
  ExpectDelivered(b_, call_id);
}

TEST_F(DispatcherMovesTest, SessionThatOpensDuringTheLookUpGetsTheCallWhateverTheRegistryFinds) {
  Connect(a_, kUser, 1);
  const uint64_t call_id = BeginDelivered(a_);
  registry_.Hold();
  Refuse(a_, call_id, R::SESSION_LOST, E::NOT_SENT);
  Connect(b_, kUser, 2);
  ASSERT_TRUE(registry_.AnswerNext());
  ExpectDelivered(b_, call_id);
}

TEST_F(DispatcherMovesTest, SessionIsWaitedForNoLongerThanTheLimit) {
  const uint64_t call_id = BeginTooEarly(b_, "edge_b", 2);
  ExpectAfter(options_.session_wait_max, call_id, "AGENT_NOT_CONNECTED NOT_SENT");
  EXPECT_EQ(dispatcher_.waiting_for_session(), 0u);
  Connect(b_, kUser, 2);
  EXPECT_EQ(b_.edge->deliveries().size(), 1u);
}

TEST_F(DispatcherMovesTest, LastMomentOfTheWaitStillCounts) {
  const uint64_t call_id = BeginTooEarly(b_, "edge_b", 2);
  Advance(options_.session_wait_max - kTick);
  Connect(b_, kUser, 2);
  ExpectDelivered(b_, call_id);
}

TEST_F(DispatcherMovesTest, WaitsOfOneCallAreBoundedTogether) {
  const uint64_t call_id = BeginTooEarly(b_, "edge_b", 2);
  Advance(options_.session_wait_max / 2);
  Connect(b_, kUser, 2);
  registry_.SetLease(kUser, "edge_a", 3);
  Refuse(b_, call_id, R::NOT_HERE, E::NOT_SENT);
  Refuse(a_, call_id, R::NOT_HERE, E::NOT_SENT);
  ExpectAfter(options_.session_wait_max / 2, call_id, "AGENT_NOT_CONNECTED NOT_SENT");
  EXPECT_EQ(waited(), 1u);
}

TEST_F(DispatcherMovesTest, CallWhoseWaitIsOverIsNotConnectedAtOnce) {
  const uint64_t call_id = BeginTooEarly(b_, "edge_b", 2);
  Advance(options_.session_wait_max - kTick);
  Connect(b_, kUser, 2);
  clock_.Advance(2 * kTick);
  Refuse(b_, call_id, R::NOT_HERE, E::NOT_SENT);
  EXPECT_EQ(OutcomeOf(call_id), "AGENT_NOT_CONNECTED NOT_SENT");
}

TEST_F(DispatcherMovesTest, SessionIsWaitedForNoLongerThanTheDeadline) {
  const uint64_t call_id = BeginTooEarly(b_, "edge_b", 2, options_.session_wait_max - milliseconds(500));
  ExpectAfter(options_.session_wait_max - milliseconds(500), call_id, "CALL_TIMEOUT NOT_SENT");
}

TEST_F(DispatcherMovesTest, DeliveryAfterAWaitKeepsTheCallersDeadline) {
  const uint64_t call_id = BeginTooEarly(b_, "edge_b", 2);
  Connect(b_, kUser, 2);
  Advance(options_.session_wait_max + kTick);
  ExpectDelivered(b_, call_id);
}

TEST_F(DispatcherMovesTest, AgentThatIsGoneIsReportedByTheNextLookUp) {
  const uint64_t call_id = BeginTooEarly(b_, "edge_b", 2);
  registry_.RemoveLease(kUser);
  ExpectAfter(SessionWaits::kFirstPause, call_id, "AGENT_NOT_CONNECTED NOT_SENT");
}

TEST_F(DispatcherMovesTest, AgentWithoutLeaseAndSessionIsNotWaitedFor) {
  EXPECT_EQ(OutcomeOf(Begin()), "AGENT_NOT_CONNECTED NOT_SENT");
  Connect(a_, kUser, 1);
  const uint64_t call_id = BeginDelivered(a_);
  Refuse(a_, call_id, R::NOT_HERE, E::NOT_SENT);
  EXPECT_EQ(OutcomeOf(call_id), "AGENT_NOT_CONNECTED NOT_SENT");
  EXPECT_EQ(waited(), 0u);
}

// The registry of a control that was given its edge by address knows no name before the first link.
TEST_F(DispatcherMovesTest, FirstLookUpThatNamesNoEdgeIsNotWaitedFor) {
  registry_.SetLease(kUser, "", 0);
  EXPECT_EQ(OutcomeOf(Begin()), "EDGE_UNAVAILABLE NOT_SENT");
}

// And later names that edge for every user, whether its agent is connected or not.
TEST_F(DispatcherMovesTest, NotHereOfTheOneEdgeThatThereIsIsFinal) {
  registry_.SetLease(kUser, "edge_a", 0);
  const uint64_t call_id = Begin();
  EXPECT_EQ(a_.edge->deliveries().size(), 1u);
  Refuse(a_, call_id, R::NOT_HERE, E::NOT_SENT);
  EXPECT_EQ(OutcomeOf(call_id), "AGENT_NOT_CONNECTED NOT_SENT");
}

TEST_F(DispatcherMovesTest, CallWaitsWhileTheRegistryIsUnavailableIfItsAgentWasThere) {
  Connect(a_, kUser, 1);
  const uint64_t call_id = BeginDelivered(a_);
  registry_.Fail(absl::UnavailableError("no route"));
  Refuse(a_, call_id, R::SESSION_LOST, E::NOT_SENT);
  Advance(seconds(1));
  EXPECT_EQ(OutcomeOf(call_id), "open");
  Connect(b_, kUser, 2);
  ExpectDelivered(b_, call_id);
}

TEST_F(DispatcherMovesTest, CallWaitsForTheSessionWhileItsLeaseIsAtAnEdgeThatIsNotLinkedYet) {
  Connect(a_, kUser, 1);
  const uint64_t call_id = BeginDelivered(a_);
  registry_.SetLease(kUser, "edge_c", 2);
  Refuse(a_, call_id, R::NOT_HERE, E::NOT_SENT);
  EXPECT_EQ(OutcomeOf(call_id), "open");
  const LinkedEdge c = Link("edge_c");
  Connect(c, kUser, 2);
  ExpectDelivered(c, call_id);
}

TEST_F(DispatcherMovesTest, UnsentCallOfABrokenLinkGoesWhereItsAgentHasComeBack) {
  Connect(a_, kUser, 1);
  registry_.SetLease(kUser, "edge_a", 1);
  const uint64_t call_id = BeginDelivered(a_);
  dispatcher_.LinkDown(a_.number, {call_id});
  EXPECT_EQ(OutcomeOf(call_id), "open");
  Advance(seconds(1));
  Connect(b_, kUser, 2);
  ExpectDelivered(b_, call_id);
}

TEST_F(DispatcherMovesTest, UnsentCallOfABrokenLinkGoesThroughTheNextLinkToTheSameSession) {
  Connect(a_, kUser, 1);
  registry_.SetLease(kUser, "edge_a", 1);
  const uint64_t call_id = BeginDelivered(a_);
  dispatcher_.LinkDown(a_.number, {call_id});
  const LinkedEdge again = Link("edge_a");
  Connect(again, kUser, 1);
  ExpectDelivered(again, call_id);
}

TEST_F(DispatcherMovesTest, SessionOfOneUserWakesNoCallOfAnother) {
  const uint64_t call_id = BeginTooEarly(b_, "edge_b", 2);
  Connect(b_, "user_2", 2);
  EXPECT_EQ(b_.edge->deliveries().size(), 1u);
  EXPECT_EQ(dispatcher_.waiting_for_session(), 1u);
  Connect(b_, kUser, 2);
  ExpectDelivered(b_, call_id);
}

TEST_F(DispatcherMovesTest, CallsOfOneUserThatWaitAreLookedUpTogether) {
  for (int i = 0; i < 100; ++i) BeginTooEarly(b_, "edge_b", 2);
  const int before = registry_.lookups(kUser);
  Advance(SessionWaits::kFirstPause);
  EXPECT_EQ(registry_.lookups(kUser), before + 1);
}

TEST_F(DispatcherMovesTest, CallsThatWaitAreDeliveredInTheirOrderAndInSlices) {
  registry_.SetLease(kUser, "edge_b", 2);
  std::vector<Call> calls;
  v1::EdgeFrame refusals;
  for (size_t i = 0; i < 2 * Dispatcher::kAtOnce + 1; ++i) {
    calls.push_back(MakeCall());
    v1::Refusal* const refusal = refusals.add_refusals();
    refusal->set_call_id(calls.back().call_id);
    refusal->set_cause(R::NOT_HERE);
    refusal->set_delivery(E::NOT_SENT);
  }
  const size_t count = calls.size();
  dispatcher_.Begin(std::move(calls));
  dispatcher_.Receive(b_.number, std::move(refusals));
  ASSERT_EQ(dispatcher_.waiting_for_session(), count);
  const size_t frames = b_.edge->frames().size();
  Connect(b_, kUser, 2);
  EXPECT_EQ(b_.edge->frames().size(), frames + 3);
  const std::vector<v1::Deliver> deliveries = b_.edge->deliveries();
  ASSERT_EQ(deliveries.size(), 2 * count);
  for (size_t i = 1; i < count; ++i) ASSERT_LT(deliveries[count + i - 1].call_id(), deliveries[count + i].call_id());
}

TEST_F(DispatcherMovesTest, CallThatWaitsHasNotLeft) {
  const uint64_t cancelled = BeginTooEarly(b_, "edge_b", 2);
  dispatcher_.Cancel({cancelled});
  EXPECT_EQ(OutcomeOf(cancelled), "CALLER_CANCELLED NOT_SENT");
  const uint64_t call_id = BeginTooEarly(b_, "edge_b", 2);
  Stray(a_, kUser, RequestIdOf(call_id));
  EXPECT_EQ(OutcomeOf(call_id), "open") << "the answer is to an earlier call with this id";
  EXPECT_EQ(OutcomeOf(Begin(MakeCall(kUser, RequestIdOf(call_id)))), "DUPLICATE_REQUEST NOT_SENT");
  dispatcher_.FailAll();
  EXPECT_EQ(OutcomeOf(call_id), "EDGE_UNAVAILABLE NOT_SENT");
  EXPECT_EQ(dispatcher_.waiting_for_session(), 0u);
}

}  // namespace
}  // namespace toolwire
