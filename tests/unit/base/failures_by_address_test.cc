#include "common/base/failures_by_address.h"

#include <gtest/gtest.h>

#include <chrono>

namespace toolwire {
namespace {

using std::chrono::seconds;

const MonoTime kStart{std::chrono::hours(1)};

TEST(FailuresByAddressTest, AddressThatFailsTooOftenWaitsForItsWindowToEnd) {
  FailuresByAddress failures({2, seconds(1), 10});
  EXPECT_TRUE(failures.MayTry("a", kStart));
  failures.Note("a", kStart);
  EXPECT_TRUE(failures.MayTry("a", kStart));
  failures.Note("a", kStart + seconds(1) - Duration(1));
  EXPECT_FALSE(failures.MayTry("a", kStart + seconds(1) - Duration(1)));
  EXPECT_TRUE(failures.MayTry("b", kStart));
  EXPECT_TRUE(failures.MayTry("a", kStart + seconds(1)));
  failures.Note("a", kStart + seconds(1));
  EXPECT_TRUE(failures.MayTry("a", kStart + seconds(1))) << "one in the new window";
}

TEST(FailuresByAddressTest, WithoutALimitNobodyWaits) {
  FailuresByAddress failures({0, seconds(1), 10});
  for (int i = 0; i < 100; ++i) failures.Note("a", kStart);
  EXPECT_TRUE(failures.MayTry("a", kStart));
}

TEST(FailuresByAddressTest, FullItForgetsWhoHasNotTriedForLongest) {
  FailuresByAddress failures({1, seconds(1), 2});
  EXPECT_FALSE(failures.Note("a", kStart));
  EXPECT_FALSE(failures.Note("b", kStart));
  EXPECT_FALSE(failures.MayTry("a", kStart)) << "and is the last to be forgotten now";
  EXPECT_TRUE(failures.Note("c", kStart));
  EXPECT_TRUE(failures.MayTry("b", kStart));
  EXPECT_FALSE(failures.MayTry("a", kStart));
  EXPECT_FALSE(failures.MayTry("c", kStart));
}

}  // namespace
}  // namespace toolwire
