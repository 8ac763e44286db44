#include "cli/agent/answer_room.h"

#include <gtest/gtest.h>

#include <memory>
#include <thread>
#include <vector>

namespace toolwire {
namespace {

class AnswerRoomTest : public testing::Test {
 protected:
  const std::shared_ptr<AnswerBudget> budget_ = std::make_shared<AnswerBudget>(100'000);
};

TEST_F(AnswerRoomTest, AtTheLimitOfTheBudgetThereIsRoomAndPastItNone) {
  AnswerRoom first(budget_), second(budget_);
  EXPECT_TRUE(first.Resize(60'000));
  EXPECT_FALSE(second.Resize(40'001));
  EXPECT_EQ(budget_->taken(), 60'000u);
  EXPECT_TRUE(second.Resize(40'000));
  EXPECT_FALSE(first.Resize(60'001));
  EXPECT_TRUE(first.Resize(50'000));
  EXPECT_TRUE(second.Resize(50'000));
  EXPECT_EQ(budget_->taken(), 100'000u);
}

TEST_F(AnswerRoomTest, WhatIsAloneMayHaveAnySizeAndNothingElseFitsBesideIt) {
  AnswerRoom first(budget_), second(budget_);
  EXPECT_TRUE(first.Resize(1u << 30));
  EXPECT_FALSE(second.Resize(2000));
  EXPECT_TRUE(first.Resize(1u << 29)) << "it may become smaller though it is still too large";
  EXPECT_TRUE(first.Resize(0));
  EXPECT_TRUE(second.Resize(1u << 30));
}

TEST_F(AnswerRoomTest, LittleTakesNone) {
  AnswerRoom first(budget_), second(budget_);
  EXPECT_TRUE(first.Resize(100'000));
  EXPECT_TRUE(second.Resize(AnswerRoom::kFreeBytesMax));
  EXPECT_FALSE(second.Resize(AnswerRoom::kFreeBytesMax + 1));
  EXPECT_EQ(budget_->taken(), 100'000u);
}

TEST_F(AnswerRoomTest, AbandonedRoomIsGivenBackAtOnceAndNeverTakenAgain) {
  AnswerRoom room(budget_);
  EXPECT_TRUE(room.Resize(5000));
  room.Abandon();
  EXPECT_EQ(budget_->taken(), 0u);
  EXPECT_FALSE(room.Resize(5000));
  room.Abandon();
  EXPECT_EQ(budget_->taken(), 0u);
}

TEST_F(AnswerRoomTest, ToolThatHangsKeepsWhatItUsesAndAsksAnewIfItGoesOn) {
  AnswerRoom hung(budget_), other(budget_);
  EXPECT_TRUE(hung.Use(0, 90'000));
  EXPECT_TRUE(hung.Use(20'000, 90'000));
  EXPECT_FALSE(other.Resize(50'000));
  hung.YieldUnused();
  EXPECT_EQ(budget_->taken(), 20'000u);
  EXPECT_TRUE(hung.Use(30'000, 90'000));
  hung.YieldUnused();
  EXPECT_TRUE(other.Resize(70'000));
  EXPECT_FALSE(hung.Use(30'000, 90'000));
  EXPECT_EQ(budget_->taken(), 100'000u);
}

TEST_F(AnswerRoomTest, ThreadsNeverTakeMoreThanThereIs) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([this] {
      for (int n = 0; n < 20'000; ++n) {
        AnswerRoom room(budget_);
        if (room.Resize(40'000)) {
          EXPECT_LE(budget_->taken(), 100'000u);
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(budget_->taken(), 0u);
}

}  // namespace
}  // namespace toolwire
