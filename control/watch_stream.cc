#include "control/watch_stream.h"

#include <utility>

namespace toolwire {

void WatchStream::Begin(std::set<std::string> users, std::function<void()> on_done, UserBound bound) {
  const bool of_all = users.empty();
  for (const std::string& user_id : users) Hold(kNameBytes + 2 * user_id.size());
  const uint64_t watch_id = directory_.Watch(
      std::move(users), [this](const Events& events) { Add(events); }, std::move(bound));
  EventStream::Begin(watch_id, of_all, std::move(on_done));
  directory_.Continue(watch_id);
}

}  // namespace toolwire
