// `toolwire call`: one tool call by hand.
#include <grpcpp/grpcpp.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/statusor.h"
#include "cli/commands.h"
#include "cli/control_channel.h"
#include "cli/interrupt.h"
#include "common/wire/outcome.h"
#include "toolwire/v1/dispatch.grpc.pb.h"

namespace toolwire {
namespace {

// Exit statuses of `toolwire call`, in its --help.
constexpr int kToolFailed = 1;
constexpr int kWrongFlags = 2;
constexpr int kNotSent = 3;
constexpr int kSent = 4;

constexpr std::chrono::seconds kWordMax(5);

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

// Params as they are written, from a file (@FILE), or from standard input (-).
absl::StatusOr<std::string> ReadParams(const std::string& given) {
  if (given != "-" && given.rfind('@', 0) != 0) return given;
  std::ifstream file;
  if (given != "-") file.open(given.substr(1), std::ios::binary);
  std::istream& in = given == "-" ? std::cin : file;
  std::string text(std::istreambuf_iterator<char>(in), {});
  if (in.fail()) return absl::InvalidArgumentError("params: cannot read " + given.substr(1));
  return text;
}

v1::CallFailure FailureBeforeSending(grpc::StatusCode code, const std::string& message) {
  v1::CallFailure failure;
  failure.set_code(code);
  failure.set_message(message);
  failure.mutable_detail()->set_delivery(v1::CallError::NOT_SENT);
  return failure;
}

// One call on a Dispatch stream, and not a CallTool: whoever cancels that is not told whether the tool may have run.
int CallOnStream(const CallFlags& flags, const v1::CallToolRequest& request, v1::ToolDispatch::Stub* stub,
                 Interrupt* interrupt) {
  constexpr uint64_t kId = 1;
  grpc::ClientContext context;
  // A little longer than the call itself, so that control's word on what happened arrives.
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(flags.timeout_ms) + kWordMax);
  const auto stream = stub->Dispatch(&context);
  v1::DispatchRequest message;
  v1::DispatchCall* const call = message.add_calls();
  call->set_id(kId);
  *call->mutable_call() = request;
  stream->Write(message);  // Whether it worked is told by what is read.
  interrupt->Set([&stream] {
    std::cerr << "cancelling; once more ends this without waiting\n";
    v1::DispatchRequest cancel;
    cancel.add_cancels(kId);
    stream->Write(cancel);
  });
  v1::DispatchReply reply;
  const bool answered = stream->Read(&reply) && reply.answers_size() > 0;
  interrupt->Set(nullptr);
  stream->WritesDone();
  v1::DispatchReply rest;
  while (answered && stream->Read(&rest)) {
  }
  const grpc::Status status = stream->Finish();
  if (!answered) return PrintFailure(flags, FailureOf(status));
  const v1::DispatchAnswer& answer = reply.answers(0);
  return answer.has_response() ? PrintResponse(flags, answer.response()) : PrintFailure(flags, answer.failure());
}

int RunCall(const CallFlags& flags) {
  Interrupt interrupt;
  auto params = ReadParams(flags.params);
  if (!params.ok()) {
    FailCommand("call", std::string(params.status().message()));
    return kWrongFlags;
  }
  const auto channel = ConnectToControl(flags.address);
  if (channel == nullptr) {
    return PrintFailure(flags, FailureBeforeSending(grpc::StatusCode::UNAVAILABLE, NoControlAt(flags.address)));
  }
  if (interrupt.seen()) return PrintFailure(flags, FailureBeforeSending(grpc::StatusCode::CANCELLED, "interrupted"));
  v1::CallToolRequest request;
  request.set_user_id(flags.user);
  request.set_tool(flags.tool);
  request.set_params_json(*std::move(params));
  request.set_request_id(flags.request_id);
  request.mutable_timeout()->set_seconds(flags.timeout_ms / 1000);
  request.mutable_timeout()->set_nanos(flags.timeout_ms % 1000 * 1000000);
  return CallOnStream(flags, request, v1::ToolDispatch::NewStub(channel).get(), &interrupt);
}

}  // namespace

void AddCallCommand(CLI::App* app, Command* chosen) {
  auto flags = std::make_shared<CallFlags>();
  CLI::App* call = app->add_subcommand("call", "Run one tool on a user's agent and print its result");
  call->add_option("user", flags->user, "Whose agent")->required();
  call->add_option("tool", flags->tool, "The tool's name")->required();
  call->add_option("params", flags->params, "A JSON object; - reads it from standard input, @FILE from a file")
      ->capture_default_str();
  call->add_option("--timeout", flags->timeout_ms, "How long to wait for the answer, in ms")
      ->check(CLI::Range(1, 86400000))
      ->capture_default_str();
  call->add_option("--request-id", flags->request_id, "The call's id; default: control makes one");
  AddAddressFlag(call, &flags->address);
  call->add_flag("--json", flags->json, "One JSON object a line, for programs");
  call->footer(
      "Ctrl-C cancels the call, so that its agent may stop the tool, and prints whether the tool may have run.\n"
      "Example: toolwire call user_1 read_file '{\"path\":\"README.md\"}' --timeout 5000\n"
      "Exit status: 0 the tool succeeded, 1 it ran and failed, 2 wrong flags, 3 no answer and the tool did not run,\n"
      "4 no answer and the tool may have run.");
  call->callback([flags, chosen] { *chosen = [flags] { return RunCall(*flags); }; });
}

}  // namespace toolwire
