#include "common/registry/sentinel_view.h"

#include <gtest/gtest.h>

namespace toolwire {
namespace {

const RedisAddress kFirst{"10.0.0.1", 6379}, kSecond{"10.0.0.2", 6379}, kThird{"10.0.0.3", 6380};

std::string Switch(const RedisAddress& from, const RedisAddress& to, const std::string& name = "main") {
  return name + " " + from.host + " " + std::to_string(from.port) + " " + to.host + " " + std::to_string(to.port);
}

class SentinelViewTest : public ::testing::Test {
 protected:
  // All three name it.
  void AllAnswer(const RedisAddress& address) {
    for (size_t i = 0; i < 3; ++i) view_.Answered(i, address);
  }
  bool MasterIs(const RedisAddress& address) { return view_.master() && *view_.master() == address; }

  SentinelView view_{"main", 3};
};

TEST_F(SentinelViewTest, TheFirstAnswerNamesTheMaster) {
  EXPECT_FALSE(view_.master());
  EXPECT_TRUE(view_.Answered(1, kFirst));
  EXPECT_TRUE(MasterIs(kFirst));
  EXPECT_FALSE(view_.Answered(0, kFirst));
  EXPECT_FALSE(view_.Answered(2, kFirst));
  EXPECT_TRUE(MasterIs(kFirst));
}

TEST_F(SentinelViewTest, TheFirstSwitchThatIsPublishedCounts) {
  AllAnswer(kFirst);
  EXPECT_TRUE(view_.Published(2, Switch(kFirst, kSecond)));
  EXPECT_TRUE(MasterIs(kSecond));
  EXPECT_FALSE(view_.Published(0, Switch(kFirst, kSecond))) << "known";
  EXPECT_FALSE(view_.Published(1, Switch(kFirst, kSecond)));
  EXPECT_TRUE(MasterIs(kSecond));
  EXPECT_TRUE(view_.Published(1, Switch(kSecond, kFirst))) << "and back";
  EXPECT_TRUE(MasterIs(kFirst));
}

TEST_F(SentinelViewTest, ASwitchThatIsHeardLateChangesNothing) {
  AllAnswer(kFirst);
  view_.Published(0, Switch(kFirst, kSecond));
  view_.Published(0, Switch(kSecond, kThird));
  EXPECT_FALSE(view_.Published(1, Switch(kFirst, kSecond)));
  EXPECT_TRUE(MasterIs(kThird));
}

TEST_F(SentinelViewTest, ASwitchCountsWithoutAnyAnswer) {
  EXPECT_TRUE(view_.Published(0, Switch(kFirst, kSecond)));
  EXPECT_TRUE(MasterIs(kSecond));
}

TEST_F(SentinelViewTest, OtherMessagesAreIgnored) {
  AllAnswer(kFirst);
  for (const std::string& message :
       {Switch(kFirst, kSecond, "other"), Switch(kFirst, kSecond, "mai"), Switch(kFirst, kSecond) + " more",
        std::string("main 10.0.0.1 6379 10.0.0.2"), std::string("main 10.0.0.1 6379 10.0.0.2 0"),
        std::string("main 10.0.0.1 6379 10.0.0.2 65536"), std::string("main 10.0.0.1 6379 10.0.0.2 -1"),
        std::string("main 10.0.0.1 6379  6379"), std::string("main 10.0.0.1 x 10.0.0.2 6379"),
        std::string("main 10.0.0.1 6379 " + std::string(256, 'x') + " 6379"), std::string("main"), std::string(),
        std::string("\0main", 5), Switch(kFirst, kFirst)}) {
    EXPECT_FALSE(view_.Published(0, message)) << message;
  }
  EXPECT_TRUE(MasterIs(kFirst));
}

TEST_F(SentinelViewTest, ASentinelThatComesBackDoesNotMoveAMasterThatWorks) {
  AllAnswer(kSecond);
  view_.Dialled(kSecond, true);
  view_.Lost(0);
  EXPECT_FALSE(view_.Answered(0, kFirst)) << "it knows nothing of the last switch";
  EXPECT_TRUE(MasterIs(kSecond));
}

TEST_F(SentinelViewTest, AMasterThatFailsIsReplacedByTheOneThatMostName) {
  AllAnswer(kFirst);
  view_.Dialled(kFirst, false);
  EXPECT_TRUE(MasterIs(kFirst)) << "nobody names another one";
  EXPECT_TRUE(view_.Answered(0, kSecond)) << "the first that does counts at once";
  EXPECT_TRUE(MasterIs(kSecond));
  view_.Answered(1, kThird);
  view_.Answered(2, kThird);
  EXPECT_TRUE(MasterIs(kSecond)) << "it has not failed";
  view_.Dialled(kSecond, false);
  EXPECT_TRUE(MasterIs(kThird));
}

TEST_F(SentinelViewTest, OfTwoThatAsManyNameTheOneNamedLastIsTaken) {
  AllAnswer(kFirst);
  view_.Answered(1, kThird);
  view_.Answered(0, kSecond);
  view_.Dialled(kFirst, false);
  EXPECT_TRUE(MasterIs(kSecond));
  view_.Dialled(kSecond, false);
  EXPECT_TRUE(MasterIs(kThird)) << "then the other one, and so on";
}

TEST_F(SentinelViewTest, WhatCannotBeHeardDoesNotCount) {
  AllAnswer(kFirst);
  view_.Answered(1, kSecond);
  view_.Lost(1);
  view_.Dialled(kFirst, false);
  EXPECT_TRUE(MasterIs(kFirst));
  for (size_t i = 0; i < 3; ++i) view_.Lost(i);
  EXPECT_TRUE(MasterIs(kFirst)) << "without sentinels the master stays";
}

TEST_F(SentinelViewTest, AMasterThatWorksAgainIsKept) {
  AllAnswer(kFirst);
  view_.Dialled(kFirst, false);
  view_.Dialled(kFirst, true);
  EXPECT_FALSE(view_.Answered(0, kSecond));
  EXPECT_TRUE(MasterIs(kFirst));
}

TEST_F(SentinelViewTest, TheFailureOfAnotherServerIsNoneOfTheMaster) {
  AllAnswer(kFirst);
  view_.Answered(0, kSecond);
  view_.Dialled(kThird, false);
  EXPECT_TRUE(MasterIs(kFirst));
}

}  // namespace
}  // namespace toolwire
