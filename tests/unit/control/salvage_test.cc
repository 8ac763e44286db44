#include "control/salvage.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace toolwire {
namespace {

// Fields by their numbers, as they are on the wire.
std::string Field(int number, const std::string& bytes) {
  return std::string(1, static_cast<char>(number << 3 | 2)) + static_cast<char>(bytes.size()) + bytes;
}
std::string CallId(int id) { return std::string("\x08") + static_cast<char>(id); }
std::string UserId(const std::string& name) { return Field(v1::CallToolRequest::kUserIdFieldNumber, name); }
std::string Tool(const std::string& name) { return Field(v1::CallToolRequest::kToolFieldNumber, name); }
std::string Params(const std::string& bytes) { return Field(v1::CallToolRequest::kParamsFieldNumber, bytes); }
std::string Timeout(const std::string& bytes) { return Field(v1::CallToolRequest::kTimeoutFieldNumber, bytes); }

constexpr size_t kParamsMax = 20;
const std::string kNotUtf8 = "\xff";
const std::string kNoMessage = "\x0a\x7f";  // Says that 127 bytes follow.

struct Stream {
  v1::DispatchRequest request;
  std::vector<SalvagedCall> bad;
};
Stream Salvage(const std::string& bytes) {
  Stream stream;
  EXPECT_TRUE(SalvageDispatch(bytes, kParamsMax, &stream.request, &stream.bad));
  return stream;
}

TEST(SalvageTest, NamesTheFieldThatIsWhyAndKeepsTheOthers) {
  const struct {
    std::string bytes, field;
  } cases[] = {
      {UserId(kNotUtf8) + Tool("echo"), "user_id"},
      {UserId("user_1") + Tool(kNotUtf8), "tool"},
      {UserId("user_1") + Tool("echo") + Params(kNoMessage), "params"},
      {UserId("user_1") + Tool("echo") + Timeout(kNoMessage), "timeout"},
      {UserId("user_1") + Tool(kNotUtf8) + Timeout(kNoMessage), "tool"},
  };
  for (const auto& [bytes, field] : cases) {
    SCOPED_TRACE(field);
    SalvagedCall call;
    ASSERT_TRUE(SalvageCall(bytes, kParamsMax, &call));
    EXPECT_EQ(call.bad_field, field);
    EXPECT_EQ(call.request.user_id(), field == "user_id" ? "" : "user_1");
    EXPECT_EQ(call.request.tool(), field == "tool" ? "" : "echo");
  }
}

TEST(SalvageTest, BytesThatAreNoMessageAreNotSalvaged) {
  SalvagedCall call;
  EXPECT_FALSE(SalvageCall(kNoMessage, kParamsMax, &call));
  v1::DispatchRequest request;
  std::vector<SalvagedCall> bad;
  EXPECT_FALSE(SalvageDispatch(kNoMessage, kParamsMax, &request, &bad));
  EXPECT_FALSE(SalvageDispatch(Field(1, CallId(1) + Field(2, kNoMessage)), kParamsMax, &request, &bad));
}

TEST(SalvageTest, OtherCallsAndCancelsOfAStreamAreKept) {
  const Stream stream = Salvage(Field(1, CallId(1) + Field(2, UserId("user_1") + Tool("echo"))) +
                                Field(1, CallId(2) + Field(2, UserId(kNotUtf8))) +
                                Field(1, CallId(3) + Field(2, UserId("user_3"))) + Field(2, "\x07"));
  ASSERT_EQ(stream.request.calls_size(), 2);
  EXPECT_EQ(stream.request.calls(0).id(), 1u);
  EXPECT_EQ(stream.request.calls(0).call().tool(), "echo");
  EXPECT_EQ(stream.request.calls(1).call().user_id(), "user_3");
  ASSERT_EQ(stream.request.cancels_size(), 1);
  EXPECT_EQ(stream.request.cancels(0), 7u);
  ASSERT_EQ(stream.bad.size(), 1u);
  EXPECT_EQ(stream.bad[0].id, 2u);
  EXPECT_EQ(stream.bad[0].bad_field, "user_id");
}

// protobuf merges what is given twice; the second is no reason to forget what was wrong with the first.
TEST(SalvageTest, ParamsOverTheirBoundAreNotReadAndTheOtherCallsAre) {
  const std::string entry = Field(1, Field(1, "key") + Field(2, Field(3, "value")));  // 16 bytes of a Struct.
  const auto call = [](int id, const std::string& fields) {
    return Field(1, CallId(id) + Field(2, UserId("user_1") + Tool("echo") + fields));
  };
  const Stream stream = Salvage(call(1, Params(entry)) + call(2, Params(entry) + Params(entry)) +
                                call(3, Params(kNoMessage + std::string(20, 'x'))));
  ASSERT_EQ(stream.request.calls_size(), 1);
  EXPECT_EQ(stream.request.calls(0).call().params().fields().at("key").string_value(), "value");
  ASSERT_EQ(stream.bad.size(), 2u);
  for (const SalvagedCall& one : stream.bad) {
    EXPECT_EQ(one.bad_field, "params");
    EXPECT_TRUE(one.params_too_large) << one.id;
    EXPECT_EQ(one.request.tool(), "echo");
    EXPECT_FALSE(one.request.has_params());
  }
}

TEST(SalvageTest, CallGivenTwiceIsBadIfEitherIs) {
  const Stream stream =
      Salvage(Field(1, CallId(1) + Field(2, UserId(kNotUtf8)) + Field(2, UserId("user_1") + Tool("echo"))));
  EXPECT_EQ(stream.request.calls_size(), 0);
  ASSERT_EQ(stream.bad.size(), 1u);
  EXPECT_EQ(stream.bad[0].bad_field, "user_id");
  EXPECT_EQ(stream.bad[0].request.tool(), "echo");
}

}  // namespace
}  // namespace toolwire
