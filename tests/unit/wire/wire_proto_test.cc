// wire.proto, the golden frames and the codec agree: checked by reflection, so for each message that there is.
#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "common/wire/wire_codec.h"
#include "toolwire/v1/wire.pb.h"

namespace toolwire {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using OrderedJson = nlohmann::ordered_json;
using Type = AgentFrame::Type;
using EdgeType = EdgeFrameText::Type;

constexpr int kDepthMax = 64;

// A frame of tests/golden, without the newline at the end of the file.
std::string Golden(const std::string& frame_type) {
  std::ifstream file(TOOLWIRE_TESTS_DIR "/golden/" + frame_type + ".json", std::ios::binary);
  std::string frame;
  EXPECT_TRUE(std::getline(file, frame)) << "no golden frame for " << frame_type;
  EXPECT_EQ(file.peek(), std::char_traits<char>::eof()) << "a golden file is one line";
  return frame;
}

// The text of a member's value, byte for byte.
std::string Slice(std::string_view object, std::string_view name) {
  std::vector<json::Member> members;
  EXPECT_EQ(json::SplitObject(object, kDepthMax, &members), json::Error::kNone);
  for (const json::Member& member : members) {
    if (member.key == name) return std::string(member.value);
  }
  ADD_FAILURE() << "no " << name << " in " << object;
  return {};
}

std::string FrameType(const Message& message) {
  return message.GetDescriptor()->options().GetExtension(v1::frame_type);
}

bool IsRawJson(const FieldDescriptor& field) { return field.options().GetExtension(v1::raw_json); }

// Whether `value` has the JSON type that the field's proto type calls for.
bool HasTypeOf(const FieldDescriptor& field, const OrderedJson& value) {
  if (field.is_repeated()) {
    return value.is_array() && field.type() == FieldDescriptor::TYPE_STRING &&
           std::all_of(value.begin(), value.end(), [](const OrderedJson& one) { return one.is_string(); });
  }
  switch (field.type()) {
    case FieldDescriptor::TYPE_BOOL:
      return value.is_boolean();
    case FieldDescriptor::TYPE_INT64:
      return value.is_number_integer();  // never a string, as protobuf's own JSON mapping has it
    case FieldDescriptor::TYPE_STRING:
      return value.is_string();
    case FieldDescriptor::TYPE_BYTES:
      return IsRawJson(field);
    default:
      return false;  // the codec knows no other type yet
  }
}

// The message that a frame stands for, filled by its descriptor alone, without the codec.
std::unique_ptr<Message> MessageOf(const google::protobuf::Descriptor& descriptor, const std::string& frame) {
  std::unique_ptr<Message> message(
      google::protobuf::MessageFactory::generated_factory()->GetPrototype(&descriptor)->New());
  const google::protobuf::Reflection& reflection = *message->GetReflection();
  const OrderedJson json = OrderedJson::parse(frame);
  for (int i = 0; i < descriptor.field_count(); ++i) {
    const FieldDescriptor* field = descriptor.field(i);
    const OrderedJson& value = json.at(field->json_name());
    if (field->is_repeated()) {
      for (const OrderedJson& one : value) reflection.AddString(message.get(), field, one.get<std::string>());
    } else if (IsRawJson(*field)) {
      reflection.SetString(message.get(), field, Slice(frame, field->json_name()));
    } else if (value.is_boolean()) {
      reflection.SetBool(message.get(), field, value.get<bool>());
    } else if (value.is_number()) {
      reflection.SetInt64(message.get(), field, value.get<int64_t>());
    } else if (value.is_string()) {
      reflection.SetString(message.get(), field, value.get<std::string>());
    }
  }
  return message;
}

Capabilities BitsOf(const google::protobuf::RepeatedPtrField<std::string>& names) {
  Capabilities bits = 0;
  for (const CapabilityName& known : kKnownCapabilities) {
    if (std::count(names.begin(), names.end(), known.name) == 1) bits |= known.bit;
  }
  return bits;
}

template <typename HelloOrAck>
void AddNames(Capabilities bits, HelloOrAck* message) {
  for (const CapabilityName& known : kKnownCapabilities) {
    if ((bits & known.bit) != 0) message->add_capabilities(std::string(known.name));
  }
}

std::string Encoded(const Message& message) {
  if (const auto* hello = dynamic_cast<const v1::Hello*>(&message)) {
    return EncodeHello(BitsOf(hello->capabilities()), {hello->params_bytes_max(), hello->json_depth_max()});
  }
  if (const auto* ack = dynamic_cast<const v1::HelloAck*>(&message)) {
    return EncodeHelloAck(BitsOf(ack->capabilities()), {ack->result_bytes_max(), ack->json_depth_max()});
  }
  if (const auto* cancel = dynamic_cast<const v1::ToolCancel*>(&message)) return EncodeToolCancel(cancel->request_id());
  if (const auto* connected = dynamic_cast<const v1::Connected*>(&message)) {
    return EncodeConnected(connected->user_id(), connected->timestamp(), connected->server_id());
  }
  if (const auto* ack = dynamic_cast<const v1::HeartbeatAck*>(&message)) return EncodeHeartbeatAck(ack->timestamp());
  if (const auto* heartbeat = dynamic_cast<const v1::Heartbeat*>(&message)) {
    return EncodeHeartbeat(heartbeat->timestamp());
  }
  if (const auto* call = dynamic_cast<const v1::ToolCall*>(&message)) {
    return EncodeToolCall(call->request_id(), call->tool(), call->params(), {call->timeout_ms(), call->lost_timeout_ms()});
  }
  if (const auto* busy = dynamic_cast<const v1::ToolBusy*>(&message)) {
    return EncodeToolBusy(busy->request_id());
  }
  if (const auto* response = dynamic_cast<const v1::ToolResponse*>(&message)) {
    return EncodeToolResponse(response->request_id(), response->success(), response->result(), response->error(),
                              response->execution_time());
  }
  return "no encoder for " + message.GetTypeName();
}

// The message a frame decodes to, whichever side reads it.
std::unique_ptr<Message> DecodedMessage(const std::string& frame) {
  AgentFrame agent;
  WireDecoder(kDepthMax).Decode(frame, &agent);
  if (agent.type == Type::kHeartbeat) return std::make_unique<v1::Heartbeat>();
  if (agent.type == Type::kToolResponse) {
    auto response = std::make_unique<v1::ToolResponse>();
    response->set_request_id(agent.request_id);
    response->set_success(agent.success);
    response->set_result(std::string(agent.result_json));
    response->set_error(agent.error);
    response->set_execution_time(agent.execution_time_ms.value_or(0));
    return response;
  }
  if (agent.type == Type::kToolBusy) {
    auto busy = std::make_unique<v1::ToolBusy>();
    busy->set_request_id(agent.request_id);
    return busy;
  }
  if (agent.type == Type::kHello) {
    auto hello = std::make_unique<v1::Hello>();
    AddNames(agent.capabilities, hello.get());
    hello->set_params_bytes_max(agent.limits.bytes_max.value_or(0));
    hello->set_json_depth_max(agent.limits.json_depth_max.value_or(0));
    return hello;
  }
  const EdgeFrameText edge = DecodeEdgeFrame(frame, kDepthMax);
  if (edge.type == EdgeType::kHelloAck) {
    auto ack = std::make_unique<v1::HelloAck>();
    AddNames(edge.capabilities, ack.get());
    ack->set_result_bytes_max(edge.limits.bytes_max.value_or(0));
    ack->set_json_depth_max(edge.limits.json_depth_max.value_or(0));
    return ack;
  }
  if (edge.type == EdgeType::kToolCancel) {
    auto cancel = std::make_unique<v1::ToolCancel>();
    cancel->set_request_id(edge.request_id);
    return cancel;
  }
  if (edge.type == EdgeType::kHeartbeatAck) return std::make_unique<v1::HeartbeatAck>();
  if (edge.type == EdgeType::kConnected) {
    auto connected = std::make_unique<v1::Connected>();
    connected->set_user_id(edge.user_id);
    connected->set_server_id(edge.server_id);
    return connected;
  }
  if (edge.type == EdgeType::kToolCall) {
    auto call = std::make_unique<v1::ToolCall>();
    call->set_request_id(edge.request_id);
    call->set_tool(edge.tool);
    call->set_params(std::string(edge.params_json));
    if (edge.times.timeout_ms) call->set_timeout_ms(*edge.times.timeout_ms);
    if (edge.times.lost_timeout_ms) call->set_lost_timeout_ms(*edge.times.lost_timeout_ms);
    return call;
  }
  return nullptr;
}

class WireProtoTest : public testing::TestWithParam<const google::protobuf::Descriptor*> {
 protected:
  const google::protobuf::Descriptor& descriptor_ = *GetParam();
  const std::string frame_type_ = descriptor_.options().GetExtension(v1::frame_type);
};

std::vector<const google::protobuf::Descriptor*> AllMessages() {
  const google::protobuf::FileDescriptor& file = *v1::ToolCall::descriptor()->file();
  std::vector<const google::protobuf::Descriptor*> messages;
  for (int i = 0; i < file.message_type_count(); ++i) messages.push_back(file.message_type(i));
  return messages;
}

INSTANTIATE_TEST_SUITE_P(EveryMessage, WireProtoTest, testing::ValuesIn(AllMessages()),
                         [](const auto& info) { return info.param->name(); });

TEST_P(WireProtoTest, GoldenFrameHasTheTypeAndEveryFieldAndNothingMore) {
  const OrderedJson frame = OrderedJson::parse(Golden(frame_type_));
  std::vector<std::string> names;
  for (const auto& [name, value] : frame.items()) names.push_back(name);
  std::vector<std::string> expected = {"type"};
  for (int i = 0; i < descriptor_.field_count(); ++i) {
    const FieldDescriptor& field = *descriptor_.field(i);
    expected.push_back(field.json_name());
    const OrderedJson value = frame.value(field.json_name(), OrderedJson());
    // The one field whose absence is written out.
    if (frame_type_ == "tool_response" && field.name() == "error" && value.is_null()) continue;
    EXPECT_TRUE(HasTypeOf(field, value)) << field.full_name() << ": " << value;
  }
  EXPECT_EQ(names, expected);
  EXPECT_EQ(frame.at("type"), frame_type_);
}

TEST_P(WireProtoTest, EncoderWritesTheGoldenFrame) {
  const std::string golden = Golden(frame_type_);
  EXPECT_EQ(Encoded(*MessageOf(descriptor_, golden)), golden);
}

TEST_P(WireProtoTest, EncoderWritesEveryFieldWithTheTypeOfTheProto) {
  std::unique_ptr<Message> message(
      google::protobuf::MessageFactory::generated_factory()->GetPrototype(&descriptor_)->New());
  const google::protobuf::Reflection& reflection = *message->GetReflection();
  for (int i = 0; i < descriptor_.field_count(); ++i) {
    const FieldDescriptor* field = descriptor_.field(i);
    if (field->is_repeated()) {
      for (const CapabilityName& known : kKnownCapabilities) {
        reflection.AddString(message.get(), field, std::string(known.name));
      }
      continue;
    }
    if (field->type() == FieldDescriptor::TYPE_BOOL) reflection.SetBool(message.get(), field, true);
    if (field->type() == FieldDescriptor::TYPE_INT64) reflection.SetInt64(message.get(), field, 1000 + i);
    if (field->type() == FieldDescriptor::TYPE_STRING)
      reflection.SetString(message.get(), field, "é\n" + field->name());
    if (field->type() == FieldDescriptor::TYPE_BYTES) reflection.SetString(message.get(), field, R"({"raw":[1]})");
  }
  const std::string frame = Encoded(*message);
  const OrderedJson json = OrderedJson::parse(frame);
  EXPECT_EQ(json.size(), static_cast<size_t>(descriptor_.field_count()) + 1);
  EXPECT_EQ(json.at("type"), FrameType(*message));
  for (int i = 0; i < descriptor_.field_count(); ++i) {
    EXPECT_TRUE(HasTypeOf(*descriptor_.field(i), json.at(descriptor_.field(i)->json_name()))) << frame;
  }
  EXPECT_EQ(MessageOf(descriptor_, frame)->SerializeAsString(), message->SerializeAsString());
}

TEST_P(WireProtoTest, GoldenFrameDecodesToItsValues) {
  const std::string golden = Golden(frame_type_);
  const std::unique_ptr<Message> expected = MessageOf(descriptor_, golden);
  // Clocks only inform: no decoder returns them.
  const FieldDescriptor* clock = descriptor_.FindFieldByName("timestamp");
  if (clock != nullptr) expected->GetReflection()->ClearField(expected.get(), clock);
  const std::unique_ptr<Message> decoded = DecodedMessage(golden);
  ASSERT_NE(decoded, nullptr);
  EXPECT_EQ(decoded->GetTypeName(), expected->GetTypeName());
  EXPECT_EQ(decoded->ShortDebugString(), expected->ShortDebugString());
}

}  // namespace
}  // namespace toolwire
