#include "control/dispatcher.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/fakes/fake_clock.h"
#include "tests/fakes/memory_store.h"
#include "tests/fakes/recording_sink.h"
#include "tests/fakes/scripted_edge.h"
#include "tests/fakes/scripted_registry.h"
#include "tests/fakes/temp_dir.h"

namespace toolwire {
namespace {

using E = v1::CallError;
using R = v1::Refusal;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

// A hang is a failure after this long; nothing is measured by it.
constexpr Duration kForever = seconds(60);
constexpr Duration kTimeout = seconds(10);
constexpr milliseconds kTick(10);
const std::string kUser = "user_1";

AuditLog::Options QuickAudit(const std::string& spool_dir) {
  AuditLog::Options options;
  options.spool_dir = spool_dir;
  options.gather_time = Duration::zero();
  options.close_time = kForever;
  return options;
}

// "AGENT_LOST SENT", or what the agent answered.
std::string Describe(const v1::DispatchAnswer& outcome) {
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
// settled exactly once, that its sink was told to send it, and that one audit row says the same, with nothing left over
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
    for (const Counter& counter : dispatcher_.counters().failed) counted += counter.value();
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
  registry_.Fail(absl::UnavailableError("away"));
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
  EXPECT_EQ(edge.edge->deliveries().size(), 2u);
  EXPECT_EQ(OutcomeOf(call_id), "AGENT_NOT_CONNECTED NOT_SENT");
}

TEST_F(DispatcherTest, NotHereWithTheSameLeaseOrNoneIsNotConnected) {
  LinkedEdge edge = LinkWithAgent("edge_a", 1);
  registry_.SetLease(kUser, "edge_a", 1);
  const uint64_t same = BeginDelivered(edge);
  Refuse(edge, same, R::NOT_HERE, E::NOT_SENT);
  EXPECT_EQ(OutcomeOf(same), "AGENT_NOT_CONNECTED NOT_SENT");

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

// --- lost sessions and stray answers ---------------------------------------------------------------------------------

TEST_F(DispatcherTest, SentCallOfALostSessionWaitsForItsAnswerAndIsThenLost) {
  const LinkedEdge edge = LinkWithAgent();
  registry_.SetLease(kUser, "edge_a", 2);
  const uint64_t call_id = BeginLost(edge);
  ExpectAfter(options_.lost_answer_wait, call_id, "AGENT_LOST SENT");
  EXPECT_EQ(edge.edge->deliveries().size(), 1u);
  EXPECT_EQ(edge.edge->cancels().size(), 0u);
}

TEST_F(DispatcherTest, SentCallOfALostSessionIsLostAtItsDeadlineIfThatComesFirst) {
  const LinkedEdge edge = LinkWithAgent();
  const uint64_t call_id = BeginLost(edge, options_.lost_answer_wait - milliseconds(500));
  ExpectAfter(options_.lost_answer_wait - milliseconds(500), call_id, "AGENT_LOST SENT");
}

TEST_F(DispatcherTest, StrayAnswerSettlesALostCall) {
  const LinkedEdge edge = LinkWithAgent();
  const LinkedEdge other = Link("edge_b");
  const uint64_t call_id = BeginLost(edge);
  Advance(options_.lost_answer_wait - kTick);
  Stray(other, kUser, RequestIdOf(call_id));
  EXPECT_EQ(OutcomeOf(call_id), "success \"stray\"");
  EXPECT_EQ(dispatcher_.counters().strays_matched.value(), 1u);
  Stray(other, kUser, RequestIdOf(call_id));
  EXPECT_EQ(dispatcher_.counters().strays_dropped.value(), 1u);
}

TEST_F(DispatcherTest, StrayAnswerSettlesADeliveredCallWhoseRefusalIsStillOnItsWay) {
  const LinkedEdge edge = LinkWithAgent();
  const LinkedEdge other = Link("edge_b");
  const uint64_t call_id = BeginDelivered(edge);
  Stray(other, kUser, RequestIdOf(call_id));
  EXPECT_EQ(OutcomeOf(call_id), "success \"stray\"");
  Refuse(edge, call_id, R::SESSION_LOST, E::SENT);
  EXPECT_EQ(OutcomeOf(call_id), "success \"stray\"");
}

TEST_F(DispatcherTest, StrayAnswerNeverSettlesACallThatIsOnlyLooking) {
  const LinkedEdge edge = Link();
  const uint64_t call_id = BeginLooking();
  Stray(edge, kUser, RequestIdOf(call_id));
  EXPECT_EQ(OutcomeOf(call_id), "open");
  EXPECT_EQ(dispatcher_.counters().strays_dropped.value(), 1u);
}

TEST_F(DispatcherTest, StrayAnswerOfAnotherUserOrRequestIsDropped) {
  const LinkedEdge edge = LinkWithAgent();
  const uint64_t call_id = BeginLost(edge);
  Stray(edge, "user_2", RequestIdOf(call_id));
  Stray(edge, kUser, "req_unknown");
  EXPECT_EQ(OutcomeOf(call_id), "open");
  EXPECT_EQ(dispatcher_.counters().strays_dropped.value(), 2u);
  EXPECT_EQ(dispatcher_.counters().strays_matched.value(), 0u);
}

TEST_F(DispatcherTest, LostCallIsNotSettledByItsOldLink) {
  const LinkedEdge edge = LinkWithAgent();
  const uint64_t call_id = BeginLost(edge);
  Refuse(edge, call_id, R::TIMED_OUT, E::SENT);
  EXPECT_EQ(OutcomeOf(call_id), "open") << "that edge has given its one word on this call";
}

// --- links -----------------------------------------------------------------------------------------------------------

TEST_F(DispatcherTest, LinkThatRefusesAFrameIsLookedUpAgain) {
  const LinkedEdge a = LinkWithAgent("edge_a", 1);
  const LinkedEdge b = Link("edge_b");
  a.edge->Break();
  registry_.SetLease(kUser, "edge_a", 1);
  EXPECT_EQ(OutcomeOf(Begin()), "EDGE_UNAVAILABLE NOT_SENT");
  registry_.SetLease(kUser, "edge_b", 2);
  const uint64_t call_id = Begin();
  EXPECT_EQ(OutcomeOf(call_id), "open");
  ASSERT_EQ(b.edge->deliveries().size(), 1u);
  Answer(b, call_id);
  EXPECT_EQ(OutcomeOf(call_id), "success 42");
}

TEST_F(DispatcherTest, LinkThatRefusesEverythingIsTriedNoMoreOftenThanTheLimit) {
  const LinkedEdge edge = LinkWithAgent("edge_a", 1);
  edge.edge->Break();
  uint64_t epoch = 1;
  registry_.SetJudge([&](const std::string&) { return std::optional<Lease>(Lease{"edge_a", ++epoch}); });
  EXPECT_EQ(OutcomeOf(Begin()), "EDGE_UNAVAILABLE NOT_SENT");
  EXPECT_EQ(edge.edge->refused(), options_.delivery_attempts_max);
}

TEST_F(DispatcherTest, FrameRefusedByALinkThatIsDownAlreadyDidNotLeave) {
  const LinkedEdge a = LinkWithAgent("edge_a", 1);
  const LinkedEdge b = Link("edge_b");
  registry_.SetLease(kUser, "edge_b", 2);
  // The link breaks between the decision to deliver and the frame.
  a.edge->SetJudge([&](const v1::ControlFrame&) {
    dispatcher_.LinkDown(a.number, {});
    return false;
  });
  const uint64_t call_id = Begin();
  ASSERT_EQ(b.edge->deliveries().size(), 1u);
  Answer(b, call_id);
  EXPECT_EQ(OutcomeOf(call_id), "success 42");
}

TEST_F(DispatcherTest, LinkDownLooksAgainForUnsentCallsAndWaitsForTheOthers) {
  const LinkedEdge a = LinkWithAgent("edge_a", 1);
  const LinkedEdge b = Link("edge_b");
  registry_.SetLease(kUser, "edge_b", 2);
  const uint64_t sent = BeginDelivered(a);
  const uint64_t unsent = BeginDelivered(a);
  Connect(b, "user_2", 1);
  const uint64_t elsewhere = Begin("user_2");
  dispatcher_.LinkDown(a.number, {unsent, elsewhere, 987654});
  EXPECT_EQ(OutcomeOf(sent), "open");
  ASSERT_EQ(b.edge->deliveries().size(), 2u);
  EXPECT_EQ(b.edge->deliveries()[1].call_id(), unsent);
  Answer(b, unsent);
  EXPECT_EQ(OutcomeOf(unsent), "success 42");
  ExpectAfter(options_.lost_answer_wait, sent, "AGENT_LOST SENT");
  Answer(b, elsewhere);
  EXPECT_EQ(OutcomeOf(elsewhere), "success 42");
}

TEST_F(DispatcherTest, UnsentCallOfAnEdgeThatIsGoneIsEdgeUnavailable) {
  const LinkedEdge edge = LinkWithAgent("edge_a", 1);
  registry_.SetLease(kUser, "edge_a", 1);  // The registry does not know yet.
  const uint64_t call_id = BeginDelivered(edge);
  dispatcher_.LinkDown(edge.number, {call_id});
  EXPECT_EQ(OutcomeOf(call_id), "EDGE_UNAVAILABLE NOT_SENT");
}

TEST_F(DispatcherTest, UnsentCallThatFindsItsOldLeaseAgainIsEdgeUnavailable) {
  LinkedEdge edge = LinkWithAgent("edge_a", 1);
  registry_.SetLease(kUser, "edge_a", 1);
  const uint64_t call_id = BeginDelivered(edge);
  registry_.Hold();
  dispatcher_.LinkDown(edge.number, {call_id});
  edge = Link();
  registry_.AnswerNext();
  EXPECT_EQ(OutcomeOf(call_id), "EDGE_UNAVAILABLE NOT_SENT");
}

TEST_F(DispatcherTest, AnswerOfACallLostWithItsLinkComesThroughTheNextLink) {
  LinkedEdge edge = LinkWithAgent();
  const uint64_t call_id = BeginDelivered(edge);
  dispatcher_.LinkDown(edge.number, {});
  edge = Link();
  Answer(edge, call_id, "\"the number means nothing on another link\"");
  EXPECT_EQ(OutcomeOf(call_id), "open");
  Stray(edge, kUser, RequestIdOf(call_id));
  EXPECT_EQ(OutcomeOf(call_id), "success \"stray\"");
}

TEST_F(DispatcherTest, CallThatIsLookingSurvivesTheEndOfALink) {
  const LinkedEdge a = Link("edge_a");
  const LinkedEdge b = Link("edge_b");
  const uint64_t call_id = BeginLooking();
  dispatcher_.LinkDown(a.number, {call_id});
  EXPECT_EQ(OutcomeOf(call_id), "open");
  EXPECT_EQ(registry_.waiting(), 1u);
  registry_.SetLease(kUser, "edge_b", 1);
  registry_.AnswerNext();
  Answer(b, call_id);
  EXPECT_EQ(OutcomeOf(call_id), "success 42");
}

TEST_F(DispatcherTest, LinkThatIsNotCurrentChangesNothing) {
  const LinkedEdge old = LinkWithAgent();
  dispatcher_.LinkDown(old.number, {});
  EXPECT_EQ(dispatcher_.links(), 0u);
  const LinkedEdge edge = LinkWithAgent("edge_a", 2);
  EXPECT_EQ(dispatcher_.links(), 1u);
  EXPECT_NE(edge.number, old.number);
  const uint64_t call_id = BeginDelivered(edge);
  Answer(old, call_id);
  Refuse(old, call_id, R::TIMED_OUT, E::SENT);
  Connect(old, "user_2", 1);
  dispatcher_.LinkDown(old.number, {call_id});
  dispatcher_.LinkDown(0, {call_id});
  EXPECT_EQ(OutcomeOf(call_id), "open");
  EXPECT_EQ(directory_.Find("user_2"), std::nullopt);
  EXPECT_TRUE(directory_.Find(kUser));
  EXPECT_EQ(dispatcher_.links(), 1u);
}

TEST_F(DispatcherTest, LinkUpReplacesTheEdgesEarlierLink) {
  const LinkedEdge old = LinkWithAgent();
  const uint64_t lost = BeginDelivered(old);
  const LinkedEdge edge = Link();
  EXPECT_EQ(dispatcher_.links(), 1u);
  registry_.SetLease(kUser, "edge_a", 1);
  const uint64_t call_id = Begin();
  EXPECT_EQ(old.edge->deliveries().size(), 1u);
  ASSERT_EQ(edge.edge->deliveries().size(), 1u);
  Answer(edge, call_id);
  EXPECT_EQ(OutcomeOf(call_id), "success 42");
  ExpectAfter(options_.lost_answer_wait, lost, "AGENT_LOST SENT");
}

TEST_F(DispatcherTest, SessionEventsFeedTheDirectoryUntilTheirLinkIsDown) {
  const LinkedEdge a = LinkWithAgent("edge_a", 3);
  const LinkedEdge b = Link("edge_b");
  Connect(b, "user_2", 4);
  ASSERT_TRUE(directory_.Find(kUser));
  EXPECT_EQ(directory_.Find(kUser)->edge_id, "edge_a");
  EXPECT_EQ(directory_.Find(kUser)->epoch, 3u);
  dispatcher_.LinkDown(a.number, {});
  EXPECT_EQ(directory_.Find(kUser), std::nullopt);
  EXPECT_TRUE(directory_.Find("user_2"));
}

TEST_F(DispatcherTest, NewLinkForgetsTheSessionsThatItsSnapshotDoesNotName) {
  google::protobuf::RepeatedPtrField<v1::SessionEvent> events;
  for (const char* user_id : {"user_1", "user_2"}) {
    v1::SessionEvent* event = events.Add();
    event->set_user_id(user_id);
    event->set_connected(true);
    event->set_epoch(1);
  }
  directory_.Apply("edge_a", events);
  const LinkedEdge edge = Link("edge_a");
  Connect(edge, "user_2", 1);
  v1::EdgeFrame frame;
  frame.add_sessions()->set_snapshot_complete(true);
  dispatcher_.Receive(edge.number, std::move(frame));
  EXPECT_EQ(directory_.Find("user_1"), std::nullopt);
  EXPECT_TRUE(directory_.Find("user_2"));
}

TEST_F(DispatcherTest, SessionsOfAFrameCountBeforeItsRefusals) {
  const LinkedEdge edge = LinkWithAgent("edge_a", 1);
  registry_.SetLease(kUser, "edge_a", 2);
  const uint64_t call_id = BeginDelivered(edge);
  v1::EdgeFrame frame;
  frame.add_sessions()->set_user_id(kUser);
  frame.mutable_sessions(0)->set_epoch(2);
  frame.mutable_sessions(0)->set_connected(true);
  frame.add_refusals()->set_call_id(call_id);
  frame.mutable_refusals(0)->set_cause(R::NOT_HERE);
  frame.mutable_refusals(0)->set_delivery(E::NOT_SENT);
  dispatcher_.Receive(edge.number, std::move(frame));
  EXPECT_EQ(edge.edge->deliveries().size(), 2u);
  ASSERT_TRUE(directory_.Find(kUser));
  EXPECT_EQ(directory_.Find(kUser)->epoch, 2u);
}

// --- deadlines -------------------------------------------------------------------------------------------------------

TEST_F(DispatcherTest, EdgeThatIsSilentPastTheDeadlineCountsAsHavingSent) {
  const LinkedEdge edge = LinkWithAgent();
  const uint64_t call_id = BeginDelivered(edge);
  Advance(kTimeout);
  EXPECT_EQ(OutcomeOf(call_id), "open") << "the edge's word on it may be on its way";
  ExpectAfter(options_.edge_silence_max, call_id, "CALL_TIMEOUT SENT");
  EXPECT_EQ(edge.edge->cancels(), std::vector<uint64_t>{call_id}) << "the edge need not wait for it either";
  Answer(edge, call_id);
  Refuse(edge, call_id, R::TIMED_OUT, E::NOT_SENT);
  EXPECT_EQ(OutcomeOf(call_id), "CALL_TIMEOUT SENT");
}

TEST_F(DispatcherTest, EdgesWordOnTheDeadlineCountsWithinTheSilenceLimit) {
  const LinkedEdge edge = LinkWithAgent();
  const uint64_t not_sent = BeginDelivered(edge);
  const uint64_t answered = BeginDelivered(edge);
  Advance(kTimeout + options_.edge_silence_max - kTick);
  Refuse(edge, not_sent, R::TIMED_OUT, E::NOT_SENT);
  Answer(edge, answered);
  EXPECT_EQ(OutcomeOf(not_sent), "CALL_TIMEOUT NOT_SENT");
  EXPECT_EQ(OutcomeOf(answered), "success 42");
}

TEST_F(DispatcherTest, CallThatIsLookingAgainEndsAtItsDeadlineAsNotSent) {
  const LinkedEdge edge = LinkWithAgent();
  const uint64_t call_id = BeginDelivered(edge);
  Advance(seconds(4));
  registry_.Hold();
  Refuse(edge, call_id, R::NOT_HERE, E::NOT_SENT);
  ExpectAfter(kTimeout - seconds(4), call_id, "CALL_TIMEOUT NOT_SENT");
}

TEST_F(DispatcherTest, NotHereAfterTheDeadlineIsATimeOut) {
  const LinkedEdge edge = LinkWithAgent();
  registry_.SetLease(kUser, "edge_a", 2);
  const uint64_t call_id = BeginDelivered(edge);
  Advance(kTimeout);
  Refuse(edge, call_id, R::NOT_HERE, E::NOT_SENT);
  EXPECT_EQ(OutcomeOf(call_id), "CALL_TIMEOUT NOT_SENT");
  EXPECT_EQ(edge.edge->deliveries().size(), 1u);
}

TEST_F(DispatcherTest, AnsweredCallsLeaveNoTimerBehind) {
  const LinkedEdge edge = LinkWithAgent();
  for (int i = 0; i < 100; ++i) Answer(edge, BeginDelivered(edge));
  for (int i = 0; i < 100; ++i) Advance(seconds(1));
  EXPECT_EQ(sink_->settled(), 100u);
  EXPECT_EQ(edge.edge->cancels().size(), 0u);
}

// --- cancel ----------------------------------------------------------------------------------------------------------

TEST_F(DispatcherTest, CancelOfACallThatIsLookingIsNotSent) {
  const LinkedEdge edge = Link();
  const uint64_t call_id = BeginLooking();
  dispatcher_.Cancel({call_id});
  EXPECT_EQ(OutcomeOf(call_id), "CALLER_CANCELLED NOT_SENT");
  registry_.SetLease(kUser, "edge_a", 1);
  registry_.AnswerNext();
  EXPECT_EQ(edge.edge->frames().size(), 0u);
}

TEST_F(DispatcherTest, CancelOfADeliveredCallWaitsForTheEdgesWord) {
  const LinkedEdge edge = LinkWithAgent();
  const uint64_t not_sent = BeginDelivered(edge);
  const uint64_t sent = BeginDelivered(edge);
  dispatcher_.Cancel({not_sent, sent});
  EXPECT_EQ(edge.edge->cancels(), (std::vector<uint64_t>{not_sent, sent}));
  EXPECT_EQ(edge.edge->frames().size(), 3u) << "cancels share a frame";
  EXPECT_EQ(OutcomeOf(not_sent), "open");
  Refuse(edge, not_sent, R::CANCELLED, E::NOT_SENT);
  Refuse(edge, sent, R::CANCELLED, E::SENT);
  EXPECT_EQ(OutcomeOf(not_sent), "CALLER_CANCELLED NOT_SENT");
  EXPECT_EQ(OutcomeOf(sent), "CALLER_CANCELLED SENT");
}

TEST_F(DispatcherTest, AnswerThatComesBeforeTheCancelTakesEffectCounts) {
  const LinkedEdge edge = LinkWithAgent();
  const uint64_t call_id = BeginDelivered(edge);
  dispatcher_.Cancel({call_id});
  Answer(edge, call_id);
  EXPECT_EQ(OutcomeOf(call_id), "success 42");
  Advance(kTimeout);
}

TEST_F(DispatcherTest, CancelThatTheEdgeDoesNotAnswerIsSent) {
  const LinkedEdge edge = LinkWithAgent();
  const uint64_t call_id = BeginDelivered(edge);
  dispatcher_.Cancel({call_id});
  ExpectAfter(options_.cancel_wait_max, call_id, "CALLER_CANCELLED SENT");
  EXPECT_EQ(edge.edge->cancels().size(), 1u) << "the edge was told once";
}

TEST_F(DispatcherTest, CancelOfALostCallIsSent) {
  const LinkedEdge edge = LinkWithAgent();
  const uint64_t call_id = BeginLost(edge);
  dispatcher_.Cancel({call_id});
  EXPECT_EQ(OutcomeOf(call_id), "CALLER_CANCELLED SENT");
  EXPECT_EQ(edge.edge->cancels().size(), 0u);
}

TEST_F(DispatcherTest, CancelOfASettledOrUnknownCallChangesNothing) {
  const LinkedEdge edge = LinkWithAgent();
  const uint64_t call_id = BeginDelivered(edge);
  Answer(edge, call_id);
  dispatcher_.Cancel({call_id, 987654});
  dispatcher_.Cancel({});
  EXPECT_EQ(OutcomeOf(call_id), "success 42");
  EXPECT_EQ(edge.edge->cancels().size(), 0u);
}

TEST_F(DispatcherTest, SecondCancelNeitherRepeatsNorProlongsTheFirst) {
  const LinkedEdge edge = LinkWithAgent();
  const uint64_t call_id = BeginDelivered(edge);
  dispatcher_.Cancel({call_id, call_id});
  Advance(options_.cancel_wait_max - kTick);
  dispatcher_.Cancel({call_id});
  Advance(kTick);
  EXPECT_EQ(OutcomeOf(call_id), "CALLER_CANCELLED SENT");
  EXPECT_EQ(edge.edge->cancels().size(), 1u);
}

TEST_F(DispatcherTest, CancelledCallIsNotDeliveredAgain) {
  const LinkedEdge a = LinkWithAgent("edge_a", 1);
  const LinkedEdge b = Link("edge_b");
  registry_.SetLease(kUser, "edge_b", 2);
  for (const R::Cause cause : {R::NOT_HERE, R::EDGE_UNAVAILABLE, R::SESSION_LOST}) {
    Connect(a, kUser, 1);
    const uint64_t call_id = BeginDelivered(a);
    dispatcher_.Cancel({call_id});
    Refuse(a, call_id, cause, E::NOT_SENT);
    EXPECT_EQ(OutcomeOf(call_id), "CALLER_CANCELLED NOT_SENT") << R::Cause_Name(cause);
  }
  EXPECT_EQ(b.edge->deliveries().size(), 0u);
  EXPECT_EQ(registry_.lookups(kUser), 0);
}

TEST_F(DispatcherTest, CancelledCallOfALostSessionIsNotWaitedFor) {
  const LinkedEdge edge = LinkWithAgent();
  const uint64_t call_id = BeginDelivered(edge);
  dispatcher_.Cancel({call_id});
  Refuse(edge, call_id, R::SESSION_LOST, E::SENT);
  EXPECT_EQ(OutcomeOf(call_id), "CALLER_CANCELLED SENT");
}

TEST_F(DispatcherTest, CancelledCallWhoseRefusalDoesNotSayWhetherItLeftCountsAsSent) {
  const LinkedEdge edge = LinkWithAgent();
  const uint64_t call_id = BeginDelivered(edge);
  dispatcher_.Cancel({call_id});
  Refuse(edge, call_id, R::SESSION_LOST, E::DELIVERY_UNSPECIFIED);
  EXPECT_EQ(OutcomeOf(call_id), "CALLER_CANCELLED SENT");
}

TEST_F(DispatcherTest, CancelledCallsOfABrokenLinkSayWhetherTheyLeft) {
  const LinkedEdge edge = LinkWithAgent();
  const uint64_t sent = BeginDelivered(edge);
  const uint64_t unsent = BeginDelivered(edge);
  dispatcher_.Cancel({sent, unsent});
  dispatcher_.LinkDown(edge.number, {unsent});
  EXPECT_EQ(OutcomeOf(sent), "CALLER_CANCELLED SENT");
  EXPECT_EQ(OutcomeOf(unsent), "CALLER_CANCELLED NOT_SENT");
}

TEST_F(DispatcherTest, CancelRefusedByTheLinkWaitsForTheLinksEnd) {
  const LinkedEdge edge = LinkWithAgent();
  const uint64_t call_id = BeginDelivered(edge);
  edge.edge->Break();
  dispatcher_.Cancel({call_id});
  EXPECT_EQ(OutcomeOf(call_id), "open");
  dispatcher_.LinkDown(edge.number, {call_id});
  EXPECT_EQ(OutcomeOf(call_id), "CALLER_CANCELLED NOT_SENT");
}

// dispatch.proto: the tool's answer if it came first, else CALLER_CANCELLED with what is known of its delivery.
TEST_F(DispatcherTest, CancelledCallWithoutAnAnswerEndsAsCancelledWhateverTheEdgeSays) {
  const std::pair<R::Cause, Delivery> kRefusals[] = {
      {R::NOT_HERE, E::NOT_SENT},     {R::EDGE_UNAVAILABLE, E::NOT_SENT},
      {R::AGENT_BUSY, E::NOT_SENT},   {R::TIMED_OUT, E::NOT_SENT},
      {R::TIMED_OUT, E::SENT},        {R::CANCELLED, E::NOT_SENT},
      {R::CANCELLED, E::SENT},        {R::DUPLICATE_REQUEST, E::NOT_SENT},
      {R::SESSION_LOST, E::NOT_SENT}, {R::SESSION_LOST, E::SENT},
      {R::ANSWER_LOST, E::SENT},
  };
  const LinkedEdge edge = LinkWithAgent();
  for (const auto& [cause, delivery] : kRefusals) {
    Connect(edge, kUser, 1);
    const uint64_t call_id = BeginDelivered(edge);
    dispatcher_.Cancel({call_id});
    Refuse(edge, call_id, cause, delivery);
    EXPECT_EQ(OutcomeOf(call_id), "CALLER_CANCELLED " + E::Delivery_Name(delivery)) << R::Cause_Name(cause);
  }
}

TEST_F(DispatcherTest, CancelledCallEndsAsCancelledAlsoWhenItsAttemptsAreUsedUp) {
  const LinkedEdge edge = LinkWithAgent("edge_a", 1);
  uint64_t epoch = 1;
  registry_.SetJudge([&](const std::string&) { return std::optional<Lease>(Lease{"edge_a", ++epoch}); });
  const uint64_t call_id = BeginDelivered(edge);
  for (int i = 1; i < options_.delivery_attempts_max; ++i) Refuse(edge, call_id, R::NOT_HERE, E::NOT_SENT);
  dispatcher_.Cancel({call_id});
  Refuse(edge, call_id, R::NOT_HERE, E::NOT_SENT);
  EXPECT_EQ(OutcomeOf(call_id), "CALLER_CANCELLED NOT_SENT");
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
  EXPECT_EQ(dispatcher_.counters().failed[E::INVALID_REQUEST].value(), 1u);
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

// --- everything at once ----------------------------------------------------------------------------------------------

// Random events in a random order. The edges tell the truth about what left for an agent, and write it down: nothing
// that left may be delivered again, and nothing that is reported NOT_SENT may ever have left.
class DispatcherStormTest : public DispatcherTest {
 protected:
  static constexpr int kEdges = 3;
  static constexpr int kUsers = 4;

  // A delivery, from the moment that control hands it to a link until the edge is rid of it.
  struct Held {
    v1::Deliver deliver;
    bool arrived = false;  // Else it waits in this process.
    bool left = false;     // The agent has it.
  };
  struct StormEdge {
    std::string id;
    LinkedEdge link;  // No number: down.
    bool full = false;
    std::map<uint64_t, Held> held;
  };

  int Random(int below) { return static_cast<int>(random_() % static_cast<unsigned>(below)); }
  bool Chance(int percent) { return Random(100) < percent; }
  std::string RandomUser() { return "user_" + std::to_string(Random(kUsers)); }
  StormEdge& RandomEdge() { return edges_[Random(kEdges)]; }
  // A delivery at that edge that `fits`.
  Held* RandomHeld(StormEdge* edge, const std::function<bool(const Held&)>& fits) {
    std::vector<Held*> fitting;
    for (auto& [call_id, held] : edge->held) {
      if (fits(held)) fitting.push_back(&held);
    }
    return fitting.empty() ? nullptr : fitting[Random(static_cast<int>(fitting.size()))];
  }

  void SetUpStorm(unsigned seed) {
    random_.seed(seed);
    for (int i = 0; i < kEdges; ++i) edges_[i].id = "edge_" + std::to_string(i);
    registry_.SetJudge([this](const std::string&) -> ScriptedRegistry::Answer {
      if (Chance(5)) return absl::UnavailableError("away");
      if (Chance(10)) return std::optional<Lease>();
      return std::optional<Lease>(Lease{RandomEdge().id, NextEpoch()});
    });
  }
  uint64_t NextEpoch() { return Chance(80) ? ++epoch_ : epoch_; }

  bool Take(StormEdge* edge, const v1::ControlFrame& frame) {
    if (edge->link.number == 0 || edge->full) return false;
    for (const v1::Deliver& deliver : frame.deliveries()) {
      EXPECT_EQ(left_.count(deliver.call_id()), 0u) << "delivered again although it left";
      EXPECT_EQ(outstanding_[deliver.call_id()]++, 0) << "delivered while another edge may have it";
      EXPECT_GT(deliver.timeout_us(), -1);
      edge->held[deliver.call_id()].deliver = deliver;
    }
    return true;
  }

  // --- events ---
  void LinkUp(StormEdge* edge) {
    if (edge->link.number != 0) return;
    edge->link = LinkedEdge();
    edge->full = false;
    edge->link.edge->SetJudge([this, edge](const v1::ControlFrame& frame) { return Take(edge, frame); });
    edge->link.number = dispatcher_.LinkUp(edge->id, edge->link.edge);
    if (Chance(70)) Connect(edge->link, RandomUser(), NextEpoch());
  }
  void LinkDown(StormEdge* edge) {
    if (edge->link.number == 0) return;
    std::vector<uint64_t> unsent;
    for (auto it = edge->held.begin(); it != edge->held.end();) {
      if (!it->second.arrived && Chance(70)) {
        unsent.push_back(it->first);
        --outstanding_[it->first];
      } else if (it->second.left || Chance(50)) {
        // The edge goes on without the link: the agent may get the call and answer whoever listens then.
        left_.insert(it->first);
        strays_.push_back(it->second.deliver);
      }
      it = edge->held.erase(it);
    }
    const uint64_t number = std::exchange(edge->link.number, 0);
    dispatcher_.LinkDown(number, unsent);
  }
  void BeginSome() {
    std::vector<Call> calls;
    for (int i = Random(4); i >= 0; --i) {
      const bool same = !ids_.empty() && Chance(10);
      const auto [user_id, request_id] =
          same ? ids_[Random(static_cast<int>(ids_.size()))] : std::pair<std::string, std::string>(RandomUser(), "");
      calls.push_back(MakeCall(user_id, request_id, milliseconds(Random(3000))));
      ids_.emplace_back(user_id, calls.back().request_id);
      call_ids_.push_back(calls.back().call_id);
    }
    dispatcher_.Begin(std::move(calls));
  }
  void CancelSome() {
    if (call_ids_.empty()) return;
    std::vector<uint64_t> cancels;
    for (int i = Random(3); i >= 0; --i) cancels.push_back(call_ids_[Random(static_cast<int>(call_ids_.size()))]);
    dispatcher_.Cancel(cancels);
  }
  void Finish(StormEdge* edge, Held* held, R::Cause cause) {
    const uint64_t call_id = held->deliver.call_id();
    const Delivery delivery = held->left ? E::SENT : E::NOT_SENT;
    if (held->left && cause == R::SESSION_LOST) strays_.push_back(held->deliver);
    if (!held->left) --outstanding_[call_id];
    edge->held.erase(call_id);
    Refuse(edge->link, call_id, cause, delivery);
  }
  void EdgeActs(StormEdge* edge) {
    if (edge->link.number == 0) return;
    const auto is_new = [](const Held& held) { return !held.arrived; };
    const auto waits = [](const Held& held) { return held.arrived && !held.left; };
    const auto left = [](const Held& held) { return held.left; };
    const auto here = [](const Held& held) { return held.arrived; };
    switch (Random(7)) {
      case 0:
      case 1:
        if (Held* held = RandomHeld(edge, is_new)) {
          held->arrived = true;
          const R::Cause causes[] = {R::NOT_HERE, R::EDGE_UNAVAILABLE, R::AGENT_BUSY, R::DUPLICATE_REQUEST};
          if (Chance(40)) Finish(edge, held, causes[Random(4)]);
        }
        return;
      case 2:
      case 3:
        if (Held* held = RandomHeld(edge, waits)) {
          held->left = true;
          left_.insert(held->deliver.call_id());
        }
        return;
      case 4:
        if (Held* held = RandomHeld(edge, left)) {
          const v1::Deliver deliver = held->deliver;
          edge->held.erase(deliver.call_id());
          AnswerTo(*edge, deliver);
          if (Chance(20)) AnswerTo(*edge, deliver);
          if (Chance(20)) strays_.push_back(deliver);
        }
        return;
      case 5:
        if (Held* held = RandomHeld(edge, here)) {
          const R::Cause causes[] = {R::TIMED_OUT, R::CANCELLED, R::SESSION_LOST, R::SESSION_LOST};
          Finish(edge, held, held->left && Chance(20) ? R::ANSWER_LOST : causes[Random(4)]);
        }
        return;
      case 6:
        edge->full = Chance(30);
        return;
    }
  }
  void AnswerTo(const StormEdge& edge, const v1::Deliver& deliver) {
    Answer(edge.link, deliver.call_id(), "\"" + deliver.user_id() + " " + deliver.request_id() + "\"");
  }
  void SendStray(StormEdge* edge) {
    if (strays_.empty() || edge->link.number == 0) return;
    const v1::Deliver& deliver = strays_[Random(static_cast<int>(strays_.size()))];
    v1::EdgeFrame frame;
    v1::StrayAnswer* stray = frame.add_strays();
    stray->set_user_id(deliver.user_id());
    stray->set_request_id(deliver.request_id());
    stray->mutable_answer()->set_success(true);
    stray->mutable_answer()->set_result_json("\"" + deliver.user_id() + " " + deliver.request_id() + "\"");
    dispatcher_.Receive(edge->link.number, std::move(frame));
  }
  void SessionEvent(StormEdge* edge) {
    if (edge->link.number == 0) return;
    v1::EdgeFrame frame;
    v1::SessionEvent* event = frame.add_sessions();
    event->set_user_id(RandomUser());
    event->set_epoch(NextEpoch());
    event->set_connected(Chance(70));
    dispatcher_.Receive(edge->link.number, std::move(frame));
  }
  void Step() {
    const int what = Random(100);
    if (what < 20) return BeginSome();
    if (what < 65) return EdgeActs(&RandomEdge());
    if (what < 72) return CancelSome();
    if (what < 78) return Advance(milliseconds(Random(300)));
    if (what < 82) return SendStray(&RandomEdge());
    if (what < 87) return SessionEvent(&RandomEdge());
    if (what < 91) return LinkUp(&RandomEdge());
    if (what < 93) return LinkDown(&RandomEdge());
    if (what < 95) return registry_.Hold();
    if (what < 96) return registry_.LetGo();
    registry_.AnswerNext();
  }

  // What is true of every call at the end, besides what TearDown checks.
  void CheckTruth() {
    for (const auto& [id, call] : begun_) {
      const std::vector<v1::DispatchAnswer> outcomes = sink_->Of(id);
      ASSERT_EQ(outcomes.size(), 1u);
      SCOPED_TRACE(call.tool + ": " + Describe(outcomes[0]));
      if (outcomes[0].has_response()) {
        EXPECT_EQ(outcomes[0].response().result_json(), "\"" + call.user_id + " " + call.request_id + "\"");
      } else if (outcomes[0].failure().detail().delivery() == E::NOT_SENT) {
        EXPECT_EQ(left_.count(call.call_id), 0u) << "reported NOT_SENT, but it left";
        EXPECT_EQ(outstanding_[call.call_id], 0) << "reported NOT_SENT, but an edge may have it";
      }
      ++seen_[Describe(outcomes[0]).substr(0, 7) == "success" ? "success" : Describe(outcomes[0])];
    }
  }

  std::mt19937 random_;
  StormEdge edges_[kEdges];
  uint64_t epoch_ = 0;
  std::vector<uint64_t> call_ids_;
  std::vector<std::pair<std::string, std::string>> ids_;  // User and request ids that were used.
  std::set<uint64_t> left_;                               // Calls that some agent may have got.
  std::map<uint64_t, int> outstanding_;                   // Deliveries of each call that were not taken back.
  std::vector<v1::Deliver> strays_;                       // Answers that may come through another session.
  std::map<std::string, int> seen_;
};

// One seed in one fixture, so that TearDown checks each.
class DispatcherStorm : public DispatcherStormTest, public ::testing::WithParamInterface<unsigned> {};

TEST_P(DispatcherStorm, EveryCallSettlesOnceAndTheTruthIsTold) {
  SCOPED_TRACE(::testing::Message() << "seed " << GetParam());
  SetUpStorm(GetParam());
  for (StormEdge& edge : edges_) LinkUp(&edge);
  for (int step = 0; step < 1500 && !HasFailure(); ++step) Step();
  if (GetParam() % 2 == 0) {
    // Time alone settles everything, whatever the edges and the registry still owe.
    dispatcher_.StopAccepting();
    for (int i = 0; i < 500; ++i) Advance(kTick);
    EXPECT_TRUE(dispatcher_.WaitIdle(Duration::zero()));
  } else {
    dispatcher_.FailAll();
  }
  EXPECT_EQ(dispatcher_.in_flight(), 0u);
  const size_t settled = sink_->settled();
  CheckTruth();
  // Whatever comes now concerns nobody.
  for (int step = 0; step < 100; ++step) {
    EdgeActs(&RandomEdge());
    SendStray(&RandomEdge());
    registry_.AnswerNext();
    Advance(seconds(1));
  }
  EXPECT_EQ(sink_->settled(), settled);
  for (const char* outcome : {"success", "CALL_TIMEOUT NOT_SENT", "CALL_TIMEOUT SENT", "CALLER_CANCELLED NOT_SENT",
                              "AGENT_LOST SENT", "EDGE_UNAVAILABLE NOT_SENT"}) {
    EXPECT_GT(seen_[outcome], 0) << "this storm is too mild: no call ended with " << outcome;
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, DispatcherStorm, ::testing::Range(1u, 31u),
                         [](const auto& info) { return "Seed" + std::to_string(info.param); });

// Callers, edges, the registry and the ticker on threads of their own, as in production.
TEST_F(DispatcherTest, CallsFromManyThreadsSettleOnceEach) {
  constexpr int kCallers = 3;
  constexpr int kCallsEach = 300;
  registry_.SetLease(kUser, "edge_a", 1);
  LinkedEdge edge = LinkWithAgent("edge_a", 1);
  // Answers one call in two, from the thread that sends.
  std::atomic<uint64_t> link_number{edge.number};
  const auto judge = [&](const v1::ControlFrame& frame) {
    for (const v1::Deliver& deliver : frame.deliveries()) {
      if (deliver.call_id() % 2 == 0) Answer(LinkedEdge{nullptr, link_number.load()}, deliver.call_id());
    }
    return true;
  };
  edge.edge->SetJudge(judge);
  std::vector<std::vector<Call>> calls(kCallers);
  for (auto& each : calls) {
    for (int i = 0; i < kCallsEach; ++i) each.push_back(MakeCall(kUser, "", std::chrono::hours(1)));
  }
  std::atomic<bool> done{false};
  std::thread ticker([&] {
    while (!done) {
      Advance(milliseconds(5));
      std::this_thread::yield();
    }
  });
  std::thread links([&] {
    while (!done) {
      LinkedEdge next;
      next.edge->SetJudge(judge);
      next.number = dispatcher_.LinkUp("edge_a", next.edge);
      link_number = next.number;
      Connect(next, kUser, 1);
      std::this_thread::yield();
    }
  });
  std::vector<std::thread> callers;
  for (auto& each : calls) {
    callers.emplace_back([&] {
      for (Call& call : each) {
        const uint64_t call_id = call.call_id;
        Begin(std::move(call));
        if (call_id % 3 == 0) dispatcher_.Cancel({call_id});
        if (call_id % 5 == 0) {
          Refuse(LinkedEdge{nullptr, link_number.load()}, call_id, R::SESSION_LOST, E::NOT_SENT);
        }
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  done = true;
  ticker.join();
  links.join();
  dispatcher_.StopAccepting();
  dispatcher_.FailAll();
  EXPECT_TRUE(dispatcher_.WaitIdle(kForever));
  EXPECT_EQ(sink_->settled(), static_cast<size_t>(kCallers * kCallsEach));
}

}  // namespace
}  // namespace toolwire
