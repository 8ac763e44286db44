// Request ids of calls that were sent and not answered: an answer belongs to one attempt.
#include <string>
#include <utility>
#include <vector>

#include "tests/unit/control/dispatcher_fixture.h"

namespace toolwire {
namespace {

class DispatcherUnansweredTest : public DispatcherTest {
 protected:
  uint64_t BeginAgain(const std::string& user_id = kUser) { return Begin(MakeCall(user_id, "req_again")); }
  // A call that was sent and ended without an answer.
  uint64_t BeginUnanswered(R::Cause cause = R::TIMED_OUT) {
    const uint64_t call_id = BeginAgain();
    Refuse(edge_, call_id, cause, E::SENT);
    EXPECT_NE(OutcomeOf(call_id), "open");
    return call_id;
  }
  void ExpectFree() {
    const uint64_t call_id = BeginAgain();
    EXPECT_EQ(OutcomeOf(call_id), "open");
    Answer(edge_, call_id);
    EXPECT_EQ(OutcomeOf(call_id), "success 42");
  }
  void ExpectRefused() {
    const size_t delivered = edge_.edge->deliveries().size();
    const uint64_t call_id = BeginAgain();
    ASSERT_EQ(OutcomeOf(call_id), "DUPLICATE_REQUEST NOT_SENT");
    EXPECT_EQ(sink_->Of(1000 + call_id).at(0).failure().message(),
              "an earlier call with this id may still be answered");
    EXPECT_EQ(edge_.edge->deliveries().size(), delivered);
  }

  const LinkedEdge edge_ = LinkWithAgent();
};

TEST_F(DispatcherUnansweredTest, LateAnswerOfACallThatTimedOutNeverSettlesANewerCallOfTheSameId) {
  BeginUnanswered();
  ExpectRefused();
  EXPECT_EQ(dispatcher_.unanswered(), 1u);
  Stray(edge_, kUser, "req_again");
  EXPECT_EQ(dispatcher_.counters().strays_dropped.value(), 1u);
  ExpectFree();
}

TEST_F(DispatcherUnansweredTest, EveryCallThatWasSentAndNotAnsweredKeepsItsId) {
  for (const R::Cause cause : {R::TIMED_OUT, R::ANSWER_LOST}) {
    BeginUnanswered(cause);
    ExpectRefused();
    Stray(edge_, kUser, "req_again");
  }
  const uint64_t lost = BeginAgain();
  Refuse(edge_, lost, R::SESSION_LOST, E::SENT);
  Advance(options_.lost_answer_wait);
  EXPECT_EQ(OutcomeOf(lost), "AGENT_LOST SENT");
  ExpectRefused();
  Stray(edge_, kUser, "req_again");

  const uint64_t cancelled = BeginAgain();
  dispatcher_.Cancel({cancelled});
  Refuse(edge_, cancelled, R::CANCELLED, E::SENT);
  ExpectRefused();
  Stray(edge_, kUser, "req_again");
  ExpectFree();
}

TEST_F(DispatcherUnansweredTest, CallThatWasNotSentLeavesItsIdFree) {
  for (const R::Cause cause : {R::TIMED_OUT, R::AGENT_BUSY, R::DUPLICATE_REQUEST, R::EARLIER_UNANSWERED}) {
    Refuse(edge_, BeginAgain(), cause, E::NOT_SENT);
    EXPECT_EQ(dispatcher_.unanswered(), 0u);
  }
  ExpectFree();
}

TEST_F(DispatcherUnansweredTest, IdIsRefusedForItsUserAlone) {
  Connect(edge_, "user_2", 1);
  BeginUnanswered();
  const uint64_t other = BeginAgain("user_2");
  Answer(edge_, other);
  EXPECT_EQ(OutcomeOf(other), "success 42");
  Stray(edge_, "user_2", "req_again");
  ExpectRefused();
}

TEST_F(DispatcherUnansweredTest, IdIsFreeAfterTenMinutes) {
  BeginUnanswered();
  Advance(std::chrono::minutes(10) - kTick);
  ExpectRefused();
  Advance(kTick);
  EXPECT_EQ(dispatcher_.unanswered(), 0u);
  ExpectFree();
}

TEST_F(DispatcherUnansweredTest, AnswerOfASilentEdgeThatComesLateFreesTheId) {
  const uint64_t call_id = BeginAgain();
  Advance(kTimeout + options_.edge_silence_max);
  EXPECT_EQ(OutcomeOf(call_id), "CALL_TIMEOUT SENT");
  ExpectRefused();
  Answer(edge_, call_id);
  EXPECT_EQ(dispatcher_.counters().late_answers.value(), 1u);
  ExpectFree();
}

TEST_F(DispatcherUnansweredTest, LateWordOfASilentEdgeThatNothingWasSentFreesTheId) {
  const uint64_t call_id = BeginAgain();
  Advance(kTimeout + options_.edge_silence_max);
  Refuse(edge_, call_id, R::TIMED_OUT, E::SENT);
  ExpectRefused();
  Refuse(edge_, call_id, R::TIMED_OUT, E::NOT_SENT);
  ExpectFree();
}

TEST_F(DispatcherUnansweredTest, EdgeThatExpectsAnEarlierAnswerRefusesWithTheSameWords) {
  const uint64_t call_id = BeginAgain();
  Refuse(edge_, call_id, R::EARLIER_UNANSWERED, E::NOT_SENT);
  ASSERT_EQ(OutcomeOf(call_id), "DUPLICATE_REQUEST NOT_SENT");
  EXPECT_EQ(sink_->Of(1000 + call_id).at(0).failure().message(), "an earlier call with this id may still be answered");
}

TEST_F(DispatcherUnansweredTest, PastTheLimitTheOldestIdIsFree) {
  Dispatcher::Options options;
  options.unanswered.requests_max = 2;
  Dispatcher few(clock_, registry_, directory_, nullptr, options);
  const auto edge = std::make_shared<ScriptedEdge>();
  const uint64_t link = few.LinkUp("edge_a", edge);
  const auto begin = [&](const std::string& request_id) {
    Call call;
    call.call_id = call.caller_id = few.NextCallId();
    call.user_id = kUser;
    call.request_id = request_id;
    call.deadline = clock_.Now() + kTimeout;
    call.sink = sink_;
    const uint64_t call_id = call.call_id;
    std::vector<Call> calls;
    calls.push_back(std::move(call));
    few.Begin(std::move(calls));
    return call_id;
  };
  const auto end = [&](const std::string& request_id) {
    v1::EdgeFrame frame;
    frame.add_refusals()->set_call_id(begin(request_id));
    frame.mutable_refusals(0)->set_cause(R::TIMED_OUT);
    few.Receive(link, std::move(frame));
  };
  end("req_1");
  end("req_2");
  EXPECT_EQ(few.counters().unanswered_full.value(), 0u);
  EXPECT_EQ(Describe(sink_->Of(begin("req_1")).at(0)), "DUPLICATE_REQUEST NOT_SENT");
  end("req_3");
  EXPECT_EQ(few.counters().unanswered_full.value(), 1u);
  EXPECT_EQ(few.unanswered(), 2u);
  EXPECT_EQ(Describe(sink_->Of(begin("req_2")).at(0)), "DUPLICATE_REQUEST NOT_SENT");
  EXPECT_TRUE(sink_->Of(begin("req_1")).empty()) << "it is delivered";
  few.FailAll();
}

TEST_F(DispatcherUnansweredTest, CallOfAnAgentThatIsBusyLeavesItsIdFree) {
  for (const Delivery delivery : {E::NOT_SENT, E::SENT}) {
    const uint64_t call_id = BeginAgain();
    Refuse(edge_, call_id, R::AGENT_BUSY, delivery);
    EXPECT_EQ(OutcomeOf(call_id), delivery == E::SENT ? "AGENT_BUSY SENT" : "AGENT_BUSY NOT_SENT");
    ExpectFree();
  }
}

TEST_F(DispatcherUnansweredTest, ParamsThatTheAgentDoesNotTakeAreAnInvalidRequestInItsWords) {
  const uint64_t call_id = BeginAgain();
  v1::EdgeFrame frame;
  v1::Refusal* const refusal = frame.add_refusals();
  refusal->set_call_id(call_id);
  refusal->set_cause(R::PARAMS_REFUSED);
  refusal->set_delivery(E::NOT_SENT);
  refusal->set_why("params are longer than the 18 bytes that the agent takes");
  dispatcher_.Receive(edge_.number, std::move(frame));
  EXPECT_EQ(OutcomeOf(call_id), "INVALID_REQUEST NOT_SENT");
  const v1::CallFailure failure = sink_->Of(1000 + call_id).at(0).failure();
  EXPECT_EQ(failure.message(), "params are longer than the 18 bytes that the agent takes");
  EXPECT_EQ(failure.detail().field(), "params_json");
  ExpectFree();
}

// --- answers that cannot be read -------------------------------------------------------------------------------------

class DispatcherUnreadableTest : public DispatcherTest {
 protected:
  static v1::Answer Unreadable() {
    v1::Answer answer;
    answer.set_error("the agent's answer cannot be read: success is not a boolean; the tool may have run");
    answer.set_unreadable("tool_response: success is not a boolean");
    return answer;
  }
  void AnswerUnreadable(uint64_t call_id) {
    v1::EdgeFrame frame;
    *frame.add_answers() = Unreadable();
    frame.mutable_answers(0)->set_call_id(call_id);
    dispatcher_.Receive(edge_.number, std::move(frame));
  }
  std::string MessageOf(uint64_t call_id) { return sink_->Of(1000 + call_id).at(0).failure().message(); }

