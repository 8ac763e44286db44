#include "common/base/options.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "common/base/log.h"

namespace toolwire {
namespace {

// All flags on one command, as `toolwire dev` has them.
struct Everything {
  LogOptions log;
  ListenOptions listen;
  EdgeOptions edge;
  ControlOptions control;
  StoreOptions store;
  RegistryOptions registry;
  PayloadOptions payload;
  int drain_timeout_ms = 10000;

  // False if the command line is refused.
  bool Parse(const std::vector<std::string>& arguments) {
    CLI::App app;
    AddLogFlags(&app, &log);
    AddListenFlags(&app, &listen);
    AddPayloadFlags(&app, &payload);
    AddEdgeFlags(&app, &edge);
    AddControlFlags(&app, &control);
    AddStoreFlags(&app, &store);
    AddDatabaseFlags(&app, &store);
    AddRegistryFlags(&app, &registry);
    AddClusterEdgeFlags(&app, &edge);
    AddDrainFlag(&app, &drain_timeout_ms);
    help = app.help();
    try {
      app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
    } catch (const CLI::ParseError&) {
      return false;
    }
    return true;
  }
  std::string help;
};

bool Accepts(const std::string& argument) { return Everything().Parse({argument}); }

// Sets a variable of the environment while it lives.
class Environment {
 public:
  Environment(const char* name, const char* value) : name_(name) { setenv(name, value, 1); }
  ~Environment() { unsetenv(name_); }

