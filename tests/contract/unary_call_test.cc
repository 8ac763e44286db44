// One CallTool between gRPC, which a fake stands for, and an edge that does what the test chose.
#include "control/unary_call.h"

#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "control/raw_message.h"
#include "tests/fakes/fake_clock.h"
#include "tests/fakes/scripted_edge.h"
#include "tests/fakes/scripted_registry.h"

namespace toolwire {
namespace {

using E = v1::CallError;

class CallerOfOne final : public grpc::ServerCallbackUnary {
 public:
  explicit CallerOfOne(grpc::ServerUnaryReactor* reactor) : reactor_(reactor) { BindReactor(reactor); }
  void Finish(grpc::Status status) override { finished_ = std::move(status); }
  void SendInitialMetadata() override {}
  const std::optional<grpc::Status>& finished() const { return finished_; }

 private:
  grpc::internal::ServerReactor* reactor() override { return reactor_; }
  void CallOnDone() override {}

  grpc::ServerUnaryReactor* const reactor_;
  std::optional<grpc::Status> finished_;
};

class UnaryCallTest : public ::testing::Test {
 protected:
  UnaryCallTest() {
    link_ = dispatcher_.LinkUp("edge_a", edge_, {});
    v1::EdgeFrame frame;
    v1::SessionEvent* const event = frame.add_sessions();
    event->set_user_id("user_1");
    event->set_connected(true);
    event->set_epoch(1);
    dispatcher_.Receive(link_, std::move(frame));
  }
  ~UnaryCallTest() override {
    dispatcher_.FailAll();
    if (IsSkipped()) return;
    EXPECT_TRUE(caller_->finished());
    call_->OnDone();
    call_.reset();
    EXPECT_EQ(all_.total(), 0u);
  }

  void Begin(const std::string& params_json, const std::string& user_id = "user_1") {
    v1::CallToolRequest request;
    request.set_user_id(user_id);
    request.set_tool("tool");
    request.set_params_json(params_json);
    call_->Begin(ToBuffer(request));
    caller_ = std::make_unique<CallerOfOne>(call_.get());
  }
  void Answer(std::string result_json) {
    v1::EdgeFrame frame;
    v1::Answer* const answer = frame.add_answers();
    answer->set_call_id(edge_->deliveries().at(0).call_id());
    answer->set_success(true);
    answer->set_result_json(std::move(result_json));
    dispatcher_.Receive(link_, std::move(frame));
  }
  void RefuseCancelled() {
    v1::EdgeFrame frame;
    v1::Refusal* const refusal = frame.add_refusals();
    refusal->set_call_id(edge_->cancels().at(0));
    refusal->set_cause(v1::Refusal::CANCELLED);
    refusal->set_delivery(E::SENT);
    dispatcher_.Receive(link_, std::move(frame));
  }

