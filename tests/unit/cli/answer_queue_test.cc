#include "cli/agent/answer_queue.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <vector>

namespace toolwire {
namespace {

using std::chrono::seconds;

constexpr size_t kSmall = AnswerQueue::kSmallBytesMax - 16;
constexpr size_t kLarge = AnswerQueue::kSmallBytesMax + 1;
const MonoTime kNow = MonoTime() + std::chrono::hours(1);

AnswerQueue::Answer AnswerOf(const std::string& id, size_t bytes, CallTimes times = {}) {
  AnswerQueue::Answer answer;
  answer.request_id = id;
  answer.outcome = {true, std::string(bytes, 'x'), ""};
  answer.times = times;
  return answer;
}

std::vector<std::string> PopAll(AnswerQueue& queue) {
  std::vector<std::string> ids;
  AnswerQueue::Answer answer;
  while (queue.Pop(&answer)) ids.push_back(answer.request_id);
  return ids;
}

TEST(AnswerQueueTest, NumberOfAnswersIsBounded) {
  AnswerQueue queue;
  for (size_t i = 0; i < AnswerQueue::kAnswersMax; ++i) ASSERT_TRUE(queue.Push(AnswerOf("a", 1)));
  EXPECT_FALSE(queue.Push(AnswerOf("a", 1)));
  EXPECT_EQ(queue.size(), AnswerQueue::kAnswersMax);
  EXPECT_EQ(queue.bytes(), 2 * AnswerQueue::kAnswersMax);
}

TEST(AnswerQueueTest, SmallAnswersGoBeforeLargeOnesAndEachKindInItsOrder) {
  AnswerQueue queue;
  queue.Push(AnswerOf("large 1", kLarge));
  queue.Push(AnswerOf("small 1", kSmall));
  queue.Push(AnswerOf("large 2", kLarge));
  queue.Push(AnswerOf("small 2", 1));
  EXPECT_EQ(PopAll(queue), (std::vector<std::string>{"small 1", "small 2", "large 1", "large 2"}));
  EXPECT_EQ(queue.bytes(), 0u);
}

TEST(AnswerQueueTest, LargeAnswerGoesAfterSoManyBytesOfSmallOnesHoweverManyTheyAre) {
  for (const size_t bytes : {size_t{100}, size_t{10'000}, kSmall}) {
    AnswerQueue queue;
    queue.Push(AnswerOf("large 1", 12u << 20));
    queue.Push(AnswerOf("large 2", 12u << 20));
    // As more come all the time, and each goes at once.
    size_t small = 0, large = 0;
    AnswerQueue::Answer answer;
    while (large < 2) {
      queue.Push(AnswerOf("small", bytes));
      ASSERT_TRUE(queue.Pop(&answer));
      if (answer.request_id == "small") {
        small += answer.bytes();
        continue;
      }
      ++large;
      EXPECT_GE(small, large * AnswerQueue::kSmallInARowBytes) << "no large one before";
      EXPECT_LE(small, large * (AnswerQueue::kSmallInARowBytes + kLarge));
    }
  }
}

TEST(AnswerQueueTest, SmallAnswerWaitsBehindOneLargeOneAtMost) {
  AnswerQueue queue;
  for (int i = 0; i < 100; ++i) queue.Push(AnswerOf("large", 100'000));
  AnswerQueue::Answer answer;
  for (int i = 0; i < 50; ++i) {
    queue.Push(AnswerOf("small", kSmall));
    const bool first = queue.Pop(&answer) && answer.request_id == "small";
    if (!first) {
      ASSERT_TRUE(queue.Pop(&answer));
    }
    EXPECT_EQ(answer.request_id, "small");
  }
}

TEST(AnswerQueueTest, AnswerOfACancelledCallLeaves) {
  AnswerQueue queue;
  queue.Push(AnswerOf("large", kLarge));
  queue.Push(AnswerOf("small", 1));
  EXPECT_FALSE(queue.Remove("other"));
  EXPECT_TRUE(queue.Remove("large"));
  EXPECT_FALSE(queue.Remove("large"));
  EXPECT_EQ(queue.bytes(), 6u);
  EXPECT_TRUE(queue.Remove("small"));
  EXPECT_TRUE(queue.empty());
}

TEST(AnswerQueueTest, AnswerGivesItsRoomBackHoweverItLeaves) {
  const auto budget = std::make_shared<AnswerBudget>(1u << 20);
  AnswerQueue queue;
  for (const char* id : {"popped", "removed", "dropped", "late", "left"}) {
    AnswerQueue::Answer answer = AnswerOf(id, 2000);
    answer.room = std::make_shared<AnswerRoom>(budget);
    ASSERT_TRUE(answer.room->Resize(2000));
    if (answer.request_id == "late") answer.times.until = kNow;
    queue.Push(std::move(answer));
  }
  AnswerQueue::Answer answer;
  ASSERT_TRUE(queue.Pop(&answer));
  EXPECT_EQ(budget->taken(), 10'000u);
  answer = {};
  EXPECT_EQ(budget->taken(), 8'000u);
  EXPECT_TRUE(queue.Remove("removed"));
  queue.DropOldest();
  EXPECT_EQ(queue.DropLate(kNow), 1u);
  EXPECT_EQ(budget->taken(), 2'000u);
  queue = {};
  EXPECT_EQ(budget->taken(), 0u);
}

TEST(AnswerQueueTest, OldestOfBothKindsIsDroppedFirst) {
  AnswerQueue queue;
  queue.Push(AnswerOf("small 1", 1));
  queue.Push(AnswerOf("large", kLarge));
  queue.Push(AnswerOf("small 2", 1));
  queue.DropOldest();
  queue.DropOldest();
  EXPECT_EQ(PopAll(queue), std::vector<std::string>{"small 2"});
}

TEST(AnswerQueueTest, AnswersThatNobodyWaitsForLeave) {
  AnswerQueue queue;
  CallTimes until, lost;
  until.until = kNow + seconds(5);
  lost.after_loss = seconds(2);
  queue.Push(AnswerOf("until", 1, until));
  queue.Push(AnswerOf("lost", 5000, lost));
  queue.Push(AnswerOf("little", 1, lost));
  queue.Push(AnswerOf("unsaid", 5000));
  EXPECT_EQ(queue.DropLate(kNow), 0u);
  queue.OnLost(kNow);
  queue.OnLost(kNow + seconds(1));  // It was lost before.
  EXPECT_EQ(queue.DropLate(kNow + seconds(2) - Duration(1)), 0u);
  EXPECT_EQ(queue.DropLate(kNow + seconds(2)), 1u);
  EXPECT_FALSE(queue.Remove("lost"));
  EXPECT_EQ(queue.DropLate(kNow + seconds(5)), 1u);
  EXPECT_FALSE(queue.Remove("until"));
  EXPECT_EQ(queue.DropLate(kNow + CallTimes::kLostMax - Duration(1)), 0u);
  EXPECT_EQ(queue.DropLate(kNow + CallTimes::kLostMax), 2u);
}

}  // namespace
}  // namespace toolwire
