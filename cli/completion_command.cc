// `toolwire completion`: teaches a shell the commands and flags.
#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>
#include <string>

#include "cli/commands.h"
#include "cli/completion.h"

namespace toolwire {

void AddCompletionCommand(CLI::App* app, Command* chosen) {
  auto shell = std::make_shared<std::string>();
  CLI::App* completion = app->add_subcommand("completion", "Print a completion script for a shell");
  completion->add_option("shell", *shell, "Whose script")->required()->check(CLI::IsMember({"bash", "zsh", "fish"}));
  completion->footer(
      "Example: source <(toolwire completion bash)\n"
      "For good: write it to /etc/bash_completion.d/toolwire, to a file _toolwire of zsh's fpath, or to\n"
      "~/.config/fish/completions/toolwire.fish.\n"
      "Exit status: 0 printed, 2 wrong flags.");
  completion->callback([app, shell, chosen] {
    *chosen = [app, shell] {
      std::cout << (*shell == "bash"  ? BashCompletion(app)
                    : *shell == "zsh" ? ZshCompletion(app)
                                      : FishCompletion(app));
      return 0;
    };
  });
}

}  // namespace toolwire
