#include "control/control_options.h"

#include <gtest/gtest.h>

#include <chrono>
#include <limits>
#include <string>
#include <vector>

#include "tests/support/command_line.h"

namespace toolwire {
namespace {

using std::chrono::milliseconds;

constexpr int kMaxInt = std::numeric_limits<int>::max();

class ControlOptionsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : {"GRPC_PORT", "TOKENS_FILE", "NO_TOKENS", "PLAIN_GRPC"}) unsetenv(name);
  }

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
                        "--streams-max=23", "--watches-max=231", "--unary-calls-max=232", "--operators-requests-max=233",
                        "--caller-share-percent-max=23", "--stream-life-interval=234", "--grpc-threads=3", "--message-calls-max=24", "--hand-form-bytes-max=2500",
                        "--watch-users-max=26", "--stream-unread-bytes-max=2700", "--watch-unread-bytes-max=2800",
                        "--caller-bytes-max=2900", "--unanswered-requests-max=31"}));
  EXPECT_EQ(options_.grpc_port, 19);
  EXPECT_EQ(options_.call_timeout_default, milliseconds(20));
  EXPECT_EQ(options_.call_timeout_max, milliseconds(21));
  EXPECT_EQ(options_.stream_calls_in_flight_max, 22);
  EXPECT_EQ(options_.budgets.streams_max, 23);
  EXPECT_EQ(options_.budgets.watches_max, 231);
  EXPECT_EQ(options_.budgets.unary_calls_max, 232);
  EXPECT_EQ(options_.budgets.operators_requests_max, 233);
  EXPECT_EQ(options_.budgets.caller_share_percent_max, 23);
  EXPECT_EQ(options_.stream_life_interval, std::chrono::milliseconds(234));
  EXPECT_EQ(options_.grpc_threads, 3);
  EXPECT_EQ(options_.message_calls_max, 24);
  EXPECT_EQ(options_.hand_form_bytes_max, 2500u);
  EXPECT_EQ(options_.watch_users_max, 26);
  EXPECT_EQ(options_.stream_unread_bytes_max, 2700u);
  EXPECT_EQ(options_.watch_unread_bytes_max, 2800u);
  EXPECT_EQ(options_.caller_bytes_max, 2900u);
  EXPECT_EQ(options_.dispatcher.unanswered.requests_max, 31);
}

TEST_F(ControlOptionsTest, TokensFileIsAFlagOrInTheEnvironment) {
  const EnvironmentVariable tokens("TOKENS_FILE", "/run/tokens");
  ASSERT_TRUE(ParseFlags(add_, {}));
  EXPECT_EQ(options_.tokens_file, "/run/tokens");
  ASSERT_TRUE(ParseFlags(add_, {"--tokens-file=/etc/tokens"}));
  EXPECT_EQ(options_.tokens_file, "/etc/tokens");
}

TEST_F(ControlOptionsTest, TokensAreAskedForIfThereIsAFileOfEitherKind) {
  EXPECT_FALSE(options_.asks_for_tokens());
  ASSERT_TRUE(ParseFlags(add_, {"--tokens-file=/etc/tokens"}));
  EXPECT_TRUE(options_.asks_for_tokens());
  options_ = {};
  ASSERT_TRUE(ParseFlags(add_, {"--jwks-file=/etc/jwks"}));
  EXPECT_TRUE(options_.asks_for_tokens());
}

