#include "common/wire/old_protocol.h"

#include <array>

#include "common/base/broken_json.h"
#include "common/base/json_text.h"

namespace toolwire {
namespace {

using json::Kind;
using json::Member;

bool ReadText(const Member& member, std::string* out) {
  return !member.value.empty() && member.kind == Kind::kString && json::Unescape(member.value, out);
}

// Wherever it stands. Empty if it cannot be read.
std::string RequestIdOfBroken(std::string_view text) {
  constexpr std::array<std::string_view, 1> kNames = {"requestId"};
  std::array<json::BrokenMember, 1> found;
  json::FindBrokenMembers(text, kNames, absl::MakeSpan(found));
  return found[0].text.value_or("");
}

}  // namespace

std::string ResponseChannel(std::string_view request_id) {
  std::string channel = "response:";
  channel += request_id;
  return channel;
}

OldCommand DecodeOldCommand(std::string_view text, int json_depth_max) {
  enum : size_t { kType, kRequestId, kTool, kParams, kFields };
  constexpr std::array<std::string_view, kFields> kNames = {"type", "requestId", "tool", "params"};
  std::array<Member, kFields> fields;
  OldCommand command;
  // The message around the params is a level, too.
  std::string_view broken_key;
  const json::Error error =
      json::PickMembersBeforeError(text, json_depth_max + 1, kNames, absl::MakeSpan(fields), &broken_key);
  const bool in_params = broken_key == kNames[kParams];
  if (error != json::Error::kNone) {
    command.request_id = RequestIdOfBroken(text);
  } else if (!ReadText(fields[kRequestId], &command.request_id)) {
    command.request_id.clear();
  }
  if (command.request_id.empty()) {
    command.why_bad = error == json::Error::kNone ? "requestId must be a string and not empty" : json::ErrorText(error);
    return command;
  }
  std::string type;
  if (error == json::Error::kTooDeep) {
    command.why_bad = in_params ? "params are nested too deep" : "nested too deep";
  } else if (error == json::Error::kSyntax) {
    command.why_bad = in_params ? "params are not valid JSON" : "not valid JSON";
  } else if (error != json::Error::kNone) {
    command.why_bad = json::ErrorText(error);
  } else if (!ReadText(fields[kType], &type) || type != "tool_call") {
    command.why_bad = "type must be tool_call";
  } else if (!ReadText(fields[kTool], &command.tool) || command.tool.empty()) {
    command.why_bad = "tool must be a string and not empty";
  } else if (fields[kParams].value.empty() || fields[kParams].kind == Kind::kNull) {
    command.params_json = "{}";
  } else if (fields[kParams].kind != Kind::kObject) {
    command.why_bad = "params must be a JSON object";
  } else {
    command.params_json = std::string(fields[kParams].value);
  }
  return command;
}

std::string EncodeOldResponse(const OldResponse& response) {
  std::string text;
  text.reserve(96 + response.user_id.size() + response.result_json.size() + response.error_json.size() +
               response.execution_time_json.size());
  const auto append = [&text](std::string_view key, const std::string& value) {
    if (value.empty()) return;
    text += key;
    text += value;
  };
  text += R"({"userId":)";
  json::AppendQuoted(response.user_id, &text);
  text += response.success ? R"(,"success":true)" : R"(,"success":false)";
  append(R"(,"result":)", response.result_json);
  append(R"(,"error":)", response.error_json);
  append(R"(,"executionTime":)", response.execution_time_json);
  text += '}';
  return text;
}

}  // namespace toolwire
