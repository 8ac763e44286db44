#include "edge/login_limits.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "tests/fakes/fake_clock.h"

namespace toolwire {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;

using LoginWaits = LoginLimits::Waits;
const std::string kHome = "10.0.0.1";

class LoginLimitsTest : public ::testing::Test {
 protected:
  // No limit but what a test sets.
  static LoginLimits::Options NoLimits() {
    LoginLimits::Options options;
    options.failures_per_minute_max = 0;
    options.user_failures_max = 0;
    return options;
  }
  static LoginLimits::Options OfAddress(int failures) {
    LoginLimits::Options options = NoLimits();
    options.failures_per_minute_max = failures;
    return options;
  }
  static LoginLimits::Options OfUser(int failures) {
    LoginLimits::Options options = NoLimits();
    options.user_failures_max = failures;
    return options;
  }
  static LoginLimits::Attempt By(const std::string& address, const std::string& user_id = "user",
                                 const std::string& secret = "guess") {
    return {address, user_id, DigestOfSecret(secret)};
  }
  bool May(LoginLimits* limits, const LoginLimits::Attempt& attempt) { return limits->MayLogIn(attempt, clock_.Now()); }
  LoginWaits Fail(LoginLimits* limits, const LoginLimits::Attempt& attempt) {
    return limits->Failed(attempt, clock_.Now());
  }

  FakeClock clock_;
};

// --- of an address ---------------------------------------------------------------------------------------------------

TEST_F(LoginLimitsTest, AddressHasToWaitAfterTooManyFailures) {
  LoginLimits limits(OfAddress(3));
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(May(&limits, By(kHome)));
    const LoginWaits waits = Fail(&limits, By(kHome, "user_" + std::to_string(i)));
    EXPECT_EQ(waits.address, i == 2 ? minutes(1) : minutes(0));
    EXPECT_EQ(waits.user, Duration::zero());
  }
  EXPECT_FALSE(May(&limits, By(kHome)));
  EXPECT_FALSE(May(&limits, By("::ffff:" + kHome))) << "the same address";
  EXPECT_TRUE(May(&limits, By("10.0.0.2"))) << "others have not failed";
  EXPECT_EQ(limits.counters().addresses_rejected.value(), 2u);
}

TEST_F(LoginLimitsTest, AddressMayLogInAgainWhenItsWaitIsOverAndCountsFromNothing) {
  LoginLimits limits(OfAddress(2));
  for (int i = 0; i < 2; ++i) Fail(&limits, By(kHome));
  clock_.Advance(minutes(1) - Duration(1));
  EXPECT_FALSE(May(&limits, By(kHome)));
  clock_.Advance(Duration(1));
  EXPECT_TRUE(May(&limits, By(kHome)));
  Fail(&limits, By(kHome));
  EXPECT_TRUE(May(&limits, By(kHome)));
}

TEST_F(LoginLimitsTest, FailuresOfAnAddressCountForAMinuteFromTheFirst) {
  LoginLimits limits(OfAddress(2));
  Fail(&limits, By(kHome));
  clock_.Advance(minutes(1));
  Fail(&limits, By(kHome));
  EXPECT_TRUE(May(&limits, By(kHome))) << "the first counts no more";
  clock_.Advance(minutes(1) - Duration(1));
  Fail(&limits, By(kHome));
  EXPECT_FALSE(May(&limits, By(kHome))) << "two within a minute";
}

TEST_F(LoginLimitsTest, WaitsOfAnAddressThatGoesOnDoubleUpToTheLongest) {
  LoginLimits::Options options = OfAddress(2);
  options.wait_max = minutes(5);
  LoginLimits limits(options);
  for (const int wait : {1, 2, 4, 5, 5}) {
    EXPECT_EQ(Fail(&limits, By(kHome)).address, Duration::zero());
    EXPECT_EQ(Fail(&limits, By(kHome)).address, minutes(wait));
    clock_.Advance(minutes(wait) - Duration(1));
    EXPECT_FALSE(May(&limits, By(kHome)));
    clock_.Advance(Duration(1));
    EXPECT_TRUE(May(&limits, By(kHome)));
  }
}

TEST_F(LoginLimitsTest, LongestWaitBoundsTheFirstToo) {
  LoginLimits::Options options = OfAddress(1);
  options.wait_max = seconds(3);
  LoginLimits limits(options);
  EXPECT_EQ(Fail(&limits, By(kHome)).address, seconds(3));
}

