// The limits of a session: at each of them all is well, past it the call or the session ends.
#include <cstdint>
#include <string>

#include "tests/unit/edge/session_fixture.h"

namespace toolwire {
namespace {

// --- limits ----------------------------------------------------------------------------------------------------------

TEST_F(SessionTest, CallsOfOneAgentAreLimited) {
  limits_.calls_in_flight_max = 3;
  OpenAndRead();
  OpenAndRead(12, "user_2");
  for (uint64_t i = 1; i <= 4; ++i) Deliver(i, "req_" + std::to_string(i));
  EXPECT_EQ(OutcomeOf(3), "open");
  EXPECT_EQ(OutcomeOf(4), "AGENT_BUSY NOT_SENT");
  EXPECT_EQ(counters_.busy_calls.value(), 1u);
  DeliverTo(12, kLink, 5, "req_5");
  EXPECT_EQ(OutcomeOf(5), "open") << "the limit is each agent's own";
  Frames();
  Receive(Response("req_1"));
  Deliver(6, "req_6");
  EXPECT_EQ(OutcomeOf(6), "open");
}

TEST_F(SessionTest, CallsOfTheWholeEdgeAreLimited) {
  limits_.edge_calls_in_flight_max = 3;
  OpenAndRead();
  OpenAndRead(12, "user_2");
  DeliverAndRead(1, "req_1");
  DeliverTo(12, kLink, 2, "req_2");
  DeliverTo(12, kLink, 3, "req_3");
  EXPECT_EQ(OutcomeOf(3), "open");
  Deliver(4, "req_4");
  DeliverTo(12, kLink, 5, "req_5");
  EXPECT_EQ(OutcomeOf(4), "EDGE_UNAVAILABLE NOT_SENT");
  EXPECT_EQ(OutcomeOf(5), "EDGE_UNAVAILABLE NOT_SENT");
  EXPECT_EQ(counters_.busy_edge.value(), 2u);
  CloseSocket(12);
  Deliver(6, "req_6");
  EXPECT_EQ(OutcomeOf(6), "open");
}

TEST_F(SessionTest, CallsOfOtherLoopsCountForTheEdgesLimit) {
  limits_.edge_calls_in_flight_max = 3;
  OpenAndRead();
  counters_.calls_in_flight += 2;  // Of other loops.
  Deliver(1, "req_1");
  Deliver(2, "req_2");
  EXPECT_EQ(OutcomeOf(1), "open");
  EXPECT_EQ(OutcomeOf(2), "EDGE_UNAVAILABLE NOT_SENT");
  counters_.calls_in_flight -= 2;
}

TEST_F(SessionTest, QueuedBytesOfASessionAreLimited) {
  // What counts of a call is its texts and about what a frame takes beside them; a frame that waits counts whole.
  const std::string params = R"({"path":"/tmp/x"})";
  const size_t frame = OutFrame{EncodeToolCall("req_1", "read_file", params)}.bytes();
  const size_t call =
      params.size() + std::string("read_file").size() + std::string("req_1").size() + OutFrame::kCallOverheadBytes;
  for (const bool fits : {true, false}) {
    SCOPED_TRACE(fits);
    const SessionId id = fits ? 11 : 12;
    limits_.queued_bytes_max = frame + call - (fits ? 0 : 1);
    OpenAndRead(id, "user_" + std::to_string(id));
    const uint64_t call_id = 10 * id;
    Deliver(call_id, "req_1", seconds(60), params, id);
    Deliver(call_id + 1, "req_2", seconds(60), params, id);
    EXPECT_EQ(OutcomeOf(call_id), "open");
    EXPECT_EQ(OutcomeOf(call_id + 1), fits ? "open" : "AGENT_BUSY NOT_SENT");
    EXPECT_EQ(counters_.busy_bytes.value(), fits ? 0u : 1u);
    EXPECT_EQ(CloseOf(id), "none");
    Frames(id);
    Deliver(call_id + 2, "req_3", seconds(60), params, id);
    EXPECT_EQ(OutcomeOf(call_id + 2), "open") << "there is room again";
  }
}

TEST_F(SessionTest, BytesOfAFrameThatWaitsAreAtLeastThoseItTakes) {
  OpenAndRead();
  Deliver(1, "req_1", seconds(60), "{\"text\":\"" + std::string(1000, 'x') + "\"}");
  for (int i = 0; i < 100; ++i) Receive(kHeartbeat);
  // Of an ack: its text, a list's node and both their malloc sizes.
  EXPECT_GE(counters_.queued_bytes.load(), 1000 + 100 * 112);
  EXPECT_LE(counters_.queued_bytes.load(), 1400 + 100 * 224);
  Frames();
  EXPECT_EQ(counters_.queued_bytes.load(), 0);
}

TEST_F(SessionTest, BytesQueuedOnTheWholeEdgeAreLimited) {
  limits_.edge_queued_bytes_max = 1300;
  OpenAndRead(11, "user_11");
  OpenAndRead(12, "user_12");
  const std::string params = "{\"text\":\"" + std::string(300, 'x') + "\"}";
  Deliver(1, "req_1", seconds(60), params, 11);
  Deliver(2, "req_2", seconds(60), params, 12);
  Deliver(3, "req_3", seconds(60), params, 12);
  EXPECT_EQ(OutcomeOf(2), "open");
  EXPECT_EQ(OutcomeOf(3), "EDGE_UNAVAILABLE NOT_SENT");
  EXPECT_EQ(counters_.busy_edge_bytes.value(), 1u);
  Receive(kHeartbeat, 11);
  EXPECT_EQ(Frames(11).size(), 2u) << "acks go on";
  Deliver(4, "req_4", seconds(60), params, 12);
  EXPECT_EQ(OutcomeOf(4), "open") << "there is room again";
}

TEST_F(SessionTest, WithdrawnFrameMakesRoom) {
  limits_.queued_bytes_max = 400;
  const std::string params = "{\"text\":\"" + std::string(100, 'x') + "\"}";
  OpenAndRead();
  Deliver(1, "req_1", seconds(60), params);
  Deliver(2, "req_2", seconds(60), params);
  EXPECT_EQ(OutcomeOf(2), "AGENT_BUSY NOT_SENT");
  Cancel(1);
  Deliver(3, "req_3", seconds(60), params);
  EXPECT_EQ(OutcomeOf(3), "open");
}

TEST_F(SessionTest, OneFrameMayAlwaysWaitHoweverLarge) {
  limits_.queued_bytes_max = 200;
  OpenAndRead();
  Deliver(1, "req_1", seconds(60), "{\"text\":\"" + std::string(1000, 'x') + "\"}");
  EXPECT_EQ(OutcomeOf(1), "open");
  Deliver(2, "req_2");
  EXPECT_EQ(OutcomeOf(2), "AGENT_BUSY NOT_SENT");
  EXPECT_EQ(Frames().size(), 1u);
}

TEST_F(SessionTest, ResultAtTheLimitPasses) {
  limits_.payload.payload_bytes_max = 100;
  OpenAndRead();
  DeliverAndRead(1, "req_1");
  const std::string result = "\"" + std::string(98, 'x') + "\"";
  Receive(Response("req_1", result));
  EXPECT_EQ(OutcomeOf(1), "success " + result);
  EXPECT_EQ(CloseOf(), "none");
}

TEST_F(SessionTest, ResultOverTheLimitLosesItsAnswerAndClosesTheSession) {
  limits_.payload.payload_bytes_max = 100;
  OpenAndRead();
  DeliverAndRead(1, "req_1");
  DeliverAndRead(2, "req_2");
  Receive(Response("req_1", "\"" + std::string(99, 'x') + "\""));
  EXPECT_EQ(OutcomeOf(1), "ANSWER_LOST SENT");
  EXPECT_EQ(OutcomeOf(2), "open") << "its answer may come through the agent's next session";
  EXPECT_EQ(CloseOf(), "1009 Result too large");
  EXPECT_EQ(counters_.too_big.value(), 1u);
  CloseSocket();
  EXPECT_EQ(OutcomeOf(2), "SESSION_LOST SENT");
}

TEST_F(SessionTest, TooLargeStrayClosesTheSessionAndLosesNoCall) {
  limits_.payload.payload_bytes_max = 100;
  OpenAndRead();
  DeliverAndRead(1, "req_1");
  Receive(Response("req_9", "\"" + std::string(99, 'x') + "\""));
  EXPECT_EQ(CloseOf(), "1009 Result too large");
  EXPECT_EQ(OutcomeOf(1), "open");
  EXPECT_EQ(strays_.size(), 0u);
}

// relay.proto: ANSWER_LOST is always SENT. The answer is to an earlier call of that id; this one is still to be made.
TEST_F(SessionTest, TooLargeAnswerDoesNotLoseACallThatWasNotSent) {
  limits_.payload.payload_bytes_max = 100;
  OpenAndRead();
  Deliver(1, "req_1");
  Receive(Response("req_1", "\"" + std::string(99, 'x') + "\""));
  EXPECT_EQ(CloseOf(), "1009 Result too large");
  EXPECT_EQ(OutcomeOf(1), "open");
  CloseSocket(kSession, true);
  EXPECT_EQ(OutcomeOf(1), "SESSION_LOST NOT_SENT");
}

TEST_F(SessionTest, OneStrayMoreThanTheMinutesBudgetClosesTheSession) {
  limits_.strays_max = 3;
  OpenAndRead();
  DeliverAndRead(1, "req_1");
  for (int i = 0; i < 3; ++i) Receive(Response("unknown"));
  clock_.Advance(seconds(61));
  for (int i = 0; i < 3; ++i) Receive(Response("unknown"));
  EXPECT_EQ(CloseOf(), "none");
  EXPECT_EQ(strays_.size(), 6u);
  EXPECT_EQ(counters_.strays_full.value(), 0u);
  Receive(Response("unknown"));
  EXPECT_EQ(CloseOf(), "1008 Too many unmatched answers");
  EXPECT_EQ(counters_.strays_full.value(), 1u);
  EXPECT_EQ(strays_.size(), 6u) << "what breaks the budget goes nowhere";
  EXPECT_EQ(OutcomeOf(1), "open") << "its answer may come through the agent's next session";
}

TEST_F(SessionTest, OneByteMoreThanTheMinutesBudgetOfStraysClosesTheSession) {
  limits_.stray_bytes_max = 2 * (std::string("unknown").size() + 1);
  OpenAndRead();
  Receive(Response("unknown"));
  Receive(Response("unknown"));
  EXPECT_EQ(CloseOf(), "none");
  EXPECT_EQ(counters_.stray_bytes_full.value(), 0u);
  clock_.Advance(seconds(61));
  Receive(Response("unknown"));
  Receive(Response("unknown", "12"));
  EXPECT_EQ(CloseOf(), "1008 Too many unmatched answers");
  EXPECT_EQ(counters_.stray_bytes_full.value(), 1u);
}

TEST_F(SessionTest, LateAnswersToCallsThatTheSessionGotNeedNoBudget) {
  limits_.strays_max = 0;
  OpenAndRead();
  DeliverAndRead(1, "req_1");
  DeliverAndRead(2, "req_2", seconds(1));
  DeliverTo(kSession, 7, 3, "req_3");
  EXPECT_EQ(Frames().size(), 1u);
  Cancel(1);
  Advance(seconds(2));
  LinkDown(7);
  for (const char* id : {"req_1", "req_2", "req_3"}) Receive(Response(id));
  EXPECT_EQ(CloseOf(), "none");
  EXPECT_EQ(strays_.size(), 3u);
  Deliver(4, "req_4");
  Cancel(4);
  Receive(Response("req_4"));
  EXPECT_EQ(CloseOf(), "1008 Too many unmatched answers") << "that one was not sent";
}

TEST_F(SessionTest, TenthBadFrameWithinAMinuteClosesTheSession) {
  ASSERT_EQ(limits_.bad_frames_max, 10);
  OpenAndRead();
  DeliverAndRead(1, "req_1");
  Receive("not json");
  clock_.Advance(seconds(60));
  const char* bad[] = {R"({"type":"heartbeat","timestamp":"1"})",
                       R"({"type":"tool_response","requestId":"req_9"})",
                       R"({"type":"tool_response","requestId":5,"success":true})",
                       R"({"type":"tool_response","requestId":"","success":true})",
                       R"({"requestId":"req_9"})",
                       R"({"type":5})",
                       "[]",
                       ""};
  for (const char* text : bad) Receive(text);
  EXPECT_EQ(counters_.bad_frames.value(), 9u);
  EXPECT_EQ(counters_.bad_frames_full.value(), 0u);
  EXPECT_EQ(CloseOf(), "none");
  Receive("{");
  EXPECT_EQ(CloseOf(), "1008 Too many bad frames");
  EXPECT_EQ(counters_.bad_frames.value(), 10u);
  EXPECT_EQ(counters_.bad_frames_full.value(), 1u);
  EXPECT_EQ(OutcomeOf(1), "open");
  CloseSocket();
  EXPECT_EQ(OutcomeOf(1), "SESSION_LOST SENT");
}

TEST_F(SessionTest, BadFramesOfTheMinuteBeforeAreForgotten) {
  OpenAndRead();
  for (int minute = 0; minute < 5; ++minute) {
    for (int i = 0; i < 9; ++i) Receive("not json");
    clock_.Advance(seconds(60) + milliseconds(1));
  }
  EXPECT_EQ(counters_.bad_frames.value(), 45u);
  EXPECT_EQ(CloseOf(), "none");
}

TEST_F(SessionTest, GoodFramesBetweenBadOnesDoNotExcuseThem) {
  OpenAndRead();
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(CloseOf(), "none");
    Receive(kHeartbeat);
    Receive("not json");
  }
  EXPECT_EQ(CloseOf(), "1008 Too many bad frames");
}

TEST_F(SessionTest, ResultAsDeepAsTheLimitPasses) {
  limits_.payload.json_depth_max = 4;
  OpenAndRead();
  DeliverAndRead(1, "req_1");
  Receive(Response("req_1", "[[[[1]]]]"));
  EXPECT_EQ(OutcomeOf(1), "success [[[[1]]]]");
  EXPECT_EQ(counters_.bad_frames.value(), 0u);
}

TEST_F(SessionTest, ResultDeeperThanTheLimitEndsItsCallAndIsABadFrameWhereThereIsNone) {
  limits_.payload.json_depth_max = 4;
  OpenAndRead();
  DeliverAndRead(1, "req_1");
  DeliverAndRead(2, "req_2");
  Deliver(3, "req_3");
  Receive(Response("req_1", "[[[[[]]]]]"));
  EXPECT_EQ(OutcomeOf(1), "unreadable: result is nested too deep");
  EXPECT_EQ(OutcomeOf(2), "open");
  EXPECT_EQ(counters_.bad_frames.value(), 0u);
  EXPECT_EQ(CloseOf(), "none");
  Receive(Response("req_3", "[[[[[]]]]]"));
  EXPECT_EQ(OutcomeOf(3), "open") << "that was the answer to an earlier call";
  Receive(Response("req_9", "[[[[[]]]]]"));
  Receive(R"({"type":"tool_progress","requestId":"req_2","result":[[[[[]]]]]})");
  EXPECT_EQ(OutcomeOf(2), "open");
  EXPECT_EQ(counters_.bad_frames.value(), 3u);
}

TEST_F(SessionTest, AnswerThatCannotBeReadEndsItsCallAndClosesNothingHoweverManyThereAre) {
  limits_.bad_frames_max = 2;
  OpenAndRead();
  const std::pair<std::string, std::string> cases[] = {
      {"}", "tool_response: success is not a boolean"},
      {R"(,"success":"true"})", "tool_response: success is not a boolean"},
      {R"(,"success":true,"executionTime":"12"})", "tool_response: executionTime is neither a number nor null"},
      {R"(,"success":false,"error":{"code":1}})", "tool_response: error is neither a string nor null"},
      {R"(,"success":true,"result":{"a":)", "result is not valid JSON"},
      {"", "not a JSON object"},
      {R"(,"success":NaN})", "success is not valid JSON"},
  };
  uint64_t call_id = 0;
  DeliverAndRead(100, "req_good");
  for (const auto& [rest, why] : cases) {
    const std::string request_id = "req_" + std::to_string(++call_id);
    DeliverAndRead(call_id, request_id);
    Receive(R"({"type":"tool_response","requestId":")" + request_id + "\"" + rest);
    EXPECT_EQ(OutcomeOf(call_id), "unreadable: " + why);
    EXPECT_FALSE(last_answer_.success());
    EXPECT_NE(last_answer_.error(), "");
  }
  EXPECT_EQ(counters_.bad_answers.value(), call_id);
  EXPECT_EQ(counters_.bad_frames.value(), 0u);
  EXPECT_EQ(strays_.size(), 0u);
  EXPECT_EQ(CloseOf(), "none");
  // It was answered: its id is free again.
  DeliverAndRead(200, "req_1");
  Receive(Response("req_1"));
  Receive(Response("req_good"));
  EXPECT_EQ(OutcomeOf(200), "success 1");
  EXPECT_EQ(OutcomeOf(100), "success 1");
}

