#include "edge/late_answers.h"

#include <gtest/gtest.h>

namespace toolwire {
namespace {

v1::StrayAnswer Of(const std::string& user_id, const std::string& request_id, size_t bytes = 1) {
  v1::StrayAnswer stray;
  stray.set_user_id(user_id);
  stray.set_request_id(request_id);
  stray.mutable_answer()->set_result_json(std::string(bytes, '1'));
  return stray;
}

constexpr MonoTime kNow{};

TEST(LateAnswersTest, AnswerIsTakenOnceAndByItsUserAndRequestOnly) {
  LateAnswers late;
  EXPECT_TRUE(late.Keep(Of("a", "1", 1000), kNow));
  EXPECT_FALSE(late.Take("b", "1"));
  EXPECT_FALSE(late.Take("a", "2"));
  const auto taken = late.Take("a", "1");
  ASSERT_TRUE(taken);
  EXPECT_EQ(taken->user_id(), "a");
  EXPECT_EQ(taken->request_id(), "1");
  EXPECT_EQ(taken->answer().result_json().size(), 1000u);
  EXPECT_FALSE(late.Take("a", "1"));
  EXPECT_EQ(late.bytes(), 0u);
}

TEST(LateAnswersTest, LaterAnswerToTheSameCallReplacesTheEarlier) {
  LateAnswers late;
  EXPECT_TRUE(late.Keep(Of("a", "1", 1000), kNow));
  EXPECT_TRUE(late.Keep(Of("a", "1", 2), kNow));
  EXPECT_LT(late.bytes(), 1000u);
  EXPECT_EQ(late.Take("a", "1")->answer().result_json(), "11");
}

TEST(LateAnswersTest, UserHasAShareAndMayAlwaysKeepOne) {
  LateAnswers::Options options;
  options.user_bytes_max = 10000;
  LateAnswers late(options);
  EXPECT_TRUE(late.Keep(Of("a", "large", 50000), kNow));
  EXPECT_FALSE(late.Keep(Of("a", "2"), kNow));
  EXPECT_TRUE(late.Keep(Of("b", "1", 4000), kNow));
  EXPECT_TRUE(late.Keep(Of("b", "2", 4000), kNow));
  EXPECT_FALSE(late.Keep(Of("b", "3", 4000), kNow));
  EXPECT_TRUE(late.Take("b", "1"));
  EXPECT_TRUE(late.Keep(Of("b", "3", 4000), kNow));
}

TEST(LateAnswersTest, AllUsersTogetherHaveALimit) {
  LateAnswers::Options options;
  options.bytes_max = 10000;
  LateAnswers late(options);
  EXPECT_TRUE(late.Keep(Of("a", "1", 4000), kNow));
  EXPECT_TRUE(late.Keep(Of("b", "1", 4000), kNow));
  EXPECT_FALSE(late.Keep(Of("c", "1", 4000), kNow));
}

TEST(LateAnswersTest, AnswersThatNobodyFetchesExpire) {
  LateAnswers late;
  const Duration life = LateAnswers::Options().life;
  EXPECT_TRUE(late.Keep(Of("a", "1"), kNow));
  EXPECT_TRUE(late.Keep(Of("a", "2"), kNow + std::chrono::seconds(1)));
  late.Expire(kNow + life);
  EXPECT_FALSE(late.Take("a", "1"));
  EXPECT_TRUE(late.Take("a", "2"));
  EXPECT_EQ(late.bytes(), 0u);
}

}  // namespace
}  // namespace toolwire
