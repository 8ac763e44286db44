// Completion scripts for shells, made of the command line's own description.
#ifndef TOOLWIRE_CLI_COMPLETION_H_
#define TOOLWIRE_CLI_COMPLETION_H_

#include <string>

#include "common/base/flags.h"

namespace toolwire {

// Each completes commands, flags, and the values of flags that have a fixed set of them; elsewhere file names.
std::string BashCompletion(const flags::Described& program);
std::string ZshCompletion(const flags::Described& program);
std::string FishCompletion(const flags::Described& program);

}  // namespace toolwire

#endif  // TOOLWIRE_CLI_COMPLETION_H_
