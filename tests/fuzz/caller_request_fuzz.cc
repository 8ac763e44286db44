// Any bytes as a caller's request: what parses is not changed by being salvaged, what does not is taken apart without
// loss of the other calls, and every call is either refused with a word on why or fit for an agent.
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/stubs/logging.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/base/json_text.h"
#include "control/call_request.h"
#include "control/salvage.h"
#include "tests/fakes/fake_clock.h"
#include "tests/fuzz/require.h"

namespace {

using toolwire::Call;
using toolwire::CallRequests;
using toolwire::SalvagedCall;
namespace json = toolwire::json;
namespace v1 = toolwire::v1;

CallRequests& Requests() {
  static toolwire::FakeClock clock;
  static toolwire::CallerAuth auth(clock);
  static CallRequests requests(clock, auth, toolwire::ControlOptions());
  return requests;
}

// With maps in one order, so that equal messages have equal bytes.
std::string BytesOf(const google::protobuf::Message& message) {
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    REQUIRE(message.SerializeToCodedStream(&coded));
  }
  return bytes;
}

void CheckFailure(const v1::CallFailure& failure, const Call& call) {
  REQUIRE(!failure.message().empty() && json::IsUtf8(failure.message()));
  REQUIRE(!failure.detail().field().empty() && json::IsUtf8(failure.detail().field()));
  // What its audit row holds.
  REQUIRE(json::IsUtf8(call.user_id) && json::IsUtf8(call.tool) && json::IsUtf8(call.request_id));
  REQUIRE(!call.request_id.empty() && call.request_id.size() <= 256);
}

void CheckRequest(v1::CallToolRequest request) {
  Call call;
  const std::optional<v1::CallFailure> failure = Requests().Read(std::move(request), std::nullopt, &call);
  if (failure) return CheckFailure(*failure, call);
  REQUIRE(!call.user_id.empty() && !call.tool.empty() && !call.request_id.empty());
  json::Kind kind = json::Kind::kNull;
  const int depth_max = toolwire::ControlOptions().payload.json_depth_max;
  REQUIRE(json::Validate(call.params_json, depth_max, &kind) == json::Error::kNone && kind == json::Kind::kObject);
}

void CheckSalvaged(SalvagedCall salvaged) {
  const v1::CallToolRequest& request = salvaged.request;
  REQUIRE(!salvaged.bad_field.empty());
  REQUIRE(json::IsUtf8(request.user_id()) && json::IsUtf8(request.tool()) && json::IsUtf8(request.request_id()));
  Call call;
  CheckFailure(Requests().RefuseUnreadable(std::move(salvaged), &call), call);
}

void CheckUnary(const std::string& bytes) {
  v1::CallToolRequest request;
  const bool parses = request.ParseFromString(bytes);
  SalvagedCall salvaged;
  const bool known = toolwire::SalvageCall(bytes, bytes.size(), &salvaged);
  if (parses) {
    REQUIRE(known && salvaged.bad_field.empty() && BytesOf(salvaged.request) == BytesOf(request));
    CheckRequest(std::move(request));
  } else if (known) {
    CheckSalvaged(std::move(salvaged));
  }
}

void CheckStream(const std::string& bytes) {
  v1::DispatchRequest request;
  const bool parses = request.ParseFromString(bytes);
  v1::DispatchRequest salvaged;
  std::vector<SalvagedCall> bad;
  const bool known = toolwire::SalvageDispatch(bytes, bytes.size(), &salvaged, &bad);
  if (parses) {
    REQUIRE(known && bad.empty() && BytesOf(salvaged) == BytesOf(request));
    for (v1::DispatchCall& one : *request.mutable_calls()) CheckRequest(std::move(*one.mutable_call()));
  } else if (known) {
    for (v1::DispatchCall& one : *salvaged.mutable_calls()) CheckRequest(std::move(*one.mutable_call()));
    for (SalvagedCall& one : bad) CheckSalvaged(std::move(one));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const google::protobuf::LogSilencer silencer;  // It would tell of every string that is not UTF-8.
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  CheckUnary(bytes);
  CheckStream(bytes);
  return 0;
}
