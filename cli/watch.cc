// `toolwire watch`: agents as they connect, move and disconnect.
#include <algorithm>
#include <chrono>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cli/agent_view.h"
#include "cli/commands.h"
#include "cli/control_channel.h"
#include "cli/dispatch_client.h"
#include "cli/interrupt.h"
#include "cli/json_line.h"
#include "common/base/shown_text.h"
#include "cli/time_text.h"
#include "common/base/clock.h"
#include "common/base/flags.h"
#include "toolwire/v1/dispatch.pb.h"

namespace toolwire {
using flags::Footer;
using flags::OnChosen;
using flags::Subcommand;
using flags::Switch;
using flags::Texts;
namespace {

constexpr Duration kRedialMin = std::chrono::milliseconds(250);
constexpr Duration kRedialMax = std::chrono::seconds(5);
// How long after a stream's snapshot an agent that it did not name counts as gone: as long as a control that has just
// started may take to find all edges.
constexpr std::chrono::seconds kMissingAfter(6);

constexpr int kOutputLost = 1;

struct WatchFlags {
  ControlTarget control;
  std::vector<std::string> users;
  bool once = false;
  bool json = false;
};

void Print(const AgentView::Event& event, bool json) {
  const v1::Agent& agent = event.agent();
  const std::string kind = v1::WatchAgentsResponse::Kind_Name(event.kind());
  const bool gone = event.kind() == v1::WatchAgentsResponse::DISCONNECTED;
  const int64_t now_ms = SystemClock().WallMs();
  if (json) {
    nlohmann::ordered_json line = {{"at", now_ms}, {"kind", kind}};
    if (event.has_agent()) {
      line["userId"] = agent.user_id();
      line["serverId"] = agent.server_id();
      line["epoch"] = agent.epoch();
      line["connectedAt"] = ConnectedAtMs(agent);
    }
    std::cout << JsonLine(line);
  } else if (event.has_agent()) {
    std::string word = kind;
    std::transform(word.begin(), word.end(), word.begin(), [](unsigned char c) { return std::tolower(c); });
    // When it happened, as far as that is known.
    std::cout << TimeText(gone ? now_ms : ConnectedAtMs(agent)) << "  " << word << "  "
              << ShownText(agent.user_id()) << "  "
              << ShownText(agent.server_id()) << "  " << agent.epoch() << "\n";
  }
}

// One WatchAgents stream, from its begin to its end.
class Stream {
 public:
  Stream(const WatchFlags& flags, AgentView* view, Interrupt* interrupt)
      : flags_(flags), view_(view), interrupt_(interrupt) {}

  // Returns when the stream ends, the command is interrupted, or a snapshot was all that was wanted.
  absl::Status Run(DispatchClient* control) {
    v1::WatchAgentsRequest request;
    for (const std::string& user : flags_.users) request.add_user_ids(user);
    view_->Begin();
    watch_ = control->Watch(request);
    interrupt_->Set([this] { watch_->Cancel(); });
    v1::WatchAgentsResponse message;
    while (true) {
      const AgentWatch::Next next = watch_->Read(&message, missing_at_);
      if (next == AgentWatch::Next::kEnded) break;
      if (next == AgentWatch::Next::kTimeout) {
        ReportMissing();
      } else {
        Take(&message);
      }
    }
    interrupt_->Set(nullptr);
    return watch_->Finish();
  }

  bool complete() const { return complete_; }

 private:
  void Take(v1::WatchAgentsResponse* message) {
    for (AgentView::Event& event : *message->mutable_events()) {
      if (complete_ && flags_.once) return;
      if (!view_->Take(&event)) continue;
      Print(event, flags_.json);
      if (event.kind() == v1::WatchAgentsResponse::SNAPSHOT_COMPLETE) Complete();
    }
    Flush();
  }

  void Complete() {
    complete_ = true;
    std::cout.flush();
    if (flags_.once) return watch_->Cancel();
    missing_at_ = std::chrono::system_clock::now() + kMissingAfter;
    std::cerr << view_->connected() << " connected; watching\n";
  }

  void ReportMissing() {
    missing_at_ = std::chrono::system_clock::time_point::max();
    for (const AgentView::Event& event : view_->TakeMissing()) Print(event, flags_.json);
    Flush();
  }

  // A reader sees each event at once; without a reader there is nothing left to do.
  void Flush() {
    if (!std::cout.flush()) watch_->Cancel();
  }

  const WatchFlags& flags_;
  AgentView* const view_;
  Interrupt* const interrupt_;
  std::unique_ptr<AgentWatch> watch_;
  bool complete_ = false;  // The snapshot has been printed.
  std::chrono::system_clock::time_point missing_at_ = std::chrono::system_clock::time_point::max();
};

int RunWatch(const WatchFlags& flags) {
  Interrupt interrupt;
  AgentView view;
  Duration wait = kRedialMin;
  std::string reported;
  bool connected = false;
  while (!interrupt.seen()) {
    // With the token and the certificates that their files hold by now.
    const auto control = DispatchClient::Connect(flags.control);
    std::string trouble(control.status().message());
    // Files that were right once may be in the middle of being replaced.
    if (absl::IsInvalidArgument(control.status()) && !connected) return FailConnecting("watch", control.status());
    if (control.ok()) {
      connected = true;
      Stream stream(flags, &view, &interrupt);
      const absl::Status status = stream.Run(control->get());
      if (interrupt.seen() || (flags.once && stream.complete())) break;
      if (!std::cout) return kOutputLost;  // Whoever runs this says why.
      // A stream that was there ends when its token does; then there may be another one.
      const bool refused = absl::IsPermissionDenied(status) || absl::IsUnauthenticated(status);
      if (absl::IsInvalidArgument(status) || (refused && !stream.complete()))
        return FailCommand("watch", std::string(status.message()));
      trouble = "control is gone: " + (status.ok() ? "it ended the stream" : ShownText(std::string(status.message())));
      if (stream.complete()) {
        wait = kRedialMin;
        reported.clear();
      }
    }
    if (flags.once) return FailCommand("watch", trouble);
    if (reported != trouble) std::cerr << "toolwire watch: " << flags::ShownMessage(trouble) << "; trying again\n";
    reported = trouble;
    if (interrupt.WaitFor(wait)) break;
    wait = std::min(wait * 2, kRedialMax);
  }
  return 0;
}

}  // namespace

void AddWatchCommand(CLI::App* app, Command* chosen) {
  auto flags = std::make_shared<WatchFlags>();
  CLI::App* watch = Subcommand(app, "watch", "Follow agents as they connect, move and disconnect");
  Texts(watch, "user", &flags->users, "Only these users' agents; default: everyone's").Utf8();
  Switch(watch, "--once,--snapshot", &flags->once, "Print who is connected now, and end");
  Switch(watch, "--json", &flags->json, "One JSON object a line, for programs");
  AddControlTargetFlags(watch, &flags->control);
  Footer(
      watch,
      "Prints who is connected, and then each change: time, kind, user, edge, epoch. When control goes, it is dialled\n"
      "again until Ctrl-C (0.25 s doubling to 5 s), and what changed meanwhile is printed then.\n"
      "Example: toolwire watch user_1 user_2\n"
      "Exit status: 0 ended by Ctrl-C or with --once, 1 no control, or the output was lost; 2 wrong flags or variables.");
  OnChosen(watch, [flags, chosen] { *chosen = [flags] { return RunWatch(*flags); }; });
}

}  // namespace toolwire
