#include "common/registry/registry_options.h"

#include <gtest/gtest.h>

#include <chrono>

#include "tests/support/command_line.h"

namespace toolwire {
namespace {

TEST(RegistryOptionsTest, FlagsAndEnvironmentSetWhatTheyName) {
  unsetenv("REDIS_URL");
  RedisRegistry::Options options;
  const auto add = [&](CLI::App* app) { AddRegistryFlags(app, &options); };
  ASSERT_TRUE(ParseFlags(add, {}));
  EXPECT_EQ(options.url, "") << "no Redis unless one is named";
  const EnvironmentVariable redis("REDIS_URL", "redis://localhost:6380");
  ASSERT_TRUE(ParseFlags(add, {"--redis-timeout=270"}));
  EXPECT_EQ(options.url, "redis://localhost:6380");
  EXPECT_EQ(options.command_timeout, std::chrono::milliseconds(270));
  ASSERT_TRUE(ParseFlags(add, {"--redis-url=u27"}));
  EXPECT_EQ(options.url, "u27") << "a flag counts more than the environment";
  ExpectBounds(add, {{"--redis-timeout", 10, 60000}});
}

}  // namespace
}  // namespace toolwire
