// Decoding picks the few fields it knows out of a validated frame and leaves the rest unread; encoding writes the
// fields in the order that agents in the field have always seen, `type` first. tests/golden/ shows each frame.
#include "common/wire/wire_codec.h"

#include <array>
#include <charconv>
#include <cmath>
#include <initializer_list>

#include "absl/strings/charconv.h"
#include "common/base/broken_json.h"

namespace toolwire {
namespace {

using json::Kind;
using json::Member;
using namespace std::string_view_literals;

constexpr int64_t kTwoTo53 = int64_t{1} << 53;  // integers up to here are exact in JavaScript, and in a double

// The fields of a frame whose names are in kNames, as slices of its text. A field is asked for by its position there:
// to look it up by name costs 200 ns a frame.
template <const auto& kNames>
class Fields {
 public:
  json::Error Read(std::string_view text, int depth_max) {
    return json::PickMembers(text, depth_max, kNames, absl::MakeSpan(members_));
  }
  // What was read before an error stays.
  json::Error ReadBeforeError(std::string_view text, int depth_max, std::string_view* broken_key) {
    return json::PickMembersBeforeError(text, depth_max, kNames, absl::MakeSpan(members_), broken_key);
  }

  bool Has(size_t i) const { return !members_[i].value.empty(); }
  std::string_view value(size_t i) const { return members_[i].value; }
  bool Is(size_t i, Kind kind) const { return Has(i) && members_[i].kind == kind; }
  bool IsOrNone(size_t i, Kind kind) const { return !Has(i) || members_[i].kind == kind || Is(i, Kind::kNull); }

