#include "edge/edge_options.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <limits>
#include <string>
#include <vector>

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
    for (const char* name : {"PORT",
                             "RELAY_PORT",
                             "RELAY_ADDRESS",
                             "SERVER_ID",
                             "IO_THREADS",
                             "HEARTBEAT_INTERVAL",
                             "HEARTBEAT_TIMEOUT",
                             "OLD_CHANNELS",
                             "OLD_STATUS_KEYS",
                             "TLS_CERT",
                             "TLS_KEY",
                             "TLS_TICKET_KEYS_FILE",
                             "PLAIN_PORT",
                             "TRUSTED_PROXIES",
                             "PROXY_HEADER",
                             "PROXY_PROTOCOL",
                             "PLAIN_AGENTS",
                             "PLAIN_LINKS",
                             "LINK_TLS_CERT",
                             "LINK_TLS_KEY",
                             "LINK_TLS_CA"}) {
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
  EXPECT_EQ(options_.secret_recheck_interval, milliseconds(300000));
  EXPECT_EQ(options_.lease_ttl, milliseconds(120000));
  EXPECT_EQ(options_.session.bad_frames_max, 10);
  EXPECT_TRUE(options_.serve_old_channels);
  EXPECT_TRUE(options_.old_status_keys);
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
                                "--secret-recheck-interval=901",
                                "--sessions-max=10",
                                "--unauthenticated-max=11",
                                "--silent-per-address-max=111",
                                "--handshakes-per-second-max=12",
                                "--tls-handshakes-per-second-max=121",
                                "--tls-cert=a.crt",
                                "--tls-key=a.key",
                                "--tls-ticket-keys-file=tickets",
                                "--plain-port=122",
                                "--logins-per-address-max=112",
                                "--failed-logins-per-minute-max=13",
                                "--failed-logins-wait-max=131000",
                                "--user-failed-logins-max=132",
                                "--agent-calls-max=14",
                                "--edge-calls-max=15",
                                "--edge-unanswered-requests-max=151",
                                "--session-queue-bytes-max=1600",
                                "--session-queue-replies-max=161",
                                "--edge-queue-bytes-max=1620",
                                "--bad-frames-per-minute-max=17",
                                "--strays-per-minute-max=171",
                                "--stray-bytes-per-minute-max=172",
                                "--user-list-networks=10.0.0.0/8",
                                "--trusted-proxies=10.1.0.0/16",
                                "--proxy-header=forwarded",
                                "--proxy-protocol",
                                "--lease-ttl=1800",
                                "--relay-port=271",
                                "--links-per-address-max=275",
                                "--relay-address=edge:272",
                                "--no-old-channels",
                                "--no-old-status-keys",
                                "--old-call-timeout=273",
                                "--old-calls-max=274",
                                "--old-calls-bytes-max=2740",
                                "--old-answers-bytes-max=2741"}));
  EXPECT_EQ(options_.port, 4);
  EXPECT_EQ(options_.server_id, "edge-5");
  EXPECT_EQ(options_.io_threads, 6);
  EXPECT_EQ(options_.heartbeat_interval, milliseconds(700));
  EXPECT_EQ(options_.session.heartbeat_timeout, milliseconds(800));
  EXPECT_EQ(options_.login_timeout, milliseconds(900));
  EXPECT_EQ(options_.secret_recheck_interval, milliseconds(901));
  EXPECT_EQ(options_.admission.sessions_max, 10);
  EXPECT_EQ(options_.admission.unauthenticated_max, 11);
  EXPECT_EQ(options_.admission.handshakes_per_second_max, 12);
  EXPECT_EQ(options_.tls_handshakes.per_second_max, 121);
  EXPECT_EQ(options_.tls.certificate_file, "a.crt");
  EXPECT_EQ(options_.tls.key_file, "a.key");
  EXPECT_EQ(options_.tls.ticket_keys_file, "tickets");
  EXPECT_EQ(options_.plain_port, 122);
  EXPECT_EQ(options_.admission.logins_per_address_max, 112);
  EXPECT_EQ(options_.login_limits.failures_per_minute_max, 13);
  EXPECT_EQ(options_.login_limits.wait_max, milliseconds(131000));
  EXPECT_EQ(options_.login_limits.user_failures_max, 132);
  EXPECT_EQ(options_.session.calls_in_flight_max, 14);
  EXPECT_EQ(options_.session.edge_calls_in_flight_max, 15);
  EXPECT_EQ(options_.session.unanswered.requests_max, 151);
  EXPECT_EQ(options_.session.queued_bytes_max, 1600u);
  EXPECT_EQ(options_.session.queued_replies_max, 161);
  EXPECT_EQ(options_.session.edge_queued_bytes_max, 1620u);
  EXPECT_EQ(options_.session.bad_frames_max, 17);
  EXPECT_EQ(options_.session.strays_max, 171);
  EXPECT_EQ(options_.session.stray_bytes_max, 172u);
  EXPECT_EQ(options_.trusted_proxy_networks, "10.1.0.0/16");
  EXPECT_EQ(options_.proxy_header, "forwarded");
  EXPECT_TRUE(options_.trusted_proxies.protocol);
  EXPECT_EQ(options_.lease_ttl, milliseconds(1800));
  EXPECT_EQ(options_.relay_port, 271);
  EXPECT_EQ(options_.relay_address, "edge:272");
  EXPECT_FALSE(options_.serve_old_channels);
  EXPECT_FALSE(options_.old_status_keys);
  EXPECT_EQ(options_.old_channels.call_timeout, milliseconds(273));
  EXPECT_EQ(options_.old_channels.calls_max, 274);
  EXPECT_EQ(options_.old_channels.calls_bytes_max, 2740u);
  EXPECT_EQ(options_.old_channels.answers_bytes_max, 2741u);
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
                      {"--secret-recheck-interval", 0, kMaxInt},
                      {"--sessions-max", 0, kMaxInt},
                      {"--unauthenticated-max", 1, kMaxInt},
                      {"--silent-per-address-max", 1, kMaxInt},
                      {"--links-per-address-max", 1, 1024},
                      {"--handshakes-per-second-max", 1, kMaxInt},
                      {"--tls-handshakes-per-second-max", 1, kMaxInt},
                      {"--plain-port", 0, 65535},
                      {"--logins-per-address-max", 1, kMaxInt},
                      {"--failed-logins-per-minute-max", 0, kMaxInt},
                      {"--failed-logins-wait-max", 1000, kMaxInt},
                      {"--user-failed-logins-max", 0, kMaxInt},
                      {"--agent-calls-max", 1, kMaxInt},
                      {"--edge-calls-max", 1, kMaxInt},
                      {"--edge-unanswered-requests-max", 1, kMaxInt},
                      {"--bad-frames-per-minute-max", 1, kMaxInt},
                      {"--strays-per-minute-max", 0, kMaxInt},
                      {"--stray-bytes-per-minute-max", 0, int64_t{1} << 40},
                      {"--old-calls-max", 1, kMaxInt},
                      {"--old-calls-bytes-max", 1024, int64_t{1} << 40},
                      {"--old-answers-bytes-max", 0, int64_t{1} << 40}});
}

