#include "common/wire/wire_codec.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace toolwire {
namespace {

using Type = AgentFrame::Type;
using EdgeType = EdgeFrameText::Type;

constexpr int kDepthMax = 64;

AgentFrame Decoded(std::string_view text) {
  AgentFrame frame;
  WireDecoder(kDepthMax).Decode(text, &frame);
  return frame;
}

// Why a frame is bad, or an empty text if it is not.
std::string WhyBad(std::string_view text) {
  const AgentFrame frame = Decoded(text);
  EXPECT_EQ(frame.type == Type::kBad, !frame.why_bad.empty()) << text;
  return std::string(frame.why_bad);
}

// --- What agents send -----------------------------------------------------------------------------------------------

TEST(WireDecoderTest, SlicesAreBytesOfTheFrame) {
  const std::string text =
      R"({"type":"tool_response","requestId":"r","success":true,"result": { "b" : 1.0, "a":1e400 } })";
  const AgentFrame frame = Decoded(text);
  ASSERT_EQ(frame.type, Type::kToolResponse);
  EXPECT_EQ(frame.result_json, R"({ "b" : 1.0, "a":1e400 })");
  EXPECT_EQ(frame.result_json.data(), text.data() + text.find("{ \"b\""));
}

TEST(WireDecoderTest, AnythingButAnObjectIsBad) {
  for (const std::string_view text :
       {"", "null", "[]", "\"heartbeat\"", "heartbeat", "{", "{}{}", "{\"type\":\"heartbeat\"",
        "{\"type\":\"heartbeat\"}}", "{\"type\":\"heartbeat\",}"}) {
    EXPECT_EQ(WhyBad(text), "not a JSON object") << text;
  }
  EXPECT_EQ(WhyBad("{\"type\":\"heartbeat\",\"x\":\"\xff\"}"), "not UTF-8");
}

TEST(WireDecoderTest, DepthAtTheLimitIsReadAndOneMoreIsBad) {
  AgentFrame frame;
  WireDecoder(3).Decode(R"({"type":"heartbeat","x":[[]]})", &frame);
  EXPECT_EQ(frame.type, Type::kHeartbeat);
  WireDecoder(3).Decode(R"({"type":"heartbeat","x":[[[]]]})", &frame);
  EXPECT_EQ(frame.type, Type::kBad);
  EXPECT_EQ(frame.why_bad, "a field is nested too deep");
}

TEST(WireDecoderTest, BadAnswerNamesItsCallAndTheFieldThatIsWrong) {
  const std::string begin = R"({"type":"tool_response","requestId":"r\u0031")";
  const std::pair<std::string, std::string_view> cases[] = {
      {"}", "tool_response: success is not a boolean"},
      {R"(,"success":"true"})", "tool_response: success is not a boolean"},
      {R"(,"success":null})", "tool_response: success is not a boolean"},
      {R"(,"success":1})", "tool_response: success is not a boolean"},
      {R"(,"success":true,"executionTime":"12"})", "tool_response: executionTime is neither a number nor null"},
      {R"(,"success":true,"executionTime":[12]})", "tool_response: executionTime is neither a number nor null"},
      {R"(,"success":false,"error":{"code":5}})", "tool_response: error is neither a string nor null"},
      {R"(,"success":false,"error":0})", "tool_response: error is neither a string nor null"},
      {R"(,"success":true,"result":NaN})", "result is not valid JSON"},
      {R"(,"success":True})", "success is not valid JSON"},
      {R"(,"success":true,"result":{"a":[1,2)", "result is not valid JSON"},
      {R"(,"success":true,"error":"ab)", "error is not valid JSON"},
      {R"(,"success":true,"mine":.5})", "a field is not valid JSON"},
      {R"(,"success":true)", "not a JSON object"},
      {R"(,"succ)", "not a JSON object"},
      {R"(,)", "not a JSON object"},
      {"", "not a JSON object"},
      {R"( "success":true})", "not a JSON object"},
      {R"(,"success":true}})", "not a JSON object"},
      {",\"success\":true,\"result\":\"\xff\"}", "not UTF-8"},
  };
  for (const auto& [rest, why] : cases) {
    const AgentFrame frame = Decoded(begin + rest);
    EXPECT_EQ(frame.type, Type::kBad) << rest;
    EXPECT_EQ(frame.why_bad, why) << rest;
    EXPECT_EQ(frame.request_id, "r1") << rest;
  }
}

TEST(WireDecoderTest, BrokenAnswerNamesItsCallWhereverItsIdIs) {
  const std::pair<std::string_view, std::string_view> cases[] = {
      {R"({"error":null,"executionTime":NaN,"requestId":"r","success":true,"type":"tool_response"})",
       "executionTime is not valid JSON"},
      {R"({"type":"tool_response","success":True,"result":{"requestId":"x"},"requestId":"r"})",
       "success is not valid JSON"},
      {R"({"type":"tool_response","success":true,"result":"C:\dir\x\q","requestId":"r"})",
       "result is not valid JSON"},
      {"{\"result\":\"a\nb\",\"requestId\":\"r\",\"success\":true,\"type\":\"tool_response\"}", "result is not valid JSON"},
      {R"({'requestId': 'r', 'success': True, 'type': 'tool_response'})", "not a JSON object"},
      {R"({"result":NaN,"requestId":"q","requestId":"r","type":"tool_busy"})", "result is not valid JSON"},
      {"{\"result\":\"\xff\",\"requestId\":\"r\",\"success\":true}", "not UTF-8"},
      {"{\"result\":\xff,\"requestId\":\"r\",\"success\":true}", "not UTF-8"},
  };
  for (const auto& [text, why] : cases) {
    const AgentFrame frame = Decoded(text);
    EXPECT_EQ(frame.type, Type::kBad) << text;
    EXPECT_EQ(frame.why_bad, why) << text;
    EXPECT_EQ(frame.request_id, "r") << text;
  }
}

TEST(WireDecoderTest, AnswerNestedTooDeepNamesItsCallWhereverItsIdIs) {
  const std::string deep(kDepthMax, '['), end(kDepthMax, ']');
  for (const std::string& text :
       {R"({"type":"tool_response","requestId":"r","success":true,"result":)" + deep + end + "}",
        R"({"type":"tool_response","success":true,"result":)" + deep + end + R"(,"requestId":"r"})",
        R"({"type":"tool_response","success":true,"result":)" + deep + end + R"(,"requestId":"r","error":x})",
        R"({"type":"tool_response","requestId":"r","success":true,"result":)" + deep}) {
    const AgentFrame frame = Decoded(text);
    EXPECT_EQ(frame.why_bad, "result is nested too deep") << text;
    EXPECT_EQ(frame.request_id, "r") << text;
  }
}

TEST(WireDecoderTest, BadFrameThatIsNoAnswerOrWhoseIdCannotBeReadNamesNoCall) {
  for (const std::string_view text :
       {R"({"type":"heartbeat","requestId":"r","timestamp":"x"})",
        R"({"type":"hello","requestId":"r","capabilities":1})", R"({"type":"tool_progress","requestId":"r","x":)",
        R"({"type":"tool_response","requestId":7,"success":1})",
        R"({"type":"tool_response","requestId":"","success":1})",
        R"({"type":"tool_response","requestId":"\ud800","x":)",
        R"({"type":"tool_response","requestId":"r)", R"({"type":"tool_response","result":{"requestId":"r"},"success":yes})",
        R"({"type":"tool_response","error":"say "hi", "requestId":"r"})",
        R"({"requestId":"r","success":NaN,"type":"heartbeat"})",
        "{\"type\":\"tool_response\",\"requestId\":\"\xff\",\"success\":true}"}) {
    const AgentFrame frame = Decoded(text);
    EXPECT_EQ(frame.type, Type::kBad) << text;
    EXPECT_EQ(frame.request_id, "") << text;
  }
}

