// A Dispatch stream between a caller and edges that do what the test chose, without gRPC's threads.
#include "control/dispatch_stream.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <utility>

#include "tests/contract/dispatch_stream_fixture.h"

namespace toolwire {
namespace {

TEST_F(DispatchStreamTest, CallsAreAnsweredAndTheStreamEndsWhenTheCallerSendsNoMore) {
  ASSERT_TRUE(caller_->Send(Calls(1, 2)));
  Answer(1, "2");
  Answer(0, "1");
  caller_->ReadAll();
  caller_->End();
  ASSERT_EQ(caller_->answers().size(), 2u);
  EXPECT_EQ(caller_->answers()[0].id(), 2u);
  EXPECT_EQ(caller_->answers()[0].response().result_json(), "2");
  EXPECT_EQ(caller_->answers()[1].response().result_json(), "1");
  ASSERT_TRUE(caller_->finished());
  EXPECT_TRUE(caller_->finished()->ok());
}

// With one thread of gRPC's a reset waits until the calls are begun.
TEST_F(DispatchStreamTest, StreamThatIsResetWhileItsCallsAreStartedLeavesNoneInFlight) {
  clock_.before_begin = [this] { stream_->OnCancel(); };
  ASSERT_TRUE(caller_->Send(Calls(1, 3)));
  EXPECT_EQ(edge_->deliveries().size(), 0u);
  EXPECT_EQ(dispatcher_.counters().failed(E::CALLER_CANCELLED).value(), 3u);
  EXPECT_EQ(dispatcher_.in_flight(), 0u);
  EXPECT_TRUE(caller_->finished());
}

TEST_F(DispatchStreamTest, ResetTakesOutTheCallsThatWaitForALaterSlice) {
  size_t cancels_before = 0;
  edge_->SetJudge([&](const v1::ControlFrame& frame) {
    cancels_before += frame.deliveries_size() > 0 ? frame.cancels_size() + edge_->cancels().size() : 0;
    if (frame.deliveries_size() > 0) stream_->OnCancel();
    return true;
  });
  ASSERT_TRUE(caller_->Send(Calls(1, 3 * Dispatcher::kAtOnce)));
  EXPECT_EQ(edge_->deliveries().size(), Dispatcher::kAtOnce);
  EXPECT_EQ(cancels_before, 0u) << "no cancel overtakes its call";
  EXPECT_EQ(edge_->cancels().size(), Dispatcher::kAtOnce);
  RefuseCancelled();
  EXPECT_EQ(dispatcher_.in_flight(), 0u);
  EXPECT_TRUE(caller_->finished());
}

TEST_F(DispatchStreamTest, NothingIsStartedForAStreamThatWasReset) {
  stream_->OnCancel();
  EXPECT_TRUE(caller_->finished()) << "nothing is under way";
  caller_->Send(Calls(1, 3));  // It was on its way in.
  EXPECT_EQ(edge_->deliveries().size(), 0u);
  EXPECT_EQ(dispatcher_.in_flight(), 0u);
  EXPECT_FALSE(caller_->writes());
}

TEST_F(DispatchStreamTest, CallsThatAreReadWhileControlEndsTheStreamAreAnsweredBeforeItEnds) {
  clock_.before_admit = [this] { stream_->EndWhenIdle(); };
  ASSERT_TRUE(caller_->Send(Calls(1, 2)));
  EXPECT_EQ(edge_->deliveries().size(), 0u);
  EXPECT_FALSE(caller_->finished());
  caller_->ReadAll();
  ASSERT_EQ(caller_->answers().size(), 2u);
  EXPECT_EQ(caller_->answers()[1].failure().detail().reason(), E::EDGE_UNAVAILABLE);
  EXPECT_TRUE(caller_->finished());
}

TEST_F(DispatchStreamTest, StreamWhoseTokenHasExpiredAnswersItsCallsTakesNoNewOnesAndSaysWhy) {
  ASSERT_TRUE(caller_->Send(Calls(1, 1)));
  stream_->EndExpired();
  EXPECT_FALSE(caller_->finished());
  ASSERT_TRUE(caller_->Send(Calls(2, 2)));
  EXPECT_EQ(edge_->deliveries().size(), 1u);
  EXPECT_TRUE(edge_->cancels().empty());
  Answer(0, "1");
  caller_->ReadAll();
  ASSERT_EQ(caller_->answers().size(), 2u);
  EXPECT_EQ(caller_->answers()[0].failure().detail().reason(), E::UNAUTHENTICATED);
  EXPECT_EQ(caller_->answers()[0].failure().detail().delivery(), E::NOT_SENT);
  EXPECT_EQ(caller_->answers()[1].response().result_json(), "1");
  ASSERT_TRUE(caller_->finished());
  EXPECT_EQ(caller_->finished()->error_code(), grpc::StatusCode::UNAUTHENTICATED);
}

TEST_F(DispatchStreamTest, StreamWhoseTokenWasRemovedHasItsCallsCancelledAndAnswered) {
  ASSERT_TRUE(caller_->Send(Calls(1, 2)));
  stream_->EndExpired();
  stream_->EndRemoved();
  EXPECT_EQ(edge_->cancels().size(), 2u);
  EXPECT_FALSE(caller_->finished());
  RefuseCancelled();
  caller_->ReadAll();
  ASSERT_EQ(caller_->answers().size(), 2u);
  EXPECT_EQ(caller_->answers()[0].failure().detail().reason(), E::CALLER_CANCELLED);
  ASSERT_TRUE(caller_->finished());
  EXPECT_EQ(caller_->finished()->error_code(), grpc::StatusCode::UNAUTHENTICATED);
}

TEST_F(DispatchStreamTest, StreamWhoseTokenIsGoneIsNotReadOnceItsCallsHaveSettled) {
  ASSERT_TRUE(caller_->Send(Calls(1, 1)));
  stream_->EndExpired();
  ASSERT_TRUE(caller_->Send(Calls(2, 2)));
  EXPECT_TRUE(caller_->reads()) << "a call is in flight: others learn at once that they are too late";
  Answer(0, "1");
  EXPECT_TRUE(caller_->Send(Calls(3, 3))) << "the read that was under way";
  EXPECT_FALSE(caller_->reads()) << "or who goes on sending would keep the stream for ever";
  caller_->ReadAll();
  EXPECT_EQ(caller_->answers().size(), 3u);
  EXPECT_TRUE(caller_->finished());
}

TEST_F(DispatchStreamTest, StreamWhoseTokenIsGoneIsCutIfNothingOfItIsRead) {
  constexpr Duration kLimit = std::chrono::seconds(10);
  const auto cut = [&] { return stream_->CutIfUnread(clock_.Now(), kLimit); };
  ASSERT_TRUE(caller_->Send(Calls(1, 2)));
  Answer(0, "1");
  EXPECT_FALSE(cut());
  clock_.Advance(2 * kLimit);
  EXPECT_FALSE(cut()) << "its token is good";
  stream_->EndExpired();
  clock_.Advance(2 * kLimit);
  EXPECT_FALSE(cut()) << "a call is in flight";
  Answer(1, "2");
  EXPECT_FALSE(cut());
  clock_.Advance(kLimit / 2);
  caller_->WriteDone();
  EXPECT_FALSE(cut());
  clock_.Advance(kLimit - std::chrono::milliseconds(1));
  EXPECT_FALSE(cut()) << "it has read something";
  clock_.Advance(std::chrono::milliseconds(1));
  EXPECT_TRUE(cut());
  EXPECT_FALSE(cut());
  EXPECT_EQ(counters_.ended_unread.value(), 1u);
  caller_->WriteDone(/*ok=*/false);
  ASSERT_TRUE(caller_->finished());
  EXPECT_EQ(caller_->finished()->error_code(), grpc::StatusCode::UNAUTHENTICATED);
}

TEST_F(DispatchStreamTest, CallsThatAreReadWhileTheTokenIsRemovedDoNotBegin) {
  clock_.before_begin = [this] { stream_->EndRemoved(); };
  ASSERT_TRUE(caller_->Send(Calls(1, 2)));
  EXPECT_EQ(edge_->deliveries().size(), 0u);
  caller_->ReadAll();
  ASSERT_EQ(caller_->answers().size(), 2u);
  EXPECT_EQ(caller_->answers()[0].failure().detail().reason(), E::CALLER_CANCELLED);
  EXPECT_EQ(caller_->answers()[0].failure().detail().delivery(), E::NOT_SENT);
  EXPECT_TRUE(caller_->finished());
}

TEST_F(DispatchStreamTest, MessageWithTooManyCallsEndsTheStreamOnceItsCallsInFlightAreAnswered) {
  ASSERT_TRUE(caller_->Send(Calls(1, 1)));
  v1::DispatchRequest most;
  for (int i = 0; i < options_.message_calls_max; ++i) most.add_calls();
  ASSERT_TRUE(caller_->Send(most));
  WaitForTurn();
  EXPECT_TRUE(caller_->reads()) << "at the limit each is answered";
  EXPECT_EQ(counters_.message_full.value(), 0u);
  most.add_calls();
  ASSERT_TRUE(caller_->Send(most));
  EXPECT_FALSE(caller_->reads());
  EXPECT_EQ(counters_.message_full.value(), 1u);
  caller_->ReadAll();
  EXPECT_FALSE(caller_->finished());
  Answer(0, "1");
  caller_->ReadAll();
  EXPECT_EQ(caller_->answers().size(), 1u + options_.message_calls_max);
  ASSERT_TRUE(caller_->finished());
  EXPECT_EQ(caller_->finished()->error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(caller_->finished()->error_message(), "more than 10000 calls in one message");
}

TEST_F(DispatchStreamTest, MessageWithTooManyCancelsEndsTheStream) {
  v1::DispatchRequest request;
  for (int i = 0; i < options_.stream_calls_in_flight_max; ++i) request.add_cancels(1);
  ASSERT_TRUE(caller_->Send(request));
  EXPECT_FALSE(caller_->finished());
  request.add_cancels(1);
  ASSERT_TRUE(caller_->Send(request));
  ASSERT_TRUE(caller_->finished());
  EXPECT_EQ(caller_->finished()->error_message(), "more than 20000 cancels in one message");
}

TEST_F(DispatchStreamTest, ParamsOverTheBoundOfTheHandFormRefuseTheirCallAlone) {
#ifdef __SANITIZE_THREAD__
  GTEST_SKIP() << "it fills a map of protobuf's, which ThreadSanitizer breaks";
#endif
  v1::DispatchRequest request = Calls(1, 2);
  auto& fields = *request.mutable_calls(0)->mutable_call()->mutable_params()->mutable_fields();
  for (int i = 0; i < 40'000; ++i) fields["a"].mutable_list_value()->add_values()->set_number_value(0);
  ASSERT_TRUE(caller_->Send(request));
  EXPECT_EQ(requests_.counters().hand_form_large.value(), 1u);
  Answer(0, "1");
  caller_->ReadAll();
  ASSERT_EQ(caller_->answers().size(), 2u);
  EXPECT_EQ(caller_->answers()[0].failure().detail().field(), "params");
  EXPECT_EQ(caller_->answers()[1].response().result_json(), "1");
}

TEST_F(DispatchStreamTest, ResultComesInTheFormOfTheParams) {
  v1::DispatchRequest request = Calls(1, 2);
  request.mutable_calls(0)->mutable_call()->mutable_params();
  ASSERT_TRUE(caller_->Send(request));
  Answer(0, "[1]");
  Answer(1, "[1]");
  caller_->ReadAll();
  ASSERT_EQ(caller_->answers().size(), 2u);
  EXPECT_EQ(caller_->answers()[0].response().result().list_value().values_size(), 1);
  EXPECT_FALSE(caller_->answers()[1].response().has_result());
}

TEST_F(DispatchStreamTest, CallerThatDoesNotReadItsRefusalsIsNotReadFromPastTheLimitOfTheirBytes) {
  v1::DispatchRequest request;
  for (int i = 0; i < 100; ++i) request.add_calls();  // Of no user.
  int sent = 0;
  for (; caller_->Send(request); ++sent) WaitForTurn();
  EXPECT_EQ(counters_.answers_unread.value(), 1u);
  EXPECT_GT(all_.total(), 1u << 20);
  EXPECT_LT(all_.total(), 1536u << 10) << "in memory, not as objects";
  EXPECT_GT(100 * sent, 4000) << "a refusal takes its bytes on the wire";
  caller_->ReadAll();
  EXPECT_TRUE(caller_->reads());
  EXPECT_EQ(caller_->answers().size(), 100u * sent);
  EXPECT_EQ(all_.total(), 0u);
  EXPECT_EQ(counters_.stream_ended.value(), 0u);
}

TEST_F(DispatchStreamTest, AnswersOfFourTimesTheLimitEndTheStreamAndCancelItsCalls) {
  ASSERT_TRUE(caller_->Send(Calls(1, 20)));
  const std::string large = "\"" + std::string(500'000, 'x') + "\"";
  size_t most = 0;
  for (int i = 0; i < 8; ++i) {
    Answer(i, large);
    most = std::max(most, all_.total());
  }
  EXPECT_EQ(counters_.stream_ended.value(), 0u);
  EXPECT_LT(most, (4u << 20) + 20 * CallerBytes::kCallBytes);
  Answer(8, large);
  EXPECT_EQ(counters_.stream_ended.value(), 1u);
  EXPECT_LT(all_.total(), 600'000u) << "the one that is being written";
  EXPECT_EQ(edge_->cancels().size(), 11u);
  Answer(9, large);
  EXPECT_LT(all_.total(), 600'000u);
  RefuseCancelled();
  EXPECT_FALSE(caller_->finished());
  caller_->WriteDone();
  ASSERT_TRUE(caller_->finished());
  EXPECT_EQ(caller_->finished()->error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(all_.total(), 0u);
}

TEST_F(DispatchStreamTest, ParamsOfCallsInFlightCountForAllCallers) {
  v1::DispatchRequest request = Calls(1, 2);
  request.mutable_calls(0)->mutable_call()->set_params_json("{\"a\":\"" + std::string(150'000, 'x') + "\"}");
  ASSERT_TRUE(caller_->Send(request));
  EXPECT_GT(all_.total(), 150'000u);
  all_.Tick();
  EXPECT_EQ(all_.counters().full.value(), 0u);
  Answer(0, "1");
  EXPECT_LT(all_.total(), CallerBytes::kCallBytes + 1000) << "the other one, and the answer";
  request.mutable_calls(0)->set_id(3);
  request.mutable_calls(1)->CopyFrom(request.calls(0));
  request.mutable_calls(1)->set_id(4);
  ASSERT_TRUE(caller_->Send(request));
  all_.Tick();
  EXPECT_GE(all_.counters().full.value(), 1u);
  EXPECT_EQ(edge_->cancels().size(), 3u) << "who holds most loses it";
  EXPECT_EQ(counters_.stream_ended.value(), 0u) << "it is not its answers";
  RefuseCancelled();
  caller_->ReadAll();
  EXPECT_EQ(all_.total(), 0u);
  ASSERT_TRUE(caller_->finished());
  EXPECT_EQ(caller_->finished()->error_message(), CallerBytes::kFull);
}

TEST_F(DispatchStreamTest, ParamsInTheHandFormAreBoundedOverAllCallsOfAMessage) {
#ifdef __SANITIZE_THREAD__
  GTEST_SKIP() << "it fills a map of protobuf's, which ThreadSanitizer breaks";
#endif
  v1::DispatchRequest request = Calls(1, 5);
  for (v1::DispatchCall& one : *request.mutable_calls()) {
    auto& fields = *one.mutable_call()->mutable_params()->mutable_fields();
    fields["a"].set_string_value(std::string(options_.hand_form_bytes_max - 100, 'x'));
  }
  v1::DispatchRequest four = request;
  four.mutable_calls()->RemoveLast();
  ASSERT_TRUE(caller_->Send(four));
  EXPECT_EQ(edge_->deliveries().size(), 4u);
  EXPECT_EQ(counters_.message_full.value(), 0u);
  for (size_t i = 0; i < 4; ++i) Answer(i, "1");
  caller_->ReadAll();
  ASSERT_TRUE(caller_->Send(request));
  EXPECT_EQ(counters_.message_full.value(), 1u);
  ASSERT_TRUE(caller_->finished());
  EXPECT_EQ(caller_->finished()->error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(caller_->finished()->error_message(),
            "params are more than 1048576 bytes in one message: send params_json");
}

TEST_F(DispatchStreamTest, StreamWhoseMessagesTakeTheThreadWaitsForItsTurn) {
  const auto taking = [this](Duration time) { clock_.before_begin = [this, time] { clock_.Advance(time); }; };
  taking(ReadingTurns::kBusyMax);
  ASSERT_TRUE(caller_->Send(Calls(1, 1000)));
  EXPECT_TRUE(caller_->reads()) << "they took no more than they may";
  EXPECT_EQ(turns_.counters().waits.value(), 0u);
  taking(std::chrono::microseconds(1));
  ASSERT_TRUE(caller_->Send(Calls(1001, 1001)));
  EXPECT_FALSE(caller_->reads());
  EXPECT_EQ(turns_.counters().waits.value(), 1u);
  EXPECT_EQ(turns_.waiting(), 1u);
  turns_.Tick();
  EXPECT_TRUE(caller_->reads());
  RefuseCancelled();
}

TEST_F(DispatchStreamTest, StreamThatEndsLeavesTheTurnsAtOnce) {
  clock_.before_begin = [this] { clock_.Advance(2 * ReadingTurns::kBusyMax); };
  ASSERT_TRUE(caller_->Send(Calls(1, 1001)));
  EXPECT_EQ(turns_.waiting(), 1u);
  stream_->OnCancel();
  EXPECT_EQ(turns_.waiting(), 0u);
  RefuseCancelled();
}

}  // namespace
}  // namespace toolwire
