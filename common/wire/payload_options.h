// Limits on what callers and agents send; edge and control must agree on them.
#ifndef TOOLWIRE_COMMON_WIRE_PAYLOAD_OPTIONS_H_
#define TOOLWIRE_COMMON_WIRE_PAYLOAD_OPTIONS_H_

#include <cstddef>

namespace CLI {
class App;
}

namespace toolwire {

struct PayloadOptions {
  size_t payload_bytes_max = 16u << 20;  // Params or result of one call: 16 MiB, as large as agents' files get.
  int json_depth_max = 512;              // Nesting: far over real documents, far under what breaks parsers.
};

void AddPayloadFlags(CLI::App* app, PayloadOptions* options);

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_WIRE_PAYLOAD_OPTIONS_H_
