#include "control/control_options.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/base/flags.h"
#include "common/base/host_port.h"
#include "control/tokens.h"

namespace toolwire {

using flags::kMaxInt;
using flags::Milliseconds;
using flags::Number;
using flags::Port;
using flags::Switch;
using flags::Text;

// Far over what backends open, a few MB of memory.
constexpr uint64_t kConnectionsMaxDefault = 4096;

namespace {

void AddJwtFlags(CLI::App* app, ControlOptions* options) {
  JwtRules& rules = options->jwt.rules;
  Text(app, "--jwks-file", &options->jwks_file,
       "Public keys of an issuer of JSON Web Tokens (JWKS), read again when it changes: its tokens are taken, beside "
       "those of --tokens-file")
      .Env("JWKS_FILE")
      .File();
  Text(app, "--jwt-issuer", &rules.issuer, "The iss that a JSON Web Token must have; required with --jwks-file")
      .Env("JWT_ISSUER");
  Text(app, "--jwt-audience", &rules.audience, "What its aud must name; required with --jwks-file").Env("JWT_AUDIENCE");
  Text(app, "--jwt-scope-claim", &rules.scope_claim, "Its claim with scopes: words with spaces between, or an array")
      .Env("JWT_SCOPE_CLAIM");
  Text(app, "--jwt-scope-prefix", &rules.scope_prefix,
       "What call, read, admin and any-user begin with in that claim; other words count nothing")
      .Env("JWT_SCOPE_PREFIX");
  Text(app, "--jwt-user-claim", &rules.user_claim,
       "Its claim with the one user whom it reaches, unless its scopes include any-user")
      .Env("JWT_USER_CLAIM");
  Milliseconds(app, "--jwt-leeway", &rules.leeway, 0, 600'000,
               "How far the issuer's clock may differ, for exp, nbf and iat, in ms");
  Milliseconds(app, "--jwt-lifetime-max", &rules.lifetime_max, 1000, kMaxInt, "Longest time from iat to exp, in ms");
  Number(app, "--jwt-cache-bytes-max", &options->jwt.cache_bytes_max, size_t{64} << 10, size_t{16} << 30,
         "Memory for tokens that were found good; past it they are checked again, 20 to 65 us each");
  Number(app, "--jwt-failures-per-second-max", &options->jwt.failures_per_second_max, 0, kMaxInt,
         "Tokens of one address, or IPv6 /64, that are checked and not good; then none of it is checked; 0: no limit");
}

void AddBudgetFlags(CLI::App* app, CallerBudgets::Options* budgets) {
  Number(app, "--streams-max", &budgets->streams_max, 1, kMaxInt, "Dispatch streams open at once");
  Number(app, "--watches-max", &budgets->watches_max, 1, kMaxInt, "WatchAgents and FollowAgents streams open at once");
  Number(app, "--unary-calls-max", &budgets->unary_calls_max, 1, kMaxInt,
         "Requests of CallTool, GetAgent and ListAgents that wait for their answers");
  Number(app, "--operators-requests-max", &budgets->operators_requests_max, 1, kMaxInt,
         "Requests of AgentAdmin that run, or wait for the store");
  Number(app, "--caller-share-percent-max", &budgets->caller_share_percent_max, 1, 100,
         "What one token, or one IPv4 address or IPv6 /64 without tokens, may have of each of these, in percent");
}

// It would be in the message that there is no such file.
std::string NoTokenItself(const std::string& path) {
  const bool is_line = path.find("sha256:") != std::string::npos;
  return is_line || IsTokenForm(path) ? "it is what should be in the file; give the file's path" : "";
}

absl::Status ValidateJwt(const ControlOptions& options) {
  const JwtRules& rules = options.jwt.rules;
  if (options.jwks_file.empty()) {
    if (rules.issuer.empty() && rules.audience.empty()) return absl::OkStatus();
    return absl::InvalidArgumentError("--jwt-issuer and --jwt-audience need --jwks-file, with the issuer's keys");
  }
  if (rules.issuer.empty() || rules.audience.empty()) {
    return absl::InvalidArgumentError(
        "--jwks-file needs --jwt-issuer and --jwt-audience: the issuer's keys sign tokens for others, too");
  }
  return absl::OkStatus();
}

}  // namespace

void AddEdgeAddressFlag(CLI::App* app, ControlOptions* options) {
  Text(app, "--edge", &options->edge_address, "host:port of the relay of the one edge, where there is no Redis")
      .Env("EDGE_ADDRESS")
      .CheckShown([](const std::string& address) { return DialProblem(address); });
}

void AddControlFlags(CLI::App* app, ControlOptions* options) {
  Port(app, "--grpc-port", &options->grpc_port, "Callers' gRPC port").Env("GRPC_PORT");
  Text(app, "--tokens-file", &options->tokens_file,
       "Callers' tokens, as lines of `toolwire tokens create`; read again when it changes. Without it and "
       "--jwks-file everybody who reaches the port may call")
      .Env("TOKENS_FILE")
      .Check(NoTokenItself)
      .File();
  Switch(app, "--no-tokens", &options->no_tokens,
         "Everybody may call, on a --listen address that other machines reach: a proxy or mesh lets callers alone in")
      .Env("NO_TOKENS");
  Switch(app, "--plain-grpc", &options->plain_grpc,
         "The callers' port without TLS on a --listen address that other machines reach: a proxy or mesh has it")
      .Env("PLAIN_GRPC");
  Text(app, "--grpc-tls-cert", &options->grpc_tls.certificate_file,
       "PEM file of the certificate, and its chain, with which the callers' port speaks TLS")
      .Env("GRPC_TLS_CERT")
      .File();
  Text(app, "--grpc-tls-key", &options->grpc_tls.key_file, "PEM file of its key, not encrypted")
      .Env("GRPC_TLS_KEY")
      .File();
  Text(app, "--grpc-tls-client-ca", &options->grpc_tls.ca_file,
       "PEM file of a CA: callers must show a certificate that it signed for clients. Default: they need none")
      .Env("GRPC_TLS_CLIENT_CA")
      .File();
  AddJwtFlags(app, options);
  Milliseconds(app, "--call-timeout-default", &options->call_timeout_default, 1, kMaxInt,
               "Deadline of a call that names none, in ms");
  Milliseconds(app, "--call-timeout-max", &options->call_timeout_max, 1, kMaxInt, "Longest deadline, in ms");
  Number(app, "--stream-calls-max", &options->stream_calls_in_flight_max, 1, kMaxInt,
         "Calls in flight on one Dispatch stream");
  Number(app, "--unanswered-requests-max", &options->dispatcher.unanswered.requests_max, 1, kMaxInt,
         "Calls sent and not answered whose ids are refused for ten minutes; past it the oldest is forgotten");
  Number(app, "--message-calls-max", &options->message_calls_max, 1, kMaxInt,
         "Calls in one message of a Dispatch stream");
  Number(app, "--hand-form-bytes-max", &options->hand_form_bytes_max, 1024, 256u << 20,
         "Largest params, and result, of the form for use by hand, in bytes");
  Number(app, "--watch-users-max", &options->watch_users_max, 1, kMaxInt,
         "Users that one WatchAgents request names, and that one FollowAgents stream follows");
  Number(
      app, "--stream-unread-bytes-max", &options->stream_unread_bytes_max, 1024, 16ull << 30,
      "Answers that the caller of one Dispatch stream has not read, in bytes: no more calls are read; at four times as "
      "much the stream ends");
  Number(app, "--watch-unread-bytes-max", &options->watch_unread_bytes_max, 1024, 16ull << 30,
         "Events that one watcher has not read, in bytes");
  Number(app, "--caller-bytes-max", &options->caller_bytes_max, 1024, 1ull << 40,
         "Memory held for all callers, in bytes: what they have not read, params in flight, names they watch; past it "
         "those who hold most are cut");
  AddBudgetFlags(app, &options->budgets);
  Number(app, "--connections-max", &options->callers.connections_max, 0, kMaxInt,
         "Callers' connections; 0: 4,096, or what the limit of open files allows");
  Number(app, "--address-connections-max", &options->callers.address_connections_max, 1, kMaxInt,
         "Connections of one IPv4 address or IPv6 /64");
  Number(app, "--silent-connections-max", &options->callers.silent_connections_max, 1, kMaxInt,
         "Connections that have sent nothing yet; past it the address with most connections loses one");
  Milliseconds(app, "--connect-timeout", &options->callers.connect_timeout, 50, 600000,
               "Time for a connection's first bytes, with TLS for its handshake and those behind it, and again for its "
               "HTTP/2 preface, in ms");
  Number(app, "--grpc-tls-handshakes-per-second-max", &options->callers.handshakes.per_second_max, 1, kMaxInt,
         "TLS handshakes with callers per second; a core makes about 1,200 with ECDSA and 600 with RSA");
  Number(app, "--connection-streams-max", &options->callers.connection_streams_max, 1, kMaxInt,
         "Calls and streams of one connection at once; gRPC clients keep more waiting");
  Number(app, "--address-unfinished-streams-max", &options->callers.address_unfinished_streams_max, 1, kMaxInt,
         "Calls and streams that are not over, of one IPv4 address or IPv6 /64; past it the connection with most is cut");
  Number(app, "--unfinished-streams-max", &options->callers.unfinished_streams_max, 1, kMaxInt,
         "Calls and streams that are not over; past it the address with most loses its connection with most");
  Number(app, "--grpc-memory-bytes", &options->grpc_memory_bytes_max, size_t{16} << 20, size_t{1} << 40,
         "Memory for what callers send, past which gRPC ends calls");
  Milliseconds(app, "--keepalive-interval", &options->keepalive_interval, 1000, kMaxInt,
               "Silence of a connection after which the caller is pinged, in ms");
  Milliseconds(app, "--keepalive-timeout", &options->keepalive_timeout, 1000, kMaxInt,
               "Time for the answer to such a ping before the connection is cut, in ms");
  Milliseconds(app, "--connection-idle-timeout", &options->connection_idle_timeout, 1000, kMaxInt,
               "Time without a call or stream after which a connection is closed, in ms");
  Milliseconds(
      app, "--stream-idle-timeout", &options->stream_idle_timeout, 0, kMaxInt,
      "Time without a call after which a Dispatch stream ends, with OK, in ms, looked at each second; 0: none");
  Milliseconds(app, "--stream-life-interval", &options->stream_life_interval, 0, 600'000,
               "Time without a word on a Dispatch stream with calls in flight, in ms, after which control says that it "
               "lives, to callers that ask for a hello; 0: never");
  Number(app, "--grpc-threads", &options->grpc_threads, 0, 16,
         "Threads that serve callers: one takes the least time for a call, more let large calls hold up fewer others; "
         "0: as many as gRPC starts, half of the cores");
}

namespace {

absl::Status ValidateTls(TlsOptions* tls) {
  if (tls->certificate_file.empty() != tls->key_file.empty()) {
    return absl::InvalidArgumentError(
        "--grpc-tls-cert and --grpc-tls-key go together: one is of no use without the other");
  }
  if (tls->certificate_file.empty() && !tls->ca_file.empty()) {
    return absl::InvalidArgumentError(
        "--grpc-tls-client-ca needs --grpc-tls-cert: callers show certificates only over TLS");
  }
  tls->port = "callers";
  tls->protocol = "h2";
  tls->protocol_required = true;
  return absl::OkStatus();
}

uint64_t FilesOfConnection(const ControlOptions& options) {
  return options.grpc_tls.certificate_file.empty() ? 1 : CallersPort::kTlsFiles;
}

}  // namespace

absl::Status Validate(ControlOptions* options, uint64_t files) {
  const auto ms = [](Duration time) { return std::chrono::duration_cast<std::chrono::milliseconds>(time).count(); };
  if (options->call_timeout_default > options->call_timeout_max) {
    return absl::InvalidArgumentError(
        absl::StrCat("--call-timeout-default=", ms(options->call_timeout_default),
                     " is longer than --call-timeout-max=", ms(options->call_timeout_max)));
  }
  if (options->no_tokens && options->asks_for_tokens()) {
    return absl::InvalidArgumentError(absl::StrCat("--no-tokens and ",
                                                   options->tokens_file.empty() ? "--jwks-file" : "--tokens-file",
                                                   ": everybody may call, or whoever has a token"));
  }
  if (absl::Status status = ValidateTls(&options->grpc_tls); !status.ok()) return status;
  if (options->plain_grpc && !options->grpc_tls.certificate_file.empty()) {
    return absl::InvalidArgumentError("--plain-grpc and --grpc-tls-cert: callers come in plain, or over TLS");
  }
  if (absl::Status status = ValidateJwt(*options); !status.ok()) return status;
  int& connections_max = options->callers.connections_max;
  const uint64_t possible = std::max<uint64_t>(FilesForSockets(files) / FilesOfConnection(*options), 1);
  if (connections_max == 0) {
    connections_max = static_cast<int>(std::min(possible, kConnectionsMaxDefault));
  } else if (static_cast<uint64_t>(connections_max) > possible) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--connections-max=", connections_max, " needs more open files than this process may have for callers (", files,
        FilesOfConnection(*options) == 1 ? ")" : "), three each", ": raise ulimit -n"));
  }
  // The default may be above a small --connections-max, and has no effect then.
  const int address_connections_max = options->callers.address_connections_max;
  if (address_connections_max > connections_max &&
      address_connections_max != CallersPort::Options().address_connections_max) {
    return absl::InvalidArgumentError(absl::StrCat("--address-connections-max=", address_connections_max,
                                                   " is more than --connections-max=", connections_max,
                                                   ": one address could take all connections"));
  }
  if (options->edge_address.empty()) return absl::OkStatus();
  return CheckDialAddress("--edge", options->edge_address);
}

uint64_t FilesForCallers(const ControlOptions& options) {
  return static_cast<uint64_t>(options.callers.connections_max) * FilesOfConnection(options);
}

void AddUnprotected(const ControlOptions& options, const ListenOptions& listen, std::vector<std::string>* unprotected) {
  if (IsLoopback(listen.host)) return;
  if (options.grpc_tls.certificate_file.empty() && !options.plain_grpc) {
    unprotected->emplace_back(
        "callers' port: no TLS. Give --grpc-tls-cert and --grpc-tls-key, or --plain-grpc if a proxy or mesh has it");
  }
  if (!options.asks_for_tokens() && !options.no_tokens) {
    unprotected->emplace_back(
        "callers' port: everybody may call. Give --tokens-file or --jwks-file, or --no-tokens if a proxy or mesh lets "
        "callers alone in");
  }
}

void AddUnprotectedLinks(const ControlOptions& options, const ListenOptions& listen,
                         std::vector<std::string>* unprotected) {
  const auto edge = ParseHostPort(options.edge_address);
  const bool stays_here = IsLoopback(edge.ok() ? edge->host : listen.host);
  if (!stays_here) AddUnprotectedLinks(options.link_tls, "links to edges", unprotected);
}

}  // namespace toolwire
