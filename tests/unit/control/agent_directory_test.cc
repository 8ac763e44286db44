#include "control/agent_directory.h"

#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace toolwire {
namespace {

using Events = google::protobuf::RepeatedPtrField<v1::SessionEvent>;
using W = v1::WatchAgentsResponse;

Events One(const std::string& user_id, uint64_t epoch, bool connected, int64_t at_ms = 1000) {
  Events events;
  v1::SessionEvent* event = events.Add();
  event->set_user_id(user_id);
  event->set_epoch(epoch);
  event->set_connected(connected);
  event->set_connected_at_ms(at_ms);
  return events;
}
Events Connected(const std::string& user_id, uint64_t epoch) { return One(user_id, epoch, true); }
Events Disconnected(const std::string& user_id, uint64_t epoch) { return One(user_id, epoch, false); }
Events SnapshotComplete() {
  Events events;
  events.Add()->set_snapshot_complete(true);
  return events;
}

// "edge_a 3", or "none".
std::string Where(const AgentDirectory& directory, const std::string& user_id) {
  const std::optional<Presence> presence = directory.Find(user_id);
  return presence ? presence->edge_id + " " + std::to_string(presence->epoch) : "none";
}

std::vector<std::string> Ids(const std::vector<v1::Agent>& agents) {
  std::vector<std::string> ids;
  for (const v1::Agent& agent : agents) ids.push_back(agent.user_id());
  return ids;
}

using Strings = std::vector<std::string>;

// A watcher that looks at each event.
template <typename See>
AgentDirectory::Watcher Each(See&& see) {
  return [see](const AgentDirectory::WatchBytes& bytes) {
    W message;
    ASSERT_TRUE(message.ParseFromString(*bytes));
    for (const W::Event& event : message.events()) see(event);
  };
}
// Watches, and reads the whole snapshot.
uint64_t Watch(AgentDirectory* directory, std::set<std::string> users, AgentDirectory::Watcher watcher) {
  const uint64_t watch = directory->Watch(std::move(users), std::move(watcher));
  while (!directory->Continue(watch)) {
  }
  return watch;
}

// What a watcher received: "CONNECTED user_1 edge_a 1".
class Watched {
 public:
  AgentDirectory::Watcher Watcher() {
    return Each([this](const W::Event& event) {
      std::string line = W::Kind_Name(event.kind());
      if (event.has_agent()) {
        line += " " + event.agent().user_id() + " " + event.agent().server_id() + " " +
                std::to_string(event.agent().epoch());
        EXPECT_EQ(event.agent().connected(), event.kind() != W::DISCONNECTED);
      }
      events_.push_back(line);
    });
  }
  Strings Take() { return std::exchange(events_, {}); }

