// Reads what can be read of requests that do not parse, so that a stream's other calls go on and the bad call has its
// audit row.
#ifndef TOOLWIRE_CONTROL_SALVAGE_H_
#define TOOLWIRE_CONTROL_SALVAGE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "toolwire/v1/dispatch.pb.h"

namespace toolwire {

// A call that does not parse, without the fields at fault.
struct SalvagedCall {
  uint64_t id = 0;  // Of a DispatchCall.
  v1::CallToolRequest request;
  std::string bad_field;  // Why: a name that is not UTF-8, or `params` or `timeout`, which cannot be read.
  bool params_too_large = false;
};
// False if the bytes are no protobuf message at all. `bad_field` is empty if the call does parse, and its `params` are
// not over `params_bytes_max`: such ones are not parsed.
bool SalvageCall(const std::string& bytes, size_t params_bytes_max, SalvagedCall* call);
// Fills `*request` with the calls that are fine and with the cancels, and `*bad` with the others.
bool SalvageDispatch(const std::string& bytes, size_t params_bytes_max, v1::DispatchRequest* request,
                     std::vector<SalvagedCall>* bad);

}  // namespace toolwire

#endif  // TOOLWIRE_CONTROL_SALVAGE_H_