TEST_F(EdgeOptionsTest, CertificateAndKeyGoTogetherAndTheRestNeedsThem) {
  const auto why = [](const std::string& certificate, const std::string& key, int plain_port) {
    EdgeOptions options;
    options.tls.certificate_file = certificate;
    options.tls.key_file = key;
    options.plain_port = plain_port;
    return std::string(Validate(&options).message());
  };
  EXPECT_EQ(why("a.crt", "a.key", 0), "");
  EXPECT_NE(why("a.crt", "", -1).find("--tls-cert and --tls-key go together"), std::string::npos);
  EXPECT_NE(why("", "a.key", -1).find("--tls-cert and --tls-key go together"), std::string::npos);
  EXPECT_NE(why("", "", 0).find("--plain-port"), std::string::npos);
}

// What this command line leaves open on this address; or why it is wrong.
std::string LeftOpen(const AddFlags& add, EdgeOptions* options, const std::string& host,
                     const std::vector<std::string>& flags) {
  *options = EdgeOptions();
  if (!ParseFlags(add, flags)) return "does not parse";
  if (const absl::Status status = Validate(options); !status.ok()) return std::string(status.message());
  ListenOptions listen;
  listen.host = host;
  std::vector<std::string> unprotected;
  AddUnprotected(*options, listen, &unprotected);
  AddUnprotectedLinks(*options, listen, &unprotected);
  std::string open;
  for (const std::string& one : unprotected) open += one.substr(0, one.find(". Give ")) + ";";
  return open;
}

