#include "control/edge_links.h"

#include <chrono>
#include <utility>

#include "common/base/log.h"

namespace toolwire {
namespace {

// How soon a link that broke is removed once the registry no longer names its edge.
constexpr Duration kLookEvery = std::chrono::seconds(1);

}  // namespace

EdgeLinks::EdgeLinks(Registry& registry, Dispatcher& dispatcher, size_t payload_bytes_max)
    : dispatcher_(dispatcher),
      payload_bytes_max_(payload_bytes_max),
      news_(std::make_shared<News>()),
      thread_([this] { Run(); }) {
  registry.WatchEdges([news = news_](std::vector<EdgeAddress> edges) {
    {
      MutexLock lock(news->mu);
      news->edges = std::move(edges);
      news->changed = true;
    }
    news->wake.NotifyOne();
  });
}

EdgeLinks::~EdgeLinks() {
  {
    MutexLock lock(news_->mu);
    news_->stopping = true;
  }
  news_->wake.NotifyOne();
  thread_.join();
}

void EdgeLinks::Run() {
  std::vector<EdgeAddress> edges;
  while (true) {
    {
      MutexLock lock(news_->mu);
      news_->wake.WaitFor(news_->mu, kLookEvery, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(news_->mu) {
        return news_->changed || news_->stopping;
      });
      if (news_->stopping) break;
      if (std::exchange(news_->changed, false)) edges = news_->edges;
    }
    Reconcile(edges);
  }
  links_.clear();
}

void EdgeLinks::Reconcile(const std::vector<EdgeAddress>& edges) {
  std::map<std::string, const EdgeAddress*> named;
  for (const EdgeAddress& edge : edges) named.emplace(edge.edge_id, &edge);
  for (auto it = links_.begin(); it != links_.end();) {
    const auto found = named.find(it->first);
    const bool gone = found == named.end() && !it->second->up();
    const bool moved = found != named.end() && found->second->relay_address != it->second->address();
    if (gone) log::Info("edge gone", {{"edge", it->first}, {"address", it->second->address()}});
    it = gone || moved ? links_.erase(it) : std::next(it);
  }
  for (const auto& [edge_id, edge] : named) {
    if (links_.count(edge_id) != 0) continue;
    log::Info("edge found", {{"edge", edge_id}, {"address", edge->relay_address}});
    links_.emplace(edge_id, std::make_unique<EdgeLink>(edge_id, edge->relay_address, dispatcher_, payload_bytes_max_));
  }
}

}  // namespace toolwire
