// The link between an edge and its old channels in Redis.
#ifndef TOOLWIRE_EDGE_OLD_CHANNELS_LINK_H_
#define TOOLWIRE_EDGE_OLD_CHANNELS_LINK_H_

#include <memory>

#include "common/audit/audit_log.h"
#include "common/base/clock.h"
#include "common/base/ticker.h"
#include "common/registry/redis_registry.h"
#include "edge/edge.h"
#include "edge/old_channels.h"

namespace toolwire {

// The old channels of one edge, attached to it like a control for as long as this lives. It ticks on its own thread.
class OldChannelsLink {
 public:
  OldChannelsLink(const EdgeOptions& options, const Clock& clock, RedisRegistry& redis, AuditLog& audit, Edge& edge);
  ~OldChannelsLink();
  OldChannels& channels() { return *channels_; }

 private:
  const std::shared_ptr<OldChannels> channels_;
  Edge& edge_;
  const LinkId link_;
  Ticker ticker_;  // Last: its thread uses the channels.
};

}  // namespace toolwire

#endif  // TOOLWIRE_EDGE_OLD_CHANNELS_LINK_H_