TEST_F(EdgeOptionsTest, PortsThatOtherMachinesReachNeedTlsOrAFlagForEachThatSaysOtherwise) {
  const auto open = [&](const std::string& host, const std::vector<std::string>& flags) {
    return LeftOpen(add_, &options_, host, flags);
  };
  const std::string agents = "agents' port: no TLS;", links = "links' port: no TLS;";
  for (const char* host : {"127.0.0.1", "127.1.2.3", "::1", "localhost", "::ffff:127.0.0.1"}) {
    EXPECT_EQ(open(host, {}), "") << host;
  }
  for (const char* host : {"0.0.0.0", "::", "192.168.1.5", "fe80::1%eth0", "::ffff:10.0.0.1", "128.0.0.1"}) {
    EXPECT_EQ(open(host, {}), agents + links) << host;
    EXPECT_EQ(open(host, {"--plain-agents"}), links) << host;
    EXPECT_EQ(open(host, {"--plain-links"}), agents) << host;
    EXPECT_EQ(open(host, {"--plain-agents", "--plain-links"}), "") << host;
    EXPECT_EQ(open(host, {"--tls-cert=a.crt", "--tls-key=a.key"}), links) << host;
    EXPECT_EQ(open(host, {"--tls-cert=a.crt", "--tls-key=a.key", "--plain-port=0"}), links) << "it is named plain";
    EXPECT_EQ(open(host, {"--trusted-proxies=10.0.0.0/8"}), links) << host;
    EXPECT_EQ(open(host, {"--link-tls-cert=e.crt", "--link-tls-key=e.key", "--link-tls-ca=ca.crt"}), agents) << host;
  }
  EXPECT_EQ(open("0.0.0.0", {"--plain-agents=false", "--plain-links=false"}), agents + links);
  const EnvironmentVariable plain_agents("PLAIN_AGENTS", "true");
  const EnvironmentVariable plain_links("PLAIN_LINKS", "true");
  EXPECT_EQ(open("0.0.0.0", {}), "");
}

TEST_F(EdgeOptionsTest, APortIsNotPlainAndWithTlsAtOnce) {
  EXPECT_EQ(LeftOpen(add_, &options_, "127.0.0.1", {"--plain-agents", "--tls-cert=a.crt", "--tls-key=a.key"}),
            "--plain-agents and --tls-cert: --port is plain, or has TLS; --plain-port opens a plain one beside it");
  options_.link_tls.certificate_file = options_.link_tls.key_file = options_.link_tls.ca_file = "not looked at";
  options_.link_tls.plain = true;
  EXPECT_EQ(LoadLinkTls(options_.link_tls, LinkEnd::kEdge, SystemClock()).status().message(),
            "--plain-links and --link-tls-cert: links are plain, or have TLS");
}

TEST_F(EdgeOptionsTest, NoProxyIsTrustedUnlessItIsNamed) {
  EdgeOptions options;
  ASSERT_TRUE(Validate(&options).ok());
  EXPECT_EQ(options.trusted_proxies.header_name(), "");
  options.trusted_proxy_networks = "10.1.0.0/16";
  ASSERT_TRUE(Validate(&options).ok());
  EXPECT_EQ(options.trusted_proxies.header_name(), "X-Forwarded-For");
  options.proxy_header = "forwarded";
  ASSERT_TRUE(Validate(&options).ok());
  EXPECT_EQ(options.trusted_proxies.header_name(), "Forwarded");
  options.proxy_header = "none";
  ASSERT_TRUE(Validate(&options).ok());
  EXPECT_EQ(options.trusted_proxies.header_name(), "");
  for (const char* no_network : {"10.1.0.0/33", "all", "proxy.example", "10.1.0.0/16,"}) {
    options.trusted_proxy_networks = no_network;
    const absl::Status status = Validate(&options);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << no_network;
    EXPECT_EQ(status.message().find("--trusted-proxies: "), 0u) << status;
  }
}

TEST_F(EdgeOptionsTest, ProxyProtocolIsTakenOfNamedNetworksOnly) {
  EdgeOptions options;
  options.trusted_proxies.protocol = true;
  const absl::Status status = Validate(&options);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message().find("--proxy-protocol needs --trusted-proxies"), 0u) << status;
  options.trusted_proxy_networks = "10.1.0.0/16";
  EXPECT_TRUE(Validate(&options).ok());
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