// Only answers have a request id.
TEST(WireDecoderTest, BadFrameWithoutAReadableTypeNamesTheCallOfItsId) {
  for (const std::string_view text : {R"({"requestId":"r","success":true})", R"({"type":7,"requestId":"r"})",
                                      R"({"requestId":"r","type":tool_response})"}) {
    const AgentFrame frame = Decoded(text);
    EXPECT_EQ(frame.type, Type::kBad) << text;
    EXPECT_EQ(frame.request_id, "r") << text;
  }
}

TEST(WireDecoderTest, TypeMustBeAString) {
  for (const std::string_view text : {R"({})", R"({"Type":"heartbeat"})", R"({"type":null})", R"({"type":1})",
                                      R"({"type":["heartbeat"]})", R"({"type":{}})", R"({"type":true})"}) {
    EXPECT_EQ(WhyBad(text), "type is not a string") << text;
  }
}

TEST(WireDecoderTest, UnknownTypeIsIgnoredWhateverItsFields) {
  for (const std::string_view text :
       {R"({"type":"progress","requestId":7,"success":"yes","timestamp":[]})", R"({"type":""})",
        R"({"type":"Heartbeat"})", R"({"type":"heartbeat "})", R"({"type":"tool_call"})", R"({"type":"\ud800"})",
        R"({"type":"heartbeat\u0000"})"}) {
    EXPECT_EQ(Decoded(text).type, Type::kUnknown) << text;
  }
}

