// Alone, as it is compiled with the program's version.
#include "control/stream_hello.h"

#include "common/base/random_hex.h"
#include "toolwire/v1/dispatch.pb.h"

namespace toolwire {
namespace {

// Of four signs of life all are missing: one may come late, on a busy machine.
constexpr int kSignsMissing = 4;

}  // namespace

size_t MessageBytesMax(const ControlOptions& options) { return options.payload.payload_bytes_max + (2u << 20); }

std::string StreamHelloOf(const ControlOptions& options) {
  v1::DispatchReply reply;
  v1::StreamHello* const hello = reply.mutable_hello();
  hello->set_version(TOOLWIRE_VERSION);
  hello->set_start_id(RandomHex(16));
  hello->set_calls_max(static_cast<uint32_t>(options.stream_calls_in_flight_max));
  hello->set_message_bytes_max(MessageBytesMax(options));
  hello->set_params_bytes_max(options.payload.payload_bytes_max);
  const Duration silence = kSignsMissing * options.stream_life_interval;
  hello->set_silence_ms(
      static_cast<uint32_t>(std::chrono::duration_cast<std::chrono::milliseconds>(silence).count()));
  return reply.SerializeAsString();
}

}  // namespace toolwire
