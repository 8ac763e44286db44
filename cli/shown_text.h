// Texts of agents and callers as a terminal may show them.
#ifndef TOOLWIRE_CLI_SHOWN_TEXT_H_
#define TOOLWIRE_CLI_SHOWN_TEXT_H_

#include <string>
#include <string_view>

namespace toolwire {

// The text on one line: characters that move the cursor, colour, hide or turn what is around them (control characters,
// line ends, the marks of bidirectional text) as \n, \u001b and the like, what is not UTF-8 as \xff. Others stay.
std::string ShownText(std::string_view text);

// Valid JSON with the same meaning, such characters in its strings escaped. Line ends between its parts stay, or, for
// `one_line`, become spaces.
std::string ShownJson(std::string_view json, bool one_line);

}  // namespace toolwire

#endif  // TOOLWIRE_CLI_SHOWN_TEXT_H_
