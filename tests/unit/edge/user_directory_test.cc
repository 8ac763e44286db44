#include "edge/user_directory.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace toolwire {
namespace {

SessionRef Ref(SessionId id, uint64_t epoch, uint32_t loop = 0) { return SessionRef{loop, id, epoch}; }

// The id of the user's current session; 0 if there is none.
SessionId Current(const UserDirectory& directory, const std::string& user_id) {
  const std::optional<SessionRef> ref = directory.Find(user_id);
  return ref ? ref->id : 0;
}

TEST(UserDirectoryTest, SessionIsFoundUntilItIsRemoved) {
  UserDirectory directory;
  EXPECT_EQ(Current(directory, "user_1"), 0u);
  const UserDirectory::Inserted inserted = directory.Insert("user_1", Ref(7, 3, 2));
  EXPECT_TRUE(inserted.current);
  EXPECT_FALSE(inserted.displaced);
  const std::optional<SessionRef> found = directory.Find("user_1");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->loop, 2u);
  EXPECT_EQ(found->id, 7u);
  EXPECT_EQ(found->epoch, 3u);
  EXPECT_TRUE(directory.Remove("user_1", 7));
  EXPECT_EQ(Current(directory, "user_1"), 0u);
  EXPECT_FALSE(directory.Remove("user_1", 7));
}

TEST(UserDirectoryTest, NewerSessionDisplacesTheOlderOne) {
  UserDirectory directory;
  directory.Insert("user_1", Ref(7, 3, 1));
  const UserDirectory::Inserted inserted = directory.Insert("user_1", Ref(8, 4, 2));
  EXPECT_TRUE(inserted.current);
  ASSERT_TRUE(inserted.displaced);
  EXPECT_EQ(inserted.displaced->id, 7u);
  EXPECT_EQ(inserted.displaced->loop, 1u);
  EXPECT_EQ(Current(directory, "user_1"), 8u);
}

TEST(UserDirectoryTest, OlderSessionThatComesLaterIsNotCurrentAndDisplacesNobody) {
  UserDirectory directory;
  directory.Insert("user_1", Ref(8, 4));
  const UserDirectory::Inserted inserted = directory.Insert("user_1", Ref(7, 3));
  EXPECT_FALSE(inserted.current);
  EXPECT_FALSE(inserted.displaced);
  EXPECT_EQ(Current(directory, "user_1"), 8u);
}

TEST(UserDirectoryTest, RemovingAReplacedSessionLeavesTheNewerOne) {
  UserDirectory directory;
  directory.Insert("user_1", Ref(7, 3));
  directory.Insert("user_1", Ref(8, 4));
  EXPECT_FALSE(directory.Remove("user_1", 7));
  EXPECT_EQ(Current(directory, "user_1"), 8u);
  EXPECT_TRUE(directory.Remove("user_1", 8));
}

TEST(UserDirectoryTest, RemovingFromAnUnknownUserChangesNothing) {
  UserDirectory directory;
  directory.Insert("user_1", Ref(7, 3));
  EXPECT_FALSE(directory.Remove("user_2", 7));
  EXPECT_EQ(Current(directory, "user_1"), 7u);
}

TEST(UserDirectoryTest, UsersAreListedInOrderAndOnceEach) {
  UserDirectory directory;
  EXPECT_TRUE(directory.Users().empty());
  std::vector<std::string> users;
  for (int i = 0; i < 200; ++i) users.push_back("user_" + std::to_string(i * 7919 % 1000));
  for (size_t i = 0; i < users.size(); ++i) directory.Insert(users[i], Ref(i + 1, 1));
  directory.Insert(users[0], Ref(1000, 2));
  directory.Remove(users[1], 2);
  users.erase(users.begin() + 1);
  std::sort(users.begin(), users.end());
  EXPECT_EQ(directory.Users(), users);
}

// However the loops race, one session of each user stays, it is the newest, and every other one is either displaced
// by one that came later or learns at once that it is not current: none is forgotten, none is closed twice.
TEST(UserDirectoryTest, OfRacingSessionsTheNewestStaysAndEachOtherEndsOnce) {
  constexpr int kThreads = 4;
  constexpr int kSessionsEach = 2000;
  constexpr int kUsers = 5;
  UserDirectory directory;
  std::vector<std::vector<SessionId>> ended(kThreads);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kSessionsEach; ++i) {
        const SessionId id = static_cast<SessionId>(i) * kThreads + t + 1;  // Also the epoch: later ones are newer.
        const std::string user_id = "user_" + std::to_string(i % kUsers);
        const UserDirectory::Inserted inserted = directory.Insert(user_id, Ref(id, id, t));
        if (!inserted.current) ended[t].push_back(id);
        if (inserted.displaced) ended[t].push_back(inserted.displaced->id);
        if (i % 3 == 0 && i % kUsers != 0 && directory.Remove(user_id, id)) ended[t].push_back(id);
        directory.Find(user_id);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(Current(directory, "user_0"), static_cast<SessionId>(kSessionsEach - kUsers + 1) * kThreads)
      << "none of this user's was removed";
  std::vector<SessionId> all;
  for (const auto& each : ended) all.insert(all.end(), each.begin(), each.end());
  for (const std::string& user_id : directory.Users()) all.push_back(Current(directory, user_id));
  EXPECT_EQ(all.size(), static_cast<size_t>(kThreads * kSessionsEach));
  EXPECT_EQ(std::set<SessionId>(all.begin(), all.end()).size(), all.size());
}

}  // namespace
}  // namespace toolwire
