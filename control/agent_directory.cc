// One entry for each connected user, ordered for paging, with a hash index for calls. An event counts only if it
// concerns the session that the entry knows, by edge and epoch; a newer epoch replaces the entry. A new link marks the
// edge's entries as stale; events of its snapshot clear the mark, and at the snapshot's end the stale ones go. A
// watcher's snapshot is a walk over user ids, in steps; changes behind the place that it has reached are reported at
// once, and those before it when it comes there.
#include "control/agent_directory.h"

#include <algorithm>
#include <utility>

namespace toolwire {

v1::Agent ToAgent(const std::string& user_id, const std::optional<Presence>& presence) {
  v1::Agent agent;
  agent.set_user_id(user_id);
  if (!presence) return agent;
  agent.set_connected(true);
  agent.set_server_id(presence->edge_id);
  agent.set_epoch(presence->epoch);
  if (presence->connected_at_ms == 0) return agent;  // Known from the registry alone.
  agent.mutable_connected_at()->set_seconds(presence->connected_at_ms / 1000);
  agent.mutable_connected_at()->set_nanos(static_cast<int32_t>(presence->connected_at_ms % 1000 * 1000000));
  return agent;
}

using W = v1::WatchAgentsResponse;

namespace {

void AppendEvent(W::Kind kind, const std::string& user_id, const Presence* presence, std::string* events) {
  W message;
  W::Event* const event = message.add_events();
  event->set_kind(kind);
  if (presence != nullptr) *event->mutable_agent() = ToAgent(user_id, *presence);
  if (kind == W::DISCONNECTED) event->mutable_agent()->set_connected(false);
  message.AppendToString(events);
}

}  // namespace

void AgentDirectory::Apply(const std::string& edge_id,
                           const google::protobuf::RepeatedPtrField<v1::SessionEvent>& events, MonoTime now) {
  MutexLock lock(mu_);
  for (const v1::SessionEvent& event : events) {
    if (event.snapshot_complete()) {
      for (auto it = agents_.begin(); it != agents_.end();) {
        auto next = std::next(it);
        if (it->second.stale && it->second.presence.edge_id == edge_id) RemoveLocked(it);
        it = next;
      }
    } else if (event.connected()) {
      ConnectedLocked(edge_id, event);
    } else {
      auto found = index_.find(event.user_id());
      if (found == index_.end()) continue;
      Entry& entry = found->second->second;
      if (entry.presence.edge_id != edge_id || entry.presence.epoch != event.epoch()) continue;
      if (!event.replaced()) {
        RemoveLocked(found->second);
      } else if (!std::exchange(entry.moving, true)) {
        moves_.push_back({now, event.user_id(), event.epoch()});
      }
    }
  }
}

void AgentDirectory::Expire(MonoTime now) {
  MutexLock lock(mu_);
  for (; !moves_.empty() && now - moves_.front().since >= kMoveMax; moves_.pop_front()) {
    auto found = index_.find(moves_.front().user_id);
    if (found == index_.end()) continue;
    const Entry& entry = found->second->second;
    if (entry.moving && entry.presence.epoch == moves_.front().epoch) RemoveLocked(found->second);
  }
}

void AgentDirectory::ConnectedLocked(const std::string& edge_id, const v1::SessionEvent& event) {
  auto [it, is_new] = agents_.try_emplace(event.user_id());
  Presence& known = it->second.presence;
  if (!is_new && known.epoch > event.epoch()) return;
  const bool same = !is_new && known.epoch == event.epoch() && known.edge_id == edge_id;
  it->second.stale = false;
  if (same) return;
  it->second.moving = false;
  if (!is_new) CountOutLocked(known.edge_id);
  ++sizes_[edge_id];
  known = Presence{edge_id, event.epoch(), event.connected_at_ms()};
  if (is_new) index_.emplace(it->first, it);
  NotifyLocked(is_new ? v1::WatchAgentsResponse::CONNECTED : v1::WatchAgentsResponse::MOVED, it->first, known);
}

void AgentDirectory::CountOutLocked(const std::string& edge_id) {
  auto found = sizes_.find(edge_id);
  if (--found->second == 0) sizes_.erase(found);
}

void AgentDirectory::RemoveLocked(Agents::iterator it) {
  NotifyLocked(v1::WatchAgentsResponse::DISCONNECTED, it->first, it->second.presence);
  CountOutLocked(it->second.presence.edge_id);
  index_.erase(it->first);
  agents_.erase(it);
}

void AgentDirectory::BeginSnapshot(const std::string& edge_id, uint64_t link_number) {
  MutexLock lock(mu_);
  edges_[edge_id] = link_number;
  for (auto& [user_id, entry] : agents_) {
    if (entry.presence.edge_id == edge_id) entry.stale = true;
  }
}

void AgentDirectory::RemoveEdge(const std::string& edge_id, uint64_t link_number) {
  MutexLock lock(mu_);
  auto edge = edges_.find(edge_id);
  if (edge != edges_.end() && edge->second > link_number) return;
  if (edge != edges_.end()) edges_.erase(edge);
  for (auto it = agents_.begin(); it != agents_.end();) {
    auto next = std::next(it);
    if (it->second.presence.edge_id == edge_id) RemoveLocked(it);
    it = next;
  }
}

void AgentDirectory::Forget(const std::string& user_id, const std::string& edge_id, uint64_t epoch) {
  MutexLock lock(mu_);
  auto found = index_.find(user_id);
  if (found == index_.end()) return;
  const Entry& entry = found->second->second;
  if (entry.moving) return;
  if (entry.presence.edge_id == edge_id && entry.presence.epoch == epoch) RemoveLocked(found->second);
}

std::optional<Presence> AgentDirectory::Find(const std::string& user_id) const {
  MutexLock lock(mu_);
  auto found = index_.find(user_id);
  if (found == index_.end() || found->second->second.moving) return std::nullopt;
  return found->second->second.presence;
}

std::vector<v1::Agent> AgentDirectory::List(const std::string& after, size_t limit, const std::string& edge_id) const {
  std::vector<v1::Agent> out;
  MutexLock lock(mu_);
  for (auto it = agents_.upper_bound(after); it != agents_.end() && out.size() < limit; ++it) {
    if (!edge_id.empty() && it->second.presence.edge_id != edge_id) continue;
    out.push_back(ToAgent(it->first, it->second.presence));
  }
  return out;
}

size_t AgentDirectory::size() const {
  MutexLock lock(mu_);
  return agents_.size();
}

size_t AgentDirectory::size_of(const std::string& edge_id) const {
  MutexLock lock(mu_);
  auto found = sizes_.find(edge_id);
  return found == sizes_.end() ? 0 : found->second;
}

uint64_t AgentDirectory::Watch(std::set<std::string> users, Watcher watcher) {
  MutexLock lock(mu_);
  Watch_& watch = watches_[++last_watch_id_];
  watch.users = std::move(users);
  watch.watcher = std::move(watcher);
  for (const std::string& user_id : watch.users) watches_of_user_[user_id].push_back(&watch);
  if (watch.users.empty()) watches_of_all_.push_back(&watch);
  return last_watch_id_;
}

bool AgentDirectory::Continue(uint64_t watch_id) {
  MutexLock lock(mu_);
  auto found = watches_.find(watch_id);
  if (found == watches_.end() || found->second.complete) return true;
  Watch_& watch = found->second;
  std::string events;
  size_t count = 0;
  if (watch.users.empty()) {
    auto it = agents_.upper_bound(watch.reported_to);
    for (; it != agents_.end() && count < kSnapshotStep; ++it, ++count) {
      AppendEvent(W::CONNECTED, it->first, &it->second.presence, &events);
      watch.reported_to = it->first;
    }
    watch.complete = it == agents_.end();
  } else {
    auto it = watch.users.upper_bound(watch.reported_to);
    for (; it != watch.users.end() && count < kSnapshotStep; ++it) {
      watch.reported_to = *it;
      auto agent = index_.find(*it);
      if (agent == index_.end()) continue;
      AppendEvent(W::CONNECTED, *it, &agent->second->second.presence, &events);
      ++count;
    }
    watch.complete = it == watch.users.end();
  }
  if (watch.complete) AppendEvent(W::SNAPSHOT_COMPLETE, "", nullptr, &events);
  watch.watcher(std::make_shared<const std::string>(std::move(events)));
  return watch.complete;
}

void AgentDirectory::Unwatch(uint64_t watch_id) {
  MutexLock lock(mu_);
  auto found = watches_.find(watch_id);
  if (found == watches_.end()) return;
  Watch_* const watch = &found->second;
  const auto erase = [watch](std::vector<Watch_*>* from) { from->erase(std::find(from->begin(), from->end(), watch)); };
  if (watch->users.empty()) erase(&watches_of_all_);
  for (const std::string& user_id : watch->users) {
    auto of_user = watches_of_user_.find(user_id);
    erase(&of_user->second);
    if (of_user->second.empty()) watches_of_user_.erase(of_user);
  }
  watches_.erase(found);
}

void AgentDirectory::NotifyLocked(v1::WatchAgentsResponse::Kind kind, const std::string& user_id,
                                  const Presence& presence) {
  WatchBytes bytes;
  const auto notify = [&](const std::vector<Watch_*>& watches) {
    for (const Watch_* watch : watches) {
      if (!watch->complete && user_id > watch->reported_to) continue;
      if (bytes == nullptr) {
        std::string event;
        AppendEvent(kind, user_id, &presence, &event);
        bytes = std::make_shared<const std::string>(std::move(event));
      }
      watch->watcher(bytes);
    }
  };
  notify(watches_of_all_);
  auto found = watches_of_user_.find(user_id);
  if (found != watches_of_user_.end()) notify(found->second);
}

}  // namespace toolwire
