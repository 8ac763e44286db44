#include "edge/owed_answers.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "tests/fakes/fake_clock.h"

namespace toolwire {
namespace {

constexpr Duration kWait = std::chrono::seconds(60);

// Redis is the test: it answers each try.
class OwedAnswersTest : public ::testing::Test {
 protected:
  void Add(const std::string& text) { owed_.Add("response:1", text, clock_.Now() + kWait); }
  void Pass(Duration time) {
    clock_.Advance(time);
    owed_.Tick();
  }
  void Fail(uint64_t number) { owed_.Published(number, absl::UnavailableError("away")); }

  FakeClock clock_;
  std::vector<std::pair<uint64_t, std::string>> tries_;
  OwedAnswers owed_{clock_, 10, [this](uint64_t number, const std::string& channel, std::string text) {
                      EXPECT_EQ(channel, "response:1");
                      tries_.emplace_back(number, std::move(text));
                    }};
};

TEST_F(OwedAnswersTest, AnswerIsOwedUntilItIsAcknowledged) {
  Add("a");
  EXPECT_EQ(owed_.count(), 1u);
  Pass(kWait);
  EXPECT_EQ(tries_.size(), 1u) << "the try is still under way";
  owed_.Published(1, 0);
  EXPECT_EQ(owed_.count(), 0u) << "whose backend has gone, as ever";
  EXPECT_EQ(owed_.bytes(), 0u);
  EXPECT_TRUE(owed_.WaitNone(clock_.Now()));
}

TEST_F(OwedAnswersTest, FailedTryIsMadeAgainUntilSomebodyReceivesIt) {
  Add("a");
  Fail(1);
  Pass(OwedAnswers::kRetryWait - std::chrono::milliseconds(1));
  EXPECT_EQ(tries_.size(), 1u);
  Pass(std::chrono::milliseconds(1));
  ASSERT_EQ(tries_.size(), 2u);
  EXPECT_EQ(tries_[1].second, "a");
  owed_.Published(1, 0);  // Its backend is not back yet.
  Pass(OwedAnswers::kRetryWait);
  ASSERT_EQ(tries_.size(), 3u);
  owed_.Published(1, 1);
  EXPECT_EQ(owed_.count(), 0u);
  EXPECT_EQ(owed_.counters().again.value(), 2u);
  EXPECT_EQ(owed_.counters().lost.value(), 0u);
}

TEST_F(OwedAnswersTest, AnswerIsLostWhenItsCallerNoLongerWaits) {
  Add("a");
  clock_.Advance(kWait - std::chrono::milliseconds(1));
  Fail(1);
  Pass(std::chrono::milliseconds(1));
  EXPECT_EQ(owed_.count(), 0u);
  EXPECT_EQ(owed_.counters().lost.value(), 1u);
  Add("b");
  clock_.Advance(kWait);
  Fail(2);
  EXPECT_EQ(owed_.counters().lost.value(), 2u);
  EXPECT_EQ(tries_.size(), 2u);
}

TEST_F(OwedAnswersTest, AsManyBytesAsTheBoundAreKeptAndWhatIsMoreIsTriedOnce) {
  Add("1234567890");
  EXPECT_EQ(owed_.counters().full.value(), 0u);
  Add("x");
  EXPECT_EQ(owed_.counters().full.value(), 1u);
  ASSERT_EQ(tries_.size(), 2u);
  EXPECT_EQ(tries_[1].second, "x");
  Fail(2);
  EXPECT_EQ(owed_.counters().lost.value(), 1u);
  owed_.Published(1, 1);
  Add("y");
  EXPECT_EQ(owed_.bytes(), 1u) << "there is room again";
  EXPECT_FALSE(owed_.WaitNone(clock_.Now()));
}

}  // namespace
}  // namespace toolwire
