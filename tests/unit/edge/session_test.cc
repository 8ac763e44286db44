// What becomes of the frames and the calls of a session.
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "tests/unit/edge/session_fixture.h"

namespace toolwire {
namespace {

// --- frames ----------------------------------------------------------------------------------------------------------

TEST_F(SessionTest, FramesOutAreTheGoldenOnes) {
  clock_.Advance(milliseconds(1763300000000 - clock_.WallMs()));
  Open();
  EXPECT_EQ(Frames(), std::vector<std::string>{Golden("connected")});

  clock_.Advance(milliseconds(456));
  Receive(Golden("heartbeat"));
  EXPECT_EQ(Frames(), std::vector<std::string>{Golden("heartbeat_ack")});

  Receive(Golden("hello"));
  EXPECT_EQ(Frames(), std::vector<std::string>{Golden("hello_ack")});
  Deliver(1, "req_V1StGXR8_Z5jdHi6B-myT", seconds(60),
          R"({"path":"/home/user/file.txt","encoding":"utf-8","offset":9007199254740993})");
  EXPECT_EQ(Frames(), std::vector<std::string>{Golden("tool_call")});

  Receive(Golden("tool_response"));
  EXPECT_EQ(OutcomeOf(1),
            R"(success {"text":"première ligne\nzweite Zeile","size":9007199254740993,"ratio":1.50,"lines":[]})");
}

TEST_F(SessionTest, ConnectedIsTheFirstFrameEvenIfACallComesAtOnce) {
  Open();
  Deliver(1, "req_1");
  Receive(kHeartbeat);
  const std::vector<std::string> frames = Frames();
  ASSERT_EQ(frames.size(), 3u);
  EXPECT_NE(frames[0].find("\"connected\""), std::string::npos);
  EXPECT_NE(frames[1].find("\"tool_call\""), std::string::npos);
  EXPECT_NE(frames[2].find("\"heartbeat_ack\""), std::string::npos);
}

TEST_F(SessionTest, SessionIsWritableWheneverFramesCome) {
  Open();
  EXPECT_EQ(writable_.count(kSession), 1u);
  EXPECT_TRUE(table().HasFrames(kSession));
  Frames();
  EXPECT_FALSE(table().HasFrames(kSession));
  writable_.clear();
  Deliver(1, "req_1");
  EXPECT_EQ(writable_.count(kSession), 1u);
  writable_.clear();
  Receive(kHeartbeat);
  EXPECT_EQ(writable_.count(kSession), 1u);
}

TEST_F(SessionTest, QueuedBytesAreWhatWaits) {
  Session session(1, kUser, 1, clock_.Now(), clock_.WallMs());
  LinkBatches out;
  WireDecoder decoder(64);
  TimerWheel wheel(kTick, 64, clock_.Now());
  UnansweredRequests unanswered(limits_.unanswered, &counters_.unanswered_full);
  absl::flat_hash_map<std::pair<LinkId, uint64_t>, SessionCall*> calls;
  std::vector<SessionId> heartbeats;
  Session::Context context;
  context.limits = &limits_;
  context.counters = &counters_;
  context.decoder = &decoder;
  context.call_wheel = &wheel;
  context.unanswered = &unanswered;
  context.out = &out;
  context.calls = &calls;
  context.heartbeats = &heartbeats;
  context.now = clock_.Now();
  context.wall_ms = clock_.WallMs();
  EXPECT_FALSE(session.has_frames());
  session.Welcome("ws-server-1", context);
  const size_t welcome = session.queued_bytes();
  v1::Deliver deliver;
  deliver.set_call_id(1);
  deliver.set_request_id("req_1");
  deliver.set_params_json("{}");
  deliver.set_timeout_us(1000);
  session.Deliver(kLink, std::move(deliver), context);
  EXPECT_GT(session.queued_bytes(), welcome);
  EXPECT_EQ(session.calls_in_flight(), 1u);
  std::string text;
  ASSERT_TRUE(session.NextFrame(&text, &counters_));
  EXPECT_GE(welcome, text.size());
  session.Cancel(calls.at({kLink, 1}), context);
  EXPECT_EQ(session.queued_bytes(), 0u);
  EXPECT_EQ(session.calls_in_flight(), 0u);
  EXPECT_FALSE(session.NextFrame(&text, &counters_));
  EXPECT_EQ(session.close(), nullptr);
}

// --- answers ---------------------------------------------------------------------------------------------------------

TEST_F(SessionTest, AnswerSettlesItsCallAndNoOther) {
  OpenAndRead();
  DeliverAndRead(1, "req_1");
  DeliverAndRead(2, "req_2");
  Receive(Response("req_2", "[1, 2.50]"));
  EXPECT_EQ(OutcomeOf(2), "success [1, 2.50]");
  EXPECT_EQ(OutcomeOf(1), "open");
  EXPECT_EQ(counters_.calls_in_flight.load(), 1);
  EXPECT_EQ(counters_.answered.value(), 1u);
}

TEST_F(SessionTest, AnswerKeepsWhatTheAgentReports) {
  OpenAndRead();
  DeliverAndRead(1, "req_1");
  Receive(R"({"type":"tool_response","requestId":"req_1","success":false,"error":"no such file","executionTime":12})");
  EXPECT_EQ(last_answer_.call_id(), 1u);
  EXPECT_FALSE(last_answer_.success());
  EXPECT_EQ(last_answer_.error(), "no such file");
  EXPECT_EQ(last_answer_.result_json(), "");
  EXPECT_TRUE(last_answer_.has_execution_time_ms());
  EXPECT_EQ(last_answer_.execution_time_ms(), 12);
}

TEST_F(SessionTest, AbsentAndNullFieldsOfAnAnswerStayAbsent) {
  OpenAndRead();
  DeliverAndRead(1, "req_1");
  Receive(R"({"type":"tool_response","requestId":"req_1","success":true})");
  EXPECT_EQ(last_answer_.call_id(), 1u);
  EXPECT_EQ(last_answer_.result_json(), "");
  EXPECT_EQ(last_answer_.error(), "");
  EXPECT_FALSE(last_answer_.has_execution_time_ms());

  DeliverAndRead(2, "req_2");
  Receive(
      R"({"type":"tool_response","requestId":"req_2","success":true,"result":null,"error":null,"executionTime":null})");
  EXPECT_EQ(last_answer_.call_id(), 2u);
  EXPECT_EQ(last_answer_.result_json(), "null") << "null is a result";
  EXPECT_EQ(last_answer_.error(), "");
  EXPECT_FALSE(last_answer_.has_execution_time_ms());

  DeliverAndRead(3, "req_3");
  Receive(R"({"type":"tool_response","requestId":"req_3","success":true,"executionTime":0})");
  EXPECT_TRUE(last_answer_.has_execution_time_ms()) << "0 ms is a time";
}

TEST_F(SessionTest, AnswerMayComeInTheRequestIdsEscapedForm) {
  OpenAndRead();
  DeliverAndRead(1, "req\n\"ü");
  Receive(R"({"type":"tool_response","requestId":"req\u000a\"\u00fc","success":true,"result":1})");
  EXPECT_EQ(OutcomeOf(1), "success 1");
}

TEST_F(SessionTest, AnswersSayWhatTheAgentSentBesideTextAndMilliseconds) {
  OpenAndRead();
  const struct {
    const char* fields;
    const char* error_json;
    const char* execution_time_json;
  } cases[] = {
      {"", "", ""},
      {R"(,"error":null,"executionTime":null)", "null", "null"},
      {R"(,"error":"","executionTime":12.5)", R"("")", "12.5"},
      {R"(,"error":"e","executionTime":5)", "", ""},
      {R"(,"executionTime":-1)", "", "-1"},
  };
  for (const auto& one : cases) {
    Receive(R"({"type":"tool_response","requestId":"req_9","success":true)" + std::string(one.fields) + "}");
    EXPECT_EQ(strays_.back().answer().error_json(), one.error_json) << one.fields;
    EXPECT_EQ(strays_.back().answer().execution_time_json(), one.execution_time_json) << one.fields;
  }
}

TEST_F(SessionTest, UnknownAnswerBecomesAStrayAndNothingElse) {
  OpenAndRead();
  DeliverAndRead(1, "req_1");
  Receive(
      R"({"type":"tool_response","requestId":"req_9","success":false,"result":{"a": 1},"error":"e","executionTime":5})");
  EXPECT_EQ(OutcomeOf(1), "open");
  ASSERT_EQ(strays_.size(), 1u);
  EXPECT_EQ(strays_[0].user_id(), kUser);
  EXPECT_EQ(strays_[0].request_id(), "req_9");
  EXPECT_EQ(strays_[0].answer().call_id(), 0u);
  EXPECT_FALSE(strays_[0].answer().success());
  EXPECT_EQ(strays_[0].answer().result_json(), R"({"a": 1})");
  EXPECT_EQ(strays_[0].answer().error(), "e");
  EXPECT_EQ(strays_[0].answer().execution_time_ms(), 5);
  EXPECT_EQ(counters_.strays.value(), 1u);
  EXPECT_EQ(counters_.bad_frames.value(), 0u);
  EXPECT_EQ(CloseOf(), "none");
  EXPECT_EQ(Frames().size(), 0u) << "the agent gets no frame";
}

TEST_F(SessionTest, DuplicateAndLateAnswersBecomeStrays) {
  OpenAndRead();
  DeliverAndRead(1, "req_1");
  Receive(Response("req_1", "1"));
  Receive(Response("req_1", "2"));
  EXPECT_EQ(OutcomeOf(1), "success 1");
  ASSERT_EQ(strays_.size(), 1u);
  EXPECT_EQ(strays_[0].answer().result_json(), "2");

  DeliverAndRead(2, "req_2", kTick);
  Advance(kTick);
  EXPECT_EQ(OutcomeOf(2), "TIMED_OUT SENT");
  Receive(Response("req_2"));
  EXPECT_EQ(OutcomeOf(2), "TIMED_OUT SENT");
  EXPECT_EQ(strays_.size(), 2u);
}

TEST_F(SessionTest, AnswerToACallThatIsNotWrittenYetIsToAnEarlierOne) {
  OpenAndRead();
  Deliver(1, "req_1");
  Receive(Response("req_1", "\"of an earlier session\""));
  EXPECT_EQ(OutcomeOf(1), "open");
  EXPECT_EQ(strays_.size(), 1u);
  EXPECT_EQ(Frames().size(), 1u) << "the call still goes out";
  Receive(Response("req_1"));
  EXPECT_EQ(OutcomeOf(1), "success 1");
}

TEST_F(SessionTest, FramesOfUnknownTypesAreCountedAndIgnored) {
  OpenAndRead();
  DeliverAndRead(1, "req_1");
  for (int i = 0; i < 100; ++i) Receive(R"({"type":"tool_progress","requestId":"req_1"})");
  EXPECT_EQ(counters_.unknown_frames.value(), 100u);
  EXPECT_EQ(CloseOf(), "none");
  EXPECT_EQ(OutcomeOf(1), "open");
  EXPECT_EQ(Frames().size(), 0u);
}

// --- NOT_SENT and SENT -----------------------------------------------------------------------------------------------

TEST_F(SessionTest, CallWhoseFrameWasNotTakenIsNotSentAndItsFrameIsWithdrawn) {
  OpenAndRead();
  Deliver(1, "req_timed_out", kTick);
  Deliver(2, "req_cancelled");
  Deliver(3, "req_orphaned", seconds(60), "{}", kSession, 2);
  Deliver(4, "req_stays");
  Advance(kTick);
  Cancel(2);
  LinkDown(2);
  EXPECT_EQ(OutcomeOf(1), "TIMED_OUT NOT_SENT");
  EXPECT_EQ(OutcomeOf(2), "CANCELLED NOT_SENT");
  EXPECT_EQ(OutcomeOf(3, 2), "open") << "nothing is reported";
  const std::vector<std::string> frames = Frames();
  ASSERT_EQ(frames.size(), 1u);
  EXPECT_NE(frames[0].find("req_stays"), std::string::npos);
  Deliver(5, "req_closed");
  CloseSocket();
  EXPECT_EQ(OutcomeOf(4), "SESSION_LOST SENT");
  EXPECT_EQ(OutcomeOf(5), "SESSION_LOST NOT_SENT");
}

TEST_F(SessionTest, CallWhoseFrameWasTakenIsSent) {
  OpenAndRead();
  DeliverAndRead(1, "req_timed_out", kTick);
  DeliverAndRead(2, "req_cancelled");
  DeliverAndRead(3, "req_closed");
  Advance(kTick);
  Cancel(2);
  CloseSocket();
  EXPECT_EQ(OutcomeOf(1), "TIMED_OUT SENT");
  EXPECT_EQ(OutcomeOf(2), "CANCELLED SENT");
  EXPECT_EQ(OutcomeOf(3), "SESSION_LOST SENT");
}

TEST_F(SessionTest, WithAnswersLostOnlySentCallsAreFinal) {
  OpenAndRead();
  DeliverAndRead(1, "req_1");
  Deliver(2, "req_2");
  CloseSocket(kSession, true);
  EXPECT_EQ(OutcomeOf(1), "ANSWER_LOST SENT");
  EXPECT_EQ(OutcomeOf(2), "SESSION_LOST NOT_SENT");
}

TEST_F(SessionTest, CallTimesOutAtItsTimeAndNotBefore) {
  OpenAndRead();
  DeliverAndRead(1, "req_1", 100 * kTick);
  Advance(100 * kTick - kTick);
  EXPECT_EQ(OutcomeOf(1), "open");
  Advance(kTick);
  EXPECT_EQ(OutcomeOf(1), "TIMED_OUT SENT");
  EXPECT_FALSE(table().has_timers());
}

TEST_F(SessionTest, CallWithoutAnyTimeLeftTimesOutAtTheNextTick) {
  OpenAndRead();
  Deliver(1, "req_1", Duration::zero());
  Deliver(2, "req_2", -seconds(5));
  Advance(kTick);
  EXPECT_EQ(OutcomeOf(1), "TIMED_OUT NOT_SENT");
  EXPECT_EQ(OutcomeOf(2), "TIMED_OUT NOT_SENT");
}

TEST_F(SessionTest, AnsweredCallsLeaveNoTimer) {
  OpenAndRead();
  EXPECT_FALSE(table().has_timers());
  DeliverAndRead(1, "req_1");
  EXPECT_TRUE(table().has_timers());
  Receive(Response("req_1"));
  EXPECT_FALSE(table().has_timers());
}

TEST_F(SessionTest, CancelOfAnUnknownOrSettledCallChangesNothing) {
  OpenAndRead();
  DeliverAndRead(1, "req_1");
  Cancel(2);
  Cancel(1, 7);
  EXPECT_EQ(OutcomeOf(1), "open");
  Receive(Response("req_1"));
  Cancel(1);
  EXPECT_EQ(OutcomeOf(1), "success 1");
}

// --- where calls come to ---------------------------------------------------------------------------------------------

TEST_F(SessionTest, CallForASessionThatIsNotHereIsRefusedAsSuch) {
  Deliver(1, "req_1");
  EXPECT_EQ(OutcomeOf(1), "NOT_HERE NOT_SENT");
  OpenAndRead();
  CloseSocket();
  Deliver(2, "req_2");
  EXPECT_EQ(OutcomeOf(2), "NOT_HERE NOT_SENT");
  EXPECT_EQ(counters_.refused.value(), 2u);
}

TEST_F(SessionTest, SessionThatIsClosingTakesNoCallsAndNoFrames) {
  limits_.bad_frames_max = 1;
  OpenAndRead();
  DeliverAndRead(1, "req_1");
  Receive("not json");
  EXPECT_EQ(CloseOf(), "1008 Too many bad frames");
  Deliver(2, "req_2");
  EXPECT_EQ(OutcomeOf(2), "NOT_HERE NOT_SENT");
  writable_.clear();
  Receive(Response("req_1"));
  Receive(kHeartbeat);
  EXPECT_EQ(OutcomeOf(1), "open") << "until the socket's end the loop may still find the answer elsewhere";
  EXPECT_EQ(CloseOf(), "1008 Too many bad frames") << "announced once";
  EXPECT_TRUE(writable_.empty());
}

TEST_F(SessionTest, RequestIdInFlightIsADuplicate) {
  OpenAndRead();
  OpenAndRead(12, "user_2");
  Deliver(1, "req_1");
  Deliver(2, "req_1");
  DeliverTo(kSession, 2, 2, "req_1");
  DeliverTo(12, kLink, 3, "req_1");
  EXPECT_EQ(OutcomeOf(1), "open");
  EXPECT_EQ(OutcomeOf(2), "DUPLICATE_REQUEST NOT_SENT");
  EXPECT_EQ(OutcomeOf(2, 2), "DUPLICATE_REQUEST NOT_SENT") << "from whatever control";
  EXPECT_EQ(OutcomeOf(3), "open") << "another agent's ids are its own";
  EXPECT_EQ(Frames().size(), 1u);
  Receive(Response("req_1"));
  Deliver(4, "req_1");
  EXPECT_EQ(OutcomeOf(4), "open") << "the id is free again";
}

TEST_F(SessionTest, CallIdsOfDifferentLinksAreDifferentCalls) {
  OpenAndRead();
  DeliverTo(kSession, 1, 5, "req_of_1");
  DeliverTo(kSession, 2, 5, "req_of_2");
  Frames();
  Cancel(5, 2);
  EXPECT_EQ(OutcomeOf(5, 1), "open");
  EXPECT_EQ(OutcomeOf(5, 2), "CANCELLED SENT");
  Receive(Response("req_of_1"));
  EXPECT_EQ(OutcomeOf(5, 1), "success 1");
}

TEST_F(SessionTest, LinkGoingDownOrphansOnlyItsOwnCalls) {
  OpenAndRead();
  OpenAndRead(12, "user_2");
  DeliverTo(kSession, 1, 1, "req_1");
  DeliverTo(kSession, 2, 2, "req_2");
  DeliverTo(12, 2, 3, "req_3");
  Frames();
  Deliver(4, "req_4");
  LinkDown(2);
  EXPECT_EQ(table().calls(), 2u);
  EXPECT_EQ(counters_.calls_in_flight.load(), 2);
  Receive(Response("req_1"));
  EXPECT_EQ(OutcomeOf(1), "success 1");
  Receive(Response("req_2"));
  ASSERT_EQ(strays_.size(), 1u) << "any control may wait for the answer to an orphan";
  EXPECT_EQ(strays_[0].request_id(), "req_2");
  EXPECT_EQ(OutcomeOf(2, 2), "open");
  EXPECT_EQ(Frames(12).size(), 0u);
  EXPECT_EQ(OutcomeOf(4), "open");
  LinkDown(3);
  EXPECT_EQ(table().calls(), 1u);
}

TEST_F(SessionTest, CallsOfALinkThatGoesDownAreDroppedInSlicesAndCountAsDroppedAtOnce) {
  limits_.calls_in_flight_max = 10 * static_cast<int>(SessionTable::kAtOnce);
  OpenAndRead();
  const uint64_t count = 2 * SessionTable::kAtOnce + 1;
  for (uint64_t i = 1; i <= count; ++i) DeliverTo(kSession, 2, i, "req_" + std::to_string(i));
  Frames();
  Deliver(9'001, "req_other");
  LinkDown(2);
  EXPECT_EQ(table().calls(), count - SessionTable::kAtOnce + 1);
  // Which of them are left is not known: those that are not answer to no call, and the others must seem to.
  for (uint64_t i = 1; i <= count; ++i) Receive(Response("req_" + std::to_string(i)));
  EXPECT_EQ(strays_.size(), count) << "any control may wait for them";
  EXPECT_EQ(table().calls(), 1u);
  while (!table().Advance()) continue;
  EXPECT_EQ(OutcomeOf(9'001), "open");
}

TEST_F(SessionTest, RequestIdOfACallThatIsNotDroppedYetMayComeAgain) {
  limits_.calls_in_flight_max = 10 * static_cast<int>(SessionTable::kAtOnce);
  OpenAndRead();
  const uint64_t count = SessionTable::kAtOnce + 1;
  for (uint64_t i = 1; i <= count; ++i) DeliverTo(kSession, 2, i, "req_" + std::to_string(i));
  LinkDown(2);
  ASSERT_EQ(table().calls(), 1u);
  for (uint64_t i = 1; i <= count; ++i) Deliver(10'000 + i, "req_" + std::to_string(i));
  for (uint64_t i = 1; i <= count; ++i) EXPECT_EQ(OutcomeOf(10'000 + i), "open");
  EXPECT_EQ(table().calls(), count);
}

TEST_F(SessionTest, ManyCallsThatAreOverdueTogetherEndInSlices) {
  limits_.calls_in_flight_max = 10 * static_cast<int>(SessionTable::kAtOnce);
  OpenAndRead();
  const uint64_t count = 2 * SessionTable::kAtOnce + 1;
  for (uint64_t i = 1; i <= count; ++i) Deliver(i, "req_" + std::to_string(i), kTick);
  clock_.Advance(kTick);
  EXPECT_FALSE(table().Advance());
  EXPECT_EQ(table().calls(), count - SessionTable::kAtOnce);
  EXPECT_TRUE(table().has_timers());
  EXPECT_FALSE(table().Advance());
  EXPECT_TRUE(table().Advance());
  Collect();
  EXPECT_EQ(table().calls(), 0u);
}

}  // namespace
}  // namespace toolwire
