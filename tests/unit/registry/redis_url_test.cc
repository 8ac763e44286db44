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
  EXPECT_EQ(url->host, "10.0.0.1");
  EXPECT_EQ(url->port, 6380);
  EXPECT_EQ(url->db, 15);
}

TEST(RedisUrlTest, MayHaveAPasswordWithoutAUser) {
  const auto url = ParseRedisUrl("redis://:s@cret@host/");
  ASSERT_TRUE(url.ok()) << url.status();
  EXPECT_EQ(url->user, "");
  EXPECT_EQ(url->password, "s@cret");
  EXPECT_EQ(url->host, "host");
}

TEST(RedisUrlTest, MayHaveAnIpv6Address) {
  const auto url = ParseRedisUrl("redis://[::1]:7000");
  ASSERT_TRUE(url.ok()) << url.status();
  EXPECT_EQ(url->host, "::1");
  EXPECT_EQ(url->Address(), "[::1]:7000");
}

TEST(RedisUrlTest, IsRefusedWithoutShowingThePassword) {
  for (const std::string url : {"",
                                "redis:",
                                "redis://",
                                "rediss://:hidden@host",
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
                                "redis://user@host",
                                "redis://user:@host",
                                "redis://:hidden%4@host",
                                "redis://:hidden%zz@host",
                                "redis://:hidden@[::1",
                                "redis://:hidden@[::1]x"}) {
    const auto parsed = ParseRedisUrl(url);
    EXPECT_EQ(parsed.status().code(), absl::StatusCode::kInvalidArgument) << url;
    EXPECT_FALSE(absl::StrContains(parsed.status().message(), "hidden")) << parsed.status();
  }
}

}  // namespace
}  // namespace toolwire
