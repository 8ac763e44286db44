// What a valid name is. Whatever takes names from outside checks them here.
#ifndef TOOLWIRE_COMMON_WIRE_NAMES_H_
#define TOOLWIRE_COMMON_WIRE_NAMES_H_

#include <cstddef>
#include <string>
#include <string_view>

namespace toolwire {

inline constexpr size_t kNameBytesMax = 256;

// What is wrong with a name, to be read after the name of its field, such as "must not be empty". nullptr: nothing.

// 1 to kNameBytesMax bytes of UTF-8 without control characters: C0, DEL and C1, the ends of lines and paragraphs, and the
// marks that turn the direction of text. ShownText leaves it as it is, so no name forges another one.
const char* CheckUserId(std::string_view user_id);

// Of an edge: the same.
const char* CheckServerId(std::string_view server_id);

// 1 to kNameBytesMax bytes of UTF-8.
const char* CheckToolName(std::string_view tool);

// Up to kNameBytesMax bytes of UTF-8. Empty: the caller leaves it to control to make one.
const char* CheckRequestId(std::string_view request_id);

// Keeps of an invalid name what a row of the audit log can hold: its first kNameBytesMax bytes, cut between two
// characters, or nothing if it is not UTF-8.
void CutName(std::string* name);

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_WIRE_NAMES_H_
