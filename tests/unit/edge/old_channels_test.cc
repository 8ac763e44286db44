#include "edge/old_channels.h"

#include <gtest/gtest.h>

#include <deque>
#include <nlohmann/json.hpp>
#include <set>

#include "tests/fakes/fake_clock.h"
#include "tests/fakes/memory_store.h"

namespace toolwire {
namespace {

using E = v1::CallError;
using Json = nlohmann::json;

// The edge is the test itself: it reads what was delivered and answers with frames.
class OldChannelsTest : public ::testing::Test {
 protected:
  OldChannelsTest() {
    options_.session_wait = std::chrono::milliseconds(200);
    options_.calls_max = 3;
    payload_.payload_bytes_max = 100;
    channels_ = std::make_shared<OldChannels>(
        clock_,
        [this](const std::string& channel, std::string message) {
          if (channel == kStrayAnswersChannel) return told_.push_back(std::move(message));
          published_.emplace_back(channel, Json::parse(message));
        },
        &audit_, options_, payload_);
    channels_->SetEdge([this](v1::ControlFrame&& frame) {
      for (v1::Deliver& deliver : *frame.mutable_deliveries()) delivered_.push_back(std::move(deliver));
    });
  }

  void Command(const std::string& request_id, const std::string& params = R"({"n":1})") {
    channels_->OnCommand(
        "user", R"({"type":"tool_call","requestId":")" + request_id + R"(","tool":"echo","params":)" + params + "}");
  }
  v1::Deliver TakeDelivered() {
    EXPECT_FALSE(delivered_.empty());
    if (delivered_.empty()) return {};
    v1::Deliver deliver = std::move(delivered_.front());
    delivered_.pop_front();
    return deliver;
  }
  void Answer(uint64_t call_id, const std::string& result_json) {
    v1::EdgeFrame frame;
    v1::Answer* answer = frame.add_answers();
    answer->set_call_id(call_id);
    answer->set_success(true);
    answer->set_result_json(result_json);
    answer->set_execution_time_ms(5);
    channels_->Send(std::move(frame));
  }
  void Refuse(uint64_t call_id, v1::Refusal::Cause cause, E::Delivery delivery) {
    v1::EdgeFrame frame;
    v1::Refusal* refusal = frame.add_refusals();
    refusal->set_call_id(call_id);
    refusal->set_cause(cause);
    refusal->set_delivery(delivery);
    channels_->Send(std::move(frame));
  }
  static v1::StrayAnswer StrayOf(const std::string& user_id, const std::string& request_id,
                                 const std::string& result_json) {
    v1::StrayAnswer stray;
    stray.set_user_id(user_id);
    stray.set_request_id(request_id);
    stray.mutable_answer()->set_success(true);
    stray.mutable_answer()->set_result_json(result_json);
    return stray;
  }
  void Stray(const std::string& request_id, const std::string& result_json) {
    v1::EdgeFrame frame;
    *frame.add_strays() = StrayOf("user", request_id, result_json);
    channels_->Send(std::move(frame));
  }
  // Another edge got the answer, and published it.
  void StrayElsewhere(const std::string& request_id, const std::string& result_json) {
    channels_->OnStrayAnswer(StrayOf("user", request_id, result_json).SerializeAsString());
  }
  std::string ResultInRow() { return store_.ListAudit({"user", 1})->front().result_json; }
  void Pass(Duration time) {
    for (Duration passed{}; passed < time; passed += OldChannels::kTick) {
      clock_.Advance(OldChannels::kTick);
      channels_->Tick();
    }
  }
  // What each row says: request id, and "ok" or the error.
  using RowSet = std::multiset<std::pair<std::string, std::string>>;
  RowSet Rows() {
    EXPECT_TRUE(audit_.Flush(std::chrono::seconds(30)));
    RowSet rows;
    const auto listed = store_.ListAudit({"user", 1000});
    for (const AuditRow& row : *listed) rows.emplace(row.request_id, row.success ? "ok" : row.error);
    return rows;
  }

