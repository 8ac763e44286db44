#include "edge/session.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <fstream>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "edge/session_table.h"
#include "tests/fakes/fake_clock.h"

namespace toolwire {
namespace {

using E = v1::CallError;
using R = v1::Refusal;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Duration kTick = SessionTable::kTick;
constexpr LinkId kLink = 1;
constexpr SessionId kSession = 11;
const std::string kUser = "user_42";

// A frame of tests/golden, without the newline at the end of the file.
std::string Golden(const std::string& frame_type) {
  std::ifstream file(TOOLWIRE_TESTS_DIR "/golden/" + frame_type + ".json", std::ios::binary);
  std::string frame;
  EXPECT_TRUE(std::getline(file, frame)) << "no golden frame for " << frame_type;
  return frame;
}

std::string Response(const std::string& request_id, const std::string& result = "1") {
  return R"({"type":"tool_response","requestId":")" + request_id + R"(","success":true,"result":)" + result + "}";
}

constexpr char kHeartbeat[] = R"({"type":"heartbeat","timestamp":1})";

// What every test begins with, and what must be true after each: `TearDown` closes every session and checks that each
// call that was delivered has exactly one answer or refusal, unless its link has gone, and that nothing is left.
class SessionTest : public ::testing::Test {
 protected:
  void TearDown() override {
    for (const SessionId id : std::set<SessionId>(open_)) CloseSocket(id);
    for (const auto& [key, outcomes] : outcomes_) {
      EXPECT_TRUE(delivered_.count(key)) << "call " << key.second << " was never delivered on link " << key.first;
    }
    for (const auto& key : delivered_) {
      const size_t expected = links_down_.count(key.first) ? outcomes_.count(key) : 1;
      EXPECT_EQ(outcomes_[key].size(), expected) << "call " << key.second << " on link " << key.first;
    }
    EXPECT_EQ(table().calls(), 0u);
    EXPECT_EQ(table().size(), 0u);
    EXPECT_FALSE(table().has_timers());
    EXPECT_EQ(counters_.calls_in_flight.load(), 0);
    EXPECT_EQ(counters_.sessions_opened.value(), counters_.sessions_closed.value());
  }

  // Made when it is first used, so that a test can set limits before.
  SessionTable& table() {
    if (!table_) table_.emplace(clock_, limits_, counters_, "ws-server-1");
    return *table_;
  }

  // --- what happens ---
  void Open(SessionId id = kSession, const std::string& user_id = kUser, uint64_t epoch = 1) {
    open_.insert(id);
    table().Open(id, user_id, epoch);
    Collect();
  }
  // Opens a session and takes the `connected` frame.
  void OpenAndRead(SessionId id = kSession, const std::string& user_id = kUser, uint64_t epoch = 1) {
    Open(id, user_id, epoch);
    EXPECT_EQ(Frames(id).size(), 1u);
  }
  void CloseSocket(SessionId id = kSession, bool answers_lost = false) {
    open_.erase(id);
    table().Close(id, answers_lost);
    Collect();
  }
  void Receive(std::string_view text, SessionId id = kSession) {
    table().Receive(id, text);
    Collect();
  }
  void Deliver(uint64_t call_id, const std::string& request_id, Duration timeout = seconds(60),
               const std::string& params = "{}", SessionId id = kSession, LinkId link = kLink) {
    v1::Deliver deliver;
    deliver.set_call_id(call_id);
    deliver.set_user_id(kUser);
    deliver.set_request_id(request_id);
    deliver.set_tool("read_file");
    deliver.set_params_json(params);
    deliver.set_timeout_us(std::chrono::duration_cast<std::chrono::microseconds>(timeout).count());
    EXPECT_TRUE(delivered_.emplace(link, call_id).second);
    table().Deliver(id, link, std::move(deliver));
    Collect();
  }
  void DeliverTo(SessionId id, LinkId link, uint64_t call_id, const std::string& request_id) {
    Deliver(call_id, request_id, seconds(60), "{}", id, link);
  }
  // A call whose frame was taken for writing.
  void DeliverAndRead(uint64_t call_id, const std::string& request_id, Duration timeout = seconds(60)) {
    Deliver(call_id, request_id, timeout);
    EXPECT_EQ(Frames().size(), 1u);
  }
  void Cancel(uint64_t call_id, LinkId link = kLink) {
    table().Cancel(link, call_id);
    Collect();
  }
  void LinkDown(LinkId link) {
    links_down_.insert(link);
    table().LinkDown(link);
    Collect();
  }
  void Advance(Duration by) {
    clock_.Advance(by);
    table().Advance();
    Collect();
  }

