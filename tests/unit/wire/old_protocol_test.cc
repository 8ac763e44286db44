#include "common/wire/old_protocol.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>

namespace toolwire {
namespace {

constexpr int kDepth = 64;

TEST(OldProtocolTest, CommandsAreReadAsBackendsWriteThem) {
  const OldCommand command = DecodeOldCommand(
      R"({"type":"tool_call","requestId":"req_1","tool":"read_file","params":{"path":"/a","n":123456789012345678901}})",
      kDepth);
  EXPECT_EQ(command.why_bad, "");
  EXPECT_EQ(command.request_id, "req_1");
  EXPECT_EQ(command.tool, "read_file");
  EXPECT_EQ(command.params_json, R"({"path":"/a","n":123456789012345678901})");
}

TEST(OldProtocolTest, ParamsMayBeAbsentOrNull) {
  for (const char* text : {R"({"type":"tool_call","requestId":"r","tool":"t"})",
                           R"({"type":"tool_call","requestId":"r","tool":"t","params":null})"}) {
    const OldCommand command = DecodeOldCommand(text, kDepth);
    EXPECT_EQ(command.why_bad, "") << text;
    EXPECT_EQ(command.params_json, "{}") << text;
  }
}

TEST(OldProtocolTest, BadCommandsSayWhyAndWhoseTheyAreWhereThatCanBeRead) {
  const struct {
    const char* text;
    const char* request_id;
  } cases[] = {
      {"", ""},
      {"[]", ""},
      {"nonsense", ""},
      {R"({"type":"tool_call","tool":"t","params":{}})", ""},
      {R"({"type":"tool_call","requestId":7,"tool":"t","params":{}})", ""},
      {R"({"type":"tool_call","requestId":"","tool":"t","params":{}})", ""},
      {R"({"type":"tool_call","requestId":"\ud800","tool":"t","params":{}})", ""},
      {R"({"type":"other","requestId":"r","tool":"t","params":{}})", "r"},
      {R"({"requestId":"r","tool":"t","params":{}})", "r"},
      {R"({"type":"tool_call","requestId":"r","params":{}})", "r"},
      {R"({"type":"tool_call","requestId":"r","tool":"","params":{}})", "r"},
      {R"({"type":"tool_call","requestId":"r","tool":"t","params":[]})", "r"},
      {R"({"type":"tool_call","requestId":"r","tool":"t","params":"x"})", "r"},
      {"{\"type\":\"tool_call\",\"requestId\":\"r\",\"tool\":\"\xff\",\"params\":{}}", "r"},
      {"{\"type\":\"tool_call\",\"requestId\":\"\xff\",\"tool\":\"t\",\"params\":{}}", ""},
      {R"({"type":"tool_call","requestId":"r","tool":"t","params":{"a":NaN}})", "r"},
      {R"({"type":"tool_call","requestId":"r","tool":"t","params":{"a":[1)", "r"},
      {R"({"type":"tool_call","requestId":"r","tool":"t","params":{}}})", "r"},
      {R"({"type":"tool_call","requestId":"r")", "r"},
      {R"({"type":"tool_call","requestId":"r)", ""},
  };
  for (const auto& one : cases) {
    const OldCommand command = DecodeOldCommand(one.text, kDepth);
    EXPECT_NE(command.why_bad, "") << one.text;
    EXPECT_EQ(command.request_id, one.request_id) << one.text;
  }
}

TEST(OldProtocolTest, BrokenCommandSaysWhoseItIsWhereverItsIdIs) {
  const std::pair<const char*, const char*> cases[] = {
      {R"({"params":{"a":NaN,"requestId":"x"},"requestId":"r","tool":"t","type":"tool_call"})", "params are not valid JSON"},
      {R"({"tool":"\x","requestId":"r"})", "not valid JSON"},
      {R"({'type': 'tool_call', 'requestId': 'r', 'tool': 't', 'params': {}})", "not valid JSON"},
      {"{\"params\":{\"a\":\xff},\"requestId\":\"r\"}", "not UTF-8"},
  };
  for (const auto& [text, why] : cases) {
    const OldCommand command = DecodeOldCommand(text, kDepth);
    EXPECT_EQ(command.why_bad, why) << text;
    EXPECT_EQ(command.request_id, "r") << text;
  }
}

TEST(OldProtocolTest, ParamsMayBeNestedToTheLimit) {
  const auto text = [](int depth) {
    std::string params = "{\"a\":";
    for (int i = 1; i < depth; ++i) params += '[';
    params += '1';
    for (int i = 1; i < depth; ++i) params += ']';
    return R"({"type":"tool_call","requestId":"r","tool":"t","params":)" + params + "}}";
  };
  EXPECT_EQ(DecodeOldCommand(text(kDepth), kDepth).why_bad, "");
  const OldCommand deeper = DecodeOldCommand(text(kDepth + 1), kDepth);
  EXPECT_EQ(deeper.why_bad, "params are nested too deep");
  EXPECT_EQ(deeper.request_id, "r");
  EXPECT_EQ(deeper.tool, "");
}

TEST(OldProtocolTest, CommandNestedTooDeepIsReadForItsIdWhereverThatIs) {
  const std::string deep(kDepth + 1, '['), end(kDepth + 1, ']');
  const std::string text = R"({"type":"tool_call","tool":"t","params":{"a":)" + deep + end + R"(},"requestId":"r"})";
  const OldCommand command = DecodeOldCommand(text, kDepth);
  EXPECT_EQ(command.why_bad, "params are nested too deep");
  EXPECT_EQ(command.request_id, "r");
}

TEST(OldProtocolTest, ResponsesHaveTheFieldsBackendsRead) {
  OldResponse response;
  response.user_id = "user \"1\"";
  response.success = true;
  response.result_json = R"({"big":123456789012345678901})";
  response.error_json = "null";
  response.execution_time_json = "12";
  EXPECT_EQ(
      EncodeOldResponse(response),
      R"({"userId":"user \"1\"","success":true,"result":{"big":123456789012345678901},"error":null,"executionTime":12})");
}

TEST(OldProtocolTest, ResponsesLeaveOutWhatThereIsNot) {
  OldResponse response;
  response.user_id = "u";
  EXPECT_EQ(EncodeOldResponse(response), R"({"userId":"u","success":false})");
  response.error_json = R"("ENOENT")";
  EXPECT_EQ(EncodeOldResponse(response), R"({"userId":"u","success":false,"error":"ENOENT"})");
  response.error_json.clear();
  response.result_json = "null";
  EXPECT_EQ(EncodeOldResponse(response), R"({"userId":"u","success":false,"result":null})");
}

}  // namespace
}  // namespace toolwire
