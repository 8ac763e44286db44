// `toolwire call` and `toolwire agents`: the public API by hand.
#include <grpcpp/grpcpp.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "cli/commands.h"
#include "cli/control_channel.h"
#include "common/outcome.h"
#include "toolwire/v1/dispatch.grpc.pb.h"

namespace toolwire {
namespace {

// Exit statuses of `toolwire call`, in its --help.
constexpr int kToolFailed = 1;
constexpr int kNotSent = 3;
constexpr int kSent = 4;

struct CallFlags {
  std::string address = kDefaultControlAddress;
  std::string user, tool, params = "{}", request_id;
  int timeout_ms = 60000;
  bool json = false;
};

// The detail of a status. One without comes from gRPC itself, and the call may have left.
v1::CallFailure FailureOf(const grpc::Status& status) {
  v1::CallFailure failure;
  if (UnpackStatusDetails(status.error_details(), &failure)) return failure;
  failure.set_code(status.error_code());
  failure.set_message(status.error_message());
  failure.mutable_detail()->set_delivery(v1::CallError::SENT);
  return failure;
}

int PrintFailure(const CallFlags& flags, const v1::CallFailure& failure) {
  const v1::CallError& detail = failure.detail();
  const std::string reason = v1::CallError::Reason_Name(detail.reason());
  const std::string delivery = v1::CallError::Delivery_Name(detail.delivery());
  if (flags.json) {
    const nlohmann::ordered_json line = {
        {"ok", false},          {"code", failure.code()},       {"reason", reason},
        {"delivery", delivery}, {"message", failure.message()}, {"requestId", detail.request_id()}};
    std::cout << line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) << "\n";
  } else {
    std::cerr << "no answer: " << failure.message() << " (" << (detail.reason() == 0 ? "" : reason + ", ") << delivery
              << ": "
              << (detail.delivery() == v1::CallError::NOT_SENT ? "the tool did not run" : "the tool may have run")
              << ")\n";
  }
  return detail.delivery() == v1::CallError::NOT_SENT ? kNotSent : kSent;
}

int PrintResponse(const CallFlags& flags, const v1::CallToolResponse& response) {
  if (flags.json) {
    // The result stands in the line as the agent wrote it, so the line is put together by hand around it.
    const nlohmann::json error = response.error();
    std::cout << R"({"ok":true,"success":)" << (response.success() ? "true" : "false") << R"(,"result":)"
              << (response.result_json().empty() ? "null" : response.result_json()) << R"(,"error":)" << error.dump();
    if (response.has_execution_time_ms()) std::cout << R"(,"executionTimeMs":)" << response.execution_time_ms();
    std::cout << R"(,"requestId":)" << nlohmann::json(response.request_id()).dump() << "}\n";
  } else if (response.success()) {
    std::cout << response.result_json() << "\n";
  } else {
    std::cerr << "the tool failed: " << response.error() << "\n";
    if (!response.result_json().empty() && response.result_json() != "null") {
      std::cout << response.result_json() << "\n";
    }
  }
  return response.success() ? 0 : kToolFailed;
}

int RunCall(const CallFlags& flags) {
  const auto channel = ConnectToControl(flags.address);
  if (channel == nullptr) {
    v1::CallFailure failure;
    failure.set_code(grpc::StatusCode::UNAVAILABLE);
    failure.set_message(NoControlAt(flags.address));
    failure.mutable_detail()->set_delivery(v1::CallError::NOT_SENT);
    return PrintFailure(flags, failure);
  }
  v1::CallToolRequest request;
  request.set_user_id(flags.user);
  request.set_tool(flags.tool);
  request.set_params_json(flags.params);
  request.set_request_id(flags.request_id);
  request.mutable_timeout()->set_seconds(flags.timeout_ms / 1000);
  request.mutable_timeout()->set_nanos(flags.timeout_ms % 1000 * 1000000);
  grpc::ClientContext context;
  // A little longer than the call itself, so that control's word on what happened arrives.
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(flags.timeout_ms + 5000));
  v1::CallToolResponse response;
  const grpc::Status status = v1::ToolDispatch::NewStub(channel)->CallTool(&context, request, &response);
  return status.ok() ? PrintResponse(flags, response) : PrintFailure(flags, FailureOf(status));
}

int RunAgentsList(const CallFlags& flags) {
  const auto channel = ConnectToControl(flags.address);
  if (channel == nullptr) return FailCommand("agents", NoControlAt(flags.address));
  const auto stub = v1::ToolDispatch::NewStub(channel);
  v1::ListAgentsRequest request;
  request.set_page_size(1000);
  int64_t total = 0;
  while (true) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
    v1::ListAgentsResponse page;
    const grpc::Status status = stub->ListAgents(&context, request, &page);
    if (!status.ok()) return FailCommand("agents", status.error_message());
    for (const v1::Agent& agent : page.agents()) {
      if (flags.json) {
        const nlohmann::ordered_json line = {{"userId", agent.user_id()},
                                             {"serverId", agent.server_id()},
                                             {"epoch", agent.epoch()},
                                             {"connectedAt", agent.connected_at().seconds()}};
        std::cout << line.dump() << "\n";
      } else {
        std::cout << agent.user_id() << "\tat " << agent.server_id() << "\n";
      }
    }
    total = page.total_connected();
    if (page.next_page_token().empty()) break;
    request.set_page_token(page.next_page_token());
  }
  if (!flags.json) std::cerr << total << " connected\n";
  return 0;
}

}  // namespace

void AddCallCommands(CLI::App* app, Command* chosen) {
  auto flags = std::make_shared<CallFlags>();
  CLI::App* call = app->add_subcommand("call", "Run one tool on a user's agent and print its result");
  call->add_option("user", flags->user, "Whose agent")->required();
  call->add_option("tool", flags->tool, "The tool's name")->required();
  call->add_option("params", flags->params, "A JSON object")->capture_default_str();
  call->add_option("--timeout", flags->timeout_ms, "How long to wait for the answer, in ms")
      ->check(CLI::Range(1, 86400000))
      ->capture_default_str();
  call->add_option("--request-id", flags->request_id, "The call's id; default: control makes one");
  call->footer(
      "Exit status: 0 the tool succeeded, 1 it ran and failed, 3 no answer and the tool did not run,\n"
      "4 no answer and the tool may have run.");
  call->callback([flags, chosen] { *chosen = [flags] { return RunCall(*flags); }; });

  CLI::App* agents = app->add_subcommand("agents", "The connected agents");
  agents->callback([flags, chosen] { *chosen = [flags] { return RunAgentsList(*flags); }; });
  for (CLI::App* command : {call, agents}) {
    AddAddressFlag(command, &flags->address);
    command->add_flag("--json", flags->json, "One JSON object a line, for programs");
  }
}

}  // namespace toolwire
