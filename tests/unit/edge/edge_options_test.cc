#include "edge/edge_options.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <limits>
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/support/command_line.h"

namespace toolwire {
namespace {

using std::chrono::milliseconds;

constexpr int kMaxInt = std::numeric_limits<int>::max();

class EdgeOptionsTest : public ::testing::Test {
 protected:
  // Whatever the environment of the test run holds.
  void SetUp() override {
    for (const char* name : {"PORT", "RELAY_PORT", "RELAY_ADDRESS", "SERVER_ID", "IO_THREADS", "HEARTBEAT_INTERVAL",
                             "HEARTBEAT_TIMEOUT", "OLD_CHANNELS"}) {
      unsetenv(name);
    }
  }

  EdgeOptions options_;
  const AddFlags add_ = [this](CLI::App* app) {
    AddEdgeFlags(app, &options_);
    AddClusterEdgeFlags(app, &options_);
  };
};

TEST_F(EdgeOptionsTest, DefaultsAreTheDocumentedOnes) {
  ASSERT_TRUE(ParseFlags(add_, {}));
  EXPECT_EQ(options_.port, 8082);
  EXPECT_EQ(options_.relay_port, 50052);
  EXPECT_EQ(options_.heartbeat_interval, milliseconds(30000));
  EXPECT_EQ(options_.session.heartbeat_timeout, milliseconds(90000));
  EXPECT_EQ(options_.login_timeout, milliseconds(5000));
  EXPECT_EQ(options_.lease_ttl, milliseconds(120000));
  EXPECT_EQ(options_.session.bad_frames_max, 10);
  EXPECT_TRUE(options_.serve_old_channels);
}

TEST_F(EdgeOptionsTest, FrameHasRoomForOnePayloadAndItsEnvelope) {
  EdgeOptions options;
  EXPECT_GT(options.frame_bytes_max(), options.session.payload.payload_bytes_max + 256 * 6);
  options.session.payload.payload_bytes_max = 1024;
  EXPECT_LT(options.frame_bytes_max(), 100u << 10) << "it follows the payload";
}

TEST_F(EdgeOptionsTest, FlagsSetWhatTheyName) {
  ASSERT_TRUE(ParseFlags(add_, {"--port=4",
                                "--server-id=edge-5",
                                "--io-threads=6",
                                "--heartbeat-interval=700",
                                "--heartbeat-timeout=800",
                                "--login-timeout=900",
                                "--sessions-max=10",
                                "--unauthenticated-max=11",
                                "--silent-per-address-max=111",
                                "--handshakes-per-second-max=12",
                                "--failed-logins-per-minute-max=13",
                                "--agent-calls-max=14",
                                "--edge-calls-max=15",
                                "--session-queue-bytes-max=1600",
                                "--session-queue-replies-max=161",
                                "--edge-queue-bytes-max=1620",
                                "--bad-frames-per-minute-max=17",
                                "--user-list-networks=10.0.0.0/8",
                                "--lease-ttl=1800",
                                "--relay-port=271",
                                "--links-per-address-max=275",
                                "--relay-address=edge:272",
                                "--no-old-channels",
                                "--old-call-timeout=273",
                                "--old-calls-max=274"}));
  EXPECT_EQ(options_.port, 4);
  EXPECT_EQ(options_.server_id, "edge-5");
  EXPECT_EQ(options_.io_threads, 6);
  EXPECT_EQ(options_.heartbeat_interval, milliseconds(700));
  EXPECT_EQ(options_.session.heartbeat_timeout, milliseconds(800));
  EXPECT_EQ(options_.login_timeout, milliseconds(900));
  EXPECT_EQ(options_.admission.sessions_max, 10);
  EXPECT_EQ(options_.admission.unauthenticated_max, 11);
  EXPECT_EQ(options_.admission.handshakes_per_second_max, 12);
  EXPECT_EQ(options_.admission.failed_logins_per_minute_max, 13);
  EXPECT_EQ(options_.session.calls_in_flight_max, 14);
  EXPECT_EQ(options_.session.edge_calls_in_flight_max, 15);
  EXPECT_EQ(options_.session.queued_bytes_max, 1600u);
  EXPECT_EQ(options_.session.queued_replies_max, 161);
  EXPECT_EQ(options_.session.edge_queued_bytes_max, 1620u);
  EXPECT_EQ(options_.session.bad_frames_max, 17);
  EXPECT_EQ(options_.lease_ttl, milliseconds(1800));
  EXPECT_EQ(options_.relay_port, 271);
  EXPECT_EQ(options_.relay_address, "edge:272");
  EXPECT_FALSE(options_.serve_old_channels);
  EXPECT_EQ(options_.old_channels.call_timeout, milliseconds(273));
  EXPECT_EQ(options_.old_channels.calls_max, 274);
}

TEST_F(EdgeOptionsTest, EnvironmentOfTheReplacedServerIsRead) {
  const EnvironmentVariable port("PORT", "8083");
  const EnvironmentVariable server_id("SERVER_ID", "ws-server-2");
  const EnvironmentVariable interval("HEARTBEAT_INTERVAL", "15000");
  const EnvironmentVariable timeout("HEARTBEAT_TIMEOUT", "45000");
  ASSERT_TRUE(ParseFlags(add_, {}));
  EXPECT_EQ(options_.port, 8083);
  EXPECT_EQ(options_.server_id, "ws-server-2");
  EXPECT_EQ(options_.heartbeat_interval, milliseconds(15000));
  EXPECT_EQ(options_.session.heartbeat_timeout, milliseconds(45000));
  ASSERT_TRUE(ParseFlags(add_, {"--port=8084"}));
  EXPECT_EQ(options_.port, 8084) << "a flag counts more than the environment";
}

TEST_F(EdgeOptionsTest, NumbersOutsideTheirBoundsAreRefused) {
  ExpectBounds(add_, {{"--port", 0, 65535},
                      {"--io-threads", 1, 64},
                      {"--session-queue-bytes-max", 1024, 1 << 30},
                      {"--session-queue-replies-max", 1, kMaxInt},
                      {"--edge-queue-bytes-max", 1024, int64_t{1} << 40},
                      {"--heartbeat-interval", 10, kMaxInt},
                      {"--login-timeout", 50, 600000},
                      {"--sessions-max", 0, kMaxInt},
                      {"--unauthenticated-max", 1, kMaxInt},
                      {"--silent-per-address-max", 1, kMaxInt},
                      {"--links-per-address-max", 1, 1024},
                      {"--handshakes-per-second-max", 1, kMaxInt},
                      {"--failed-logins-per-minute-max", 0, kMaxInt},
                      {"--agent-calls-max", 1, kMaxInt},
                      {"--edge-calls-max", 1, kMaxInt},
                      {"--bad-frames-per-minute-max", 1, kMaxInt},
                      {"--old-calls-max", 1, kMaxInt}});
}

TEST_F(EdgeOptionsTest, HeartbeatTimeoutMustBeLongerThanTheInterval) {
  EdgeOptions options;
  options.heartbeat_interval = milliseconds(1000);
  options.session.heartbeat_timeout = milliseconds(1001);
  EXPECT_TRUE(Validate(&options).ok());
  options.session.heartbeat_timeout = milliseconds(1000);
  const absl::Status status = Validate(&options);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find("--heartbeat-timeout=1000"), std::string::npos);
}

TEST_F(EdgeOptionsTest, SessionsAreLimitedByTheOpenFilesOfTheMachine) {
  const uint64_t files = RaiseOpenFilesLimit();
  EXPECT_GT(files, 0u);
  EXPECT_EQ(RaiseOpenFilesLimit(), files);
  EdgeOptions by_default;
  ASSERT_TRUE(Validate(&by_default).ok());
  EXPECT_GT(by_default.admission.sessions_max, 0);
  EXPECT_LT(static_cast<uint64_t>(by_default.admission.sessions_max), files) << "something is left for everything else";
  if (files > static_cast<uint64_t>(std::numeric_limits<int>::max())) GTEST_SKIP() << "no limit on this machine";
  EdgeOptions most;
  most.admission.sessions_max = by_default.admission.sessions_max;
  EXPECT_TRUE(Validate(&most).ok());
  EXPECT_EQ(most.admission.sessions_max, by_default.admission.sessions_max);
  ++most.admission.sessions_max;
  const absl::Status status = Validate(&most);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find("ulimit"), std::string::npos) << "the message says what to do";
}

