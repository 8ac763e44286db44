// What all tests of JSON as text begin with.
#ifndef TOOLWIRE_TESTS_UNIT_BASE_JSON_TEXT_FIXTURE_H_
#define TOOLWIRE_TESTS_UNIT_BASE_JSON_TEXT_FIXTURE_H_

#include <string>
#include <string_view>

#include "common/base/json_text.h"

namespace toolwire::json {

inline constexpr int kDepthMax = 64;

inline Error Check(std::string_view text, int depth_max = kDepthMax) { return Validate(text, depth_max, nullptr); }

inline std::string Repeated(std::string_view text, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) all += text;
  return all;
}

}  // namespace toolwire::json

#endif  // TOOLWIRE_TESTS_UNIT_BASE_JSON_TEXT_FIXTURE_H_
