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
    for (const char* name :
         {"LOG_FORMAT", "LOG_LEVEL", "LISTEN", "METRICS_PORT", "CONTROL_METRICS_PORT", "DRAIN_TIMEOUT"}) {
      unsetenv(name);
    }
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
  EXPECT_EQ(listen_.metrics_port, 9090);
  EXPECT_EQ(drain_timeout_, std::chrono::milliseconds(10000));
}

TEST_F(ProcessOptionsTest, EdgeAndControlHaveAVariableEachForTheirMetricsPort) {
  const EnvironmentVariable of_edge("METRICS_PORT", "9191"), of_control("CONTROL_METRICS_PORT", "9192");
  ListenOptions control;
  const AddFlags add = [&](CLI::App* app) { AddListenFlags(app, &control, kControlMetricsPortVariable); };
  ASSERT_TRUE(ParseFlags(add, {}));
  EXPECT_EQ(control.metrics_port, 9192);
  ASSERT_TRUE(ParseFlags(add_, {}));
  EXPECT_EQ(listen_.metrics_port, 9191);
}

TEST_F(ProcessOptionsTest, FlagsSetWhatTheyName) {
  ASSERT_TRUE(ParseFlags(
      add_, {"--log-format=json", "--log-level=warn", "--listen=127.0.0.2", "--metrics-port=1", "--drain-timeout=28"}));
  EXPECT_EQ(log_.format, "json");
  EXPECT_EQ(log_.level, "warn");
  EXPECT_EQ(listen_.host, "127.0.0.2");
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

TEST_F(ProcessOptionsTest, VariablesAreTidiedOfWhatToolsPutAroundThem) {
  const EnvironmentVariable metrics("METRICS_PORT", " 9191\n"), level("LOG_LEVEL", "INFO\r\n"),
      format("LOG_FORMAT", "\"json\""), listen("LISTEN", "[::1]");
  ASSERT_TRUE(ParseFlags(add_, {}));
  EXPECT_EQ(listen_.metrics_port, 9191);
  EXPECT_EQ(log_.level, "info");
  EXPECT_EQ(log_.format, "json");
  EXPECT_EQ(listen_.host, "::1");
  EXPECT_EQ(flags::TakeRemarks(),
            std::vector<std::string>{"LOG_FORMAT: its value is in quotes, which are left out; write it without them"});
  EXPECT_EQ(flags::TakeRemarks(), std::vector<std::string>{});
  for (const auto& [word, means] :
       {std::pair("WARNING", "warn"), std::pair("Trace", "debug"), std::pair("FATAL", "error")}) {
    ASSERT_TRUE(ParseFlags(add_, {std::string("--log-level=") + word})) << word;
    EXPECT_EQ(log_.level, means);
  }
}

TEST_F(ProcessOptionsTest, WhatKubernetesSaysOfAServiceIsPassedOver) {
  for (const char* value : {"tcp://10.0.0.1:9090", "udp://10.0.0.1:9090\n"}) {
    const EnvironmentVariable metrics("METRICS_PORT", value);
    ASSERT_TRUE(ParseFlags(add_, {})) << value;
    EXPECT_EQ(listen_.metrics_port, 9090);
    const std::vector<std::string> remarks = flags::TakeRemarks();
    ASSERT_EQ(remarks.size(), 1u);
    EXPECT_EQ(remarks[0].find("METRICS_PORT="), 0u) << remarks[0];
  }
  const EnvironmentVariable metrics("METRICS_PORT", "http://10.0.0.1:9090");
  EXPECT_FALSE(ParseFlags(add_, {}));
}

TEST_F(ProcessOptionsTest, AWrongVariableIsSaidByItsNameAndAWrongFlagByItsOwn) {
  const auto said = [&](std::vector<const char*> argv) {
    flags::CommandLine line("");
    add_(line.app());
    argv.insert(argv.begin(), "program");
    const auto ending = line.Parse(static_cast<int>(argv.size()), argv.data());
    EXPECT_TRUE(ending && ending->status == 2);
    return ending ? ending->err : "";
  };
  const EnvironmentVariable metrics("METRICS_PORT", "http");
  EXPECT_EQ(said({}).find("METRICS_PORT: "), 0u) << said({});
  EXPECT_EQ(said({"--metrics-port=x"}).find("--metrics-port: "), 0u);
  EXPECT_EQ(said({"--metrics-port", "x"}).find("--metrics-port: "), 0u);
  const EnvironmentVariable wrong("LISTEN", "here");
  EXPECT_EQ(said({"--metrics-port=1"}).find("LISTEN=here: not an IP address"), 0u);
  const EnvironmentVariable listen("LISTEN", "LocalHost");
  ASSERT_TRUE(ParseFlags(add_, {"--metrics-port=1"}));
  EXPECT_EQ(listen_.host, "localhost");
  EXPECT_EQ(flags::NamingVariables("--listen=here: no; --listener, --metrics-port"),
            "LISTEN=here: no; --listener, --metrics-port");
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

TEST_F(ProcessOptionsTest, EveryIpAddressMayBeListenedOn) {
  for (const char* host : {"127.0.0.1", "::1", "localhost", "0.0.0.0", "::", "::ffff:127.0.0.1", "fe80::1%eth0"}) {
    listen_.host = host;
    EXPECT_TRUE(Validate(listen_).ok()) << host;
  }
}

TEST_F(ProcessOptionsTest, AllThatIsUnprotectedIsInOneMessage) {
  EXPECT_TRUE(RefuseUnprotected({}).ok());
  const absl::Status status = RefuseUnprotected({"one port: no TLS", "another: no tokens"});
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(), "unprotected against other machines:\n  one port: no TLS\n  another: no tokens");
}

TEST_F(ProcessOptionsTest, WhatIsNoAddressIsRefusedWithItsReason) {
  for (const char* host : {"", "1127.0.0.1", "127.example.com", "127.0.0.1.example.com", "[::1]", "[::1]:80", "::1]",
                           "127.0.0.1:80", "%eth0"}) {
    ListenOptions options;
    options.host = host;
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
