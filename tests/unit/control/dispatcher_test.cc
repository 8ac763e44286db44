// Calls that find their edge, and how they end there.
#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/unit/control/dispatcher_fixture.h"

namespace toolwire {
namespace {

// --- finding the edge ------------------------------------------------------------------------------------------------

TEST_F(DispatcherTest, CallGoesToTheEdgeTheDirectoryNamesAndNobodyIsLookedUp) {
  const LinkedEdge edge = LinkWithAgent();
  Call call = MakeCall(kUser, "req_mine", milliseconds(1500));
  call.params_json = R"({"b":1,"a":[1.50, 9007199254740993]})";
  begun_[call.caller_id].params_json = call.params_json;
  const std::string tool = call.tool;
  clock_.Advance(microseconds(250));
  const uint64_t call_id = Begin(std::move(call));
  const std::vector<v1::Deliver> deliveries = edge.edge->deliveries();
  ASSERT_EQ(deliveries.size(), 1u);
  EXPECT_EQ(deliveries[0].call_id(), call_id);
  EXPECT_EQ(deliveries[0].user_id(), kUser);
  EXPECT_EQ(deliveries[0].request_id(), "req_mine");
  EXPECT_EQ(deliveries[0].tool(), tool);
  EXPECT_EQ(deliveries[0].params_json(), R"({"b":1,"a":[1.50, 9007199254740993]})");
  EXPECT_EQ(deliveries[0].timeout_us(), 1499750);
  EXPECT_EQ(registry_.lookups(kUser), 0);
  Answer(edge, call_id);
}

TEST_F(DispatcherTest, CallTheDirectoryDoesNotKnowGoesWhereTheRegistrySays) {
  Link("edge_a");
  const LinkedEdge edge = Link("edge_b");
  registry_.SetLease(kUser, "edge_b", 7);
  const uint64_t call_id = Begin();
  ASSERT_EQ(edge.edge->deliveries().size(), 1u);
  Answer(edge, call_id, "[1]");
  EXPECT_EQ(OutcomeOf(call_id), "success [1]");
}

TEST_F(DispatcherTest, CallForAnAgentThatNobodyKnowsFailsAtOnce) {
  Link();
  EXPECT_EQ(OutcomeOf(Begin()), "AGENT_NOT_CONNECTED NOT_SENT");
}

TEST_F(DispatcherTest, CallForALeaseOfAnEdgeWithoutALinkFailsAtOnce) {
  Link("edge_a");
  registry_.SetLease(kUser, "edge_b", 7);
  EXPECT_EQ(OutcomeOf(Begin()), "EDGE_UNAVAILABLE NOT_SENT");
}

TEST_F(DispatcherTest, RouteInTheDirectoryToAnEdgeWithoutALinkIsLookedUp) {
  const LinkedEdge a = Link("edge_a");
  google::protobuf::RepeatedPtrField<v1::SessionEvent> events;
  v1::SessionEvent* event = events.Add();
  event->set_user_id(kUser);
  event->set_connected(true);
  event->set_epoch(5);
  directory_.Apply("edge_gone", events);
  registry_.SetLease(kUser, "edge_a", 6);
  Begin();
  EXPECT_EQ(a.edge->deliveries().size(), 1u);
}

TEST_F(DispatcherTest, RegistryErrorIsEdgeUnavailable) {
  Link();
  registry_.Fail(absl::UnavailableError("no route"));
  EXPECT_EQ(OutcomeOf(Begin()), "EDGE_UNAVAILABLE NOT_SENT");
}

TEST_F(DispatcherTest, RegistryMayAnswerLater) {
  const LinkedEdge edge = Link();
  const uint64_t found = BeginLooking();
  EXPECT_EQ(edge.edge->deliveries().size(), 0u);
  clock_.Advance(seconds(1));
  registry_.SetLease(kUser, "edge_a", 1);
  ASSERT_TRUE(registry_.AnswerNext());
  ASSERT_EQ(edge.edge->deliveries().size(), 1u);
  EXPECT_EQ(edge.edge->deliveries()[0].timeout_us(), 9000000) << "the look-up took a second of the caller's time";
  Answer(edge, found);
  EXPECT_EQ(OutcomeOf(found), "success 42");

  const uint64_t not_found = BeginLooking();
  registry_.RemoveLease(kUser);
  ASSERT_TRUE(registry_.AnswerNext());
  EXPECT_EQ(OutcomeOf(not_found), "AGENT_NOT_CONNECTED NOT_SENT");

  const uint64_t failed = BeginLooking();
  registry_.Fail(absl::InternalError("trouble"));
  ASSERT_TRUE(registry_.AnswerNext());
  EXPECT_EQ(OutcomeOf(failed), "EDGE_UNAVAILABLE NOT_SENT");
}

TEST_F(DispatcherTest, CallWhoseLookUpIsNotAnsweredEndsAtItsDeadline) {
  const uint64_t call_id = BeginLooking();
  ExpectAfter(kTimeout, call_id, "CALL_TIMEOUT NOT_SENT");
}

TEST_F(DispatcherTest, LeaseThatIsFoundTooLateIsNotUsed) {
  const LinkedEdge edge = Link();
  registry_.SetLease(kUser, "edge_a", 1);
  const uint64_t settled = BeginLooking();
  Advance(kTimeout);
  EXPECT_EQ(OutcomeOf(settled), "CALL_TIMEOUT NOT_SENT");
  ASSERT_TRUE(registry_.AnswerNext());

  const uint64_t overdue = BeginLooking();
  clock_.Advance(kTimeout);  // And no tick has seen it.
  ASSERT_TRUE(registry_.AnswerNext());
  EXPECT_EQ(OutcomeOf(overdue), "CALL_TIMEOUT NOT_SENT");
  EXPECT_EQ(edge.edge->deliveries().size(), 0u);
}

TEST_F(DispatcherTest, CallWhoseDeadlineHasPassedIsNotDelivered) {
  const LinkedEdge edge = LinkWithAgent();
  EXPECT_EQ(OutcomeOf(Begin(kUser, Duration::zero())), "CALL_TIMEOUT NOT_SENT");
  EXPECT_EQ(OutcomeOf(Begin(kUser, -seconds(5))), "CALL_TIMEOUT NOT_SENT");
  EXPECT_EQ(edge.edge->frames().size(), 0u);
  Begin(kUser, Duration(1));
  EXPECT_EQ(edge.edge->deliveries().size(), 1u);
}

TEST_F(DispatcherTest, CallsThatBeginTogetherShareOneFrameForEachEdge) {
  const LinkedEdge a = LinkWithAgent("edge_a");
  const LinkedEdge b = Link("edge_b");
  Connect(b, "user_2", 1);
  std::vector<Call> calls;
  for (int i = 0; i < 3; ++i) {
    calls.push_back(MakeCall(kUser));
    calls.push_back(MakeCall("user_2"));
  }
  dispatcher_.Begin(std::move(calls));
  EXPECT_EQ(a.edge->frames().size(), 1u);
  EXPECT_EQ(a.edge->deliveries().size(), 3u);
  EXPECT_EQ(b.edge->frames().size(), 1u);
  EXPECT_EQ(b.edge->deliveries().size(), 3u);
  EXPECT_EQ(dispatcher_.in_flight(), 6u);
}

// --- answers ---------------------------------------------------------------------------------------------------------

TEST_F(DispatcherTest, AnswerReachesTheCallerByteForByte) {
  const LinkedEdge edge = LinkWithAgent();
  const uint64_t call_id = BeginDelivered(edge);
  clock_.Advance(seconds(1));
  v1::EdgeFrame frame;
  v1::Answer* answer = frame.add_answers();
  answer->set_call_id(call_id);
  answer->set_success(false);
  answer->set_result_json(R"({"z": 1.50, "a": 9007199254740993})");
  answer->set_error("no such file");
  answer->set_execution_time_ms(0);
  dispatcher_.Receive(edge.number, std::move(frame));
  const v1::CallToolResponse response = sink_->Of(1000 + call_id).at(0).response();
  EXPECT_FALSE(response.success()) << "a tool that failed is an answer";
  EXPECT_EQ(response.result_json(), R"({"z": 1.50, "a": 9007199254740993})");
  EXPECT_EQ(response.error(), "no such file");
  EXPECT_TRUE(response.has_execution_time_ms());
  EXPECT_EQ(response.execution_time_ms(), 0);
  ASSERT_TRUE(audit_->Flush(kForever));
  EXPECT_EQ(store_.ListAudit({kUser, 1})->at(0).created_at_ms, clock_.WallMs());
}

TEST_F(DispatcherTest, AnswerWithoutResultAndTimeStaysWithoutThem) {
  const LinkedEdge edge = LinkWithAgent();
  const uint64_t call_id = BeginDelivered(edge);
  v1::EdgeFrame frame;
  frame.add_answers()->set_call_id(call_id);
  dispatcher_.Receive(edge.number, std::move(frame));
  const v1::CallToolResponse response = sink_->Of(1000 + call_id).at(0).response();
  EXPECT_EQ(response.result_json(), "");
  EXPECT_FALSE(response.has_execution_time_ms());
}

TEST_F(DispatcherTest, LateAndDuplicateAnswersAreCountedAndNothingElse) {
  const LinkedEdge edge = LinkWithAgent();
  const LinkedEdge other = Link("edge_b");
  const uint64_t call_id = BeginDelivered(edge);
  Answer(other, call_id, "\"of a link that does not have the call\"");
  EXPECT_EQ(OutcomeOf(call_id), "open");
  Answer(edge, call_id, "1");
  Answer(edge, call_id, "2");
  Answer(edge, 987654, "3");
  EXPECT_EQ(OutcomeOf(call_id), "success 1");
  EXPECT_EQ(dispatcher_.counters().late_answers.value(), 3u);
  Refuse(edge, call_id, R::SESSION_LOST, E::SENT);
  EXPECT_EQ(OutcomeOf(call_id), "success 1");
}

TEST_F(DispatcherTest, EdgeMayAnswerBeforeSendReturns) {
  const LinkedEdge edge = LinkWithAgent();
  edge.edge->SetJudge([&](const v1::ControlFrame& frame) {
    for (const v1::Deliver& deliver : frame.deliveries()) Answer(edge, deliver.call_id());
    return true;
  });
  EXPECT_EQ(OutcomeOf(Begin()), "success 42");
}

TEST_F(DispatcherTest, SinkMayCallTheDispatcherWhileItSettles) {
  const LinkedEdge edge = LinkWithAgent();
  Call second = MakeCall();
  const uint64_t second_id = second.call_id;
  Call first = MakeCall();
  SetSink(&first, std::make_shared<RecordingSink>([&](const v1::DispatchAnswer&) {
    Begin(std::move(second));
    dispatcher_.Cancel({second_id});
    dispatcher_.Tick();
    EXPECT_EQ(dispatcher_.in_flight(), 1u);
  }));
  const uint64_t first_id = Begin(std::move(first));
  Answer(edge, first_id);
  EXPECT_EQ(OutcomeOf(first_id), "success 42");
  EXPECT_EQ(edge.edge->cancels(), std::vector<uint64_t>{second_id});
}

TEST_F(DispatcherTest, EverySinkIsToldToSendAfterItsLastOutcome) {
  const LinkedEdge edge = LinkWithAgent();
  const auto other = std::make_shared<RecordingSink>();
  std::vector<Call> calls;
  v1::EdgeFrame frame;
  for (int i = 0; i < 6; ++i) {
    calls.push_back(MakeCall());
    if (i % 3 == 2) SetSink(&calls.back(), other);
    frame.add_answers()->set_call_id(calls.back().call_id);
  }
  dispatcher_.Begin(std::move(calls));
  dispatcher_.Receive(edge.number, std::move(frame));
  EXPECT_EQ(sink_->settled(), 4u);
  EXPECT_EQ(sink_->kept(), 0);
  EXPECT_LT(sink_->flushes(), 4) << "outcomes that come together are sent together";
  EXPECT_EQ(other->settled(), 2u);
  EXPECT_EQ(other->kept(), 0);
}

// --- refusals: the outcome table -------------------------------------------------------------------------------------

TEST_F(DispatcherTest, FinalRefusalsSettleWithTheirReasonAndDelivery) {
  const struct {
    R::Cause cause;
    Delivery delivery;
    const char* outcome;
  } kTable[] = {
      {R::AGENT_BUSY, E::NOT_SENT, "AGENT_BUSY NOT_SENT"},
      {R::DUPLICATE_REQUEST, E::NOT_SENT, "DUPLICATE_REQUEST NOT_SENT"},
      {R::TIMED_OUT, E::NOT_SENT, "CALL_TIMEOUT NOT_SENT"},
      {R::TIMED_OUT, E::SENT, "CALL_TIMEOUT SENT"},
      {R::CANCELLED, E::NOT_SENT, "CALLER_CANCELLED NOT_SENT"},
      {R::CANCELLED, E::SENT, "CALLER_CANCELLED SENT"},
      {R::ANSWER_LOST, E::SENT, "AGENT_LOST SENT"},
      // An edge that does not say whether the frame left may have sent it.
      {R::TIMED_OUT, E::DELIVERY_UNSPECIFIED, "CALL_TIMEOUT SENT"},
      // A newer edge's cause.
      {R::CAUSE_UNSPECIFIED, E::NOT_SENT, "INTERNAL NOT_SENT"},
      {static_cast<R::Cause>(99), E::SENT, "INTERNAL SENT"},
  };
  const LinkedEdge edge = LinkWithAgent();
  for (const auto& row : kTable) {
    const uint64_t call_id = BeginDelivered(edge);
    Refuse(edge, call_id, row.cause, row.delivery);
    EXPECT_EQ(OutcomeOf(call_id), row.outcome) << R::Cause_Name(row.cause);
  }
  EXPECT_EQ(edge.edge->deliveries().size(), std::size(kTable)) << "none was delivered again";
  EXPECT_EQ(registry_.lookups(kUser), 0);
}

TEST_F(DispatcherTest, RetryIsAdvisedWhereTheTableSaysSo) {
  const LinkedEdge edge = LinkWithAgent();
  const uint64_t busy = BeginDelivered(edge);
  Refuse(edge, busy, R::AGENT_BUSY, E::NOT_SENT);
  EXPECT_EQ(sink_->Of(1000 + busy).at(0).failure().detail().retry_after().nanos(), 100'000'000);
  const uint64_t away = Begin("user_away");
  EXPECT_EQ(sink_->Of(1000 + away).at(0).failure().detail().retry_after().seconds(), 1);
  const uint64_t timed_out = BeginDelivered(edge);
  Refuse(edge, timed_out, R::TIMED_OUT, E::NOT_SENT);
  EXPECT_FALSE(sink_->Of(1000 + timed_out).at(0).failure().detail().has_retry_after());
}

TEST_F(DispatcherTest, NotHereIsLookedUpAndDeliveredToTheNewerLease) {
  const LinkedEdge a = LinkWithAgent("edge_a", 1);
  const LinkedEdge b = Link("edge_b");
  registry_.SetLease(kUser, "edge_b", 2);
  const uint64_t call_id = BeginDelivered(a);
  clock_.Advance(seconds(1));
  Refuse(a, call_id, R::NOT_HERE, E::NOT_SENT);
  EXPECT_EQ(a.edge->deliveries().size(), 1u);
  ASSERT_EQ(b.edge->deliveries().size(), 1u);
  EXPECT_EQ(b.edge->deliveries()[0].call_id(), call_id);
  EXPECT_EQ(b.edge->deliveries()[0].params_json(), begun_[1000 + call_id].params_json);
  EXPECT_EQ(b.edge->deliveries()[0].timeout_us(), 9000000);
  EXPECT_EQ(dispatcher_.counters().redelivered.value(), 1u);
  EXPECT_EQ(directory_.Find(kUser), std::nullopt) << "the edge does not have it";
  Answer(a, call_id, "\"of the edge that refused it\"");
  EXPECT_EQ(OutcomeOf(call_id), "open");
  Answer(b, call_id);
  EXPECT_EQ(OutcomeOf(call_id), "success 42");
}

TEST_F(DispatcherTest, NotHereIsDeliveredAgainToTheSameEdgeOnlyForANewerLease) {
  const LinkedEdge edge = LinkWithAgent("edge_a", 1);
  registry_.SetLease(kUser, "edge_a", 2);
  const uint64_t call_id = BeginDelivered(edge);
  Refuse(edge, call_id, R::NOT_HERE, E::NOT_SENT);
  ASSERT_EQ(edge.edge->deliveries().size(), 2u);
  Refuse(edge, call_id, R::NOT_HERE, E::NOT_SENT);
  EXPECT_EQ(OutcomeOf(call_id), "open");
  Advance(options_.session_wait_max);
  EXPECT_EQ(edge.edge->deliveries().size(), 2u);
  EXPECT_EQ(OutcomeOf(call_id), "AGENT_NOT_CONNECTED NOT_SENT");
}

TEST_F(DispatcherTest, NotHereWithTheSameLeaseIsNotConnectedOnceItsWaitIsOverAndWithNoneAtOnce) {
  const LinkedEdge edge = LinkWithAgent("edge_a", 1);
  registry_.SetLease(kUser, "edge_a", 1);
  const uint64_t same = BeginDelivered(edge);
  Refuse(edge, same, R::NOT_HERE, E::NOT_SENT);
  ExpectAfter(options_.session_wait_max, same, "AGENT_NOT_CONNECTED NOT_SENT");

  Connect(edge, kUser, 2);
  registry_.RemoveLease(kUser);
  const uint64_t none = BeginDelivered(edge);
  Refuse(edge, none, R::NOT_HERE, E::NOT_SENT);
  EXPECT_EQ(OutcomeOf(none), "AGENT_NOT_CONNECTED NOT_SENT");
  EXPECT_EQ(edge.edge->deliveries().size(), 2u);
}

TEST_F(DispatcherTest, LeaseAtAnotherEdgeIsAnotherLeaseWhateverItsEpoch) {
  const LinkedEdge a = LinkWithAgent("edge_a", 1);
  const LinkedEdge b = Link("edge_b");
  registry_.SetLease(kUser, "edge_b", 1);
  const uint64_t call_id = BeginDelivered(a);
  Refuse(a, call_id, R::NOT_HERE, E::NOT_SENT);
  EXPECT_EQ(b.edge->deliveries().size(), 1u);
}

TEST_F(DispatcherTest, NotHereDoesNotHideASessionThatCameMeanwhile) {
  const LinkedEdge edge = LinkWithAgent("edge_a", 1);
  const uint64_t call_id = BeginDelivered(edge);
  Connect(edge, kUser, 2);
  Refuse(edge, call_id, R::NOT_HERE, E::NOT_SENT);
  ASSERT_TRUE(directory_.Find(kUser));
  EXPECT_EQ(directory_.Find(kUser)->epoch, 2u);
}

TEST_F(DispatcherTest, EdgeThatIsUnavailableIsLeftForANewerLease) {
  const LinkedEdge a = LinkWithAgent("edge_a", 1);
  const LinkedEdge b = Link("edge_b");
  registry_.SetLease(kUser, "edge_a", 1);
  const uint64_t stays = BeginDelivered(a);
  Refuse(a, stays, R::EDGE_UNAVAILABLE, E::NOT_SENT);
  EXPECT_EQ(OutcomeOf(stays), "EDGE_UNAVAILABLE NOT_SENT");

  registry_.SetLease(kUser, "edge_b", 2);
  const uint64_t moves = BeginDelivered(a);
  Refuse(a, moves, R::EDGE_UNAVAILABLE, E::NOT_SENT);
  ASSERT_EQ(b.edge->deliveries().size(), 1u);
  Answer(b, moves);
  EXPECT_EQ(OutcomeOf(moves), "success 42");
}

TEST_F(DispatcherTest, SessionLostBeforeTheFrameLeftIsDeliveredToTheNextSession) {
  const LinkedEdge edge = LinkWithAgent("edge_a", 1);
  const uint64_t call_id = BeginDelivered(edge);
  registry_.SetLease(kUser, "edge_a", 2);
  Refuse(edge, call_id, R::SESSION_LOST, E::NOT_SENT);
  EXPECT_EQ(edge.edge->deliveries().size(), 2u);
  registry_.RemoveLease(kUser);
  Refuse(edge, call_id, R::SESSION_LOST, E::NOT_SENT);
  EXPECT_EQ(OutcomeOf(call_id), "AGENT_NOT_CONNECTED NOT_SENT");
}

TEST_F(DispatcherTest, CallIsDeliveredNoMoreOftenThanTheLimitWhileItsAgentMoves) {
  const LinkedEdge edge = LinkWithAgent("edge_a", 1);
  uint64_t epoch = 1;
  registry_.SetJudge([&](const std::string&) { return std::optional<Lease>(Lease{"edge_a", ++epoch}); });
  const uint64_t call_id = BeginDelivered(edge);
  for (int i = 1; i < options_.delivery_attempts_max; ++i) {
    Refuse(edge, call_id, R::NOT_HERE, E::NOT_SENT);
    EXPECT_EQ(OutcomeOf(call_id), "open");
  }
  Refuse(edge, call_id, R::NOT_HERE, E::NOT_SENT);
  EXPECT_EQ(OutcomeOf(call_id), "AGENT_NOT_CONNECTED NOT_SENT");
  EXPECT_EQ(edge.edge->deliveries().size(), static_cast<size_t>(options_.delivery_attempts_max));
}

TEST_F(DispatcherTest, LastOfTheAttemptsMayStillBeAnswered) {
  const LinkedEdge edge = LinkWithAgent("edge_a", 1);
  uint64_t epoch = 1;
  registry_.SetJudge([&](const std::string&) { return std::optional<Lease>(Lease{"edge_a", ++epoch}); });
  const uint64_t call_id = BeginDelivered(edge);
  for (int i = 1; i < options_.delivery_attempts_max; ++i) Refuse(edge, call_id, R::NOT_HERE, E::NOT_SENT);
  Answer(edge, call_id);
  EXPECT_EQ(OutcomeOf(call_id), "success 42");
}

TEST_F(DispatcherTest, NothingThatMayHaveLeftIsDeliveredAgain) {
  const LinkedEdge edge = LinkWithAgent("edge_a", 1);
  registry_.SetLease(kUser, "edge_a", 2);
  for (int cause = 0; cause < R::Cause_ARRAYSIZE; ++cause) {
    if (cause == R::NOT_HERE || cause == R::EDGE_UNAVAILABLE) continue;  // Below.
    for (const Delivery delivery : {E::SENT, E::DELIVERY_UNSPECIFIED}) {
      SCOPED_TRACE(R::Cause_Name(static_cast<R::Cause>(cause)) + " " + E::Delivery_Name(delivery));
      ExpectNotDeliveredAgain(edge, static_cast<R::Cause>(cause), delivery);
    }
  }
}

// relay.proto: these causes are always NOT_SENT. An edge that says otherwise is wrong about one of the two.
TEST_F(DispatcherTest, RefusalThatContradictsItselfCountsAsSent) {
  const LinkedEdge edge = LinkWithAgent("edge_a", 1);
  registry_.SetLease(kUser, "edge_a", 2);
  for (const R::Cause cause : {R::NOT_HERE, R::EDGE_UNAVAILABLE}) {
    for (const Delivery delivery : {E::SENT, E::DELIVERY_UNSPECIFIED}) {
      SCOPED_TRACE(R::Cause_Name(cause) + " " + E::Delivery_Name(delivery));
      ExpectNotDeliveredAgain(edge, cause, delivery);
    }
  }
}

// --- request ids -----------------------------------------------------------------------------------------------------

TEST_F(DispatcherTest, RequestIdInFlightForTheSameUserIsADuplicate) {
  const LinkedEdge edge = LinkWithAgent();
  Connect(edge, "user_2", 1);
  const uint64_t first = Begin(MakeCall(kUser, "req_same"));
  const uint64_t duplicate = Begin(MakeCall(kUser, "req_same"));
  const uint64_t other_user = Begin(MakeCall("user_2", "req_same"));
  EXPECT_EQ(OutcomeOf(first), "open");
  EXPECT_EQ(OutcomeOf(duplicate), "DUPLICATE_REQUEST NOT_SENT");
  EXPECT_EQ(OutcomeOf(other_user), "open");
  EXPECT_EQ(edge.edge->deliveries().size(), 2u);
  Answer(edge, first);
  const uint64_t again = Begin(MakeCall(kUser, "req_same"));
  EXPECT_EQ(OutcomeOf(again), "open") << "the id is free again";
  Answer(edge, again);
  Answer(edge, other_user);
}

TEST_F(DispatcherTest, RequestIdIsADuplicateInEveryStateAndInOneBatch) {
  const LinkedEdge edge = LinkWithAgent();
  Begin(MakeCall("user_2", "req_at_nobody"));
  const uint64_t lost = BeginLost(edge);
  EXPECT_EQ(OutcomeOf(Begin(MakeCall(kUser, RequestIdOf(lost)))), "DUPLICATE_REQUEST NOT_SENT");
  directory_.RemoveEdge("edge_a", 1);
  const uint64_t looking = BeginLooking();
  EXPECT_EQ(OutcomeOf(Begin(MakeCall(kUser, RequestIdOf(looking)))), "DUPLICATE_REQUEST NOT_SENT");
  Stray(edge, kUser, RequestIdOf(lost));
  EXPECT_EQ(OutcomeOf(lost), "success \"stray\"") << "a refused duplicate does not take the id away";

  Connect(edge, kUser, 2);
  std::vector<Call> calls = {MakeCall(kUser, "req_twice"), MakeCall(kUser, "req_twice")};
  const uint64_t first = calls[0].call_id;
  const uint64_t second = calls[1].call_id;
  dispatcher_.Begin(std::move(calls));
  EXPECT_EQ(OutcomeOf(first), "open");
  EXPECT_EQ(OutcomeOf(second), "DUPLICATE_REQUEST NOT_SENT");
}

// --- rejected calls, stopping ----------------------------------------------------------------------------------------

TEST_F(DispatcherTest, RejectedCallIsCountedAndAuditedAndItsCallerIsNotTold) {
  Call call = MakeCall(kUser, "req_bad");
  begun_.clear();
  rejected_ = 1;
  clock_.Advance(seconds(3));
  dispatcher_.RecordRejected(std::move(call), MakeFailure(E::INVALID_REQUEST, E::NOT_SENT, "req_bad", "bad", "tool"));
  EXPECT_EQ(sink_->settled(), 0u);
  EXPECT_EQ(dispatcher_.counters().calls.value(), 1u);
  EXPECT_EQ(dispatcher_.counters().failed(E::INVALID_REQUEST).value(), 1u);
  ASSERT_TRUE(audit_->Flush(kForever));
  const auto rows = store_.ListAudit({"", 10});
  ASSERT_EQ(rows->size(), 1u);
  EXPECT_EQ(rows->at(0).user_id, kUser);
  EXPECT_EQ(rows->at(0).request_id, "req_bad");
  EXPECT_EQ(rows->at(0).tool, "tool_1");
  EXPECT_EQ(rows->at(0).error, "INVALID_REQUEST");
  EXPECT_FALSE(rows->at(0).success);
  EXPECT_EQ(rows->at(0).created_at_ms, clock_.WallMs());
}

TEST_F(DispatcherTest, WithoutAnAuditLogCallsSettleAllTheSame) {
  Dispatcher bare(clock_, registry_, directory_, nullptr, options_);
  Call call;
  call.call_id = bare.NextCallId();
  call.user_id = kUser;
  call.deadline = clock_.Now() + kTimeout;
  call.caller_id = 5;
  call.sink = sink_;
  std::vector<Call> calls = {call};
  bare.Begin(std::move(calls));
  EXPECT_EQ(Describe(sink_->Of(5).at(0)), "AGENT_NOT_CONNECTED NOT_SENT");
  bare.RecordRejected(std::move(call), MakeFailure(E::INVALID_REQUEST, E::NOT_SENT, ""));
  EXPECT_EQ(bare.counters().calls.value(), 2u);
}

TEST_F(DispatcherTest, AfterStopAcceptingNewCallsAreRefusedAndOthersGoOn) {
  const LinkedEdge edge = LinkWithAgent("edge_a", 1);
  const uint64_t before = BeginDelivered(edge);
  const uint64_t moving = BeginDelivered(edge);
  dispatcher_.StopAccepting();
  EXPECT_EQ(OutcomeOf(Begin()), "EDGE_UNAVAILABLE NOT_SENT");
  EXPECT_EQ(OutcomeOf(Begin(MakeCall(kUser, RequestIdOf(before)))), "EDGE_UNAVAILABLE NOT_SENT");
  registry_.SetLease(kUser, "edge_a", 2);
  Refuse(edge, moving, R::NOT_HERE, E::NOT_SENT);
  EXPECT_EQ(edge.edge->deliveries().size(), 3u) << "calls in flight may still move";
  Answer(edge, before);
  Answer(edge, moving);
  EXPECT_EQ(OutcomeOf(before), "success 42");
  EXPECT_EQ(OutcomeOf(moving), "success 42");
}

TEST_F(DispatcherTest, WaitIdleSaysWhetherCallsAreInFlight) {
  const LinkedEdge edge = LinkWithAgent();
  EXPECT_TRUE(dispatcher_.WaitIdle(Duration::zero()));
  const uint64_t call_id = BeginDelivered(edge);
  EXPECT_FALSE(dispatcher_.WaitIdle(Duration::zero()));
  Answer(edge, call_id);
  EXPECT_TRUE(dispatcher_.WaitIdle(Duration::zero()));
}

TEST_F(DispatcherTest, WaitIdleEndsWithTheLastCall) {
  const LinkedEdge edge = LinkWithAgent();
  for (int round = 0; round < 20; ++round) {
    const uint64_t first = BeginDelivered(edge);
    const uint64_t last = BeginDelivered(edge);
    // For longer than this test may take: it is woken, or it hangs.
    std::atomic<bool> waiting{false};
    std::thread waiter([&] {
      waiting = true;
      EXPECT_TRUE(dispatcher_.WaitIdle(std::chrono::hours(1)));
    });
    // So that, in most rounds, it waits already.
    while (!waiting) std::this_thread::yield();
    for (int i = 0; i < 1000; ++i) std::this_thread::yield();
    Answer(edge, first);
    Answer(edge, last);
    waiter.join();
  }
}

TEST_F(DispatcherTest, FailAllSaysOfEachCallWhetherItMayHaveLeft) {
  const LinkedEdge edge = LinkWithAgent();
  const uint64_t delivered = BeginDelivered(edge);
  const uint64_t lost = BeginLost(edge);
  directory_.RemoveEdge("edge_a", 1);
  const uint64_t looking = BeginLooking();
  dispatcher_.FailAll();
  EXPECT_EQ(OutcomeOf(delivered), "AGENT_LOST SENT");
  EXPECT_EQ(OutcomeOf(lost), "AGENT_LOST SENT");
  EXPECT_EQ(OutcomeOf(looking), "EDGE_UNAVAILABLE NOT_SENT");
  EXPECT_EQ(dispatcher_.in_flight(), 0u);
  registry_.AnswerNext();
  Answer(edge, delivered);
}

TEST_F(DispatcherTest, CallIdsAreNeverGivenTwice) {
  std::set<uint64_t> ids;
  for (int i = 0; i < 1000; ++i) ids.insert(dispatcher_.NextCallId());
  EXPECT_EQ(ids.size(), 1000u);
  EXPECT_EQ(ids.count(0), 0u);
}

}  // namespace
}  // namespace toolwire
