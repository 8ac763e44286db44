#include "common/base/process_options.h"

#include <gtest/gtest.h>

#include <chrono>
#include <limits>
#include <string>
#include <utility>

#include "common/base/log.h"
#include "tests/support/command_line.h"

namespace toolwire {
namespace {

class ProcessOptionsTest : public ::testing::Test {
 protected:
  // Whatever the environment of the test run holds.
  void SetUp() override {
    for (const char* name : {"LOG_FORMAT", "LOG_LEVEL", "LISTEN", "METRICS_PORT", "DRAIN_TIMEOUT"}) unsetenv(name);
  }

  LogOptions log_;
  ListenOptions listen_;
  Duration drain_timeout_ = kDrainTimeout;
  const AddFlags add_ = [this](CLI::App* app) {
    AddLogFlags(app, &log_);
    AddListenFlags(app, &listen_);
    AddDrainFlag(app, &drain_timeout_);
  };
};

TEST_F(ProcessOptionsTest, DefaultsAreTheDocumentedOnes) {
  ASSERT_TRUE(ParseFlags(add_, {}));
  EXPECT_EQ(log_.format, "auto");
  EXPECT_EQ(log_.level, "info");
  EXPECT_EQ(listen_.host, "127.0.0.1");
  EXPECT_FALSE(listen_.insecure);
  EXPECT_EQ(listen_.metrics_port, 9090);
  EXPECT_EQ(drain_timeout_, std::chrono::milliseconds(10000));
}

TEST_F(ProcessOptionsTest, FlagsSetWhatTheyName) {
  ASSERT_TRUE(ParseFlags(add_, {"--log-format=json", "--log-level=warn", "--listen=127.0.0.2", "--metrics-port=1",
                                "--drain-timeout=28", "--insecure"}));
  EXPECT_EQ(log_.format, "json");
  EXPECT_EQ(log_.level, "warn");
  EXPECT_EQ(listen_.host, "127.0.0.2");
  EXPECT_TRUE(listen_.insecure);
  EXPECT_EQ(listen_.metrics_port, 1);
  EXPECT_EQ(drain_timeout_, std::chrono::milliseconds(28));
}

TEST_F(ProcessOptionsTest, EnvironmentIsCheckedAsFlagsAre) {
  {
    const EnvironmentVariable metrics("METRICS_PORT", "9191");
    ASSERT_TRUE(ParseFlags(add_, {}));
    EXPECT_EQ(listen_.metrics_port, 9191);
    ASSERT_TRUE(ParseFlags(add_, {"--metrics-port=9192"}));
    EXPECT_EQ(listen_.metrics_port, 9192) << "a flag counts more than the environment";
  }
  const EnvironmentVariable metrics("METRICS_PORT", "70000");
  EXPECT_FALSE(ParseFlags(add_, {}));
}

TEST_F(ProcessOptionsTest, WhatIsOutsideItsBoundsIsRefused) {
  ExpectBounds(add_, {{"--metrics-port", 0, 65535}, {"--drain-timeout", 0, std::numeric_limits<int>::max()}});
  for (const char* flag : {"--log-level=loud", "--log-format=xml", "--no-such-flag"}) {
    EXPECT_FALSE(ParseFlags(add_, {flag})) << flag;
  }
}

TEST_F(ProcessOptionsTest, HelpNamesFlagDefaultAndEnvironment) {
  flags::CommandLine line("");
  add_(line.app());
  const char* const argv[] = {"program", "--help"};
  const auto ending = line.Parse(2, argv);
  ASSERT_TRUE(ending);
  EXPECT_EQ(ending->status, 0);
  const std::string& help = ending->out;
  for (const char* text : {"--drain-timeout", "=10000", "Env:DRAIN_TIMEOUT"}) {
    EXPECT_NE(help.find(text), std::string::npos) << text;
  }
}

bool MayListen(const std::string& host, bool insecure) {
  ListenOptions options;
  options.host = host;
  options.insecure = insecure;
  const absl::Status status = Validate(options);
  if (!status.ok()) {
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_NE(status.message().find("--insecure"), std::string::npos) << "the message says what to do";
  }
  return status.ok();
}

TEST_F(ProcessOptionsTest, AddressesThatOthersCanReachNeedAWordForIt) {
  for (const char* host : {"127.0.0.1", "127.1.2.3", "::1", "localhost"}) EXPECT_TRUE(MayListen(host, false)) << host;
  for (const char* host : {"0.0.0.0", "::", "192.168.1.5", "10.0.0.1", "fe80::1", "fe80::1%eth0", "128.0.0.1"}) {
    EXPECT_FALSE(MayListen(host, false)) << host;
    EXPECT_TRUE(MayListen(host, true)) << host;
  }
}

TEST_F(ProcessOptionsTest, WhatIsNoAddressIsRefusedWithItsReason) {
  for (const char* host : {"", "1127.0.0.1", "127.example.com", "127.0.0.1.example.com", "[::1]", "[::1]:80", "::1]",
                           "127.0.0.1:80", "%eth0"}) {
    ListenOptions options;
    options.host = host;
    options.insecure = true;
    EXPECT_EQ(Validate(options).message(),
              std::string("--listen=") + host +
                  ": not an IP address, which is written without brackets and port, nor localhost");
  }
}

TEST_F(ProcessOptionsTest, LogLevelsAreTheOnesAskedFor) {
  const std::pair<const char*, log::Level> kLevels[] = {{"debug", log::Level::kDebug},
                                                        {"warn", log::Level::kWarn},
                                                        {"error", log::Level::kError},
                                                        {"info", log::Level::kInfo}};
  for (const auto& [name, level] : kLevels) {
    LogOptions options;
    options.level = name;
    InitLog(options);
    EXPECT_TRUE(log::Enabled(level)) << name;
    const auto below = static_cast<log::Level>(static_cast<int>(level) - 1);
    EXPECT_TRUE(level == log::Level::kDebug || !log::Enabled(below)) << name;
  }
  InitLog(LogOptions());  // As it was.
}

}  // namespace
}  // namespace toolwire
