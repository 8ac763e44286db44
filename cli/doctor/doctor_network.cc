// A control is asked for its health and for agents, an edge's agents' port for /health, an edge's relay for its hello.
// The first thing that fails is the finding; each has a timeout of its own.

#include "cli/doctor/doctor_network.h"

#include <grpcpp/grpcpp.h>
#include <netdb.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cli/control_probe.h"
#include "cli/doctor/doctor_http.h"
#include "cli/doctor/doctor_judge.h"
#include "common/base/host_port.h"
#include "common/link/relay_probe.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "toolwire/v1/dispatch.grpc.pb.h"

namespace toolwire {
namespace {

constexpr char kService[] = "toolwire.v1.ToolDispatch";
constexpr int64_t kDaySeconds = 86400;

void SetDeadline(grpc::ClientContext* context, Duration timeout) {
  context->set_deadline(std::chrono::system_clock::now() + timeout);
}

// gRPC's sentence of a failed call, or ours where there was just no answer.
std::string Why(const grpc::Status& status) {
  return status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED ? "no answer in time" : status.error_message();
}

// Why the host of host:port is unknown, or nothing.
std::string ResolvingError(const std::string& address) {
  const auto parsed = ParseHostPort(address);
  if (!parsed.ok()) return std::string(parsed.status().message());
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(parsed->host.c_str(), nullptr, &hints, &found);
  if (error != 0) return gai_strerror(error);
  freeaddrinfo(found);
  return "";
}

// What a control that serves says to a request which needs a token.
Finding JudgeToken(const grpc::Status& listed, const std::string& where, bool has_token) {
  if (listed.error_code() == grpc::StatusCode::PERMISSION_DENIED) {
    return Ok("control", absl::StrCat(where, " is serving and knows the token, which may not list agents"));
  }
  if (!has_token) {
    return Fail("control", absl::StrCat(where, " asks for a token, and none was given"),
                "give one with --token-file or TOOLWIRE_TOKEN; toolwire tokens create makes one");
  }
  return Fail("control", absl::StrCat(where, " does not take the token: ", Why(listed)),
              "look into the file of its --tokens-file, or make a new token with toolwire tokens create");
}

// Why there is no answer, if TLS is in the way; or nothing.
std::string TlsTrouble(const ControlTarget& target, const grpc::Status& status, Duration timeout) {
  const bool refused = status.error_code() == grpc::StatusCode::UNAVAILABLE;
  return refused && timeout > Duration::zero() ? ProbeControl(target, timeout).trouble : "";
}

// Health, the token and the agents of a control that is asked over `channel`.
Finding AskControl(const ControlTarget& target, const std::shared_ptr<grpc::Channel>& channel, bool has_token,
                   Duration timeout) {
  const std::string& address = target.address;
  const MonoTime until = SystemClock().Now() + timeout;
  const std::string where = absl::StrCat("control at ", address);
  grpc::health::v1::HealthCheckRequest request;
  grpc::health::v1::HealthCheckResponse response;
  request.set_service(kService);
  grpc::ClientContext health;
  SetDeadline(&health, timeout);
  const grpc::Status status = grpc::health::v1::Health::NewStub(channel)->Check(&health, request, &response);
  if (status.error_code() == grpc::StatusCode::NOT_FOUND || status.error_code() == grpc::StatusCode::UNIMPLEMENTED) {
    return Fail("control", absl::StrCat("what answers at ", address, " is a gRPC server, but no control"),
                "name the callers' port of a control with --address");
  }
  if (!status.ok()) {
    const std::string trouble = TlsTrouble(target, status, until - SystemClock().Now());
    if (!trouble.empty()) {
      return Fail("control", absl::StrCat(where, ": ", trouble),
                  "correct --tls, --ca, --cert or --tls-server-name here, or the certificate of that control");
    }
    return Fail("control", absl::StrCat("no control answers at ", address, ": ", Why(status)),
                "start toolwire-control or toolwire dev, or name another with --address");
  }
  if (response.status() != grpc::health::v1::HealthCheckResponse::SERVING) {
    return Fail("control", absl::StrCat(where, " is stopping and takes no calls"), "wait for its successor");
  }
  v1::ListAgentsRequest agents;
  agents.set_page_size(1);
  v1::ListAgentsResponse page;
  grpc::ClientContext list;
  SetDeadline(&list, timeout);
  const grpc::Status listed = v1::ToolDispatch::NewStub(channel)->ListAgents(&list, agents, &page);
  if (listed.error_code() == grpc::StatusCode::UNAUTHENTICATED ||
      listed.error_code() == grpc::StatusCode::PERMISSION_DENIED) {
    return JudgeToken(listed, where, has_token);
  }
  if (!listed.ok()) {
    return Fail("control", absl::StrCat(where, " is serving but lists no agents: ", Why(listed)), "look at its log");
  }
  return Ok("control", absl::StrCat(where, " is serving, agents known: ", page.total_connected()));
}

}  // namespace

Findings CheckControl(const ControlTarget& target, Duration timeout) {
  const auto token = ReadToken(target.token_file);
  if (!token.ok()) {
    return {Fail("control", std::string(token.status().message()), "let --token-file name a file that holds a token")};
  }
  if (const std::string problem = AddressProblem(target.address); !problem.empty()) {
    return {Fail("control", absl::StrCat("--address (TOOLWIRE_ADDRESS): ", problem),
                 "name a control's host and callers' port")};
  }
  grpc::ChannelArguments arguments;
  // So long one address of a name may take to answer before the next one is tried.
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(timeout).count();
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, static_cast<int>(std::clamp<int64_t>(ms / 4, 100, 1500)));
  const auto channel = MakeChannel(target, arguments, *token);
  if (!channel.ok()) {
    return {Fail("control", std::string(channel.status().message()), "correct --tls, --ca, --cert and --key")};
  }
  Findings findings = {AskControl(target, *channel, !token->empty(), timeout)};
  if (!target.tls.on() || findings.front().level == Finding::Level::kFail) return findings;
  if (const auto expires_at = ProbeControl(target, timeout).expires_at) {
    const int64_t days_left = (*expires_at - SystemClock().WallMs() / 1000) / kDaySeconds;
    findings.push_back(JudgeCertificate(target.address, days_left, ""));
  }
  return findings;
}