TEST_F(LoginLimitsTest, WaitsOfAnAddressAreForgottenAfterAsLongAsTheLongest) {
  LoginLimits limits(OfAddress(1));
  EXPECT_EQ(Fail(&limits, By(kHome)).address, minutes(1));
  clock_.Advance(minutes(1) + minutes(5) - Duration(1));
  EXPECT_EQ(Fail(&limits, By(kHome)).address, minutes(2));
  clock_.Advance(minutes(2) + minutes(5));
  EXPECT_EQ(Fail(&limits, By(kHome)).address, minutes(1));
}

TEST_F(LoginLimitsTest, FailuresThatWereUnderWayDoNotMakeAWaitLonger) {
  LoginLimits limits(OfAddress(1));
  Fail(&limits, By(kHome));
  for (int i = 0; i < 100; ++i) EXPECT_EQ(Fail(&limits, By(kHome)).address, Duration::zero());
  clock_.Advance(minutes(1));
  EXPECT_TRUE(May(&limits, By(kHome)));
}

TEST_F(LoginLimitsTest, Ipv6AddressesOfOneNetworkCountAsOne) {
  LoginLimits limits(OfAddress(1));
  Fail(&limits, By("2001:db8:0:1::1"));
  EXPECT_FALSE(May(&limits, By("2001:db8:0:1::2")));
  EXPECT_TRUE(May(&limits, By("2001:db8:0:2::1")));
}

TEST_F(LoginLimitsTest, ZeroMeansNoLimit) {
  LoginLimits limits(NoLimits());
  for (int i = 0; i < 1000; ++i) Fail(&limits, By(kHome));
  EXPECT_TRUE(May(&limits, By(kHome)));
}

TEST_F(LoginLimitsTest, AddressesRememberedAreLimited) {
  LoginLimits::Options options = OfAddress(1);
  options.addresses_max = 3;
  LoginLimits limits(options);
  for (int i = 1; i <= 3; ++i) Fail(&limits, By("10.0.0." + std::to_string(i)));
  EXPECT_EQ(limits.counters().addresses_full.value(), 0u);
  Fail(&limits, By("10.0.0.4"));
  EXPECT_EQ(limits.counters().addresses_full.value(), 1u);
  EXPECT_TRUE(May(&limits, By("10.0.0.1"))) << "the fourth has taken its place";
  for (int i = 2; i <= 4; ++i) EXPECT_FALSE(May(&limits, By("10.0.0." + std::to_string(i))));
}

TEST_F(LoginLimitsTest, ManyAddressesDoNotLiftTheLimitOfOneThatGoesOn) {
  LoginLimits::Options options = OfAddress(2);
  options.addresses_max = 100;
  LoginLimits limits(options);
  for (int i = 0; i < 2; ++i) Fail(&limits, By(kHome));
  for (int i = 0; i < 10'000; ++i) {
    Fail(&limits, By("2001:db8:0:" + std::to_string(i % 10) + std::to_string(i / 10) + "::1"));
    if (i % 50 == 0) {
      ASSERT_FALSE(May(&limits, By(kHome))) << i;
    }
  }
  EXPECT_TRUE(May(&limits, By("10.0.0.2"))) << "who has not failed is not rejected";
}

// --- of a user at an address -----------------------------------------------------------------------------------------

TEST_F(LoginLimitsTest, UserHasToWaitAtTheAddressWhereHeFails) {
  LoginLimits limits(OfUser(3));
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(May(&limits, By(kHome)));
    EXPECT_EQ(Fail(&limits, By(kHome)).user, i == 2 ? seconds(1) : seconds(0));
  }
  EXPECT_FALSE(May(&limits, By(kHome)));
  EXPECT_TRUE(May(&limits, By(kHome, "other"))) << "others at this address";
  EXPECT_TRUE(May(&limits, By("10.0.0.2"))) << "this user elsewhere";
  EXPECT_EQ(limits.counters().users_rejected.value(), 1u);
}

TEST_F(LoginLimitsTest, WaitsOfAUserDoubleFromASecondToAMinute) {
  LoginLimits limits(OfUser(2));
  Fail(&limits, By(kHome));
  for (const int wait : {1, 2, 4, 8, 16, 32, 60, 60}) {
    EXPECT_EQ(Fail(&limits, By(kHome)).user, seconds(wait));
    clock_.Advance(seconds(wait) - Duration(1));
    EXPECT_FALSE(May(&limits, By(kHome)));
    clock_.Advance(Duration(1));
    EXPECT_TRUE(May(&limits, By(kHome)));
  }
}

