// Requests as bytes. gRPC's generated code refuses a message with one string that is not UTF-8 before anyone sees it,
// and with it, on a stream, every other call of every message; here the one call is refused instead.
#ifndef TOOLWIRE_CONTROL_RAW_MESSAGE_H_
#define TOOLWIRE_CONTROL_RAW_MESSAGE_H_

#include <google/protobuf/message.h>
#include <grpcpp/grpcpp.h>

#include <string>
#include <vector>

#include "toolwire/v1/dispatch.pb.h"

namespace toolwire {

// Parses or serializes as gRPC itself would.
bool FromBuffer(grpc::ByteBuffer* buffer, google::protobuf::Message* message);
grpc::ByteBuffer ToBuffer(const google::protobuf::Message& message);

// What can be read of a message that does not parse. For each call whose names are not UTF-8, `bad_field` names one.
struct SalvagedCall {
  uint64_t id = 0;  // Of a DispatchCall.
  v1::CallToolRequest request;
  std::string bad_field;  // Empty: the call is fine.
};
// False if the bytes are no protobuf message at all.
bool SalvageCall(const std::string& bytes, SalvagedCall* call);
// Fills `*request` with the calls that are fine and with the cancels, and `*bad` with the others.
bool SalvageDispatch(const std::string& bytes, v1::DispatchRequest* request, std::vector<SalvagedCall>* bad);

// The bytes of a buffer that did not parse.
std::string BytesOf(const grpc::ByteBuffer& buffer);

}  // namespace toolwire

#endif  // TOOLWIRE_CONTROL_RAW_MESSAGE_H_
