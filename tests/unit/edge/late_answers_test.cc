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
  EXPECT_EQ(late.Keep(Of("a", "1", 1000), kNow), 0u);
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
  EXPECT_EQ(late.Keep(Of("a", "1", 1000), kNow), 0u);
  EXPECT_EQ(late.Keep(Of("a", "1", 2), kNow), 0u);
  EXPECT_LT(late.bytes(), 1000u);
  EXPECT_EQ(late.Take("a", "1")->answer().result_json(), "11");
}

TEST(LateAnswersTest, PastItsShareTheOldestOfTheUserGoesAndOneMayAlwaysBeKept) {
  LateAnswers::Options options;
  options.user_bytes_max = 10000;
  LateAnswers late(options);
  EXPECT_EQ(late.Keep(Of("b", "1", 4000), kNow), 0u);
  EXPECT_EQ(late.Keep(Of("b", "2", 4000), kNow), 0u);
  EXPECT_EQ(late.Keep(Of("a", "1"), kNow), 0u);
  EXPECT_EQ(late.Keep(Of("a", "large", 50000), kNow), 1u);
  EXPECT_FALSE(late.Take("a", "1"));
  EXPECT_TRUE(late.Take("a", "large"));
  EXPECT_EQ(late.Keep(Of("b", "3", 4000), kNow), 1u);
  EXPECT_FALSE(late.Take("b", "1"));
  EXPECT_TRUE(late.Take("b", "2"));
  EXPECT_TRUE(late.Take("b", "3"));
  EXPECT_EQ(late.bytes(), 0u);
}

TEST(LateAnswersTest, PastWhatAllMayHaveTheOldestOfWhoHasMostGoes) {
  LateAnswers::Options options;
  options.bytes_max = 20000;
  LateAnswers late(options);
  EXPECT_EQ(late.Keep(Of("honest", "1", 4000), kNow), 0u);
  EXPECT_EQ(late.Keep(Of("a", "1", 4000), kNow), 0u);
  EXPECT_EQ(late.Keep(Of("a", "2", 4000), kNow), 0u);
  EXPECT_EQ(late.Keep(Of("b", "1", 5000), kNow), 0u);
  EXPECT_EQ(late.Keep(Of("c", "1", 4000), kNow), 1u) << "a has most";
  EXPECT_FALSE(late.Take("a", "1"));
  EXPECT_EQ(late.Keep(Of("c", "2", 4000), kNow), 1u) << "c would have most";
  EXPECT_FALSE(late.Take("c", "1"));
  EXPECT_EQ(late.Keep(Of("d", "1", 4000), kNow), 1u) << "b has most";
  EXPECT_FALSE(late.Take("b", "1"));
  for (const char* user : {"honest", "d"}) EXPECT_TRUE(late.Take(user, "1")) << user;
  for (const char* user : {"a", "c"}) EXPECT_TRUE(late.Take(user, "2")) << user;
  EXPECT_EQ(late.bytes(), 0u);
}

TEST(LateAnswersTest, UsersWhoFillItPushOutOnlyEachOther) {
  LateAnswers::Options options;
  options.user_bytes_max = 8000;
  options.bytes_max = 20000;
  LateAnswers late(options);
  late.Keep(Of("honest", "1", 2000), kNow);
  for (int i = 0; i < 1000; ++i) {
    late.Keep(Of("hostile_" + std::to_string(i % 20), std::to_string(i), 3000 + i % 7), kNow);
    EXPECT_LE(late.bytes(), options.bytes_max);
  }
  EXPECT_TRUE(late.Take("honest", "1"));
}

TEST(LateAnswersTest, AnswersThatNobodyFetchesExpire) {
  LateAnswers late;
  const Duration life = LateAnswers::Options().life;
  late.Keep(Of("a", "1"), kNow);
  late.Keep(Of("a", "2"), kNow + std::chrono::seconds(1));
  late.Expire(kNow + life);
  EXPECT_FALSE(late.Take("a", "1"));
  EXPECT_TRUE(late.Take("a", "2"));
  EXPECT_EQ(late.bytes(), 0u);
}

}  // namespace
}  // namespace toolwire
