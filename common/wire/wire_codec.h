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
constexpr Capabilities kCapabilityLimits = 2;  // `hello_ack` has the edge's limits.
constexpr Capabilities kCapabilityBusy = 4;    // The agent may send `tool_busy`.
constexpr Capabilities kCapabilityTimes = 8;   // `tool_call` says how long its answer is waited for.
struct CapabilityName {
  Capabilities bit;
  std::string_view name;
};
constexpr CapabilityName kKnownCapabilities[] = {
    {kCapabilityCancel, "cancel"}, {kCapabilityLimits, "limits"}, {kCapabilityBusy, "busy"}, {kCapabilityTimes, "times"}};

// A `hello` that names more capabilities, or a longer name (as it is written, with escapes), is a bad frame.
constexpr size_t kCapabilityNamesMax = 64;
constexpr size_t kCapabilityNameBytesMax = 64;

// What one side takes of the other: an agent of params, an edge of results. Absent: it has not said.
struct PayloadLimits {
  std::optional<int64_t> bytes_max;
  std::optional<int64_t> json_depth_max;  // Of the value alone, without the frame around it.
};

// How long the answer to a call is waited for, in milliseconds. Absent: not said.
struct AnswerTimes {
  std::optional<int64_t> timeout_ms;       // From when the call was delivered.
  std::optional<int64_t> lost_timeout_ms;  // From the loss of the session it came by; absent: until the time is up.
};

// A frame that an agent sent. Slices point into the decoded text.
struct AgentFrame {
  enum class Type {
    kBad,      // does not parse, or a known type with a missing or wrongly typed field
    kUnknown,  // a well-formed frame of a type this version does not know: counted and ignored
    kHeartbeat,
    kToolResponse,
    kHello,
    kToolBusy,
  };
  Type type = Type::kBad;
  // What is wrong with a kBad, in words that name the field: short, whatever the agent wrote. Else empty.
  std::string why_bad;
  // kToolResponse, kToolBusy: never empty. kBad: of a frame that can only be one of these, if its id can be read.
  std::string request_id;
  // kToolResponse:
  bool success = false;
  std::string_view result_json;  // Validated JSON text; empty if absent.
  std::string error;             // Empty if absent or null. People read it: U+FFFD stands for a lone surrogate.
  std::optional<int64_t> execution_time_ms;          // Rounded; absent if absent, null, negative or beyond 2^53.
  std::string_view error_json, execution_time_json;  // Both as the agent wrote them; empty if absent.
  // kHello: those of the named ones that this version knows, and what the agent takes.
  Capabilities capabilities = 0;
  PayloadLimits limits;
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
std::string EncodeToolCall(std::string_view request_id, std::string_view tool, std::string_view params_json,
                           const AnswerTimes& times = {});
std::string EncodeHelloAck(Capabilities capabilities, const PayloadLimits& results = {});
std::string EncodeToolCancel(std::string_view request_id);

// The frames an agent sends. Strings must be UTF-8.
std::string EncodeHeartbeat(int64_t timestamp_ms);
// `result_json` is spliced as it is; empty means null. An empty `error` means null.
std::string EncodeToolResponse(std::string_view request_id, bool success, std::string_view result_json,
                               std::string_view error, int64_t execution_time_ms);
std::string EncodeHello(Capabilities capabilities, const PayloadLimits& params = {});

std::string EncodeToolBusy(std::string_view request_id);

// A frame that an edge sent, as the agent side reads it. Slices point into the decoded text.
struct EdgeFrameText {
  enum class Type { kBad, kUnknown, kConnected, kHeartbeatAck, kToolCall, kHelloAck, kToolCancel };
  Type type = Type::kBad;
  std::string request_id;          // kToolCall, kToolCancel
  std::string tool;                // kToolCall
  std::string_view params_json;    // kToolCall
  AnswerTimes times;               // kToolCall
  std::string user_id, server_id;  // kConnected
  Capabilities capabilities = 0;   // kHelloAck: those that this version knows
  PayloadLimits limits;            // kHelloAck: what the edge takes
};
EdgeFrameText DecodeEdgeFrame(std::string_view text, int json_depth_max);

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_WIRE_WIRE_CODEC_H_
