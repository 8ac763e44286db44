// What a caller that asks for a hello is told, and what messages that come late, or for nobody, lead to.
#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <utility>

#include "control/stream_hello.h"
#include "tests/contract/dispatch_stream_fixture.h"

namespace toolwire {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class GreetedStreamTest : public DispatchStreamTest {
 protected:
  GreetedStreamTest() : DispatchStreamTest(DispatchHelloOf(StreamHelloOf(Options()))) {}

  // Lets time pass as control's ticker sees it.
  void Pass(Duration time) {
    for (Duration passed{}; passed < time; passed += milliseconds(10)) {
      clock_.Advance(milliseconds(10));
      Tick();
    }
  }
  void Tick() {
    stalls_.Tick();
    signs_.Tick();
    dispatcher_.Tick();
  }
  // Since the first, in ms.
  uint64_t ClockMs() const {
    return 7 + std::chrono::duration_cast<milliseconds>(clock_.Now() - MonoTime(std::chrono::hours(1))).count();
  }
  v1::DispatchRequest Timed(uint64_t id, uint64_t clock_ms, Duration timeout) {
    v1::DispatchRequest request = Calls(id, id);
    request.set_clock_ms(clock_ms);
    const auto ms = std::chrono::duration_cast<milliseconds>(timeout).count();
    request.mutable_calls(0)->mutable_call()->mutable_timeout()->set_seconds(ms / 1000);
    request.mutable_calls(0)->mutable_call()->mutable_timeout()->set_nanos(static_cast<int32_t>(ms % 1000 * 1000000));
    return request;
  }
  size_t signs() const {
    size_t count = 0;
    for (const auto& reply : caller_->replies()) count += reply.ByteSizeLong() == 0 ? 1 : 0;
    return count;
  }
  const v1::CallFailure& failure(size_t n) {
    caller_->ReadAll();
    answers_ = caller_->answers();
    return answers_.at(n).failure();
  }