TEST_F(SessionTest, AnswerWithAnErrorBeforeItsIdEndsItsCallAndNoOther) {
  limits_.bad_frames_max = 1;
  OpenAndRead();
  DeliverAndRead(1, "req_1");
  DeliverAndRead(2, "req_2");
  Receive(R"({"error":NaN,"executionTime":1,"requestId":"req_1","result":{"requestId":"req_2"},"success":true})");
  EXPECT_EQ(OutcomeOf(1), "unreadable: error is not valid JSON");
  EXPECT_EQ(OutcomeOf(2), "open");
  EXPECT_EQ(counters_.bad_frames.value(), 0u);
  EXPECT_EQ(CloseOf(), "none");
}

TEST_F(SessionTest, AnswerThatCannotBeReadIsABadFrameOnlyIfThereWasNoCall) {
  limits_.bad_frames_max = 2;
  OpenAndRead();
  DeliverAndRead(1, "req_1", seconds(1));
  Advance(seconds(2));
  EXPECT_EQ(OutcomeOf(1), "TIMED_OUT SENT");
  Receive(R"({"type":"tool_response","requestId":"req_1","success":1})");
  EXPECT_EQ(counters_.bad_frames.value(), 0u) << "late is no fault of its own";
  EXPECT_EQ(CloseOf(), "none");
  Receive(R"({"type":"tool_response","requestId":"req_1","success":1})");
  Receive(R"({"type":"tool_response","requestId":"req_other","success":1})");
  EXPECT_EQ(counters_.bad_frames.value(), 2u);
  EXPECT_EQ(CloseOf(), "1008 Too many bad frames");
}