  FakeClock clock_;
  MemoryStore store_;
  AuditLog audit_{store_, AuditLog::Options()};
  OldChannels::Options options_;
  PayloadOptions payload_;
  std::deque<v1::Deliver> delivered_;
  std::vector<std::pair<std::string, Json>> published_;
  std::vector<std::string> told_;  // To all edges.
  std::shared_ptr<OldChannels> channels_;
};

TEST_F(OldChannelsTest, CommandIsDeliveredAndItsAnswerPublishedAndAudited) {
  Command("req_1", R"({"path":"/a"})");
  const v1::Deliver deliver = TakeDelivered();
  EXPECT_EQ(deliver.user_id(), "user");
  EXPECT_EQ(deliver.request_id(), "req_1");
  EXPECT_EQ(deliver.tool(), "echo");
  EXPECT_EQ(deliver.params_json(), R"({"path":"/a"})");
  EXPECT_EQ(deliver.timeout_us(), 60000000);
  Answer(deliver.call_id(), R"({"got":1})");
  ASSERT_EQ(published_.size(), 1u);
  EXPECT_EQ(published_[0].first, "response:req_1");
  EXPECT_EQ(published_[0].second,
            Json::parse(R"({"userId":"user","success":true,"result":{"got":1},"executionTime":5})"));
  EXPECT_EQ(channels_->in_flight(), 0u);
  EXPECT_EQ(Rows(), (RowSet{{"req_1", "ok"}}));
  const AuditRow row = store_.ListAudit({"user", 1})->front();
  EXPECT_EQ(row.params_json, R"({"path":"/a"})");
  EXPECT_EQ(row.result_json, R"({"got":1})");
  EXPECT_EQ(row.tool, "echo");
}

TEST_F(OldChannelsTest, ResponseHasTheFieldsThatTheAgentSentAndNoOthers) {
  const auto published = [this](const std::function<void(v1::Answer*)>& fill) {
    Command("req_1");
    v1::EdgeFrame frame;
    v1::Answer* answer = frame.add_answers();
    answer->set_call_id(TakeDelivered().call_id());
    fill(answer);
    channels_->Send(std::move(frame));
    return published_.back().second;
  };
  EXPECT_EQ(published([](v1::Answer*) {}), Json::parse(R"({"userId":"user","success":false})"));
  EXPECT_EQ(published([](v1::Answer* answer) {
              answer->set_result_json("null");
              answer->set_error_json("null");
              answer->set_execution_time_json("null");
            }),
            Json::parse(R"({"userId":"user","success":false,"result":null,"error":null,"executionTime":null})"));
  EXPECT_EQ(published([](v1::Answer* answer) {
              answer->set_error("\"e\"");
              answer->set_execution_time_ms(13);
              answer->set_execution_time_json("12.5");
            }),
            Json::parse(R"({"userId":"user","success":false,"error":"\"e\"","executionTime":12.5})"));
}

TEST_F(OldChannelsTest, SameCommandTwiceIsDeliveredOnceAndAnsweredOnce) {
  Command("req_1");
  Command("req_1");
  const v1::Deliver deliver = TakeDelivered();
  EXPECT_TRUE(delivered_.empty());
  EXPECT_TRUE(published_.empty());
  Answer(deliver.call_id(), "1");
  EXPECT_EQ(published_.size(), 1u);
  EXPECT_EQ(Rows(), (RowSet{{"req_1", "DUPLICATE_REQUEST"}, {"req_1", "ok"}}));
}

TEST_F(OldChannelsTest, RequestIdOfACallThroughGrpcIsRefusedAloud) {
  Command("req_1");
  Refuse(TakeDelivered().call_id(), v1::Refusal::DUPLICATE_REQUEST, E::NOT_SENT);
  ASSERT_EQ(published_.size(), 1u);
  EXPECT_EQ(published_[0].second["success"], false);
  EXPECT_EQ(Rows(), (RowSet{{"req_1", "DUPLICATE_REQUEST"}}));
}

TEST_F(OldChannelsTest, BadCommandsAreAnsweredWhereSomebodyCanBeTold) {
  channels_->OnCommand("user", "nonsense");
  EXPECT_TRUE(published_.empty());
  Command("req_1", "[]");
  Command("req_2", "\"" + std::string(98, 'x') + "\"");
  Command("at the limit", R"({"a":")" + std::string(92, 'x') + "\"}");
  Command("over it", R"({"a":")" + std::string(93, 'x') + "\"}");
  EXPECT_EQ(delivered_.size(), 1u);
  ASSERT_EQ(published_.size(), 3u);
  EXPECT_EQ(published_[2].first, "response:over it");
  EXPECT_EQ(published_[2].second["success"], false);
  EXPECT_TRUE(published_[2].second["error"].is_string());
  EXPECT_EQ(channels_->counters().bad_commands.value(), 4u);
  EXPECT_EQ(Rows(),
            (RowSet{{"over it", "INVALID_REQUEST"}, {"req_1", "INVALID_REQUEST"}, {"req_2", "INVALID_REQUEST"}}));
}

