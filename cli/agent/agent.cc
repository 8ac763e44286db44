// RunAgents spreads the agents over AgentLoops, waits for signals and writes the summary lines.
#include "cli/agent/agent.h"

#include <sys/resource.h>

#include <algorithm>
#include <asio/io_context.hpp>
#include <asio/signal_set.hpp>
#include <asio/steady_timer.hpp>
#include <csignal>
#include <cstdlib>
#include <deque>
#include <memory>
#include <utility>

#include "cli/agent/agent_loop.h"
#include "cli/agent/agent_tools.h"
#include "cli/agent/agent_url.h"
#include "common/base/host_port.h"
#include "common/base/log.h"

namespace toolwire {
namespace {

using std::chrono::seconds;

constexpr Duration kLookEvery = std::chrono::milliseconds(250);  // For file tools that hang.
constexpr int kLooksASecond = 4;
constexpr Duration kSummaryEvery = seconds(10);
constexpr rlim_t kOtherFiles = 64;  // Descriptors beside the agents' sockets.
// How long a stop waits for file tools, and for its last log line. They may hang for ever on a drive that is gone.
constexpr Duration kHungToolsMax = seconds(1);

// Lets RunAgents wait for a signal, and writes lines meanwhile.
class Watch {
 public:
  explicit Watch(SharedByLoops* shared) : shared_(shared), next_summary_(shared->clock.Now() + kSummaryEvery) {}

  // Returns after SIGINT or SIGTERM. A second one then has its usual effect.
  void UntilSignal() {
    signals_.async_wait([this](const std::error_code&, int) { io_.stop(); });
    ArmTimer();
    io_.run();
    signals_.clear();
  }

 private:
  void ArmTimer() {
    timer_.expires_after(kLookEvery);
    timer_.async_wait([this](const std::error_code& ec) {
      if (ec) return;
      shared_->worker->Look();
      if (++looks_ % kLooksASecond == 0) {
        EachSecond(shared_->clock.Now());
        if (shared_->tls) shared_->tls->Look();
      }
      ArmTimer();
    });
  }
  void EachSecond(MonoTime now) {
    for (CountedLine* line :
         {&shared_->cannot_connect, &shared_->disconnected, &shared_->frames_ignored, &shared_->answers_refused,
          &shared_->answers_dropped, &shared_->answers_late}) {
      line->Flush(now);
    }
    if (!shared_->many || now < next_summary_) return;
    next_summary_ = now + kSummaryEvery;
    const int64_t answered = shared_->answered;
    const int64_t cancelled = shared_->cancelled;
    log::Info("agents", {{"connected", shared_->connected.load()},
                         {"of", shared_->options.logins.size()},
                         {"answered", answered - answered_before_},
                         {"cancelled", cancelled - cancelled_before_}});
    answered_before_ = answered;
    cancelled_before_ = cancelled;
  }

  SharedByLoops* const shared_;
  asio::io_context io_{1};
  asio::signal_set signals_{io_, SIGINT, SIGTERM};
  asio::steady_timer timer_{io_};
  MonoTime next_summary_;
  int looks_ = 0;
  int64_t answered_before_ = 0;
  int64_t cancelled_before_ = 0;
};

// Every agent needs a descriptor; the soft limit is often 1024.
void RaiseFileLimit(size_t agents) {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur >= agents + kOtherFiles) return;
  log::Warn("too few file descriptors for all agents", {{"agents", agents}, {"limit", limit.rlim_cur}});
}

// Why the agents cannot start; empty if they can.
std::string ProblemWith(const AgentOptions& options) {
  if (options.logins.empty()) return "no credentials";
  for (const AgentLogin& login : options.logins) {
    const auto printable = [](char c) { return c > ' ' && c <= '~'; };
    if (login.user_id.empty()) return "an empty user id";
    if (login.secret.empty() || !std::all_of(login.secret.begin(), login.secret.end(), printable)) {
      return "the secret of " + login.user_id + " is empty or has characters that no HTTP header can hold";
    }
  }
  return "";
}

}  // namespace

// Null if the URL has no TLS.
absl::StatusOr<std::unique_ptr<TlsFiles>> LoadTls(const AgentOptions& options, const AgentTarget& target) {
  if (options.certificate_file.empty() != options.key_file.empty()) {
    return absl::InvalidArgumentError("--cert and --key go together");
  }
  if (!target.tls) {
    if (options.ca_file.empty() && options.certificate_file.empty() && options.server_name.empty()) return nullptr;
    return absl::InvalidArgumentError(
        "--ca, --cert, --key and --tls-server-name are for wss://, and the URL has ws://");
  }
  TlsOptions tls;
  tls.port = "edge";
  tls.side = TlsOptions::Side::kClient;
  tls.ca_file = options.ca_file;
  tls.certificate_file = options.certificate_file;
  tls.key_file = options.key_file;
  tls.protocol = "http/1.1";
  static const SystemClock clock;
  return TlsFiles::Load(std::move(tls), clock);
}

int RunAgents(const AgentOptions& options) {
  std::string problem = ProblemWith(options);
  absl::StatusOr<AgentTarget> target = ParseAgentUrl(options.url);
  if (problem.empty() && !target.ok()) problem = std::string(target.status().message());
  AgentTools::Secrets secrets;
  secrets.files = options.secret_files;
  // The file of one is not known if it came from the environment, and there may be copies of the others'.
  std::vector<std::string> texts = options.other_secrets;
  for (const AgentLogin& login : options.logins) texts.push_back(login.secret);
  secrets.texts = SecretTexts(texts);
  absl::StatusOr<std::unique_ptr<AgentTools>> tools = AgentTools::Open(options.root, std::move(secrets));
  if (problem.empty() && !tools.ok()) problem = std::string(tools.status().message());
  absl::StatusOr<std::unique_ptr<TlsFiles>> tls = nullptr;
  if (problem.empty()) tls = LoadTls(options, *target);
  if (!tls.ok()) problem = std::string(tls.status().message());
  if (!problem.empty()) {
    log::Error("the agent cannot start", {{"problem", problem}});
    return 1;
  }
  if (!target->tls && !IsLoopback(target->host)) {
    log::Warn("the secret goes to another machine without TLS",
              {{"host", target->host}, {"instead", "a URL with wss://"}});
  }
  RaiseFileLimit(options.logins.size());
  if (!options.server_name.empty()) target->server_name = options.server_name;

  static const SystemClock clock;
  SharedByLoops shared(clock, options, *std::move(target), *std::move(tools), *std::move(tls));
  Watch watch(&shared);  // From here on a signal waits for us.
  const size_t threads =
      std::clamp<size_t>(static_cast<size_t>(std::max(options.threads, 1)), 1, options.logins.size());
  std::deque<AgentLoop> loops;
  for (size_t i = 0; i < threads; ++i) {
    loops.emplace_back(&shared, std::max(options.connect_per_second, 1) / static_cast<double>(threads));
  }
  for (size_t i = 0; i < options.logins.size(); ++i) loops[i % threads].Add(options.logins[i]);
  for (AgentLoop& loop : loops) loop.Start();

  watch.UntilSignal();
  log::Info("stopping", {{"agents", options.logins.size()}});
  for (AgentLoop& loop : loops) loop.RequestStop();
  for (AgentLoop& loop : loops) loop.Join();
  if (!shared.worker->Stop(kHungToolsMax)) {
    log::Warn("a file tool hangs: it is left behind");
    log::Flush(kHungToolsMax);
    std::_Exit(0);  // Its thread uses what would be destroyed here.
  }
  shared.worker.reset();  // Its jobs post to the loops.
  return 0;
}

}  // namespace toolwire