TEST_F(SessionTest, AnswerThatCannotBeReadGoesToWhoeverHasItsCall) {
  OpenAndRead();
  Receive(R"({"type":"tool_response","requestId":"req_before","success":"yes"})");
  ASSERT_EQ(strays_.size(), 1u);
  EXPECT_EQ(strays_[0].user_id(), kUser);
  EXPECT_EQ(strays_[0].request_id(), "req_before");
  EXPECT_EQ(strays_[0].answer().unreadable(), "tool_response: success is not a boolean");
  EXPECT_EQ(strays_[0].answer().error(),
            "the agent's answer cannot be read: success is not a boolean; the tool may have run");
}

TEST_F(SessionTest, AnswerThatIsNotUtf8EndsItsCallAndTheSession) {
  OpenAndRead();
  DeliverAndRead(1, "req_1");
  DeliverAndRead(2, "req_2");
  Receive("{\"type\":\"tool_response\",\"requestId\":\"req_1\",\"success\":true,\"result\":\"\xff\"}");
  EXPECT_EQ(OutcomeOf(1), "unreadable: not UTF-8");
  EXPECT_EQ(OutcomeOf(2), "open") << "its answer may come through the agent's next session";
  EXPECT_EQ(CloseOf(), "1007 Invalid UTF-8");
}

