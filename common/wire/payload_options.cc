#include "common/wire/payload_options.h"

#include "common/base/flags.h"

namespace toolwire {

using flags::Number;

void AddPayloadFlags(CLI::App* app, PayloadOptions* options) {
  Number(app, "--payload-bytes-max", &options->payload_bytes_max, 1024, 256u << 20,
         "Largest params or result of a call, in bytes");
  Number(app, "--json-depth-max", &options->json_depth_max, 1, 10000, "Deepest nesting of params and results");
}

}  // namespace toolwire
