#include "control/caller_bytes.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

namespace toolwire {
namespace {

// A stream or call that gives its bytes back when it is told to, or only when its test says so.
class TestHolder final : public CallerBytes::Holder, public std::enable_shared_from_this<TestHolder> {
 public:
  static std::shared_ptr<TestHolder> Make(CallerBytes& all, const std::string& peer, size_t bytes, bool gives = true) {
    auto holder = std::make_shared<TestHolder>(all, peer, gives);
    holder->Join(holder);
    holder->Hold(bytes);
    return holder;
  }
  TestHolder(CallerBytes& all, const std::string& peer, bool gives) : Holder(all, peer), gives_(gives) {}
  ~TestHolder() override { Leave(); }

  void Drop() override {
    ++drops;
    if (gives_) Release(held());
  }
  int drops = 0;

 private:
  const bool gives_;
};

TEST(CallerBytesTest, ConnectionThatHoldsMostInManySmallPartsPaysBeforeOneWithALargerStream) {
  CallerBytes all(100'000);
  const auto stream = TestHolder::Make(all, "honest", 20'000);
  std::vector<std::shared_ptr<TestHolder>> calls;
  for (int i = 0; i < 90; ++i) calls.push_back(TestHolder::Make(all, "hostile", 1000));
  all.Tick();
  EXPECT_EQ(all.total(), 100'000u);
  EXPECT_EQ(stream->drops, 0);
  EXPECT_EQ(all.counters().full.value(), 10u) << "no more than needed";
}

TEST(CallerBytesTest, AddressThatHoldsMostInManyConnectionsPaysBeforeOneWithALargerConnection) {
  for (const auto& [honest, hostile] :
       {std::pair("ipv4:10.0.0.1:7", "ipv4:10.0.0.2:"),
        std::pair("ipv6:%5B2001:db8::1%5D:7", "ipv6:%5B2001:db8:0:1::%5D:"),
        std::pair("ipv6:%5B2001:db8::1%5D:7", "ipv6:%5B::ffff:10.0.0.2%5D:"),
        std::pair("unix-abstract:tw-1/ipv4:10.0.0.1:7", "unix-abstract:tw-2/ipv4:10.0.0.2:")}) {
    CallerBytes all(100'000);
    const auto stream = TestHolder::Make(all, honest, 20'000);
    std::vector<std::shared_ptr<TestHolder>> streams;
    for (int i = 0; i < 90; ++i) streams.push_back(TestHolder::Make(all, hostile + std::to_string(i), 1000));
    all.Tick();
    EXPECT_EQ(all.total(), 100'000u);
    EXPECT_EQ(stream->drops, 0);
  }
}

TEST(CallerBytesTest, AddressesOfOneNetworkOfIpv6CountAsOne) {
  CallerBytes all(100'000);
  const auto stream = TestHolder::Make(all, "ipv6:%5B2001:db8::1%5D:7", 20'000);
  std::vector<std::shared_ptr<TestHolder>> streams;
  for (int i = 1; i <= 90; ++i) {
    const std::string peer = "ipv6:%5B2001:db8:0:1::" + std::to_string(i) + "%5D:7";
    streams.push_back(TestHolder::Make(all, peer, 1000));
  }
  all.Tick();
  EXPECT_EQ(stream->drops, 0);
}

TEST(CallerBytesTest, LargestPartsOfTheConnectionGoFirst) {
  CallerBytes all(100'000);
  const auto small = TestHolder::Make(all, "hostile", 30'000), large = TestHolder::Make(all, "hostile", 60'000);
  const auto honest = TestHolder::Make(all, "honest", 40'000);
  all.Tick();
  EXPECT_EQ(large->drops, 1);
  EXPECT_EQ(small->drops + honest->drops, 0);
}

TEST(CallerBytesTest, ConnectionsThatHoldAlikeShareTheLoss) {
  CallerBytes all(100'000);
  std::vector<std::shared_ptr<TestHolder>> one, other;
  for (int i = 0; i < 80; ++i) {
    one.push_back(TestHolder::Make(all, "one", 1000));
    other.push_back(TestHolder::Make(all, "other", 1000));
  }
  all.Tick();
  int drops_of_one = 0;
  for (const auto& holder : one) drops_of_one += holder->drops;
  EXPECT_EQ(drops_of_one, 30);
}

TEST(CallerBytesTest, OneThatDoesNotGiveItsBytesBackIsDroppedOnceMoreAndNobodyInItsStead) {
  CallerBytes all(100'000);
  const auto stubborn = TestHolder::Make(all, "hostile", 90'000, /*gives=*/false);
  const auto honest = TestHolder::Make(all, "honest", 20'000);
  for (int i = 0; i < 300; ++i) all.Tick();
  EXPECT_EQ(stubborn->drops, 2);
  EXPECT_EQ(honest->drops, 0);
}

TEST(CallerBytesTest, HoldersThatAreGoneHoldNothing) {
  CallerBytes all(100'000);
  for (int i = 0; i < 10; ++i) TestHolder::Make(all, "peer", 50'000);
  EXPECT_EQ(all.total(), 0u);
  all.Tick();
  EXPECT_EQ(all.counters().full.value(), 0u);
}

}  // namespace
}  // namespace toolwire