TEST_F(EdgeOptionsTest, EdgeWithoutANameGetsOneWithItsPort) {
  EdgeOptions options;
  options.port = 8099;
  ASSERT_TRUE(Validate(&options).ok());
  EXPECT_EQ(options.server_id.substr(0, 5), "edge-");
  EXPECT_EQ(options.server_id.substr(options.server_id.size() - 5), "-8099");
  EXPECT_GT(options.server_id.size(), 10u) << "the machine's name is in between";
  options.server_id = "ws-server-1";
  ASSERT_TRUE(Validate(&options).ok());
  EXPECT_EQ(options.server_id, "ws-server-1");
}

TEST_F(EdgeOptionsTest, ControlsDialTheRelayWhereItListensUnlessAnOptionNamesAnotherAddress) {
  EdgeOptions edge;
  ListenOptions listen;
  EXPECT_EQ(RelayAddress(edge, listen, 50052), "127.0.0.1:50052");
  listen.host = "10.1.2.3";
  EXPECT_EQ(RelayAddress(edge, listen, 1), "10.1.2.3:1");
  listen.host = "::1";
  EXPECT_EQ(RelayAddress(edge, listen, 1), "[::1]:1");
  for (const char* any : {"0.0.0.0", "::"}) {
    listen.host = any;
    char name[256] = "";
    gethostname(name, sizeof name - 1);
    EXPECT_EQ(RelayAddress(edge, listen, 1), std::string(name) + ":1") << "nobody can dial " << any;
  }
  edge.relay_address = "edge-0.edges:9";
  EXPECT_EQ(RelayAddress(edge, listen, 1), "edge-0.edges:9");
}

TEST_F(EdgeOptionsTest, RelayAddressThatNoControlCouldDialIsRefusedAtTheStart) {
  EdgeOptions edge;
  for (const char* good : {"", "edge-0.edges:1", "[fd00::5]:65535"}) {
    edge.relay_address = good;
    EXPECT_TRUE(Validate(&edge).ok()) << good;
  }
  for (const char* bad : {"edge-0", "edge-0:0", "edge-0:65536", "edge-0:relay", "fd00::5:50052", ":1"}) {
    edge.relay_address = bad;
    const absl::Status status = Validate(&edge);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << bad;
    EXPECT_EQ(status.message().find(absl::StrCat("--relay-address=", bad, ": ")), 0u) << status.message();
  }
}

}  // namespace
}  // namespace toolwire
