#include "control/edge_links.h"

#include <chrono>
#include <utility>

#include "common/base/log.h"

namespace toolwire {
namespace {

// How soon a link that broke is removed once the registry no longer names its edge.
constexpr Duration kEdgesLookEvery = std::chrono::seconds(1);
// How long watchers wait for a registry that does not name the edges.
constexpr Duration kKnownWaitMax = std::chrono::seconds(5);

}  // namespace

EdgeLinks::EdgeLinks(Registry& registry, Dispatcher& dispatcher, size_t payload_bytes_max, TlsFiles* tls)
    : dispatcher_(dispatcher), payload_bytes_max_(payload_bytes_max), tls_(tls), news_(std::make_shared<News>()) {
  // Until it is known which edges there are.
  dispatcher_.AwaitEdge("");
  thread_ = std::thread([this] { Run(); });
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
  const MonoTime known_by = std::chrono::steady_clock::now() + kKnownWaitMax;
  bool known = false;
  while (true) {
    bool changed = false;
    {
      MutexLock lock(news_->mu);
      news_->wake.WaitFor(news_->mu, kEdgesLookEvery, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(news_->mu) {
        return news_->changed || news_->stopping;
      });
      if (news_->stopping) break;
      changed = std::exchange(news_->changed, false);
      if (changed) edges = news_->edges;
    }
    Reconcile(edges, changed);
    if (!known && (changed || std::chrono::steady_clock::now() >= known_by)) {
      known = true;
      dispatcher_.SettleEdge("");
    }
  }
  links_.clear();
}

void EdgeLinks::Reconcile(const std::vector<EdgeAddress>& edges, bool news) {
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
    if (const auto link = links_.find(edge_id); link != links_.end()) {
      if (news && !link->second->up()) link->second->DialNow();
      continue;
    }
    log::Info("edge found", {{"edge", edge_id}, {"address", edge->relay_address}});
    links_.emplace(edge_id,
                   std::make_unique<EdgeLink>(edge_id, edge->relay_address, dispatcher_, payload_bytes_max_, tls_));
  }
}

}  // namespace toolwire
