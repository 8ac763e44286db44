// Bounds the headers that gRPC 1.51 takes of one stream.
#ifndef TOOLWIRE_CONTROL_GRPC_HEADERS_H_
#define TOOLWIRE_CONTROL_GRPC_HEADERS_H_

#include <cstddef>
#include <vector>

#include "common/base/counter.h"

namespace toolwire {

struct HeaderLimits {
  // Names and values of one request's headers together, as HTTP/2 counts them: some 32 bytes for each beside its text.
  // Announced to callers; more is RESOURCE_EXHAUSTED.
  int metadata_bytes;
  // All headers of one stream, as they are on the wire. Past it the connection is closed. A header in frames of one
  // byte takes the square of this to parse: 16 KiB 50 ms, 24 KiB 110 ms.
  size_t header_bytes;
};
// As much as gRPC takes by default, and twice that.
inline constexpr HeaderLimits kHeaderLimits{8 << 10, 16u << 10};
// A JSON Web Token of 16 KiB, and 4 KiB beside it; a little more before the connection is closed.
inline constexpr HeaderLimits kJwtHeaderLimits{20 << 10, 24u << 10};

// For all connections of this process, from now on: kHeaderLimits' until then.
void LimitHeaderBytes(size_t header_bytes);

// Connections that were closed for it. Any thread.
void AddHeaderSamples(std::vector<Sample>* out);

}  // namespace toolwire

#endif  // TOOLWIRE_CONTROL_GRPC_HEADERS_H_
