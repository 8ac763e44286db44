#include "common/base/linked_list.h"

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <vector>

namespace toolwire {
namespace {

struct Item : ListNode {
  explicit Item(int n) : number(n) {}
  int number;
};

std::vector<int> TakenFrom(LinkedList<Item>* list) {
  std::vector<int> numbers;
  for (; !list->empty(); list->front()->Leave()) numbers.push_back(list->front()->number);
  return numbers;
}

TEST(LinkedListTest, ItemsStayInOrderAndLeaveWhenTheyGo) {
  LinkedList<Item> list;
  Item one(1), three(3);
  auto two = std::make_unique<Item>(2);
  list.PushBack(&one);
  list.PushBack(two.get());
  list.PushBack(&three);
  two.reset();
  EXPECT_EQ(TakenFrom(&list), (std::vector<int>{1, 3}));
  one.Leave();  // In no list: nothing happens.
  EXPECT_TRUE(list.empty());
}

TEST(LinkedListTest, ItemThatIsPushedAgainMoves) {
  LinkedList<Item> list, other;
  Item one(1), two(2);
  list.PushBack(&one);
  list.PushBack(&two);
  list.PushBack(&one);
  other.PushBack(&two);
  EXPECT_EQ(TakenFrom(&list), std::vector<int>{1});
  EXPECT_EQ(TakenFrom(&other), std::vector<int>{2});
}

TEST(LinkedListTest, TakesOverAllThatAnotherHas) {
  LinkedList<Item> list;
  std::optional<LinkedList<Item>> other(std::in_place);
  Item one(1), two(2), three(3);
  list.TakeAll(&*other);
  EXPECT_TRUE(list.empty());
  list.PushBack(&one);
  other->PushBack(&two);
  other->PushBack(&three);
  list.TakeAll(&*other);
  EXPECT_TRUE(other->empty());
  other.reset();
  EXPECT_EQ(TakenFrom(&list), (std::vector<int>{1, 2, 3}));
}

TEST(LinkedListTest, ListMayGoBeforeItsItems) {
  Item one(1);
  {
    LinkedList<Item> list;
    list.PushBack(&one);
  }
  LinkedList<Item> other;
  other.PushBack(&one);
  EXPECT_EQ(TakenFrom(&other), std::vector<int>{1});
}

}  // namespace
}  // namespace toolwire