  FakeClock clock_;
  ScriptedRegistry registry_;
  AgentDirectory directory_;
  Dispatcher dispatcher_{clock_, registry_, directory_, nullptr, Dispatcher::Options()};
  std::shared_ptr<ScriptedEdge> edge_ = std::make_shared<ScriptedEdge>();
  uint64_t link_ = 0;
  CallerBytes all_{50'000};
  CallerAuth auth_{clock_};
  CallRequests requests_{clock_, auth_, ControlOptions()};
  Stalls stalls_{clock_};
  grpc::ByteBuffer response_;
  std::shared_ptr<UnaryCall> call_ =
      std::make_shared<UnaryCall>(clock_, dispatcher_, requests_, all_, stalls_, nullptr, &response_);
  std::unique_ptr<CallerOfOne> caller_;
};

TEST_F(UnaryCallTest, CountsItsParamsUntilItSettlesAndThenItsResponse) {
  Begin("{\"a\":\"" + std::string(20'000, 'x') + "\"}");
  const size_t with_params = all_.total();
  EXPECT_GT(with_params, 20'000u);
  Answer("1");
  EXPECT_LT(all_.total(), with_params - 19'000);
  EXPECT_TRUE(caller_->finished()->ok());
  v1::CallToolResponse response;
  ASSERT_TRUE(FromBuffer(&response_, &response));
  EXPECT_EQ(response.result_json(), "1");
}

TEST_F(UnaryCallTest, OneThatIsDroppedIsCancelledAndNamesTheLimit) {
  Begin("{\"a\":\"" + std::string(60'000, 'x') + "\"}");
  all_.Tick();
  EXPECT_EQ(all_.counters().full.value(), 1u);
  ASSERT_EQ(edge_->cancels().size(), 1u);
  EXPECT_FALSE(caller_->finished());
  RefuseCancelled();
  ASSERT_TRUE(caller_->finished());
  EXPECT_EQ(caller_->finished()->error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(caller_->finished()->error_message(), CallerBytes::kFull);
  v1::CallFailure failure;
  ASSERT_TRUE(UnpackStatusDetails(caller_->finished()->error_details(), &failure));
  EXPECT_EQ(failure.detail().delivery(), E::SENT);
}

TEST_F(UnaryCallTest, SmallCallsOfAConnectionAreDroppedAsWell) {
  Begin("{}");
  call_->Drop();
  EXPECT_EQ(edge_->cancels().size(), 1u);
  Answer("1");
  EXPECT_TRUE(caller_->finished()->ok()) << "the answer was faster";
}

TEST_F(UnaryCallTest, OneThatIsDroppedBeforeItBeginsIsNotSent) {
  call_->Drop();
  Begin("{}");
  EXPECT_EQ(edge_->deliveries().size(), 0u);
  EXPECT_EQ(caller_->finished()->error_message(), CallerBytes::kFull);
}

TEST_F(UnaryCallTest, LargeParamsInTheHandFormAreReadByAThreadOfTheirOwnUnlessTooManyWait) {
#ifdef __SANITIZE_THREAD__
  GTEST_SKIP() << "it fills a map of protobuf's, which ThreadSanitizer breaks";
#endif
  std::promise<void> busy, go_on, delivered;
  requests_.thread().Post(1, [&] {
    busy.set_value();
    go_on.get_future().wait();
  });
  busy.get_future().wait();
  v1::CallToolRequest request;
  request.set_user_id("user_1");
  request.set_tool("tool");
  (*request.mutable_params()->mutable_fields())["a"].set_string_value(std::string(100'000, 'x'));
  call_->Begin(ToBuffer(request));
  caller_ = std::make_unique<CallerOfOne>(call_.get());
  EXPECT_EQ(edge_->deliveries().size(), 0u) << "who reads all callers does not wait for it";
  ASSERT_TRUE(requests_.thread().Post(CallRequests::kHandFormQueueBytesMax - 200'000, [] {}));
  grpc::ByteBuffer response;
  const auto refused = std::make_shared<UnaryCall>(clock_, dispatcher_, requests_, all_, stalls_, nullptr, &response);
  refused->Begin(ToBuffer(request));
  CallerOfOne other(refused.get());
  ASSERT_TRUE(other.finished());
  EXPECT_EQ(other.finished()->error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(requests_.counters().hand_form_queue_full.value(), 1u);
  refused->OnDone();
  edge_->SetJudge([&](const v1::ControlFrame&) {
    delivered.set_value();
    return true;
  });
  go_on.set_value();
  delivered.get_future().wait();
  edge_->SetJudge(nullptr);
  std::promise<void> over;
  requests_.thread().Post(1, [&] { over.set_value(); });
  over.get_future().wait();
  Answer("1");
  EXPECT_TRUE(caller_->finished()->ok());
}

TEST_F(UnaryCallTest, CallThatIsCancelledWhileItsParamsWaitIsNotSent) {
#ifdef __SANITIZE_THREAD__
  GTEST_SKIP() << "it fills a map of protobuf's, which ThreadSanitizer breaks";
#endif
  std::promise<void> go_on, read;
  requests_.thread().Post(1, [&] { go_on.get_future().wait(); });
  v1::CallToolRequest request;
  request.set_user_id("user_1");
  request.set_tool("tool");
  (*request.mutable_params()->mutable_fields())["a"].set_string_value(std::string(100'000, 'x'));
  call_->Begin(ToBuffer(request));
  caller_ = std::make_unique<CallerOfOne>(call_.get());
  call_->OnCancel();
  go_on.set_value();
  requests_.thread().Post(1, [&] { read.set_value(); });
  read.get_future().wait();
  EXPECT_EQ(edge_->deliveries().size(), 0u);
  EXPECT_EQ(dispatcher_.counters().failed(E::CALLER_CANCELLED).value(), 1u);
}

TEST_F(UnaryCallTest, RejectedCallHoldsNothingButItselfUntilGrpcIsDone) {
  Begin("no JSON " + std::string(20'000, 'x'));
  EXPECT_LT(all_.total(), 20'000u);
  EXPECT_EQ(caller_->finished()->error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

}  // namespace
}  // namespace toolwire
