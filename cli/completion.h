// Completion scripts for shells, made of the command line's own description.
#ifndef TOOLWIRE_CLI_COMPLETION_H_
#define TOOLWIRE_CLI_COMPLETION_H_

#include <string>

namespace CLI {
class App;
}

namespace toolwire {

// Each completes commands, flags, and the values of flags that have a fixed set of them; elsewhere file names.
std::string BashCompletion(CLI::App* app);
std::string ZshCompletion(CLI::App* app);
std::string FishCompletion(CLI::App* app);

}  // namespace toolwire

#endif  // TOOLWIRE_CLI_COMPLETION_H_