TEST(WireDecoderTest, HeartbeatNeedsNoTimestamp) {
  for (const std::string_view text :
       {R"({"type":"heartbeat"})", R"({"type":"heartbeat","timestamp":null})",
        R"({"type":"heartbeat","timestamp":1.5e300})", R"({"timestamp":-1,"type":"heartbeat"})",
        R"({"type":"heartbeat","timestamp":1,"success":"x","requestId":0})"}) {
    EXPECT_EQ(Decoded(text).type, Type::kHeartbeat) << text;
  }
  for (const std::string_view timestamp : {"\"1763300000123\"", "true", "[]", "{}"}) {
    EXPECT_EQ(WhyBad(R"({"type":"heartbeat","timestamp":)" + std::string(timestamp) + "}"),
              "heartbeat: timestamp is not a number");
  }
}

TEST(WireDecoderTest, ToolResponseNeedsOnlyIdAndSuccess) {
  const AgentFrame frame = Decoded(R"({"type":"tool_response","requestId":"r","success":false})");
  EXPECT_EQ(frame.type, Type::kToolResponse);
  EXPECT_EQ(frame.request_id, "r");
  EXPECT_FALSE(frame.success);
  EXPECT_EQ(frame.result_json, "");
  EXPECT_EQ(frame.error, "");
  EXPECT_EQ(frame.execution_time_ms, std::nullopt);
  EXPECT_EQ(frame.error_json, "");
  EXPECT_EQ(frame.execution_time_json, "");
}

TEST(WireDecoderTest, NullErrorAndTimeAreAsGoodAsAbsentButStillThere) {
  const AgentFrame frame = Decoded(
      R"({"type":"tool_response","requestId":"r","success":true,"result":null,"error":null,"executionTime":null})");
  EXPECT_EQ(frame.type, Type::kToolResponse);
  EXPECT_TRUE(frame.success);
  EXPECT_EQ(frame.result_json, "null");
  EXPECT_EQ(frame.error, "");
  EXPECT_EQ(frame.execution_time_ms, std::nullopt);
  EXPECT_EQ(frame.error_json, "null");
  EXPECT_EQ(frame.execution_time_json, "null");
}

TEST(WireDecoderTest, ResultMayBeAnyJson) {
  for (const std::string_view result : {"null", "true", "0", "-1e400", R"("text\ud800")", "[]",
                                        R"({"type":"heartbeat"})", "123456789012345678901234567890", R"("\u0000")"}) {
    const std::string text =
        R"({"type":"tool_response","requestId":"r","success":true,"result":)" + std::string(result) + "}";
    const AgentFrame frame = Decoded(text);
    EXPECT_EQ(frame.type, Type::kToolResponse) << text;
    EXPECT_EQ(frame.result_json, result);
  }
}

