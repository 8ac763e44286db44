// What all tests of sessions begin with: a clock, a table, and what came out of it after each event.
#ifndef TOOLWIRE_TESTS_UNIT_EDGE_SESSION_FIXTURE_H_
#define TOOLWIRE_TESTS_UNIT_EDGE_SESSION_FIXTURE_H_

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

#include "edge/session.h"
#include "edge/session_table.h"
#include "tests/fakes/fake_clock.h"

namespace toolwire {

using E = v1::CallError;
using R = v1::Refusal;
using std::chrono::milliseconds;
using std::chrono::seconds;

inline constexpr Duration kTick = SessionTable::kTick;
inline constexpr LinkId kLink = 1;
inline constexpr SessionId kSession = 11;
inline const std::string kUser = "user_42";

// A frame of tests/golden, without the newline at the end of the file.
inline std::string Golden(const std::string& frame_type) {
  std::ifstream file(TOOLWIRE_TESTS_DIR "/golden/" + frame_type + ".json", std::ios::binary);
  std::string frame;
  EXPECT_TRUE(std::getline(file, frame)) << "no golden frame for " << frame_type;
  return frame;
}

inline std::string Response(const std::string& request_id, const std::string& result = "1") {
  return R"({"type":"tool_response","requestId":")" + request_id + R"(","success":true,"result":)" + result + "}";
}

inline constexpr char kHeartbeat[] = R"({"type":"heartbeat","timestamp":1})";

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
    EXPECT_EQ(counters_.queued_bytes.load(), 0);
    EXPECT_EQ(counters_.sessions_opened.value(), counters_.sessions_closed.value());
  }

  // Made when it is first used, so that a test can set limits before.
  SessionTable& table() {
    if (!table_) table_.emplace(clock_, limits_, counters_, "ws-server-1", [this](SessionId) { return since_heard_; });
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
    deliver.set_lost_timeout_us(2'000'000);
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
  void TakeSnapshot(LinkId link) {
    std::vector<SessionId> ids = table().SessionIds();
    table().Snapshot(link, &ids);
    EXPECT_TRUE(ids.empty());
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
  // "open", "AGENT_BUSY NOT_SENT", "success <result>" or "unreadable: <why>".
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
    if (!answer.unreadable().empty()) return "unreadable: " + answer.unreadable();
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
        last_why_ = refusal.why();
        outcomes_[{link, refusal.call_id()}].push_back(R::Cause_Name(refusal.cause()) + " " +
                                                       E::Delivery_Name(refusal.delivery()));
      }
      for (const v1::SessionEvent& event : frame.sessions()) snapshots_[link].push_back(event);
    }
    for (const v1::StrayAnswer& stray : *batches.strays()) strays_.push_back(stray);
    for (const v1::SessionEvent& event : *batches.sessions()) events_.push_back(event);
    batches.Clear();
    for (const auto& [id, close] : table().closing()) {
      closes_[id].push_back(std::to_string(static_cast<int>(close.code)) + " " + close.text);
    }
    table().closing().clear();
    for (const SessionId id : table().writable()) writable_.insert(id);
    table().writable().clear();
  }

  FakeClock clock_;
  Duration since_heard_ = Duration::max();  // Bytes of any agent.
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
  std::string last_why_;  // Of the last refusal.
};

}  // namespace toolwire

#endif  // TOOLWIRE_TESTS_UNIT_EDGE_SESSION_FIXTURE_H_