  // --- what came of it ---
  // All frames that wait for an agent.
  std::vector<std::string> Frames(SessionId id = kSession) {
    std::vector<std::string> frames;
    std::string text;
    while (table().NextFrame(id, &text)) frames.push_back(text);
    return frames;
  }
  // "open", "AGENT_BUSY NOT_SENT" or "success <result>".
  std::string OutcomeOf(uint64_t call_id, LinkId link = kLink) const {
    auto found = outcomes_.find({link, call_id});
    if (found == outcomes_.end()) return "open";
    return found->second.size() == 1 ? found->second[0] : std::to_string(found->second.size()) + " outcomes";
  }
  // The close that this side wants, if any: "1008 Too many bad frames".
  std::string CloseOf(SessionId id = kSession) const {
    auto found = closes_.find(id);
    if (found == closes_.end()) return "none";
    return found->second.size() == 1 ? found->second[0] : std::to_string(found->second.size()) + " closes";
  }
  static std::string Describe(const v1::Answer& answer) {
    return (answer.success() ? "success " : "failure ") + answer.result_json();
  }

  // Takes everything out of the table, as the loop does after each event.
  void Collect() {
    LinkBatches& batches = table().batches();
    for (const auto& [link, frame] : *batches.frames()) {
      for (const v1::Answer& answer : frame.answers()) {
        outcomes_[{link, answer.call_id()}].push_back(Describe(answer));
        last_answer_ = answer;
      }
      for (const v1::Refusal& refusal : frame.refusals()) {
        outcomes_[{link, refusal.call_id()}].push_back(R::Cause_Name(refusal.cause()) + " " +
                                                       E::Delivery_Name(refusal.delivery()));
      }
      for (const v1::SessionEvent& event : frame.sessions()) snapshots_[link].push_back(event);
    }
    for (const v1::StrayAnswer& stray : *batches.strays()) strays_.push_back(stray);
    for (const v1::SessionEvent& event : *batches.sessions()) events_.push_back(event);
    batches.Clear();
    for (const auto& [id, close] : table().closing()) {
      closes_[id].push_back(std::to_string(static_cast<int>(close.code)) + " " + close.reason);
    }
    table().closing().clear();
    for (const SessionId id : table().writable()) writable_.insert(id);
    table().writable().clear();
  }

