// `toolwire call`: one tool call by hand.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <system_error>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cli/commands.h"
#include "cli/control_channel.h"
#include "cli/dispatch_client.h"
#include "cli/interrupt.h"
#include "cli/json_line.h"
#include "cli/output.h"
#include "common/base/shown_text.h"
#include "common/base/tidy.h"
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
constexpr int kNotSent = 3;
constexpr int kSent = 4;
// Params that are read: more than a control can be told to take.
constexpr size_t kParamsBytesMax = 257u << 20;

struct CallFlags {
  ControlTarget control;
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
    std::cout << JsonLine(line);
  } else {
    std::cerr << "no answer: " << ShownText(failure.message()) << " (" << (detail.reason() == 0 ? "" : reason + ", ")
              << delivery << ": "
              << (detail.delivery() == v1::CallError::NOT_SENT ? "the tool did not run" : "the tool may have run")
              << ")\n";
  }
  return detail.delivery() == v1::CallError::NOT_SENT ? kNotSent : kSent;
}

int PrintResponse(const CallFlags& flags, const v1::CallToolResponse& response) {
  if (flags.json) {
    // The result keeps members, numbers and their order as the agent wrote them, so the line is put together by hand.
    const auto quoted = [](const std::string& text) {
      const std::string json = nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
      return ShownJson(json, /*one_line=*/true);
    };
    std::cout << R"({"ok":true,"success":)" << (response.success() ? "true" : "false") << R"(,"result":)"
              << (response.result_json().empty() ? "null" : ShownJson(response.result_json(), /*one_line=*/true))
              << R"(,"error":)" << quoted(response.error());
    if (response.has_execution_time_ms()) std::cout << R"(,"executionTimeMs":)" << response.execution_time_ms();
    std::cout << R"(,"requestId":)" << quoted(response.request_id()) << "}\n";
  } else if (response.success()) {
    std::cout << ShownJson(response.result_json(), /*one_line=*/false) << "\n";
  } else {
    std::cerr << "the tool failed: " << ShownText(response.error()) << "\n";
    if (!response.result_json().empty() && response.result_json() != "null") {
      std::cout << ShownJson(response.result_json(), /*one_line=*/false) << "\n";
    }
  }
  return response.success() ? 0 : kToolFailed;
}

// Params as they are written, from a file (@FILE), or from standard input (-).
absl::StatusOr<std::string> ReadParams(const std::string& given) {
  // Nobody means to call with nothing: whatever was to write it has failed.
  const auto is_empty = [](const std::string& text) { return text.find_first_not_of(" \t\r\n") == std::string::npos; };
  if (is_empty(given)) return absl::InvalidArgumentError("params: empty; {} stands for no params");
  if (given != "-" && given.rfind('@', 0) != 0) return given;
  const bool is_file = given != "-";
  const std::string name = is_file ? given.substr(1) : "standard input";
  const auto wrong = [&name](const std::string& what) {
    return absl::InvalidArgumentError("params: " + name + ": " + what);
  };
  const auto unreadable = [&name](int error) {
    return absl::InvalidArgumentError("params: cannot read " + name + ": " + std::generic_category().message(error));
  };
  const int fd = is_file ? open(name.c_str(), O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
  if (fd < 0) return unreadable(errno);
  if (!is_file && !IsInherited(fd)) return wrong("closed");
  std::string text;
  std::array<char, 64 * 1024> buffer;
  ssize_t got = 0;
  do {
    got = read(fd, buffer.data(), buffer.size());
    text.append(buffer.data(), static_cast<size_t>(std::max<ssize_t>(got, 0)));
  } while (text.size() <= kParamsBytesMax && (got > 0 || (got < 0 && errno == EINTR)));
  const int error = got < 0 ? errno : 0;
  if (is_file) close(fd);
  if (error != 0) return unreadable(error);
  if (text.size() > kParamsBytesMax) return wrong("longer than any control takes");
  if (is_empty(text)) return wrong("empty; {} stands for no params");
  return std::string(WithoutByteOrderMark(text));
}

v1::CallFailure FailureBeforeSending(absl::StatusCode code, const std::string& message) {
  v1::CallFailure failure;
  failure.set_code(static_cast<int>(code));
  failure.set_message(message);
  failure.mutable_detail()->set_delivery(v1::CallError::NOT_SENT);
  return failure;
}

int RunCall(const CallFlags& flags) {
  // Before signals are ours: whoever waits for params that do not come is ended by Ctrl-C, and nothing was sent.
  auto params = ReadParams(flags.params);
  if (!params.ok()) {
    FailCommand("call", std::string(params.status().message()));
    return kWrongUsage;
  }
  Interrupt interrupt;  // Before gRPC starts threads.
  const auto control = DispatchClient::Connect(flags.control);
  if (!control.ok()) {
    const std::string message = flags::ShownMessage(std::string(control.status().message()));
    const int failed = PrintFailure(flags, FailureBeforeSending(control.status().code(), message));
    return absl::IsInvalidArgument(control.status()) ? kWrongUsage : failed;
  }
  if (interrupt.seen()) return PrintFailure(flags, FailureBeforeSending(absl::StatusCode::kCancelled, "interrupted"));
  v1::CallToolRequest request;
  request.set_user_id(flags.user);
  request.set_tool(flags.tool);
  request.set_params_json(*std::move(params));
  request.set_request_id(flags.request_id);
  request.mutable_timeout()->set_seconds(flags.timeout_ms / 1000);
  request.mutable_timeout()->set_nanos(flags.timeout_ms % 1000 * 1000000);
  const v1::DispatchAnswer answer = (*control)->Call(request, std::chrono::milliseconds(flags.timeout_ms), &interrupt);
  return answer.has_response() ? PrintResponse(flags, answer.response()) : PrintFailure(flags, answer.failure());
}

}  // namespace

void AddCallCommand(CLI::App* app, Command* chosen) {
  auto flags = std::make_shared<CallFlags>();
  CLI::App* call = Subcommand(app, "call", "Run one tool on a user's agent and print its result");
  Text(call, "user", &flags->user, "Whose agent").Required().Utf8();
  Text(call, "tool", &flags->tool, "The tool's name").Required().Utf8();
  Text(call, "params", &flags->params, "A JSON object; - reads it from standard input, @FILE from a file");
  Number(call, "--timeout", &flags->timeout_ms, 1, 86400000, "How long to wait for the answer, in ms");
  Text(call, "--request-id", &flags->request_id, "The call's id; default: control makes one").Utf8();
  AddControlTargetFlags(call, &flags->control);
  Switch(call, "--json", &flags->json, "One JSON object a line, for programs");
  Footer(
      call,
      "Ctrl-C cancels the call, so that its agent may stop the tool, and prints whether the tool may have run.\n"
      "Example: toolwire call user_1 read_file '{\"path\":\"README.md\"}' --timeout 5000\n"
      "Exit status: 0 the tool succeeded, 1 it ran and failed, or its result could not be printed, 2 wrong flags,\n"
      "3 no answer and the tool did not run, 4 no answer and the tool may have run.");
  OnChosen(call, [flags, chosen] { *chosen = [flags] { return RunCall(*flags); }; });
}

}  // namespace toolwire
