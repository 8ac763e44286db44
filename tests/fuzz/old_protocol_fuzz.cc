// Any bytes on the old command channels: what is accepted must hold what it promises, and survive being written again.
#include <cstdint>
#include <string>
#include <string_view>

#include "common/base/json_text.h"
#include "common/wire/old_protocol.h"
#include "common/wire/wire_codec.h"
#include "tests/fuzz/require.h"

namespace {

using toolwire::OldCommand;
namespace json = toolwire::json;

constexpr int kDepthMax = 32;

void CheckCommand(const OldCommand& command) {
  REQUIRE(json::IsUtf8(command.request_id));
  if (!command.why_bad.empty()) return;
  REQUIRE(!command.request_id.empty() && !command.tool.empty() && json::IsUtf8(command.tool));
  json::Kind kind = json::Kind::kNull;
  REQUIRE(json::Validate(command.params_json, kDepthMax, &kind) == json::Error::kNone && kind == json::Kind::kObject);
  // As an agent would read what is made of it.
  const std::string frame = toolwire::EncodeToolCall(command.request_id, command.tool, command.params_json);
  const toolwire::EdgeFrameText read = toolwire::DecodeEdgeFrame(frame, kDepthMax + 1);
  REQUIRE(read.type == toolwire::EdgeFrameText::Type::kToolCall);
  REQUIRE(read.request_id == command.request_id && read.tool == command.tool);
  REQUIRE(read.params_json == command.params_json);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  CheckCommand(toolwire::DecodeOldCommand(text, kDepthMax));
  return 0;
}
