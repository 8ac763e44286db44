#include "cli/agent_view.h"

#include <utility>

namespace toolwire {

void AgentView::Begin() {
  unnamed_.clear();
  for (const auto& [user_id, agent] : agents_) unnamed_.insert(user_id);
}

bool AgentView::Take(Event* event) {
  if (event->kind() == v1::WatchAgentsResponse::SNAPSHOT_COMPLETE) return true;
  const v1::Agent& agent = event->agent();
  unnamed_.erase(agent.user_id());
  const auto known = agents_.find(agent.user_id());
  if (event->kind() == v1::WatchAgentsResponse::DISCONNECTED) {
    if (known == agents_.end()) return false;
    agents_.erase(known);
    return true;
  }
  if (known == agents_.end()) {
    event->set_kind(v1::WatchAgentsResponse::CONNECTED);
  } else if (known->second.epoch() == agent.epoch() && known->second.server_id() == agent.server_id()) {
    return false;
  } else {
    event->set_kind(v1::WatchAgentsResponse::MOVED);
  }
  agents_[agent.user_id()] = agent;
  return true;
}

std::vector<AgentView::Event> AgentView::TakeMissing() {
  std::vector<Event> missing;
  for (const std::string& user_id : std::exchange(unnamed_, {})) {
    Event event;
    event.set_kind(v1::WatchAgentsResponse::DISCONNECTED);
    *event.mutable_agent() = agents_[user_id];
    event.mutable_agent()->set_connected(false);
    agents_.erase(user_id);
    missing.push_back(std::move(event));
  }
  return missing;
}

}  // namespace toolwire
