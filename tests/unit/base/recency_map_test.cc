#include "common/base/recency_map.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace toolwire {
namespace {

// All keys, the one that was used longest ago first.
std::vector<std::string> Drained(RecencyMap<std::string, int>* map) {
  std::vector<std::string> keys;
  for (; map->size() > 0; map->DropOldest()) keys.push_back(map->oldest().first);
  return keys;
}

TEST(RecencyMapTest, FindsWhatWasAddedAndNothingElse) {
  RecencyMap<std::string, int> map;
  EXPECT_EQ(map.Find("a"), nullptr);
  EXPECT_EQ(map.Use("a"), nullptr);
  EXPECT_EQ(*map.Add("a", 1), 1);
  EXPECT_EQ(*map.Add("b", 2), 2);
  EXPECT_EQ(*map.Find("a"), 1);
  EXPECT_EQ(*map.Use("b"), 2);
  EXPECT_EQ(map.Find("c"), nullptr);
  EXPECT_EQ(map.size(), 2u);
}

TEST(RecencyMapTest, OldestIsTheOneThatWasUsedLongestAgo) {
  RecencyMap<std::string, int> map;
  for (const char* key : {"a", "b", "c", "d"}) map.Add(key, 0);
  map.Use("b");
  map.Use("a");
  map.Use("none");
  EXPECT_EQ(map.oldest().first, "c");
  EXPECT_EQ(Drained(&map), (std::vector<std::string>{"c", "d", "b", "a"}));
}

TEST(RecencyMapTest, FindingIsNoUse) {
  RecencyMap<std::string, int> map;
  map.Add("a", 1);
  map.Add("b", 2);
  *map.Find("a") = 3;
  EXPECT_EQ(map.oldest(), (std::pair<const std::string, int>("a", 3)));
}

TEST(RecencyMapTest, DroppedOneIsGoneAndMayComeAgain) {
  RecencyMap<std::string, int> map;
  map.Add("a", 1);
  map.Add("b", 2);
  map.DropOldest();
  EXPECT_EQ(map.Find("a"), nullptr);
  EXPECT_EQ(map.size(), 1u);
  map.Add("a", 3);
  EXPECT_EQ(Drained(&map), (std::vector<std::string>{"b", "a"}));
}

TEST(RecencyMapTest, ValuesStayWhereTheyAreWhileOthersComeAndGo) {
  RecencyMap<int, std::unique_ptr<int>> map;
  std::unique_ptr<int>* const first = map.Add(0, std::make_unique<int>(7));
  for (int key = 1; key <= 1000; ++key) map.Add(key, nullptr);
  map.Use(0);
  while (map.size() > 1) map.DropOldest();
  EXPECT_EQ(map.Find(0), first);
  EXPECT_EQ(**first, 7);
}

}  // namespace
}  // namespace toolwire