TEST(WireDecoderTest, WrongTypesInAToolResponseAreBad) {
  const std::pair<std::string_view, std::string_view> cases[] = {
      {R"("success":true)", "tool_response: requestId is not a string"},
      {R"("requestId":null,"success":true)", "tool_response: requestId is not a string"},
      {R"("requestId":17,"success":true)", "tool_response: requestId is not a string"},
      {R"("requestId":["r"],"success":true)", "tool_response: requestId is not a string"},
      {R"("requestId":"","success":true)", "tool_response: requestId is empty"},
      {R"("requestId":"a\ud800","success":true)", "tool_response: requestId has a lone surrogate"},
      {R"("requestId":"r")", "tool_response: success is not a boolean"},
      {R"("requestId":"r","success":null)", "tool_response: success is not a boolean"},
      {R"("requestId":"r","success":1)", "tool_response: success is not a boolean"},
      {R"("requestId":"r","success":"true")", "tool_response: success is not a boolean"},
      {R"("requestId":"r","success":true,"error":{})", "tool_response: error is neither a string nor null"},
      {R"("requestId":"r","success":true,"error":false)", "tool_response: error is neither a string nor null"},
      {R"("requestId":"r","success":true,"error":0)", "tool_response: error is neither a string nor null"},
      {R"("requestId":"r","success":true,"executionTime":"5")",
       "tool_response: executionTime is neither a number nor null"},
      {R"("requestId":"r","success":true,"executionTime":[5])",
       "tool_response: executionTime is neither a number nor null"},
  };
  for (const auto& [fields, why] : cases) {
    EXPECT_EQ(WhyBad(R"({"type":"tool_response",)" + std::string(fields) + "}"), why) << fields;
  }
}

TEST(WireDecoderTest, ExecutionTimeIsRoundedAndNonsenseIsAbsent) {
  const std::pair<std::string_view, std::optional<int64_t>> cases[] = {
      {"0", 0},
      {"-0", 0},
      {"123", 123},
      {"0.4", 0},
      {"0.5", 1},
      {"1.5", 2},
      {"12.49999", 12},
      {"1e3", 1000},
      {"12345678e-5", 123},
      {"1e-400", 0},
      {"9007199254740992", int64_t{1} << 53},
      {"9007199254740993", std::nullopt},
      {"9.1e15", std::nullopt},
      {"9223372036854775808", std::nullopt},
      {"99999999999999999999999999", std::nullopt},
      {"1e400", std::nullopt},
      {"-1e400", std::nullopt},
      {"-1", std::nullopt},
      {"-0.6", std::nullopt},
  };
  for (const auto& [number, expected] : cases) {
    const AgentFrame frame = Decoded(R"({"type":"tool_response","requestId":"r","success":true,"executionTime":)" +
                                     std::string(number) + "}");
    EXPECT_EQ(frame.type, Type::kToolResponse) << number;
    EXPECT_EQ(frame.execution_time_ms, expected) << number;
  }
}

TEST(WireDecoderTest, StringsAreUnescaped) {
  const AgentFrame frame = Decoded(
      R"({"\u0074ype":"tool\u005fresponse","request\u0049d":"r\n\u00e9\ud83d\ude00","success":true,"error":"a\"b"})");
  EXPECT_EQ(frame.type, Type::kToolResponse);
  EXPECT_EQ(frame.request_id, "r\né😀");
  EXPECT_EQ(frame.error, "a\"b");
}

TEST(WireDecoderTest, LoneSurrogateInAnErrorIsReplaced) {
  const AgentFrame frame =
      Decoded(R"({"type":"tool_response","requestId":"r","success":false,"error":"no file \ud83d."})");
  EXPECT_EQ(frame.type, Type::kToolResponse);
  EXPECT_EQ(frame.error, "no file \xef\xbf\xbd.");
}

