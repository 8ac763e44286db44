// What a caller that asks for it is told of control before it writes: dispatch.proto, `StreamHello`.
#ifndef TOOLWIRE_CONTROL_STREAM_HELLO_H_
#define TOOLWIRE_CONTROL_STREAM_HELLO_H_

#include <string>

#include "control/control_options.h"
#include "toolwire/v1/dispatch.pb.h"

namespace toolwire {

// The metadata with which a caller asks, with the value "1".
inline constexpr char kHelloMetadata[] = "toolwire-hello";

// With a start of its own: once for each process.
v1::StreamHello StreamHelloOf(const ControlOptions& options);

// The first reply on `Dispatch` and on `FollowAgents`, as bytes. The latter leaves out the limits of calls.
std::string DispatchHelloOf(const v1::StreamHello& hello);
std::string FollowHelloOf(const v1::StreamHello& hello);

// The largest message that a caller may send: the largest params and what is around them; params that are a little too
// large reach the check that reports it.
size_t MessageBytesMax(const ControlOptions& options);

}  // namespace toolwire

#endif  // TOOLWIRE_CONTROL_STREAM_HELLO_H_
