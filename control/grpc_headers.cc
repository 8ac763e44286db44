// gRPC 1.51 keeps a header of which a part has come, whatever length it announces, and copies all of that part with
// each frame of it: 22 MB held a thread, and with it all callers, for 30 s (CVE-2023-33953; later versions check the
// length first). No option bounds it, and neither the socket nor gRPC's statistics tell a long header from a long
// message. So this program has a function of the name of gRPC's own that takes the bytes of headers. The linker
// resolves gRPC's use of it to this one, which calls gRPC's and then looks at how much is kept. Built for 1.51 alone.
#include "control/grpc_headers.h"

#include <dlfcn.h>
#include <grpc/slice.h>
#include <grpcpp/version_info.h>

#include <cstdint>

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

// How gRPC's parser begins; the rest is of no concern.
struct HPackParserHead {
  void* metadata;
  const uint8_t *kept_begin, *kept_end;  // Of a std::vector: what could not be parsed yet.
};

[[maybe_unused]] absl::Status CheckKept(const void* parser) {
  const auto* const head = static_cast<const HPackParserHead*>(parser);
  if (head->kept_end - head->kept_begin <= static_cast<ptrdiff_t>(kHeaderBytesMax)) return absl::OkStatus();
  HeaderCountersOfProcess().header_bytes.Add();
  log::Warn("caller cut, one of its headers is too long");
  return absl::ResourceExhaustedError("a header is too long");
}

}  // namespace

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
  absl::Status status = of_grpc(parser, transport, stream, slice, is_last);
  return status.ok() ? toolwire::CheckKept(parser) : status;
}

#endif
