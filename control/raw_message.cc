#include "control/raw_message.h"

#include <google/protobuf/unknown_field_set.h>
#include <grpcpp/impl/codegen/proto_utils.h>

#include <utility>

#include "common/json_text.h"

namespace toolwire {
namespace {

using google::protobuf::UnknownField;
using google::protobuf::UnknownFieldSet;

// Blanks the string fields of a CallToolRequest that are not UTF-8, and says which was the last.
std::string BlankBadNames(UnknownFieldSet* fields) {
  std::string bad;
  for (int i = 0; i < fields->field_count(); ++i) {
    UnknownField* field = fields->mutable_field(i);
    const auto* descriptor = v1::CallToolRequest::descriptor()->FindFieldByNumber(field->number());
    if (descriptor == nullptr || descriptor->type() != google::protobuf::FieldDescriptor::TYPE_STRING) continue;
    if (field->type() != UnknownField::TYPE_LENGTH_DELIMITED || json::IsUtf8(field->length_delimited())) continue;
    bad = descriptor->name();
    field->mutable_length_delimited()->clear();
  }
  return bad;
}

}  // namespace

bool FromBuffer(grpc::ByteBuffer* buffer, google::protobuf::Message* message) {
  grpc::ProtoBufferReader reader(buffer);
  return reader.status().ok() && message->ParseFromZeroCopyStream(&reader);
}

grpc::ByteBuffer ToBuffer(const google::protobuf::Message& message) {
  grpc::ByteBuffer buffer;
  bool own_buffer = false;
  grpc::GenericSerialize<grpc::ProtoBufferWriter, google::protobuf::Message>(message, &buffer, &own_buffer);
  return buffer;
}

std::string BytesOf(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  std::string bytes;
  if (!buffer.Dump(&slices).ok()) return bytes;
  for (const grpc::Slice& slice : slices) bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  return bytes;
}

bool SalvageCall(const std::string& bytes, SalvagedCall* call) {
  UnknownFieldSet fields;
  if (!fields.ParseFromString(bytes)) return false;
  call->bad_field = BlankBadNames(&fields);
  std::string cleaned;
  if (!fields.SerializeToString(&cleaned)) return false;
  if (call->request.ParseFromString(cleaned)) return true;
  // The strings are right, so what does not parse is the Struct.
  call->request.Clear();
  call->bad_field = "params";
  return true;
}

bool SalvageDispatch(const std::string& bytes, v1::DispatchRequest* request, std::vector<SalvagedCall>* bad) {
  UnknownFieldSet fields;
  if (!fields.ParseFromString(bytes)) return false;
  request->Clear();
  UnknownFieldSet rest;  // All but the calls.
  for (int i = 0; i < fields.field_count(); ++i) {
    const UnknownField& field = fields.field(i);
    if (field.number() != v1::DispatchRequest::kCallsFieldNumber ||
        field.type() != UnknownField::TYPE_LENGTH_DELIMITED) {
      rest.AddField(field);
      continue;
    }
    v1::DispatchCall one;
    if (one.ParseFromString(field.length_delimited())) {
      *request->add_calls() = std::move(one);
      continue;
    }
    UnknownFieldSet parts;
    if (!parts.ParseFromString(field.length_delimited())) return false;
    SalvagedCall call;
    for (int j = 0; j < parts.field_count(); ++j) {
      const UnknownField& part = parts.field(j);
      if (part.number() == v1::DispatchCall::kIdFieldNumber && part.type() == UnknownField::TYPE_VARINT) {
        call.id = part.varint();
      } else if (part.number() == v1::DispatchCall::kCallFieldNumber &&
                 part.type() == UnknownField::TYPE_LENGTH_DELIMITED) {
        if (!SalvageCall(part.length_delimited(), &call)) return false;
      }
    }
    bad->push_back(std::move(call));
  }
  std::string rest_bytes;
  return rest.SerializeToString(&rest_bytes) && request->MergeFromString(rest_bytes);
}

}  // namespace toolwire
