// Alone, as it is compiled with the program's version.
#include "common/link/link.h"

namespace toolwire {

v1::LinkHello MakeHello(const std::string& id, const std::string& start, const RecordSender::Limits& limits) {
  v1::LinkHello hello;
  hello.set_id(id);
  hello.set_start(start);
  hello.set_software(TOOLWIRE_VERSION);
  hello.set_protocol(kLinkProtocol);
  hello.set_frame_bytes_max(limits.frame_bytes_max);
  hello.set_unfinished_bytes_max(limits.unfinished_bytes_max);
  hello.set_unfinished_max(static_cast<uint32_t>(limits.unfinished_max));
  return hello;
}

}  // namespace toolwire
