// A control is asked for its health and for agents, an edge's agents' port for /health, an edge's relay for its hello.
// The first thing that fails is the finding; each has a timeout of its own.

#include "cli/doctor/doctor_network.h"

#include <grpcpp/grpcpp.h>
#include <netdb.h>

#include <chrono>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cli/doctor/doctor_http.h"
#include "cli/doctor/doctor_judge.h"
#include "common/base/host_port.h"
#include "common/link/relay_probe.h"
#include "common/link/relay_socket.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "toolwire/v1/dispatch.grpc.pb.h"

namespace toolwire {
namespace {

constexpr char kService[] = "toolwire.v1.ToolDispatch";

// A channel of its own, so that no other one's back-off counts.
std::shared_ptr<grpc::Channel> ChannelTo(const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

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

}  // namespace

Finding CheckControl(const std::string& address, Duration timeout) {
  const auto channel = ChannelTo(address);
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
  if (!listed.ok()) {
    return Fail("control", absl::StrCat(where, " is serving but lists no agents: ", Why(listed)), "look at its log");
  }
  return Ok("control", absl::StrCat(where, " is serving, agents known: ", page.total_connected()));
}

Findings CheckEdge(const std::string& url, bool by_default, Duration timeout) {
  const auto target = ParseEdgeUrl(url);
  if (!target.ok()) {
    return {
        Fail("edge", absl::StrCat("--edge-url: ", target.status().message()), "write it as agents do, ws://host:8082")};
  }
  const auto reply = HttpGet(*target, "/health", timeout);
  Findings findings;
  const Finding no_tls = Skipped(
      "certificates", "none in use: this version's own ports have no TLS; with a proxy before the edge, give wss://");
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

Finding CheckRelay(const EdgeAddress& edge, Duration timeout) {
  const std::string& address = edge.relay_address;
  const std::string whose = edge.edge_id.empty() ? absl::StrCat("the relay at ", address)
                                                 : absl::StrCat("the relay of ", edge.edge_id, " at ", address);
  if (const std::string error = ResolvingError(address); !error.empty()) {
    return Fail("relay", absl::StrCat(whose, " has a name that does not resolve here: ", error),
                "give that edge a --relay-address that every control can resolve");
  }
  const auto answer = ProbeRelay(address, timeout);
  if (absl::IsUnavailable(answer.status())) {
    return Fail("relay", absl::StrCat(whose, " does not answer: ", answer.status().message()),
                "look whether that edge runs, and whether a firewall keeps this machine from its --relay-port");
  }
  if (!answer.ok()) {
    return Fail("relay", absl::StrCat(whose, " is no edge of this version: ", answer.status().message()),
                "run edges and controls of one version");
  }
  const v1::EdgeHello& hello = *answer;
  if (!edge.edge_id.empty() && (hello.server_id() != edge.edge_id || hello.instance_id() != edge.instance_id)) {
    return Fail("relay",
                absl::StrCat(whose, " is answered by ", hello.server_id(), ", ",
                             hello.server_id() == edge.edge_id ? "another process than the one announced"
                                                               : "not by the edge that announced it"),
                "give every edge a --server-id and a --relay-address of its own");
  }
  return Ok("relay", absl::StrCat(whose, " answers as ", hello.server_id()));
}

}  // namespace toolwire
