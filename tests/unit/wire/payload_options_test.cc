#include "common/wire/payload_options.h"

#include <gtest/gtest.h>

#include "tests/support/command_line.h"

namespace toolwire {
namespace {

TEST(PayloadOptionsTest, FlagsSetWhatTheyName) {
  PayloadOptions options;
  EXPECT_EQ(options.payload_bytes_max, 16u << 20);
  EXPECT_EQ(options.json_depth_max, 512);
  const auto add = [&](CLI::App* app) { AddPayloadFlags(app, &options); };
  ASSERT_TRUE(ParseFlags(add, {"--payload-bytes-max=2048", "--json-depth-max=3"}));
  EXPECT_EQ(options.payload_bytes_max, 2048u);
  EXPECT_EQ(options.json_depth_max, 3);
  ExpectBounds(add, {{"--payload-bytes-max", 1024, 256 << 20}, {"--json-depth-max", 1, 10000}});
}

}  // namespace
}  // namespace toolwire
