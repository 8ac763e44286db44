// Any bytes as a caller's params: judged as nlohmann judges them, cut into slices that are JSON themselves, and
// carried to the agent byte for byte.
#include <cctype>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/json_text.h"
#include "common/wire/wire_codec.h"
#include "tests/fuzz/require.h"

namespace {

namespace json = toolwire::json;

constexpr int kDepthMax = 32;

bool IsSpace(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

std::string_view Trimmed(std::string_view text) {
  while (!text.empty() && IsSpace(text.front())) text.remove_prefix(1);
  while (!text.empty() && IsSpace(text.back())) text.remove_suffix(1);
  return text;
}

// nlohmann reads two things that RFC 8259 does not know: a byte order mark, and a NUL byte as the end of the text.
bool OracleIsLenient(std::string_view text) {
  return text.find('\0') != std::string_view::npos || (!text.empty() && text.front() == '\xef');
}

// And it refuses two that RFC 8259 allows, because it converts: lone surrogates, and numbers no double can hold.
bool OracleMayRefuse(std::string_view text) {
  size_t digits = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool more = i + 2 < text.size();
    if (more && text[i] == '\\' && text[i + 1] == 'u' && (text[i + 2] == 'd' || text[i + 2] == 'D')) return true;
    if (more && (text[i] == 'e' || text[i] == 'E') && i > 0 && std::isdigit(static_cast<uint8_t>(text[i - 1])) != 0) {
      return true;
    }
    digits = std::isdigit(static_cast<uint8_t>(text[i])) != 0 ? digits + 1 : 0;
    if (digits >= 300) return true;
  }
  return false;
}

void CheckMembers(std::string_view text, const std::vector<json::Member>& members) {
  const char* p = text.data();
  for (const json::Member& member : members) {
    REQUIRE(member.key.data() > p && member.value.data() > member.key.data() + member.key.size());
    p = member.value.data() + member.value.size();
    REQUIRE(p < text.data() + text.size());
    json::Kind kind;
    REQUIRE(json::Validate(member.value, kDepthMax - 1, &kind) == json::Error::kNone && kind == member.kind);
    REQUIRE(Trimmed(member.value) == member.value);

    const std::string quoted = "\"" + std::string(member.key) + "\"";
    std::string lossy;
    json::UnescapeLossy(quoted, &lossy);
    REQUIRE(json::IsUtf8(lossy));
    std::string plain;
    if (!json::Unescape(quoted, &plain)) continue;
    REQUIRE(plain == lossy);
    std::string again, plain_again;
    json::AppendQuoted(plain, &again);
    REQUIRE(json::Validate(again, 0, nullptr) == json::Error::kNone);
    REQUIRE(json::Unescape(again, &plain_again) && plain_again == plain);
    if (plain.size() > 255) continue;
    const std::string_view name = plain;
    json::Member found;
    REQUIRE(json::PickMembers(text, kDepthMax, {&name, 1}, {&found, 1}) == json::Error::kNone);
    REQUIRE(found.value.data() >= member.value.data());  // itself, or a later one of that name
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  json::Kind kind = json::Kind::kNull;
  const json::Error error = json::Validate(text, kDepthMax, &kind);
  REQUIRE((error == json::Error::kBadUtf8) == !json::IsUtf8(text));
  if (error != json::Error::kTooDeep && !OracleIsLenient(text)) {
    const bool accepted = nlohmann::json::accept(text);
    REQUIRE(!accepted || error == json::Error::kNone);
    REQUIRE(accepted || error != json::Error::kNone || OracleMayRefuse(text));
  }

  std::vector<json::Member> members;
  const json::Error split = json::SplitObject(text, kDepthMax, &members);
  if (error != json::Error::kNone || kind != json::Kind::kObject) {
    REQUIRE(split != json::Error::kNone && members.empty());
    return 0;
  }
  REQUIRE(split == json::Error::kNone);
  CheckMembers(text, members);

  const std::string frame = toolwire::EncodeToolCall("req_\n1", "tool\"x", text);
  const toolwire::EdgeFrameText call = toolwire::DecodeEdgeFrame(frame, kDepthMax + 1);
  REQUIRE(call.type == toolwire::EdgeFrameText::Type::kToolCall);
  REQUIRE(call.request_id == "req_\n1" && call.tool == "tool\"x");
  REQUIRE(call.params_json == Trimmed(text));
  return 0;
}
