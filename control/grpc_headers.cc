// gRPC 1.51 keeps a header of which a part has come, whatever length it announces, and copies all of that part with
// each frame of it: 22 MB held a thread, and with it all callers, for 30 s (CVE-2023-33953; later versions check the
// length first). It counts headers against their limit for each frame alone: 100 MB of small ones in CONTINUATION
// frames were 1.5 GB and 4 s. No option bounds these, and neither the socket nor gRPC's statistics tell headers from
// messages. So this program has a function of the name of gRPC's own that takes the bytes of headers. The linker
// resolves gRPC's use of it to this one, which calls gRPC's and then looks at what came. Built for 1.51 alone.
#include "control/grpc_headers.h"

#include <dlfcn.h>
#include <grpc/slice.h>
#include <grpcpp/version_info.h>

#include <atomic>
#include <cstdint>
#include <cstring>

#include "absl/status/status.h"
#include "common/base/log.h"

namespace toolwire {
namespace {

struct HeaderCounters : CounterSet {
  LimitCounter header_bytes{this, kControlLimitHits, "header_bytes"};
};
HeaderCounters& HeaderCountersOfProcess() {
  static HeaderCounters counters;
  return counters;
}

std::atomic<size_t> header_bytes_max{kHeaderLimits.header_bytes};

// Where gRPC's function adds the bytes that it is given, for the stream's statistics.
constexpr size_t kHeaderBytesAt = 0x178;

[[maybe_unused]] uint64_t HeaderBytesOf(const void* stream) {
  uint64_t bytes = 0;
  if (stream != nullptr) std::memcpy(&bytes, static_cast<const char*>(stream) + kHeaderBytesAt, sizeof bytes);
  return bytes;
}

[[maybe_unused]] absl::Status TooLong() {
  HeaderCountersOfProcess().header_bytes.Add();
  log::Warn("caller cut, its headers are too long");
  return absl::ResourceExhaustedError("headers are too long");
}

}  // namespace

void LimitHeaderBytes(size_t header_bytes) { header_bytes_max = header_bytes; }

void AddHeaderSamples(std::vector<Sample>* out) { HeaderCountersOfProcess().AddSamples(out); }

}  // namespace toolwire

#if GRPC_CPP_VERSION_MAJOR == 1 && GRPC_CPP_VERSION_MINOR == 51

struct grpc_chttp2_transport;
struct grpc_chttp2_stream;

// Called with each piece of a HEADERS or CONTINUATION frame. An error closes the connection.
__attribute__((visibility("default"))) absl::Status grpc_chttp2_header_parser_parse(
    void* parser, grpc_chttp2_transport* transport, grpc_chttp2_stream* stream, const grpc_slice& slice, int is_last) {
  static const auto of_grpc = reinterpret_cast<decltype(&grpc_chttp2_header_parser_parse)>(dlsym(
      RTLD_NEXT, "_Z31grpc_chttp2_header_parser_parsePvP21grpc_chttp2_transportP18grpc_chttp2_streamRK10grpc_slicei"));
  const uint64_t before = toolwire::HeaderBytesOf(stream);
  absl::Status status = of_grpc(parser, transport, stream, slice, is_last);
  if (!status.ok()) return status;
  const uint64_t bytes = toolwire::HeaderBytesOf(stream);
  // As gRPC adds them; if not, its streams are others than those that this knows.
  const bool counts = bytes - before == GRPC_SLICE_LENGTH(slice);
  return counts && bytes > toolwire::header_bytes_max.load(std::memory_order_relaxed) ? toolwire::TooLong() : status;
}

#endif
