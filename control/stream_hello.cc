// Alone, as it is compiled with the program's version.
#include "control/stream_hello.h"

#include "common/base/random_hex.h"

namespace toolwire {
namespace {

// Of four signs of life all are missing: one may come late, on a busy machine.
constexpr int kSignsMissing = 4;

}  // namespace

size_t MessageBytesMax(const ControlOptions& options) { return options.payload.payload_bytes_max + (2u << 20); }

v1::StreamHello StreamHelloOf(const ControlOptions& options) {
  v1::StreamHello hello;
  hello.set_version(TOOLWIRE_VERSION);
  hello.set_start_id(RandomHex(16));
  hello.set_calls_max(static_cast<uint32_t>(options.stream_calls_in_flight_max));
  hello.set_message_bytes_max(MessageBytesMax(options));
  hello.set_params_bytes_max(options.payload.payload_bytes_max);
  const Duration silence = kSignsMissing * options.stream_life_interval;
  hello.set_silence_ms(static_cast<uint32_t>(std::chrono::duration_cast<std::chrono::milliseconds>(silence).count()));
  hello.set_says_clock_read(true);
  return hello;
}

std::string DispatchHelloOf(const v1::StreamHello& hello) {
  v1::DispatchReply reply;
  *reply.mutable_hello() = hello;
  return reply.SerializeAsString();
}

std::string FollowHelloOf(const v1::StreamHello& hello) {
  v1::WatchAgentsResponse response;
  response.mutable_hello()->set_version(hello.version());
  response.mutable_hello()->set_start_id(hello.start_id());
  response.mutable_hello()->set_silence_ms(hello.silence_ms());
  return response.SerializeAsString();
}

}  // namespace toolwire
