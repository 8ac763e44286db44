#include "cli/agent/answer_queue.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace toolwire {
namespace {

constexpr size_t kLarge = AnswerQueue::kSmallBytesMax + 1;

bool Push(AnswerQueue& queue, const std::string& id, size_t bytes) {
  AnswerQueue::Answer answer{id, std::string(bytes, 'x')};
  const bool taken = queue.Push(&answer);
  if (!taken) {
    EXPECT_EQ(answer.text.size(), bytes) << "left as it was";
  }
  return taken;
}

std::vector<std::string> PopAll(AnswerQueue& queue) {
  std::vector<std::string> ids;
  AnswerQueue::Answer answer;
  while (queue.Pop(&answer)) ids.push_back(answer.request_id);
  return ids;
}

TEST(AnswerQueueTest, BudgetIsOfBytesAndAtItsLimitAnAnswerStillFits) {
  AnswerQueue queue(100);
  EXPECT_TRUE(Push(queue, "a", 60));
  EXPECT_FALSE(Push(queue, "past the limit", 41));
  EXPECT_TRUE(queue.HasRoom());
  EXPECT_TRUE(Push(queue, "at the limit", 40));
  EXPECT_FALSE(queue.HasRoom());
  EXPECT_FALSE(Push(queue, "past the limit", 1));
  EXPECT_EQ(queue.bytes(), 100u);
  AnswerQueue::Answer answer;
  ASSERT_TRUE(queue.Pop(&answer));
  EXPECT_TRUE(queue.HasRoom());
  EXPECT_TRUE(Push(queue, "b", 60));
}

TEST(AnswerQueueTest, AnswerOverTheBudgetFitsAlone) {
  AnswerQueue queue(100);
  EXPECT_TRUE(Push(queue, "a", 1000));
  EXPECT_FALSE(Push(queue, "b", 1));
  EXPECT_EQ(PopAll(queue), std::vector<std::string>{"a"});
}

TEST(AnswerQueueTest, FailureIsTakenPastTheBudgetUpToACount) {
  AnswerQueue queue(1);
  for (size_t i = 0; i < AnswerQueue::kAnswersMax; ++i) ASSERT_TRUE(queue.PushFailure({"a", "failure"}));
  EXPECT_FALSE(queue.PushFailure({"a", "failure"}));
  EXPECT_EQ(queue.size(), AnswerQueue::kAnswersMax);
}

TEST(AnswerQueueTest, SmallAnswersGoBeforeLargeOnesAndEachKindInItsOrder) {
  AnswerQueue queue(1u << 20);
  Push(queue, "large 1", kLarge);
  Push(queue, "small 1", AnswerQueue::kSmallBytesMax);
  Push(queue, "large 2", kLarge);
  Push(queue, "small 2", 1);
  EXPECT_EQ(PopAll(queue), (std::vector<std::string>{"small 1", "small 2", "large 1", "large 2"}));
  EXPECT_EQ(queue.bytes(), 0u);
}

TEST(AnswerQueueTest, LargeAnswerGoesAfterSoManySmallOnes) {
  AnswerQueue queue(1u << 20);
  Push(queue, "large", kLarge);
  for (int i = 0; i < 2 * AnswerQueue::kSmallInARowMax; ++i) Push(queue, "small", 1);
  const std::vector<std::string> ids = PopAll(queue);
  EXPECT_EQ(ids[AnswerQueue::kSmallInARowMax], "large");
}

TEST(AnswerQueueTest, AnswerOfACancelledCallLeaves) {
  AnswerQueue queue(1u << 20);
  Push(queue, "large", kLarge);
  Push(queue, "small", 1);
  EXPECT_FALSE(queue.Remove("other"));
  EXPECT_TRUE(queue.Remove("large"));
  EXPECT_FALSE(queue.Remove("large"));
  EXPECT_EQ(queue.bytes(), 1u);
  EXPECT_TRUE(queue.Remove("small"));
  EXPECT_TRUE(queue.empty());
}

TEST(AnswerQueueTest, OldestOfBothKindsIsDroppedFirst) {
  AnswerQueue queue(1u << 20);
  Push(queue, "small 1", 1);
  Push(queue, "large", kLarge);
  Push(queue, "small 2", 1);
  queue.DropOldest();
  queue.DropOldest();
  EXPECT_EQ(PopAll(queue), std::vector<std::string>{"small 2"});
}

}  // namespace
}  // namespace toolwire