TEST_F(SessionTest, AnswerWhoseIdCannotBeReadEndsNoCall) {
  OpenAndRead();
  for (const char* text : {R"({"type":"tool_response","requestId":"req_1\ud800","success":true})",
                           R"({"type":"tool_response","requestId":"req_1\udc00\ud800","success":true})",
                           R"({"type":"tool_response","requestId":"req_1)",
                           R"({"type":"tool_response","success":yes,"result":{"requestId":"req_1"}})",
                           R"({"type":"tool_response","error":"say "hi", "requestId":"req_1"})"}) {
    const uint64_t bad = counters_.bad_frames.value();
    DeliverAndRead(bad + 1, "req_1");
    Receive(text);
    EXPECT_EQ(OutcomeOf(bad + 1), "open") << text;
    EXPECT_EQ(counters_.bad_frames.value(), bad + 1);
    Cancel(bad + 1);
    Receive(Response("req_1"));  // So that the id is free.
  }
}

TEST_F(SessionTest, TextThatIsNotUtf8ClosesTheSession) {
  OpenAndRead();
  DeliverAndRead(1, "req_1");
  Receive("{\"type\":\"heartbeat\",\"x\":\"\xff\"}");
  const std::string close = CloseOf();
  EXPECT_EQ(close.substr(0, 4), "1007") << close;
  EXPECT_EQ(counters_.bad_frames.value(), 1u);
  CloseSocket();
  EXPECT_EQ(OutcomeOf(1), "SESSION_LOST SENT");
}

