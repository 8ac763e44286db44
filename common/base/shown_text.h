// Texts from outside as people may see them: in a terminal, in a log, in a message about a wrong value.
#ifndef TOOLWIRE_COMMON_BASE_SHOWN_TEXT_H_
#define TOOLWIRE_COMMON_BASE_SHOWN_TEXT_H_

#include <cstddef>
#include <string>
#include <string_view>

namespace toolwire {

// Whether all of it is UTF-8 and stays as it is in ShownText.
bool IsShownAsItIs(std::string_view text);

// The text on one line: characters that move the cursor, colour, hide or turn what is around them (control characters,
// line ends, the marks of bidirectional text) as \n, \u001b and the like, what is not UTF-8 as \xff. Others stay.
std::string ShownText(std::string_view text);

// The same of each line of a text of several, whose line feeds stay.
std::string ShownLines(std::string_view text);

// Valid JSON with the same meaning, such characters in its strings escaped. Line ends between its parts stay, or, for
// `one_line`, become spaces.
std::string ShownJson(std::string_view json, bool one_line);

// Of `scheme://user:password@host` the user and the password become ***, wherever they stand in the text; so does what
// follows `password=`.
std::string WithoutPasswords(std::string_view text);

// A wrong value, as a message may repeat it: without passwords, on one line, and no longer than some 100 bytes.
std::string ShownValue(std::string_view value);

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_BASE_SHOWN_TEXT_H_
