// Values as they come out of files, Secrets and other tools, with what is no part of them.
#ifndef TOOLWIRE_COMMON_BASE_TIDY_H_
#define TOOLWIRE_COMMON_BASE_TIDY_H_

#include <string>
#include <string_view>

namespace toolwire {

// Without the byte order mark of UTF-8, as some editors write it at the beginning of a file.
std::string_view WithoutByteOrderMark(std::string_view text);

struct Tidied {
  std::string value;
  bool had_quotes = false;    // Around all of it; left out.
  bool open_quote = false;    // It begins or ends with one that has no other; that stays.
};
// A value of one line: without byte order marks, white space and a pair of quotes around it, as often as there are such.
Tidied Tidy(std::string_view text);

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_BASE_TIDY_H_
