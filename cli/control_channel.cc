#include "cli/control_channel.h"

#include <grpc/support/log.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "cli/control_probe.h"
#include "cli/control_tls.h"
#include "common/base/flags.h"
#include "common/base/shown_text.h"
#include "common/base/tidy.h"
#include "common/base/watched_file.h"

namespace toolwire {
namespace {

constexpr std::chrono::seconds kConnectMax(5);
// A control that was started a moment ago, as in `toolwire dev & toolwire call ...`, does not listen yet.
constexpr std::chrono::seconds kRefusedMax(2);

// Control takes no more metadata than that.
constexpr size_t kTokenFileBytesMax = 20u << 10;

// The command says what is wrong; a line of gRPC's own would only stand beside it. Whoever wants those sets the
// variable.
void SilenceGrpc() {
  if (std::getenv("GRPC_VERBOSITY") == nullptr) gpr_set_log_function([](gpr_log_func_args*) {});
}

// Call credentials would do it, but gRPC refuses those without TLS.
class SendToken final : public grpc::experimental::Interceptor {
 public:
  explicit SendToken(std::string value) : value_(std::move(value)) {}
  void Intercept(grpc::experimental::InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(grpc::experimental::InterceptionHookPoints::PRE_SEND_INITIAL_METADATA)) {
      methods->GetSendInitialMetadata()->emplace("authorization", value_);
    }
    methods->Proceed();
  }

 private:
  const std::string value_;
};

class SendTokens final : public grpc::experimental::ClientInterceptorFactoryInterface {
 public:
  explicit SendTokens(const std::string& token) : value_("Bearer " + token) {}
  grpc::experimental::Interceptor* CreateClientInterceptor(grpc::experimental::ClientRpcInfo*) override {
    return new SendToken(value_);
  }

 private:
  const std::string value_;
};

}  // namespace

absl::StatusOr<std::string> ReadToken(const std::string& token_file) {
  std::string token;
  std::string where = "TOOLWIRE_TOKEN";
  if (token_file.empty()) {
    token = flags::Variable(where);
  } else {
    if (const std::string problem = TokenFileProblem(token_file); !problem.empty()) {
      return absl::InvalidArgumentError(absl::StrCat("--token-file: ", problem));
    }
    where = token_file;
    const absl::StatusOr<std::string> content = WatchedFile(token_file, kTokenFileBytesMax).Read();
    if (!content.ok()) return absl::InvalidArgumentError(absl::StrCat("--token-file: ", content.status().message()));
    token = *content;
  }
  token = Tidy(token).value;
  if (token.empty() && token_file.empty()) return token;
  const auto is_fine = [](char c) { return absl::ascii_isgraph(static_cast<unsigned char>(c)); };
  if (token.empty() || !std::all_of(token.begin(), token.end(), is_fine)) {
    return absl::InvalidArgumentError(absl::StrCat(where, " does not hold a token, and nothing else"));
  }
  return token;
}

absl::StatusOr<std::shared_ptr<grpc::Channel>> MakeChannel(const ControlTarget& target,
                                                           grpc::ChannelArguments arguments, const std::string& token) {
  if (!token.empty()) {
    if (absl::Status status = CheckTokenMayLeave(target); !status.ok()) return status;
  }
  SilenceGrpc();
  const auto credentials = MakeControlCredentials(target);
  if (!credentials.ok()) return credentials.status();
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  if (!target.tls.server_name.empty()) arguments.SetSslTargetNameOverride(target.tls.server_name);
  // http_proxy is meant for the web; proxies for it open no connection to a control, or one that ends when idle.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  if (token.empty()) return grpc::CreateCustomChannel(target.address, *credentials, arguments);
  std::vector<std::unique_ptr<grpc::experimental::ClientInterceptorFactoryInterface>> interceptors;
  interceptors.push_back(std::make_unique<SendTokens>(token));
  return grpc::experimental::CreateCustomChannelWithInterceptors(target.address, *credentials, arguments,
                                                                 std::move(interceptors));
}

absl::StatusOr<std::shared_ptr<grpc::Channel>> ConnectToControl(const ControlTarget& target) {
  const absl::StatusOr<std::string> token = ReadToken(target.token_file);
  if (!token.ok()) return token.status();
  // gRPC would wait for what no resolver knows.
  if (const std::string problem = AddressProblem(target.address); !problem.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("--address=", ShownValue(target.address), ": ", problem));
  }
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(-1);
  // Commands that wait notice within 15 s when control's machine has vanished without closing the connection.
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 10000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 5000);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 50);
  // So long one address of a name may take to answer before the next one is tried.
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 1500);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 500);
  auto made = MakeChannel(target, std::move(arguments), *token);
  if (!made.ok()) return made.status();
  const std::shared_ptr<grpc::Channel> channel = *std::move(made);
  const auto began = std::chrono::system_clock::now();
  grpc_connectivity_state state = channel->GetState(true);
  while (state != GRPC_CHANNEL_READY) {
    const bool refused = state == GRPC_CHANNEL_TRANSIENT_FAILURE;
    if (refused) {
      const std::string trouble = ProbeControl(target, kRefusedMax).trouble;
      if (!trouble.empty()) return absl::UnavailableError(absl::StrCat("control at ", target.address, ": ", trouble));
    }
    if (!channel->WaitForStateChange(state, began + (refused ? kRefusedMax : kConnectMax))) {
      return absl::UnavailableError(
          absl::StrCat("no control at ", target.address, "; start one, or name another with --address"));
    }
    state = channel->GetState(true);
  }
  return channel;
}

absl::Status ToStatus(const grpc::Status& status) {
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
}

int FailCommand(const std::string& command, const std::string& message) {
  std::cerr << "toolwire " << command << ": " << ShownText(WithoutPasswords(flags::NamingVariables(message))) << "\n";
  return 1;
}

int FailConnecting(const std::string& command, const absl::Status& status) {
  const int failed = FailCommand(command, std::string(status.message()));
  return absl::IsInvalidArgument(status) ? kWrongUsage : failed;
}

}  // namespace toolwire
