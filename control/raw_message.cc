#include "control/raw_message.h"

#include <grpcpp/impl/codegen/proto_utils.h>

#include <utility>
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

grpc::ByteBuffer ToBuffer(std::string bytes) {
  constexpr size_t kCopiedBytesMax = 4096;
  if (bytes.size() <= kCopiedBytesMax) {
    const grpc::Slice copy(bytes);
    return grpc::ByteBuffer(&copy, 1);
  }
  auto* const kept = new std::string(std::move(bytes));
  const grpc::Slice slice(
      kept->data(), kept->size(), [](void* string) { delete static_cast<std::string*>(string); }, kept);
  return grpc::ByteBuffer(&slice, 1);
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
