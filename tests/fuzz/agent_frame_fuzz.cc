// Any bytes as an agent's frame: whatever decodes must hold what it promises, and survive being written again.
#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/broken_json.h"
#include "common/base/json_text.h"
#include "common/wire/wire_codec.h"
#include "tests/fuzz/require.h"

namespace {

using toolwire::AgentFrame;
using toolwire::WireDecoder;
namespace json = toolwire::json;

constexpr int kDepthMax = 32;

bool Same(const AgentFrame& a, const AgentFrame& b) {
  return a.type == b.type && a.why_bad == b.why_bad && a.request_id == b.request_id && a.success == b.success &&
         a.result_json == b.result_json && a.error == b.error && a.execution_time_ms == b.execution_time_ms &&
         a.capabilities == b.capabilities && a.limits.bytes_max == b.limits.bytes_max &&
         a.limits.json_depth_max == b.limits.json_depth_max;
}

void CheckToolResponse(std::string_view text, const AgentFrame& frame) {
  REQUIRE(!frame.request_id.empty() && json::IsUtf8(frame.request_id) && json::IsUtf8(frame.error));
  if (!frame.result_json.empty()) {
    REQUIRE(frame.result_json.data() >= text.data());
    REQUIRE(frame.result_json.data() + frame.result_json.size() <= text.data() + text.size());
    REQUIRE(json::Validate(frame.result_json, kDepthMax - 1, nullptr) == json::Error::kNone);
  }
  if (frame.execution_time_ms) REQUIRE(*frame.execution_time_ms >= 0 && *frame.execution_time_ms <= int64_t{1} << 53);

  const int64_t time = frame.execution_time_ms.value_or(0);
  const std::string again =
      toolwire::EncodeToolResponse(frame.request_id, frame.success, frame.result_json, frame.error, time);
  AgentFrame expected = frame;
  if (expected.result_json.empty()) expected.result_json = "null";
  expected.execution_time_ms = time;
  AgentFrame decoded;
  WireDecoder(kDepthMax).Decode(again, &decoded);
  REQUIRE(Same(decoded, expected));
}

toolwire::Capabilities AllCapabilities() {
  toolwire::Capabilities all = 0;
  for (const toolwire::CapabilityName& known : toolwire::kKnownCapabilities) all |= known.bit;
  return all;
}

void CheckHello(const AgentFrame& frame) {
  REQUIRE((frame.capabilities & ~AllCapabilities()) == 0);
  AgentFrame decoded;
  WireDecoder(kDepthMax).Decode(toolwire::EncodeHello(frame.capabilities, frame.limits), &decoded);
  REQUIRE(Same(decoded, frame));
  const auto ack = toolwire::DecodeEdgeFrame(toolwire::EncodeHelloAck(frame.capabilities), kDepthMax);
  REQUIRE(ack.type == toolwire::EdgeFrameText::Type::kHelloAck && ack.capabilities == frame.capabilities);
}

void CheckToolBusy(const AgentFrame& frame) {
  AgentFrame decoded;
  WireDecoder(kDepthMax).Decode(toolwire::EncodeToolBusy(frame.request_id), &decoded);
  REQUIRE(Same(decoded, frame) && !frame.request_id.empty());
}

void CheckEdgeFrame(const toolwire::EdgeFrameText& frame) {
  using Type = toolwire::EdgeFrameText::Type;
  if (frame.type != Type::kHelloAck) REQUIRE(frame.capabilities == 0);
  if (frame.type != Type::kToolCancel) return;
  REQUIRE(!frame.request_id.empty() && json::IsUtf8(frame.request_id));
  const auto again = toolwire::DecodeEdgeFrame(toolwire::EncodeToolCancel(frame.request_id), kDepthMax);
  REQUIRE(again.type == frame.type && again.request_id == frame.request_id);
}

// Of a text that is an object it finds what a strict reader finds, and of any beginning of it nothing else.
void CheckBroken(std::string_view text, bool object) {
  constexpr std::array<std::string_view, 1> kNames = {"requestId"};
  std::array<json::BrokenMember, 1> broken;
  json::FindBrokenMembers(text, kNames, absl::MakeSpan(broken));
  REQUIRE(!broken[0].text || json::IsUtf8(*broken[0].text));
  if (!object) return;
  std::vector<json::Member> members;
  REQUIRE(json::SplitObject(text, kDepthMax, &members) == json::Error::kNone);
  std::vector<std::string> ids;  // All that have the name, so that a text cut before the last shows one of them.
  json::BrokenMember expected;
  for (const json::Member& member : members) {
    std::string key, id;
    const std::string_view quoted(member.key.data() - 1, member.key.size() + 2);
    if (!json::Unescape(quoted, &key) || key != kNames[0]) continue;
    expected.is_string = member.kind == json::Kind::kString;
    expected.text.reset();
    if (expected.is_string && json::Unescape(member.value, &id)) expected.text = id;
    if (expected.text) ids.push_back(id);
  }
  REQUIRE(broken[0].is_string == expected.is_string && broken[0].text == expected.text);
  for (size_t size = 0; size < text.size(); size += 1 + text.size() / 64) {
    json::FindBrokenMembers(text.substr(0, size), kNames, absl::MakeSpan(broken));
    REQUIRE(!broken[0].text || std::find(ids.begin(), ids.end(), *broken[0].text) != ids.end());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const WireDecoder decoder(kDepthMax);
  AgentFrame frame;
  decoder.Decode(text, &frame);
  REQUIRE((frame.type == AgentFrame::Type::kBad) == !frame.why_bad.empty());
  json::Kind kind = json::Kind::kNull;
  const bool object = json::Validate(text, kDepthMax, &kind) == json::Error::kNone && kind == json::Kind::kObject;
  REQUIRE(object || frame.type == AgentFrame::Type::kBad);
  CheckBroken(text, object);
  // Whatever the agent wrote, the reason is short, and its call can be named.
  REQUIRE(frame.why_bad.size() < 100 && json::IsUtf8(frame.why_bad) && json::IsUtf8(frame.request_id));
  if (frame.type == AgentFrame::Type::kToolResponse) CheckToolResponse(text, frame);
  if (frame.type == AgentFrame::Type::kHello) CheckHello(frame);
  if (frame.type == AgentFrame::Type::kToolBusy) CheckToolBusy(frame);
  if (frame.type != AgentFrame::Type::kHello) REQUIRE(frame.capabilities == 0);

  // A frame object that is used again must not show what it held before.
  AgentFrame reused;
  decoder.Decode(R"({"type":"tool_response","requestId":"r","success":true,"result":1,"error":"e","executionTime":5})",
                 &reused);
  decoder.Decode(text, &reused);
  REQUIRE(Same(reused, frame));
  const std::string hello = toolwire::EncodeHello(AllCapabilities(), {1, 2});
  decoder.Decode(hello, &reused);
  decoder.Decode(text, &reused);
  REQUIRE(Same(reused, frame));

  CheckEdgeFrame(toolwire::DecodeEdgeFrame(text, kDepthMax));
  return 0;
}
