#include "control/call_request.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <future>
#include <limits>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "common/base/json_text.h"
#include "tests/fakes/fake_clock.h"
#include "tests/fakes/recording_sink.h"
#include "tests/unit/control/tokens_fixture.h"

namespace toolwire {
namespace {

using E = v1::CallError;
using std::chrono::milliseconds;
using std::chrono::seconds;

std::string Nested(int depth) {
  std::string text = "{\"a\":";
  for (int i = 1; i < depth; ++i) text += "[";
  for (int i = 1; i < depth; ++i) text += "]";
  return depth == 1 ? "{}" : text + "}";
}

class CallRequestTest : public ::testing::Test {
 protected:
  static v1::CallToolRequest Request(const std::string& params_json = "{}") {
    v1::CallToolRequest request;
    request.set_user_id("user_42");
    request.set_tool("read_file");
    request.set_params_json(params_json);
    return request;
  }
  // The field that the request is refused for, or "taken". Either way `call_` holds it.
  std::string Read(v1::CallToolRequest request, std::optional<MonoTime> deadline = std::nullopt) {
    call_ = Call();
    failure_ = requests().Read(std::move(request), deadline, &call_);
    if (!failure_) return "taken";
    EXPECT_EQ(failure_->code(), 3);
    EXPECT_EQ(failure_->detail().reason(), E::INVALID_REQUEST);
    EXPECT_EQ(failure_->detail().delivery(), E::NOT_SENT);
    EXPECT_EQ(failure_->detail().request_id(), call_.request_id);
    EXPECT_FALSE(call_.request_id.empty()) << "every audit row has an id";
    EXPECT_FALSE(failure_->message().empty());
    EXPECT_FALSE(failure_->detail().has_retry_after());
    EXPECT_LE(call_.user_id.size(), 256u) << "what is audited is bounded";
    EXPECT_LE(call_.tool.size(), 256u);
    EXPECT_LE(call_.request_id.size(), 256u);
    EXPECT_LE(call_.params_json.size(), options_.payload.payload_bytes_max);
    return failure_->detail().field();
  }
  // How long the call may take.
  Duration TimeOf(v1::CallToolRequest request, std::optional<MonoTime> deadline = std::nullopt) {
    EXPECT_EQ(Read(std::move(request), deadline), "taken");
    return call_.deadline - clock_.Now();
  }
  static v1::CallToolRequest WithTimeout(int64_t timeout_seconds, int32_t nanos = 0) {
    v1::CallToolRequest request = Request();
    request.mutable_timeout()->set_seconds(timeout_seconds);
    request.mutable_timeout()->set_nanos(nanos);
    return request;
  }
  // What a caller reads of a response with this result, as the answer of a stream.
  v1::CallToolResponse WithResult(const std::string& result_json) {
    v1::DispatchReply reply;
    v1::CallToolResponse* const response = reply.add_answers()->mutable_response();
    response->set_result_json(result_json);
    requests().AddResultValue(response);
    v1::DispatchReply read;
    EXPECT_TRUE(read.ParseFromString(reply.SerializeAsString()));
    EXPECT_EQ(read.answers(0).response().result_json(), result_json) << "the text stays as it is";
    return read.answers(0).response();
  }
  static std::string Quoted(size_t bytes) { return "\"" + std::string(bytes - 2, 'x') + "\""; }
  CallRequests& requests() {
    if (!requests_) requests_.emplace(clock_, auth_, options_);
    return *requests_;
  }

