// `toolwire completion`: teaches a shell the commands and flags.
#include <iostream>
#include <memory>
#include <string>

#include "cli/commands.h"
#include "cli/completion.h"
#include "common/base/flags.h"

namespace toolwire {
using flags::Footer;
using flags::OnChosen;
using flags::Subcommand;
using flags::Text;

void AddCompletionCommand(CLI::App* app, Command* chosen) {
  auto shell = std::make_shared<std::string>();
  CLI::App* completion = Subcommand(app, "completion", "Print a completion script for a shell");
  Text(completion, "shell", shell.get(), "Whose script").Required().OneOf({"bash", "zsh", "fish"});
  Footer(completion,
         "Example: source <(toolwire completion bash)\n"
         "For good: write it to /etc/bash_completion.d/toolwire, to a file _toolwire of zsh's fpath, or to\n"
         "~/.config/fish/completions/toolwire.fish.\n"
         "Exit status: 0 printed, 2 wrong flags.");
  OnChosen(completion, [app, shell, chosen] {
    *chosen = [app, shell] {
      const flags::Described program = flags::Describe(app);
      std::cout << (*shell == "bash"  ? BashCompletion(program)
                    : *shell == "zsh" ? ZshCompletion(program)
                                      : FishCompletion(program));
      return 0;
    };
  });
}

}  // namespace toolwire
