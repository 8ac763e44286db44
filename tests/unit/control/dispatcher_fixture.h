// What all tests of the Dispatcher begin with: a clock, a registry and links that do what the test chose.
#ifndef TOOLWIRE_TESTS_UNIT_CONTROL_DISPATCHER_FIXTURE_H_
#define TOOLWIRE_TESTS_UNIT_CONTROL_DISPATCHER_FIXTURE_H_

#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "control/dispatcher.h"
#include "tests/fakes/fake_clock.h"
#include "tests/fakes/memory_store.h"
#include "tests/fakes/recording_sink.h"
#include "tests/fakes/scripted_edge.h"
#include "tests/fakes/scripted_registry.h"
#include "tests/fakes/temp_dir.h"

namespace toolwire {

using E = v1::CallError;
using R = v1::Refusal;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

// A hang is a failure after this long; nothing is measured by it.
inline constexpr Duration kForever = seconds(60);
inline constexpr Duration kTimeout = seconds(10);
inline constexpr milliseconds kTick(10);
inline const std::string kUser = "user_1";

inline AuditLog::Options QuickAudit(const std::string& spool_dir) {
  AuditLog::Options options;
  options.spool.directory = spool_dir;
  options.gather_time = Duration::zero();
  options.close_time = kForever;
  return options;
}

// "AGENT_LOST SENT", or what the agent answered.
inline std::string Describe(const v1::DispatchAnswer& outcome) {
  if (outcome.has_failure()) {
    const v1::CallError& detail = outcome.failure().detail();
    return std::string(RowOf(detail.reason()).name) + " " + v1::CallError::Delivery_Name(detail.delivery());
  }
  if (!outcome.has_response()) return "no outcome";
  return (outcome.response().success() ? "success " : "failure ") + outcome.response().result_json();
}

struct LinkedEdge {
  std::shared_ptr<ScriptedEdge> edge = std::make_shared<ScriptedEdge>();
  uint64_t number = 0;
};

// What every test begins with, and what must be true after each: `TearDown` checks that every call that was begun has
// settled exactly once, that its sink was asked to send it, and that one audit row has the same, with nothing left over
// in the audit log's spool.
class DispatcherTest : public ::testing::Test {
 protected:
  void TearDown() override {
    dispatcher_.FailAll();
    EXPECT_EQ(dispatcher_.in_flight(), 0u);
    ASSERT_TRUE(audit_->Flush(kForever));
    audit_.reset();
    EXPECT_TRUE(!std::filesystem::exists(spool_dir_) || std::filesystem::is_empty(spool_dir_));
    const auto rows = store_.ListAudit({"", 1'000'000});
    ASSERT_TRUE(rows.ok());
    std::map<std::string, std::vector<AuditRow>> by_tool;  // Every call of these tests has a tool of its own.
    for (const AuditRow& row : *rows) by_tool[row.tool].push_back(row);
    EXPECT_EQ(rows->size(), begun_.size() + rejected_);
    uint64_t failed = 0;
    for (const auto& [id, call] : begun_) {
      SCOPED_TRACE(call.tool);
      const std::vector<v1::DispatchAnswer> outcomes = SinkOf(call).Of(id);
      const std::vector<AuditRow>& audited = by_tool[call.tool];
      ASSERT_EQ(outcomes.size(), 1u);
      ASSERT_EQ(audited.size(), 1u);
      EXPECT_EQ(SinkOf(call).kept(), 0);
      CheckOutcome(call, outcomes[0], audited[0]);
      if (outcomes[0].has_failure()) ++failed;
    }
    uint64_t counted = 0;
    for (int reason = 0; reason < E::Reason_ARRAYSIZE; ++reason) {
      counted += dispatcher_.counters().failed(static_cast<Reason>(reason)).value();
    }
    EXPECT_EQ(counted, failed + rejected_);
    EXPECT_EQ(dispatcher_.counters().calls.value(), begun_.size() + rejected_);
    EXPECT_EQ(dispatcher_.counters().answered.value(), begun_.size() - failed);
  }

