// `toolwire agents` and `toolwire where`: who is connected, and where.
#include <algorithm>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "cli/commands.h"
#include "cli/control_channel.h"
#include "cli/dispatch_client.h"
#include "cli/json_line.h"
#include "common/base/shown_text.h"
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
  ControlTarget control;
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
  return JsonLine(line);
}

int RunAgents(const AgentsFlags& flags) {
  const auto control = DispatchClient::Connect(flags.control);
  if (!control.ok()) return FailConnecting("agents", control.status());
  v1::ListAgentsRequest request;
  request.set_page_size(1000);
  request.set_server_id(flags.server_id);
  int64_t total = 0, listed = 0;
  while (true) {
    const auto page = (*control)->ListAgents(request);
    if (!page.ok()) return FailCommand("agents", std::string(page.status().message()));
    listed += page->agents_size();
    for (const v1::Agent& agent : page->agents()) {
      if (flags.json) {
        std::cout << JsonOf(agent);
      } else {
        std::cout << ShownText(agent.user_id()) << "\tat " << ShownText(agent.server_id()) << "\n";
      }
    }
    total = page->total_connected();
    if (page->next_page_token().empty() || !std::cout) break;
    request.set_page_token(page->next_page_token());
  }
  // Control does not count them all for a token that is bound to users.
  if (!flags.json) std::cerr << std::max(total, listed) << " connected\n";
  return 0;
}

int RunWhere(const AgentsFlags& flags) {
  const auto control = DispatchClient::Connect(flags.control);
  if (!control.ok()) return FailConnecting("where", control.status());
  v1::GetAgentRequest request;
  request.set_user_id(flags.user);
  const auto agent = (*control)->GetAgent(request);
  if (!agent.ok()) return FailCommand("where", std::string(agent.status().message()));
  if (flags.json) {
    std::cout << JsonOf(*agent);
  } else if (agent->connected()) {
    std::cout << ShownText(agent->user_id()) << " is at " << ShownText(agent->server_id());
    if (agent->has_connected_at()) std::cout << " since " << TimeText(ConnectedAtMs(*agent));
    std::cout << ", epoch " << agent->epoch() << "\n";
  } else {
    std::cerr << ShownText(flags.user) << " is not connected\n";
  }
  return agent->connected() ? 0 : kNotConnected;
}

}  // namespace

void AddAgentsCommands(CLI::App* app, Command* chosen) {
  // Each has its own flags: a variable is read for commands that are not chosen, too.
  const auto agents_flags = std::make_shared<AgentsFlags>(), where_flags = std::make_shared<AgentsFlags>();
  CLI::App* agents = Subcommand(app, "agents", "The connected agents");
  Text(agents, "--server", &agents_flags->server_id, "Only those at this edge");
  Footer(agents,
         "Example: toolwire agents --server edge-1\n"
         "Exit status: 0 listed, 1 no control, 2 wrong flags or variables.");
  OnChosen(agents, [agents_flags, chosen] { *chosen = [agents_flags] { return RunAgents(*agents_flags); }; });

  CLI::App* where = Subcommand(app, "where", "At which edge a user's agent is, since when, and its epoch");
  Text(where, "user", &where_flags->user, "Whose agent").Required().Utf8();
  Footer(where,
         "Example: toolwire where user_1\n"
         "Exit status: 0 connected, 3 not connected, 1 not known, since no control answers;\n"
         "2 wrong flags or variables.");
  OnChosen(where, [where_flags, chosen] { *chosen = [where_flags] { return RunWhere(*where_flags); }; });
  for (const auto& [command, flags] : {std::pair(agents, agents_flags.get()), std::pair(where, where_flags.get())}) {
    AddControlTargetFlags(command, &flags->control);
    Switch(command, "--json", &flags->json, "One JSON object a line, for programs");
  }
}

}  // namespace toolwire
