// Calls whose session, link, deadline or caller is lost on the way.
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tests/unit/control/dispatcher_fixture.h"

namespace toolwire {
namespace {

// --- lost sessions and stray answers ---------------------------------------------------------------------------------

TEST_F(DispatcherTest, SentCallOfALostSessionWaitsForItsAnswerAndIsThenLost) {
  const LinkedEdge edge = LinkWithAgent();
  registry_.SetLease(kUser, "edge_a", 2);
  const uint64_t call_id = BeginLost(edge);
  ExpectAfter(options_.lost_answer_wait, call_id, "AGENT_LOST SENT");
  EXPECT_EQ(edge.edge->deliveries().size(), 1u);
  EXPECT_EQ(edge.edge->cancels().size(), 0u);
}

TEST_F(DispatcherTest, SentCallOfALostSessionIsLostAtItsDeadlineIfThatComesFirst) {
  const LinkedEdge edge = LinkWithAgent();
  const uint64_t call_id = BeginLost(edge, options_.lost_answer_wait - milliseconds(500));
  ExpectAfter(options_.lost_answer_wait - milliseconds(500), call_id, "AGENT_LOST SENT");
}

TEST_F(DispatcherTest, StrayAnswerSettlesALostCall) {
  const LinkedEdge edge = LinkWithAgent();
  const LinkedEdge other = Link("edge_b");
  const uint64_t call_id = BeginLost(edge);
  Advance(options_.lost_answer_wait - kTick);
  Stray(other, kUser, RequestIdOf(call_id));
  EXPECT_EQ(OutcomeOf(call_id), "success \"stray\"");
  EXPECT_EQ(dispatcher_.counters().strays_matched.value(), 1u);
  Stray(other, kUser, RequestIdOf(call_id));
  EXPECT_EQ(dispatcher_.counters().strays_dropped.value(), 1u);
}

TEST_F(DispatcherTest, StrayAnswerSettlesADeliveredCallWhoseRefusalIsStillOnItsWay) {
  const LinkedEdge edge = LinkWithAgent();
  const LinkedEdge other = Link("edge_b");
  const uint64_t call_id = BeginDelivered(edge);
  Stray(other, kUser, RequestIdOf(call_id));
  EXPECT_EQ(OutcomeOf(call_id), "success \"stray\"");
  Refuse(edge, call_id, R::SESSION_LOST, E::SENT);
  EXPECT_EQ(OutcomeOf(call_id), "success \"stray\"");
}

TEST_F(DispatcherTest, StrayAnswerNeverSettlesACallThatIsOnlyLooking) {
  const LinkedEdge edge = Link();
  const uint64_t call_id = BeginLooking();
  Stray(edge, kUser, RequestIdOf(call_id));
  EXPECT_EQ(OutcomeOf(call_id), "open");
  EXPECT_EQ(dispatcher_.counters().strays_dropped.value(), 1u);
}

TEST_F(DispatcherTest, StrayAnswerOfAnotherUserOrRequestIsDropped) {
  const LinkedEdge edge = LinkWithAgent();
  const uint64_t call_id = BeginLost(edge);
  Stray(edge, "user_2", RequestIdOf(call_id));
  Stray(edge, kUser, "req_unknown");
  EXPECT_EQ(OutcomeOf(call_id), "open");
  EXPECT_EQ(dispatcher_.counters().strays_dropped.value(), 2u);
  EXPECT_EQ(dispatcher_.counters().strays_matched.value(), 0u);
}

TEST_F(DispatcherTest, LargeStrayIsFetchedFromTheEdgeThatOffersItIfItsCallWaits) {
  const LinkedEdge edge = LinkWithAgent();
  const LinkedEdge other = Link("edge_b");
  const uint64_t call_id = BeginLost(edge);
  Offer(other, "user_2", RequestIdOf(call_id));
  Offer(other, kUser, "req_unknown");
  EXPECT_TRUE(other.edge->fetches().empty());
  EXPECT_EQ(dispatcher_.counters().strays_dropped.value(), 2u);
  Advance(options_.lost_answer_wait - kTick);
  Offer(other, kUser, RequestIdOf(call_id));
  EXPECT_EQ(other.edge->fetches(), std::vector<std::string>{RequestIdOf(call_id)});
  EXPECT_TRUE(edge.edge->fetches().empty());
  EXPECT_EQ(dispatcher_.counters().strays_fetched.value(), 1u);
  Advance(options_.lost_answer_wait - kTick);
  EXPECT_EQ(OutcomeOf(call_id), "open") << "the answer may take a while";
  Stray(other, kUser, RequestIdOf(call_id));
  EXPECT_EQ(OutcomeOf(call_id), "success \"stray\"");
}

TEST_F(DispatcherTest, LargeStrayThatDoesNotComeLosesItsCall) {
  const LinkedEdge edge = LinkWithAgent();
  const uint64_t call_id = BeginLost(edge);
  Offer(edge, kUser, RequestIdOf(call_id));
  ExpectAfter(options_.lost_answer_wait, call_id, "AGENT_LOST SENT");
}

TEST_F(DispatcherTest, LargeStrayIsNotFetchedForACallThatNeverLeft) {
  const LinkedEdge edge = Link();
  const uint64_t call_id = BeginLooking();
  Offer(edge, kUser, RequestIdOf(call_id));
  EXPECT_TRUE(edge.edge->fetches().empty());
  EXPECT_EQ(OutcomeOf(call_id), "open");
}

TEST_F(DispatcherTest, LostCallIsNotSettledByItsOldLink) {
  const LinkedEdge edge = LinkWithAgent();
  const uint64_t call_id = BeginLost(edge);
  Refuse(edge, call_id, R::TIMED_OUT, E::SENT);
  EXPECT_EQ(OutcomeOf(call_id), "open") << "that edge has given its one word on this call";
}

// --- links -----------------------------------------------------------------------------------------------------------

TEST_F(DispatcherTest, LinkThatRefusesAFrameIsLookedUpAgain) {
  const LinkedEdge a = LinkWithAgent("edge_a", 1);
  const LinkedEdge b = Link("edge_b");
  a.edge->Break();
  registry_.SetLease(kUser, "edge_a", 1);
  EXPECT_EQ(OutcomeOf(Begin()), "EDGE_UNAVAILABLE NOT_SENT");
  registry_.SetLease(kUser, "edge_b", 2);
  const uint64_t call_id = Begin();
  EXPECT_EQ(OutcomeOf(call_id), "open");
  ASSERT_EQ(b.edge->deliveries().size(), 1u);
  Answer(b, call_id);
  EXPECT_EQ(OutcomeOf(call_id), "success 42");
}

TEST_F(DispatcherTest, LinkThatRefusesEverythingIsTriedNoMoreOftenThanTheLimit) {
  const LinkedEdge edge = LinkWithAgent("edge_a", 1);
  edge.edge->Break();
  uint64_t epoch = 1;
  registry_.SetJudge([&](const std::string&) { return std::optional<Lease>(Lease{"edge_a", ++epoch}); });
  EXPECT_EQ(OutcomeOf(Begin()), "EDGE_UNAVAILABLE NOT_SENT");
  EXPECT_EQ(edge.edge->refused(), options_.delivery_attempts_max);
}

TEST_F(DispatcherTest, FrameRefusedByALinkThatIsDownAlreadyDidNotLeave) {
  const LinkedEdge a = LinkWithAgent("edge_a", 1);
  const LinkedEdge b = Link("edge_b");
  registry_.SetLease(kUser, "edge_b", 2);
  // The link breaks between the decision to deliver and the frame.
  a.edge->SetJudge([&](const v1::ControlFrame&) {
    dispatcher_.LinkDown(a.number, {});
    return false;
  });
  const uint64_t call_id = Begin();
  ASSERT_EQ(b.edge->deliveries().size(), 1u);
  Answer(b, call_id);
  EXPECT_EQ(OutcomeOf(call_id), "success 42");
}

TEST_F(DispatcherTest, LinkDownLooksAgainForUnsentCallsAndWaitsForTheOthers) {
  const LinkedEdge a = LinkWithAgent("edge_a", 1);
  const LinkedEdge b = Link("edge_b");
  registry_.SetLease(kUser, "edge_b", 2);
  const uint64_t sent = BeginDelivered(a);
  const uint64_t unsent = BeginDelivered(a);
  Connect(b, "user_2", 1);
  const uint64_t elsewhere = Begin("user_2");
  dispatcher_.LinkDown(a.number, {unsent, elsewhere, 987654});
  EXPECT_EQ(OutcomeOf(sent), "open");
  ASSERT_EQ(b.edge->deliveries().size(), 2u);
  EXPECT_EQ(b.edge->deliveries()[1].call_id(), unsent);
  Answer(b, unsent);
  EXPECT_EQ(OutcomeOf(unsent), "success 42");
  ExpectAfter(options_.lost_answer_wait, sent, "AGENT_LOST SENT");
  Answer(b, elsewhere);
  EXPECT_EQ(OutcomeOf(elsewhere), "success 42");
}

TEST_F(DispatcherTest, UnsentCallOfAnEdgeThatIsGoneIsEdgeUnavailableOnceItsWaitIsOver) {
  const LinkedEdge edge = LinkWithAgent("edge_a", 1);
  registry_.SetLease(kUser, "edge_a", 1);  // The registry does not know yet.
  const uint64_t call_id = BeginDelivered(edge);
  dispatcher_.LinkDown(edge.number, {call_id});
  ExpectAfter(options_.session_wait_max, call_id, "EDGE_UNAVAILABLE NOT_SENT");
}

TEST_F(DispatcherTest, UnsentCallGoesToItsEdgeIfThatIsLinkedAgain) {
  LinkedEdge edge = LinkWithAgent("edge_a", 1);
  registry_.SetLease(kUser, "edge_a", 1);
  const uint64_t call_id = BeginDelivered(edge);
  registry_.Hold();
  dispatcher_.LinkDown(edge.number, {call_id});
  edge = Link();
  registry_.AnswerNext();
  ASSERT_EQ(edge.edge->deliveries().size(), 1u);
  Answer(edge, call_id);
  EXPECT_EQ(OutcomeOf(call_id), "success 42");
}

TEST_F(DispatcherTest, AnswerOfACallLostWithItsLinkComesThroughTheNextLink) {
  LinkedEdge edge = LinkWithAgent();
  const uint64_t call_id = BeginDelivered(edge);
  dispatcher_.LinkDown(edge.number, {});
  edge = Link();
  Answer(edge, call_id, "\"the number means nothing on another link\"");
  EXPECT_EQ(OutcomeOf(call_id), "open");
  Stray(edge, kUser, RequestIdOf(call_id));
  EXPECT_EQ(OutcomeOf(call_id), "success \"stray\"");
}

TEST_F(DispatcherTest, CallThatIsLookingSurvivesTheEndOfALink) {
  const LinkedEdge a = Link("edge_a");
  const LinkedEdge b = Link("edge_b");
  const uint64_t call_id = BeginLooking();
  dispatcher_.LinkDown(a.number, {call_id});
  EXPECT_EQ(OutcomeOf(call_id), "open");
  EXPECT_EQ(registry_.waiting(), 1u);
  registry_.SetLease(kUser, "edge_b", 1);
  registry_.AnswerNext();
  Answer(b, call_id);
  EXPECT_EQ(OutcomeOf(call_id), "success 42");
}

TEST_F(DispatcherTest, LinkThatIsNotCurrentChangesNothing) {
  const LinkedEdge old = LinkWithAgent();
  dispatcher_.LinkDown(old.number, {});
  EXPECT_EQ(dispatcher_.links(), 0u);
  const LinkedEdge edge = LinkWithAgent("edge_a", 2);
  EXPECT_EQ(dispatcher_.links(), 1u);
  EXPECT_NE(edge.number, old.number);
  const uint64_t call_id = BeginDelivered(edge);
  Answer(old, call_id);
  Refuse(old, call_id, R::TIMED_OUT, E::SENT);
  Connect(old, "user_2", 1);
  dispatcher_.LinkDown(old.number, {call_id});
  dispatcher_.LinkDown(0, {call_id});
  EXPECT_EQ(OutcomeOf(call_id), "open");
  EXPECT_EQ(directory_.Find("user_2"), std::nullopt);
  EXPECT_TRUE(directory_.Find(kUser));
  EXPECT_EQ(dispatcher_.links(), 1u);
}

TEST_F(DispatcherTest, LinkUpReplacesTheEdgesEarlierLink) {
  const LinkedEdge old = LinkWithAgent();
  const uint64_t lost = BeginDelivered(old);
  const LinkedEdge edge = Link();
  EXPECT_EQ(dispatcher_.links(), 1u);
  registry_.SetLease(kUser, "edge_a", 1);
  const uint64_t call_id = Begin();
  EXPECT_EQ(old.edge->deliveries().size(), 1u);
  ASSERT_EQ(edge.edge->deliveries().size(), 1u);
  Answer(edge, call_id);
  EXPECT_EQ(OutcomeOf(call_id), "success 42");
  ExpectAfter(options_.lost_answer_wait, lost, "AGENT_LOST SENT");
}

TEST_F(DispatcherTest, SessionEventsFeedTheDirectoryUntilTheirLinkIsDown) {
  const LinkedEdge a = LinkWithAgent("edge_a", 3);
  const LinkedEdge b = Link("edge_b");
  Connect(b, "user_2", 4);
  ASSERT_TRUE(directory_.Find(kUser));
  EXPECT_EQ(directory_.Find(kUser)->edge_id, "edge_a");
  EXPECT_EQ(directory_.Find(kUser)->epoch, 3u);
  dispatcher_.LinkDown(a.number, {});
  EXPECT_EQ(directory_.Find(kUser), std::nullopt);
  EXPECT_TRUE(directory_.Find("user_2"));
}

TEST_F(DispatcherTest, NewLinkForgetsTheSessionsThatItsSnapshotDoesNotName) {
  google::protobuf::RepeatedPtrField<v1::SessionEvent> events;
  for (const char* user_id : {"user_1", "user_2"}) {
    v1::SessionEvent* event = events.Add();
    event->set_user_id(user_id);
    event->set_connected(true);
    event->set_epoch(1);
  }
  directory_.Apply("edge_a", events);
  const LinkedEdge edge = Link("edge_a");
  Connect(edge, "user_2", 1);
  v1::EdgeFrame frame;
  frame.add_sessions()->set_snapshot_complete(true);
  dispatcher_.Receive(edge.number, std::move(frame));
  EXPECT_EQ(directory_.Find("user_1"), std::nullopt);
  EXPECT_TRUE(directory_.Find("user_2"));
}

TEST_F(DispatcherTest, SessionsOfAFrameCountBeforeItsRefusals) {
  const LinkedEdge edge = LinkWithAgent("edge_a", 1);
  registry_.SetLease(kUser, "edge_a", 2);
  const uint64_t call_id = BeginDelivered(edge);
  v1::EdgeFrame frame;
  frame.add_sessions()->set_user_id(kUser);
  frame.mutable_sessions(0)->set_epoch(2);
  frame.mutable_sessions(0)->set_connected(true);
  frame.add_refusals()->set_call_id(call_id);
  frame.mutable_refusals(0)->set_cause(R::NOT_HERE);
  frame.mutable_refusals(0)->set_delivery(E::NOT_SENT);
  dispatcher_.Receive(edge.number, std::move(frame));
  EXPECT_EQ(edge.edge->deliveries().size(), 2u);
  ASSERT_TRUE(directory_.Find(kUser));
  EXPECT_EQ(directory_.Find(kUser)->epoch, 2u);
}

// --- deadlines -------------------------------------------------------------------------------------------------------

TEST_F(DispatcherTest, EdgeThatIsSilentPastTheDeadlineCountsAsHavingSent) {
  const LinkedEdge edge = LinkWithAgent();
  const uint64_t call_id = BeginDelivered(edge);
  Advance(kTimeout);
  EXPECT_EQ(OutcomeOf(call_id), "open") << "the edge's word on it may be on its way";
  ExpectAfter(options_.edge_silence_max, call_id, "CALL_TIMEOUT SENT");
  EXPECT_EQ(edge.edge->cancels(), std::vector<uint64_t>{call_id}) << "the edge need not wait for it either";
  Answer(edge, call_id);
  Refuse(edge, call_id, R::TIMED_OUT, E::NOT_SENT);
  EXPECT_EQ(OutcomeOf(call_id), "CALL_TIMEOUT SENT");
}

TEST_F(DispatcherTest, EdgesWordOnTheDeadlineCountsWithinTheSilenceLimit) {
  const LinkedEdge edge = LinkWithAgent();
  const uint64_t not_sent = BeginDelivered(edge);
  const uint64_t answered = BeginDelivered(edge);
  Advance(kTimeout + options_.edge_silence_max - kTick);
  Refuse(edge, not_sent, R::TIMED_OUT, E::NOT_SENT);
  Answer(edge, answered);
  EXPECT_EQ(OutcomeOf(not_sent), "CALL_TIMEOUT NOT_SENT");
  EXPECT_EQ(OutcomeOf(answered), "success 42");
}

TEST_F(DispatcherTest, CallThatIsLookingAgainEndsAtItsDeadlineAsNotSent) {
  const LinkedEdge edge = LinkWithAgent();
  const uint64_t call_id = BeginDelivered(edge);
  Advance(seconds(4));
  registry_.Hold();
  Refuse(edge, call_id, R::NOT_HERE, E::NOT_SENT);
  ExpectAfter(kTimeout - seconds(4), call_id, "CALL_TIMEOUT NOT_SENT");
}

TEST_F(DispatcherTest, NotHereAfterTheDeadlineIsATimeOut) {
  const LinkedEdge edge = LinkWithAgent();
  registry_.SetLease(kUser, "edge_a", 2);
  const uint64_t call_id = BeginDelivered(edge);
  Advance(kTimeout);
  Refuse(edge, call_id, R::NOT_HERE, E::NOT_SENT);
  EXPECT_EQ(OutcomeOf(call_id), "CALL_TIMEOUT NOT_SENT");
  EXPECT_EQ(edge.edge->deliveries().size(), 1u);
}

TEST_F(DispatcherTest, AnsweredCallsLeaveNoTimerBehind) {
  const LinkedEdge edge = LinkWithAgent();
  for (int i = 0; i < 100; ++i) Answer(edge, BeginDelivered(edge));
  for (int i = 0; i < 100; ++i) Advance(seconds(1));
  EXPECT_EQ(sink_->settled(), 100u);
  EXPECT_EQ(edge.edge->cancels().size(), 0u);
}

// --- cancel ----------------------------------------------------------------------------------------------------------

TEST_F(DispatcherTest, CancelOfACallThatIsLookingIsNotSent) {
  const LinkedEdge edge = Link();
  const uint64_t call_id = BeginLooking();
  dispatcher_.Cancel({call_id});
  EXPECT_EQ(OutcomeOf(call_id), "CALLER_CANCELLED NOT_SENT");
  registry_.SetLease(kUser, "edge_a", 1);
  registry_.AnswerNext();
  EXPECT_EQ(edge.edge->frames().size(), 0u);
}

TEST_F(DispatcherTest, CancelOfADeliveredCallWaitsForTheEdgesWord) {
  const LinkedEdge edge = LinkWithAgent();
  const uint64_t not_sent = BeginDelivered(edge);
  const uint64_t sent = BeginDelivered(edge);
  dispatcher_.Cancel({not_sent, sent});
  EXPECT_EQ(edge.edge->cancels(), (std::vector<uint64_t>{not_sent, sent}));
  EXPECT_EQ(edge.edge->frames().size(), 3u) << "cancels share a frame";
  EXPECT_EQ(OutcomeOf(not_sent), "open");
  Refuse(edge, not_sent, R::CANCELLED, E::NOT_SENT);
  Refuse(edge, sent, R::CANCELLED, E::SENT);
  EXPECT_EQ(OutcomeOf(not_sent), "CALLER_CANCELLED NOT_SENT");
  EXPECT_EQ(OutcomeOf(sent), "CALLER_CANCELLED SENT");
}

TEST_F(DispatcherTest, CallThatWaitsForItsLinkIsTakenOutByACancelAndNoCancelOvertakesItsCall) {
  const LinkedEdge edge = LinkWithAgent();
  const Call sent = MakeCall();
  uint64_t waits = 0, also_sent = 0;
  edge.edge->SetJudge([&](const v1::ControlFrame&) {
    if (waits != 0) return true;
    waits = Begin();
    also_sent = Begin();
    dispatcher_.Cancel({sent.call_id, waits});
    EXPECT_EQ(OutcomeOf(waits), "CALLER_CANCELLED NOT_SENT");
    EXPECT_EQ(edge.edge->frames().size(), 1u) << "the link is still busy with the first";
    return true;
  });
  Begin(sent);
  ASSERT_EQ(edge.edge->deliveries().size(), 2u);
  EXPECT_EQ(edge.edge->deliveries()[1].call_id(), also_sent);
  EXPECT_EQ(edge.edge->cancels(), std::vector<uint64_t>{sent.call_id});
  Refuse(edge, sent.call_id, R::CANCELLED, E::SENT);
  Answer(edge, also_sent);
  EXPECT_EQ(OutcomeOf(also_sent), "success 42");
}

TEST_F(DispatcherTest, CallThatWaitsForALinkThatBreaksIsDeliveredElsewhereAndMayTimeOut) {
  const LinkedEdge edge = LinkWithAgent(), other = Link("edge_b");
  registry_.SetJudge([](const std::string&) { return std::optional<Lease>(Lease{"edge_b", 2}); });
  uint64_t waits = 0, late = 0;
  edge.edge->SetJudge([&](const v1::ControlFrame&) {
    late = Begin(kUser, milliseconds(20));
    clock_.Advance(milliseconds(30));
    dispatcher_.Tick();
    EXPECT_EQ(OutcomeOf(late), "CALL_TIMEOUT NOT_SENT");
    waits = Begin();
    dispatcher_.LinkDown(edge.number, {});
    return true;
  });
  const uint64_t lost = Begin();
  EXPECT_EQ(edge.edge->deliveries().size(), 1u);
  ASSERT_EQ(other.edge->deliveries().size(), 1u);
  Answer(other, waits);
  EXPECT_EQ(OutcomeOf(waits), "success 42");
  Advance(kTimeout);
  EXPECT_EQ(OutcomeOf(lost), "AGENT_LOST SENT");
}

TEST_F(DispatcherTest, AnswerThatComesBeforeTheCancelTakesEffectCounts) {
  const LinkedEdge edge = LinkWithAgent();
  const uint64_t call_id = BeginDelivered(edge);
  dispatcher_.Cancel({call_id});
  Answer(edge, call_id);
  EXPECT_EQ(OutcomeOf(call_id), "success 42");
  Advance(kTimeout);
}

TEST_F(DispatcherTest, CancelThatTheEdgeDoesNotAnswerIsSent) {
  const LinkedEdge edge = LinkWithAgent();
  const uint64_t call_id = BeginDelivered(edge);
  dispatcher_.Cancel({call_id});
  ExpectAfter(options_.cancel_wait_max, call_id, "CALLER_CANCELLED SENT");
  EXPECT_EQ(edge.edge->cancels().size(), 1u) << "the edge was notified once";
}

TEST_F(DispatcherTest, CancelOfALostCallIsSent) {
  const LinkedEdge edge = LinkWithAgent();
  const uint64_t call_id = BeginLost(edge);
  dispatcher_.Cancel({call_id});
  EXPECT_EQ(OutcomeOf(call_id), "CALLER_CANCELLED SENT");
  EXPECT_EQ(edge.edge->cancels().size(), 0u);
}

TEST_F(DispatcherTest, CancelOfASettledOrUnknownCallChangesNothing) {
  const LinkedEdge edge = LinkWithAgent();
  const uint64_t call_id = BeginDelivered(edge);
  Answer(edge, call_id);
  dispatcher_.Cancel({call_id, 987654});
  dispatcher_.Cancel({});
  EXPECT_EQ(OutcomeOf(call_id), "success 42");
  EXPECT_EQ(edge.edge->cancels().size(), 0u);
}

TEST_F(DispatcherTest, SecondCancelNeitherRepeatsNorProlongsTheFirst) {
  const LinkedEdge edge = LinkWithAgent();
  const uint64_t call_id = BeginDelivered(edge);
  dispatcher_.Cancel({call_id, call_id});
  Advance(options_.cancel_wait_max - kTick);
  dispatcher_.Cancel({call_id});
  Advance(kTick);
  EXPECT_EQ(OutcomeOf(call_id), "CALLER_CANCELLED SENT");
  EXPECT_EQ(edge.edge->cancels().size(), 1u);
}

TEST_F(DispatcherTest, CancelledCallIsNotDeliveredAgain) {
  const LinkedEdge a = LinkWithAgent("edge_a", 1);
  const LinkedEdge b = Link("edge_b");
  registry_.SetLease(kUser, "edge_b", 2);
  for (const R::Cause cause : {R::NOT_HERE, R::EDGE_UNAVAILABLE, R::SESSION_LOST}) {
    Connect(a, kUser, 1);
    const uint64_t call_id = BeginDelivered(a);
    dispatcher_.Cancel({call_id});
    Refuse(a, call_id, cause, E::NOT_SENT);
    EXPECT_EQ(OutcomeOf(call_id), "CALLER_CANCELLED NOT_SENT") << R::Cause_Name(cause);
  }
  EXPECT_EQ(b.edge->deliveries().size(), 0u);
  EXPECT_EQ(registry_.lookups(kUser), 0);
}

TEST_F(DispatcherTest, CancelledCallOfALostSessionIsNotWaitedFor) {
  const LinkedEdge edge = LinkWithAgent();
  const uint64_t call_id = BeginDelivered(edge);
  dispatcher_.Cancel({call_id});
  Refuse(edge, call_id, R::SESSION_LOST, E::SENT);
  EXPECT_EQ(OutcomeOf(call_id), "CALLER_CANCELLED SENT");
}

TEST_F(DispatcherTest, CancelledCallWhoseRefusalDoesNotSayWhetherItLeftCountsAsSent) {
  const LinkedEdge edge = LinkWithAgent();
  const uint64_t call_id = BeginDelivered(edge);
  dispatcher_.Cancel({call_id});
  Refuse(edge, call_id, R::SESSION_LOST, E::DELIVERY_UNSPECIFIED);
  EXPECT_EQ(OutcomeOf(call_id), "CALLER_CANCELLED SENT");
}

TEST_F(DispatcherTest, CancelledCallsOfABrokenLinkSayWhetherTheyLeft) {
  const LinkedEdge edge = LinkWithAgent();
  const uint64_t sent = BeginDelivered(edge);
  const uint64_t unsent = BeginDelivered(edge);
  dispatcher_.Cancel({sent, unsent});
  dispatcher_.LinkDown(edge.number, {unsent});
  EXPECT_EQ(OutcomeOf(sent), "CALLER_CANCELLED SENT");
  EXPECT_EQ(OutcomeOf(unsent), "CALLER_CANCELLED NOT_SENT");
}

TEST_F(DispatcherTest, CancelRefusedByTheLinkWaitsForTheLinksEnd) {
  const LinkedEdge edge = LinkWithAgent();
  const uint64_t call_id = BeginDelivered(edge);
  edge.edge->Break();
  dispatcher_.Cancel({call_id});
  EXPECT_EQ(OutcomeOf(call_id), "open");
  dispatcher_.LinkDown(edge.number, {call_id});
  EXPECT_EQ(OutcomeOf(call_id), "CALLER_CANCELLED NOT_SENT");
}

// dispatch.proto: the tool's answer if it came first, else CALLER_CANCELLED with what is known of its delivery.
TEST_F(DispatcherTest, CancelledCallWithoutAnAnswerEndsAsCancelledWhateverTheEdgeSays) {
  const std::pair<R::Cause, Delivery> kRefusals[] = {
      {R::NOT_HERE, E::NOT_SENT},     {R::EDGE_UNAVAILABLE, E::NOT_SENT},
      {R::AGENT_BUSY, E::NOT_SENT},   {R::TIMED_OUT, E::NOT_SENT},
      {R::TIMED_OUT, E::SENT},        {R::CANCELLED, E::NOT_SENT},
      {R::CANCELLED, E::SENT},        {R::DUPLICATE_REQUEST, E::NOT_SENT},
      {R::SESSION_LOST, E::NOT_SENT}, {R::SESSION_LOST, E::SENT},
      {R::ANSWER_LOST, E::SENT},
  };
  const LinkedEdge edge = LinkWithAgent();
  for (const auto& [cause, delivery] : kRefusals) {
    Connect(edge, kUser, 1);
    const uint64_t call_id = BeginDelivered(edge);
    dispatcher_.Cancel({call_id});
    Refuse(edge, call_id, cause, delivery);
    EXPECT_EQ(OutcomeOf(call_id), "CALLER_CANCELLED " + E::Delivery_Name(delivery)) << R::Cause_Name(cause);
  }
}

TEST_F(DispatcherTest, CancelledCallEndsAsCancelledAlsoWhenItsAttemptsAreUsedUp) {
  const LinkedEdge edge = LinkWithAgent("edge_a", 1);
  uint64_t epoch = 1;
  registry_.SetJudge([&](const std::string&) { return std::optional<Lease>(Lease{"edge_a", ++epoch}); });
  const uint64_t call_id = BeginDelivered(edge);
  for (int i = 1; i < options_.delivery_attempts_max; ++i) Refuse(edge, call_id, R::NOT_HERE, E::NOT_SENT);
  dispatcher_.Cancel({call_id});
  Refuse(edge, call_id, R::NOT_HERE, E::NOT_SENT);
  EXPECT_EQ(OutcomeOf(call_id), "CALLER_CANCELLED NOT_SENT");
}

// --- many calls at once ----------------------------------------------------------------------------------------------

// Begins three slices of calls that a link has, all with this sink.
class DispatcherSlicesTest : public DispatcherTest {
 protected:
  static constexpr size_t kCount = 2 * Dispatcher::kAtOnce + 1;
  void BeginAll(const std::shared_ptr<RecordingSink>& sink) {
    std::vector<Call> calls;
    for (size_t i = 0; i < kCount; ++i) {
      calls.push_back(MakeCall());
      SetSink(&calls.back(), sink);
      ids_.push_back(calls.back().call_id);
    }
    dispatcher_.Begin(std::move(calls));
    EXPECT_EQ(dispatcher_.in_flight(), kCount);
  }
  // Notes how many calls are left whenever one settles.
  std::shared_ptr<RecordingSink> NotingSink() {
    return std::make_shared<RecordingSink>([this](const auto&) { left_.insert(dispatcher_.in_flight()); });
  }
  void ExpectSlices() const { EXPECT_EQ(left_, (std::set<size_t>{0, 1, Dispatcher::kAtOnce + 1})); }

