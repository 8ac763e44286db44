// The agents' frames: JSON text on one side, the messages of wire.proto on the other.
#ifndef TOOLWIRE_COMMON_WIRE_WIRE_CODEC_H_
#define TOOLWIRE_COMMON_WIRE_WIRE_CODEC_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/json_text.h"

namespace toolwire {

// What an agent and an edge may agree on beyond the base protocol: a set of bits, in the order in which edges name
// them.
using Capabilities = uint8_t;
constexpr Capabilities kCapabilityCancel = 1;  // The agent may get `tool_cancel`.
struct CapabilityName {
  Capabilities bit;
  std::string_view name;
};
constexpr CapabilityName kKnownCapabilities[] = {{kCapabilityCancel, "cancel"}};

// A `hello` that names more capabilities, or a longer name (as it is written, with escapes), is a bad frame.
constexpr size_t kCapabilityNamesMax = 64;
constexpr size_t kCapabilityNameBytesMax = 64;

// A frame that an agent sent. Slices point into the decoded text.
struct AgentFrame {
  enum class Type {
    kBad,      // does not parse, or a known type with a missing or wrongly typed field
    kUnknown,  // a well-formed frame of a type this version does not know: counted and ignored
    kHeartbeat,
    kToolResponse,
    kHello,
  };
  Type type = Type::kBad;
  std::string_view why_bad;  // A static text, for the counter's log line.
  // kToolResponse; also kBad, if a tool_response is bad only for being nested too deep:
  std::string request_id;
  // kToolResponse:
  bool success = false;
  std::string_view result_json;  // Validated JSON text; empty if absent.
  std::string error;             // Empty if absent or null. People read it: U+FFFD stands for a lone surrogate.
  std::optional<int64_t> execution_time_ms;          // Rounded; absent if absent, null, negative or beyond 2^53.
  std::string_view error_json, execution_time_json;  // Both as the agent wrote them; empty if absent.
  // kHello: those of the named ones that this version knows.
  Capabilities capabilities = 0;
};

// Decodes agents' frames. Holds nothing but the limit: threads may share one.
class WireDecoder {
 public:
  explicit WireDecoder(int json_depth_max) : json_depth_max_(json_depth_max) {}

  // `*frame` is overwritten; its slices are valid as long as `text`. When a name appears twice the last one counts,
  // as in JavaScript.
  void Decode(std::string_view text, AgentFrame* frame) const;

 private:
  const int json_depth_max_;
};

// The frames an edge sends. Strings must be UTF-8. `params_json` is spliced as it is and must be a validated JSON
// object.
std::string EncodeConnected(std::string_view user_id, int64_t timestamp_ms, std::string_view server_id);
std::string EncodeHeartbeatAck(int64_t timestamp_ms);
std::string EncodeToolCall(std::string_view request_id, std::string_view tool, std::string_view params_json);
std::string EncodeHelloAck(Capabilities capabilities);
std::string EncodeToolCancel(std::string_view request_id);

// The frames an agent sends. Strings must be UTF-8.
std::string EncodeHeartbeat(int64_t timestamp_ms);
// `result_json` is spliced as it is; empty means null. An empty `error` means null.
std::string EncodeToolResponse(std::string_view request_id, bool success, std::string_view result_json,
                               std::string_view error, int64_t execution_time_ms);
std::string EncodeHello(Capabilities capabilities);

// A frame that an edge sent, as the agent side reads it. Slices point into the decoded text.
struct EdgeFrameText {
  enum class Type { kBad, kUnknown, kConnected, kHeartbeatAck, kToolCall, kHelloAck, kToolCancel };
  Type type = Type::kBad;
  std::string request_id;          // kToolCall, kToolCancel
  std::string tool;                // kToolCall
  std::string_view params_json;    // kToolCall
  std::string user_id, server_id;  // kConnected
  Capabilities capabilities = 0;   // kHelloAck: those that this version knows
};
EdgeFrameText DecodeEdgeFrame(std::string_view text, int json_depth_max);

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_WIRE_WIRE_CODEC_H_