 private:
  const char* const name_;
};

class OptionsTest : public ::testing::Test {
 protected:
  // Whatever the environment of the test run holds.
  void SetUp() override {
    for (const char* name : {"LOG_FORMAT", "LOG_LEVEL", "LISTEN", "METRICS_PORT", "PORT", "RELAY_PORT", "SERVER_ID",
                             "IO_THREADS", "HEARTBEAT_INTERVAL", "HEARTBEAT_TIMEOUT", "GRPC_PORT", "TOOLWIRE_DATA_DIR",
                             "DATABASE_URL", "DATABASE_CONNECTIONS_MAX", "REDIS_URL", "DRAIN_TIMEOUT"}) {
      unsetenv(name);
    }
  }
};

TEST_F(OptionsTest, DefaultsAreTheDocumentedOnes) {
  Everything options;
  ASSERT_TRUE(options.Parse({}));
  EXPECT_EQ(options.log.format, "auto");
  EXPECT_EQ(options.log.level, "info");
  EXPECT_EQ(options.listen.host, "127.0.0.1");
  EXPECT_FALSE(options.listen.insecure);
  EXPECT_EQ(options.edge.port, 8082);
  EXPECT_EQ(options.edge.relay_port, 50052);
  EXPECT_EQ(options.control.grpc_port, 50051);
  EXPECT_EQ(options.listen.metrics_port, 9090);
  EXPECT_EQ(options.edge.heartbeat_interval_ms, 30000);
  EXPECT_EQ(options.edge.heartbeat_timeout_ms, 90000);
  EXPECT_EQ(options.edge.login_timeout_ms, 5000);
  EXPECT_EQ(options.edge.lease_ttl_ms, 120000);
  EXPECT_EQ(options.edge.bad_frames_per_minute_max, 10);
  EXPECT_EQ(options.control.call_timeout_default_ms, 60000);
  EXPECT_EQ(options.payload.payload_bytes_max, 16u << 20);
  EXPECT_EQ(options.payload.json_depth_max, 512);
  EXPECT_EQ(options.store.audit_json_bytes_max, 64u << 10);
  EXPECT_EQ(options.store.audit_spool_bytes_max, 1u << 30);
}

TEST_F(OptionsTest, FrameHasRoomForOnePayloadAndItsEnvelope) {
  EdgeOptions options;
  EXPECT_GT(options.frame_bytes_max(), options.payload.payload_bytes_max + 256 * 6);
  options.payload.payload_bytes_max = 1024;
  EXPECT_LT(options.frame_bytes_max(), 100u << 10) << "it follows the payload";
}

TEST_F(OptionsTest, FlagsSetWhatTheyName) {
  Everything options;
  ASSERT_TRUE(options.Parse({"--log-format=json",
                             "--log-level=warn",
                             "--listen=127.0.0.2",
                             "--metrics-port=1",
                             "--payload-bytes-max=2048",
                             "--json-depth-max=3",
                             "--port=4",
                             "--server-id=edge-5",
                             "--io-threads=6",
                             "--heartbeat-interval=700",
                             "--heartbeat-timeout=800",
                             "--login-timeout=900",
                             "--sessions-max=10",
                             "--unauthenticated-max=11",
                             "--handshakes-per-second-max=12",
                             "--failed-logins-per-minute-max=13",
                             "--agent-calls-max=14",
                             "--edge-calls-max=15",
                             "--session-queue-bytes-max=1600",
                             "--bad-frames-per-minute-max=17",
                             "--lease-ttl=1800",
                             "--grpc-port=19",
                             "--call-timeout-default=20",
                             "--call-timeout-max=21",
                             "--stream-calls-max=22",
                             "--streams-max=23",
                             "--grpc-threads=3",
                             "--data-dir=d24",
                             "--audit-json-bytes-max=250",
                             "--audit-spool-bytes-max=2000000",
                             "--database-url=u26",
                             "--database-connections-max=19",
                             "--redis-url=u27",
                             "--redis-timeout=270",
                             "--relay-port=271",
                             "--relay-address=edge:272",
                             "--no-old-channels",
                             "--old-call-timeout=273",
                             "--old-calls-max=274",
                             "--drain-timeout=28",
                             "--insecure"}));
  EXPECT_EQ(options.log.format, "json");
  EXPECT_EQ(options.log.level, "warn");
  EXPECT_EQ(options.listen.host, "127.0.0.2");
  EXPECT_TRUE(options.listen.insecure);
  EXPECT_EQ(options.listen.metrics_port, 1);
  EXPECT_EQ(options.payload.payload_bytes_max, 2048u);
  EXPECT_EQ(options.payload.json_depth_max, 3);
  EXPECT_EQ(options.edge.port, 4);
  EXPECT_EQ(options.edge.server_id, "edge-5");
  EXPECT_EQ(options.edge.io_threads, 6);
  EXPECT_EQ(options.edge.heartbeat_interval_ms, 700);
  EXPECT_EQ(options.edge.heartbeat_timeout_ms, 800);
  EXPECT_EQ(options.edge.login_timeout_ms, 900);
  EXPECT_EQ(options.edge.sessions_max, 10);
  EXPECT_EQ(options.edge.unauthenticated_max, 11);
  EXPECT_EQ(options.edge.handshakes_per_second_max, 12);
  EXPECT_EQ(options.edge.failed_logins_per_minute_max, 13);
  EXPECT_EQ(options.edge.calls_in_flight_per_agent_max, 14);
  EXPECT_EQ(options.edge.calls_in_flight_max, 15);
  EXPECT_EQ(options.edge.queued_bytes_per_session_max, 1600u);
  EXPECT_EQ(options.edge.bad_frames_per_minute_max, 17);
  EXPECT_EQ(options.edge.lease_ttl_ms, 1800);
  EXPECT_EQ(options.control.grpc_port, 19);
  EXPECT_EQ(options.control.call_timeout_default_ms, 20);
  EXPECT_EQ(options.control.call_timeout_max_ms, 21);
  EXPECT_EQ(options.control.stream_calls_in_flight_max, 22);
  EXPECT_EQ(options.control.streams_max, 23);
  EXPECT_EQ(options.control.grpc_threads, 3);
  EXPECT_EQ(options.store.data_dir, "d24");
  EXPECT_EQ(options.store.audit_json_bytes_max, 250u);
  EXPECT_EQ(options.store.audit_spool_bytes_max, 2000000u);
  EXPECT_EQ(options.store.database_url, "u26");
  EXPECT_EQ(options.registry.redis_url, "u27");
  EXPECT_EQ(options.registry.redis_timeout_ms, 270);
  EXPECT_EQ(options.edge.relay_port, 271);
  EXPECT_EQ(options.edge.relay_address, "edge:272");
  EXPECT_FALSE(options.edge.old_channels);
  EXPECT_EQ(options.edge.old_call_timeout_ms, 273);
  EXPECT_EQ(options.edge.old_calls_max, 274);
  EXPECT_EQ(options.store.database_connections_max, 19);
  EXPECT_EQ(options.drain_timeout_ms, 28);
}

TEST_F(OptionsTest, EnvironmentOfTheServerBeforeIsRead) {
  const Environment port("PORT", "8083");
  const Environment server_id("SERVER_ID", "ws-server-2");
  const Environment interval("HEARTBEAT_INTERVAL", "15000");
  const Environment timeout("HEARTBEAT_TIMEOUT", "45000");
  const Environment metrics("METRICS_PORT", "9191");
  const Environment database("DATABASE_URL", "postgresql://localhost/db");
  const Environment redis("REDIS_URL", "redis://localhost:6380");
  const Environment grpc("GRPC_PORT", "50061");
  Everything options;
  ASSERT_TRUE(options.Parse({}));
  EXPECT_EQ(options.edge.port, 8083);
  EXPECT_EQ(options.edge.server_id, "ws-server-2");
  EXPECT_EQ(options.edge.heartbeat_interval_ms, 15000);
  EXPECT_EQ(options.edge.heartbeat_timeout_ms, 45000);
  EXPECT_EQ(options.listen.metrics_port, 9191);
  EXPECT_EQ(options.store.database_url, "postgresql://localhost/db");
  EXPECT_EQ(options.registry.redis_url, "redis://localhost:6380");
  EXPECT_EQ(options.control.grpc_port, 50061);
  Everything flags;
  ASSERT_TRUE(flags.Parse({"--port=8084"}));
  EXPECT_EQ(flags.edge.port, 8084) << "a flag counts more than the environment";
}

TEST_F(OptionsTest, EnvironmentIsCheckedAsFlagsAre) {
  const Environment port("PORT", "70000");
  EXPECT_FALSE(Everything().Parse({}));
}

TEST_F(OptionsTest, NumbersOutsideTheirBoundsAreRefused) {
  const struct {
    const char* flag;
    int64_t low, high;
  } kBounds[] = {
      {"--port", 0, 65535},
      {"--grpc-port", 0, 65535},
      {"--metrics-port", 0, 65535},
      {"--io-threads", 1, 64},
      {"--payload-bytes-max", 1024, 256 << 20},
      {"--json-depth-max", 1, 10000},
      {"--session-queue-bytes-max", 1024, 1 << 30},
      {"--heartbeat-interval", 10, std::numeric_limits<int>::max()},
      {"--unauthenticated-max", 1, std::numeric_limits<int>::max()},
      {"--agent-calls-max", 1, std::numeric_limits<int>::max()},
      {"--failed-logins-per-minute-max", 0, std::numeric_limits<int>::max()},
      {"--call-timeout-max", 1, std::numeric_limits<int>::max()},
      {"--drain-timeout", 0, std::numeric_limits<int>::max()},
      {"--database-connections-max", 1, 20},
  };
  for (const auto& row : kBounds) {
    const std::string flag = std::string(row.flag) + "=";
    EXPECT_TRUE(Accepts(flag + std::to_string(row.low))) << flag;
    EXPECT_FALSE(Accepts(flag + std::to_string(row.low - 1))) << flag;
    EXPECT_TRUE(Accepts(flag + std::to_string(row.high))) << flag;
    EXPECT_FALSE(Accepts(flag + std::to_string(row.high + 1))) << flag;
    EXPECT_FALSE(Accepts(flag + "x")) << flag;
    EXPECT_FALSE(Accepts(flag + "1.5")) << flag;
    EXPECT_FALSE(Accepts(flag)) << flag;
  }
  EXPECT_FALSE(Accepts("--log-level=loud"));
  EXPECT_FALSE(Accepts("--log-format=xml"));
  EXPECT_FALSE(Accepts("--no-such-flag"));
}

TEST_F(OptionsTest, HelpNamesFlagDefaultAndEnvironment) {
  Everything options;
  ASSERT_TRUE(options.Parse({}));
  for (const char* text : {"--heartbeat-timeout", "90000", "HEARTBEAT_TIMEOUT", "--payload-bytes-max", "16777216"}) {
    EXPECT_NE(options.help.find(text), std::string::npos) << text;
  }
}

// --- what no single flag can check -----------------------------------------------------------------------------------

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

TEST_F(OptionsTest, AddressesThatOthersCanReachNeedAWordForIt) {
  for (const char* host : {"127.0.0.1", "127.1.2.3", "::1", "localhost"}) EXPECT_TRUE(MayListen(host, false)) << host;
  for (const char* host : {"0.0.0.0", "::", "192.168.1.5", "10.0.0.1", "fe80::1", "", "128.0.0.1", "1127.0.0.1"}) {
    EXPECT_FALSE(MayListen(host, false)) << host;
    EXPECT_TRUE(MayListen(host, true)) << host;
  }
}

// A name is not an address: where it leads is not ours to say.
TEST_F(OptionsTest, NameThatLooksLikeLoopbackIsNotLoopback) {
  EXPECT_FALSE(MayListen("127.example.com", false));
  EXPECT_FALSE(MayListen("127.0.0.1.example.com", false));
}

TEST_F(OptionsTest, HeartbeatTimeoutMustBeLongerThanTheInterval) {
  EdgeOptions options;
  options.heartbeat_interval_ms = 1000;
  options.heartbeat_timeout_ms = 1001;
  EXPECT_TRUE(Validate(&options).ok());
  options.heartbeat_timeout_ms = 1000;
  const absl::Status status = Validate(&options);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find("--heartbeat-timeout"), std::string::npos);
}

TEST_F(OptionsTest, SessionsAreLimitedByTheOpenFilesOfTheMachine) {
  const uint64_t files = RaiseOpenFilesLimit();
  EXPECT_GT(files, 0u);
  EXPECT_EQ(RaiseOpenFilesLimit(), files);
  EdgeOptions by_default;
  ASSERT_TRUE(Validate(&by_default).ok());
  EXPECT_GT(by_default.sessions_max, 0);
  EXPECT_LT(static_cast<uint64_t>(by_default.sessions_max), files) << "something is left for everything else";
  if (files > static_cast<uint64_t>(std::numeric_limits<int>::max())) GTEST_SKIP() << "no limit on this machine";
  EdgeOptions most;
  most.sessions_max = by_default.sessions_max;
  EXPECT_TRUE(Validate(&most).ok());
  EXPECT_EQ(most.sessions_max, by_default.sessions_max);
  ++most.sessions_max;
  const absl::Status status = Validate(&most);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find("ulimit"), std::string::npos) << "the message says what to do";
}

TEST_F(OptionsTest, EdgeWithoutANameGetsOneWithItsPort) {
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

TEST_F(OptionsTest, DefaultTimeOfACallMayNotExceedTheLongest) {
  ControlOptions options;
  options.call_timeout_default_ms = 1000;
  options.call_timeout_max_ms = 1000;
  EXPECT_TRUE(Validate(options).ok());
  options.call_timeout_max_ms = 999;
  EXPECT_EQ(Validate(options).code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(OptionsTest, StoreNeedsADirectory) {
  StoreOptions options;
  EXPECT_TRUE(Validate(options).ok());
  options.data_dir = "";
  EXPECT_FALSE(Validate(options).ok());
}

TEST_F(OptionsTest, ControlsDialTheRelayWhereItListensUnlessToldOtherwise) {
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

TEST_F(OptionsTest, LogLevelsAreTheOnesAskedFor) {
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