TEST_F(LoginLimitsTest, FailuresOfAUserAreForgottenAfterTenMinutesWithoutOne) {
  LoginLimits limits(OfUser(2));
  Fail(&limits, By(kHome));
  clock_.Advance(minutes(10) - Duration(1));
  EXPECT_EQ(Fail(&limits, By(kHome)).user, seconds(1));
  clock_.Advance(minutes(10));
  EXPECT_EQ(Fail(&limits, By(kHome)).user, Duration::zero());
  EXPECT_EQ(Fail(&limits, By(kHome)).user, seconds(1)) << "the waits, too";
}

TEST_F(LoginLimitsTest, UserIdThatNobodyCanHaveCountsForItsAddressAlone) {
  LoginLimits::Options options = OfAddress(2);
  options.user_failures_max = 1;
  LoginLimits limits(options);
  const std::string impossible(100'000, 'x');
  EXPECT_EQ(Fail(&limits, By(kHome, impossible)).user, Duration::zero());
  EXPECT_TRUE(May(&limits, By(kHome, impossible)));
  EXPECT_EQ(Fail(&limits, By(kHome, impossible)).address, minutes(1));
}

TEST_F(LoginLimitsTest, UsersRememberedAreLimitedAndNotLiftedForOneWhoGoesOn) {
  LoginLimits::Options options = OfUser(1);
  options.users_max = 3;
  LoginLimits limits(options);
  for (int i = 1; i <= 3; ++i) Fail(&limits, By(kHome, "user_" + std::to_string(i)));
  EXPECT_EQ(limits.counters().users_full.value(), 0u);
  EXPECT_FALSE(May(&limits, By(kHome, "user_1"))) << "and so is the newest";
  Fail(&limits, By(kHome, "user_4"));
  EXPECT_EQ(limits.counters().users_full.value(), 1u);
  EXPECT_TRUE(May(&limits, By(kHome, "user_2")));
  for (const int i : {1, 3, 4}) EXPECT_FALSE(May(&limits, By(kHome, "user_" + std::to_string(i))));
}

// --- secrets that were right -----------------------------------------------------------------------------------------

TEST_F(LoginLimitsTest, SecretThatWasRightIsLetThroughWhereverAndWhateverFails) {
  LoginLimits::Options options = OfAddress(1);
  options.user_failures_max = 1;
  LoginLimits limits(options);
  const auto right = [](const std::string& address) { return By(address, "user", "right"); };
  limits.Succeeded(right(kHome));
  for (const char* address : {"10.0.0.1", "10.0.0.2"}) {
    Fail(&limits, By(address));
    EXPECT_TRUE(May(&limits, right(address)));
    EXPECT_FALSE(May(&limits, By(address))) << "another secret";
    EXPECT_FALSE(May(&limits, By(address, "other", "right"))) << "of another user";
  }
}

TEST_F(LoginLimitsTest, SecretThatWasRightAndIsWrongNowIsNotKnownAnyMore) {
  LoginLimits limits(OfAddress(1));
  limits.Succeeded(By(kHome, "user", "right"));
  EXPECT_EQ(Fail(&limits, By(kHome, "user", "right")).address, minutes(1));
  EXPECT_FALSE(May(&limits, By(kHome, "user", "right")));
}

TEST_F(LoginLimitsTest, SecretsRememberedAreLimitedAndTheNewestStay) {
  LoginLimits::Options options = OfAddress(1);
  options.known_max = 20;
  LoginLimits limits(options);
  const auto of = [](int i) { return By(kHome, "user_" + std::to_string(i), "right"); };
  for (int i = 1; i <= 100; ++i) {
    limits.Succeeded(of(i));
    for (int again = 0; again < 30; ++again) limits.Succeeded(of(i));  // Takes no room again.
  }
  for (int i = 0; i < 1000; ++i) Fail(&limits, By("10.0.0.2", "user_" + std::to_string(i)));  // Nor do failures.
  Fail(&limits, By(kHome));
  int known = 0;
  for (int i = 1; i <= 100; ++i) known += May(&limits, of(i)) ? 1 : 0;
  EXPECT_LE(known, 20);
  for (int i = 91; i <= 100; ++i) EXPECT_TRUE(May(&limits, of(i))) << i;
}

TEST_F(LoginLimitsTest, ThreadsMayComeTogether) {
  LoginLimits limits(OfAddress(1000));
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 250; ++i) {
        limits.Succeeded(By(kHome, "user_" + std::to_string(i), "right"));
        limits.MayLogIn(By(kHome, "user_" + std::to_string(t)), clock_.Now());
        limits.Failed(By(kHome, "user_" + std::to_string(i)), clock_.Now());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_FALSE(May(&limits, By(kHome))) << "each failure has counted once";
}

}  // namespace
}  // namespace toolwire
