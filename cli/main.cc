// toolwire: the command line.
#include <iostream>
#include <optional>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "cli/output.h"
#include "cli/suggestion.h"
#include "common/base/flags.h"
#include "common/base/process_options.h"
#include "common/base/shown_text.h"

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
  // The doctor goes on, and reports what is wrong with variables and files.
  const bool is_doctor = argc > 1 && std::string(argv[1]) == "doctor";
  const auto ending = is_doctor ? line.ParseAll(argc, argv, /*runs_checks=*/false) : line.Parse(argc, argv);
  if (!ending) {
    const auto wrong_files = is_doctor ? std::nullopt : flags::EndForFiles("toolwire");
    const int status = wrong_files ? wrong_files->Print() : chosen();
    // Of the commands with a log it has them.
    for (const std::string& remark : flags::TakeRemarks()) std::cerr << "toolwire: " << ShownText(remark) << "\n";
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
    std::cerr << flags::ShownMessage(unknown) << "\n";
  }
  return kBadUsage;
}

}  // namespace
}  // namespace toolwire

int main(int argc, char** argv) { return toolwire::Main(argc, argv); }
