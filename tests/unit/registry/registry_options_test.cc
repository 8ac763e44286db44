#include "common/registry/registry_options.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <string>

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
  ASSERT_TRUE(ParseFlags(add, {"--redis-url=redis://u27"}));
  EXPECT_EQ(options.url, "redis://u27") << "a flag counts more than the environment";
  const EnvironmentVariable file("REDIS_URL", " redis://localhost:6381\r\n");
  ASSERT_TRUE(ParseFlags(add, {}));
  EXPECT_EQ(options.url, "redis://localhost:6381") << "as a Secret made from a file has it";
  const EnvironmentVariable ca("REDIS_CA", "a.crt"), certificate("REDIS_CERT", "b.crt"), key("REDIS_KEY", "b.key");
  ASSERT_TRUE(ParseFlags(add, {}));
  EXPECT_EQ(options.tls.ca_file + options.tls.certificate_file + options.tls.key_file, "a.crtb.crtb.key");
  ASSERT_TRUE(ParseFlags(add, {"--redis-ca=c.crt", "--redis-cert=d.crt", "--redis-key=d.key"}));
  EXPECT_EQ(options.tls.ca_file + options.tls.certificate_file + options.tls.key_file, "c.crtd.crtd.key");
  ExpectBounds(add, {{"--redis-timeout", 10, 60000}});
  EXPECT_EQ(options.environment, "");
  const EnvironmentVariable environment("REDIS_ENVIRONMENT", "staging");
  ASSERT_TRUE(ParseFlags(add, {}));
  EXPECT_EQ(options.environment, "staging");
  options.url = "redis://host";
  for (const std::string& bad : {std::string("a b"), std::string("a'b"), std::string("a:b"), std::string(65, 'x')}) {
    EXPECT_FALSE(ParseFlags(add, {"--redis-environment", bad})) << bad;
    const EnvironmentVariable variable("REDIS_ENVIRONMENT", bad.c_str());
    EXPECT_FALSE(ParseFlags(add, {})) << bad;
    options.environment = bad;
    EXPECT_EQ(RedisRegistry::Create(options).status().code(), absl::StatusCode::kInvalidArgument) << bad;
  }
}

TEST(RegistryOptionsTest, FilesForTlsAreOfUseOnlyWithTls) {
  const SystemClock clock;
  const auto loaded = [&](const char* url, const RedisTlsOptions& options) {
    return LoadRedisTls(*ParseRedisUrl(url), options, clock).status();
  };
  EXPECT_TRUE(loaded("redis://host", {}).ok());
  EXPECT_TRUE(loaded("rediss://host", {}).ok()) << "the system's CAs";
  EXPECT_EQ(loaded("redis://host", {"ca.crt", "", ""}).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(loaded("redis://host", {"", "a.crt", "a.key"}).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(loaded("rediss://host", {"", "a.crt", ""}).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(loaded("rediss://host", {"", "", "a.key"}).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(loaded("rediss://host", {"/no/such.crt", "", ""}).code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace toolwire