TEST(WireDecoderTest, LastOfTwoFieldsCounts) {
  const AgentFrame frame = Decoded(
      R"({"type":"heartbeat","requestId":1,"type":"tool_response","success":"x","requestId":"r","success":true,)"
      R"("result":1,"resul\u0074":2})");
  EXPECT_EQ(frame.type, Type::kToolResponse);
  EXPECT_EQ(frame.request_id, "r");
  EXPECT_TRUE(frame.success);
  EXPECT_EQ(frame.result_json, "2");
  EXPECT_EQ(Decoded(R"({"type":"heartbeat","type":1})").type, Type::kBad);
}

TEST(WireDecoderTest, ForeignFieldsAreIgnored) {
  const AgentFrame frame = Decoded(
      R"({"tool":"x","type":"tool_response","Success":1,"requestId":"r","":0,"success":true,"timestamp":"now","z":[{}]})");
  EXPECT_EQ(frame.type, Type::kToolResponse);
}

TEST(WireDecoderTest, HelloNamesCapabilitiesAndUnknownOnesArePassedOver) {
  const std::pair<std::string_view, Capabilities> cases[] = {
      {R"({"type":"hello"})", 0},
      {R"({"type":"hello","capabilities":null})", 0},
      {R"({"type":"hello","capabilities":[]})", 0},
      {R"({"type":"hello","capabilities":["cancel"]})", kCapabilityCancel},
      {R"({"capabilities" : [ "later" ,"cancel", "" ] ,"type":"hello","version":{}})", kCapabilityCancel},
      {R"({"type":"hello","capabilities":["c\u0061ncel","\ud800","a\"]b","\\"]})", kCapabilityCancel},
      {R"({"type":"hello","capabilities":["Cancel","cancel ","cance"]})", 0},
      {R"({"type":"hello","capabilities":["cancel","cancel"]})", kCapabilityCancel},
      {R"({"type":"hello","capabilities":["cancel"],"capabilities":[]})", 0},
  };
  for (const auto& [text, expected] : cases) {
    const AgentFrame frame = Decoded(text);
    EXPECT_EQ(frame.type, Type::kHello) << text << frame.why_bad;
    EXPECT_EQ(frame.capabilities, expected) << text;
  }
}

TEST(WireDecoderTest, CapabilitiesThatAreNoListOfStringsAreBad) {
  for (const std::string_view value : {"{}", "\"cancel\"", "true", "1"}) {
    EXPECT_EQ(WhyBad(R"({"type":"hello","capabilities":)" + std::string(value) + "}"),
              "hello: capabilities are not an array");
  }
  for (const std::string_view value :
       {"[null]", "[1]", "[[]]", "[[\"cancel\"]]", "[\"cancel\",{}]", "[\"cancel\",true]"}) {
    const AgentFrame frame = Decoded(R"({"type":"hello","capabilities":)" + std::string(value) + "}");
    EXPECT_EQ(frame.why_bad, "capabilities are not all strings") << value;
    EXPECT_EQ(frame.capabilities, 0) << value;
  }
}

TEST(WireDecoderTest, ListOfCapabilitiesIsBounded) {
  const auto hello = [](size_t names, size_t bytes) {
    std::string text = R"({"type":"hello","capabilities":["cancel")";
    for (size_t i = 1; i < names; ++i) text += ",\"" + std::string(bytes, 'x') + "\"";
    return text + "]}";
  };
  EXPECT_EQ(Decoded(hello(kCapabilityNamesMax, kCapabilityNameBytesMax)).capabilities, kCapabilityCancel);
  EXPECT_EQ(WhyBad(hello(kCapabilityNamesMax + 1, 1)), "too many capabilities");
  EXPECT_EQ(WhyBad(hello(2, kCapabilityNameBytesMax + 1)), "the name of a capability is too long");
}

