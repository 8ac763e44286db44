#include "control/control_options.h"

#include <gtest/gtest.h>

#include <chrono>
#include <limits>

#include "tests/support/command_line.h"

namespace toolwire {
namespace {

using std::chrono::milliseconds;

constexpr int kMaxInt = std::numeric_limits<int>::max();

class ControlOptionsTest : public ::testing::Test {
 protected:
  void SetUp() override { unsetenv("GRPC_PORT"); }

  ControlOptions options_;
  const AddFlags add_ = [this](CLI::App* app) { AddControlFlags(app, &options_); };
};

TEST_F(ControlOptionsTest, DefaultsAreTheDocumentedOnes) {
  ASSERT_TRUE(ParseFlags(add_, {}));
  EXPECT_EQ(options_.grpc_port, 50051);
  EXPECT_EQ(options_.call_timeout_default, milliseconds(60000));
  EXPECT_EQ(options_.call_timeout_max, milliseconds(600000));
}

TEST_F(ControlOptionsTest, FlagsSetWhatTheyName) {
  ASSERT_TRUE(
      ParseFlags(add_, {"--grpc-port=19", "--call-timeout-default=20", "--call-timeout-max=21", "--stream-calls-max=22",
                        "--streams-max=23", "--grpc-threads=3", "--message-calls-max=24", "--hand-form-bytes-max=2500",
                        "--watch-users-max=26", "--stream-unread-bytes-max=2700", "--watch-unread-bytes-max=2800",
                        "--caller-bytes-max=2900"}));
  EXPECT_EQ(options_.grpc_port, 19);
  EXPECT_EQ(options_.call_timeout_default, milliseconds(20));
  EXPECT_EQ(options_.call_timeout_max, milliseconds(21));
  EXPECT_EQ(options_.stream_calls_in_flight_max, 22);
  EXPECT_EQ(options_.streams_max, 23);
  EXPECT_EQ(options_.grpc_threads, 3);
  EXPECT_EQ(options_.message_calls_max, 24);
  EXPECT_EQ(options_.hand_form_bytes_max, 2500u);
  EXPECT_EQ(options_.watch_users_max, 26);
  EXPECT_EQ(options_.stream_unread_bytes_max, 2700u);
  EXPECT_EQ(options_.watch_unread_bytes_max, 2800u);
  EXPECT_EQ(options_.caller_bytes_max, 2900u);
}

TEST_F(ControlOptionsTest, PortIsReadFromTheEnvironment) {
  const EnvironmentVariable grpc("GRPC_PORT", "50061");
  ASSERT_TRUE(ParseFlags(add_, {}));
  EXPECT_EQ(options_.grpc_port, 50061);
}

TEST_F(ControlOptionsTest, NumbersOutsideTheirBoundsAreRefused) {
  ExpectBounds(add_, {{"--grpc-port", 0, 65535},
                      {"--call-timeout-max", 1, kMaxInt},
                      {"--stream-calls-max", 1, kMaxInt},
                      {"--streams-max", 1, kMaxInt},
                      {"--message-calls-max", 1, kMaxInt},
                      {"--hand-form-bytes-max", 1024, 256 << 20},
                      {"--watch-users-max", 1, kMaxInt},
                      {"--stream-unread-bytes-max", 1024, int64_t{16} << 30},
                      {"--watch-unread-bytes-max", 1024, int64_t{16} << 30},
                      {"--caller-bytes-max", 1024, int64_t{1} << 40},
                      {"--connections-max", 0, kMaxInt},
                      {"--address-connections-max", 1, kMaxInt},
                      {"--silent-connections-max", 1, kMaxInt},
                      {"--connect-timeout", 50, 600000},
                      {"--connection-streams-max", 1, kMaxInt},
                      {"--grpc-memory-bytes", 16 << 20, int64_t{1} << 40},
                      {"--keepalive-interval", 1000, kMaxInt},
                      {"--keepalive-timeout", 1000, kMaxInt},
                      {"--connection-idle-timeout", 1000, kMaxInt},
                      {"--stream-idle-timeout", 0, kMaxInt},
                      {"--grpc-threads", 0, 16}});
}

TEST_F(ControlOptionsTest, ConnectionsFollowFromOpenFilesAndMayNotExceedThem) {
  ASSERT_TRUE(Validate(&options_, 256).ok());
  EXPECT_EQ(options_.callers.connections_max, 128);
  options_.callers.connections_max = 0;
  ASSERT_TRUE(Validate(&options_, 1024).ok());
  EXPECT_EQ(options_.callers.connections_max, 768);
  options_.callers.connections_max = 0;
  ASSERT_TRUE(Validate(&options_, 1000000).ok());
  EXPECT_EQ(options_.callers.connections_max, 4096);
  EXPECT_EQ(Validate(&options_, 1024).code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(ControlOptionsTest, OneAddressMayNotBeGivenMoreConnectionsThanThereAre) {
  CallersPort::Options& callers = options_.callers;
  callers.connections_max = 100;
  EXPECT_TRUE(Validate(&options_, 1024).ok());  // Not given.
  callers.address_connections_max = 100;
  EXPECT_TRUE(Validate(&options_, 1024).ok());
  callers.address_connections_max = 101;
  EXPECT_EQ(Validate(&options_, 1024).message(),
            "--address-connections-max=101 is more than --connections-max=100: one address could take all connections");
}

TEST_F(ControlOptionsTest, DefaultTimeOfACallMayNotExceedTheLongest) {
  options_.call_timeout_default = milliseconds(1000);
  options_.call_timeout_max = milliseconds(1000);
  EXPECT_TRUE(Validate(&options_).ok());
  options_.call_timeout_max = milliseconds(999);
  EXPECT_EQ(Validate(&options_).code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(ControlOptionsTest, EdgeAddressWithoutAPortIsRefusedAtTheStart) {
  options_.edge_address = "edge:50052";
  EXPECT_TRUE(Validate(&options_).ok());
  options_.edge_address = "edge";
  const absl::Status status = Validate(&options_);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(), "--edge=edge: a port from 1 to 65535 is missing");
}

}  // namespace
}  // namespace toolwire
