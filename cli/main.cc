// toolwire: the command line.
#include <iostream>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "cli/output.h"
#include "cli/suggestion.h"
#include "common/base/flags.h"
#include "common/base/process_options.h"

namespace toolwire {
namespace {

constexpr int kBadUsage = 2;

int Main(int argc, char** argv) {
  KeepMemoryPrivate();
  Output output;
  flags::CommandLine line(
      "Toolwire carries tool calls from a backend to a program on a user's own machine, and brings the answer back.",
      "toolwire");
  CLI::App* const app = line.app();
  flags::RequireSubcommand(app);
  flags::VersionFlag(app, TOOLWIRE_VERSION);
  Command chosen;
  AddDevCommand(app, &chosen);
  AddAgentCommand(app, &chosen);
  AddCallCommand(app, &chosen);
  AddAgentsCommands(app, &chosen);
  AddWatchCommand(app, &chosen);
  AddCredentialsCommand(app, &chosen);
  AddAuditCommand(app, &chosen);
  AddCertificatesCommand(app, &chosen);
  AddTokensCommand(app, &chosen);
  AddMigrateCommand(app, &chosen);
  AddDoctorCommand(app, &chosen);
  AddCompletionCommand(app, &chosen);
  // Last, or all commands would inherit it.
  flags::Footer(
      app,
      "Each command explains itself: toolwire COMMAND --help. Flags count more than the environment, (Env:...).\n"
      "Example: toolwire dev");
  const auto ending = line.Parse(argc, argv);
  if (!ending) {
    const int status = chosen();
    // Of the commands with a log it has them.
    for (const std::string& remark : flags::TakeRemarks()) std::cerr << "toolwire: " << remark << "\n";
    return output.End(status);
  }
  if (ending->status == 0) {
    std::cout << ending->out;
    return output.End(0);
  }
  const std::string unknown = ExplainUnknown(flags::Describe(app), {argv + 1, argv + argc});
  if (unknown.empty()) {
    ending->Print();
  } else {
    std::cerr << unknown << "\n";
  }
  return kBadUsage;
}

}  // namespace
}  // namespace toolwire

int main(int argc, char** argv) { return toolwire::Main(argc, argv); }