Findings CheckEdge(const std::string& url, bool by_default, const std::string& ca_file, Duration timeout) {
  const auto target = ParseEdgeUrl(url);
  if (!target.ok()) {
    return {
        Fail("edge", absl::StrCat("--edge-url: ", target.status().message()), "write it as agents do, ws://host:8082")};
  }
  const auto reply = HttpGet(*target, "/health", ca_file, timeout);
  Findings findings;
  const Finding no_tls = Skipped(
      "certificates", "none in use: the edge is looked for at ws://; if it has TLS, or a proxy before it, give wss://");
  if (!reply.ok()) {
    const std::string said(reply.status().message());
    if (by_default && absl::IsUnavailable(reply.status())) {
      return {Skipped("edge", absl::StrCat("no --edge-url, and no edge at ", target->Address())), no_tls};
    }
    findings.push_back(Fail("edge", absl::StrCat("no edge answers at ", target->Address(), ": ", said),
                            "start toolwire-edge or toolwire dev, or name another with --edge-url"));
    if (!target->tls) findings.push_back(no_tls);
    return findings;
  }
  findings.push_back(JudgeEdgeHealth(target->Address(), reply->status, reply->body));
  findings.push_back(
      target->tls ? JudgeCertificate(target->host, reply->certificate_days_left, reply->certificate_trouble) : no_tls);
  return findings;
}

Finding CheckRelay(const EdgeAddress& edge, Duration timeout, TlsFiles* tls) {
  const std::string& address = edge.relay_address;
  const std::string whose = edge.edge_id.empty() ? absl::StrCat("the relay at ", address)
                                                 : absl::StrCat("the relay of ", edge.edge_id, " at ", address);
  if (const std::string error = ResolvingError(address); !error.empty()) {
    return Fail("relay", absl::StrCat(whose, " has a name that does not resolve here: ", error),
                "give that edge a --relay-address that every control can resolve");
  }
  const auto answer = ProbeRelay(address, timeout, tls);
  if (absl::IsUnavailable(answer.status())) {
    return Fail("relay", absl::StrCat(whose, " does not answer: ", answer.status().message()),
                "look whether that edge runs, and whether a firewall keeps this machine from its --relay-port");
  }
  if (!answer.ok()) {
    return Fail("relay", absl::StrCat(whose, " is no edge of this version, or not for us: ", answer.status().message()),
                "run edges and controls of one version; where links are encrypted, give the --link-tls-… of a control");
  }
  const v1::LinkHello& hello = *answer;
  if (!edge.edge_id.empty() && (hello.id() != edge.edge_id || hello.start() != edge.instance_id)) {
    return Fail("relay",
                absl::StrCat(whose, " is answered by ", hello.id(), ", ",
                             hello.id() == edge.edge_id ? "another process than the one announced"
                                                        : "not by the edge that announced it"),
                "give every edge a --server-id and a --relay-address of its own");
  }
  return Ok("relay", absl::StrCat(whose, " answers as ", hello.id()));
}

}  // namespace toolwire
