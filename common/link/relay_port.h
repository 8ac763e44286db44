// SEAM: the two directions of one control-edge link. The relay's protobuf frames are the messages, so a link in one
// process and a link over a socket differ only in who carries them.
#ifndef TOOLWIRE_COMMON_LINK_RELAY_PORT_H_
#define TOOLWIRE_COMMON_LINK_RELAY_PORT_H_

#include "toolwire/v1/relay.pb.h"

namespace toolwire {

// Carries frames from control to one edge. Any thread may call; never blocks; may deliver before it returns.
// REQUIRES: the caller holds no lock. Frames arrive in the order of the calls of one thread. A frame sent while the
// link is down is refused: false, and nothing of it leaves.
class ToEdge {
 public:
  virtual ~ToEdge() = default;
  virtual bool Send(v1::ControlFrame&& frame) = 0;
};

// Carries frames from an edge to one control. The same rules; frames for a link that is down are dropped, since the
// control has settled its calls by then.
class ToControl {
 public:
  virtual ~ToControl() = default;
  virtual void Send(v1::EdgeFrame&& frame) = 0;
};

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_LINK_RELAY_PORT_H_
