// Which server of a group is the master, by what the group's sentinels say.
#ifndef TOOLWIRE_COMMON_REGISTRY_SENTINEL_VIEW_H_
#define TOOLWIRE_COMMON_REGISTRY_SENTINEL_VIEW_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "common/registry/redis_url.h"

namespace toolwire {

// Without I/O and time. Sentinels do not agree at every moment: one that was away may name the master before. So a
// switch that is announced counts at once, if it begins at the master that we know; what a sentinel answers counts only
// while there is no master, or the one we know fails.
class SentinelView {
 public:
  SentinelView(std::string master_name, size_t sentinels);

  // Nothing: no sentinel has named one.
  const std::optional<RedisAddress>& master() const { return master_; }

  // Of sentinel 0, 1, ...: what it answers when it is asked; what it publishes on +switch-master, which is ignored if
  // it is of another name or malformed; that it can no longer be heard. True: master() is another one now.
  bool Answered(size_t sentinel, const RedisAddress& address);
  bool Published(size_t sentinel, absl::string_view message);
  void Lost(size_t sentinel);

  // What became of dialling `address`: it is a master and answers, or not. After a failure master() may be another one.
  void Dialled(const RedisAddress& address, bool works);

 private:
  struct Named {
    RedisAddress address;
    uint64_t at = 0;  // The greater, the later.
  };
  bool Choose();

  const std::string name_;
  std::vector<std::optional<Named>> named_;  // By sentinel, for those that can be heard.
  uint64_t heard_ = 0;
  std::optional<RedisAddress> master_;
  bool fails_ = false;  // master_ could not be dialled.
};

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_REGISTRY_SENTINEL_VIEW_H_
