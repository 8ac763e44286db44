#include "common/base/summed_line.h"

#include <gtest/gtest.h>

#include <chrono>

namespace toolwire {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(SummedLineTest, OneInEachSpanSaysHowManyWereLeftOut) {
  SummedLine line(seconds(1));
  MonoTime now{};
  EXPECT_EQ(line.Take(now), 0) << "the first";
  EXPECT_EQ(line.Take(now), std::nullopt);
  EXPECT_EQ(line.Take(now + milliseconds(999)), std::nullopt);
  now += seconds(1);
  EXPECT_EQ(line.Take(now), 2);
  EXPECT_EQ(line.Take(now), std::nullopt);
  EXPECT_EQ(line.Take(now + seconds(100)), 1);
}

TEST(SummedLineTest, SomeMayComeAtOnce) {
  SummedLine line(seconds(1), /*at_once=*/3);
  const MonoTime now{};
  for (int i = 0; i < 3; ++i) EXPECT_EQ(line.Take(now), 0);
  EXPECT_EQ(line.Take(now), std::nullopt);
  EXPECT_EQ(line.Take(now + seconds(1)), 1);
  EXPECT_EQ(line.Take(now + seconds(1)), 0);
}

}  // namespace
}  // namespace toolwire
