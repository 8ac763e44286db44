// The form of params and results for use by hand: google.protobuf.Struct and Value, to JSON and back.
#ifndef TOOLWIRE_CONTROL_HAND_FORM_H_
#define TOOLWIRE_CONTROL_HAND_FORM_H_

#include <google/protobuf/struct.pb.h>

#include <string>
#include <string_view>

namespace toolwire {

// Appends the object as JSON. False if it holds what JSON does not have: a number that is not finite, or a value of no
// kind; then `*json` holds a part.
bool AppendJson(const google::protobuf::Struct& object, std::string* json);

// Appends the bytes of the google.protobuf.Value that `json` is. False, with `*value` as it was, if none can be: a
// number that no double holds, a string with a lone surrogate, or no valid JSON; if it would be over `bytes_max`; or if
// it is nested deeper than protobuf's parsers read (100 messages in each other) with `levels` messages around it.
bool AppendValue(std::string_view json, int levels, size_t bytes_max, std::string* value);

}  // namespace toolwire

#endif  // TOOLWIRE_CONTROL_HAND_FORM_H_