TEST(WireDecoderTest, FrameIsOverwritten) {
  const WireDecoder decoder(kDepthMax);
  AgentFrame frame;
  decoder.Decode(R"({"type":"tool_response","requestId":"r","success":true,"result":1,"error":"e","executionTime":5})",
                 &frame);
  ASSERT_EQ(frame.type, Type::kToolResponse);
  for (const std::string_view text :
       {R"({"type":"heartbeat"})", R"({"type":"other"})", "nonsense", R"({"type":"hello","capabilities":["cancel"]})",
        R"({"type":"hello"})", R"({"type":"tool_response","requestId":"q","success":false})"}) {
    AgentFrame reused = frame;
    decoder.Decode(text, &reused);
    const AgentFrame fresh = Decoded(text);
    EXPECT_EQ(reused.type, fresh.type);
    EXPECT_EQ(reused.why_bad, fresh.why_bad);
    EXPECT_EQ(reused.request_id, fresh.request_id);
    EXPECT_EQ(reused.success, fresh.success);
    EXPECT_EQ(reused.result_json, fresh.result_json);
    EXPECT_EQ(reused.error, fresh.error);
    EXPECT_EQ(reused.execution_time_ms, fresh.execution_time_ms);
    EXPECT_EQ(reused.error_json, fresh.error_json);
    EXPECT_EQ(reused.execution_time_json, fresh.execution_time_json);
    EXPECT_EQ(reused.capabilities, fresh.capabilities);
    frame = reused;
  }
}

// --- What edges send ------------------------------------------------------------------------------------------------

TEST(WireEncoderTest, StringsAreEscaped) {
  EXPECT_EQ(EncodeToolCall("a\"b", "c\\d\n", "{}"),
            R"({"type":"tool_call","requestId":"a\"b","tool":"c\\d\n","params":{}})");
  EXPECT_EQ(EncodeConnected("é\t", 1, "\x01"),
            R"({"type":"connected","userId":"é\t","timestamp":1,"serverId":"\u0001"})");
  EXPECT_EQ(
      EncodeToolResponse("\"", false, "", "\"", 0),
      R"({"type":"tool_response","requestId":"\"","success":false,"result":null,"error":"\"","executionTime":0})");
}

TEST(WireEncoderTest, ParamsAndResultsAreSplicedByteForByte) {
  const std::string params = " {\"b\": 1.0,\"a\":123456789012345678901234567890,\"a\":\"\\ud800\"} ";
  EXPECT_EQ(EncodeToolCall("r", "t", params),
            R"({"type":"tool_call","requestId":"r","tool":"t","params":)" + params + "}");
  EXPECT_EQ(
      EncodeToolResponse("r", true, "[1 ,2]", "", 1),
      R"({"type":"tool_response","requestId":"r","success":true,"result":[1 ,2],"error":null,"executionTime":1})");
}

TEST(WireEncoderTest, EmptyResultAndErrorAreNull) {
  EXPECT_EQ(EncodeToolResponse("r", true, "", "", 7),
            R"({"type":"tool_response","requestId":"r","success":true,"result":null,"error":null,"executionTime":7})");
}

TEST(WireEncoderTest, NumbersOfAnySizeAreWritten) {
  EXPECT_EQ(EncodeHeartbeat(std::numeric_limits<int64_t>::min()),
            R"({"type":"heartbeat","timestamp":-9223372036854775808})");
  EXPECT_EQ(EncodeHeartbeatAck(std::numeric_limits<int64_t>::max()),
            R"({"type":"heartbeat_ack","timestamp":9223372036854775807})");
}

TEST(EdgeFrameTest, CallNeedsIdToolAndParams) {
  const EdgeFrameText call =
      DecodeEdgeFrame(R"({"params": {"a":1} ,"tool":"t\u00e9","requestId":"r","type":"tool_call"})", kDepthMax);
  EXPECT_EQ(call.type, EdgeType::kToolCall);
  EXPECT_EQ(call.request_id, "r");
  EXPECT_EQ(call.tool, "té");
  EXPECT_EQ(call.params_json, R"({"a":1})");
  for (const std::string_view fields :
       {R"("tool":"t","params":{})", R"("requestId":"","tool":"t","params":{})",
        R"("requestId":1,"tool":"t","params":{})", R"("requestId":"r","params":{})",
        R"("requestId":"r","tool":null,"params":{})", R"("requestId":"r","tool":"t")",
        R"("requestId":"r","tool":"t","params":[])", R"("requestId":"r","tool":"t","params":null)",
        R"("requestId":"\ud800","tool":"t","params":{})", R"("requestId":"r","tool":"\ud800","params":{})"}) {
    const EdgeFrameText bad = DecodeEdgeFrame(R"({"type":"tool_call",)" + std::string(fields) + "}", kDepthMax);
    EXPECT_EQ(bad.type, EdgeType::kBad) << fields;
    EXPECT_EQ(bad.request_id + bad.tool, "") << fields;
  }
}

