#include "edge/metrics_page.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <memory>
#include <string>

#include "tests/fakes/fake_clock.h"

namespace toolwire {
namespace {

class MetricsPageTest : public ::testing::Test {
 protected:
  std::string Get(bool with_users) {
    auto text = std::make_shared<std::promise<MetricsPage::Text>>();
    page_.Get(with_users, [text](MetricsPage::Text got) { text->set_value(std::move(got)); });
    const MetricsPage::Text got = text->get_future().get();
    return got ? *got : "stopped";
  }

  FakeClock clock_;
  std::atomic<int> built_{0};
  MetricsPage page_{clock_,
                    [this](bool with_users) { return (with_users ? "users " : "counts ") + std::to_string(++built_); }};
};

TEST_F(MetricsPageTest, PageIsBuiltOnceASecondHoweverOftenItIsAskedFor) {
  for (int i = 0; i < 100; ++i) ASSERT_EQ(Get(true), "users 1");
  clock_.Advance(MetricsPage::kKept - Duration(1));
  EXPECT_EQ(Get(true), "users 1");
  clock_.Advance(Duration(1));
  EXPECT_EQ(Get(true), "users 2");
  EXPECT_EQ(built_, 2) << "nobody asked for the counts";
}

TEST_F(MetricsPageTest, WhoMayNotSeeTheUsersNeverGetsTheirPage) {
  EXPECT_EQ(Get(true), "users 1");
  EXPECT_EQ(Get(false), "counts 2");
  EXPECT_EQ(Get(true), "users 1");
  EXPECT_EQ(Get(false), "counts 2");
}

TEST_F(MetricsPageTest, AfterTheStopNothingIsBuilt) {
  page_.Stop();
  EXPECT_EQ(Get(true), "stopped");
  EXPECT_EQ(built_, 0);
}

}  // namespace
}  // namespace toolwire
