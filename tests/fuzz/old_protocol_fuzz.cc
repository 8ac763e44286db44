// Any bytes on the old Redis channels: what is accepted must hold what it promises, and survive being written again.
#include <cstdint>
#include <string>
#include <string_view>

#include "common/json_text.h"
#include "common/old_protocol.h"
#include "common/wire_codec.h"
#include "tests/fuzz/require.h"

namespace {

using toolwire::OldCommand;
using toolwire::OldResponse;
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

void CheckResponse(const OldResponse& response) {
  REQUIRE(json::IsUtf8(response.user_id) && json::IsUtf8(response.error));
  OldResponse again;
  REQUIRE(DecodeOldResponse(EncodeOldResponse(response), kDepthMax, &again));
  REQUIRE(again.user_id == response.user_id && again.success == response.success && again.error == response.error);
  REQUIRE(again.result_json == (response.result_json.empty() ? "null" : response.result_json));
  REQUIRE(again.execution_time_ms == response.execution_time_ms);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  CheckCommand(toolwire::DecodeOldCommand(text, kDepthMax));
  OldResponse response;
  if (toolwire::DecodeOldResponse(text, kDepthMax, &response)) CheckResponse(response);
  return 0;
}
