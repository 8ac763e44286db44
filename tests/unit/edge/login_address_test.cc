// Whose address a login counts for, who has to wait after failed ones, and who is let through all the same.
#include <gtest/gtest.h>

#include <optional>
#include <string>

#include "edge/login.h"
#include "tests/unit/edge/login_fixture.h"

namespace toolwire {
namespace {

TEST_F(LoginTest, WrongSecretClosesWith1008AndItsAddressHasToWait) {
  for (SessionId id = 1; id <= 2; ++id) {
    Dial(id, kUser, "wrong");
    RunNext();
    EXPECT_EQ(Events(), Strings{"close " + std::to_string(id) + " 1008 Invalid credentials"});
  }
  EXPECT_EQ(LeaseOf(kUser).edge_id, "");
  Dial(3);
  EXPECT_EQ(Events(), Strings{"close 3 1013 Too many failed logins"})
      << "however right its secret is, which nobody knows yet";
  Dial(4, kUser, kSecret, "10.0.0.2");
  RunNext();
  RunNext();
  EXPECT_EQ(Events(), Strings{"open 4 user_42 epoch 1"}) << "another address";
}

TEST_F(LoginTest, SecretsGuessedAtOnceAreNotAllAnswered) {
  for (SessionId id = 1; id <= 3; ++id) {
    Dial(id, kUser, "wrong");
    AwaitPosted(id);
  }
  Dial(4);
  AwaitPosted(4);
  RunAll();
  EXPECT_EQ(Events(), (Strings{"close 1 1008 Invalid credentials", "close 2 1008 Invalid credentials",
                               "close 3 1013 Too many failed logins", "close 4 1013 Too many failed logins"}));
}

TEST_F(LoginTest, ClientBehindATrustedProxyCountsByItsOwnAddress) {
  for (SessionId id = 1; id <= 2; ++id) {
    DialThroughProxy(id, "8.8.8.8, 192.0.2.1", "wrong");
    EXPECT_EQ(logins_.AddressOf(id), "192.0.2.1");
    RunNext();
  }
  EXPECT_EQ(Events(), (Strings{"close 1 1008 Invalid credentials", "close 2 1008 Invalid credentials"}));
  DialThroughProxy(3, "192.0.2.1", kSecret);
  EXPECT_EQ(Events(), Strings{"close 3 1013 Too many failed logins"});
  EXPECT_TRUE(MayLogIn("10.9.9.9")) << "the proxy has not failed";
  DialThroughProxy(4, "192.0.2.2", kSecret);
  RunNext();
  RunNext();
  EXPECT_EQ(Events(), Strings{"open 4 user_42 epoch 1"});
  EXPECT_EQ(logins_.AddressOf(4), "");
}

TEST_F(LoginTest, ClientThatAProxyNamesByTheProxyProtocolCountsByItsOwnAddress) {
  for (SessionId id = 1; id <= 2; ++id) {
    Accept(id, "10.9.9.9");
    logins_.Named(id, "192.0.2.1");
    EXPECT_EQ(logins_.AddressOf(id), "192.0.2.1") << "from the header on";
    logins_.Spoke(id, "192.0.2." + std::to_string(id + 10));
    EXPECT_EQ(logins_.AddressOf(id), "192.0.2.1") << "it is no proxy, and not believed";
    logins_.Begin(id, "/?userId=" + kUser + "&secret=wrong", "");
    RunNext();
  }
  EXPECT_FALSE(MayLogIn("192.0.2.1"));
  EXPECT_TRUE(MayLogIn("10.9.9.9"));
}

TEST_F(LoginTest, ProxyThatAnotherProxyNamesIsBelievedInItsHeader) {
  Accept(1, "10.9.9.9");
  logins_.Named(1, "10.9.9.8");
  logins_.Spoke(1, "192.0.2.1");
  EXPECT_EQ(logins_.AddressOf(1), "192.0.2.1");
}

TEST_F(LoginTest, ConnectionThatAProxyNamesNobodyForCountsAsTheProxysWhateverItsRequestSays) {
  Accept(1, "10.9.9.9");
  logins_.Named(1, "");
  logins_.Spoke(1, "192.0.2.1");
  EXPECT_EQ(logins_.AddressOf(1), "10.9.9.9");
}

TEST_F(LoginTest, LoginOfAProxyThatHasSentNoHeaderIsRefusedAndHealthChecksAreNot) {
  Accept(1, "10.9.9.9");
  logins_.Named(1, std::nullopt);
  logins_.Spoke(1, "192.0.2.1");
  EXPECT_EQ(logins_.AddressOf(1), "10.9.9.9");
  EXPECT_EQ(proxy_headers_.missing.value(), 0u);
  logins_.Begin(1, "/?userId=" + kUser + "&secret=" + kSecret, "");
  EXPECT_EQ(Events(), Strings{"close 1 1013 PROXY header missing"});
  EXPECT_EQ(proxy_headers_.missing.value(), 1u);
  EXPECT_EQ(authenticator_.counters().checks.value(), 0u);
  Accept(2, "10.9.9.9");
  EXPECT_FALSE(logins_.RefusesUnnamed(2)) << "not before it is known";
  logins_.Named(2, std::nullopt);
  EXPECT_TRUE(logins_.RefusesUnnamed(2));
  Accept(3, "10.9.9.9");
  logins_.Named(3, "");
  EXPECT_FALSE(logins_.RefusesUnnamed(3));
  EXPECT_EQ(proxy_headers_.missing.value(), 2u);
}

TEST_F(LoginTest, ClientThatIsNamedAfterItsCloseHasBegunChangesNothing) {
  Accept(1, "10.9.9.9");
  logins_.Cancel(1);
  logins_.Named(1, "192.0.2.1");
  EXPECT_EQ(logins_.AddressOf(1), "10.9.9.9");
  EXPECT_EQ(admission_.unauthenticated(), 0);
}

TEST_F(LoginTest, ClientThatWritesTheHeaderOfAProxyCountsByItsAddress) {
  for (SessionId id = 1; id <= 2; ++id) {
    proxied_ = "192.0.2." + std::to_string(id);
    Dial(id, kUser, "wrong");
    RunNext();
  }
  EXPECT_FALSE(MayLogIn());
}

TEST_F(LoginTest, UserIdThatNobodyCanHaveIsWrongWithoutAskingTheStore) {
  for (SessionId id = 1; id <= 2; ++id) {
    Dial(id, "user%0A");
    EXPECT_EQ(Events(), Strings{"close " + std::to_string(id) + " 1008 Invalid credentials"});
  }
  EXPECT_FALSE(MayLogIn()) << "both are counted";
  EXPECT_EQ(authenticator_.counters().checks.value(), 0u);
}

TEST_F(LoginTest, SecretThatWasRightIsLetThroughThoughItsAddressHasToWait) {
  LogIn(1);
  for (SessionId id = 2; id <= 3; ++id) {
    Dial(id, "nobody", "wrong");
    RunNext();
  }
  EXPECT_FALSE(MayLogIn());
  Events();
  Dial(4, "user_1", "other");
  Dial(5, kUser, "wrong");
  EXPECT_EQ(Events(), (Strings{"close 4 1013 Too many failed logins", "close 5 1013 Too many failed logins"}));
  LogIn(6);
  EXPECT_EQ(Events(), (Strings{"displaced 1", "open 6 user_42 epoch 2"}));
}

TEST_F(LoginTest, UserWhoseSecretOthersGuessHasToWaitWhereTheyDoUnlessHisWasRightBefore) {
  LoginLimits::Options options;
  options.user_failures_max = 2;
  LoginLimits limits(options);
  shared_.login_limits = &limits;
  const auto guess = [this](SessionId id, const std::string& address) {
    Dial(id, kUser, "wrong", address);
    RunNext();
  };
  for (SessionId id = 1; id <= 40; ++id) guess(id, "192.0.2." + std::to_string(id % 20));
  Events();
  Dial(41, kUser, "wrong", "192.0.2.1");
  EXPECT_EQ(Events(), Strings{"close 41 1013 Too many failed logins"});
  Dial(42, "user_1", "other", "192.0.2.1");
  RunNext();
  RunNext();
  EXPECT_EQ(Events(), Strings{"open 42 user_1 epoch 1"}) << "another user at an address of theirs";
  LogIn(43);
  EXPECT_EQ(Events(), Strings{"open 43 user_42 epoch 2"}) << "at an address of his own";
  Dial(44, kUser, kSecret, "192.0.2.2");
  RunNext();
  RunNext();
  EXPECT_EQ(Events(), (Strings{"displaced 43", "open 44 user_42 epoch 3"})) << "then at one of theirs, too";
  EXPECT_EQ(limits.counters().users_rejected.value(), 1u);
  shared_.login_limits = &login_limits_;
}

TEST_F(LoginTest, SecretThatWasRightAndIsRevokedIsLetThroughOnce) {
  LogIn(1);
  CloseSocket(1);
  ASSERT_TRUE(memory_.Revoke(kUser).ok());
  for (SessionId id = 2; id <= 3; ++id) {
    Dial(id, "nobody", "wrong");
    RunNext();
  }
  Events();
  Dial(4);
  RunNext();
  Dial(5);
  EXPECT_EQ(Events(), (Strings{"close 4 1008 Invalid credentials", "close 5 1013 Too many failed logins"}));
}

TEST_F(LoginTest, LoginsOfOneAddressThatAreUnderWayAreLimited) {
  for (SessionId id = 1; id <= kLoginsMax; ++id) {
    Dial(id, "user_" + std::to_string(id), "wrong");
    AwaitPosted(id);
  }
  EXPECT_EQ(Events(), Strings()) << "at the limit";
  Dial(20);
  EXPECT_EQ(Events(), Strings{"close 20 1013 Too many logins at once"}) << "one past it";
  EXPECT_EQ(admission_.counters().address_logins_full.value(), 1u);
  Dial(21, kUser, kSecret, "10.0.0.2");
  AwaitPosted(kLoginsMax + 1);
  EXPECT_EQ(Events(), Strings()) << "another address";
  RunNext();
  EXPECT_EQ(Events(), Strings{"close 1 1008 Invalid credentials"});
  Dial(22, "user_22", "wrong");
  EXPECT_EQ(Events(), Strings()) << "the first has left its place";
  CloseSocket(21);
  RunAll();
}

}  // namespace
}  // namespace toolwire
