// A sentence about commands and flags that do not exist.
#ifndef TOOLWIRE_CLI_SUGGESTION_H_
#define TOOLWIRE_CLI_SUGGESTION_H_

#include <string>
#include <vector>

#include "common/base/flags.h"

namespace toolwire {

// A sentence about the first word of the command line (without the program's name) that is no command or flag of
// `program`, with what was probably meant. Empty if all are known.
std::string ExplainUnknown(const flags::Described& program, const std::vector<std::string>& words);

// The candidate that `word` was probably meant to be: a few letters wrong, swapped, missing or too many. Empty if none.
std::string Nearest(const std::string& word, const std::vector<std::string>& candidates);

}  // namespace toolwire

#endif  // TOOLWIRE_CLI_SUGGESTION_H_
