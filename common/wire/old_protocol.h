// The messages of the raw-Redis protocol that backends of the replaced server speak: JSON text on two kinds of
// channels.
#ifndef TOOLWIRE_COMMON_WIRE_OLD_PROTOCOL_H_
#define TOOLWIRE_COMMON_WIRE_OLD_PROTOCOL_H_

#include <string>
#include <string_view>

namespace toolwire {

// The channel on which a call's one response is published.
std::string ResponseChannel(std::string_view request_id);

// What a backend publishes on `agent:{userId}:commands`: {"type":"tool_call","requestId","tool","params"}.
struct OldCommand {
  std::string_view why_bad;  // A static text; empty if the command is good.
  std::string request_id;    // Also of a bad command, if it can be read, wherever the error is.
  std::string tool;
  std::string params_json;  // A validated JSON object; `{}` if there were none.
};
OldCommand DecodeOldCommand(std::string_view text, int json_depth_max);

// What it waits for on `response:{requestId}`: {"userId","success","result","error","executionTime"}. The last three
// are JSON texts, spliced as they are; a field whose text is empty is left out, as the replaced server left out what
// the agent had not sent.
struct OldResponse {
  std::string user_id;
  bool success = false;
  std::string result_json;
  std::string error_json;
  std::string execution_time_json;
};
std::string EncodeOldResponse(const OldResponse& response);

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_WIRE_OLD_PROTOCOL_H_