 private:
  std::array<Member, kNames.size()> members_;
};

// Whether a JSON string, still in quotes, is `text`.
bool Equals(std::string_view quoted, std::string_view text) {
  if (quoted.find('\\') == std::string_view::npos) return quoted.substr(1, quoted.size() - 2) == text;
  std::string plain;
  return json::Unescape(quoted, &plain) && plain == text;
}

// A duration in milliseconds or a size, which only informs: anything but a plausible number counts as not given.
std::optional<int64_t> Plausible(std::string_view number) {
  int64_t whole = 0;
  const std::from_chars_result integer = std::from_chars(number.data(), number.data() + number.size(), whole);
  if (integer.ec == std::errc() && integer.ptr == number.data() + number.size()) {
    return whole >= 0 && whole <= kTwoTo53 ? std::optional<int64_t>(whole) : std::nullopt;
  }
  double value = 0;
  const absl::from_chars_result result = absl::from_chars(number.data(), number.data() + number.size(), value);
  // Out of range is 1e400, which comes back as the largest double, or 1e-400, which rounds to 0.
  if (result.ec != std::errc() && result.ec != std::errc::result_out_of_range) return std::nullopt;
  if (!(value >= 0 && value <= static_cast<double>(kTwoTo53))) return std::nullopt;
  return static_cast<int64_t>(std::llround(value));
}

void AppendNumber(int64_t number, std::string* out) {
  char digits[20];  // -9223372036854775808
  out->append(digits, std::to_chars(digits, digits + sizeof(digits), number).ptr);
}

void AppendMember(std::string_view name, std::optional<int64_t> value, std::string* frame) {
  if (!value) return;
  *frame += ',';
  json::AppendQuoted(name, frame);
  *frame += ':';
  AppendNumber(*value, frame);
}

// A string with room for a frame of these parts. Escapes may still make it grow.
std::string FrameOfSize(std::initializer_list<std::string_view> parts) {
  size_t size = 128;  // the longest frame's own text and numbers
  for (const std::string_view part : parts) size += part.size();
  std::string frame;
  frame.reserve(size);
  return frame;
}

// The known ones of a list of names. Empty, or what is wrong with the list; `array` is a validated JSON array.
std::string_view ReadCapabilities(std::string_view array, Capabilities* capabilities) {
  size_t names = 0;
  for (size_t at = 1;;) {
    at = array.find_first_not_of(" \t\r\n,", at);
    if (array[at] == ']') return {};
    if (array[at] != '"') return "capabilities are not all strings";
    size_t end = at + 1;
    while (array[end] != '"') end += array[end] == '\\' ? 2 : 1;
    const std::string_view quoted = array.substr(at, end + 1 - at);
    if (quoted.size() - 2 > kCapabilityNameBytesMax) return "the name of a capability is too long";
    if (++names > kCapabilityNamesMax) return "too many capabilities";
    for (const CapabilityName& known : kKnownCapabilities) {
      if (Equals(quoted, known.name)) *capabilities |= known.bit;
    }
    at = end + 1;
  }
}

// `bytes_name`: of the member that has `limits.bytes_max`.
std::string EncodeCapabilities(std::string_view frame_type, Capabilities capabilities, std::string_view bytes_name,
                               const PayloadLimits& limits) {
  std::string frame = FrameOfSize({frame_type});
  frame += R"({"type":)";
  json::AppendQuoted(frame_type, &frame);
  frame += R"(,"capabilities":[)";
  const char* separator = "";
  for (const CapabilityName& known : kKnownCapabilities) {
    if ((capabilities & known.bit) == 0) continue;
    frame += separator;
    json::AppendQuoted(known.name, &frame);
    separator = ",";
  }
  frame += ']';
  AppendMember(bytes_name, limits.bytes_max, &frame);
  AppendMember("jsonDepthMax", limits.json_depth_max, &frame);
  frame += '}';
  return frame;
}

// False if one is neither a number nor null nor absent.
template <typename AnyFields>
bool ReadLimits(const AnyFields& fields, size_t bytes_max, size_t json_depth_max, PayloadLimits* limits) {
  if (!fields.IsOrNone(bytes_max, Kind::kNumber) || !fields.IsOrNone(json_depth_max, Kind::kNumber)) return false;
  if (fields.Is(bytes_max, Kind::kNumber)) limits->bytes_max = Plausible(fields.value(bytes_max));
  if (fields.Is(json_depth_max, Kind::kNumber)) limits->json_depth_max = Plausible(fields.value(json_depth_max));
  return true;
}

enum AgentField : size_t {
  kType,
  kRequestId,
  kSuccess,
  kResult,
  kError,
  kExecutionTime,
  kTimestamp,
  kCapabilities,
  kParamsBytesMax,
  kParamsDepthMax
};
constexpr std::array kAgentFields = {"type"sv,           "requestId"sv,    "success"sv,   "result"sv,
                                     "error"sv,          "executionTime"sv, "timestamp"sv, "capabilities"sv,
                                     "paramsBytesMax"sv, "jsonDepthMax"sv};
using AgentFields = Fields<kAgentFields>;

// The readers of agents' frames fill `*frame` and return empty, or return what is wrong.
std::string_view ReadHeartbeat(const AgentFields& fields, AgentFrame* /*frame*/) {
  if (!fields.IsOrNone(kTimestamp, Kind::kNumber)) return "heartbeat: timestamp is not a number";
  return {};
}

std::string_view ReadToolResponse(const AgentFields& fields, AgentFrame* frame) {
  if (!fields.Is(kRequestId, Kind::kString)) return "tool_response: requestId is not a string";
  if (!fields.Is(kSuccess, Kind::kBool)) return "tool_response: success is not a boolean";
  if (!fields.IsOrNone(kError, Kind::kString)) return "tool_response: error is neither a string nor null";
  if (!fields.IsOrNone(kExecutionTime, Kind::kNumber)) {
    return "tool_response: executionTime is neither a number nor null";
  }
  if (!json::Unescape(fields.value(kRequestId), &frame->request_id)) {
    return "tool_response: requestId has a lone surrogate";
  }
  if (frame->request_id.empty()) return "tool_response: requestId is empty";
  frame->success = fields.value(kSuccess) == "true";
  frame->result_json = fields.value(kResult);
  frame->error_json = fields.value(kError);
  frame->execution_time_json = fields.value(kExecutionTime);
  if (fields.Is(kError, Kind::kString)) json::UnescapeLossy(fields.value(kError), &frame->error);
  if (fields.Is(kExecutionTime, Kind::kNumber)) frame->execution_time_ms = Plausible(fields.value(kExecutionTime));
  return {};
}

// Reading ended in the value of `broken_key`, or outside of every member if that is empty.
std::string WhyNotAnObject(json::Error error, std::string_view broken_key) {
  if (error == json::Error::kSyntax && broken_key.empty()) return "not a JSON object";
  if (error == json::Error::kBadUtf8 || broken_key.empty()) return json::ErrorText(error);
  std::string why = "a field";
  for (const std::string_view known : kAgentFields) {
    if (known == broken_key) why = known;
  }
  return why + " is " + json::ErrorText(error);
}

std::string_view ReadToolBusy(const AgentFields& fields, AgentFrame* frame) {
  if (!fields.Is(kRequestId, Kind::kString)) return "tool_busy: requestId is not a string";
  if (!json::Unescape(fields.value(kRequestId), &frame->request_id)) return "tool_busy: requestId has a lone surrogate";
  if (frame->request_id.empty()) return "tool_busy: requestId is empty";
  return {};
}

// The id of a text that is no JSON object, if it can only be an answer.
void ReadRequestIdOfBroken(std::string_view text, AgentFrame* frame) {
  constexpr std::array kNames = {"type"sv, "requestId"sv};
  std::array<json::BrokenMember, kNames.size()> found;
  json::FindBrokenMembers(text, kNames, absl::MakeSpan(found));
  const auto& [type, request_id] = found;
  if (type.is_string && type.text != "tool_response" && type.text != "tool_busy") return;
  if (request_id.text) frame->request_id = *request_id.text;
}

// The id of a frame that is refused, if it can only be an answer: no other frame of an agent has one.
void ReadRequestIdOfBad(const AgentFields& fields, AgentFrame* frame) {
  frame->request_id.clear();
  if (fields.Is(kType, Kind::kString) && !Equals(fields.value(kType), "tool_response") &&
      !Equals(fields.value(kType), "tool_busy")) {
    return;
  }
  if (!fields.Is(kRequestId, Kind::kString)) return;
  if (!json::Unescape(fields.value(kRequestId), &frame->request_id)) frame->request_id.clear();
}

std::string_view ReadHello(const AgentFields& fields, AgentFrame* frame) {
  if (!fields.IsOrNone(kCapabilities, Kind::kArray)) return "hello: capabilities are not an array";
  if (!ReadLimits(fields, kParamsBytesMax, kParamsDepthMax, &frame->limits)) {
    return "hello: paramsBytesMax or jsonDepthMax is not a number";
  }
  if (!fields.Is(kCapabilities, Kind::kArray)) return {};
  return ReadCapabilities(fields.value(kCapabilities), &frame->capabilities);
}

struct AgentFrameRow {
  std::string_view name;
  AgentFrame::Type type;
  std::string_view (*read)(const AgentFields& fields, AgentFrame* frame);
};
constexpr AgentFrameRow kAgentFrames[] = {
    {"tool_response", AgentFrame::Type::kToolResponse, &ReadToolResponse},
    {"heartbeat", AgentFrame::Type::kHeartbeat, &ReadHeartbeat},
    {"hello", AgentFrame::Type::kHello, &ReadHello},
    {"tool_busy", AgentFrame::Type::kToolBusy, &ReadToolBusy},
};

enum EdgeField : size_t {
  kEdgeType,
  kCallId,
  kTool,
  kParams,
  kUserId,
  kServerId,
  kClock,
  kAgreed,
  kResultBytesMax,
  kResultDepthMax,
  kTimeout,
  kLostTimeout
};
constexpr std::array kEdgeFields = {"type"sv,           "requestId"sv,   "tool"sv,      "params"sv,
                                    "userId"sv,         "serverId"sv,    "timestamp"sv, "capabilities"sv,
                                    "resultBytesMax"sv, "jsonDepthMax"sv, "timeoutMs"sv, "lostTimeoutMs"sv};
using EdgeFields = Fields<kEdgeFields>;

bool ReadString(const EdgeFields& fields, size_t i, std::string* out) {
  return fields.Is(i, Kind::kString) && json::Unescape(fields.value(i), out);
}

// The readers of edges' frames fill `*frame`, or return false if something is wrong.
bool ReadToolCall(const EdgeFields& fields, EdgeFrameText* frame) {
  frame->params_json = fields.value(kParams);
  if (fields.Is(kTimeout, Kind::kNumber)) frame->times.timeout_ms = Plausible(fields.value(kTimeout));
  if (fields.Is(kLostTimeout, Kind::kNumber)) frame->times.lost_timeout_ms = Plausible(fields.value(kLostTimeout));
  return ReadString(fields, kCallId, &frame->request_id) && ReadString(fields, kTool, &frame->tool) &&
         !frame->request_id.empty() && fields.Is(kParams, Kind::kObject);
}

// The edge's clock only informs: like a heartbeat's it may be absent.
bool ReadHeartbeatAck(const EdgeFields& fields, EdgeFrameText* /*frame*/) {
  return fields.IsOrNone(kClock, Kind::kNumber);
}

bool ReadConnected(const EdgeFields& fields, EdgeFrameText* frame) {
  return fields.IsOrNone(kClock, Kind::kNumber) && ReadString(fields, kUserId, &frame->user_id) &&
         ReadString(fields, kServerId, &frame->server_id);
}

bool ReadToolCancel(const EdgeFields& fields, EdgeFrameText* frame) {
  return ReadString(fields, kCallId, &frame->request_id) && !frame->request_id.empty();
}

bool ReadHelloAck(const EdgeFields& fields, EdgeFrameText* frame) {
  return fields.Is(kAgreed, Kind::kArray) && ReadCapabilities(fields.value(kAgreed), &frame->capabilities).empty() &&
         ReadLimits(fields, kResultBytesMax, kResultDepthMax, &frame->limits);
}

struct EdgeFrameRow {
  std::string_view name;
  EdgeFrameText::Type type;
  bool (*read)(const EdgeFields& fields, EdgeFrameText* frame);
};
constexpr EdgeFrameRow kEdgeFrames[] = {
    {"tool_call", EdgeFrameText::Type::kToolCall, &ReadToolCall},
    {"heartbeat_ack", EdgeFrameText::Type::kHeartbeatAck, &ReadHeartbeatAck},
    {"connected", EdgeFrameText::Type::kConnected, &ReadConnected},
    {"tool_cancel", EdgeFrameText::Type::kToolCancel, &ReadToolCancel},
    {"hello_ack", EdgeFrameText::Type::kHelloAck, &ReadHelloAck},
};

// The row of a type; null if it is not in the table. `type` is a JSON string.
template <typename Row, size_t kRows>
const Row* FindRow(const Row (&rows)[kRows], std::string_view type) {
  for (const Row& row : rows) {
    if (Equals(type, row.name)) return &row;
  }
  return nullptr;
}

}  // namespace

void WireDecoder::Decode(std::string_view text, AgentFrame* frame) const {
  frame->type = AgentFrame::Type::kBad;
  frame->why_bad.clear();
  frame->request_id.clear();
  frame->success = false;
  frame->result_json = {};
  frame->error.clear();
  frame->execution_time_ms.reset();
  frame->error_json = {};
  frame->execution_time_json = {};
  frame->capabilities = 0;
  frame->limits = {};

  AgentFields fields;
  std::string_view broken_key;
  const json::Error error = fields.ReadBeforeError(text, json_depth_max_, &broken_key);
  if (error != json::Error::kNone) {
    frame->why_bad = WhyNotAnObject(error, broken_key);
    return ReadRequestIdOfBroken(text, frame);
  }
  if (!fields.Is(kType, Kind::kString)) {
    frame->why_bad = "type is not a string";
    return ReadRequestIdOfBad(fields, frame);
  }
  const AgentFrameRow* row = FindRow(kAgentFrames, fields.value(kType));
  if (row == nullptr) {
    frame->type = AgentFrame::Type::kUnknown;
    return;
  }
  frame->why_bad = row->read(fields, frame);
  if (frame->why_bad.empty()) {
    frame->type = row->type;
  } else {
    frame->capabilities = 0;  // Perhaps only half of it was read.
    frame->limits = {};
    ReadRequestIdOfBad(fields, frame);
  }
}

std::string EncodeConnected(std::string_view user_id, int64_t timestamp_ms, std::string_view server_id) {
  std::string frame = FrameOfSize({user_id, server_id});
  frame += R"({"type":"connected","userId":)";
  json::AppendQuoted(user_id, &frame);
  frame += R"(,"timestamp":)";
  AppendNumber(timestamp_ms, &frame);
  frame += R"(,"serverId":)";
  json::AppendQuoted(server_id, &frame);
  frame += '}';
  return frame;
}

std::string EncodeHeartbeatAck(int64_t timestamp_ms) {
  std::string frame = FrameOfSize({});
  frame += R"({"type":"heartbeat_ack","timestamp":)";
  AppendNumber(timestamp_ms, &frame);
  frame += '}';
  return frame;
}

std::string EncodeToolCall(std::string_view request_id, std::string_view tool, std::string_view params_json,
                           const AnswerTimes& times) {
  std::string frame = FrameOfSize({request_id, tool, params_json});
  frame += R"({"type":"tool_call","requestId":)";
  json::AppendQuoted(request_id, &frame);
  frame += R"(,"tool":)";
  json::AppendQuoted(tool, &frame);
  frame += R"(,"params":)";
  frame += params_json;
  AppendMember("timeoutMs", times.timeout_ms, &frame);
  AppendMember("lostTimeoutMs", times.lost_timeout_ms, &frame);
  frame += '}';
  return frame;
}

std::string EncodeHelloAck(Capabilities capabilities, const PayloadLimits& results) {
  return EncodeCapabilities("hello_ack", capabilities, "resultBytesMax", results);
}

std::string EncodeToolCancel(std::string_view request_id) {
  std::string frame = FrameOfSize({request_id});
  frame += R"({"type":"tool_cancel","requestId":)";
  json::AppendQuoted(request_id, &frame);
  frame += '}';
  return frame;
}

std::string EncodeHello(Capabilities capabilities, const PayloadLimits& params) {
  return EncodeCapabilities("hello", capabilities, "paramsBytesMax", params);
}

std::string EncodeHeartbeat(int64_t timestamp_ms) {
  std::string frame = FrameOfSize({});
  frame += R"({"type":"heartbeat","timestamp":)";
  AppendNumber(timestamp_ms, &frame);
  frame += '}';
  return frame;
}

std::string EncodeToolResponse(std::string_view request_id, bool success, std::string_view result_json,
                               std::string_view error, int64_t execution_time_ms) {
  std::string frame = FrameOfSize({request_id, result_json, error});
  frame += R"({"type":"tool_response","requestId":)";
  json::AppendQuoted(request_id, &frame);
  frame += success ? R"(,"success":true,"result":)" : R"(,"success":false,"result":)";
  frame += result_json.empty() ? std::string_view("null") : result_json;
  frame += R"(,"error":)";
  if (error.empty()) {
    frame += "null";
  } else {
    json::AppendQuoted(error, &frame);
  }
  frame += R"(,"executionTime":)";
  AppendNumber(execution_time_ms, &frame);
  frame += '}';
  return frame;
}

std::string EncodeToolBusy(std::string_view request_id) {
  std::string frame = FrameOfSize({request_id});
  frame += R"({"type":"tool_busy","requestId":)";
  json::AppendQuoted(request_id, &frame);
  frame += '}';
  return frame;
}

EdgeFrameText DecodeEdgeFrame(std::string_view text, int json_depth_max) {
  EdgeFrameText frame;
  EdgeFields fields;
  if (fields.Read(text, json_depth_max) != json::Error::kNone) return frame;
  if (!fields.Is(kEdgeType, Kind::kString)) return frame;
  const EdgeFrameRow* row = FindRow(kEdgeFrames, fields.value(kEdgeType));
  if (row != nullptr && !row->read(fields, &frame)) return EdgeFrameText();
  frame.type = row == nullptr ? EdgeFrameText::Type::kUnknown : row->type;
  return frame;
}

}  // namespace toolwire
