// JSON as text: validated and cut into slices, never rebuilt. What passes through Toolwire keeps every byte.
//
// The grammar is RFC 8259 and nothing more is asked of a value: integers of any length, 1e400, duplicate keys, lone
// surrogate escapes and \u0000 are valid text and pass. (The JSON libraries at hand each refuse some of these,
// because they convert what they read; JavaScript agents and backends produce and accept them all.)
#ifndef TOOLWIRE_COMMON_BASE_JSON_TEXT_H_
#define TOOLWIRE_COMMON_BASE_JSON_TEXT_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/types/span.h"

namespace toolwire::json {

enum class Kind { kNull, kBool, kNumber, kString, kArray, kObject };

enum class Error {
  kNone,
  kSyntax,   // not JSON, or something after the value
  kTooDeep,  // nested deeper than the limit; what comes after the first such place is not looked at
  kBadUtf8,  // not UTF-8, whatever else is wrong
};

// The word for an error, for messages to people.
const char* ErrorText(Error error);

// Whether `text` is one JSON value, with optional white space around it, nested at most `depth_max` deep (a scalar
// has depth 0, `[]` depth 1). If so, sets `*kind` to the value's kind; `kind` may be null. Never recurses; no
// allocation for depths up to 1024.
Error Validate(std::string_view text, int depth_max, Kind* kind);

// One member of an object: slices of the text that was split.
struct Member {
  std::string_view key;    // Without its quotes, still escaped.
  std::string_view value;  // Without white space around it; a string with its quotes.
  Kind kind = Kind::kNull;
};

// Validates like `Validate` and cuts the top-level object into its members, in their order; duplicates included.
// Anything but an object is kSyntax. `members` is cleared first and keeps its capacity; after an error it is empty.
// It may take eight times the memory of `text`; where the text is a stranger's and the names are known, `PickMembers`
// is the better choice.
Error SplitObject(std::string_view text, int depth_max, std::vector<Member>* members);

// Validates like `SplitObject` and keeps only the members asked for: `found[i]` becomes the last member whose
// unescaped key is `names[i]`, or gets an empty value if there is none. Names must be shorter than 256 bytes. Takes no
// memory per member, however many there are. After an error every value is empty.
Error PickMembers(std::string_view text, int depth_max, absl::Span<const std::string_view> names,
                  absl::Span<Member> found);

// The same for a text that is refused all the same, to learn whose it is: after an error the members that ended before
// it stay, and `*broken_key` becomes the key of the member in which reading ended, still escaped; empty if that was
// between two members, or if there was no error. After kBadUtf8 nothing of it need be UTF-8.
Error PickMembersBeforeError(std::string_view text, int depth_max, absl::Span<const std::string_view> names,
                             absl::Span<Member> found, std::string_view* broken_key);

// Replaces `*out` by the content of a valid JSON string (given with its quotes) as UTF-8. False if it has no UTF-8
// form: a lone surrogate.
bool Unescape(std::string_view quoted, std::string* out);

// The same for text that only people read: a lone surrogate becomes U+FFFD.
void UnescapeLossy(std::string_view quoted, std::string* out);

// Appends `text`, which must be UTF-8, as a JSON string with its quotes.
void AppendQuoted(std::string_view text, std::string* out);

// Whether `text` is UTF-8.
bool IsUtf8(std::string_view text);

}  // namespace toolwire::json

#endif  // TOOLWIRE_COMMON_BASE_JSON_TEXT_H_
