// The agents' frames: JSON text on one side, the messages of wire.proto on the other.
#ifndef TOOLWIRE_COMMON_WIRE_CODEC_H_
#define TOOLWIRE_COMMON_WIRE_CODEC_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/json_text.h"

namespace toolwire {

// A frame that an agent sent. Slices point into the decoded text.
struct AgentFrame {
  enum class Type {
    kBad,      // does not parse, or a known type with a missing or wrongly typed field
    kUnknown,  // a well-formed frame of a type this version does not know: counted and ignored
    kHeartbeat,
    kToolResponse,
  };
  Type type = Type::kBad;
  std::string_view why_bad;  // A static text, for the counter's log line.
  // kToolResponse; also kBad, if a tool_response is bad only for being nested too deep:
  std::string request_id;
  // kToolResponse:
  bool success = false;
  std::string_view result_json;  // Validated JSON text; empty if absent.
  std::string error;             // Empty if absent or null. People read it: U+FFFD stands for a lone surrogate.
  std::optional<int64_t> execution_time_ms;  // Rounded; absent if absent, null, negative or beyond 2^53.
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

// The frames an agent sends. Strings must be UTF-8.
std::string EncodeHeartbeat(int64_t timestamp_ms);
// `result_json` is spliced as it is; empty means null. An empty `error` means null.
std::string EncodeToolResponse(std::string_view request_id, bool success, std::string_view result_json,
                               std::string_view error, int64_t execution_time_ms);

// A frame that an edge sent, as the agent side reads it. Slices point into the decoded text.
struct EdgeFrameText {
  enum class Type { kBad, kUnknown, kConnected, kHeartbeatAck, kToolCall };
  Type type = Type::kBad;
  std::string request_id, tool;    // kToolCall
  std::string_view params_json;    // kToolCall
  std::string user_id, server_id;  // kConnected
};
EdgeFrameText DecodeEdgeFrame(std::string_view text, int json_depth_max);

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_WIRE_CODEC_H_
