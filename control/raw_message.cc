#include "control/raw_message.h"

#include <grpcpp/impl/codegen/proto_utils.h>

#include <vector>

namespace toolwire {

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

Shape ShapeOf(Shape (*look)(google::protobuf::io::ZeroCopyInputStream*, const RequestBounds&),
              const RequestBounds& bounds, grpc::ByteBuffer* buffer) {
  if (buffer->Length() <= bounds.plain_bytes_max()) return Shape::kFine;
  grpc::ProtoBufferReader reader(buffer);
  return look(&reader, bounds);
}

std::string BytesOf(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  std::string bytes;
  if (!buffer.Dump(&slices).ok()) return bytes;
  for (const grpc::Slice& slice : slices) bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  return bytes;
}

}  // namespace toolwire
