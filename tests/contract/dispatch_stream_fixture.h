// A Dispatch stream between a caller and edges that do what the test chose, without gRPC's threads.
#ifndef TOOLWIRE_TESTS_CONTRACT_DISPATCH_STREAM_FIXTURE_H_
#define TOOLWIRE_TESTS_CONTRACT_DISPATCH_STREAM_FIXTURE_H_

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "control/dispatch_stream.h"
#include "tests/fakes/caller_stream.h"
#include "tests/fakes/fake_clock.h"
#include "tests/fakes/scripted_edge.h"
#include "tests/fakes/scripted_registry.h"

namespace toolwire {

using E = v1::CallError;

// Stands still; and runs what another thread does in a test just before a call is taken in, or before calls begin.
class HookedClock final : public Clock {
 public:
  MonoTime Now() const override {
    if (const auto hook = std::exchange(before_admit, nullptr)) hook();
    return clock_.Now();
  }
  int64_t WallMs() const override {
    if (const auto hook = std::exchange(before_begin, nullptr)) hook();
    return clock_.WallMs();
  }
  void Advance(Duration by) { clock_.Advance(by); }
  mutable std::function<void()> before_admit, before_begin;

 private:
  FakeClock clock_;
};

class DispatchStreamTest : public ::testing::Test {
 protected:
  // `hello`: as of DispatchStream::Begin.
  explicit DispatchStreamTest(const std::string& hello = {}) {
    link_ = dispatcher_.LinkUp("edge_a", edge_);
    v1::EdgeFrame frame;
    v1::SessionEvent* const event = frame.add_sessions();
    event->set_user_id("user_1");
    event->set_connected(true);
    event->set_epoch(1);
    dispatcher_.Receive(link_, std::move(frame));
    stream_->Begin([this] { done_ = true; }, hello);
    caller_ = std::make_unique<CallerStream>(stream_.get());
  }
  ~DispatchStreamTest() override {
    stream_->OnCancel();
    dispatcher_.FailAll();
    caller_->Done();
    EXPECT_TRUE(done_);
    EXPECT_TRUE(caller_->finished());
    EXPECT_TRUE(caller_->parsed());
    EXPECT_EQ(all_.total(), 0u);
    EXPECT_EQ(turns_.waiting(), 0u);
  }

  static ControlOptions Options() {
    ControlOptions options;
    options.stream_unread_bytes_max = 1 << 20;
    return options;
  }
  static void AddCall(uint64_t id, v1::DispatchRequest* request) {
    v1::DispatchCall* const call = request->add_calls();
    call->set_id(id);
    call->mutable_call()->set_user_id("user_1");
    call->mutable_call()->set_tool("tool");
  }
  static v1::DispatchRequest Calls(uint64_t first, uint64_t last) {
    v1::DispatchRequest request;
    for (uint64_t id = first; id <= last; ++id) AddCall(id, &request);
    return request;
  }
  // The agent answers the call that was delivered as the n-th.
  void Answer(size_t n, std::string result_json) {
    v1::EdgeFrame frame;
    v1::Answer* const answer = frame.add_answers();
    answer->set_call_id(edge_->deliveries().at(n).call_id());
    answer->set_success(true);
    answer->set_result_json(std::move(result_json));
    dispatcher_.Receive(link_, std::move(frame));
  }
  // Until the stream's turn has come.
  void WaitForTurn() {
    while (turns_.waiting() > 0) turns_.Tick();
  }
  void RefuseCancelled() {
    v1::EdgeFrame frame;
    for (const uint64_t call_id : edge_->cancels()) {
      v1::Refusal* const refusal = frame.add_refusals();
      refusal->set_call_id(call_id);
      refusal->set_cause(v1::Refusal::CANCELLED);
      refusal->set_delivery(E::NOT_SENT);
    }
    dispatcher_.Receive(link_, std::move(frame));
  }

  HookedClock clock_;
  ScriptedRegistry registry_;
  AgentDirectory directory_;
  Dispatcher dispatcher_{clock_, registry_, directory_, nullptr, Dispatcher::Options()};
  std::shared_ptr<ScriptedEdge> edge_ = std::make_shared<ScriptedEdge>();
  uint64_t link_ = 0;
  ControlOptions options_ = Options();
  CallerAuth auth_{clock_};
  CallRequests requests_{clock_, auth_, options_};
  StreamCounters counters_;
  CallerBytes all_{200'000};
  ReadingTurns turns_{clock_, 1};
  LifeSigns signs_{clock_, options_.stream_life_interval};
  Stalls stalls_{clock_};
  std::shared_ptr<DispatchStream> stream_ = std::make_shared<DispatchStream>(
      dispatcher_, requests_, options_, counters_, all_, turns_, signs_, stalls_, nullptr);
  std::unique_ptr<CallerStream> caller_;
  bool done_ = false;
};

}  // namespace toolwire

#endif  // TOOLWIRE_TESTS_CONTRACT_DISPATCH_STREAM_FIXTURE_H_