TEST(EdgeFrameTest, TimesOfACallOnlyInformAndAreReadWhereTheyArePlausible) {
  const auto times = [](std::string_view fields) {
    const EdgeFrameText call = DecodeEdgeFrame(
        R"({"type":"tool_call","requestId":"r","tool":"t","params":{})" + std::string(fields) + "}", kDepthMax);
    EXPECT_EQ(call.type, EdgeType::kToolCall) << fields;
    return std::pair(call.times.timeout_ms, call.times.lost_timeout_ms);
  };
  EXPECT_EQ(times(""), std::pair(std::optional<int64_t>(), std::optional<int64_t>()));
  EXPECT_EQ(times(R"(,"timeoutMs":5,"lostTimeoutMs":1e3)"), std::pair(std::optional<int64_t>(5), std::optional<int64_t>(1000)));
  EXPECT_EQ(times(R"(,"timeoutMs":-1,"lostTimeoutMs":"2")"), std::pair(std::optional<int64_t>(), std::optional<int64_t>()));
}

TEST(EdgeFrameTest, ConnectedNeedsBothIds) {
  const EdgeFrameText connected =
      DecodeEdgeFrame(R"({"type":"connected","userId":"u","timestamp":1,"serverId":"s"})", kDepthMax);
  EXPECT_EQ(connected.type, EdgeType::kConnected);
  EXPECT_EQ(connected.user_id, "u");
  EXPECT_EQ(connected.server_id, "s");
  for (const std::string_view text : {R"({"type":"connected"})", R"({"type":"connected","userId":"u"})",
                                      R"({"type":"connected","userId":1,"serverId":"s"})",
                                      R"({"type":"connected","userId":"u","serverId":"s","timestamp":"1"})"}) {
    EXPECT_EQ(DecodeEdgeFrame(text, kDepthMax).type, EdgeType::kBad) << text;
  }
}

TEST(WireEncoderTest, NoCapabilitiesAreAnEmptyList) {
  EXPECT_EQ(EncodeHello(0), R"({"type":"hello","capabilities":[]})");
  EXPECT_EQ(EncodeHelloAck(0), R"({"type":"hello_ack","capabilities":[]})");
}

TEST(WireDecoderTest, BusyNeedsOnlyAnId) {
  for (const char* more : {"", R"(,"success":7)"}) {
    const AgentFrame frame = Decoded(R"({"type":"tool_busy","requestId":"r")" + std::string(more) + "}");
    EXPECT_EQ(frame.type, Type::kToolBusy) << more;
    EXPECT_EQ(frame.request_id, "r") << more;
  }
  EXPECT_EQ(WhyBad(R"({"type":"tool_busy","requestId":""})"), "tool_busy: requestId is empty");
}

TEST(WireDecoderTest, HelloSaysWhatTheAgentTakesWhereThatIsANumber) {
  const struct {
    std::string_view fields;
    std::optional<int64_t> bytes, depth;
  } cases[] = {
      {"", std::nullopt, std::nullopt},
      {R"(,"paramsBytesMax":1024,"jsonDepthMax":8)", 1024, 8},
      {R"(,"jsonDepthMax":8)", std::nullopt, 8},
      {R"(,"paramsBytesMax":0)", 0, std::nullopt},
      {R"(,"paramsBytesMax":null,"jsonDepthMax":null)", std::nullopt, std::nullopt},
      {R"(,"paramsBytesMax":1e400,"jsonDepthMax":-1)", std::nullopt, std::nullopt},
      {R"(,"paramsBytesMax":1e6)", 1000000, std::nullopt},
  };
  for (const auto& one : cases) {
    const AgentFrame frame = Decoded(R"({"type":"hello")" + std::string(one.fields) + "}");
    EXPECT_EQ(frame.type, Type::kHello) << one.fields;
    EXPECT_EQ(frame.limits.bytes_max, one.bytes) << one.fields;
    EXPECT_EQ(frame.limits.json_depth_max, one.depth) << one.fields;
  }
  for (const std::string_view fields :
       {R"("paramsBytesMax":"1024")", R"("jsonDepthMax":[8])", R"("jsonDepthMax":true)"}) {
    EXPECT_EQ(WhyBad(R"({"type":"hello","capabilities":["cancel"],)" + std::string(fields) + "}"),
              "hello: paramsBytesMax or jsonDepthMax is not a number");
  }
}

