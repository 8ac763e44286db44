// Bounds the headers that gRPC 1.51 takes of one stream.
#ifndef TOOLWIRE_CONTROL_GRPC_HEADERS_H_
#define TOOLWIRE_CONTROL_GRPC_HEADERS_H_

#include <cstddef>
#include <vector>

#include "common/base/counter.h"

namespace toolwire {

// Names and values of one request's headers together, as HTTP/2 counts them: some 32 bytes for each beside its text.
// Announced to callers; more is RESOURCE_EXHAUSTED. As much as gRPC takes by default.
inline constexpr int kMetadataBytesMax = 8 << 10;

// All headers of one stream, as they are on the wire. At twice what a request's may be the connection is closed. A
// header in frames of one byte takes the square of this to parse: 50 ms.
inline constexpr size_t kHeaderBytesMax = 2 * kMetadataBytesMax;

// Connections that were closed for it. Any thread.
void AddHeaderSamples(std::vector<Sample>* out);

}  // namespace toolwire

#endif  // TOOLWIRE_CONTROL_GRPC_HEADERS_H_
