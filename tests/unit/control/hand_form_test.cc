#include "control/hand_form.h"

#include <google/protobuf/util/json_util.h>
#include <gtest/gtest.h>

#include <limits>
#include <optional>
#include <string>
#include <tuple>

#include "common/base/json_text.h"
#include "toolwire/v1/dispatch.pb.h"

namespace toolwire {
namespace {

using google::protobuf::Value;

constexpr size_t kAny = 64u << 20;

// The Value that is read of the bytes for this text, as protobuf's own JSON.
std::optional<std::string> Transcoded(const std::string& json, size_t bytes_max = kAny) {
  std::string bytes;
  if (!AppendValue(json, 0, bytes_max, &bytes)) {
    EXPECT_EQ(bytes, "");
    return std::nullopt;
  }
  Value value;
  EXPECT_TRUE(value.ParseFromString(bytes)) << json;
  EXPECT_EQ(value.ByteSizeLong(), bytes.size()) << json;
  std::string back;
  EXPECT_TRUE(google::protobuf::util::MessageToJsonString(value, &back).ok()) << json;
  return back;
}

TEST(HandFormTest, ValueIsTheOneOfItsText) {
  for (const char* json : {"null", "true", "false", "0", "-1.5", "1e+30", "\"\"", "\"\xc3\xbc\"", "[]", "{}", "[[],{}]",
                           "[1,[2,[\"3\",null]],true]", R"({"a":{"b":[{"c":false}]}})"}) {
    EXPECT_EQ(Transcoded(json), json);
  }
  EXPECT_EQ(Transcoded(" { \"a\" :\t[ 1 , \"x\" ]\n} "), R"({"a":[1,"x"]})");
  EXPECT_EQ(Transcoded(R"("\u00fc\n\"\\\ud83d\ude00")"), "\"\xc3\xbc\\n\\\"\\\\\xf0\x9f\x98\x80\"");
  EXPECT_EQ(Transcoded(R"({"\u0061":1})"), R"({"a":1})");
  EXPECT_EQ(Transcoded("1e-400"), "0");
  const std::string large = "\"" + std::string(300'000, 'x') + "\"";  // Lengths of one to three bytes.
  EXPECT_EQ(Transcoded("[" + large + ",\"" + std::string(200, 'y') + "\"]"),
            "[" + large + ",\"" + std::string(200, 'y') + "\"]");
}

TEST(HandFormTest, TextThatNoValueHoldsIsLeftOut) {
  for (const char* json : {"", " ", "[1", "{\"a\":}", "nul", "1e400", "[0,-1e400]", R"("\ud800")", R"({"\udc00":1})"}) {
    EXPECT_EQ(Transcoded(json), std::nullopt) << json;
  }
}

TEST(HandFormTest, SizeIsThatOfTheMessage) {
  EXPECT_EQ(Transcoded("[0,0]", 24), "[0,0]");
  EXPECT_EQ(Transcoded("[0,0]", 23), std::nullopt) << "5 bytes of text are 24 of a Value";
}

// As protobuf's parser with its default limit has it, for the answer of a stream.
TEST(HandFormTest, NestingIsAsDeepAsProtobufReads) {
  for (const auto& [open, close, deepest] :
       {std::tuple("[", "]", 49), std::tuple("{\"a\":", "}", 32), std::tuple("[{\"a\":", "}]", 19)}) {
    for (const int depth : {deepest, deepest + 1}) {
      std::string json;
      for (int i = 0; i < depth; ++i) json += open;
      json += open[0] == '[' && open[1] == '\0' ? "" : "0";
      for (int i = 0; i < depth; ++i) json += close;
      v1::DispatchReply reply;
      std::string value;
      const bool fits = AppendValue(json, 3, kAny, &value);
      EXPECT_EQ(fits, depth == deepest) << open << depth;
      if (!fits) continue;
      reply.add_answers()->mutable_response()->mutable_result()->ParsePartialFromString(value);
      EXPECT_TRUE(v1::DispatchReply().ParseFromString(reply.SerializeAsString()));
    }
  }
}

std::string Json(const google::protobuf::Struct& object) {
  std::string json;
  return AppendJson(object, &json) ? json : "none";
}

TEST(HandFormTest, ObjectIsWrittenAsJson) {
  google::protobuf::Struct object;
  Value& value = (*object.mutable_fields())["a\n"];
  const struct {
    double number;
    const char* text;
  } numbers[] = {{0, "0"},
                 {-0.0, "-0"},
                 {3, "3"},
                 {-100000, "-100000"},
                 {0.1, "0.1"},
                 {1e21, "1e+21"},
                 {9007199254740991, "9007199254740991"},
                 {123456789012345, "123456789012345"},
                 {std::numeric_limits<double>::denorm_min(), "5e-324"}};
  for (const auto& [number, text] : numbers) {
    value.set_number_value(number);
    EXPECT_EQ(Json(object), std::string("{\"a\\n\":") + text + "}");
  }
  value.mutable_list_value()->add_values()->set_bool_value(true);
  value.mutable_list_value()->add_values()->set_null_value(google::protobuf::NULL_VALUE);
  value.mutable_list_value()->add_values()->mutable_struct_value();
  value.mutable_list_value()->add_values()->set_string_value("\x01\"<");
  EXPECT_EQ(Json(object), R"({"a\n":[true,null,{},"\u0001\"<"]})");
  value.mutable_list_value()->add_values();
  EXPECT_EQ(Json(object), "none") << "a value of no kind";
}

}  // namespace
}  // namespace toolwire
