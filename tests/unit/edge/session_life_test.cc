// How long a session lives, and what controls and the registry learn of it.
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "tests/unit/edge/session_fixture.h"

namespace toolwire {
namespace {

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

TEST_F(SessionTest, BytesThatHaveComeKeepTheSessionThoughTheyAreNoWholeFrameOrWaitUnread) {
  OpenAndRead();
  since_heard_ = seconds(1);
  Advance(limits_.heartbeat_timeout);
  EXPECT_EQ(CloseOf(), "none");
  since_heard_ = limits_.heartbeat_timeout;
  Advance(limits_.heartbeat_timeout - seconds(2));
  EXPECT_EQ(CloseOf(), "none") << "a second has passed already";
  Advance(seconds(1));
  EXPECT_EQ(CloseOf(), "4002 Heartbeat timeout");
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
  EXPECT_EQ(table().Find(kSession)->user_id(), kUser);
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
  EXPECT_EQ(table().Find(kSession), nullptr);
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
  TakeSnapshot(3);
  EXPECT_EQ(snapshots_[3].size(), 0u);
  Open(1, "user_1", 5);
  Open(2, "user_2", 6);
  Open(3, "user_3", 7);
  CloseSocket(2);
  events_.clear();
  TakeSnapshot(3);
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

TEST_F(SessionTest, SnapshotOfManySessionsComesInSlicesAndLeavesOutThoseThatEndMeanwhile) {
  for (SessionId id = 1; id <= 2 * SessionTable::kAtOnce + 1; ++id) Open(id, "user_" + std::to_string(id), id);
  std::vector<SessionId> ids = table().SessionIds();
  table().Snapshot(3, &ids);
  Collect();
  EXPECT_EQ(snapshots_[3].size(), SessionTable::kAtOnce);
  CloseSocket(ids.back());
  Open(9'000, "user_new", 9'000);
  int slices = 1;
  for (; !ids.empty(); ++slices) {
    table().Snapshot(3, &ids);
    Collect();
  }
  EXPECT_EQ(slices, 3);
  EXPECT_EQ(snapshots_[3].size(), 2 * SessionTable::kAtOnce) << "the new one was reported to every link";
}

TEST_F(SessionTest, ManySilentSessionsAreClosedInSlices) {
  const size_t count = 2 * SessionTable::kClosesAtOnce + 1;
  for (SessionId id = 1; id <= count; ++id) Open(id, "user_" + std::to_string(id), id);
  clock_.Advance(limits_.heartbeat_timeout + seconds(1));
  EXPECT_FALSE(table().Advance());
  EXPECT_EQ(table().closing().size(), SessionTable::kClosesAtOnce);
  EXPECT_FALSE(table().Advance());
  EXPECT_TRUE(table().Advance());
  EXPECT_EQ(table().closing().size(), count);
  table().closing().clear();
}

TEST_F(SessionTest, ManyCallsCancelledTogetherEndInSlicesInTheirOrder) {
  const uint64_t count = 2 * SessionTable::kAtOnce + 1;
  OpenAndRead();
  for (uint64_t id = 1; id <= count; ++id) Deliver(id, "req_" + std::to_string(id));
  std::vector<uint64_t> all;
  for (uint64_t id = 1; id <= count; ++id) all.push_back(id);
  table().CancelLater(kLink, all);
  EXPECT_EQ(table().calls(), count);
  EXPECT_FALSE(table().Advance());
  Collect();
  EXPECT_EQ(table().calls(), count - SessionTable::kAtOnce);
  EXPECT_EQ(OutcomeOf(SessionTable::kAtOnce), "CANCELLED NOT_SENT");
  EXPECT_EQ(OutcomeOf(SessionTable::kAtOnce + 1), "open");
  EXPECT_FALSE(table().Advance());
  EXPECT_TRUE(table().Advance());
  Collect();
  EXPECT_EQ(table().calls(), 0u);
}

TEST_F(SessionTest, SessionsWithManyCallsAreClosedFewAtATime) {
  for (SessionId id = 1; id <= 4; ++id) {
    Open(id, "user_" + std::to_string(id), id);
    for (uint64_t i = 0; i < SessionTable::kAtOnce / 2; ++i) DeliverTo(id, kLink, id * 10'000 + i, std::to_string(i));
  }
  for (SessionId id = 1; id <= 4 + SessionTable::kClosesAtOnce; ++id) {
    table().closing().emplace_back(id, close_reason::kNoHeartbeat);
  }
  EXPECT_EQ(table().TakeClosing().size(), 2u);
  EXPECT_EQ(table().TakeClosing().size(), 2u);
  EXPECT_EQ(table().TakeClosing().size(), SessionTable::kClosesAtOnce);
  EXPECT_EQ(table().TakeClosing().size(), 0u);
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