TEST(EdgeFrameTest, HelloAckSaysWhatTheEdgeTakes) {
  const EdgeFrameText ack = DecodeEdgeFrame(EncodeHelloAck(kCapabilityLimits, {100, 5}), kDepthMax);
  EXPECT_EQ(ack.capabilities, kCapabilityLimits);
  EXPECT_EQ(ack.limits.bytes_max, 100);
  EXPECT_EQ(ack.limits.json_depth_max, 5);
  EXPECT_EQ(DecodeEdgeFrame(R"({"type":"hello_ack","capabilities":[],"resultBytesMax":"x"})", kDepthMax).type,
            EdgeType::kBad);
}

TEST(EdgeFrameTest, HelloAckNeedsAList) {
  EXPECT_EQ(DecodeEdgeFrame(R"({"type":"hello_ack","capabilities":["x"]})", kDepthMax).type, EdgeType::kHelloAck);
  for (const std::string_view text : {R"({"type":"hello_ack"})", R"({"type":"hello_ack","capabilities":null})",
                                      R"({"type":"hello_ack","capabilities":[1]})"}) {
    EXPECT_EQ(DecodeEdgeFrame(text, kDepthMax).type, EdgeType::kBad) << text;
  }
}

TEST(EdgeFrameTest, CancelNeedsAnId) {
  const EdgeFrameText cancel = DecodeEdgeFrame(R"({"requestId":"r\u00e9","type":"tool_cancel"})", kDepthMax);
  EXPECT_EQ(cancel.type, EdgeType::kToolCancel);
  EXPECT_EQ(cancel.request_id, "ré");
  for (const std::string_view text : {R"({"type":"tool_cancel"})", R"({"type":"tool_cancel","requestId":""})",
                                      R"({"type":"tool_cancel","requestId":1})"}) {
    EXPECT_EQ(DecodeEdgeFrame(text, kDepthMax).type, EdgeType::kBad) << text;
  }
}

TEST(EdgeFrameTest, HeartbeatAckNeedsNoTimestamp) {
  EXPECT_EQ(DecodeEdgeFrame(R"({"type":"heartbeat_ack"})", kDepthMax).type, EdgeType::kHeartbeatAck);
  EXPECT_EQ(DecodeEdgeFrame(R"({"type":"heartbeat_ack","timestamp":"1"})", kDepthMax).type, EdgeType::kBad);
}

TEST(EdgeFrameTest, UnknownTypesAreIgnoredAndNonsenseIsBad) {
  EXPECT_EQ(DecodeEdgeFrame(R"({"type":"heartbeat"})", kDepthMax).type, EdgeType::kUnknown);
  EXPECT_EQ(DecodeEdgeFrame(R"({"type":"later","params":1})", kDepthMax).type, EdgeType::kUnknown);
  EXPECT_EQ(DecodeEdgeFrame(R"({"type":1})", kDepthMax).type, EdgeType::kBad);
  EXPECT_EQ(DecodeEdgeFrame("{", kDepthMax).type, EdgeType::kBad);
  EXPECT_EQ(DecodeEdgeFrame(R"({"type":"heartbeat_ack","x":[]})", 1).type, EdgeType::kBad);
}

}  // namespace
}  // namespace toolwire
