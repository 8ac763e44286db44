// Watchers of named users and of prefixes, as the directory finds them.
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "control/agent_directory.h"

namespace toolwire {
namespace {

using Events = google::protobuf::RepeatedPtrField<v1::SessionEvent>;
using W = v1::WatchAgentsResponse;
using Strings = std::vector<std::string>;

class AgentDirectoryFollowTest : public ::testing::Test {
 protected:
  void Change(const std::string& user_id, bool connected, uint64_t epoch = 1, bool replaced = false) {
    Events events;
    v1::SessionEvent* const event = events.Add();
    event->set_user_id(user_id);
    event->set_epoch(epoch);
    event->set_connected(connected);
    event->set_replaced(replaced);
    directory_.Apply("edge_a", events, now_);
  }
  AgentDirectory::Watcher Into(Strings* said) {
    return [said](const AgentDirectory::WatchBytes& bytes) {
      W message;
      ASSERT_TRUE(message.ParseFromString(*bytes));
      for (const W::Event& event : message.events()) {
        said->push_back(W::Kind_Name(event.kind()) + " " + event.agent().user_id());
      }
    };
  }
  uint64_t WatchBound(UserBound::Kind kind, const std::string& text, Strings* said) {
    const uint64_t watch_id = directory_.Watch({}, Into(said), {kind, text});
    while (!directory_.Continue(watch_id)) continue;
    said->clear();
    return watch_id;
  }
  bool Follow(uint64_t watch_id, const Strings& users, size_t max = 10) {
    return directory_.Follow(watch_id, users, max, &followed_);
  }

  AgentDirectory directory_;
  AgentDirectory::Followed followed_;
  MonoTime now_{std::chrono::hours(1)};
};

TEST_F(AgentDirectoryFollowTest, WatchersOfPrefixesGetTheEventsOfTheirUsersOnceEach) {
  std::map<std::string, Strings> said;
  std::vector<uint64_t> watches;
  for (const char* text : {"", "a", "ab", "abc", "b"}) {
    watches.push_back(WatchBound(UserBound::Kind::kPrefix, text, &said[text]));
  }
  watches.push_back(WatchBound(UserBound::Kind::kPrefix, "ab", &said["ab again"]));
  watches.push_back(WatchBound(UserBound::Kind::kOne, "ab", &said["one"]));
  watches.push_back(WatchBound(UserBound::Kind::kAll, "", &said["all"]));
  for (const char* user_id : {"a", "ab", "abcd", "ba"}) Change(user_id, true);
  const auto of = [&](const std::string& name) {
    Strings users;
    for (const std::string& event : said[name]) users.push_back(event.substr(event.find(' ') + 1));
    return users;
  };
  EXPECT_EQ(of(""), (Strings{"a", "ab", "abcd", "ba"}));
  EXPECT_EQ(of("all"), of(""));
  EXPECT_EQ(of("a"), (Strings{"a", "ab", "abcd"}));
  EXPECT_EQ(of("ab"), (Strings{"ab", "abcd"}));
  EXPECT_EQ(of("ab again"), of("ab"));
  EXPECT_EQ(of("abc"), (Strings{"abcd"}));
  EXPECT_EQ(of("b"), (Strings{"ba"}));
  EXPECT_EQ(of("one"), (Strings{"ab"}));
  for (const uint64_t watch_id : watches) directory_.Unwatch(watch_id);
  for (auto& [name, events] : said) events.clear();
  for (const char* user_id : {"a", "ab", "abcd", "ba"}) Change(user_id, false);
  for (const auto& [name, events] : said) EXPECT_TRUE(events.empty()) << name;
}

TEST_F(AgentDirectoryFollowTest, FollowedUsersAreCountedWithTheirBytesUntilTheyAreTakenAway) {
  Strings said;
  const uint64_t watch_id = directory_.WatchNamed(Into(&said));
  EXPECT_TRUE(Follow(watch_id, {"one", "two", "one"}));
  EXPECT_EQ(followed_.users, 2u);
  EXPECT_EQ(followed_.bytes, 6u);
  EXPECT_EQ(said, (Strings{"DISCONNECTED one", "DISCONNECTED two", "DISCONNECTED one"}));
  EXPECT_TRUE(Follow(watch_id, {"two"}, 2)) << "as many as may be";
  EXPECT_FALSE(Follow(watch_id, {"three"}, 2));
  directory_.Unfollow(watch_id, {"one", "nobody"}, &followed_);
  EXPECT_EQ(followed_.users, 1u);
  EXPECT_EQ(followed_.bytes, 3u);
  directory_.Unwatch(watch_id);
  EXPECT_TRUE(Follow(watch_id, {"one"})) << "of a watch that is gone nothing is said";
}

TEST_F(AgentDirectoryFollowTest, ThousandsOfUsersWhoWaitForAnEdgesReportAreAnsweredWhenItHasCome) {
  directory_.Await("edge_a");
  constexpr size_t kUsers = 3 * AgentDirectory::kSnapshotStep + 7;
  Strings said, other;
  const uint64_t watch_id = directory_.WatchNamed(Into(&said));
  const uint64_t second = directory_.WatchNamed(Into(&other));
  Strings users;
  for (size_t i = 0; i < kUsers; ++i) users.push_back("user_" + std::to_string(i));
  EXPECT_TRUE(Follow(watch_id, users, kUsers));
  EXPECT_TRUE(Follow(second, {"last"}));
  Change("user_5", true);
  EXPECT_EQ(said, (Strings{"CONNECTED user_5"}));
  directory_.Settle("edge_a");
  EXPECT_EQ(said.size(), kUsers);
  EXPECT_EQ(std::set<std::string>(said.begin(), said.end()).size(), kUsers) << "each once";
  EXPECT_EQ(other, (Strings{"DISCONNECTED last"}));
  directory_.Unwatch(watch_id);
  directory_.Unwatch(second);
}

TEST_F(AgentDirectoryFollowTest, AgentsThatMovedForTooLongGoAFewAtATime) {
  constexpr size_t kAgents = AgentDirectory::kSnapshotStep + 5;
  for (size_t i = 0; i < kAgents; ++i) Change("user_" + std::to_string(i), true);
  for (size_t i = 0; i < kAgents; ++i) Change("user_" + std::to_string(i), false, 1, /*replaced=*/true);
  directory_.Expire(now_ + AgentDirectory::kMoveMax);
  EXPECT_GE(directory_.size(), 5u);
  EXPECT_LT(directory_.size(), kAgents);
  for (int i = 0; i < 3; ++i) directory_.Expire(now_ + AgentDirectory::kMoveMax);
  EXPECT_EQ(directory_.size(), 0u);
}

}  // namespace
}  // namespace toolwire