TEST_F(ControlOptionsTest, JwtOptionsAreFlagsOrInTheEnvironment) {
  ASSERT_TRUE(ParseFlags(add_, {}));
  EXPECT_EQ(options_.jwt.rules.scope_claim, "scope");
  EXPECT_EQ(options_.jwt.rules.scope_prefix, "toolwire:");
  EXPECT_EQ(options_.jwt.rules.user_claim, "sub");
  EXPECT_EQ(options_.jwt.rules.leeway, milliseconds(60'000));
  EXPECT_EQ(options_.jwt.rules.lifetime_max, milliseconds(86'400'000));
  EXPECT_EQ(options_.jwt.cache_bytes_max, 32u << 20);
  EXPECT_EQ(options_.jwt.failures_per_second_max, 200);
  const EnvironmentVariable file("JWKS_FILE", "/run/jwks"), issuer("JWT_ISSUER", "i"), audience("JWT_AUDIENCE", "a"),
      scope("JWT_SCOPE_CLAIM", "s"), prefix("JWT_SCOPE_PREFIX", "p."), user("JWT_USER_CLAIM", "u");
  ASSERT_TRUE(ParseFlags(add_, {"--jwt-leeway=1", "--jwt-lifetime-max=2000", "--jwt-cache-bytes-max=70000",
                                "--jwt-failures-per-second-max=3", "--jwt-issuer=j"}));
  EXPECT_EQ(options_.jwks_file, "/run/jwks");
  EXPECT_EQ(options_.jwt.rules.issuer, "j");
  EXPECT_EQ(options_.jwt.rules.audience, "a");
  EXPECT_EQ(options_.jwt.rules.scope_claim, "s");
  EXPECT_EQ(options_.jwt.rules.scope_prefix, "p.");
  EXPECT_EQ(options_.jwt.rules.user_claim, "u");
  EXPECT_EQ(options_.jwt.rules.leeway, milliseconds(1));
  EXPECT_EQ(options_.jwt.rules.lifetime_max, milliseconds(2000));
  EXPECT_EQ(options_.jwt.cache_bytes_max, 70000u);
  EXPECT_EQ(options_.jwt.failures_per_second_max, 3);
  EXPECT_TRUE(Validate(&options_).ok());
}

TEST_F(ControlOptionsTest, KeysNeedTheirIssuerAndAudienceAndTheseNeedKeys) {
  const auto problem = [&](const std::vector<std::string>& flags) {
    options_ = {};
    EXPECT_TRUE(ParseFlags(add_, flags));
    return std::string(Validate(&options_).message());
  };
  const std::string file = "--jwks-file=f", issuer = "--jwt-issuer=i", audience = "--jwt-audience=a";
  EXPECT_EQ(problem({file, issuer, audience}), "");
  for (const auto& flags : {std::vector<std::string>{file}, {file, issuer}, {file, audience}}) {
    EXPECT_EQ(problem(flags).substr(0, 44), "--jwks-file needs --jwt-issuer and --jwt-aud");
  }
  for (const auto& flags : {std::vector<std::string>{issuer}, {audience}}) {
    EXPECT_EQ(problem(flags).substr(0, 30), "--jwt-issuer and --jwt-audienc");
  }
}

TEST_F(ControlOptionsTest, PortIsReadFromTheEnvironment) {
  const EnvironmentVariable grpc("GRPC_PORT", "50061");
  ASSERT_TRUE(ParseFlags(add_, {}));
  EXPECT_EQ(options_.grpc_port, 50061);
}

TEST_F(ControlOptionsTest, NumbersOutsideTheirBoundsAreRefused) {
  ExpectBounds(add_, {{"--grpc-port", 0, 65535},
                      {"--jwt-leeway", 0, 600'000},
                      {"--jwt-lifetime-max", 1000, kMaxInt},
                      {"--jwt-cache-bytes-max", 64 << 10, int64_t{16} << 30},
                      {"--jwt-failures-per-second-max", 0, kMaxInt},
                      {"--call-timeout-max", 1, kMaxInt},
                      {"--stream-calls-max", 1, kMaxInt},
                      {"--streams-max", 1, kMaxInt},
                      {"--watches-max", 1, kMaxInt},
                      {"--unary-calls-max", 1, kMaxInt},
                      {"--operators-requests-max", 1, kMaxInt},
                      {"--caller-share-percent-max", 1, 100},
                      {"--stream-life-interval", 0, 600'000},
                      {"--message-calls-max", 1, kMaxInt},
                      {"--unanswered-requests-max", 1, kMaxInt},
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
                      {"--address-unfinished-streams-max", 1, kMaxInt},
                      {"--unfinished-streams-max", 1, kMaxInt},
                      {"--grpc-memory-bytes", 16 << 20, int64_t{1} << 40},
                      {"--keepalive-interval", 1000, kMaxInt},
                      {"--keepalive-timeout", 1000, kMaxInt},
                      {"--connection-idle-timeout", 1000, kMaxInt},
                      {"--stream-idle-timeout", 0, kMaxInt},
                      {"--grpc-tls-handshakes-per-second-max", 1, kMaxInt},
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

TEST_F(ControlOptionsTest, TlsOfCallersHasACertificateAndItsKeyAndWhatElseNeedsThem) {
  const EnvironmentVariable key("GRPC_TLS_KEY", "k");
  ASSERT_TRUE(ParseFlags(add_, {"--grpc-tls-cert=c", "--grpc-tls-client-ca=a"}));
  ASSERT_TRUE(Validate(&options_, 1024).ok());
  EXPECT_EQ(options_.grpc_tls.certificate_file, "c");
  EXPECT_EQ(options_.grpc_tls.key_file, "k");
  EXPECT_EQ(options_.grpc_tls.ca_file, "a");
  EXPECT_EQ(options_.grpc_tls.protocol, "h2");
  EXPECT_TRUE(options_.grpc_tls.protocol_required);
  options_.grpc_tls.certificate_file.clear();
  EXPECT_EQ(Validate(&options_).message(),
            "--grpc-tls-cert and --grpc-tls-key go together: one is of no use without the other");
  options_.grpc_tls.key_file.clear();
  EXPECT_EQ(Validate(&options_).message(),
            "--grpc-tls-client-ca needs --grpc-tls-cert: callers show certificates only over TLS");
}

TEST_F(ControlOptionsTest, ConnectionsWithTlsTakeThreeFilesEach) {
  options_.grpc_tls.certificate_file = options_.grpc_tls.key_file = "x";
  ASSERT_TRUE(Validate(&options_, 1024).ok());
  EXPECT_EQ(options_.callers.connections_max, 256);
  EXPECT_EQ(FilesForCallers(options_), 768u);
  options_.callers.connections_max = 257;
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

TEST_F(ControlOptionsTest, PortThatOtherMachinesReachNeedsTlsAndTokensOrAFlagForEachThatSaysOtherwise) {
  const auto open = [&](const std::string& host, const std::vector<std::string>& flags) -> std::string {
    options_ = ControlOptions();
    if (!ParseFlags(add_, flags)) return "does not parse";
    if (const absl::Status status = Validate(&options_); !status.ok()) return std::string(status.message());
    ListenOptions listen;
    listen.host = host;
    std::vector<std::string> unprotected;
    AddUnprotected(options_, listen, &unprotected);
    std::string all;
    for (const std::string& one : unprotected) all += one.substr(0, one.find(". Give ")) + ";";
    return all;
  };
  const std::string plain = "callers' port: no TLS;", everybody = "callers' port: everybody may call;";
  for (const char* host : {"127.0.0.1", "127.1.2.3", "::1", "localhost", "::ffff:127.0.0.1"}) {
    EXPECT_EQ(open(host, {}), "") << host;
  }
  for (const char* host : {"0.0.0.0", "::", "192.168.1.5", "fe80::1%eth0", "::ffff:10.0.0.1", "128.0.0.1"}) {
    EXPECT_EQ(open(host, {}), plain + everybody) << host;
    EXPECT_EQ(open(host, {"--plain-grpc"}), everybody) << host;
    EXPECT_EQ(open(host, {"--no-tokens"}), plain) << host;
    EXPECT_EQ(open(host, {"--tokens-file=tokens"}), plain) << host;
    EXPECT_EQ(open(host, {"--jwks-file=keys", "--jwt-issuer=i", "--jwt-audience=a"}), plain) << host;
    EXPECT_EQ(open(host, {"--plain-grpc", "--no-tokens"}), "") << host;
    EXPECT_EQ(open(host, {"--grpc-tls-cert=c", "--grpc-tls-key=k", "--no-tokens"}), "") << host;
    EXPECT_EQ(open(host, {"--plain-grpc", "--tokens-file=tokens"}), "") << host;
  }
  EXPECT_EQ(open("127.0.0.1", {"--plain-grpc", "--grpc-tls-cert=c", "--grpc-tls-key=k"}),
            "--plain-grpc and --grpc-tls-cert: callers come in plain, or over TLS");
  for (const std::string lock : {"--tokens-file", "--jwks-file"}) {
    EXPECT_EQ(open("127.0.0.1", {"--no-tokens", lock + "=file"}),
              "--no-tokens and " + lock + ": everybody may call, or whoever has a token");
  }
  const EnvironmentVariable plain_grpc("PLAIN_GRPC", "true");
  const EnvironmentVariable no_tokens("NO_TOKENS", "true");
  EXPECT_EQ(open("0.0.0.0", {}), "");
}

TEST_F(ControlOptionsTest, LinksToOtherMachinesNeedTlsOrAFlagThatSaysOtherwise) {
  const auto open = [&](const std::string& host, const std::string& edge_address) {
    ListenOptions listen;
    listen.host = host;
    options_.edge_address = edge_address;
    std::vector<std::string> unprotected;
    AddUnprotectedLinks(options_, listen, &unprotected);
    return !unprotected.empty();
  };
  EXPECT_FALSE(open("127.0.0.1", "localhost:1"));
  EXPECT_FALSE(open("0.0.0.0", "[::1]:1")) << "it dials its own machine";
  EXPECT_TRUE(open("127.0.0.1", "10.0.0.1:1"));
  EXPECT_TRUE(open("127.0.0.1", "edge:1"));
  EXPECT_FALSE(open("127.0.0.1", "")) << "a cluster on one machine";
  EXPECT_TRUE(open("0.0.0.0", "")) << "Redis names edges of other machines";
  options_.link_tls.plain = true;
  EXPECT_FALSE(open("0.0.0.0", ""));
  options_.link_tls.plain = false;
  options_.link_tls.certificate_file = "control.crt";
  EXPECT_FALSE(open("0.0.0.0", "edge:1"));
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
