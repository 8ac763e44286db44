// The commands of `toolwire`. Each adds itself to the command line and returns its exit status when it is run.
#ifndef TOOLWIRE_CLI_COMMANDS_H_
#define TOOLWIRE_CLI_COMMANDS_H_

#include <functional>

namespace CLI {
class App;
}

namespace toolwire {

// Set by the command that the user chose, run by main after parsing.
using Command = std::function<int()>;

void AddDevCommand(CLI::App* app, Command* chosen);
void AddAgentCommand(CLI::App* app, Command* chosen);
// `call`: one tool call.
void AddCallCommand(CLI::App* app, Command* chosen);
// `agents` and `where`: who is connected, and where.
void AddAgentsCommands(CLI::App* app, Command* chosen);
// `watch`: agents as they connect and disconnect.
void AddWatchCommand(CLI::App* app, Command* chosen);
// `credentials create|rotate|revoke|list`, `audit`: through a control, or in the store.
void AddCredentialsCommand(CLI::App* app, Command* chosen);
void AddAuditCommand(CLI::App* app, Command* chosen);
// `certificates`: a private CA and what it signs.
void AddCertificatesCommand(CLI::App* app, Command* chosen);
// `tokens create`: tokens of callers.
void AddTokensCommand(CLI::App* app, Command* chosen);
// `migrate`: the tables, before servers need them.
void AddMigrateCommand(CLI::App* app, Command* chosen);

// `doctor`: whether everything that servers need is there.
void AddDoctorCommand(CLI::App* app, Command* chosen);
// `completion`: scripts that teach shells the commands and flags of `app`.
void AddCompletionCommand(CLI::App* app, Command* chosen);

}  // namespace toolwire

#endif  // TOOLWIRE_CLI_COMMANDS_H_
