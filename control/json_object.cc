#include "control/json_object.h"

#include <vector>

#include "common/base/json_text.h"

namespace toolwire {

std::optional<nlohmann::json> ReadJsonObject(std::string_view text, int depth_max) {
  // The depth before anything is made of the text.
  std::vector<json::Member> members;
  if (json::SplitObject(text, depth_max, &members) != json::Error::kNone) return std::nullopt;
  nlohmann::json object = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!object.is_object() || object.size() != members.size()) return std::nullopt;
  return object;
}

std::optional<std::string> TextOf(const nlohmann::json& object, const std::string& name) {
  const auto found = object.find(name);
  if (found == object.end() || !found->is_string()) return std::nullopt;
  return found->get<std::string>();
}

}  // namespace toolwire
