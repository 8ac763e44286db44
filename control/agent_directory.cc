// One entry for each connected user, ordered for paging, with a hash index for calls and an ordered one for each edge.
// An event counts only if it concerns the session that the entry knows, by edge and epoch; a newer epoch replaces the
// entry. Each snapshot of an edge has a number, and an entry that of the one that named it last: at a snapshot's end
// those with an earlier number go. A watcher's snapshot is a walk over user ids; changes behind the place that it has
// reached are reported at once, and those before it when it comes there. What edges report is taken in in steps, and
// between them the lock is released, as thousands of agents may go at once and each watcher is notified of each.
#include "control/agent_directory.h"

#include <algorithm>
#include <limits>
#include <thread>
#include <utility>

#include "absl/strings/string_view.h"

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

constexpr uint64_t kEveryLink = std::numeric_limits<uint64_t>::max();
constexpr uint64_t kEverySnapshot = std::numeric_limits<uint64_t>::max();

void AppendEvent(W::Kind kind, const std::string& user_id, const Presence* presence, std::string* events) {
  W message;
  W::Event* const event = message.add_events();
  event->set_kind(kind);
  if (presence != nullptr) {
    *event->mutable_agent() = ToAgent(user_id, *presence);
  } else if (!user_id.empty()) {
    event->mutable_agent()->set_user_id(user_id);
  }
  if (kind == W::DISCONNECTED) event->mutable_agent()->clear_connected();
  message.AppendToString(events);
}

// The first agent after `after` that is within the bound, if there is one.
template <typename Agents>
auto FirstAfter(Agents& agents, const std::string& after, const UserBound& bound) {
  return after < bound.text ? agents.lower_bound(bound.text) : agents.upper_bound(after);
}

}  // namespace

void AgentDirectory::LetOthersIn() const {
  for (int i = 0; i < 1000 && waiting_.load(std::memory_order_relaxed) > 0; ++i) std::this_thread::yield();
}

void AgentDirectory::Apply(const std::string& edge_id,
                           const google::protobuf::RepeatedPtrField<v1::SessionEvent>& events, MonoTime now) {
  for (int i = 0; i < events.size(); LetOthersIn()) {
    if (events[i].snapshot_complete()) {
      uint64_t before = 0;
      {
        MutexLock lock(mu_);
        const auto edge = edges_.find(edge_id);
        if (edge != edges_.end()) before = edge->second.snapshots;
      }
      if (before > 0) ForgetNamedUntil(edge_id, before - 1, kEveryLink);
      Settle(edge_id);
      ++i;
      continue;
    }
    MutexLock lock(mu_);
    const uint64_t end = work_ + kSnapshotStep;
    for (; i < events.size() && !events[i].snapshot_complete() && work_ < end; ++i) {
      ApplyLocked(edge_id, events[i], now);
    }
  }
}

void AgentDirectory::ApplyLocked(const std::string& edge_id, const v1::SessionEvent& event, MonoTime now) {
  ++work_;
  if (event.connected()) return ConnectedLocked(edge_id, event);
  auto found = index_.find(event.user_id());
  if (found == index_.end()) return;
  Entry& entry = found->second->second;
  if (entry.presence.edge_id != edge_id || entry.presence.epoch != event.epoch()) return;
  if (!event.replaced()) {
    RemoveLocked(found->second);
  } else if (!std::exchange(entry.moving, true)) {
    moves_.push_back({now, event.user_id(), event.epoch()});
  }
}

void AgentDirectory::ForgetNamedUntil(const std::string& edge_id, uint64_t last, uint64_t link_number) {
  std::string from;
  for (bool at_end = false; !at_end; LetOthersIn()) {
    MutexLock lock(mu_);
    const auto edge = edges_.find(edge_id);
    if (edge == edges_.end() || edge->second.link > link_number) return;
    auto& agents = edge->second.agents;
    const uint64_t end = work_ + kSnapshotStep;
    auto it = agents.lower_bound(from);
    while (it != agents.end() && work_ < end) {
      ++work_;
      const Agents::iterator agent = (it++)->second;
      if (agent->second.named_in <= last) RemoveLocked(agent);
    }
    at_end = it == agents.end();
    if (!at_end) from = it->first;
  }
}

