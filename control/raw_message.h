// Requests as bytes. gRPC's generated code refuses a message with one string that is not UTF-8 before anyone sees it,
// and with it, on a stream, every other call of every message; here the one call is refused instead.
#ifndef TOOLWIRE_CONTROL_RAW_MESSAGE_H_
#define TOOLWIRE_CONTROL_RAW_MESSAGE_H_

#include <google/protobuf/message.h>
#include <grpcpp/grpcpp.h>

#include <string>

#include "control/request_shape.h"

namespace toolwire {

// Parses or serializes as gRPC itself would.
bool FromBuffer(grpc::ByteBuffer* buffer, google::protobuf::Message* message);
grpc::ByteBuffer ToBuffer(const google::protobuf::Message& message);
// The bytes of a message that is serialized already; large ones are not copied.
grpc::ByteBuffer ToBuffer(std::string bytes);

// What `look`, one of request_shape.h, finds in the buffer.
Shape ShapeOf(Shape (*look)(google::protobuf::io::ZeroCopyInputStream*, const RequestBounds&),
              const RequestBounds& bounds, grpc::ByteBuffer* buffer);

// The bytes of a buffer that did not parse.
std::string BytesOf(const grpc::ByteBuffer& buffer);

}  // namespace toolwire

#endif  // TOOLWIRE_CONTROL_RAW_MESSAGE_H_