  static RecordingSink& SinkOf(const Call& call) { return static_cast<RecordingSink&>(*call.sink); }
  static void CheckOutcome(const Call& call, const v1::DispatchAnswer& outcome, const AuditRow& row) {
    EXPECT_EQ(row.user_id, call.user_id);
    EXPECT_EQ(row.request_id, call.request_id);
    EXPECT_EQ(row.params_json, call.params_json);
    if (outcome.has_failure()) {
      const v1::CallFailure& failure = outcome.failure();
      EXPECT_EQ(failure.code(), RowOf(failure.detail().reason()).grpc_code);
      EXPECT_EQ(failure.detail().request_id(), call.request_id);
      EXPECT_FALSE(failure.message().empty());
      EXPECT_NE(failure.detail().delivery(), E::DELIVERY_UNSPECIFIED);
      EXPECT_EQ(row.error, RowOf(failure.detail().reason()).name);
      EXPECT_FALSE(row.success);
      EXPECT_EQ(row.result_json, "");
      EXPECT_EQ(row.execution_time_ms, std::nullopt);
    } else {
      const v1::CallToolResponse& response = outcome.response();
      EXPECT_EQ(response.request_id(), call.request_id);
      EXPECT_EQ(row.success, response.success());
      EXPECT_EQ(row.result_json, response.result_json());
      EXPECT_EQ(row.error, response.error());
      EXPECT_EQ(row.execution_time_ms.has_value(), response.has_execution_time_ms());
      EXPECT_EQ(row.execution_time_ms.value_or(0), response.execution_time_ms());
    }
  }

  // --- callers ---
  Call MakeCall(const std::string& user_id = kUser, const std::string& request_id = "", Duration timeout = kTimeout) {
    Call call;
    call.call_id = dispatcher_.NextCallId();
    call.caller_id = 1000 + call.call_id;
    call.user_id = user_id;
    call.request_id = request_id.empty() ? "req_" + std::to_string(call.call_id) : request_id;
    call.tool = "tool_" + std::to_string(call.call_id);
    call.params_json = R"({"n": 9007199254740993})";
    call.deadline = clock_.Now() + timeout;
    call.sink = sink_;
    begun_.emplace(call.caller_id, call);
    return call;
  }
  void SetSink(Call* call, std::shared_ptr<RecordingSink> sink) {
    call->sink = begun_.at(call->caller_id).sink = std::move(sink);
  }
  // Returns the call's id.
  uint64_t Begin(Call call) {
    const uint64_t call_id = call.call_id;
    std::vector<Call> calls;
    calls.push_back(std::move(call));
    dispatcher_.Begin(std::move(calls));
    return call_id;
  }
  uint64_t Begin(const std::string& user_id = kUser, Duration timeout = kTimeout) {
    return Begin(MakeCall(user_id, "", timeout));
  }
  std::string OutcomeOf(uint64_t call_id) const {
    const std::vector<v1::DispatchAnswer> outcomes = SinkOf(begun_.at(1000 + call_id)).Of(1000 + call_id);
    if (outcomes.empty()) return "open";
    return outcomes.size() == 1 ? Describe(outcomes[0]) : std::to_string(outcomes.size()) + " outcomes";
  }
  // A call that a link has.
  uint64_t BeginDelivered(const LinkedEdge& at, Duration timeout = kTimeout) {
    const size_t before = at.edge->deliveries().size();
    const uint64_t call_id = Begin(kUser, timeout);
    EXPECT_EQ(at.edge->deliveries().size(), before + 1);
    EXPECT_EQ(OutcomeOf(call_id), "open");
    return call_id;
  }
  // A call that was sent and whose session is lost.
  uint64_t BeginLost(const LinkedEdge& at, Duration timeout = kTimeout) {
    const uint64_t call_id = BeginDelivered(at, timeout);
    Refuse(at, call_id, R::SESSION_LOST, E::SENT);
    EXPECT_EQ(OutcomeOf(call_id), "open");
    return call_id;
  }
  // A call whose look-up is held back.
  uint64_t BeginLooking(Duration timeout = kTimeout) {
    registry_.Hold();
    const uint64_t call_id = Begin(kUser, timeout);
    EXPECT_EQ(registry_.waiting(), 1u);
    EXPECT_EQ(OutcomeOf(call_id), "open");
    return call_id;
  }