void AgentDirectory::Expire(MonoTime now) {
  MutexLock lock(mu_);
  const uint64_t end = work_ + kSnapshotStep;
  for (; !moves_.empty() && now - moves_.front().since >= kMoveMax && work_ < end; moves_.pop_front()) {
    ++work_;
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
  Edge& edge = edges_[edge_id];
  it->second.named_in = edge.snapshots;
  if (same) return;
  it->second.moving = false;
  if (!is_new) edges_.find(known.edge_id)->second.agents.erase(it->first);
  edge.agents.emplace(it->first, it);
  known = Presence{edge_id, event.epoch(), event.connected_at_ms()};
  if (is_new) index_.emplace(it->first, it);
  NotifyLocked(is_new ? v1::WatchAgentsResponse::CONNECTED : v1::WatchAgentsResponse::MOVED, it->first, known);
}

void AgentDirectory::RemoveLocked(Agents::iterator it) {
  NotifyLocked(v1::WatchAgentsResponse::DISCONNECTED, it->first, it->second.presence);
  edges_.find(it->second.presence.edge_id)->second.agents.erase(it->first);
  index_.erase(it->first);
  agents_.erase(it);
}

void AgentDirectory::BeginSnapshot(const std::string& edge_id, uint64_t link_number) {
  MutexLock lock(mu_);
  Edge& edge = edges_[edge_id];
  edge.link = link_number;
  ++edge.snapshots;
}

void AgentDirectory::RemoveEdge(const std::string& edge_id, uint64_t link_number) {
  ForgetNamedUntil(edge_id, kEverySnapshot, link_number);
  MutexLock lock(mu_);
  const auto edge = edges_.find(edge_id);
  if (edge != edges_.end() && edge->second.link <= link_number && edge->second.agents.empty()) edges_.erase(edge);
}

void AgentDirectory::Forget(const std::string& user_id, const std::string& edge_id, uint64_t epoch) {
  MutexLock lock(mu_);
  auto found = index_.find(user_id);
  if (found == index_.end()) return;
  const Entry& entry = found->second->second;
  if (entry.moving) return;
  if (entry.presence.edge_id == edge_id && entry.presence.epoch == epoch) RemoveLocked(found->second);
}

void AgentDirectory::Await(const std::string& edge_id) {
  MutexLock lock(mu_);
  awaited_.insert(edge_id);
}

void AgentDirectory::Settle(const std::string& edge_id) {
  {
    MutexLock lock(mu_);
    if (awaited_.erase(edge_id) == 0 || !awaited_.empty()) return;
  }
  SayComplete();
}

void AgentDirectory::SayComplete() {
  std::string complete;
  AppendEvent(W::SNAPSHOT_COMPLETE, "", nullptr, &complete);
  const auto bytes = std::make_shared<const std::string>(std::move(complete));
  uint64_t done = 0;  // Of the watches, in their order.
  for (bool at_end = false; !at_end; LetOthersIn()) {
    MutexLock lock(mu_);
    if (!awaited_.empty()) return;  // Again: then it will be said after that.
    const uint64_t end = work_ + kSnapshotStep;
    auto it = watches_.upper_bound(done);
    for (; it != watches_.end() && work_ < end; ++it) {
      ++work_;
      Watch_& watch = it->second;
      if (watch.complete && !std::exchange(watch.is_said, true)) watch.watcher(bytes);
      std::string events;
      while (!watch.unsaid.empty() && work_ < end) {
        ++work_;
        AppendEvent(W::DISCONNECTED, *watch.unsaid.begin(), nullptr, &events);
        watch.unsaid.erase(watch.unsaid.begin());
      }
      if (!events.empty()) watch.watcher(std::make_shared<const std::string>(std::move(events)));
      if (!watch.unsaid.empty()) break;
      done = it->first;
    }
    at_end = it == watches_.end();
  }
}

std::optional<Presence> AgentDirectory::Find(const std::string& user_id) const {
  waiting_.fetch_add(1, std::memory_order_relaxed);
  MutexLock lock(mu_);
  waiting_.fetch_sub(1, std::memory_order_relaxed);
  auto found = index_.find(user_id);
  if (found == index_.end() || found->second->second.moving) return std::nullopt;
  return found->second->second.presence;
}

std::vector<v1::Agent> AgentDirectory::List(const std::string& after, size_t limit, const std::string& edge_id,
                                            const UserBound& bound) const {
  std::vector<v1::Agent> out;
  const auto list = [&](const auto& agents, const auto& agent_at) {
    for (auto it = FirstAfter(agents, after, bound); it != agents.end() && out.size() < limit; ++it) {
      const Agents::value_type& agent = agent_at(it);
      if (!bound.Covers(agent.first)) break;
      out.push_back(ToAgent(agent.first, agent.second.presence));
    }
  };
  MutexLock lock(mu_);
  if (edge_id.empty()) {
    list(agents_, [](const auto& it) -> const Agents::value_type& { return *it; });
  } else if (const auto edge = edges_.find(edge_id); edge != edges_.end()) {
    list(edge->second.agents, [](const auto& it) -> const Agents::value_type& { return *it->second; });
  }
  return out;
}

size_t AgentDirectory::size() const {
  MutexLock lock(mu_);
  return agents_.size();
}

size_t AgentDirectory::size_of(const std::string& edge_id) const {
  MutexLock lock(mu_);
  const auto found = edges_.find(edge_id);
  return found == edges_.end() ? 0 : found->second.agents.size();
}

uint64_t AgentDirectory::Watch(std::set<std::string> users, Watcher watcher, UserBound bound) {
  uint64_t watch_id = 0;
  Watch_* watch = nullptr;
  {
    MutexLock lock(mu_);
    watch_id = ++last_watch_id_;
    watch = &watches_[watch_id];
    watch->users = std::move(users);
    watch->bound = std::move(bound);
    watch->watcher = std::move(watcher);
    if (watch->users.empty()) IndexLocked(watch);
  }
  // Nothing is reported to it before the first `Continue`.
  for (auto it = watch->users.begin(); it != watch->users.end(); LetOthersIn()) {
    MutexLock lock(mu_);
    for (size_t n = 0; it != watch->users.end() && n < kSnapshotStep; ++it, ++n) watches_of_user_[*it].insert(watch);
  }
  return watch_id;
}

void AgentDirectory::IndexLocked(Watch_* watch) {
  if (watch->bound.kind == UserBound::Kind::kAll) {
    watches_of_all_.insert(watch);
    return;
  }
  Watches& watches = watches_of_prefix_[watch->bound.text];
  if (watches.empty()) ++prefix_sizes_[watch->bound.text.size()];
  watches.insert(watch);
}

void AgentDirectory::UnindexLocked(Watch_* watch) {
  if (watches_of_all_.erase(watch) > 0) return;
  const auto found = watches_of_prefix_.find(watch->bound.text);
  if (found == watches_of_prefix_.end() || found->second.erase(watch) == 0 || !found->second.empty()) return;
  watches_of_prefix_.erase(found);
  const auto size = prefix_sizes_.find(watch->bound.text.size());
  if (--size->second == 0) prefix_sizes_.erase(size);
}

uint64_t AgentDirectory::WatchNamed(Watcher watcher) {
  MutexLock lock(mu_);
  const uint64_t watch_id = ++last_watch_id_;
  Watch_& watch = watches_[watch_id];
  watch.watcher = std::move(watcher);
  watch.complete = watch.is_said = true;
  return watch_id;
}

bool AgentDirectory::Follow(uint64_t watch_id, const std::vector<std::string>& users, size_t users_max,
                            Followed* followed) {
  MutexLock lock(mu_);
  const auto found = watches_.find(watch_id);
  if (found == watches_.end()) return true;
  Watch_& watch = found->second;
  std::string events;
  bool fits = true;
  for (const std::string& user_id : users) {
    ++work_;
    if (watch.users.insert(user_id).second) {
      fits = watch.users.size() <= users_max;
      if (!fits) {
        watch.users.erase(user_id);
        break;
      }
      watch.name_bytes += user_id.size();
      watches_of_user_[user_id].insert(&watch);
    }
    const auto agent = index_.find(user_id);
    if (agent != index_.end()) {
      AppendEvent(W::CONNECTED, user_id, &agent->second->second.presence, &events);
    } else if (awaited_.empty()) {
      AppendEvent(W::DISCONNECTED, user_id, nullptr, &events);
    } else {
      watch.unsaid.insert(user_id);
    }
  }
  *followed = {watch.users.size(), watch.name_bytes};
  if (!events.empty()) watch.watcher(std::make_shared<const std::string>(std::move(events)));
  return fits;
}

void AgentDirectory::Unfollow(uint64_t watch_id, const std::vector<std::string>& users, Followed* followed) {
  MutexLock lock(mu_);
  const auto found = watches_.find(watch_id);
  if (found == watches_.end()) return;
  Watch_& watch = found->second;
  for (const std::string& user_id : users) {
    ++work_;
    if (watch.users.erase(user_id) == 0) continue;
    watch.unsaid.erase(user_id);
    watch.name_bytes -= user_id.size();
    const auto of_user = watches_of_user_.find(user_id);
    of_user->second.erase(&watch);
    if (of_user->second.empty()) watches_of_user_.erase(of_user);
  }
  *followed = {watch.users.size(), watch.name_bytes};
}

bool AgentDirectory::OwesReport(uint64_t watch_id) const {
  MutexLock lock(mu_);
  const auto found = watches_.find(watch_id);
  return found != watches_.end() && !found->second.unsaid.empty();
}

bool AgentDirectory::Continue(uint64_t watch_id) {
  MutexLock lock(mu_);
  auto found = watches_.find(watch_id);
  if (found == watches_.end() || found->second.is_said) return true;
  if (found->second.complete) return false;
  Watch_& watch = found->second;
  std::string events;
  size_t count = 0;
  if (watch.users.empty()) {
    auto it = FirstAfter(agents_, watch.reported_to, watch.bound);
    const auto end = agents_.end();
    const auto at_end = [&] { return it == end || !watch.bound.Covers(it->first); };
    for (; !at_end() && count < kSnapshotStep; ++it, ++count) {
      AppendEvent(W::CONNECTED, it->first, &it->second.presence, &events);
      watch.reported_to = it->first;
    }
    watch.complete = at_end();
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
  watch.is_said = watch.complete && awaited_.empty();
  if (watch.is_said) AppendEvent(W::SNAPSHOT_COMPLETE, "", nullptr, &events);
  if (!events.empty()) watch.watcher(std::make_shared<const std::string>(std::move(events)));
  return watch.is_said;
}

void AgentDirectory::Unwatch(uint64_t watch_id) {
  std::map<uint64_t, Watch_>::node_type node;
  {
    MutexLock lock(mu_);
    node = watches_.extract(watch_id);
    if (node.empty()) return;
    // Nothing is reported to it from here on, although it stands in the index for a while.
    node.mapped().complete = false;
    node.mapped().reported_to.clear();
    UnindexLocked(&node.mapped());
  }
  const std::set<std::string>& users = node.mapped().users;
  for (auto it = users.begin(); it != users.end(); LetOthersIn()) {
    MutexLock lock(mu_);
    for (size_t n = 0; it != users.end() && n < kSnapshotStep; ++it, ++n) {
      auto of_user = watches_of_user_.find(*it);
      of_user->second.erase(&node.mapped());
      if (of_user->second.empty()) watches_of_user_.erase(of_user);
    }
  }
}

void AgentDirectory::NotifyLocked(v1::WatchAgentsResponse::Kind kind, const std::string& user_id,
                                  const Presence& presence) {
  WatchBytes bytes;
  const auto notify = [&](const Watches& watches) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    work_ += watches.size();
    for (Watch_* watch : watches) {
      if (!watch->complete && user_id > watch->reported_to) continue;
      if (!watch->bound.Covers(user_id)) continue;
      if (!watch->unsaid.empty()) watch->unsaid.erase(user_id);
      if (bytes == nullptr) {
        std::string event;
        AppendEvent(kind, user_id, &presence, &event);
        bytes = std::make_shared<const std::string>(std::move(event));
      }
      watch->watcher(bytes);
    }
  };
  notify(watches_of_all_);
  for (const auto& [size, texts] : prefix_sizes_) {
    if (size > user_id.size()) break;
    const auto found = watches_of_prefix_.find(absl::string_view(user_id.data(), size));
    if (found != watches_of_prefix_.end()) notify(found->second);
  }
  const auto found = watches_of_user_.find(user_id);
  if (found != watches_of_user_.end()) notify(found->second);
}

}  // namespace toolwire