TEST_F(OldChannelsTest, CallsPastTheLimitAreRefused) {
  for (int i = 0; i < 4; ++i) Command("req_" + std::to_string(i));
  EXPECT_EQ(delivered_.size(), 3u);
  ASSERT_EQ(published_.size(), 1u);
  EXPECT_EQ(published_[0].first, "response:req_3");
  EXPECT_EQ(Rows(), (RowSet{{"req_3", "EDGE_UNAVAILABLE"}}));
  EXPECT_EQ(channels_->counters().calls_full.value(), 1u);
}

TEST_F(OldChannelsTest, CommandWaitsForTheSessionThatIsAboutToOpen) {
  Command("req_1");
  Refuse(TakeDelivered().call_id(), v1::Refusal::NOT_HERE, E::NOT_SENT);
  EXPECT_TRUE(published_.empty());
  Pass(OldChannels::kTick);
  const v1::Deliver again = TakeDelivered();
  Answer(again.call_id(), "1");
  EXPECT_EQ(published_.size(), 1u);
  EXPECT_EQ(Rows(), (RowSet{{"req_1", "ok"}}));
}

TEST_F(OldChannelsTest, WaitingForASessionEnds) {
  Command("req_1");
  for (Duration passed{}; passed <= options_.session_wait; passed += OldChannels::kTick) {
    if (!delivered_.empty()) Refuse(TakeDelivered().call_id(), v1::Refusal::NOT_HERE, E::NOT_SENT);
    Pass(OldChannels::kTick);
  }
  ASSERT_EQ(published_.size(), 1u);
  EXPECT_EQ(published_[0].second["success"], false);
  EXPECT_EQ(channels_->in_flight(), 0u);
  EXPECT_EQ(Rows(), (RowSet{{"req_1", "AGENT_NOT_CONNECTED"}}));
}

TEST_F(OldChannelsTest, LostCallIsAnsweredThroughTheNextSessionOfThisEdge) {
  Command("req_1");
  Refuse(TakeDelivered().call_id(), v1::Refusal::SESSION_LOST, E::SENT);
  Pass(std::chrono::seconds(30));
  EXPECT_TRUE(delivered_.empty()) << "what was sent is never sent again";
  Stray("req_1", "2");
  ASSERT_EQ(published_.size(), 1u);
  EXPECT_EQ(published_[0].second["result"], 2);
  EXPECT_EQ(Rows(), (RowSet{{"req_1", "ok"}}));
}

TEST_F(OldChannelsTest, LostCallIsAnsweredThroughAnotherEdge) {
  Command("req_1");
  Refuse(TakeDelivered().call_id(), v1::Refusal::SESSION_LOST, E::SENT);
  channels_->OnStrayAnswer("nonsense");
  channels_->OnStrayAnswer(StrayOf("somebody else", "req_1", "1").SerializeAsString());
  StrayElsewhere("another", "1");
  EXPECT_EQ(channels_->in_flight(), 1u);
  StrayElsewhere("req_1", R"({"x":3})");
  EXPECT_EQ(channels_->in_flight(), 0u);
  EXPECT_TRUE(published_.empty()) << "the caller has it already";
  EXPECT_EQ(Rows(), (RowSet{{"req_1", "ok"}}));
  EXPECT_EQ(ResultInRow(), R"({"x":3})");
}

TEST_F(OldChannelsTest, AnswerThroughAnotherEdgeMayComeBeforeTheLossOfTheSession) {
  Command("req_1");
  StrayElsewhere("req_1", "3");
  EXPECT_EQ(channels_->in_flight(), 1u) << "the session here may answer yet";
  Refuse(TakeDelivered().call_id(), v1::Refusal::SESSION_LOST, E::SENT);
  EXPECT_EQ(channels_->in_flight(), 0u);
  EXPECT_TRUE(published_.empty()) << "the caller has it already";
  EXPECT_EQ(Rows(), (RowSet{{"req_1", "ok"}}));
  EXPECT_EQ(ResultInRow(), "3");
}

TEST_F(OldChannelsTest, OwnAnswerComesBeforeThatOfAnEarlierCallOfTheSameId) {
  Command("req_1");
  StrayElsewhere("req_1", R"("of the earlier")");
  Answer(TakeDelivered().call_id(), "4");
  ASSERT_EQ(published_.size(), 1u);
  EXPECT_EQ(published_[0].second["result"], 4);
  EXPECT_EQ(Rows(), (RowSet{{"req_1", "ok"}}));
  EXPECT_EQ(ResultInRow(), "4");
}

