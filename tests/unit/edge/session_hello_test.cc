// What an agent and an edge agree on with hello, and the cancels that follow from it.
#include <cstdint>
#include <string>
#include <vector>

#include "tests/unit/edge/session_fixture.h"

namespace toolwire {
namespace {

// --- what is agreed with hello ---------------------------------------------------------------------------------------

constexpr char kHello[] = R"({"type":"hello","capabilities":["cancel"]})";

TEST_F(SessionTest, HelloIsAnsweredWithWhatBothSidesHave) {
  OpenAndRead();
  Capabilities all = 0;
  for (const CapabilityName& known : kKnownCapabilities) all |= known.bit;
  Receive(EncodeHello(all));
  EXPECT_EQ(Frames(), std::vector<std::string>{EncodeHelloAck(all, {16 << 20, 512})}) << "kEdgeCapabilities lacks one";
  Receive(Golden("hello"));
  EXPECT_EQ(Frames(), std::vector<std::string>{Golden("hello_ack")});
  Receive(R"({"type":"hello","capabilities":["progress","cancel","files"]})");
  EXPECT_EQ(Frames(), std::vector<std::string>{R"({"type":"hello_ack","capabilities":["cancel"]})"});
  Receive(R"({"type":"hello"})");
  EXPECT_EQ(Frames(), std::vector<std::string>{R"({"type":"hello_ack","capabilities":[]})"});
  EXPECT_EQ(counters_.unknown_frames.value() + counters_.bad_frames.value(), 0u);
}

TEST_F(SessionTest, CallSaysHowLongItsAnswerIsWaitedForToAnAgentThatReadsIt) {
  OpenAndRead();
  Deliver(1, "req_1", milliseconds(1500));
  EXPECT_EQ(Frames(), std::vector<std::string>{EncodeToolCall("req_1", "read_file", "{}")});
  Receive(EncodeHello(kCapabilityTimes));
  Frames();
  Deliver(2, "req_2", std::chrono::microseconds(1'500'001));
  EXPECT_EQ(Frames(), std::vector<std::string>{EncodeToolCall("req_2", "read_file", "{}", {1501, 2000})});
}

TEST_F(SessionTest, AgentThatCanCancelGetsAToolCancelForEachSentCallThatEndsUnanswered) {
  OpenAndRead();
  Receive(kHello);
  Frames();
  DeliverAndRead(1, "req_V1StGXR8_Z5jdHi6B-myT");
  DeliverAndRead(2, "req_2", kTick);
  writable_.clear();
  Cancel(1);
  EXPECT_EQ(writable_.count(kSession), 1u);
  EXPECT_EQ(Frames(), std::vector<std::string>{Golden("tool_cancel")});
  writable_.clear();
  Advance(kTick);
  EXPECT_EQ(writable_.count(kSession), 1u);
  EXPECT_EQ(Frames(), std::vector<std::string>{EncodeToolCancel("req_2")});
  EXPECT_EQ(OutcomeOf(1), "CANCELLED SENT");
  EXPECT_EQ(OutcomeOf(2), "TIMED_OUT SENT");
  EXPECT_EQ(counters_.tool_cancels.value(), 2u);
  Receive(Response("req_2"));
  EXPECT_EQ(strays_.size(), 1u) << "a late answer is harmless";
  EXPECT_EQ(CloseOf(), "none");
  EXPECT_EQ(Frames().size(), 0u);
}

TEST_F(SessionTest, AgentWithoutTheCapabilitySeesNothingNew) {
  OpenAndRead();
  DeliverAndRead(1, "req_1");
  DeliverAndRead(2, "req_2", kTick);
  Cancel(1);
  Advance(kTick);
  EXPECT_EQ(Frames().size(), 0u);
  Receive(R"({"type":"hello","capabilities":["later"]})");
  EXPECT_EQ(Frames().size(), 1u);
  DeliverAndRead(3, "req_3");
  Cancel(3);
  EXPECT_EQ(Frames().size(), 0u);
  EXPECT_EQ(counters_.tool_cancels.value(), 0u);
}

TEST_F(SessionTest, LaterHelloReplacesTheEarlierOne) {
  OpenAndRead();
  Receive(kHello);
  DeliverTo(kSession, kLink, 1, "req_1");
  Receive(R"({"type":"hello","capabilities":[]})");
  EXPECT_EQ(Frames().size(), 3u);
  Cancel(1);
  EXPECT_EQ(Frames().size(), 0u);
  Receive(kHello);
  DeliverTo(kSession, kLink, 2, "req_2");
  Frames();
  Cancel(2);
  EXPECT_EQ(Frames(), std::vector<std::string>{EncodeToolCancel("req_2")});
}

TEST_F(SessionTest, CallThatWasNotSentIsWithdrawnWithoutACancel) {
  OpenAndRead();
  Receive(kHello);
  Frames();
  Deliver(1, "req_1");
  Deliver(2, "req_2", kTick);
  Cancel(1);
  Advance(kTick);
  EXPECT_EQ(OutcomeOf(1), "CANCELLED NOT_SENT");
  EXPECT_EQ(OutcomeOf(2), "TIMED_OUT NOT_SENT");
  EXPECT_EQ(Frames().size(), 0u);
}

TEST_F(SessionTest, CallsThatEndOtherwiseAreNotCancelled) {
  limits_.payload.json_depth_max = 4;
  OpenAndRead();
  Receive(kHello);
  Frames();
  DeliverAndRead(1, "req_answered");
  DeliverAndRead(2, "req_lost");
  DeliverTo(kSession, 2, 3, "req_orphaned");
  EXPECT_EQ(Frames().size(), 1u);
  DeliverAndRead(4, "req_closed");
  Receive(Response("req_answered"));
  Receive(Response("req_lost", "[[[[[]]]]]"));
  LinkDown(2);
  EXPECT_EQ(OutcomeOf(2), "unreadable: result is nested too deep");
  EXPECT_EQ(Frames().size(), 0u);
  CloseSocket();
  EXPECT_EQ(counters_.tool_cancels.value(), 0u);
}

TEST_F(SessionTest, SessionThatIsClosingSendsNoCancel) {
  limits_.bad_frames_max = 1;
  OpenAndRead();
  Receive(kHello);
  Frames();
  DeliverAndRead(1, "req_1");
  Receive("not json");
  Cancel(1);
  EXPECT_EQ(OutcomeOf(1), "CANCELLED SENT");
  EXPECT_EQ(Frames().size(), 0u);
}

TEST_F(SessionTest, NextCallOfACancelledOnesIdIsRefusedUntilTheAgentHasAnswered) {
  OpenAndRead();
  Receive(kHello);
  Frames();
  DeliverAndRead(1, "req_1");
  Cancel(1);
  Deliver(2, "req_1");
  EXPECT_EQ(OutcomeOf(2), "EARLIER_UNANSWERED NOT_SENT");
  EXPECT_EQ(Frames(), std::vector<std::string>{EncodeToolCancel("req_1")});
  Receive(Response("req_1"));
  DeliverAndRead(3, "req_1");
  Receive(Response("req_1"));
  EXPECT_EQ(OutcomeOf(3), "success 1");
}

TEST_F(SessionTest, NoMoreCancelsWaitThanCallsMayBeInFlight) {
  limits_.calls_in_flight_max = 3;
  limits_.queued_replies_max = 1;
  OpenAndRead();
  Receive(kHello);
  Frames();
  for (uint64_t i = 1; i <= 3; ++i) DeliverAndRead(i, "req_" + std::to_string(i));
  for (uint64_t i = 1; i <= 3; ++i) Cancel(i);
  // Behind the cancels: these are withdrawn and cause no more of them.
  for (uint64_t i = 4; i <= 6; ++i) Deliver(i, "req_" + std::to_string(i));
  for (uint64_t i = 4; i <= 6; ++i) Cancel(i);
  EXPECT_EQ(OutcomeOf(3), "CANCELLED SENT");
  EXPECT_EQ(OutcomeOf(6), "CANCELLED NOT_SENT");
  EXPECT_EQ(counters_.tool_cancels.value(), 3u);
  EXPECT_EQ(CloseOf(), "none");
  EXPECT_EQ(Frames().size(), 3u);
}

TEST_F(SessionTest, HellosOfAnAgentThatDoesNotReadAreBounded) {
  limits_.queued_replies_max = 10;
  OpenAndRead();
  for (int i = 0; i < 10; ++i) Receive(kHello);
  EXPECT_EQ(CloseOf(), "none");
  Receive(kHello);
  EXPECT_EQ(CloseOf(), "1008 Not reading");
}

TEST_F(SessionTest, BadHelloIsABadFrame) {
  OpenAndRead();
  Receive(R"({"type":"hello","capabilities":"cancel"})");
  EXPECT_EQ(counters_.bad_frames.value(), 1u);
  EXPECT_EQ(Frames().size(), 0u);
}

// --- limits of the agent ---------------------------------------------------------------------------------------------

TEST_F(SessionTest, ParamsPastWhatTheAgentTakesAreRefusedAloneAndAtOnce) {
  OpenAndRead();
  Deliver(1, "req_before", seconds(60), R"({"a":"1234567890"})");
  Receive(R"({"type":"hello","paramsBytesMax":18,"jsonDepthMax":2})");
  EXPECT_EQ(Frames().size(), 2u);
  const auto deliver = [&](uint64_t call_id, const std::string& params) {
    Deliver(call_id, "req_" + std::to_string(call_id), seconds(60), params);
    return OutcomeOf(call_id);
  };
  EXPECT_EQ(deliver(2, R"({"a":"12345678901"})"), "PARAMS_REFUSED NOT_SENT");
  EXPECT_EQ(last_why_, "params are longer than the 18 bytes that the agent takes");
  EXPECT_EQ(deliver(3, R"({"a":"1234567890"})"), "open") << "18 bytes";
  EXPECT_EQ(deliver(4, R"({"a":[[]]})"), "PARAMS_REFUSED NOT_SENT");
  EXPECT_EQ(last_why_, "params are nested deeper than the 2 levels that the agent takes");
  EXPECT_EQ(deliver(5, R"({"a":[]})"), "open");
  EXPECT_EQ(counters_.params_refused.value(), 2u);
  EXPECT_EQ(Frames().size(), 2u);
  EXPECT_EQ(OutcomeOf(1), "open");
  EXPECT_EQ(CloseOf(), "none");
}

TEST_F(SessionTest, LastHelloCountsAndAnAgentThatSaysNothingGetsWhateverComes) {
  OpenAndRead();
  const std::string large = "{\"a\":\"" + std::string(1000, 'x') + "\"}";
  Deliver(1, "req_1", seconds(60), large);
  Receive(R"({"type":"hello","paramsBytesMax":999})");
  Deliver(2, "req_2", seconds(60), large);
  Receive(R"({"type":"hello","capabilities":["cancel"]})");
  Deliver(3, "req_3", seconds(60), large);
  EXPECT_EQ(OutcomeOf(1), "open");
  EXPECT_EQ(OutcomeOf(2), "PARAMS_REFUSED NOT_SENT");
  EXPECT_EQ(OutcomeOf(3), "open");
}

// --- agents that have too much to do ---------------------------------------------------------------------------------

TEST_F(SessionTest, AgentThatIsBusyEndsItsCallWhichWasNotMade) {
  OpenAndRead();
  DeliverAndRead(1, "req_1");
  DeliverAndRead(2, "req_2");
  Deliver(3, "req_3");
  Receive(EncodeToolBusy("req_1"));
  Receive(EncodeToolBusy("req_2"));
  EXPECT_EQ(OutcomeOf(1), "AGENT_BUSY NOT_SENT");
  EXPECT_EQ(OutcomeOf(2), "AGENT_BUSY NOT_SENT");
  Receive(EncodeToolBusy("req_3"));
  Receive(EncodeToolBusy("req_9"));
  EXPECT_EQ(OutcomeOf(3), "open") << "it was not sent yet";
  EXPECT_EQ(counters_.agent_busy.value(), 2u);
  EXPECT_EQ(counters_.strays.value(), 2u);
  EXPECT_EQ(counters_.bad_frames.value(), 0u);
  EXPECT_EQ(Frames().size(), 1u);
  DeliverAndRead(4, "req_2");
  EXPECT_EQ(OutcomeOf(4), "open") << "nothing more will come of it: its id is free";
}

}  // namespace
}  // namespace toolwire
