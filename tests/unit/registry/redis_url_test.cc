#include "common/registry/redis_url.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/strings/match.h"

namespace toolwire {
namespace {

TEST(RedisUrlTest, HasDefaults) {
  const auto url = ParseRedisUrl("redis://localhost");
  ASSERT_TRUE(url.ok()) << url.status();
  EXPECT_EQ(url->Address(), "localhost:6379");
  EXPECT_EQ(url->user + url->password, "");
  EXPECT_EQ(url->db, 0);
}

TEST(RedisUrlTest, HasEveryPart) {
  const auto url = ParseRedisUrl("redis://me:pa%20ss%3a%40@10.0.0.1:6380/15");
  ASSERT_TRUE(url.ok()) << url.status();
  EXPECT_EQ(url->user, "me");
  EXPECT_EQ(url->password, "pa ss:@");
  EXPECT_EQ(url->server.host, "10.0.0.1");
  EXPECT_EQ(url->server.port, 6380);
  EXPECT_EQ(url->db, 15);
}

TEST(RedisUrlTest, MayHaveAPasswordWithoutAUser) {
  const auto url = ParseRedisUrl("redis://:s@cret@host/");
  ASSERT_TRUE(url.ok()) << url.status();
  EXPECT_EQ(url->user, "");
  EXPECT_EQ(url->password, "s@cret");
  EXPECT_EQ(url->server.host, "host");
}

TEST(RedisUrlTest, MayHaveAnIpv6Address) {
  const auto url = ParseRedisUrl("redis://[::1]:7000");
  ASSERT_TRUE(url.ok()) << url.status();
  EXPECT_EQ(url->server.host, "::1");
  EXPECT_EQ(url->Address(), "[::1]:7000");
}

TEST(RedisUrlTest, MayAskForTls) {
  const auto url = ParseRedisUrl("rediss://me:p%3Fw@redis.example:6380/2");
  ASSERT_TRUE(url.ok()) << url.status();
  EXPECT_TRUE(url->tls);
  EXPECT_TRUE(url->checks_name);
  EXPECT_EQ(url->tls_name, "");
  EXPECT_EQ(url->Address(), "redis.example:6380");
  EXPECT_EQ(url->user, "me");
  EXPECT_EQ(url->password, "p?w");
  EXPECT_EQ(url->db, 2);
  EXPECT_FALSE(ParseRedisUrl("redis://redis.example")->tls);
}

TEST(RedisUrlTest, SaysWhatTheCertificateMustName) {
  const auto named = ParseRedisUrl("rediss://10.0.0.5/1?tls-name=redis.example");
  ASSERT_TRUE(named.ok()) << named.status();
  EXPECT_EQ(named->tls_name, "redis.example");
  EXPECT_TRUE(named->checks_name);
  EXPECT_EQ(named->server.host, "10.0.0.5");
  EXPECT_EQ(named->db, 1);
  EXPECT_EQ(ParseRedisUrl("rediss://h?tls-name=fd00%3A%3A5")->tls_name, "fd00::5");
  const auto any = ParseRedisUrl("rediss://:s@cret@[fd00::5]:7000?tls-verify=ca");
  ASSERT_TRUE(any.ok()) << any.status();
  EXPECT_FALSE(any->checks_name);
  EXPECT_EQ(any->password, "s@cret");
  EXPECT_EQ(any->Address(), "[fd00::5]:7000");
  EXPECT_TRUE(ParseRedisUrl("rediss://h?tls-verify=full&tls-name=other")->checks_name);
}

TEST(RedisUrlTest, MayNameSentinels) {
  const auto url = ParseRedisUrl(
      "redis+sentinel://me:p%40w@s1,10.0.0.2:26380,[fd00::3]/main/4?sentinel-user=us&sentinel-password=p%26w");
  ASSERT_TRUE(url.ok()) << url.status();
  ASSERT_EQ(url->sentinels.size(), 3u);
  EXPECT_EQ(url->sentinels[0].Text(), "s1:26379");
  EXPECT_EQ(url->sentinels[1].Text(), "10.0.0.2:26380");
  EXPECT_EQ(url->sentinels[2].Text(), "[fd00::3]:26379");
  EXPECT_EQ(url->master_name, "main");
  EXPECT_EQ(url->user + "/" + url->password, "me/p@w");
  EXPECT_EQ(url->db, 4);
  EXPECT_FALSE(url->tls || url->sentinel_tls);
  EXPECT_EQ(url->Address(), "the master main of the sentinels s1:26379,10.0.0.2:26380,[fd00::3]:26379");
  const RedisUrl sentinel = url->OfSentinel(1);
  EXPECT_EQ(sentinel.Address(), "10.0.0.2:26380");
  EXPECT_EQ(sentinel.user + "/" + sentinel.password, "us/p&w");
  EXPECT_EQ(sentinel.db, 0);
  EXPECT_EQ(ParseRedisUrl("redis+sentinel://s/my%2Fmain")->master_name, "my/main");
  const auto most = ParseRedisUrl("redis+sentinel://a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p/main");
  EXPECT_EQ(most->sentinels.size(), 16u);
  EXPECT_EQ(most->OfSentinel(15).password, "") << "of Redis, not of the sentinels";
}

TEST(RedisUrlTest, SentinelsHaveTlsAsRedisHasUnlessTheUrlSaysOtherwise) {
  const auto both = ParseRedisUrl("rediss+sentinel://:pw@s/main?tls-name=redis.example&tls-verify=ca");
  ASSERT_TRUE(both.ok()) << both.status();
  EXPECT_TRUE(both->tls && both->sentinel_tls);
  EXPECT_TRUE(both->OfSentinel(0).tls);
  EXPECT_FALSE(both->OfSentinel(0).checks_name);
  EXPECT_EQ(both->OfSentinel(0).tls_name, "") << "the name is that of the Redis servers";
  const auto redis = ParseRedisUrl("rediss+sentinel://:pw@s/main?sentinel-tls=off");
  EXPECT_TRUE(redis->tls && !redis->sentinel_tls && !redis->OfSentinel(0).tls);
  const auto sentinel = ParseRedisUrl("redis+sentinel://:pw@s/main?sentinel-tls=on&tls-verify=ca");
  ASSERT_TRUE(sentinel.ok()) << sentinel.status();
  EXPECT_TRUE(!sentinel->tls && sentinel->sentinel_tls && sentinel->OfSentinel(0).tls);
  EXPECT_EQ(RisksOf(*redis, false, false), "no TLS to the sentinels");
  EXPECT_EQ(RisksOf(*redis, true, false), "");
}

TEST(RedisUrlTest, AddressesOfSentinelsAreChecked) {
  EXPECT_EQ(RedisAddress::Read("10.0.0.1", "6379")->Text(), "10.0.0.1:6379");
  EXPECT_EQ(RedisAddress::Read("fd00::1", "1")->Text(), "[fd00::1]:1");
  for (const char* port : {"", "0", "65536", "-1", "x", "6379 ", "4294967297"}) {
    EXPECT_FALSE(RedisAddress::Read("10.0.0.1", port)) << port;
  }
  for (const std::string& host : {std::string(), std::string("a b"), std::string("a\n"), std::string(256, 'a')}) {
    EXPECT_FALSE(RedisAddress::Read(host, "6379")) << host;
  }
}

TEST(RedisUrlTest, RisksAreSaid) {
  const auto risks = [](const char* text, bool is_loopback, bool has_certificate = false) {
    return RisksOf(*ParseRedisUrl(text), is_loopback, has_certificate);
  };
  EXPECT_EQ(risks("rediss://:pw@host", false), "");
  EXPECT_EQ(risks("redis://host", true), "") << "nobody else is on the way";
  EXPECT_EQ(risks("redis://host", false), "no TLS, no password");
  EXPECT_EQ(risks("redis://:pw@host", false), "no TLS");
  EXPECT_EQ(risks("rediss://host", false), "no password");
  EXPECT_EQ(risks("rediss://host", false, true), "") << "the certificate is the login";
  for (const bool is_loopback : {false, true}) {
    EXPECT_EQ(risks("rediss://:pw@host?tls-verify=ca", is_loopback),
              "any certificate of the CA is taken, whatever it names");
  }
}

TEST(RedisUrlTest, IsRefusedWithoutShowingThePassword) {
  for (const std::string url : {"",
                                "redis:",
                                "redis://",
                                "rediss://",
                                "rediss://:hidden@",
                                "REDISS://:hidden@host",
                                "unix://:hidden@host",
                                "http://host",
                                "redis://:hidden@",
                                "redis://:hidden@:6379",
                                "redis://:hidden@host:",
                                "redis://:hidden@host:0",
                                "redis://:hidden@host:65536",
                                "redis://:hidden@host:6379x",
                                "redis://:hidden@host/x",
                                "redis://:hidden@host/-1",
                                "redis://:hidden@host?db=1",
                                "redis://:hidden@host?",
                                "redis://:hidden@host#1",
                                "redis://:hid#den@host#1",
                                "redis://:hid?den@host",
                                "redis://:pw@host?tls-name=hidden@other",
                                "redis://:hidden@ho st",
                                "redis://:hidden@host\n",
                                "redis://:hidden@ho\x80st",
                                "redis://:hidden@host?tls-verify=ca",
                                "redis://:hidden@host?tls-name=other",
                                "rediss://:hidden@host?tls-verify=none",
                                "rediss://:hidden@host?tls-verify",
                                "rediss://:hidden@host?tls-verify=ca&",
                                "rediss://:hidden@host?&tls-verify=ca",
                                "rediss://:hidden@host?tls-verify=ca&tls-verify=ca",
                                "rediss://:hidden@host?tls-name=",
                                "rediss://:hidden@host?tls-name=a%00b",
                                "rediss://:hidden@host?tls-name=a%2",
                                "rediss://:hidden@host?tls-name=*.host",
                                "rediss://:hidden@host?tls-name=a/b",
                                "rediss://:hidden@host?insecure=1",
                                "rediss://:hidden@host?hidden=1",
                                "redis://user@host",
                                "redis://user:@host",
                                "redis://:hidden%4@host",
                                "redis://:hidden%zz@host",
                                "redis://:hidden@a,b",
                                "redis://:hidden@host?sentinel-password=hidden",
                                "redis://:hidden@host?sentinel-tls=on",
                                "redis+sentinel:/:hidden@host/main",
                                "redis+sentinels://:hidden@host/main",
                                "redis+sentinel://:hidden@host",
                                "redis+sentinel://:hidden@host/",
                                "redis+sentinel://:hidden@host//1",
                                "redis+sentinel://:hidden@/main",
                                "redis+sentinel://:hidden@a,/main",
                                "redis+sentinel://:hidden@,a/main",
                                "redis+sentinel://:hidden@a:0/main",
                                "redis+sentinel://:hidden@a/two words",
                                "redis+sentinel://:hidden@a/%0a",
                                "redis+sentinel://:hidden@a/%zz",
                                "redis+sentinel://:hidden@a/main/x",
                                "redis+sentinel://:hidden@a/main/1/2",
                                "redis+sentinel://:hidden@a/main?sentinel-user=me",
                                "redis+sentinel://:hidden@a/main?sentinel-password=",
                                "redis+sentinel://:hidden@a/main?sentinel-password=hidden%4",
                                "redis+sentinel://:hidden@a/main?sentinel-password=hid@den",
                                "redis+sentinel://:hidden@a/main?sentinel-tls=1",
                                "redis+sentinel://:hidden@a/main?tls-verify=ca",
                                "rediss+sentinel://:hidden@a/main?tls-verify=none",
                                "redis+sentinel://:hidden@a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q/main",
                                "redis://:hidden@[::1",
                                "redis://:hidden@[::1]x"}) {
    const auto parsed = ParseRedisUrl(url);
    EXPECT_EQ(parsed.status().code(), absl::StatusCode::kInvalidArgument) << url;
    EXPECT_FALSE(absl::StrContains(parsed.status().message(), "hidden")) << parsed.status();
  }
}

}  // namespace
}  // namespace toolwire