TEST_F(OldChannelsTest, CallThatWasNotSentIsNotAnsweredThroughAnotherEdge) {
  Command("req_1");
  StrayElsewhere("req_1", R"("of an earlier call")");
  Refuse(TakeDelivered().call_id(), v1::Refusal::NOT_HERE, E::NOT_SENT);
  StrayElsewhere("req_1", R"("of an earlier call")");
  EXPECT_EQ(channels_->in_flight(), 1u);
  Pass(OldChannels::kTick);
  Answer(TakeDelivered().call_id(), "5");
  EXPECT_EQ(Rows(), (RowSet{{"req_1", "ok"}}));
  EXPECT_EQ(ResultInRow(), "5");
}

TEST_F(OldChannelsTest, LostCallFailsAtItsDeadline) {
  Command("req_1");
  Refuse(TakeDelivered().call_id(), v1::Refusal::SESSION_LOST, E::SENT);
  Pass(options_.call_timeout - OldChannels::kTick);
  EXPECT_TRUE(published_.empty());
  Pass(2 * OldChannels::kTick);
  ASSERT_EQ(published_.size(), 1u);
  EXPECT_EQ(published_[0].second["success"], false);
  EXPECT_EQ(Rows(), (RowSet{{"req_1", "AGENT_LOST"}}));
}

TEST_F(OldChannelsTest, AnswersOfOtherCallsArePublishedForWhoeverWaits) {
  Stray("of another edge", "1");
  ASSERT_EQ(published_.size(), 1u);
  EXPECT_EQ(published_[0].first, "response:of another edge");
  EXPECT_EQ(published_[0].second["userId"], "user");
  EXPECT_TRUE(Rows().empty()) << "its edge writes the row";
  ASSERT_EQ(told_.size(), 1u);
  EXPECT_EQ(told_[0], StrayOf("user", "of another edge", "1").SerializeAsString());
  channels_->OnStrayAnswer(told_[0]);  // As Redis brings it back to this edge, too.
  EXPECT_EQ(published_.size(), 1u);
}

TEST_F(OldChannelsTest, EdgesAreToldOfResultsAsLongAsARowKeepsThem) {
  const std::string large = '"' + std::string(AuditLog::Options().json_bytes_max, 'x') + '"';
  Stray("of another edge", large);
  EXPECT_EQ(published_[0].second["result"].get<std::string>().size(), large.size() - 2);
  EXPECT_LT(told_[0].size(), large.size());
}

TEST_F(OldChannelsTest, FailuresOfTheEdgeArePublished) {
  const struct {
    v1::Refusal::Cause cause;
    E::Delivery delivery;
    const char* reason;
  } cases[] = {
      {v1::Refusal::EDGE_UNAVAILABLE, E::NOT_SENT, "EDGE_UNAVAILABLE"},
      {v1::Refusal::AGENT_BUSY, E::NOT_SENT, "AGENT_BUSY"},
      {v1::Refusal::TIMED_OUT, E::SENT, "CALL_TIMEOUT"},
      {v1::Refusal::ANSWER_LOST, E::SENT, "AGENT_LOST"},
  };
  for (const auto& one : cases) {
    Command(one.reason);
    published_.clear();
    Refuse(TakeDelivered().call_id(), one.cause, one.delivery);
    ASSERT_EQ(published_.size(), 1u) << one.reason;
    EXPECT_EQ(published_[0].second["success"], false);
    EXPECT_EQ(Rows().count({one.reason, one.reason}), 1u);
  }
}

TEST_F(OldChannelsTest, StoppingSettlesEveryCall) {
  Command("sent");
  Command("lost");
  Command("waiting");
  TakeDelivered();
  Refuse(TakeDelivered().call_id(), v1::Refusal::SESSION_LOST, E::SENT);
  Refuse(TakeDelivered().call_id(), v1::Refusal::NOT_HERE, E::NOT_SENT);
  channels_->FailAll();
  EXPECT_EQ(channels_->in_flight(), 0u);
  ASSERT_EQ(published_.size(), 1u) << "calls that were sent may still be answered elsewhere";
  EXPECT_EQ(published_[0].first, "response:waiting");
  EXPECT_EQ(Rows(), (RowSet{{"lost", "AGENT_LOST"}, {"sent", "AGENT_LOST"}, {"waiting", "EDGE_UNAVAILABLE"}}));
}

}  // namespace
}  // namespace toolwire
