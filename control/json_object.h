// Small JSON objects of strangers, as nlohmann's.
#ifndef TOOLWIRE_CONTROL_JSON_OBJECT_H_
#define TOOLWIRE_CONTROL_JSON_OBJECT_H_

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace toolwire {

// Nothing unless `text` is one JSON object in UTF-8, nested at most `depth_max` deep, no two of whose own members have
// the same name: readers differ in which they take. Numbers that no double holds and lone surrogates are refused, too.
// It may take some 20 times the memory of `text`, which the caller bounds.
std::optional<nlohmann::json> ReadJsonObject(std::string_view text, int depth_max);

// The text of a member, or nothing if it is none.
std::optional<std::string> TextOf(const nlohmann::json& object, const std::string& name);

}  // namespace toolwire

#endif  // TOOLWIRE_CONTROL_JSON_OBJECT_H_
