#include "common/base/unanswered_requests.h"

#include <gtest/gtest.h>

#include <string>

namespace toolwire {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;

struct ForgottenCounter : CounterSet {
  LimitCounter forgotten{this, kEdgeLimitHits, "test"};
};

class UnansweredRequestsTest : public ::testing::Test {
 protected:
  static UnansweredRequests::Options Few() {
    UnansweredRequests::Options options;
    options.requests_max = 3;
    return options;
  }
  bool Has(const std::string& owner, const std::string& id, MonoTime now = {}) const {
    return requests_.Has(owner, id, now);
  }

  ForgottenCounter counters_;
  UnansweredRequests requests_{Few(), &counters_.forgotten};
};

// The test vector of the paper.
TEST(SipHashTest, IsTheOneOfThePaper) {
  std::string text;
  for (char i = 0; i < 15; ++i) text.push_back(i);
  EXPECT_EQ(SipHash({0x0706050403020100, 0x0f0e0d0c0b0a0908}, text), 0xa129ca6149be45e5u);
}

TEST_F(UnansweredRequestsTest, KnowsARequestUntilItsAnswerComes) {
  EXPECT_FALSE(Has("a", "1"));
  requests_.Add("a", "1", 0, {});
  EXPECT_TRUE(Has("a", "1"));
  EXPECT_FALSE(Has("a", "2"));
  EXPECT_FALSE(Has("b", "1"));
  EXPECT_FALSE(Has("a1", ""));
  EXPECT_FALSE(Has("", "a1"));
  EXPECT_FALSE(requests_.Remove("a", "2"));
  EXPECT_TRUE(requests_.Remove("a", "1"));
  EXPECT_FALSE(requests_.Remove("a", "1"));
  EXPECT_FALSE(Has("a", "1"));
}

TEST_F(UnansweredRequestsTest, RemovesARequestByItsAttempt) {
  requests_.Add("a", "1", 7, {});
  EXPECT_FALSE(requests_.RemoveAttempt(8));
  EXPECT_FALSE(requests_.RemoveAttempt(0));
  EXPECT_TRUE(requests_.RemoveAttempt(7));
  EXPECT_FALSE(requests_.RemoveAttempt(7));
  EXPECT_FALSE(Has("a", "1"));
  requests_.Add("a", "1", 8, {});
  EXPECT_TRUE(requests_.Remove("a", "1"));
  EXPECT_FALSE(requests_.RemoveAttempt(8));
  EXPECT_EQ(requests_.size(), 0u);
}

TEST_F(UnansweredRequestsTest, ForgetsARequestAfterItsTime) {
  requests_.Add("a", "1", 0, {});
  EXPECT_TRUE(Has("a", "1", MonoTime(minutes(10) - Duration(1))));
  EXPECT_FALSE(Has("a", "1", MonoTime(minutes(10))));
  EXPECT_EQ(requests_.size(), 1u);
  requests_.Expire(MonoTime(minutes(10) - Duration(1)));
  EXPECT_EQ(requests_.size(), 1u);
  requests_.Expire(MonoTime(minutes(10)));
  EXPECT_EQ(requests_.size(), 0u);
  EXPECT_EQ(counters_.forgotten.value(), 0u);
}

TEST_F(UnansweredRequestsTest, SecondAttemptBeginsTheTimeAnew) {
  requests_.Add("a", "1", 1, {});
  requests_.Add("a", "1", 2, MonoTime(minutes(9)));
  EXPECT_EQ(requests_.size(), 1u);
  EXPECT_TRUE(Has("a", "1", MonoTime(minutes(18))));
  EXPECT_FALSE(requests_.RemoveAttempt(1)) << "its answer would not be the one that is expected";
  EXPECT_TRUE(requests_.RemoveAttempt(2));
}

TEST_F(UnansweredRequestsTest, PastTheLimitTheOldestGoesFirstAndIsCounted) {
  for (const char* id : {"1", "2", "3"}) requests_.Add("a", id, 0, {});
  EXPECT_EQ(counters_.forgotten.value(), 0u);
  EXPECT_TRUE(Has("a", "1"));
  requests_.Add("a", "4", 0, {});
  EXPECT_EQ(counters_.forgotten.value(), 1u);
  EXPECT_EQ(requests_.size(), 3u);
  EXPECT_FALSE(Has("a", "1"));
  for (const char* id : {"2", "3", "4"}) EXPECT_TRUE(Has("a", id)) << id;
}

}  // namespace
}  // namespace toolwire
