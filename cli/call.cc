// `toolwire call`: one tool call by hand.
#include <chrono>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cli/commands.h"
#include "cli/control_channel.h"
#include "cli/dispatch_client.h"
#include "cli/interrupt.h"
#include "common/base/flags.h"
#include "toolwire/v1/dispatch.pb.h"

namespace toolwire {
using flags::Footer;
using flags::Number;
using flags::OnChosen;
using flags::Subcommand;
using flags::Switch;
using flags::Text;
namespace {

// Exit statuses of `toolwire call`, in its --help.
constexpr int kToolFailed = 1;
constexpr int kWrongFlags = 2;
constexpr int kNotSent = 3;
constexpr int kSent = 4;

struct CallFlags {
  std::string address = kDefaultControlAddress;
  std::string user, tool, params = "{}", request_id;
  int timeout_ms = 60000;
  bool json = false;
};

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
    // The result is printed as the agent wrote it, so the line is put together by hand around it.
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

v1::CallFailure FailureBeforeSending(absl::StatusCode code, const std::string& message) {
  v1::CallFailure failure;
  failure.set_code(static_cast<int>(code));
  failure.set_message(message);
  failure.mutable_detail()->set_delivery(v1::CallError::NOT_SENT);
  return failure;
}

int RunCall(const CallFlags& flags) {
  Interrupt interrupt;
  auto params = ReadParams(flags.params);
  if (!params.ok()) {
    FailCommand("call", std::string(params.status().message()));
    return kWrongFlags;
  }
  const auto control = DispatchClient::Connect(flags.address);
  if (control == nullptr) {
    return PrintFailure(flags, FailureBeforeSending(absl::StatusCode::kUnavailable, NoControlAt(flags.address)));
  }
  if (interrupt.seen()) return PrintFailure(flags, FailureBeforeSending(absl::StatusCode::kCancelled, "interrupted"));
  v1::CallToolRequest request;
  request.set_user_id(flags.user);
  request.set_tool(flags.tool);
  request.set_params_json(*std::move(params));
  request.set_request_id(flags.request_id);
  request.mutable_timeout()->set_seconds(flags.timeout_ms / 1000);
  request.mutable_timeout()->set_nanos(flags.timeout_ms % 1000 * 1000000);
  const v1::DispatchAnswer answer = control->Call(request, std::chrono::milliseconds(flags.timeout_ms), &interrupt);
  return answer.has_response() ? PrintResponse(flags, answer.response()) : PrintFailure(flags, answer.failure());
}

}  // namespace

void AddCallCommand(CLI::App* app, Command* chosen) {
  auto flags = std::make_shared<CallFlags>();
  CLI::App* call = Subcommand(app, "call", "Run one tool on a user's agent and print its result");
  Text(call, "user", &flags->user, "Whose agent").Required();
  Text(call, "tool", &flags->tool, "The tool's name").Required();
  Text(call, "params", &flags->params, "A JSON object; - reads it from standard input, @FILE from a file");
  Number(call, "--timeout", &flags->timeout_ms, 1, 86400000, "How long to wait for the answer, in ms");
  Text(call, "--request-id", &flags->request_id, "The call's id; default: control makes one");
  AddAddressFlag(call, &flags->address);
  Switch(call, "--json", &flags->json, "One JSON object a line, for programs");
  Footer(
      call,
      "Ctrl-C cancels the call, so that its agent may stop the tool, and prints whether the tool may have run.\n"
      "Example: toolwire call user_1 read_file '{\"path\":\"README.md\"}' --timeout 5000\n"
      "Exit status: 0 the tool succeeded, 1 it ran and failed, 2 wrong flags, 3 no answer and the tool did not run,\n"
      "4 no answer and the tool may have run.");
  OnChosen(call, [flags, chosen] { *chosen = [flags] { return RunCall(*flags); }; });
}

}  // namespace toolwire