 private:
  Strings events_;
};

TEST(AgentDirectoryTest, AgentIsKnownFromItsConnectToItsDisconnect) {
  AgentDirectory directory;
  EXPECT_EQ(Where(directory, "user_1"), "none");
  directory.Apply("edge_a", One("user_1", 3, true, 1763300000123));
  EXPECT_EQ(Where(directory, "user_1"), "edge_a 3");
  EXPECT_EQ(directory.Find("user_1")->connected_at_ms, 1763300000123);
  EXPECT_EQ(directory.size(), 1u);
  directory.Apply("edge_a", Disconnected("user_1", 3));
  EXPECT_EQ(Where(directory, "user_1"), "none");
  EXPECT_EQ(directory.size(), 0u);
}

TEST(AgentDirectoryTest, NewerSessionWinsInWhateverOrderTheyCome) {
  AgentDirectory directory;
  directory.Apply("edge_a", Connected("user_1", 3));
  directory.Apply("edge_b", Connected("user_1", 4));
  EXPECT_EQ(Where(directory, "user_1"), "edge_b 4");
  directory.Apply("edge_b", Connected("user_2", 4));
  directory.Apply("edge_a", Connected("user_2", 3));
  EXPECT_EQ(Where(directory, "user_2"), "edge_b 4");
}

TEST(AgentDirectoryTest, LateDisconnectNeverHidesANewerSession) {
  AgentDirectory directory;
  directory.Apply("edge_a", Connected("user_1", 3));
  directory.Apply("edge_b", Connected("user_1", 4));
  directory.Apply("edge_a", Disconnected("user_1", 3));
  EXPECT_EQ(Where(directory, "user_1"), "edge_b 4");
  directory.Apply("edge_a", Connected("user_2", 3));
  directory.Apply("edge_a", Connected("user_2", 4));
  directory.Apply("edge_a", Disconnected("user_2", 3));
  EXPECT_EQ(Where(directory, "user_2"), "edge_a 4");
}

TEST(AgentDirectoryTest, DisconnectOfAnUnknownAgentOrFromAnotherEdgeChangesNothing) {
  AgentDirectory directory;
  directory.Apply("edge_a", Disconnected("user_1", 3));
  directory.Apply("edge_a", Connected("user_1", 3));
  directory.Apply("edge_b", Disconnected("user_1", 3));
  EXPECT_EQ(Where(directory, "user_1"), "edge_a 3");
}

TEST(AgentDirectoryTest, EventsOfOneFrameAreAppliedInOrder) {
  AgentDirectory directory;
  Events events = Connected("user_1", 3);
  events.MergeFrom(Disconnected("user_1", 3));
  events.MergeFrom(Connected("user_2", 4));
  events.MergeFrom(Disconnected("user_2", 4));
  events.MergeFrom(Connected("user_2", 5));
  directory.Apply("edge_a", events);
  EXPECT_EQ(Where(directory, "user_1"), "none");
  EXPECT_EQ(Where(directory, "user_2"), "edge_a 5");
}

TEST(AgentDirectoryTest, EdgeThatIsGoneTakesItsAgentsAlong) {
  AgentDirectory directory;
  directory.Apply("edge_a", Connected("user_1", 1));
  directory.Apply("edge_b", Connected("user_2", 2));
  directory.Apply("edge_a", Connected("user_3", 3));
  directory.RemoveEdge("edge_a", 1);
  EXPECT_EQ(Where(directory, "user_1"), "none");
  EXPECT_EQ(Where(directory, "user_2"), "edge_b 2");
  EXPECT_EQ(Where(directory, "user_3"), "none");
  directory.RemoveEdge("edge_unknown", 1);
  EXPECT_EQ(directory.size(), 1u);
}

TEST(AgentDirectoryTest, AgentsOfOneEdgeAreListedAndCounted) {
  AgentDirectory directory;
  google::protobuf::RepeatedPtrField<v1::SessionEvent> events;
  for (const char* user : {"a", "b", "c"}) {
    v1::SessionEvent* event = events.Add();
    event->set_user_id(user);
    event->set_epoch(1);
    event->set_connected(true);
  }
  directory.Apply("edge_1", events);
  EXPECT_EQ(directory.size_of("edge_1"), 3u);
  events.Mutable(1)->set_epoch(2);
  directory.Apply("edge_2", events);  // "b" moves; the others are older than or as old as what is known.
  EXPECT_EQ(directory.size_of("edge_2"), directory.List("", 10, "edge_2").size());
  EXPECT_EQ(directory.size_of("edge_1") + directory.size_of("edge_2"), 3u);
  const std::vector<v1::Agent> moved = directory.List("a", 1, "edge_2");
  ASSERT_EQ(moved.size(), 1u);
  EXPECT_EQ(moved[0].user_id(), "b");
  directory.RemoveEdge("edge_2", 1);
  EXPECT_EQ(directory.size_of("edge_2"), 0u);
  EXPECT_EQ(directory.size_of("nowhere"), 0u);
}

TEST(AgentDirectoryTest, AgentThatMovesIsNeverReportedDisconnected) {
  AgentDirectory directory;
  const auto event = [](uint64_t epoch, bool connected, bool replaced) {
    google::protobuf::RepeatedPtrField<v1::SessionEvent> events;
    v1::SessionEvent* one = events.Add();
    one->set_user_id("user");
    one->set_epoch(epoch);
    one->set_connected(connected);
    one->set_replaced(replaced);
    return events;
  };
  const MonoTime start{};
  std::vector<v1::WatchAgentsResponse::Kind> seen;
  Watch(&directory, {}, Each([&](const W::Event& one) { seen.push_back(one.kind()); }));
  directory.Apply("edge_1", event(1, true, false), start);
  // The old edge speaks first.
  directory.Apply("edge_1", event(1, false, true), start);
  EXPECT_FALSE(directory.Find("user")) << "calls ask the registry";
  EXPECT_EQ(directory.size(), 1u);
  directory.Forget("user", "edge_1", 1);
  directory.Apply("edge_2", event(2, true, false), start);
  EXPECT_EQ(directory.Find("user")->edge_id, "edge_2");
  // The new edge speaks first.
  directory.Apply("edge_1", event(3, true, false), start);
  directory.Apply("edge_2", event(2, false, true), start);
  directory.Expire(start + AgentDirectory::kMoveMax);
  EXPECT_EQ(directory.Find("user")->edge_id, "edge_1");
  using W = v1::WatchAgentsResponse;
  EXPECT_EQ(seen, (std::vector<W::Kind>{W::SNAPSHOT_COMPLETE, W::CONNECTED, W::MOVED, W::MOVED}));
  // The new edge never speaks.
  directory.Apply("edge_1", event(3, false, true), start);
  directory.Expire(start + AgentDirectory::kMoveMax - Duration(1));
  EXPECT_EQ(directory.size(), 1u);
  directory.Expire(start + AgentDirectory::kMoveMax);
  EXPECT_EQ(directory.size(), 0u);
  EXPECT_EQ(seen.back(), W::DISCONNECTED);
}

TEST(AgentDirectoryTest, EndOfAnOldLinkLeavesWhatTheNewOneTold) {
  AgentDirectory directory;
  directory.BeginSnapshot("edge_a", 1);
  directory.BeginSnapshot("edge_a", 2);
  google::protobuf::RepeatedPtrField<v1::SessionEvent> events;
  v1::SessionEvent* event = events.Add();
  event->set_user_id("user");
  event->set_epoch(7);
  event->set_connected(true);
  directory.Apply("edge_a", events);
  directory.RemoveEdge("edge_a", 1);
  EXPECT_EQ(directory.size(), 1u);
  directory.RemoveEdge("edge_a", 2);
  EXPECT_EQ(directory.size(), 0u);
}

TEST(AgentDirectoryTest, ForgettingNeedsTheEdgeAndTheEpoch) {
  AgentDirectory directory;
  directory.Apply("edge_a", Connected("user_1", 3));
  directory.Forget("user_1", "edge_a", 2);
  directory.Forget("user_1", "edge_a", 4);
  directory.Forget("user_1", "edge_b", 3);
  directory.Forget("user_2", "edge_a", 3);
  EXPECT_EQ(Where(directory, "user_1"), "edge_a 3");
  directory.Forget("user_1", "edge_a", 3);
  EXPECT_EQ(Where(directory, "user_1"), "none");
}

// --- snapshots -------------------------------------------------------------------------------------------------------

TEST(AgentDirectoryTest, SnapshotForgetsWhomItDoesNotName) {
  AgentDirectory directory;
  directory.Apply("edge_a", Connected("user_1", 1));
  directory.Apply("edge_a", Connected("user_2", 2));
  directory.Apply("edge_b", Connected("user_3", 3));
  directory.BeginSnapshot("edge_a", 1);
  EXPECT_EQ(Where(directory, "user_2"), "edge_a 2") << "until the snapshot's end what was known is the best guess";
  directory.Apply("edge_a", Connected("user_1", 1));
  directory.Apply("edge_a", SnapshotComplete());
  EXPECT_EQ(Where(directory, "user_1"), "edge_a 1");
  EXPECT_EQ(Where(directory, "user_2"), "none");
  EXPECT_EQ(Where(directory, "user_3"), "edge_b 3") << "another edge's snapshot says nothing of it";
}

TEST(AgentDirectoryTest, SnapshotsOfTwoEdgesDoNotMix) {
  AgentDirectory directory;
  directory.Apply("edge_a", Connected("user_1", 1));
  directory.Apply("edge_b", Connected("user_2", 2));
  directory.BeginSnapshot("edge_a", 1);
  directory.BeginSnapshot("edge_b", 1);
  directory.Apply("edge_a", SnapshotComplete());
  EXPECT_EQ(Where(directory, "user_1"), "none");
  EXPECT_EQ(Where(directory, "user_2"), "edge_b 2");
  directory.Apply("edge_b", SnapshotComplete());
  EXPECT_EQ(Where(directory, "user_2"), "none");
}

TEST(AgentDirectoryTest, AgentThatMovedDuringASnapshotStays) {
  AgentDirectory directory;
  directory.Apply("edge_a", Connected("user_1", 1));
  directory.Apply("edge_a", Connected("user_2", 2));
  directory.BeginSnapshot("edge_a", 1);
  directory.Apply("edge_b", Connected("user_1", 3));
  directory.Apply("edge_a", Connected("user_2", 4));
  directory.Apply("edge_a", SnapshotComplete());
  EXPECT_EQ(Where(directory, "user_1"), "edge_b 3");
  EXPECT_EQ(Where(directory, "user_2"), "edge_a 4");
}

TEST(AgentDirectoryTest, SecondSnapshotStartsFromNothing) {
  AgentDirectory directory;
  directory.Apply("edge_a", Connected("user_1", 1));
  directory.BeginSnapshot("edge_a", 1);
  directory.Apply("edge_a", Connected("user_1", 1));
  directory.BeginSnapshot("edge_a", 1);
  directory.Apply("edge_a", SnapshotComplete());
  EXPECT_EQ(Where(directory, "user_1"), "none");
}

TEST(AgentDirectoryTest, SnapshotCompleteWithoutABeginningForgetsNobody) {
  AgentDirectory directory;
  directory.Apply("edge_a", Connected("user_1", 1));
  directory.Apply("edge_a", SnapshotComplete());
  EXPECT_EQ(Where(directory, "user_1"), "edge_a 1");
}

// --- listing ---------------------------------------------------------------------------------------------------------

TEST(AgentDirectoryTest, PagesNameEveryAgentOnceAndInOrder) {
  AgentDirectory directory;
  Strings all;
  for (int i = 0; i < 25; ++i) {
    all.push_back("user_" + std::string(1, static_cast<char>('a' + i)));
    directory.Apply("edge_a", Connected("user_" + std::string(1, static_cast<char>('a' + (i * 7) % 25)), i + 1));
  }
  for (const size_t limit : {1, 7, 25, 100}) {
    Strings listed;
    std::string after;
    while (listed.size() <= all.size()) {  // More would be one twice.
      const Strings page = Ids(directory.List(after, limit));
      EXPECT_LE(page.size(), limit);
      if (page.empty()) break;
      listed.insert(listed.end(), page.begin(), page.end());
      after = page.back();
    }
    EXPECT_EQ(listed, all) << "pages of " << limit;
  }
  EXPECT_TRUE(directory.List("", 0).empty());
  EXPECT_TRUE(directory.List("user_z", 10).empty());
  EXPECT_EQ(Ids(directory.List("user_bb", 1)), Strings{"user_c"}) << "the token need not be a user";
}

TEST(AgentDirectoryTest, ListsAndWatchesKeepWithinTheirBound) {
  AgentDirectory directory;
  const Strings all = {"a", "ab", "ab_1", "ab_2", "ac", "b"};
  for (const std::string& user : all) directory.Apply("edge_a", Connected(user, 1));
  const UserBound one{UserBound::Kind::kOne, "ab"}, prefix{UserBound::Kind::kPrefix, "ab"};
  const UserBound nobody{UserBound::Kind::kPrefix, "aa"};
  EXPECT_EQ(Ids(directory.List("", 10, "", one)), Strings{"ab"});
  EXPECT_EQ(Ids(directory.List("ab", 10, "", one)), Strings{});
  EXPECT_EQ(Ids(directory.List("", 10, "", prefix)), (Strings{"ab", "ab_1", "ab_2"}));
  EXPECT_EQ(Ids(directory.List("ab", 1, "", prefix)), Strings{"ab_1"});
  EXPECT_EQ(Ids(directory.List("b", 10, "", prefix)), Strings{});
  EXPECT_EQ(Ids(directory.List("", 10, "edge_a", prefix)), (Strings{"ab", "ab_1", "ab_2"}));
  EXPECT_EQ(Ids(directory.List("", 10, "edge_b", prefix)), Strings{});
  EXPECT_EQ(Ids(directory.List("", 10, "", nobody)), Strings{});
  Watched watched, idle;
  const uint64_t watch = directory.Watch({}, watched.Watcher(), prefix);
  EXPECT_TRUE(directory.Continue(watch));
  EXPECT_EQ(watched.Take(), (Strings{"CONNECTED ab edge_a 1", "CONNECTED ab_1 edge_a 1", "CONNECTED ab_2 edge_a 1",
                                     "SNAPSHOT_COMPLETE"}));
  EXPECT_TRUE(directory.Continue(directory.Watch({}, idle.Watcher(), nobody)));
  EXPECT_EQ(idle.Take(), Strings{"SNAPSHOT_COMPLETE"});
  for (const std::string& user : all) directory.Apply("edge_b", Connected(user, 2));
  directory.Apply("edge_a", Connected("ab_3", 1));
  EXPECT_EQ(watched.Take(),
            (Strings{"MOVED ab edge_b 2", "MOVED ab_1 edge_b 2", "MOVED ab_2 edge_b 2", "CONNECTED ab_3 edge_a 1"}));
  EXPECT_EQ(idle.Take(), Strings{});
}

TEST(AgentDirectoryTest, PublicFormHasAllThatIsKnown) {
  AgentDirectory directory;
  directory.Apply("edge_a", One("user_1", 7, true, 1763300000123));
  const std::vector<v1::Agent> agents = directory.List("", 10);
  ASSERT_EQ(agents.size(), 1u);
  EXPECT_EQ(agents[0].user_id(), "user_1");
  EXPECT_TRUE(agents[0].connected());
  EXPECT_EQ(agents[0].server_id(), "edge_a");
  EXPECT_EQ(agents[0].epoch(), 7u);
  EXPECT_EQ(agents[0].connected_at().seconds(), 1763300000);
  EXPECT_EQ(agents[0].connected_at().nanos(), 123'000'000);
  EXPECT_EQ(ToAgent("user_1", directory.Find("user_1")).SerializeAsString(), agents[0].SerializeAsString());
}

TEST(AgentDirectoryTest, PublicFormOfAnAgentThatIsNotConnectedIsItsUserOnly) {
  v1::Agent expected;
  expected.set_user_id("user_1");
  EXPECT_EQ(ToAgent("user_1", std::nullopt).SerializeAsString(), expected.SerializeAsString());
}

// --- watching --------------------------------------------------------------------------------------------------------

TEST(AgentDirectoryTest, WatchBeginsWithWhatIsKnownAndFollows) {
  AgentDirectory directory;
  directory.Apply("edge_a", Connected("user_2", 2));
  directory.Apply("edge_a", Connected("user_1", 1));
  Watched watched;
  const uint64_t watch = Watch(&directory, {}, watched.Watcher());
  EXPECT_EQ(watched.Take(), (Strings{"CONNECTED user_1 edge_a 1", "CONNECTED user_2 edge_a 2", "SNAPSHOT_COMPLETE"}));
  directory.Apply("edge_b", Connected("user_3", 3));
  directory.Apply("edge_b", Connected("user_1", 4));
  directory.Apply("edge_b", Connected("user_1", 5));
  directory.Apply("edge_b", Disconnected("user_3", 3));
  EXPECT_EQ(watched.Take(), (Strings{"CONNECTED user_3 edge_b 3", "MOVED user_1 edge_b 4", "MOVED user_1 edge_b 5",
                                     "DISCONNECTED user_3 edge_b 3"}));
  directory.Unwatch(watch);
  directory.Apply("edge_b", Connected("user_9", 9));
  EXPECT_EQ(watched.Take(), Strings{});
}

// As after a start: whoever compares the snapshot with what was known before must not take silence for an end.
TEST(AgentDirectoryTest, SnapshotIsNotCompleteBeforeTheAwaitedEdgesHaveReported) {
  AgentDirectory directory;
  for (const char* edge : {"edge_a", "edge_b", "edge_c"}) directory.Await(edge);
  Watched watched;
  const uint64_t watch = directory.Watch({}, watched.Watcher());
  EXPECT_FALSE(directory.Continue(watch));
  EXPECT_FALSE(directory.Continue(watch));
  EXPECT_EQ(watched.Take(), Strings{});
  directory.BeginSnapshot("edge_a", 1);
  directory.Apply("edge_a", Connected("user_1", 1));
  directory.Apply("edge_a", SnapshotComplete());
  EXPECT_EQ(watched.Take(), Strings{"CONNECTED user_1 edge_a 1"});
  directory.Settle("edge_b");  // It cannot be reached.
  EXPECT_EQ(watched.Take(), Strings{});
  directory.BeginSnapshot("edge_c", 2);
  directory.Apply("edge_c", Connected("user_2", 2));
  directory.Apply("edge_c", SnapshotComplete());
  EXPECT_EQ(watched.Take(), (Strings{"CONNECTED user_2 edge_c 2", "SNAPSHOT_COMPLETE"}));
  directory.Settle("edge_b");
  EXPECT_TRUE(directory.Continue(watch));
  EXPECT_EQ(watched.Take(), Strings{}) << "once";
}

TEST(AgentDirectoryTest, EventsThatChangeNothingAreNotReported) {
  AgentDirectory directory;
  Watched watched;
  Watch(&directory, {}, watched.Watcher());
  EXPECT_EQ(watched.Take(), Strings{"SNAPSHOT_COMPLETE"});
  directory.Apply("edge_a", Connected("user_1", 2));
  EXPECT_EQ(watched.Take().size(), 1u);
  directory.Apply("edge_a", Connected("user_1", 2));
  directory.Apply("edge_b", Connected("user_1", 1));
  directory.Apply("edge_a", Disconnected("user_1", 1));
  directory.Apply("edge_a", Disconnected("user_2", 5));
  directory.Forget("user_1", "edge_a", 1);
  directory.BeginSnapshot("edge_a", 1);
  directory.Apply("edge_a", Connected("user_1", 2));
  directory.Apply("edge_a", SnapshotComplete());
  EXPECT_EQ(watched.Take(), Strings{}) << "a link that comes back is no news";
}

TEST(AgentDirectoryTest, EveryWayToBeForgottenIsReportedOnce) {
  AgentDirectory directory;
  for (int i = 1; i <= 4; ++i) directory.Apply("edge_a", Connected("user_" + std::to_string(i), i));
  Watched watched;
  Watch(&directory, {}, watched.Watcher());
  watched.Take();
  directory.Apply("edge_a", Disconnected("user_1", 1));
  directory.Forget("user_2", "edge_a", 2);
  directory.BeginSnapshot("edge_a", 1);
  directory.Apply("edge_a", Connected("user_4", 4));
  directory.Apply("edge_a", SnapshotComplete());
  directory.RemoveEdge("edge_a", 1);
  EXPECT_EQ(watched.Take(), (Strings{"DISCONNECTED user_1 edge_a 1", "DISCONNECTED user_2 edge_a 2",
                                     "DISCONNECTED user_3 edge_a 3", "DISCONNECTED user_4 edge_a 4"}));
}

TEST(AgentDirectoryTest, WatchOfSomeUsersHearsOfThemOnly) {
  AgentDirectory directory;
  directory.Apply("edge_a", Connected("user_1", 1));
  directory.Apply("edge_a", Connected("user_2", 2));
  Watched some, all;
  Watch(&directory, {"user_2", "user_3"}, some.Watcher());
  Watch(&directory, {}, all.Watcher());
  EXPECT_EQ(some.Take(), (Strings{"CONNECTED user_2 edge_a 2", "SNAPSHOT_COMPLETE"}));
  all.Take();
  directory.Apply("edge_a", Connected("user_3", 3));
  directory.Apply("edge_a", Connected("user_4", 4));
  directory.RemoveEdge("edge_a", 1);
  EXPECT_EQ(some.Take(),
            (Strings{"CONNECTED user_3 edge_a 3", "DISCONNECTED user_2 edge_a 2", "DISCONNECTED user_3 edge_a 3"}));
  EXPECT_EQ(all.Take().size(), 6u);
}

TEST(AgentDirectoryTest, UnwatchOfAnUnknownWatchChangesNothing) {
  AgentDirectory directory;
  Watched watched;
  const uint64_t watch = Watch(&directory, {}, watched.Watcher());
  directory.Unwatch(watch + 1);
  directory.Apply("edge_a", Connected("user_1", 1));
  EXPECT_EQ(watched.Take().size(), 2u);
}

std::string UserAt(size_t i) { return "user_" + std::to_string(1'000'000 + i); }

TEST(AgentDirectoryTest, SnapshotComesInStepsAndChangesBehindItFollowAtOnce) {
  AgentDirectory directory;
  const size_t step = AgentDirectory::kSnapshotStep;
  for (size_t i = 0; i < step + 2; ++i) directory.Apply("edge_a", Connected(UserAt(2 * i), 1));
  Watched watched;
  const uint64_t watch = directory.Watch({}, watched.Watcher());
  directory.Apply("edge_a", Disconnected(UserAt(0), 1));
  EXPECT_EQ(watched.Take(), Strings{}) << "nothing is reported of whom the snapshot has not come to";
  EXPECT_FALSE(directory.Continue(watch));
  EXPECT_EQ(watched.Take().size(), step);
  directory.Apply("edge_a", Connected(UserAt(1), 1));
  directory.Apply("edge_b", Connected(UserAt(2), 2));
  directory.Apply("edge_a", Connected(UserAt(2 * step + 1), 1));
  directory.Apply("edge_b", Connected(UserAt(2 * step + 2), 2));
  EXPECT_EQ(watched.Take(), (Strings{"CONNECTED " + UserAt(1) + " edge_a 1", "MOVED " + UserAt(2) + " edge_b 2"}));
  EXPECT_TRUE(directory.Continue(watch));
  EXPECT_EQ(watched.Take(), (Strings{"CONNECTED " + UserAt(2 * step + 1) + " edge_a 1",
                                     "CONNECTED " + UserAt(2 * step + 2) + " edge_b 2", "SNAPSHOT_COMPLETE"}));
  EXPECT_TRUE(directory.Continue(watch));
  EXPECT_EQ(watched.Take(), Strings{});
}

TEST(AgentDirectoryTest, CallsFindTheirAgentsWhileManyOthersGo) {
  constexpr int kAgents = 10000;
  for (const bool by_snapshot : {true, false}) {
    AgentDirectory directory;
    directory.Apply("edge_b", Connected("user", 1));
    for (int i = 0; i < kAgents; ++i) directory.Apply("edge_a", Connected("user_" + std::to_string(i), 1));
    // What the first event starts finds its agent before the last event.
    std::atomic<int> seen{0};
    std::atomic<bool> finds{false};
    std::thread caller;
    int seen_when_found = 0;
    Watch(&directory, {}, Each([&](const W::Event& event) {
      if (event.kind() != W::DISCONNECTED) return;
      if (seen == 0) {
        caller = std::thread([&] {
          finds = true;
          EXPECT_EQ(Where(directory, "user"), "edge_b 1");
          seen_when_found = seen;
        });
        while (!finds) std::this_thread::yield();
      }
      if (++seen % 100 == 0) std::this_thread::yield();
    }));
    directory.BeginSnapshot("edge_a", 1);
    if (by_snapshot) {
      directory.Apply("edge_a", SnapshotComplete());
    } else {
      directory.RemoveEdge("edge_a", 1);
    }
    caller.join();
    EXPECT_EQ(seen, kAgents);
    EXPECT_LT(seen_when_found, kAgents);
  }
}

TEST(AgentDirectoryTest, SameEdgeMayComeBackWhileItsAgentsGo) {
  AgentDirectory directory;
  directory.BeginSnapshot("edge_a", 1);
  for (int i = 0; i < 5000; ++i) directory.Apply("edge_a", Connected("user_" + std::to_string(i), 1));
  // Between two steps: watchers are called with the lock held, so the link comes from another thread.
  std::thread link;
  bool started = false;
  Watch(&directory, {}, Each([&](const W::Event& event) {
    if (event.kind() != W::DISCONNECTED || std::exchange(started, true)) return;
    link = std::thread([&] {
      directory.BeginSnapshot("edge_a", 2);
      directory.Apply("edge_a", Connected("user_0", 1));
      directory.Apply("edge_a", Connected("user_4999", 1));
    });
  }));
  directory.RemoveEdge("edge_a", 1);
  link.join();
  directory.Apply("edge_a", SnapshotComplete());
  EXPECT_EQ(directory.size(), 2u);
  EXPECT_EQ(directory.size_of("edge_a"), 2u);
  EXPECT_EQ(Ids(directory.List("", 10, "edge_a")), (Strings{"user_0", "user_4999"}));
}

TEST(AgentDirectoryTest, WatchersShareTheBytesOfAnEvent) {
  AgentDirectory directory;
  std::vector<AgentDirectory::WatchBytes> seen;
  for (int i = 0; i < 3; ++i) Watch(&directory, {}, [&](const auto& bytes) { seen.push_back(bytes); });
  Watch(&directory, {"user_1"}, [&](const auto& bytes) { seen.push_back(bytes); });
  seen.clear();
  directory.Apply("edge_a", Connected("user_1", 1));
  ASSERT_EQ(seen.size(), 4u);
  for (const auto& bytes : seen) EXPECT_EQ(bytes, seen[0]);
}

// A watcher that applies what it receives to an empty map always has what the directory has: nothing is left out, comes
// twice or out of order, however edges race.
TEST(AgentDirectoryTest, WatchersKnowWhatTheDirectoryKnows) {
  constexpr int kThreads = 3;
  AgentDirectory directory;
  std::map<std::string, std::string> received;  // Guarded by the directory's lock.
  bool consistent = true;
  const auto watcher = [&](const W::Event& event) {
    const std::string& user_id = event.agent().user_id();
    const std::string where = event.agent().server_id() + " " + std::to_string(event.agent().epoch());
    switch (event.kind()) {
      case W::CONNECTED:
        consistent &= received.emplace(user_id, where).second;
        break;
      case W::MOVED:
        consistent &= received.count(user_id) == 1;
        received[user_id] = where;
        break;
      case W::DISCONNECTED:
        consistent &= received.erase(user_id) == 1;
        break;
      default:
        break;
    }
  };
  const uint64_t watch = Watch(&directory, {}, Each(watcher));
  std::atomic<uint64_t> epoch{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937 random(t + 1);
      const std::string edge = "edge_" + std::to_string(t);
      for (int i = 0; i < 3000; ++i) {
        const std::string user = "user_" + std::to_string(random() % 20);
        const uint64_t recent = epoch - std::min<uint64_t>(epoch, random() % 20);
        switch (random() % 12) {
          case 0:
            directory.RemoveEdge(edge, 1);
            break;
          case 1:
            directory.BeginSnapshot(edge, 1);
            break;
          case 2:
            directory.Apply(edge, SnapshotComplete());
            break;
          case 3:
            directory.Forget(user, edge, recent);
            break;
          case 4:
          case 5:
            directory.Apply(edge, Disconnected(user, recent));
            break;
          case 6:
            directory.Unwatch(Watch(&directory, {}, [](const auto&) {}));
            break;
          default:
            directory.Apply(edge, Connected(user, random() % 4 == 0 ? recent : ++epoch));
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  directory.Unwatch(watch);
  EXPECT_TRUE(consistent);
  std::map<std::string, std::string> known;
  for (const v1::Agent& agent : directory.List("", 1000)) {
    known[agent.user_id()] = agent.server_id() + " " + std::to_string(agent.epoch());
    EXPECT_EQ(Where(directory, agent.user_id()), known[agent.user_id()]);
  }
  EXPECT_EQ(received, known);
  EXPECT_EQ(directory.size(), known.size());
}

}  // namespace
}  // namespace toolwire