  const LinkedEdge edge_ = LinkWithAgent();
};

TEST_F(DispatcherUnreadableTest, CallFailsAtOnceWithTheFieldInItsMessageAndItsIdIsFree) {
  const uint64_t call_id = Begin(MakeCall(kUser, "req_1"));
  AnswerUnreadable(call_id);
  EXPECT_EQ(OutcomeOf(call_id), "AGENT_LOST SENT");
  EXPECT_EQ(MessageOf(call_id), Unreadable().error());
  EXPECT_EQ(dispatcher_.counters().answered.value(), 0u);
  EXPECT_EQ(dispatcher_.unanswered(), 0u) << "the agent will say no more to it";
  EXPECT_EQ(dispatcher_.in_flight(), 0u);
}

TEST_F(DispatcherUnreadableTest, CallOfAnEarlierSessionFailsAtOnceToo) {
  const uint64_t call_id = BeginLost(edge_);
  v1::EdgeFrame frame;
  v1::StrayAnswer* const stray = frame.add_strays();
  stray->set_user_id(kUser);
  stray->set_request_id(RequestIdOf(call_id));
  *stray->mutable_answer() = Unreadable();
  dispatcher_.Receive(edge_.number, std::move(frame));
  EXPECT_EQ(OutcomeOf(call_id), "AGENT_LOST SENT");
  EXPECT_EQ(MessageOf(call_id), Unreadable().error());
}

TEST_F(DispatcherUnreadableTest, CancelledCallIsCancelled) {
  const uint64_t call_id = BeginDelivered(edge_);
  dispatcher_.Cancel({call_id});
  AnswerUnreadable(call_id);
  EXPECT_EQ(OutcomeOf(call_id), "CALLER_CANCELLED SENT");
}

}  // namespace
}  // namespace toolwire