  std::vector<v1::DispatchAnswer> answers_;
};

TEST_F(GreetedStreamTest, ControlsFirstWordComesBeforeTheCallerHasWrittenAnything) {
  ASSERT_EQ(caller_->replies().size(), 1u);
  const v1::StreamHello& hello = caller_->replies()[0].hello();
  EXPECT_FALSE(hello.version().empty());
  EXPECT_EQ(hello.start_id().size(), 32u);
  EXPECT_EQ(hello.calls_max(), 20000u);
  EXPECT_EQ(hello.params_bytes_max(), 16u << 20);
  EXPECT_EQ(hello.message_bytes_max(), 18u << 20);
  EXPECT_EQ(hello.silence_ms(), 2000u);
  EXPECT_TRUE(caller_->reads());
}

TEST_F(DispatchStreamTest, CallerThatDoesNotAskIsToldNothingButAnswers) {
  ASSERT_TRUE(caller_->Send(Calls(1, 1)));
  for (int i = 0; i < 100; ++i) {
    clock_.Advance(milliseconds(20));
    signs_.Tick();
  }
  stream_->Drain();
  EXPECT_TRUE(caller_->replies().empty());
  EXPECT_FALSE(caller_->finished());
  ASSERT_TRUE(caller_->Send(Calls(2, 2))) << "it ends with control, not before";
}

TEST_F(DispatchStreamTest, QuestionWhetherTheStreamWasTakenIsAnsweredAndIsNoCall) {
  v1::DispatchRequest question = Calls(0, 0);
  question.mutable_calls(0)->mutable_call()->clear_user_id();
  question.mutable_calls(0)->mutable_call()->set_tool(kHelloMetadata);
  ASSERT_TRUE(caller_->Send(question));
  caller_->ReadAll();
  const auto answers = caller_->answers();
  ASSERT_EQ(answers.size(), 1u);
  EXPECT_EQ(answers[0].id(), 0u);
  EXPECT_EQ(answers[0].failure().detail().reason(), E::INVALID_REQUEST);
  EXPECT_EQ(answers[0].failure().detail().delivery(), E::NOT_SENT);
  EXPECT_EQ(dispatcher_.counters().failed(E::INVALID_REQUEST).value(), 0u);

  question.mutable_calls(0)->mutable_call()->set_tool("another");
  ASSERT_TRUE(caller_->Send(question));
  EXPECT_EQ(dispatcher_.counters().failed(E::INVALID_REQUEST).value(), 1u) << "what a person forgot is a call";
}

TEST_F(GreetedStreamTest, SignOfLifeComesEachIntervalWhileACallIsInFlightAndNoneBeforeAndAfter) {
  caller_->ReadAll();
  Pass(seconds(3));
  EXPECT_EQ(signs(), 0u);
  ASSERT_TRUE(caller_->Send(Calls(1, 1)));
  Pass(milliseconds(490));
  EXPECT_EQ(signs(), 0u);
  Pass(milliseconds(30));
  EXPECT_EQ(signs(), 1u);
  for (int i = 0; i < 4; ++i) {
    caller_->ReadAll();
    Pass(milliseconds(510));
  }
  EXPECT_EQ(signs(), 5u);
  EXPECT_EQ(counters_.life_signs.value(), 5u);
  Answer(0, "1");
  caller_->ReadAll();
  Pass(seconds(3));
  EXPECT_EQ(signs(), 5u);
  ASSERT_TRUE(caller_->Send(Calls(2, 2))) << "and again with the next call";
  Pass(milliseconds(510));
  EXPECT_EQ(signs(), 6u);
}

TEST_F(GreetedStreamTest, AnAnswerIsAWordToo) {
  caller_->ReadAll();
  ASSERT_TRUE(caller_->Send(Calls(1, 5)));
  for (size_t n = 0; n < 4; ++n) {
    Pass(milliseconds(400));
    Answer(n, "1");
    caller_->ReadAll();
  }
  EXPECT_EQ(signs(), 0u);
}

TEST_F(GreetedStreamTest, CallerThatReadsNothingGathersNoSigns) {
  ASSERT_TRUE(caller_->Send(Calls(1, 1)));  // The hello is not read.
  Pass(seconds(10));
  EXPECT_EQ(signs(), 0u);
  caller_->ReadAll();
  Pass(milliseconds(520));
  EXPECT_EQ(signs(), 1u);
}

TEST_F(GreetedStreamTest, DrainingIsSaidCallsAfterItAreNotSentThoseInFlightAreAnsweredThenTheStreamEnds) {
  caller_->ReadAll();
  ASSERT_TRUE(caller_->Send(Calls(1, 1)));
  stream_->Drain();
  caller_->ReadAll();
  ASSERT_TRUE(caller_->replies().back().draining());
  ASSERT_TRUE(caller_->Send(Calls(2, 2)));
  EXPECT_EQ(edge_->deliveries().size(), 1u);
  const v1::CallFailure late = failure(0);
  EXPECT_EQ(late.detail().reason(), E::EDGE_UNAVAILABLE);
  EXPECT_EQ(late.detail().delivery(), E::NOT_SENT);
  EXPECT_EQ(late.message(), "this control is stopping");
  EXPECT_FALSE(caller_->finished());
  Answer(0, "1");
  caller_->ReadAll();
  EXPECT_EQ(caller_->answers().at(1).response().result_json(), "1");
  ASSERT_TRUE(caller_->finished());
  EXPECT_TRUE(caller_->finished()->ok());
}

TEST_F(GreetedStreamTest, StreamWithoutCallsEndsOnceDrainingIsSaid) {
  stream_->Drain();
  stream_->Drain();
  EXPECT_FALSE(caller_->finished()) << "the hello is being written";
  caller_->ReadAll();
  ASSERT_EQ(caller_->replies().size(), 2u);
  EXPECT_TRUE(caller_->replies()[1].draining());
  ASSERT_TRUE(caller_->finished());
  EXPECT_TRUE(caller_->finished()->ok());
}

TEST_F(GreetedStreamTest, CallsHaveSoMuchLessTimeAsTheirMessageWasLate) {
  v1::DispatchRequest first;
  first.set_clock_ms(ClockMs());
  ASSERT_TRUE(caller_->Send(first)) << "it says the clock alone";
  const uint64_t sent = ClockMs();
  Pass(milliseconds(400));
  ASSERT_TRUE(caller_->Send(Timed(1, sent, seconds(1))));
  ASSERT_EQ(edge_->deliveries().size(), 1u);
  Pass(milliseconds(590 + 250));
  EXPECT_EQ(dispatcher_.in_flight(), 1u);
  Pass(milliseconds(30));
  EXPECT_EQ(failure(0).detail().reason(), E::CALL_TIMEOUT);
}

TEST_F(GreetedStreamTest, SaysOnceThatItHasReadTheClockOfACallerThatAskedForAHello) {
  EXPECT_TRUE(caller_->replies()[0].hello().says_clock_read());
  caller_->ReadAll();
  ASSERT_TRUE(caller_->Send(v1::DispatchRequest())) << "it says none";
  caller_->ReadAll();
  EXPECT_EQ(caller_->replies().size(), 1u);
  v1::DispatchRequest clock;
  for (int i = 0; i < 3; ++i) {
    clock.set_clock_ms(ClockMs());
    ASSERT_TRUE(caller_->Send(clock));
    caller_->ReadAll();
  }
  ASSERT_EQ(caller_->replies().size(), 2u);
  EXPECT_TRUE(caller_->replies()[1].clock_read());
}

TEST_F(DispatchStreamTest, SaysNothingOfItsClockToACallerThatDoesNotAsk) {
  v1::DispatchRequest clock;
  clock.set_clock_ms(7);
  ASSERT_TRUE(caller_->Send(clock));
  EXPECT_TRUE(caller_->replies().empty());
}

TEST_F(GreetedStreamTest, AfterControlStoodStillItSaysThatItHasReadTheClockOnceItsMessageIsTaken) {
  caller_->ReadAll();
  stalls_.Tick();
  clock_.Advance(seconds(10));
  v1::DispatchRequest clock;
  clock.set_clock_ms(ClockMs());
  ASSERT_TRUE(caller_->Send(clock));
  EXPECT_EQ(caller_->replies().size(), 1u);
  for (uint64_t i = 0; i < Stalls::kTicksMax; ++i) stalls_.Tick();
  caller_->ReadAll();
  ASSERT_EQ(caller_->replies().size(), 2u);
  EXPECT_TRUE(caller_->replies()[1].clock_read());
}

TEST_F(GreetedStreamTest, CallThatIsOverdueOnArrivalIsNotBegun) {
  ASSERT_TRUE(caller_->Send(Timed(1, ClockMs(), seconds(9))));
  const uint64_t sent = ClockMs();
  Pass(seconds(2));
  ASSERT_TRUE(caller_->Send(Timed(2, sent, milliseconds(1990))));
  ASSERT_TRUE(caller_->Send(Timed(3, sent, milliseconds(2100))));
  EXPECT_EQ(edge_->deliveries().size(), 2u) << "the first and the last";
  EXPECT_EQ(failure(0).detail().reason(), E::CALL_TIMEOUT);
  EXPECT_EQ(failure(0).detail().delivery(), E::NOT_SENT);
  EXPECT_EQ(answers_.at(0).id(), 2u);
  EXPECT_EQ(failure(0).message(), "the call's time was up when control read it");
}

// Without a hello, too: the caller's reset comes to control behind its calls.
TEST_F(DispatchStreamTest, AfterControlStoodStillCallsOfAStreamThatWasResetMeanwhileAreNotBegun) {
  stalls_.Tick();
  clock_.Advance(seconds(10));
  ASSERT_TRUE(caller_->Send(Calls(1, 5)));
  EXPECT_EQ(edge_->deliveries().size(), 0u);
  stream_->OnCancel();
  EXPECT_FALSE(caller_->finished()) << "its message is still to be read";
  for (uint64_t i = 0; i < Stalls::kTicksMax; ++i) stalls_.Tick();
  EXPECT_EQ(edge_->deliveries().size(), 0u);
  EXPECT_EQ(dispatcher_.counters().failed(E::CALLER_CANCELLED).value(), 5u);
  EXPECT_EQ(dispatcher_.in_flight(), 0u);
  EXPECT_TRUE(caller_->finished());
}

TEST_F(DispatchStreamTest, AfterControlStoodStillCallsOfAStreamThatIsThereBeginAMomentLater) {
  stalls_.Tick();
  clock_.Advance(seconds(10));
  ASSERT_TRUE(caller_->Send(Calls(1, 5)));
  stalls_.Tick();
  EXPECT_EQ(edge_->deliveries().size(), 0u);
  for (uint64_t i = 1; i < Stalls::kTicksMax; ++i) stalls_.Tick();
  EXPECT_EQ(edge_->deliveries().size(), 5u);
  EXPECT_EQ(stalls_.counters().held.value(), 1u);
}

TEST_F(DispatchStreamTest, AfterAShortStandstillTooCallsOfAStreamThatWasResetMeanwhileAreNotBegun) {
  stalls_.Tick();
  clock_.Advance(milliseconds(150));
  ASSERT_TRUE(caller_->Send(Calls(1, 5)));
  stalls_.Tick();
  stream_->OnCancel();
  for (int i = 0; i < 15; ++i) stalls_.Tick();
  EXPECT_EQ(edge_->deliveries().size(), 0u);
  EXPECT_EQ(dispatcher_.counters().failed(E::CALLER_CANCELLED).value(), 5u);
}

TEST_F(DispatchStreamTest, AfterControlStoodStillCallsThatALaterMessageCancelsAreNotBegunAndTheOthersAre) {
  stalls_.Tick();
  clock_.Advance(seconds(10));
  ASSERT_TRUE(caller_->Send(Calls(1, 3)));
  v1::DispatchRequest later = Calls(4, 5);
  later.add_cancels(2);
  ASSERT_TRUE(caller_->Send(later)) << "messages are read while the first one waits";
  EXPECT_GT(all_.total(), 0u);
  for (uint64_t i = 0; i < Stalls::kTicksMax; ++i) stalls_.Tick();
  EXPECT_EQ(edge_->deliveries().size(), 4u);
  caller_->ReadAll();
  ASSERT_EQ(caller_->answers().size(), 1u);
  EXPECT_EQ(caller_->answers()[0].id(), 2u);
  EXPECT_EQ(caller_->answers()[0].failure().detail().reason(), E::CALLER_CANCELLED);
  EXPECT_EQ(caller_->answers()[0].failure().detail().delivery(), E::NOT_SENT);
  ASSERT_TRUE(caller_->Send(Calls(6, 6))) << "and reading goes on as before";
  EXPECT_EQ(edge_->deliveries().size(), 4u) << "still just after it";
  clock_.Advance(milliseconds(10));
  for (uint64_t i = 0; i < Stalls::kTicksMax; ++i, clock_.Advance(milliseconds(10))) stalls_.Tick();
  EXPECT_EQ(edge_->deliveries().size(), 5u);
  ASSERT_TRUE(caller_->Send(Calls(7, 7)));
  EXPECT_EQ(edge_->deliveries().size(), 6u);
}

TEST_F(DispatchStreamTest, AfterAStandstillSoManyMessagesAreReadBehindTheFirstAndTheRestOnceTheyAreTaken) {
  stalls_.Tick();
  clock_.Advance(seconds(10));
  v1::DispatchRequest large = Calls(1, 1);
  large.mutable_calls(0)->mutable_call()->set_params_json("{\"a\":\"" + std::string(600 << 10, 'x') + "\"}");
  ASSERT_TRUE(caller_->Send(large));
  large.mutable_calls(0)->set_id(2);
  ASSERT_TRUE(caller_->Send(large));
  EXPECT_FALSE(caller_->reads());
  EXPECT_GT(all_.total(), 1200u << 10);
  for (uint64_t i = 0; i < Stalls::kTicksMax; ++i) stalls_.Tick();
  EXPECT_EQ(edge_->deliveries().size(), 2u);
  EXPECT_TRUE(caller_->reads());
}

}  // namespace
}  // namespace toolwire
