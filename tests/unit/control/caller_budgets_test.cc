#include "control/caller_budgets.h"

#include <gtest/gtest.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "tests/fakes/fake_clock.h"

namespace toolwire {
namespace {

using E = v1::CallError;
using B = CallerBudgets;

class CallerBudgetsTest : public ::testing::Test {
 protected:
  bool Take(B::Kind kind, const std::string& caller) {
    B::Place place;
    failure_ = budgets_.Take(kind, caller, &place);
    if (!failure_) places_.push_back(std::move(place));
    return !failure_;
  }
  size_t TakeAll(B::Kind kind, const std::string& caller) {
    size_t taken = 0;
    while (taken < 100 && Take(kind, caller)) ++taken;
    return taken;
  }

  FakeClock clock_;
  B budgets_{clock_, {10, 20, 30, 4, 50}};
  std::vector<B::Place> places_;
  std::optional<v1::CallFailure> failure_;
};

TEST_F(CallerBudgetsTest, WatchesTakeNoPlaceOfStreamsUnaryCallsOrOperators) {
  EXPECT_EQ(TakeAll(B::kWatches, "a") + TakeAll(B::kWatches, "b"), 20u);
  EXPECT_FALSE(Take(B::kWatches, "c"));
  EXPECT_EQ(budgets_.counters().watches.value(), 2u) << "of b and c: a had its share";
  EXPECT_EQ(TakeAll(B::kStreams, "a") + TakeAll(B::kStreams, "b"), 10u);
  EXPECT_EQ(TakeAll(B::kUnaryCalls, "a") + TakeAll(B::kUnaryCalls, "b"), 30u);
  EXPECT_EQ(TakeAll(B::kOperators, "a") + TakeAll(B::kOperators, "b"), 4u);
}

TEST_F(CallerBudgetsTest, EachLimitIsCountedAndNamesItselfToTheCaller) {
  const B::Kind kinds[] = {B::kStreams, B::kWatches, B::kUnaryCalls, B::kOperators};
  for (const B::Kind kind : kinds) {
    for (const char* caller : {"a", "b"}) TakeAll(kind, caller);
    EXPECT_FALSE(Take(kind, "c"));
    EXPECT_EQ(failure_->detail().reason(), E::CALLER_BUSY);
    EXPECT_EQ(failure_->detail().delivery(), E::NOT_SENT);
  }
  EXPECT_EQ(failure_->message(), "too many operators' requests are open on this control (--operators-requests-max)");
  EXPECT_EQ(budgets_.counters().streams.value(), 2u) << "b's last one, too";
  EXPECT_EQ(budgets_.counters().watches.value(), 2u);
  EXPECT_EQ(budgets_.counters().unary_calls.value(), 2u);
  EXPECT_EQ(budgets_.counters().operators_requests.value(), 2u);
}

TEST_F(CallerBudgetsTest, OneCallerHasItsShareAndOthersTheRest) {
  EXPECT_EQ(TakeAll(B::kStreams, "a"), 5u);
  EXPECT_EQ(failure_->message(),
            "too many of this caller's streams of calls are open on this control (--caller-share-percent-max of "
            "--streams-max)");
  EXPECT_EQ(budgets_.counters().caller_share.value(), 1u);
  EXPECT_TRUE(Take(B::kStreams, "b"));
}

TEST_F(CallerBudgetsTest, PlacesThatAreGivenBackAreFree) {
  EXPECT_EQ(TakeAll(B::kStreams, "a"), 5u);
  places_.clear();
  EXPECT_EQ(budgets_.open(B::kStreams), 0u);
  budgets_.WaitNone(std::chrono::steady_clock::now() + std::chrono::hours(1));
  EXPECT_EQ(TakeAll(B::kStreams, "a"), 5u);
}

TEST_F(CallerBudgetsTest, ShareIsNeverLessThanOne) {
  B small(clock_, {1, 1, 1, 1, 1});
  B::Place place;
  EXPECT_FALSE(small.Take(B::kStreams, "a", &place));
}

}  // namespace
}  // namespace toolwire
