#include "common/base/by_address.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

namespace toolwire {
namespace {

struct Guest : ByAddress<Guest>::Member {};

class ByAddressTest : public ::testing::Test {
 protected:
  Guest* Add(const std::string& key) {
    guests_.push_back(std::make_unique<Guest>());
    queue_.Add(guests_.back().get(), key);
    return guests_.back().get();
  }

  ByAddress<Guest> queue_;
  std::vector<std::unique_ptr<Guest>> guests_;
};

TEST_F(ByAddressTest, WhoHasMostIsFirstAndOfTheseTheOldest) {
  EXPECT_EQ(queue_.First(), nullptr);
  Guest* const good = Add("good");
  Guest* const one = Add("many");
  EXPECT_EQ(queue_.First(), good) << "of those that have as many, who has the oldest";
  Guest* const two = Add("many");
  Guest* const three = Add("many");
  EXPECT_EQ(queue_.First(), one);
  EXPECT_EQ(queue_.size(), 4u);
  queue_.Remove(one);
  EXPECT_EQ(queue_.First(), two);
  queue_.Remove(two);
  EXPECT_EQ(queue_.First(), good);
  queue_.Remove(good);
  EXPECT_EQ(queue_.First(), three);
  queue_.Remove(three);
  queue_.Remove(three);
  EXPECT_EQ(queue_.First(), nullptr);
  EXPECT_EQ(queue_.size(), 0u);
}

TEST_F(ByAddressTest, OneThatIsAddedAgainIsTheNewestOfItsAddress) {
  Guest* const one = Add("a");
  Guest* const two = Add("a");
  queue_.Remove(one);
  queue_.Add(one, "a");
  EXPECT_EQ(queue_.First(), two);
  EXPECT_EQ(queue_.FirstOf("a"), two);
  EXPECT_EQ(queue_.SizeOf("a"), 2u);
  EXPECT_EQ(queue_.FirstOf("b"), nullptr);
  EXPECT_EQ(queue_.SizeOf("b"), 0u);
}

}  // namespace
}  // namespace toolwire