  FakeClock clock_;
  SessionLimits limits_;
  EdgeCounters counters_;
  std::optional<SessionTable> table_;
  std::set<SessionId> open_;
  std::set<LinkId> links_down_;
  std::set<std::pair<LinkId, uint64_t>> delivered_;
  std::map<std::pair<LinkId, uint64_t>, std::vector<std::string>> outcomes_;
  std::map<LinkId, std::vector<v1::SessionEvent>> snapshots_;
  std::vector<v1::StrayAnswer> strays_;
  std::vector<v1::SessionEvent> events_;
  std::map<SessionId, std::vector<std::string>> closes_;
  std::set<SessionId> writable_;
  v1::Answer last_answer_;
};

// --- frames ----------------------------------------------------------------------------------------------------------

TEST_F(SessionTest, FramesOutAreTheGoldenOnes) {
  clock_.Advance(milliseconds(1763300000000 - clock_.WallMs()));
  Open();
  EXPECT_EQ(Frames(), std::vector<std::string>{Golden("connected")});

  clock_.Advance(milliseconds(456));
  Receive(Golden("heartbeat"));
  EXPECT_EQ(Frames(), std::vector<std::string>{Golden("heartbeat_ack")});

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
  absl::flat_hash_map<std::pair<LinkId, uint64_t>, SessionCall*> calls;
  std::vector<SessionId> heartbeats;
  const Session::Context context{limits_, counters_,  decoder,      wheel,          out,
                                 calls,   heartbeats, clock_.Now(), clock_.WallMs()};
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
  ASSERT_TRUE(session.NextFrame(&text));
  EXPECT_EQ(text.size(), welcome);
  session.Cancel(calls.at({kLink, 1}), context);
  EXPECT_EQ(session.queued_bytes(), 0u);
  EXPECT_EQ(session.calls_in_flight(), 0u);
  EXPECT_FALSE(session.NextFrame(&text));
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
  EXPECT_EQ(Frames().size(), 0u) << "the agent is not told";
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
  EXPECT_EQ(OutcomeOf(3, 2), "open") << "there is nobody to tell";
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

// --- what is agreed with hello ---------------------------------------------------------------------------------------

constexpr char kHello[] = R"({"type":"hello","capabilities":["cancel"]})";

TEST_F(SessionTest, HelloIsAnsweredWithWhatBothSidesHave) {
  OpenAndRead();
  Receive(Golden("hello"));
  EXPECT_EQ(Frames(), std::vector<std::string>{Golden("hello_ack")});
  Receive(R"({"type":"hello","capabilities":["progress","cancel","files"]})");
  EXPECT_EQ(Frames(), std::vector<std::string>{Golden("hello_ack")});
  Receive(R"({"type":"hello"})");
  EXPECT_EQ(Frames(), std::vector<std::string>{R"({"type":"hello_ack","capabilities":[]})"});
  EXPECT_EQ(counters_.unknown_frames.value() + counters_.bad_frames.value(), 0u);
}

TEST_F(SessionTest, AgentThatCanCancelIsToldOfSentCallsThatNobodyWaitsFor) {
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
  limits_.json_depth_max = 4;
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
  EXPECT_EQ(OutcomeOf(2), "ANSWER_LOST SENT");
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

TEST_F(SessionTest, CancelComesBeforeTheNextCallOfTheSameId) {
  OpenAndRead();
  Receive(kHello);
  Frames();
  DeliverAndRead(1, "req_1");
  Cancel(1);
  Deliver(2, "req_1");
  const std::vector<std::string> frames = Frames();
  ASSERT_EQ(frames.size(), 2u);
  EXPECT_EQ(frames[0], EncodeToolCancel("req_1"));
  Receive(Response("req_1"));
  EXPECT_EQ(OutcomeOf(2), "success 1");
}

TEST_F(SessionTest, CancelsForAnAgentThatDoesNotReadAreBoundedAndCloseNothing) {
  const size_t cancel = EncodeToolCancel("req_1").size();
  limits_.queued_bytes_max = 2 * cancel;
  OpenAndRead();
  Receive(kHello);
  Frames();
  for (uint64_t i = 1; i <= 5; ++i) DeliverAndRead(i, "req_" + std::to_string(i));
  for (uint64_t i = 1; i <= 5; ++i) Cancel(i);
  EXPECT_EQ(OutcomeOf(5), "CANCELLED SENT");
  EXPECT_EQ(counters_.tool_cancels.value(), 2u);
  EXPECT_EQ(counters_.tool_cancels_dropped.value(), 3u);
  EXPECT_EQ(CloseOf(), "none");
  EXPECT_EQ(Frames().size(), 2u);
}

TEST_F(SessionTest, HellosOfAnAgentThatDoesNotReadAreBounded) {
  limits_.queued_bytes_max = 1000;
  OpenAndRead();
  for (int i = 0; i < 1000 && CloseOf() == "none"; ++i) Receive(kHello);
  EXPECT_EQ(CloseOf(), "1008 Not reading");
}

TEST_F(SessionTest, BadHelloIsABadFrame) {
  OpenAndRead();
  Receive(R"({"type":"hello","capabilities":"cancel"})");
  EXPECT_EQ(counters_.bad_frames.value(), 1u);
  EXPECT_EQ(Frames().size(), 0u);
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

// --- limits ----------------------------------------------------------------------------------------------------------

TEST_F(SessionTest, CallsOfOneAgentAreLimited) {
  limits_.calls_in_flight_max = 3;
  OpenAndRead();
  OpenAndRead(12, "user_2");
  for (uint64_t i = 1; i <= 4; ++i) Deliver(i, "req_" + std::to_string(i));
  EXPECT_EQ(OutcomeOf(3), "open");
  EXPECT_EQ(OutcomeOf(4), "AGENT_BUSY NOT_SENT");
  EXPECT_EQ(counters_.busy_calls.value(), 1u);
  DeliverTo(12, kLink, 5, "req_5");
  EXPECT_EQ(OutcomeOf(5), "open") << "the limit is each agent's own";
  Frames();
  Receive(Response("req_1"));
  Deliver(6, "req_6");
  EXPECT_EQ(OutcomeOf(6), "open");
}

TEST_F(SessionTest, CallsOfTheWholeEdgeAreLimited) {
  limits_.edge_calls_in_flight_max = 3;
  OpenAndRead();
  OpenAndRead(12, "user_2");
  DeliverAndRead(1, "req_1");
  DeliverTo(12, kLink, 2, "req_2");
  DeliverTo(12, kLink, 3, "req_3");
  EXPECT_EQ(OutcomeOf(3), "open");
  Deliver(4, "req_4");
  DeliverTo(12, kLink, 5, "req_5");
  EXPECT_EQ(OutcomeOf(4), "EDGE_UNAVAILABLE NOT_SENT");
  EXPECT_EQ(OutcomeOf(5), "EDGE_UNAVAILABLE NOT_SENT");
  EXPECT_EQ(counters_.busy_edge.value(), 2u);
  CloseSocket(12);
  Deliver(6, "req_6");
  EXPECT_EQ(OutcomeOf(6), "open");
}

TEST_F(SessionTest, CallsOfOtherLoopsCountForTheEdgesLimit) {
  limits_.edge_calls_in_flight_max = 3;
  OpenAndRead();
  counters_.calls_in_flight += 2;  // Of other loops.
  Deliver(1, "req_1");
  Deliver(2, "req_2");
  EXPECT_EQ(OutcomeOf(1), "open");
  EXPECT_EQ(OutcomeOf(2), "EDGE_UNAVAILABLE NOT_SENT");
  counters_.calls_in_flight -= 2;
}

TEST_F(SessionTest, QueuedBytesOfASessionAreLimited) {
  // What counts of a call is its params, tool and request id; a frame that waits counts whole.
  const std::string params = R"({"path":"/tmp/x"})";
  const size_t frame = EncodeToolCall("req_1", "read_file", params).size();
  const size_t call = params.size() + std::string("read_file").size() + std::string("req_1").size();
  for (const bool fits : {true, false}) {
    SCOPED_TRACE(fits);
    const SessionId id = fits ? 11 : 12;
    limits_.queued_bytes_max = frame + call - (fits ? 0 : 1);
    OpenAndRead(id, "user_" + std::to_string(id));
    const uint64_t call_id = 10 * id;
    Deliver(call_id, "req_1", seconds(60), params, id);
    Deliver(call_id + 1, "req_2", seconds(60), params, id);
    EXPECT_EQ(OutcomeOf(call_id), "open");
    EXPECT_EQ(OutcomeOf(call_id + 1), fits ? "open" : "AGENT_BUSY NOT_SENT");
    EXPECT_EQ(counters_.busy_bytes.value(), fits ? 0u : 1u);
    EXPECT_EQ(CloseOf(id), "none");
    Frames(id);
    Deliver(call_id + 2, "req_3", seconds(60), params, id);
    EXPECT_EQ(OutcomeOf(call_id + 2), "open") << "there is room again";
  }
}

TEST_F(SessionTest, WithdrawnFrameMakesRoom) {
  limits_.queued_bytes_max = 200;
  const std::string params = "{\"text\":\"" + std::string(100, 'x') + "\"}";
  OpenAndRead();
  Deliver(1, "req_1", seconds(60), params);
  Deliver(2, "req_2", seconds(60), params);
  EXPECT_EQ(OutcomeOf(2), "AGENT_BUSY NOT_SENT");
  Cancel(1);
  Deliver(3, "req_3", seconds(60), params);
  EXPECT_EQ(OutcomeOf(3), "open");
}

TEST_F(SessionTest, OneFrameMayAlwaysWaitHoweverLarge) {
  limits_.queued_bytes_max = 200;
  OpenAndRead();
  Deliver(1, "req_1", seconds(60), "{\"text\":\"" + std::string(1000, 'x') + "\"}");
  EXPECT_EQ(OutcomeOf(1), "open");
  Deliver(2, "req_2");
  EXPECT_EQ(OutcomeOf(2), "AGENT_BUSY NOT_SENT");
  EXPECT_EQ(Frames().size(), 1u);
}

TEST_F(SessionTest, ResultAtTheLimitPasses) {
  limits_.result_bytes_max = 100;
  OpenAndRead();
  DeliverAndRead(1, "req_1");
  const std::string result = "\"" + std::string(98, 'x') + "\"";
  Receive(Response("req_1", result));
  EXPECT_EQ(OutcomeOf(1), "success " + result);
  EXPECT_EQ(CloseOf(), "none");
}

TEST_F(SessionTest, ResultOverTheLimitLosesItsAnswerAndClosesTheSession) {
  limits_.result_bytes_max = 100;
  OpenAndRead();
  DeliverAndRead(1, "req_1");
  DeliverAndRead(2, "req_2");
  Receive(Response("req_1", "\"" + std::string(99, 'x') + "\""));
  EXPECT_EQ(OutcomeOf(1), "ANSWER_LOST SENT");
  EXPECT_EQ(OutcomeOf(2), "open") << "its answer may come through the agent's next session";
  EXPECT_EQ(CloseOf(), "1009 Result too large");
  EXPECT_EQ(counters_.too_big.value(), 1u);
  CloseSocket();
  EXPECT_EQ(OutcomeOf(2), "SESSION_LOST SENT");
}

TEST_F(SessionTest, TooLargeStrayClosesTheSessionAndLosesNoCall) {
  limits_.result_bytes_max = 100;
  OpenAndRead();
  DeliverAndRead(1, "req_1");
  Receive(Response("req_9", "\"" + std::string(99, 'x') + "\""));
  EXPECT_EQ(CloseOf(), "1009 Result too large");
  EXPECT_EQ(OutcomeOf(1), "open");
  EXPECT_EQ(strays_.size(), 0u);
}

// relay.proto: ANSWER_LOST is always SENT. The answer is to an earlier call of that id; this one is still to be made.
TEST_F(SessionTest, TooLargeAnswerDoesNotLoseACallThatWasNotSent) {
  limits_.result_bytes_max = 100;
  OpenAndRead();
  Deliver(1, "req_1");
  Receive(Response("req_1", "\"" + std::string(99, 'x') + "\""));
  EXPECT_EQ(CloseOf(), "1009 Result too large");
  EXPECT_EQ(OutcomeOf(1), "open");
  CloseSocket(kSession, true);
  EXPECT_EQ(OutcomeOf(1), "SESSION_LOST NOT_SENT");
}

TEST_F(SessionTest, TenthBadFrameWithinAMinuteClosesTheSession) {
  ASSERT_EQ(limits_.bad_frames_max, 10);
  OpenAndRead();
  DeliverAndRead(1, "req_1");
  Receive("not json");
  clock_.Advance(seconds(60));
  const char* bad[] = {R"({"type":"heartbeat","timestamp":"1"})",
                       R"({"type":"tool_response","requestId":"req_1"})",
                       R"({"type":"tool_response","requestId":5,"success":true})",
                       R"({"type":"tool_response","requestId":"","success":true})",
                       R"({"requestId":"req_1"})",
                       R"({"type":5})",
                       "[]",
                       ""};
  for (const char* text : bad) Receive(text);
  EXPECT_EQ(counters_.bad_frames.value(), 9u);
  EXPECT_EQ(CloseOf(), "none");
  Receive("{");
  EXPECT_EQ(CloseOf(), "1008 Too many bad frames");
  EXPECT_EQ(counters_.bad_frames.value(), 10u);
  EXPECT_EQ(OutcomeOf(1), "open");
  CloseSocket();
  EXPECT_EQ(OutcomeOf(1), "SESSION_LOST SENT");
}

TEST_F(SessionTest, BadFramesOfTheMinuteBeforeAreForgotten) {
  OpenAndRead();
  for (int minute = 0; minute < 5; ++minute) {
    for (int i = 0; i < 9; ++i) Receive("not json");
    clock_.Advance(seconds(60) + milliseconds(1));
  }
  EXPECT_EQ(counters_.bad_frames.value(), 45u);
  EXPECT_EQ(CloseOf(), "none");
}

TEST_F(SessionTest, GoodFramesBetweenBadOnesDoNotExcuseThem) {
  OpenAndRead();
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(CloseOf(), "none");
    Receive(kHeartbeat);
    Receive("not json");
  }
  EXPECT_EQ(CloseOf(), "1008 Too many bad frames");
}

TEST_F(SessionTest, ResultAsDeepAsTheLimitPasses) {
  limits_.json_depth_max = 4;
  OpenAndRead();
  DeliverAndRead(1, "req_1");
  Receive(Response("req_1", "[[[[1]]]]"));
  EXPECT_EQ(OutcomeOf(1), "success [[[[1]]]]");
  EXPECT_EQ(counters_.bad_frames.value(), 0u);
}

TEST_F(SessionTest, ResultDeeperThanTheLimitIsABadFrameAndLosesItsAnswer) {
  limits_.json_depth_max = 4;
  OpenAndRead();
  DeliverAndRead(1, "req_1");
  DeliverAndRead(2, "req_2");
  Deliver(3, "req_3");
  Receive(Response("req_1", "[[[[[]]]]]"));
  EXPECT_EQ(OutcomeOf(1), "ANSWER_LOST SENT");
  EXPECT_EQ(OutcomeOf(2), "open");
  EXPECT_EQ(counters_.bad_frames.value(), 1u);
  EXPECT_EQ(CloseOf(), "none");
  Receive(Response("req_3", "[[[[[]]]]]"));
  EXPECT_EQ(OutcomeOf(3), "open") << "that was the answer to an earlier call";
  Receive(Response("req_9", "[[[[[]]]]]"));
  Receive(R"({"type":"tool_progress","requestId":"req_2","result":[[[[[]]]]]})");
  EXPECT_EQ(OutcomeOf(2), "open");
  EXPECT_EQ(counters_.bad_frames.value(), 4u);
}

TEST_F(SessionTest, BadAnswerEndsNoCallUnlessItIsOnlyTooDeep) {
  OpenAndRead();
  for (const char* text : {R"({"type":"tool_response","requestId":"req_1\ud800","success":true})",
                           R"({"type":"tool_response","requestId":"req_1\udc00\ud800","success":true})",
                           R"({"type":"tool_response","requestId":"req_1","success":"yes"})",
                           R"({"type":"tool_response","requestId":"req_1","success":true,"executionTime":"5"})"}) {
    const uint64_t bad = counters_.bad_frames.value();
    DeliverAndRead(bad + 1, "req_1");
    Receive(text);
    EXPECT_EQ(OutcomeOf(bad + 1), "open") << text;
    EXPECT_EQ(counters_.bad_frames.value(), bad + 1);
    Cancel(bad + 1);
  }
}

TEST_F(SessionTest, TextThatIsNotUtf8ClosesTheSession) {
  OpenAndRead();
  DeliverAndRead(1, "req_1");
  Receive(Response("req_1", "\"\xff\""));
  const std::string close = CloseOf();
  EXPECT_EQ(close.substr(0, 4), "1007") << close;
  EXPECT_EQ(counters_.bad_frames.value(), 1u);
  CloseSocket();
  EXPECT_EQ(OutcomeOf(1), "SESSION_LOST SENT");
}

TEST_F(SessionTest, RepliesToAnAgentThatDoesNotReadAreBounded) {
  limits_.queued_bytes_max = 1000;
  OpenAndRead();
  for (int i = 0; i < 1000 && CloseOf() == "none"; ++i) Receive(kHeartbeat);
  EXPECT_EQ(CloseOf(), "1008 Not reading");
  EXPECT_EQ(counters_.slow_closed.value(), 1u);
  size_t bytes = 0;
  for (const std::string& frame : Frames()) bytes += frame.size();
  EXPECT_LE(bytes, limits_.queued_bytes_max);
  EXPECT_GT(bytes, limits_.queued_bytes_max - 100);
}

TEST_F(SessionTest, RepliesFillTheQueueToTheLimitAndNotBeyond) {
  const size_t ack = EncodeHeartbeatAck(clock_.WallMs()).size();
  limits_.queued_bytes_max = 3 * ack;
  OpenAndRead();
  for (int i = 0; i < 3; ++i) Receive(kHeartbeat);
  EXPECT_EQ(CloseOf(), "none");
  Receive(kHeartbeat);
  EXPECT_EQ(CloseOf(), "1008 Not reading");
}

TEST_F(SessionTest, OneReplyMayAlwaysWait) {
  limits_.queued_bytes_max = 10;
  OpenAndRead();
  Receive(kHeartbeat);
  EXPECT_EQ(CloseOf(), "none");
  EXPECT_EQ(Frames().size(), 1u);
}

TEST_F(SessionTest, AgentThatReadsIsNotClosedForWhatWasEverQueued) {
  limits_.queued_bytes_max = 100;
  OpenAndRead();
  for (int i = 0; i < 1000; ++i) {
    Receive(kHeartbeat);
    EXPECT_EQ(Frames().size(), 1u);
  }
  EXPECT_EQ(CloseOf(), "none");
}

// --- heartbeats ------------------------------------------------------------------------------------------------------

TEST_F(SessionTest, SilentSessionIsClosedAtTheTimeoutAndNotBefore) {
  OpenAndRead();
  Advance(limits_.heartbeat_timeout - milliseconds(1));
  EXPECT_EQ(CloseOf(), "none");
  Advance(milliseconds(1));
  EXPECT_EQ(CloseOf(), "4002 Heartbeat timeout");
  EXPECT_EQ(counters_.heartbeat_timeouts.value(), 1u);
  Advance(limits_.heartbeat_timeout);
  EXPECT_EQ(CloseOf(), "4002 Heartbeat timeout") << "announced once";
}

TEST_F(SessionTest, SilentSessionIsClosedAlsoIfTheLoopLooksLate) {
  OpenAndRead();
  Advance(10 * limits_.heartbeat_timeout);
  EXPECT_EQ(CloseOf(), "4002 Heartbeat timeout");
}

TEST_F(SessionTest, HeartbeatBeforeTheTimeoutKeepsTheSession) {
  OpenAndRead();
  for (int i = 0; i < 20; ++i) {
    Advance(limits_.heartbeat_timeout - milliseconds(1));
    Receive(kHeartbeat);
    EXPECT_EQ(Frames().size(), 1u);
  }
  EXPECT_EQ(CloseOf(), "none");
  EXPECT_EQ(counters_.heartbeats.value(), 20u);
  // From the last one it takes the whole timeout, looked at once a second.
  Advance(limits_.heartbeat_timeout - milliseconds(1));
  EXPECT_EQ(CloseOf(), "none");
  Advance(milliseconds(1) + seconds(1));
  EXPECT_EQ(CloseOf(), "4002 Heartbeat timeout");
}

TEST_F(SessionTest, EveryGoodFrameKeepsTheSessionAndNoBadOne) {
  OpenAndRead(1, "user_1");
  OpenAndRead(2, "user_2");
  OpenAndRead(3, "user_3");
  Advance(seconds(80));
  Receive(Response("req_unknown"), 1);
  Receive(R"({"type":"tool_progress"})", 2);
  Receive("not json", 3);
  Advance(seconds(10));
  EXPECT_EQ(CloseOf(1), "none");
  EXPECT_EQ(CloseOf(2), "none");
  EXPECT_EQ(CloseOf(3), "4002 Heartbeat timeout");
  Advance(seconds(79));
  EXPECT_EQ(CloseOf(1), "none");
  Advance(seconds(1));
  EXPECT_EQ(CloseOf(1), "4002 Heartbeat timeout");
  EXPECT_EQ(CloseOf(2), "4002 Heartbeat timeout");
}

TEST_F(SessionTest, ShortHeartbeatTimeoutIsKeptToItsTenth) {
  limits_.heartbeat_timeout = milliseconds(500);
  OpenAndRead();
  Advance(milliseconds(499));
  EXPECT_EQ(CloseOf(), "none");
  Advance(milliseconds(1));
  EXPECT_EQ(CloseOf(), "4002 Heartbeat timeout");
}

TEST_F(SessionTest, CallsToAnAgentDoNotCountAsSignsOfLife) {
  OpenAndRead();
  for (uint64_t i = 1; i <= 9; ++i) {
    Deliver(i, "req_" + std::to_string(i), std::chrono::hours(1));
    Frames();
    Advance(seconds(10));
  }
  EXPECT_EQ(CloseOf(), "4002 Heartbeat timeout");
}

// --- what controls learn ---------------------------------------------------------------------------------------------

TEST_F(SessionTest, SessionsAreReportedAsTheyBeginAndEnd) {
  clock_.Advance(seconds(5));
  const int64_t opened_ms = clock_.WallMs();
  Open(kSession, kUser, 7);
  EXPECT_EQ(table().UserOf(kSession), kUser);
  ASSERT_EQ(events_.size(), 1u);
  EXPECT_TRUE(events_[0].connected());
  EXPECT_EQ(events_[0].user_id(), kUser);
  EXPECT_EQ(events_[0].epoch(), 7u);
  EXPECT_EQ(events_[0].connected_at_ms(), opened_ms);
  clock_.Advance(seconds(5));
  CloseSocket();
  ASSERT_EQ(events_.size(), 2u);
  EXPECT_FALSE(events_[1].connected());
  EXPECT_EQ(events_[1].user_id(), kUser);
  EXPECT_EQ(events_[1].epoch(), 7u);
  EXPECT_EQ(table().UserOf(kSession), "");
  EXPECT_EQ(counters_.sessions_opened.value(), 1u);
  EXPECT_EQ(counters_.sessions_closed.value(), 1u);
}

TEST_F(SessionTest, ClosingASessionTwiceReportsItOnce) {
  Open();
  CloseSocket();
  CloseSocket();
  CloseSocket(99);
  EXPECT_EQ(events_.size(), 2u);
  EXPECT_EQ(counters_.sessions_closed.value(), 1u);
}

TEST_F(SessionTest, SnapshotTellsOneLinkOfEverySession) {
  table().Snapshot(3);
  Collect();
  EXPECT_EQ(snapshots_[3].size(), 0u);
  Open(1, "user_1", 5);
  Open(2, "user_2", 6);
  Open(3, "user_3", 7);
  CloseSocket(2);
  events_.clear();
  table().Snapshot(3);
  Collect();
  std::map<std::string, uint64_t> epochs;
  for (const v1::SessionEvent& event : snapshots_[3]) {
    EXPECT_TRUE(event.connected());
    EXPECT_FALSE(event.snapshot_complete()) << "other loops may still have theirs to send";
    EXPECT_GT(event.connected_at_ms(), 0);
    epochs[event.user_id()] = event.epoch();
  }
  EXPECT_EQ(epochs, (std::map<std::string, uint64_t>{{"user_1", 5}, {"user_3", 7}}));
  EXPECT_EQ(events_.size(), 0u) << "the other links know already";
}

TEST_F(SessionTest, HeartbeatsMakeLeasesDueOnceEach) {
  Open(1, "user_1", 5);
  Open(2, "user_2", 6);
  Open(3, "user_3", 7);
  std::vector<std::pair<std::string, uint64_t>> due;
  const auto note = [&](const std::string& user_id, uint64_t epoch) { due.emplace_back(user_id, epoch); };
  table().TakeHeartbeats(note);
  EXPECT_TRUE(due.empty());
  clock_.Advance(seconds(1));
  for (int i = 0; i < 100; ++i) Receive(kHeartbeat, 1);
  Receive(R"({"type":"something else"})", 2);
  Receive(kHeartbeat, 3);
  CloseSocket(3);
  EXPECT_TRUE(table().has_heartbeats());
  table().TakeHeartbeats(note);
  EXPECT_FALSE(table().has_heartbeats());
  EXPECT_EQ(due, (std::vector<std::pair<std::string, uint64_t>>{{"user_1", 5}}));
}

TEST_F(SessionTest, SessionsWithoutHeartbeatsAreDueAfterAWhile) {
  Open(1, "user_1", 5);
  Open(2, "user_2", 6);
  clock_.Advance(seconds(30));
  Receive(kHeartbeat, 1);
  std::map<std::string, uint64_t> due;
  const auto note = [&](const std::string& user_id, uint64_t epoch) { due[user_id] = epoch; };
  table().TakeHeartbeats(note);
  EXPECT_EQ(due.size(), 1u);
  due.clear();
  clock_.Advance(seconds(10));
  table().TakeUnrefreshed(clock_.Now() - seconds(40), note);
  EXPECT_EQ(due, (std::map<std::string, uint64_t>{{"user_2", 6}}));
  due.clear();
  clock_.Advance(seconds(1));
  table().TakeUnrefreshed(clock_.Now(), note);
  EXPECT_EQ(due, (std::map<std::string, uint64_t>{{"user_1", 5}, {"user_2", 6}})) << "after the registry was emptied";
  EXPECT_EQ(table().size(), 2u);
}

TEST_F(SessionTest, OneUsersOldAndNewSessionKeepTheirCallsApart) {
  OpenAndRead(1, kUser, 1);
  Deliver(1, "req_1", seconds(60), "{}", 1);
  EXPECT_EQ(Frames(1).size(), 1u);
  OpenAndRead(2, kUser, 2);
  Receive(Response("req_1"), 2);
  EXPECT_EQ(OutcomeOf(1), "open");
  EXPECT_EQ(strays_.size(), 1u) << "control knows that the call was this user's";
  CloseSocket(1);
  EXPECT_EQ(OutcomeOf(1), "SESSION_LOST SENT");
  EXPECT_EQ(table().size(), 1u);
  EXPECT_EQ(events_.back().epoch(), 1u) << "the new session goes on";
}

TEST_F(SessionTest, EventsOfSessionsThatAreNotHereAreIgnored) {
  Receive(kHeartbeat, 99);
  std::string text;
  EXPECT_FALSE(table().NextFrame(99, &text));
  EXPECT_FALSE(table().HasFrames(99));
  EXPECT_EQ(counters_.frames_in.value(), 0u);
}

TEST_F(SessionTest, CallsAreCountedWhereTheyGo) {
  limits_.calls_in_flight_max = 1;
  OpenAndRead();
  DeliverAndRead(1, "req_1");
  Deliver(2, "req_2");
  Receive(Response("req_1"));
  EXPECT_EQ(counters_.delivered.value(), 1u);
  EXPECT_EQ(counters_.refused.value(), 1u);
  EXPECT_EQ(counters_.answered.value(), 1u);
  EXPECT_EQ(counters_.frames_in.value(), 1u);
}

TEST_F(SessionTest, ManyCallsOfManyLinksAllEndWithTheirSession) {
  OpenAndRead();
  uint64_t call_id = 0;
  for (LinkId link = 1; link <= 4; ++link) {
    for (int i = 0; i < 500; ++i) {
      ++call_id;
      DeliverTo(kSession, link, call_id, "req_" + std::to_string(call_id));
      if (call_id % 2 == 0) Frames();
    }
  }
  CloseSocket();
  EXPECT_EQ(counters_.refused.value(), 2000u);
}

}  // namespace
}  // namespace toolwire
