// Whether a Struct can be written as JSON.
#ifndef TOOLWIRE_CONTROL_STRUCT_NUMBERS_H_
#define TOOLWIRE_CONTROL_STRUCT_NUMBERS_H_

#include <google/protobuf/struct.pb.h>

namespace toolwire {

// False if it holds a NaN or an infinity: JSON has none, and protobuf would write strings in their place.
bool HasOnlyFiniteNumbers(const google::protobuf::Struct& object);

}  // namespace toolwire

#endif  // TOOLWIRE_CONTROL_STRUCT_NUMBERS_H_
