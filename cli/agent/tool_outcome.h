// How a tool of `toolwire agent` ended.
#ifndef TOOLWIRE_CLI_AGENT_TOOL_OUTCOME_H_
#define TOOLWIRE_CLI_AGENT_TOOL_OUTCOME_H_

#include <string>

namespace toolwire {

struct ToolOutcome {
  bool success = false;
  std::string result_json;  // JSON text; empty if the tool failed.
  std::string error;        // For people; empty if the tool succeeded.
  bool busy = false;        // There was no room for the call, which was not run.
};

}  // namespace toolwire

#endif  // TOOLWIRE_CLI_AGENT_TOOL_OUTCOME_H_