  const LinkedEdge edge_ = LinkWithAgent();
  std::vector<uint64_t> ids_;
  std::set<size_t> left_;
};

TEST_F(DispatcherSlicesTest, CallsThatAreOverdueTogetherSettleInSlices) {
  BeginAll(NotingSink());
  clock_.Advance(kTimeout + options_.edge_silence_max + kTick);
  dispatcher_.Tick();
  ExpectSlices();
}

TEST_F(DispatcherSlicesTest, CallsOfALinkThatGoesDownEndInSlices) {
  BeginAll(NotingSink());
  dispatcher_.Cancel(ids_);
  dispatcher_.LinkDown(edge_.number, {});
  ExpectSlices();
}

TEST_F(DispatcherSlicesTest, StopSettlesCallsInSlices) {
  BeginAll(NotingSink());
  dispatcher_.FailAll();
  ExpectSlices();
}

TEST_F(DispatcherSlicesTest, CallWhoseTurnHasNotComeWhenItsLinkIsDownMayBeCancelledAndMayTimeOut) {
  bool first = true;
  BeginAll(std::make_shared<RecordingSink>([&](const auto&) {
    if (!std::exchange(first, false)) return;
    dispatcher_.Cancel({ids_[kCount - 1]});
    EXPECT_EQ(OutcomeOf(ids_[kCount - 1]), "CALLER_CANCELLED SENT");
    clock_.Advance(kTimeout + options_.edge_silence_max + kTick);
    dispatcher_.Tick();
    EXPECT_EQ(OutcomeOf(ids_[kCount - 2]), "CALL_TIMEOUT SENT");
  }));
  dispatcher_.Cancel({ids_[0]});
  dispatcher_.LinkDown(edge_.number, {});
  EXPECT_FALSE(first);
  EXPECT_EQ(OutcomeOf(ids_[0]), "CALLER_CANCELLED SENT");
}

}  // namespace
}  // namespace toolwire
