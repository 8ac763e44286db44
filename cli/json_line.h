// What commands print with --json.
#ifndef TOOLWIRE_CLI_JSON_LINE_H_
#define TOOLWIRE_CLI_JSON_LINE_H_

#include <nlohmann/json.hpp>
#include <string>

#include "common/base/shown_text.h"

namespace toolwire {

// One line with its end, for programs; a terminal may show it, too: what would move its cursor or turn its text is
// escaped. What is not UTF-8 becomes U+FFFD.
inline std::string JsonLine(const nlohmann::ordered_json& json) {
  const std::string text = json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  return ShownJson(text, /*one_line=*/true) + "\n";
}

}  // namespace toolwire

#endif  // TOOLWIRE_CLI_JSON_LINE_H_
