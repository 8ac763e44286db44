// `toolwire agents` and `toolwire where`: who is connected, and where.
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "cli/commands.h"
#include "cli/control_channel.h"
#include "cli/dispatch_client.h"
#include "cli/time_text.h"
#include "common/base/flags.h"
#include "toolwire/v1/dispatch.pb.h"

namespace toolwire {
using flags::Footer;
using flags::OnChosen;
using flags::Subcommand;
using flags::Switch;
using flags::Text;
namespace {

constexpr int kNotConnected = 3;  // As `toolwire call`, which would not reach the agent either.

struct AgentsFlags {
  std::string address = kDefaultControlAddress;
  std::string user, server_id;
  bool json = false;
};

std::string JsonOf(const v1::Agent& agent) {
  nlohmann::ordered_json line = {{"userId", agent.user_id()}, {"connected", agent.connected()}};
  if (agent.connected()) {
    line["serverId"] = agent.server_id();
    line["epoch"] = agent.epoch();
    line["connectedAt"] = ConnectedAtMs(agent);
  }
  return line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

int RunAgents(const AgentsFlags& flags) {
  const auto control = DispatchClient::Connect(flags.address);
  if (control == nullptr) return FailCommand("agents", NoControlAt(flags.address));
  v1::ListAgentsRequest request;
  request.set_page_size(1000);
  request.set_server_id(flags.server_id);
  int64_t total = 0;
  while (true) {
    const auto page = control->ListAgents(request);
    if (!page.ok()) return FailCommand("agents", std::string(page.status().message()));
    for (const v1::Agent& agent : page->agents()) {
      if (flags.json) {
        std::cout << JsonOf(agent) << "\n";
      } else {
        std::cout << agent.user_id() << "\tat " << agent.server_id() << "\n";
      }
    }
    total = page->total_connected();
    if (page->next_page_token().empty()) break;
    request.set_page_token(page->next_page_token());
  }
  if (!flags.json) std::cerr << total << " connected\n";
  return 0;
}

int RunWhere(const AgentsFlags& flags) {
  const auto control = DispatchClient::Connect(flags.address);
  if (control == nullptr) return FailCommand("where", NoControlAt(flags.address));
  v1::GetAgentRequest request;
  request.set_user_id(flags.user);
  const auto agent = control->GetAgent(request);
  if (!agent.ok()) return FailCommand("where", std::string(agent.status().message()));
  if (flags.json) {
    std::cout << JsonOf(*agent) << "\n";
  } else if (agent->connected()) {
    std::cout << agent->user_id() << " is at " << agent->server_id();
    if (agent->has_connected_at()) std::cout << " since " << TimeText(ConnectedAtMs(*agent));
    std::cout << ", epoch " << agent->epoch() << "\n";
  } else {
    std::cerr << flags.user << " is not connected\n";
  }
  return agent->connected() ? 0 : kNotConnected;
}

}  // namespace

void AddAgentsCommands(CLI::App* app, Command* chosen) {
  auto flags = std::make_shared<AgentsFlags>();
  CLI::App* agents = Subcommand(app, "agents", "The connected agents");
  Text(agents, "--server", &flags->server_id, "Only those at this edge");
  Footer(agents,
         "Example: toolwire agents --server edge-1\n"
         "Exit status: 0 listed, 1 no control, 2 wrong flags.");
  OnChosen(agents, [flags, chosen] { *chosen = [flags] { return RunAgents(*flags); }; });

  CLI::App* where = Subcommand(app, "where", "At which edge a user's agent is, since when, and its epoch");
  Text(where, "user", &flags->user, "Whose agent").Required();
  Footer(where,
         "Example: toolwire where user_1\n"
         "Exit status: 0 connected, 3 not connected, 1 not known, since no control answers; 2 wrong flags.");
  OnChosen(where, [flags, chosen] { *chosen = [flags] { return RunWhere(*flags); }; });
  for (CLI::App* command : {agents, where}) {
    AddAddressFlag(command, &flags->address);
    Switch(command, "--json", &flags->json, "One JSON object a line, for programs");
  }
}

}  // namespace toolwire