  FakeClock clock_;
  CallerAuth auth_{clock_};
  ControlOptions options_;
  std::optional<CallRequests> requests_;
  Call call_;
  std::optional<v1::CallFailure> failure_;
};

TEST_F(CallRequestTest, GoodRequestBecomesACallByteForByte) {
  v1::CallToolRequest request = Request(R"({ "b": 9007199254740993, "a": 1.50, "a": 1e400, "t": "\ud800\u0000" } )");
  request.set_request_id("req_1");
  EXPECT_EQ(Read(request), "taken");
  EXPECT_EQ(call_.user_id, "user_42");
  EXPECT_EQ(call_.tool, "read_file");
  EXPECT_EQ(call_.request_id, "req_1");
  EXPECT_EQ(call_.params_json, request.params_json());
}

TEST_F(CallRequestTest, AbsentParamsAreAnEmptyObject) {
  EXPECT_EQ(Read(Request("")), "taken");
  EXPECT_EQ(call_.params_json, "{}");
}

// --- names -----------------------------------------------------------------------------------------------------------

TEST_F(CallRequestTest, UserAndToolAreRequired) {
  v1::CallToolRequest request = Request();
  request.clear_user_id();
  EXPECT_EQ(Read(request), "user_id");
  EXPECT_EQ(call_.tool, "read_file") << "what is there can be audited";
  request = Request();
  request.clear_tool();
  EXPECT_EQ(Read(request), "tool");
  EXPECT_EQ(call_.user_id, "user_42");
}

TEST_F(CallRequestTest, NamesHoldUpTo256Bytes) {
  v1::CallToolRequest request = Request();
  request.set_user_id(std::string(256, 'u'));
  request.set_tool(std::string(256, 't'));
  request.set_request_id(std::string(256, 'r'));
  EXPECT_EQ(Read(request), "taken");
  request.set_request_id(std::string(257, 'r'));
  EXPECT_EQ(Read(request), "request_id");
  EXPECT_EQ(call_.request_id, std::string(256, 'r'));
  EXPECT_EQ(call_.user_id, std::string(256, 'u'));
  request.set_request_id("r");
  request.set_tool(std::string(257, 't'));
  EXPECT_EQ(Read(request), "tool");
  request.set_tool("t");
  request.set_user_id(std::string(257, 'u'));
  EXPECT_EQ(Read(request), "user_id");
  request.set_user_id(std::string(1 << 20, 'u'));
  EXPECT_EQ(Read(request), "user_id");
}

TEST_F(CallRequestTest, UserIdsThatNoAgentCanHaveAreRefused) {
  for (const std::string& user : {std::string("us\0er", 5), std::string("us\ner"), std::string("user\x7f")}) {
    v1::CallToolRequest request = Request();
    request.set_user_id(user);
    EXPECT_EQ(Read(request), "user_id");
    request = Request();
    request.set_tool(user);
    request.set_request_id(user);
    EXPECT_EQ(Read(request), "taken") << "tools and ids are the agents' and the callers' own";
  }
}

TEST_F(CallRequestTest, NamesThatAreNotUtf8AreRefusedAndNotKept) {
  v1::CallToolRequest request = Request();
  request.set_user_id("user\xff");
  EXPECT_EQ(Read(request), "user_id");
  EXPECT_EQ(call_.user_id, "");
  request = Request();
  request.set_tool("tool\xff");
  EXPECT_EQ(Read(request), "tool");
  request = Request();
  request.set_request_id("id\xff");
  EXPECT_EQ(Read(request), "request_id");
  EXPECT_TRUE(json::IsUtf8(call_.request_id));
}

// A failure travels in string fields, which readers refuse whole when they are not UTF-8.
TEST_F(CallRequestTest, NamesThatAreTooLongAreCutBetweenCharacters) {
  std::string text = "x";  // So that byte 256 is inside a character.
  for (int i = 0; i < 200; ++i) text += "ü";
  v1::CallToolRequest request = Request();
  request.set_request_id(text);
  EXPECT_EQ(Read(request), "request_id");
  EXPECT_TRUE(json::IsUtf8(failure_->detail().request_id()));
  v1::CallFailure parsed;
  EXPECT_TRUE(parsed.ParseFromString(failure_->SerializeAsString()));
  request = Request();
  request.set_tool(text);
  EXPECT_EQ(Read(request), "tool");
  EXPECT_TRUE(json::IsUtf8(call_.tool)) << "this is audited";
  request = Request();
  request.set_user_id(text);
  EXPECT_EQ(Read(request), "user_id");
  EXPECT_TRUE(json::IsUtf8(call_.user_id));
}

TEST_F(CallRequestTest, CallersAreRefusedUsersThatTheyMayNotName) {
  ASSERT_TRUE(auth_.Take(LineOf(1, "shop", "call", "user-prefix=shop_")).ok());
  const auto shop = auth_.Admit({"Bearer " + TokenText(1)}, Scope::kCall);
  for (const bool may : {true, false}) {
    v1::CallToolRequest request = Request();
    request.set_user_id(may ? "shop_1" : "bank_1");
    Call call;
    call.SetFrom(shop.caller);
    EXPECT_EQ(call.caller, "shop");
    const auto refused = requests().Read(std::move(request), std::nullopt, &call);
    ASSERT_EQ(refused.has_value(), !may);
    EXPECT_FALSE(call.user_id.empty()) << "the audit row names it";
    if (may) continue;
    EXPECT_EQ(refused->code(), 7);
    EXPECT_EQ(refused->detail().reason(), E::PERMISSION_DENIED);
    EXPECT_EQ(refused->detail().delivery(), E::NOT_SENT);
    EXPECT_EQ(refused->detail().request_id(), call.request_id);
  }
}

TEST_F(CallRequestTest, RequestsWithoutAnIdGetOneThatNobodyElseHas) {
  CallRequests other(clock_, auth_, options_);  // Of another control, or of this one after a restart.
  std::set<std::string> ids;
  std::vector<std::vector<std::string>> made(4);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t, from = t < 2 ? &requests() : &other] {
      for (int i = 0; i < 500; ++i) {
        Call call;
        EXPECT_FALSE(from->Read(Request(), std::nullopt, &call));
        made[t].push_back(call.request_id);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const auto& each : made) ids.insert(each.begin(), each.end());
  EXPECT_EQ(ids.size(), 2000u);
  for (const std::string& id : ids) {
    EXPECT_EQ(id.substr(0, 4), "req_") << "as backends in the field make them";
    EXPECT_LE(id.size(), 64u);
  }
}

// --- params ----------------------------------------------------------------------------------------------------------

TEST_F(CallRequestTest, ParamsMustBeOneJsonObject) {
  for (const char* text : {"[]", "null", "1", "\"{}\"", "true", "", "{", "{}{}", "{'a':1}", "{\"a\":}", " "}) {
    if (*text == '\0') continue;
    EXPECT_EQ(Read(Request(text)), "params_json") << text;
    EXPECT_EQ(call_.params_json, text) << "what is wrong can be audited";
  }
  EXPECT_EQ(Read(Request(" {} \n")), "taken");
}

TEST_F(CallRequestTest, ParamsMustBeUtf8) {
  EXPECT_EQ(Read(Request("{\"a\":\"\xff\"}")), "params_json");
  EXPECT_NE(failure_->message().find("UTF-8"), std::string::npos) << failure_->message();
  EXPECT_EQ(Read(Request("{\"a\":\"ü\"}")), "taken");
}

TEST_F(CallRequestTest, ParamsMayBeAsDeepAsTheLimit) {
  options_.payload.json_depth_max = 5;
  EXPECT_EQ(Read(Request(Nested(5))), "taken");
  EXPECT_EQ(Read(Request(Nested(6))), "params_json");
}

TEST_F(CallRequestTest, ParamsMayBeAsLargeAsTheLimit) {
  options_.payload.payload_bytes_max = 2000;
  const auto sized = [](size_t bytes) { return "{\"a\":\"" + std::string(bytes - 8, 'x') + "\"}"; };
  EXPECT_EQ(Read(Request(sized(2000))), "taken");
  EXPECT_EQ(call_.params_json.size(), 2000u);
  EXPECT_EQ(Read(Request(sized(2001))), "params_json");
  EXPECT_NE(failure_->message().find("2001"), std::string::npos) << failure_->message();
  EXPECT_EQ(call_.params_json, "") << "too large to be audited";
}

TEST_F(CallRequestTest, StructBecomesJson) {
  v1::CallToolRequest request = Request("");
  (*request.mutable_params()->mutable_fields())["path"].set_string_value("/tmp/\"ü\n");
  EXPECT_EQ(Read(request), "taken");
  EXPECT_EQ(call_.params_json, "{\"path\":\"/tmp/\\\"ü\\n\"}");
  request.mutable_params()->mutable_fields()->clear();
  EXPECT_EQ(Read(request), "taken");
  EXPECT_EQ(call_.params_json, "{}");
}

TEST_F(CallRequestTest, StructAndJsonTogetherAreRefused) {
  v1::CallToolRequest request = Request("{}");
  request.mutable_params();
  EXPECT_EQ(Read(request), "params");
}

TEST_F(CallRequestTest, StructIsHeldToTheSameLimits) {
  options_.payload.payload_bytes_max = 1024;
  options_.payload.json_depth_max = 4;
  v1::CallToolRequest large = Request("");
  (*large.mutable_params()->mutable_fields())["a"].set_string_value(std::string(1024, 'x'));
  EXPECT_EQ(Read(large), "params");
  EXPECT_EQ(requests().counters().params_too_large.value(), 1u);
  v1::CallToolRequest deep = Request("");
  google::protobuf::Value* value = &(*deep.mutable_params()->mutable_fields())["a"];
  for (int i = 0; i < 3; ++i) value = value->mutable_list_value()->add_values();
  value->set_bool_value(true);
  EXPECT_EQ(Read(deep), "taken") << call_.params_json;
  EXPECT_EQ(requests().counters().params_too_deep.value(), 0u);
  value->mutable_list_value();
  EXPECT_EQ(Read(deep), "params");
  EXPECT_EQ(requests().counters().params_too_deep.value(), 1u);
}

TEST_F(CallRequestTest, StructThatJsonCannotHoldIsRefused) {
  for (const double number : {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    v1::CallToolRequest request = Request("");
    (*request.mutable_params()->mutable_fields())["n"].set_number_value(number);
    EXPECT_EQ(Read(request), "params") << call_.params_json;
  }
  v1::CallToolRequest empty = Request("");
  (*empty.mutable_params()->mutable_fields())["n"];  // A value of no kind.
  const std::string read = Read(empty);
  EXPECT_TRUE(read == "params" || json::Validate(call_.params_json, 512, nullptr) == json::Error::kNone)
      << call_.params_json;
}

// --- deadlines -------------------------------------------------------------------------------------------------------

TEST_F(CallRequestTest, CallsTakeTheDefaultTimeUnlessTheyAskForAnother) {
  EXPECT_EQ(options_.call_timeout_default, std::chrono::minutes(1)) << "as in the replaced server";
  EXPECT_EQ(TimeOf(Request()), seconds(60));
  EXPECT_EQ(TimeOf(WithTimeout(5, 250'000'000)), milliseconds(5250));
  EXPECT_EQ(TimeOf(WithTimeout(0, 1)), Duration(1));
}

TEST_F(CallRequestTest, LongerTimesAreCutToTheMaximum) {
  options_.call_timeout_max = std::chrono::milliseconds(1500);
  options_.call_timeout_default = std::chrono::milliseconds(1000);
  EXPECT_EQ(TimeOf(WithTimeout(1, 500'000'000)), milliseconds(1500));
  EXPECT_EQ(requests().counters().timeouts_cut.value(), 0u);
  EXPECT_EQ(TimeOf(WithTimeout(1, 500'000'001)), milliseconds(1500));
  EXPECT_EQ(requests().counters().timeouts_cut.value(), 1u);
  EXPECT_EQ(TimeOf(WithTimeout(2)), milliseconds(1500));
  EXPECT_EQ(TimeOf(WithTimeout(std::numeric_limits<int64_t>::max(), 999'999'999)), milliseconds(1500));
}

TEST_F(CallRequestTest, TimeThatCutsNothingIsNotCounted) {
  options_.call_timeout_max = options_.call_timeout_default = seconds(2);
  EXPECT_EQ(TimeOf(WithTimeout(5), clock_.Now() + seconds(1)), seconds(1) - milliseconds(40));
  SalvagedCall salvaged{0, WithTimeout(5), "params"};
  requests().RefuseUnreadable(std::move(salvaged), &call_);
  EXPECT_EQ(requests().counters().timeouts_cut.value(), 0u);
}

TEST_F(CallRequestTest, TimesThatAreNotPositiveAreRefused) {
  EXPECT_EQ(Read(WithTimeout(0)), "timeout");
  EXPECT_EQ(Read(WithTimeout(-1)), "timeout");
  EXPECT_EQ(Read(WithTimeout(1, -1)), "timeout");
  EXPECT_EQ(Read(WithTimeout(std::numeric_limits<int64_t>::min())), "timeout");
}

TEST_F(CallRequestTest, EarlierOfTheTwoDeadlinesCounts) {
  EXPECT_EQ(TimeOf(WithTimeout(5), clock_.Now() + seconds(50)), seconds(5));
  EXPECT_EQ(call_.answer_by - clock_.Now(), seconds(50) - milliseconds(20));
  // What is kept back of the caller's own is for the answer's way: 40 ms, or three fifths.
  EXPECT_EQ(TimeOf(WithTimeout(50), clock_.Now() + seconds(5)), seconds(5) - milliseconds(40));
  EXPECT_EQ(TimeOf(Request(), clock_.Now() + milliseconds(50)), milliseconds(20));
  EXPECT_EQ(call_.answer_by - clock_.Now(), Duration(milliseconds(50)) - Duration(milliseconds(50)) / 3);
  EXPECT_EQ(TimeOf(WithTimeout(5), clock_.Now() + seconds(5)), seconds(5) - milliseconds(40));
  EXPECT_EQ(TimeOf(Request(), MonoTime::max()), seconds(60));
}

TEST_F(CallRequestTest, CallsWithoutADeadlineOfTheCallersOwnAreAnsweredWhenever) {
  TimeOf(Request());
  EXPECT_EQ(call_.answer_by, MonoTime::max());
}

TEST_F(CallRequestTest, DeadlineThatHasPassedStaysPassed) {
  EXPECT_LE(TimeOf(Request(), clock_.Now()), Duration::zero());
  EXPECT_LE(TimeOf(Request(), clock_.Now() - seconds(5)), Duration::zero());
}

// --- requests that cannot be read ------------------------------------------------------------------------------------

TEST_F(CallRequestTest, UnreadableRequestNamesItsFieldAndKeepsWhatCanBeAudited) {
  v1::CallToolRequest request = Request(R"({"a":1})");
  request.clear_tool();  // What was not UTF-8 is left out.
  request.set_request_id("req_1");
  const v1::CallFailure failure = requests().RefuseUnreadable({0, std::move(request), "tool"}, &call_);
  EXPECT_EQ(failure.code(), 3);
  EXPECT_EQ(failure.detail().reason(), E::INVALID_REQUEST);
  EXPECT_EQ(failure.detail().delivery(), E::NOT_SENT);
  EXPECT_EQ(failure.detail().field(), "tool");
  EXPECT_EQ(failure.detail().request_id(), "req_1");
  EXPECT_NE(failure.message().find("tool is not UTF-8"), std::string::npos) << failure.message();
  EXPECT_EQ(call_.user_id, "user_42");
  EXPECT_EQ(call_.request_id, "req_1");
}

TEST_F(CallRequestTest, UnreadableRequestWithoutAnythingStillGetsAnId) {
  const v1::CallFailure failure = requests().RefuseUnreadable({0, {}, "params"}, &call_);
  EXPECT_EQ(failure.detail().field(), "params");
  EXPECT_FALSE(call_.request_id.empty());
  EXPECT_EQ(failure.detail().request_id(), call_.request_id);
}

// --- results ---------------------------------------------------------------------------------------------------------

TEST_F(CallRequestTest, ResultIsTranscodedWhereProtobufCanHoldIt) {
  EXPECT_EQ(WithResult("\"ü\"").result().string_value(), "ü");
  EXPECT_EQ(WithResult("1.5").result().number_value(), 1.5);
  EXPECT_EQ(WithResult("true").result().bool_value(), true);
  EXPECT_TRUE(WithResult("null").has_result());
  EXPECT_EQ(WithResult("null").result().kind_case(), google::protobuf::Value::kNullValue);
  EXPECT_EQ(WithResult("[1,[]]").result().list_value().values_size(), 2);
  EXPECT_EQ(WithResult(R"({"a":{"b":2}})").result().struct_value().fields().at("a").struct_value().fields().size(), 1u);
}

TEST_F(CallRequestTest, ResultThatProtobufCannotHoldIsLeftOutAndTheResponseSaysSo) {
  EXPECT_FALSE(WithResult("").result_omitted()) << "there is none";
  for (const std::string& json : {std::string("1e400"), std::string("\"\\ud800\""), Nested(49), Nested(500)}) {
    const v1::CallToolResponse response = WithResult(json);
    EXPECT_FALSE(response.has_result());
    EXPECT_TRUE(response.result_omitted());
  }
  EXPECT_EQ(requests().counters().hand_form_large.value(), 0u);
}

TEST_F(CallRequestTest, ResultOverTheBoundOfTheHandFormIsLeftOut) {
  options_.hand_form_bytes_max = 2000;
  EXPECT_TRUE(WithResult(Quoted(2000)).has_result());
  EXPECT_EQ(requests().counters().hand_form_large.value(), 0u);
  const v1::CallToolResponse response = WithResult(Quoted(2001));
  EXPECT_FALSE(response.has_result());
  EXPECT_TRUE(response.result_omitted());
  EXPECT_EQ(requests().counters().hand_form_large.value(), 1u);
}

TEST_F(CallRequestTest, ResultsThatTakeLongInTheHandFormAreMadeByAThreadOfTheirOwnAndFewWait) {
  std::promise<void> first_begun, go_on;
  std::atomic<bool> first{true};
  const auto sink = std::make_shared<RecordingSink>([&](const v1::DispatchAnswer& outcome) {
    if (outcome.id() == 0 || !first.exchange(false)) return;
    first_begun.set_value();
    go_on.get_future().wait();
  });
  const auto settle = [&](uint64_t id, size_t bytes) {
    v1::DispatchAnswer outcome;
    outcome.set_id(id);
    outcome.mutable_response()->set_result_json(Quoted(bytes));
    HandFormSink(requests(), sink).Settle(std::move(outcome));
  };
  settle(1, 200'000);
  first_begun.get_future().wait();
  settle(0, 100);
  ASSERT_EQ(sink->Of(0).size(), 1u) << "a small one is made at once, and waits for nobody";
  EXPECT_FALSE(sink->Of(0)[0].response().result_omitted());
  uint64_t last = 1;
  while (requests().counters().hand_form_queue_full.value() == 0) settle(++last, 200'000);
  EXPECT_EQ(last - 1, CallRequests::kHandFormQueueBytesMax / 200'000);
  ASSERT_EQ(sink->Of(last).size(), 1u);
  EXPECT_TRUE(sink->Of(last)[0].response().result_omitted());
  EXPECT_EQ(sink->Of(2).size(), 0u);
  go_on.set_value();
  requests_.reset();  // Finishes what waits.
  for (uint64_t id = 1; id < last; ++id) {
    ASSERT_EQ(sink->Of(id).size(), 1u);
    EXPECT_FALSE(sink->Of(id)[0].response().result_omitted());
  }
}

TEST_F(CallRequestTest, ResultThatWouldMakeTheResponseLargerThanCallersReceiveIsLeftOut) {
  options_.hand_form_bytes_max = 4 << 20;
  std::string json = "[0";
  while (json.size() < 600'000) json += ",0";
  const v1::CallToolResponse fits = WithResult(json + "]");
  EXPECT_TRUE(fits.has_result());
  EXPECT_LT(fits.ByteSizeLong(), 4u << 20);
  while (json.size() < 700'000) json += ",0";
  EXPECT_TRUE(WithResult(json + "]").result_omitted());
}

TEST_F(CallRequestTest, ParamsOverTheBoundOfTheHandFormAreRefused) {
  options_.hand_form_bytes_max = 2000;
  v1::CallToolRequest request = Request("");
  std::string* const text = (*request.mutable_params()->mutable_fields())["a"].mutable_string_value();
  *text = std::string(2000 - 8, 'x');
  EXPECT_EQ(Read(request), "taken");
  EXPECT_EQ(call_.params_json.size(), 2000u);
  *text = std::string(2000 - 7, 'x');
  EXPECT_EQ(Read(request), "params");
  EXPECT_EQ(requests().counters().hand_form_large.value(), 1u);
  SalvagedCall salvaged;
  salvaged.request = Request("");
  salvaged.bad_field = "params";
  salvaged.params_too_large = true;
  const v1::CallFailure failure = requests().RefuseUnreadable(std::move(salvaged), &call_);
  EXPECT_NE(failure.message().find("more than 2000 bytes"), std::string::npos) << failure.message();
  EXPECT_EQ(requests().counters().hand_form_large.value(), 2u);
}

}  // namespace
}  // namespace toolwire
