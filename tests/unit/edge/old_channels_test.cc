#include "edge/old_channels.h"

#include <gtest/gtest.h>

#include <deque>
#include <functional>
#include <map>
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
    MakeChannels();
  }
  void MakeChannels() {
    channels_ = std::make_shared<OldChannels>(
        clock_,
        OldChannels::Redis{[this](const std::string& channel, std::string message) {
                             EXPECT_TRUE(notes_.emplace_back(channel, v1::StrayNote()).second.ParseFromString(message));
                           },
                           [this](const std::string& name, const std::string& channel, std::string message,
                                  const OldChannels::Redis::Published& done) {
                             left_.insert(channels_->in_flight());
                             names_.insert(name);
                             if (is_away_) return done(absl::UnavailableError("away"));
                             published_.emplace_back(channel, Json::parse(message));
                             done(1);
                           },
                           [this](const std::string& key, Duration life, const auto& done) {
                             if (is_away_) return done(absl::UnavailableError("away"));
                             owed_[key] = life;
                             done(absl::OkStatus());
                           },
                           [this](const std::string& key, std::function<void(bool there)> done) {
                             asked_.emplace_back(key, std::move(done));
                           }},
        &audit_, options_, payload_);
    channels_->SetEdge(
        [this](v1::ControlFrame&& frame) {
          for (v1::Deliver& deliver : *frame.mutable_deliveries()) delivered_.push_back(std::move(deliver));
        },
        [this](const std::string& user_id, const std::string& request_id) {
          left_.insert(channels_->in_flight());  // With no lock held.
          return kept_.Take(user_id, request_id);
        });
  }

  void Command(const std::string& request_id, const std::string& params = R"({"n":1})") {
    channels_->OnCommand(
        "user", R"({"type":"tool_call","requestId":")" + request_id + R"(","tool":"echo","params":)" + params + "}",
        clock_.Now() - age_);
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
  void Stray(const std::string& request_id, const std::string& result_json, const std::string& user_id = "user") {
    v1::EdgeFrame frame;
    *frame.add_strays() = StrayOf(user_id, request_id, result_json);
    channels_->Send(std::move(frame));
  }
  // The edge keeps a large one.
  void Offer(const std::string& request_id, const std::string& result_json, const std::string& user_id = "user") {
    v1::EdgeFrame frame;
    v1::StrayOffer* offer = frame.add_stray_offers();
    offer->set_user_id(user_id);
    offer->set_request_id(request_id);
    kept_.Keep(StrayOf(user_id, request_id, result_json), clock_.Now());
    channels_->Send(std::move(frame));
  }
  void Note(v1::StrayNote::Kind kind, v1::StrayAnswer stray, const std::string& from = "other") {
    v1::StrayNote note;
    note.set_kind(kind);
    note.set_from(from);
    *note.mutable_stray() = std::move(stray);
    channels_->OnStrayNote(note.SerializeAsString());
  }
  // Another edge got the answer.
  void StrayElsewhere(const std::string& request_id, const std::string& result_json,
                      const std::string& user_id = "user") {
    Note(v1::StrayNote::ANSWER, StrayOf(user_id, request_id, result_json));
  }
  static v1::StrayAnswer NamesOf(const std::string& request_id) {
    v1::StrayAnswer names = StrayOf("user", request_id, "");
    names.clear_answer();
    return names;
  }
  // Redis says whether the key of the oldest question was there.
  void SayOwed(bool there) {
    ASSERT_FALSE(asked_.empty());
    asked_.front().second(there);
    asked_.pop_front();
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
  Duration age_{};               // Of the next commands.
  bool is_away_ = false;         // Redis.
  std::set<std::string> names_;  // Of what was published, or tried to be.
  std::deque<v1::Deliver> delivered_;
  std::vector<std::pair<std::string, Json>> published_;
  std::vector<std::pair<std::string, v1::StrayNote>> notes_;  // To other edges.
  std::map<std::string, Duration> owed_;
  LateAnswers kept_;
  std::deque<std::pair<std::string, std::function<void(bool there)>>> asked_;
  std::set<size_t> left_;  // Calls that were left whenever something was published.
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

TEST_F(OldChannelsTest, AnswerIsPublishedOnceRedisIsAvailableAgain) {
  Command("req_1");
  is_away_ = true;
  Answer(TakeDelivered().call_id(), "1");
  Pass(std::chrono::seconds(20));
  EXPECT_TRUE(published_.empty());
  EXPECT_EQ(Rows(), (RowSet{{"req_1", "ok"}}));
  is_away_ = false;
  Pass(OwedAnswers::kRetryWait);
  ASSERT_EQ(published_.size(), 1u);
  EXPECT_EQ(published_[0].second["result"], 1);
  EXPECT_EQ(names_.size(), 1u) << "by which Redis knows it again";
  EXPECT_EQ(channels_->owed().counters().lost.value(), 0u);
}

TEST_F(OldChannelsTest, CommandThatNobodyWaitsForAnyMoreIsNotRun) {
  age_ = std::chrono::seconds(59);
  Command("young");
  EXPECT_EQ(TakeDelivered().timeout_us(), 1000000);
  age_ = std::chrono::seconds(60);
  Command("old");
  EXPECT_TRUE(delivered_.empty());
  EXPECT_TRUE(published_.empty());
  EXPECT_EQ(channels_->counters().late_commands.value(), 1u);
  EXPECT_EQ(Rows(), (RowSet{{"old", "CALL_TIMEOUT"}}));
}

TEST_F(OldChannelsTest, ParamsOfCallsInFlightAreBounded) {
  options_.calls_bytes_max = 22;
  MakeChannels();
  Command("first", R"({"n":"4567890"})");
  Command("at the limit", "{\"n\":4}");
  EXPECT_EQ(delivered_.size(), 2u);
  Command("over it", "{}");
  EXPECT_EQ(delivered_.size(), 2u);
  EXPECT_EQ(Rows(), (RowSet{{"over it", "EDGE_UNAVAILABLE"}}));
  EXPECT_EQ(channels_->counters().calls_bytes_full.value(), 1u);
  for (int i = 0; i < 2; ++i) Answer(TakeDelivered().call_id(), "1");
  Command("larger than all", R"({"n":"456789012345678901234567890"})");
  EXPECT_EQ(delivered_.size(), 1u) << "one is always taken";
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
  channels_->OnCommand("user", "nonsense", clock_.Now());
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

TEST_F(OldChannelsTest, CommandThatIsTooDeepOrBrokenBehindItsIdIsAnsweredWithWhatIsWrong) {
  const auto error_of = [this](const std::string& request_id) {
    EXPECT_EQ(published_.back().first, "response:" + request_id);
    EXPECT_EQ(published_.back().second["success"], false);
    return published_.back().second["error"].get<std::string>();
  };
  Command("deep", "{\"a\":" + std::string(512, '[') + std::string(512, ']') + "}");
  EXPECT_EQ(error_of("deep"), "the request is not valid: params are nested too deep");
  Command("broken", R"({"a":NaN})");
  EXPECT_EQ(error_of("broken"), "the request is not valid: params are not valid JSON");
  channels_->OnCommand("user", R"({"type":"tool_call","requestId":"short","tool":)", clock_.Now());
  EXPECT_EQ(error_of("short"), "the request is not valid: not valid JSON");
  EXPECT_TRUE(delivered_.empty());
  EXPECT_EQ(Rows(), (RowSet{{"broken", "INVALID_REQUEST"}, {"deep", "INVALID_REQUEST"}, {"short", "INVALID_REQUEST"}}));
}

TEST_F(OldChannelsTest, NamesOverTheirLimitAreRefusedAtOnce) {
  const std::string limit(256, 'r'), over(257, 'r');
  Command(limit);
  EXPECT_EQ(delivered_.size(), 1u);
  TakeDelivered();
  Command(over);
  ASSERT_EQ(published_.size(), 1u);
  EXPECT_EQ(published_[0].first, "response:" + over) << "that is where it is waited for";
  EXPECT_EQ(published_[0].second["error"], "the request is not valid: requestId is longer than 256 bytes");
  channels_->OnCommand(
      "user", R"({"type":"tool_call","requestId":"req_2","tool":")" + std::string(257, 't') + R"(","params":{}})",
      clock_.Now());
  ASSERT_EQ(published_.size(), 2u);
  EXPECT_EQ(published_[1].second["error"], "the request is not valid: tool is longer than 256 bytes");
  EXPECT_TRUE(delivered_.empty());
  EXPECT_EQ(Rows(), (RowSet{{limit, "INVALID_REQUEST"}, {"req_2", "INVALID_REQUEST"}})) << "cut to what a row can hold";
}

TEST_F(OldChannelsTest, BadCommandDoesNotEndTheWaitForAGoodOneOfItsId) {
  Command("req_1");
  const v1::Deliver deliver = TakeDelivered();
  Command("req_1", "[]");
  EXPECT_TRUE(published_.empty());
  Answer(deliver.call_id(), "1");
  ASSERT_EQ(published_.size(), 1u);
  EXPECT_EQ(published_[0].second["success"], true);
  EXPECT_EQ(Rows(), (RowSet{{"req_1", "INVALID_REQUEST"}, {"req_1", "ok"}}));
}

TEST_F(OldChannelsTest, AnswerThatCannotBeReadIsPublishedAsAFailureAndItsIdIsFree) {
  for (int i = 0; i < 2; ++i) {
    Command("req_1");
    v1::EdgeFrame frame;
    v1::Answer* const answer = frame.add_answers();
    answer->set_call_id(TakeDelivered().call_id());
    answer->set_error("the agent's answer cannot be read: success is not a boolean; the tool may have run");
    answer->set_unreadable("tool_response: success is not a boolean");
    channels_->Send(std::move(frame));
  }
  ASSERT_EQ(published_.size(), 2u);
  EXPECT_EQ(published_[1].second, Json::parse(R"({"userId":"user","success":false,"error":)"
                                              R"("the agent's answer cannot be read: success is not a boolean; )"
                                              R"(the tool may have run"})"));
  EXPECT_EQ(channels_->counters().answered.value(), 0u);
  EXPECT_EQ(channels_->counters().failed.value(), 2u);
  EXPECT_EQ(Rows(), (RowSet{{"req_1", "AGENT_LOST"}, {"req_1", "AGENT_LOST"}}));
}

TEST_F(OldChannelsTest, CommandOfAnAgentThatIsBusyLeavesItsIdFree) {
  for (const E::Delivery delivery : {E::NOT_SENT, E::SENT}) {
    Command("req_1");
    Refuse(TakeDelivered().call_id(), v1::Refusal::AGENT_BUSY, delivery);
  }
  ASSERT_EQ(published_.size(), 2u);
  EXPECT_EQ(published_[1].second["error"], "the agent has too many calls in flight");
  EXPECT_EQ(Rows(), (RowSet{{"req_1", "AGENT_BUSY"}, {"req_1", "AGENT_BUSY"}}));
}

TEST_F(OldChannelsTest, ParamsThatTheAgentDoesNotTakeAreRefusedInItsWords) {
  Command("req_1");
  v1::EdgeFrame frame;
  v1::Refusal* const refusal = frame.add_refusals();
  refusal->set_call_id(TakeDelivered().call_id());
  refusal->set_cause(v1::Refusal::PARAMS_REFUSED);
  refusal->set_delivery(E::NOT_SENT);
  refusal->set_why("params are longer than the 5 bytes that the agent takes");
  channels_->Send(std::move(frame));
  ASSERT_EQ(published_.size(), 1u);
  EXPECT_EQ(published_[0].second["error"],
            "the request is not valid: params are longer than the 5 bytes that the agent takes");
  EXPECT_EQ(Rows(), (RowSet{{"req_1", "INVALID_REQUEST"}}));
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

TEST_F(OldChannelsTest, WaitingCallIsDeliveredWhenItsSessionOpensAndSeldomBefore) {
  options_.session_wait = std::chrono::seconds(2);
  MakeChannels();
  Command("req_1");
  int deliveries = 0;
  const auto pass = [&](Duration time) {
    for (Duration passed{}; passed < time; passed += OldChannels::kTick) {
      for (; !delivered_.empty(); ++deliveries) Refuse(TakeDelivered().call_id(), v1::Refusal::NOT_HERE, E::NOT_SENT);
      Pass(OldChannels::kTick);
    }
  };
  const auto opens = [&](const char* user_id) {
    v1::EdgeFrame frame;
    v1::SessionEvent* const event = frame.add_sessions();
    event->set_user_id(user_id);
    event->set_connected(true);
    channels_->Send(std::move(frame));
  };
  pass(std::chrono::milliseconds(1500));
  EXPECT_LE(deliveries, 7);
  EXPECT_TRUE(delivered_.empty());
  opens("use");
  opens("user_2");
  Pass(OldChannels::kTick);
  EXPECT_TRUE(delivered_.empty());
  opens("user");
  Pass(OldChannels::kTick);
  Answer(TakeDelivered().call_id(), "1");
  EXPECT_EQ(Rows(), (RowSet{{"req_1", "ok"}}));
  opens("user");
  Pass(OldChannels::kTick);
  EXPECT_TRUE(delivered_.empty());
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
  channels_->OnStrayNote("nonsense");
  StrayElsewhere("req_1", "1", "somebody else");
  StrayElsewhere("another", "1");
  EXPECT_EQ(channels_->in_flight(), 1u);
  StrayElsewhere("req_1", R"({"x":3})");
  EXPECT_EQ(channels_->in_flight(), 0u);
  ASSERT_EQ(published_.size(), 1u);
  EXPECT_EQ(published_[0].first, "response:req_1");
  EXPECT_EQ(published_[0].second["result"], Json::parse(R"({"x":3})"));
  EXPECT_EQ(channels_->counters().strays_matched.value(), 1u);
  EXPECT_EQ(Rows(), (RowSet{{"req_1", "ok"}}));
  EXPECT_EQ(ResultInRow(), R"({"x":3})");
}

TEST_F(OldChannelsTest, AnswerThroughAnotherEdgeMayComeBeforeTheLossOfTheSession) {
  Command("req_1");
  StrayElsewhere("req_1", "3");
  EXPECT_EQ(channels_->in_flight(), 1u) << "the session here may answer yet";
  Refuse(TakeDelivered().call_id(), v1::Refusal::SESSION_LOST, E::SENT);
  EXPECT_EQ(channels_->in_flight(), 0u);
  ASSERT_EQ(published_.size(), 1u);
  EXPECT_EQ(published_[0].second["result"], 3);
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

TEST_F(OldChannelsTest, AnswerOfAnotherUserIsNotPublished) {
  Command("req_1");
  Stray("req_1", R"("forged")", "attacker");
  StrayElsewhere("req_1", R"("forged")", "attacker");
  SayOwed(false);
  EXPECT_TRUE(published_.empty());
  Answer(TakeDelivered().call_id(), R"("good")");
  ASSERT_EQ(published_.size(), 1u);
  EXPECT_EQ(published_[0].second["result"], "good");
  Stray("req_1", R"("forged")", "attacker");
  EXPECT_EQ(published_.size(), 1u);
}

TEST_F(OldChannelsTest, AnswerOfAnotherUserDoesNotSettleALostCall) {
  Command("req_1");
  Refuse(TakeDelivered().call_id(), v1::Refusal::SESSION_LOST, E::SENT);
  Stray("req_1", "1", "attacker");
  StrayElsewhere("req_1", "1", "attacker");
  v1::StrayAnswer offer = NamesOf("req_1");
  offer.set_user_id("attacker");
  notes_.clear();
  Note(v1::StrayNote::OFFER, offer);
  EXPECT_TRUE(notes_.empty());
  EXPECT_TRUE(published_.empty());
  EXPECT_EQ(channels_->in_flight(), 1u);
}

TEST_F(OldChannelsTest, AnswerToACallThatHasTimedOutIsNotPublished) {
  Command("req_1");
  Refuse(TakeDelivered().call_id(), v1::Refusal::TIMED_OUT, E::SENT);
  ASSERT_EQ(published_.size(), 1u);
  Stray("req_1", "1");
  SayOwed(false);
  StrayElsewhere("req_1", "1");
  EXPECT_EQ(published_.size(), 1u) << "a call has one response";
}

TEST_F(OldChannelsTest, AnswerToNoCallOfThisEdgeIsSentToTheOthersAndNotPublished) {
  Stray("of another edge", "1");
  ASSERT_EQ(notes_.size(), 1u);
  EXPECT_EQ(notes_[0].first, kStrayNotesChannel);
  EXPECT_EQ(notes_[0].second.kind(), v1::StrayNote::ANSWER);
  EXPECT_EQ(notes_[0].second.stray().SerializeAsString(), StrayOf("user", "of another edge", "1").SerializeAsString());
  SayOwed(false);
  Command("of another edge");
  channels_->OnStrayNote(notes_[0].second.SerializeAsString());  // As Redis brings it back to this edge, too.
  Refuse(TakeDelivered().call_id(), v1::Refusal::SESSION_LOST, E::SENT);
  EXPECT_TRUE(published_.empty());
  EXPECT_EQ(channels_->in_flight(), 1u);
  EXPECT_EQ(channels_->counters().strays_sent.value(), 1u);
}

TEST_F(OldChannelsTest, LargeAnswerIsOfferedAndFetchedByTheEdgeWhoseCallItIs) {
  Offer("of another edge", R"("large")");
  ASSERT_EQ(notes_.size(), 1u);
  EXPECT_EQ(notes_[0].first, kStrayNotesChannel);
  EXPECT_EQ(notes_[0].second.kind(), v1::StrayNote::OFFER);
  EXPECT_FALSE(notes_[0].second.stray().has_answer());
  SayOwed(false);
  Note(v1::StrayNote::FETCH, NamesOf("of another edge"), "owner");
  ASSERT_EQ(notes_.size(), 2u);
  EXPECT_EQ(notes_[1].first, std::string(kStrayNotesChannel) + ":owner");
  EXPECT_EQ(notes_[1].second.kind(), v1::StrayNote::ANSWER);
  EXPECT_EQ(notes_[1].second.stray().answer().result_json(), R"("large")");
  Note(v1::StrayNote::FETCH, NamesOf("of another edge"), "owner");
  EXPECT_EQ(notes_.size(), 2u);
  EXPECT_TRUE(published_.empty());
}

TEST_F(OldChannelsTest, LargeAnswerThroughTheNextSessionAtThisEdgeSettlesItsCall) {
  Command("req_1");
  Refuse(TakeDelivered().call_id(), v1::Refusal::SESSION_LOST, E::SENT);
  Offer("req_1", R"("forged")", "attacker");
  SayOwed(false);
  EXPECT_TRUE(published_.empty());
  Offer("req_1", R"("large")");
  ASSERT_EQ(published_.size(), 1u);
  EXPECT_EQ(published_[0].second["result"], "large");
  EXPECT_EQ(notes_.size(), 1u) << "other edges need not know of it";
}

TEST_F(OldChannelsTest, OfferedAnswersAreFetchedOneAtATimeOnceTheSessionIsLost) {
  Command("req_1");
  Command("req_2");
  Note(v1::StrayNote::OFFER, NamesOf("req_1"));
  Note(v1::StrayNote::OFFER, NamesOf("req_2"));
  EXPECT_TRUE(notes_.empty()) << "the session here may answer yet";
  Refuse(TakeDelivered().call_id(), v1::Refusal::SESSION_LOST, E::SENT);
  Refuse(TakeDelivered().call_id(), v1::Refusal::SESSION_LOST, E::SENT);
  ASSERT_EQ(notes_.size(), 1u);
  EXPECT_EQ(notes_[0].first, std::string(kStrayNotesChannel) + ":other");
  EXPECT_EQ(notes_[0].second.kind(), v1::StrayNote::FETCH);
  EXPECT_EQ(notes_[0].second.from(), channels_->notes_channel().substr(sizeof(kStrayNotesChannel)));
  EXPECT_EQ(notes_[0].second.stray().request_id(), "req_1");
  StrayElsewhere("req_1", "1");
  ASSERT_EQ(published_.size(), 1u);
  EXPECT_EQ(published_[0].second["result"], 1);
  ASSERT_EQ(notes_.size(), 2u);
  EXPECT_EQ(notes_[1].second.stray().request_id(), "req_2");
  Command("req_3");
  Refuse(TakeDelivered().call_id(), v1::Refusal::SESSION_LOST, E::SENT);
  Note(v1::StrayNote::OFFER, NamesOf("req_3"));
  EXPECT_EQ(notes_.size(), 2u);
  Pass(std::chrono::seconds(1));
  ASSERT_EQ(notes_.size(), 3u) << "one that never comes does not stop the others";
  EXPECT_EQ(notes_[2].second.stray().request_id(), "req_3");
}

TEST_F(OldChannelsTest, SmallAnswersOfOneUserAreKeptUpToItsShareUntilRedisHasSaidWhetherTheyAreOwed) {
  const std::string small = '"' + std::string(4000, 'x') + '"';
  size_t kept = 0;
  while (channels_->counters().late_full.value() == 0 && kept < 1000) Stray("req_" + std::to_string(kept++), small);
  EXPECT_GT(kept, 200u);
  EXPECT_LT(kept, 263u) << "4 KB each, of 1 MiB";
  EXPECT_EQ(notes_.size(), kept) << "the other edges get each of them";
  SayOwed(true);
  EXPECT_TRUE(published_.empty()) << "the oldest made room";
  SayOwed(true);
  EXPECT_EQ(published_.size(), 1u);
  Pass(std::chrono::seconds(10));
  SayOwed(true);
  EXPECT_EQ(published_.size(), 1u);
}

TEST_F(OldChannelsTest, AnswerThatAStoppedEdgeOwesIsPublished) {
  Stray("req_1", "1");
  EXPECT_EQ(asked_.front().first, "toolwire:owed:4:user:req_1");
  SayOwed(true);
  ASSERT_EQ(published_.size(), 1u);
  EXPECT_EQ(published_[0].first, "response:req_1");
  EXPECT_EQ(published_[0].second["result"], 1);
  EXPECT_EQ(channels_->counters().strays_published.value(), 1u);
  Offer("req_2", R"("large")");
  SayOwed(true);
  ASSERT_EQ(published_.size(), 2u);
  EXPECT_EQ(published_[1].second["result"], "large");
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
  EXPECT_EQ(owed_, (std::map<std::string, Duration>{{"toolwire:owed:4:user:lost", options_.call_timeout},
                                                    {"toolwire:owed:4:user:sent", options_.call_timeout}}));
}

TEST_F(OldChannelsTest, StopWaitsUntilRedisHasTheKeysOfWhatIsOwed) {
  Command("sent");
  TakeDelivered();
  is_away_ = true;
  channels_->FailAll();
  EXPECT_FALSE(channels_->WaitAcknowledged(clock_.Now()));
  is_away_ = false;
  Pass(OwedAnswers::kRetryWait);
  EXPECT_TRUE(channels_->WaitAcknowledged(clock_.Now()));
  EXPECT_EQ(owed_, (std::map<std::string, Duration>{{"toolwire:owed:4:user:sent", options_.call_timeout}}));
}

TEST_F(OldChannelsTest, ManyCallsSettleInSlicesAtAStopAndWhenTheyAreOverdueTogether) {
  options_.calls_max = 10'000;
  MakeChannels();
  for (const bool stop : {true, false}) {
    for (size_t i = 0; i <= 2 * OldChannels::kAtOnce; ++i) {
      Command(std::to_string(i));
      const uint64_t call_id = TakeDelivered().call_id();
      if (stop) Refuse(call_id, v1::Refusal::NOT_HERE, E::NOT_SENT);
      if (!stop) Refuse(call_id, v1::Refusal::SESSION_LOST, E::SENT);
    }
    left_.clear();
    if (stop) channels_->FailAll();
    if (!stop) Pass(options_.call_timeout + OldChannels::kTick);
    EXPECT_EQ(left_, (std::set<size_t>{0, 1, OldChannels::kAtOnce + 1}));
  }
}

// --- an answer belongs to one attempt
// ---------------------------------------------------------------------------------

TEST_F(OldChannelsTest, CommandOfAnIdThatWasSentAndNotAnsweredIsRefusedUntilTheAnswerComes) {
  const std::string kWords = "an earlier call with this id may still be answered";
  for (const bool elsewhere : {false, true}) {
    Command("r1");
    Refuse(TakeDelivered().call_id(), v1::Refusal::TIMED_OUT, E::SENT);
    published_.clear();
    Command("r1");
    EXPECT_TRUE(delivered_.empty()) << "a late answer would answer it";
    ASSERT_EQ(published_.size(), 1u);
    EXPECT_EQ(published_[0].second["error"], kWords);
    published_.clear();
    if (elsewhere) {
      StrayElsewhere("r1", R"("late")");
    } else {
      Stray("r1", R"("late")");
    }
    EXPECT_TRUE(published_.empty());
    Command("r1");
    Answer(TakeDelivered().call_id(), R"("new")");
    ASSERT_EQ(published_.size(), 1u);
    EXPECT_EQ(published_[0].second["result"], "new");
  }
}

TEST_F(OldChannelsTest, CommandOfACallThatIsLostAtItsDeadlineIsRefusedAndOfOneThatWasNotSentIsNot) {
  Command("lost");
  Refuse(TakeDelivered().call_id(), v1::Refusal::SESSION_LOST, E::SENT);
  Command("not_sent");
  Refuse(TakeDelivered().call_id(), v1::Refusal::TIMED_OUT, E::NOT_SENT);
  Pass(options_.call_timeout + std::chrono::seconds(1));
  Command("lost");
  EXPECT_TRUE(delivered_.empty());
  Command("not_sent");
  Answer(TakeDelivered().call_id(), "1");
}

TEST_F(OldChannelsTest, SessionThatExpectsAnEarlierAnswerRefusesTheCommandAndItsCallerLearns) {
  Command("r1");
  Refuse(TakeDelivered().call_id(), v1::Refusal::EARLIER_UNANSWERED, E::NOT_SENT);
  ASSERT_EQ(published_.size(), 1u);
  EXPECT_EQ(published_[0].second["error"], "an earlier call with this id may still be answered");
}

TEST_F(OldChannelsTest, PastTheLimitTheOldestUnansweredIdIsFree) {
  for (int i = 1; i <= options_.calls_max + 1; ++i) {
    EXPECT_EQ(channels_->counters().unanswered_full.value(), 0u);
    Command("r" + std::to_string(i));
    Refuse(TakeDelivered().call_id(), v1::Refusal::TIMED_OUT, E::SENT);
  }
  EXPECT_EQ(channels_->counters().unanswered_full.value(), 1u);
  Command("r2");
  EXPECT_TRUE(delivered_.empty());
  Command("r1");
  Answer(TakeDelivered().call_id(), "1");
}

}  // namespace
}  // namespace toolwire