  // --- links ---
  LinkedEdge Link(const std::string& edge_id = "edge_a") {
    LinkedEdge linked;
    linked.number = dispatcher_.LinkUp(edge_id, linked.edge);
    return linked;
  }
  // A link to an edge where the directory knows the user's agent to be.
  LinkedEdge LinkWithAgent(const std::string& edge_id = "edge_a", uint64_t epoch = 1) {
    const LinkedEdge linked = Link(edge_id);
    Connect(linked, kUser, epoch);
    return linked;
  }
  void Connect(const LinkedEdge& at, const std::string& user_id, uint64_t epoch) {
    v1::EdgeFrame frame;
    v1::SessionEvent* event = frame.add_sessions();
    event->set_user_id(user_id);
    event->set_epoch(epoch);
    event->set_connected(true);
    dispatcher_.Receive(at.number, std::move(frame));
  }
  void Answer(const LinkedEdge& at, uint64_t call_id, const std::string& result = "42") {
    v1::EdgeFrame frame;
    v1::Answer* answer = frame.add_answers();
    answer->set_call_id(call_id);
    answer->set_success(true);
    answer->set_result_json(result);
    dispatcher_.Receive(at.number, std::move(frame));
  }
  void Refuse(const LinkedEdge& at, uint64_t call_id, R::Cause cause, Delivery delivery) {
    v1::EdgeFrame frame;
    v1::Refusal* refusal = frame.add_refusals();
    refusal->set_call_id(call_id);
    refusal->set_cause(cause);
    refusal->set_delivery(delivery);
    dispatcher_.Receive(at.number, std::move(frame));
  }
  void Stray(const LinkedEdge& at, const std::string& user_id, const std::string& request_id) {
    v1::EdgeFrame frame;
    v1::StrayAnswer* stray = frame.add_strays();
    stray->set_user_id(user_id);
    stray->set_request_id(request_id);
    stray->mutable_answer()->set_success(true);
    stray->mutable_answer()->set_result_json("\"stray\"");
    dispatcher_.Receive(at.number, std::move(frame));
  }
  void Offer(const LinkedEdge& at, const std::string& user_id, const std::string& request_id) {
    v1::EdgeFrame frame;
    v1::StrayOffer* offer = frame.add_stray_offers();
    offer->set_user_id(user_id);
    offer->set_request_id(request_id);
    offer->set_bytes(16 << 20);
    dispatcher_.Receive(at.number, std::move(frame));
  }
  std::string RequestIdOf(uint64_t call_id) const { return begun_.at(1000 + call_id).request_id; }

  void Advance(Duration by) {
    clock_.Advance(by);
    dispatcher_.Tick();
  }
  // Open until `after` has passed from now, and this from then on.
  void ExpectAfter(Duration after, uint64_t call_id, const std::string& outcome) {
    Advance(after - kTick);
    EXPECT_EQ(OutcomeOf(call_id), "open");
    Advance(kTick);
    EXPECT_EQ(OutcomeOf(call_id), outcome);
  }

  // A call that gets this refusal ends as SENT and is not delivered again, although there is a newer lease.
  void ExpectNotDeliveredAgain(const LinkedEdge& edge, R::Cause cause, Delivery delivery) {
    Connect(edge, kUser, 1);
    const uint64_t call_id = BeginDelivered(edge);
    const size_t delivered = edge.edge->deliveries().size();
    Refuse(edge, call_id, cause, delivery);
    EXPECT_EQ(edge.edge->deliveries().size(), delivered);
    Advance(kTimeout);
    const std::string outcome = OutcomeOf(call_id);
    EXPECT_EQ(outcome.substr(outcome.find(' ') + 1), "SENT") << outcome;
  }

  FakeClock clock_;
  ScriptedRegistry registry_;
  AgentDirectory directory_;
  MemoryStore store_;
  TempDir dir_;
  const std::string spool_dir_ = dir_.File("spool");
  std::optional<AuditLog> audit_{std::in_place, store_, QuickAudit(spool_dir_)};
  Dispatcher::Options options_;
  Dispatcher dispatcher_{clock_, registry_, directory_, &*audit_, options_};
  std::shared_ptr<RecordingSink> sink_ = std::make_shared<RecordingSink>();
  std::map<uint64_t, Call> begun_;  // By caller id.
  size_t rejected_ = 0;
};

}  // namespace toolwire

#endif  // TOOLWIRE_TESTS_UNIT_CONTROL_DISPATCHER_FIXTURE_H_
