// toolwire: the command line.
#include <CLI/CLI.hpp>

#include "cli/commands.h"

int main(int argc, char** argv) {
  CLI::App app{
      "Toolwire carries tool calls from a backend to a program on a user's own machine, and brings the answer back."};
  app.require_subcommand(1);
  app.set_version_flag("--version", TOOLWIRE_VERSION);
  toolwire::Command chosen;
  toolwire::AddDevCommand(&app, &chosen);
  toolwire::AddAgentCommand(&app, &chosen);
  toolwire::AddCallCommands(&app, &chosen);
  toolwire::AddStoreCommands(&app, &chosen);
  toolwire::AddDoctorCommand(&app, &chosen);
  CLI11_PARSE(app, argc, argv);
  return chosen();
}
