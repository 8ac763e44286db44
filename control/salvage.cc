// Reads the bytes as an UnknownFieldSet, which has no rules beyond the wire format, takes out the fields that the real
// message rejects, and parses the rest. In a stream's message this is done for each call that does not parse by itself,
// so the others and the cancels are kept as they are.
#include "control/salvage.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/duration.pb.h>
#include <google/protobuf/struct.pb.h>
#include <google/protobuf/unknown_field_set.h>

#include <utility>

#include "common/base/json_text.h"

namespace toolwire {
namespace {

using google::protobuf::UnknownField;
using google::protobuf::UnknownFieldSet;

bool Parses(const UnknownField& field) {
  const auto* descriptor = v1::CallToolRequest::descriptor()->FindFieldByNumber(field.number());
  if (descriptor == nullptr || field.type() != UnknownField::TYPE_LENGTH_DELIMITED) return true;
  const std::string& bytes = field.length_delimited();
  if (descriptor->type() == google::protobuf::FieldDescriptor::TYPE_STRING) return json::IsUtf8(bytes);
  if (field.number() == v1::CallToolRequest::kParamsFieldNumber) {
    return google::protobuf::Struct().ParseFromString(bytes);
  }
  if (field.number() == v1::CallToolRequest::kTimeoutFieldNumber) {
    return google::protobuf::Duration().ParseFromString(bytes);
  }
  return true;
}

// Takes out the fields of a CallToolRequest that do not parse, and returns which was the first.
std::string TakeOutBadFields(UnknownFieldSet* fields) {
  std::string bad;
  for (int i = fields->field_count() - 1; i >= 0; --i) {
    if (Parses(fields->field(i))) continue;
    bad = v1::CallToolRequest::descriptor()->FindFieldByNumber(fields->field(i).number())->name();
    fields->DeleteSubrange(i, 1);
  }
  return bad;
}

bool ParseFrom(const UnknownFieldSet& fields, google::protobuf::Message* message) {
  std::string bytes;
  return fields.SerializeToString(&bytes) && message->ParseFromString(bytes);
}

void SalvageFields(size_t params_bytes_max, UnknownFieldSet* fields, SalvagedCall* call) {
  size_t params_bytes = 0;
  for (int i = 0; i < fields->field_count(); ++i) {
    const UnknownField& field = fields->field(i);
    if (field.number() != v1::CallToolRequest::kParamsFieldNumber) continue;
    if (field.type() == UnknownField::TYPE_LENGTH_DELIMITED) params_bytes += field.length_delimited().size();
  }
  if (params_bytes > params_bytes_max) {
    fields->DeleteByNumber(v1::CallToolRequest::kParamsFieldNumber);
    SalvageFields(params_bytes_max, fields, call);
    if (call->bad_field.empty()) call->bad_field = "params";
    call->params_too_large = call->bad_field == "params";
    return;
  }
  call->bad_field = TakeOutBadFields(fields);
  if (ParseFrom(*fields, &call->request)) return;
  // Only a Struct can be too deep together with what is around it.
  call->bad_field = "params";
  fields->DeleteByNumber(v1::CallToolRequest::kParamsFieldNumber);
  if (!ParseFrom(*fields, &call->request)) call->request.Clear();
}

}  // namespace

bool SalvageCall(const std::string& bytes, size_t params_bytes_max, SalvagedCall* call) {
  UnknownFieldSet fields;
  if (!fields.ParseFromString(bytes)) return false;
  SalvageFields(params_bytes_max, &fields, call);
  // An UnknownFieldSet takes a few bytes for fields that a message does not take.
  return !call->bad_field.empty() || v1::CallToolRequest().ParseFromString(bytes);
}

bool SalvageDispatch(const std::string& bytes, size_t params_bytes_max, v1::DispatchRequest* request,
                     std::vector<SalvagedCall>* bad) {
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
    if (field.length_delimited().size() <= params_bytes_max && one.ParseFromString(field.length_delimited())) {
      *request->add_calls() = std::move(one);
      continue;
    }
    UnknownFieldSet parts;
    if (!parts.ParseFromString(field.length_delimited())) return false;
    SalvagedCall call;
    UnknownFieldSet request_fields;  // Of all its `call`s: protobuf merges them.
    for (int j = 0; j < parts.field_count(); ++j) {
      const UnknownField& part = parts.field(j);
      if (part.number() == v1::DispatchCall::kIdFieldNumber && part.type() == UnknownField::TYPE_VARINT) {
        call.id = part.varint();
      } else if (part.number() == v1::DispatchCall::kCallFieldNumber &&
                 part.type() == UnknownField::TYPE_LENGTH_DELIMITED) {
        UnknownFieldSet more;
        if (!more.ParseFromString(part.length_delimited())) return false;
        request_fields.MergeFrom(more);
      }
    }
    SalvageFields(params_bytes_max, &request_fields, &call);
    if (!call.bad_field.empty()) {
      bad->push_back(std::move(call));
      continue;
    }
    // A Struct that is only too deep where it was.
    v1::DispatchCall* const fine = request->add_calls();
    fine->set_id(call.id);
    *fine->mutable_call() = std::move(call.request);
  }
  std::string rest_bytes;
  return rest.SerializeToString(&rest_bytes) && request->MergeFromString(rest_bytes);
}

}  // namespace toolwire
