// toolwire: the command line.
#include <CLI/CLI.hpp>
#include <iostream>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "cli/suggestion.h"

namespace {

constexpr int kWrongFlags = 2;

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{
      "Toolwire carries tool calls from a backend to a program on a user's own machine, and brings the answer back.",
      "toolwire"};
  app.require_subcommand(1);
  app.set_version_flag("--version", TOOLWIRE_VERSION);
  toolwire::Command chosen;
  toolwire::AddDevCommand(&app, &chosen);
  toolwire::AddAgentCommand(&app, &chosen);
  toolwire::AddCallCommand(&app, &chosen);
  toolwire::AddAgentsCommands(&app, &chosen);
  toolwire::AddWatchCommand(&app, &chosen);
  toolwire::AddCredentialsCommand(&app, &chosen);
  toolwire::AddAuditCommand(&app, &chosen);
  toolwire::AddDoctorCommand(&app, &chosen);
  toolwire::AddCompletionCommand(&app, &chosen);
  // Last, or all commands would inherit it.
  app.footer(
      "Each command explains itself: toolwire COMMAND --help. Flags count more than the environment, (Env:...).\n"
      "Example: toolwire dev");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help, --version.
    const std::string unknown = toolwire::ExplainUnknown(&app, std::vector<std::string>(argv + 1, argv + argc));
    if (unknown.empty()) {
      app.exit(error);
    } else {
      std::cerr << unknown << "\n";
    }
    return kWrongFlags;
  }
  return chosen();
}
