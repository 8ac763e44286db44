// What text that is not valid JSON still says of whom it is.
#ifndef TOOLWIRE_COMMON_BASE_BROKEN_JSON_H_
#define TOOLWIRE_COMMON_BASE_BROKEN_JSON_H_

#include <optional>
#include <string>
#include <string_view>

#include "absl/types/span.h"

namespace toolwire::json {

// What a name has in an object.
struct BrokenMember {
  bool is_string = false;
  std::optional<std::string> text;  // Of a string, if its escapes and its UTF-8 are right.
};

// Looks for members of the top-level object of a text that was refused: `found[i]` becomes the last member whose
// unescaped key is `names[i]`. Names must be shorter than 32 bytes.
//
// Every error that leaves no doubt where strings begin and end is passed over: NaN and other words, escapes that do not
// exist, control characters, bytes that are not UTF-8, commas too many or too few, names without quotes or in single
// ones, an end too early. Where there is doubt, as behind a quote inside a string or a bracket that closes another,
// reading ends, and what was found before it stays: what stands in a string or in a value must not be taken for a
// member.
//
// One pass, linear in time; a bit of memory for each level of nesting.
void FindBrokenMembers(std::string_view text, absl::Span<const std::string_view> names, absl::Span<BrokenMember> found);

}  // namespace toolwire::json

#endif  // TOOLWIRE_COMMON_BASE_BROKEN_JSON_H_