TEST_F(SessionTest, RepliesToAnAgentThatDoesNotReadAreBounded) {
  ASSERT_EQ(limits_.queued_replies_max, 1000);
  OpenAndRead();
  for (int i = 0; i < 1000; ++i) Receive(kHeartbeat);
  EXPECT_EQ(CloseOf(), "none");
  EXPECT_EQ(counters_.slow_closed.value(), 0u);
  Receive(kHeartbeat);
  EXPECT_EQ(CloseOf(), "1008 Not reading");
  EXPECT_EQ(counters_.slow_closed.value(), 1u);
  EXPECT_EQ(Frames().size(), 1000u);
}

TEST_F(SessionTest, CallsThatWaitDoNotCountAsReplies) {
  limits_.queued_replies_max = 1;
  OpenAndRead();
  for (uint64_t i = 1; i <= 5; ++i) Deliver(i, "req_" + std::to_string(i));
  Receive(kHeartbeat);
  EXPECT_EQ(CloseOf(), "none");
  Frames();
  Receive(kHeartbeat);
  EXPECT_EQ(CloseOf(), "none");
}

TEST_F(SessionTest, AgentThatReadsIsNotClosedForWhatWasEverQueued) {
  limits_.queued_replies_max = 1;
  OpenAndRead();
  for (int i = 0; i < 1000; ++i) {
    Receive(kHeartbeat);
    EXPECT_EQ(Frames().size(), 1u);
  }
  EXPECT_EQ(CloseOf(), "none");
}

}  // namespace
}  // namespace toolwire
