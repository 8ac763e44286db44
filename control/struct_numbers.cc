#include "control/struct_numbers.h"

#include <algorithm>
#include <cmath>

namespace toolwire {
namespace {

bool IsFinite(const google::protobuf::Value& value) {
  if (value.has_number_value()) return std::isfinite(value.number_value());
  if (value.has_struct_value()) return HasOnlyFiniteNumbers(value.struct_value());
  const auto& items = value.list_value().values();
  return std::all_of(items.begin(), items.end(), IsFinite);
}

}  // namespace

bool HasOnlyFiniteNumbers(const google::protobuf::Struct& object) {
  return std::all_of(object.fields().begin(), object.fields().end(),
                     [](const auto& field) { return IsFinite(field.second); });
}

}  // namespace toolwire
