// An edge's key names its address and its start, and expires soon after the edge no longer writes it; the set of ids
// says which keys to read. Both are read as a whole: there are tens of edges.

#include "common/registry/redis_edges.h"

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <tuple>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/base/log.h"
#include "common/registry/redis_registry.h"
#include "common/registry/redis_scripts.h"

namespace toolwire {
namespace {

std::string ValueOf(const EdgeAddress& edge) {
  const nlohmann::json value = {{"address", edge.relay_address}, {"instance", edge.instance_id}};
  return value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

bool Same(const EdgeAddress& a, const EdgeAddress& b) {
  return std::tie(a.edge_id, a.relay_address, a.instance_id) == std::tie(b.edge_id, b.relay_address, b.instance_id);
}

}  // namespace

std::optional<EdgeAddress> ReadAnnouncement(const std::string& edge_id, const std::string& text) {
  const nlohmann::json value = nlohmann::json::parse(text, nullptr, false);
  if (!value.is_object()) return std::nullopt;
  const auto field = [&](const char* name) {
    const auto found = value.find(name);
    return found != value.end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  EdgeAddress edge{edge_id, field("address"), field("instance")};
  if (edge.relay_address.empty()) return std::nullopt;
  return edge;
}

RedisEdges::RedisEdges(RedisClient& client, Options options, Events events)
    : client_(client), options_(std::move(options)), events_(std::move(events)) {}

void RedisEdges::Tick() {
  if (edge_) Write();
  if (watch_) Read();
}

void RedisEdges::OnUp() {
  if (edge_) edge_->is_announced = false;
  Tick();
}

void RedisEdges::Stop() {
  edge_.reset();
  watch_.reset();
}

// --- of an edge ------------------------------------------------------------------------------------------------------

void RedisEdges::Announce(const EdgeAddress& self) {
  edge_ = Announced{self, ValueOf(self)};
  Write();
}

void RedisEdges::Write() {
  const auto ttl_ms = std::chrono::duration_cast<std::chrono::milliseconds>(options_.ttl).count();
  // An environment that was refused does not come before the one that serves when Redis was emptied.
  const bool takes = served_by_.empty() || clock_.Now() - served_at_ > options_.ttl;
  client_.Eval(kAnnounceScript,
               {edge_->self.edge_id, edge_->value, std::to_string(ttl_ms), options_.environment, takes ? "1" : "",
                std::to_string(options_.database)},
               [this](const absl::StatusOr<RedisReply>& reply) {
                 if (!edge_) return;
                 if (absl::IsInternal(reply.status())) return OnRefused(reply.status());
                 if (!reply.ok() || reply->items.size() != 2) return;
                 edge_->is_refused = false;
                 OnServed(reply->items[1].text);
                 OnWritten(reply->items[0]);
               });
}

void RedisEdges::OnRefused(const absl::Status& why) {
  if (std::exchange(edge_->is_refused, true)) return;
  log::Error("redis cannot announce this edge", {{"keys", absl::StrCat("edge:", edge_->self.edge_id, ", toolwire:*")},
                                                 {"why", std::string(why.message())}});
}

void RedisEdges::OnServed(const std::string& other) {
  if (other == "nobody") return;  // Not for long enough.
  served_by_ = other;
  if (!other.empty()) served_at_ = clock_.Now();
  const std::optional<bool> before = std::exchange(may_serve_, other.empty());
  if (before == may_serve_) return;
  if (!other.empty()) {
    log::Error(
        "another environment serves the old channels of this Redis",
        {{"other", other}, {"ours", options_.environment}, {"mend", "give --no-old-channels, or another Redis"}});
  }
  events_.may_serve_changed();
}

void RedisEdges::OnWritten(const RedisReply& before) {
  if (!std::exchange(edge_->is_announced, true)) return;
  // What we wrote is not there: Redis was emptied, or another process writes the same key.
  if (before.type == RedisReply::Type::kNil) return events_.emptied();
  if (before.text == edge_->value) return;
  // Both read their own value now and then, so the conflict is over only after a pause.
  const MonoTime last = std::exchange(edge_->contested, clock_.Now());
  if (last != MonoTime() && edge_->contested - last < 2 * options_.ttl) return;
  const auto other = ReadAnnouncement(edge_->self.edge_id, before.text);
  log::Error("another edge has the same server id",
             {{"server_id", edge_->self.edge_id}, {"its_address", other ? other->relay_address : before.text}});
}

void RedisEdges::Leave(std::function<void()> left) {
  const Announced leaving = *std::move(edge_);
  edge_.reset();
  client_.Eval(kLeaveScript, {leaving.self.edge_id, leaving.value},
               [left = std::move(left)](const absl::StatusOr<RedisReply>&) { left(); });
}

// --- of a control ----------------------------------------------------------------------------------------------------

void RedisEdges::Watch(Registry::EdgesChanged changed) {
  watch_.emplace(std::move(changed));
  client_.Subscribe(options_.prefix + kAnnouncedEdgesKey, [this] {
    if (watch_) Read();
  });
}

void RedisEdges::Named(std::string edge_id) {
  if (!watch_) return;
  watch_->named.insert(std::move(edge_id));
  Read();
}

void RedisEdges::List(Registry::ListDone done) {
  client_.Eval(kEdgesScript, {}, [done = std::move(done)](const absl::StatusOr<RedisReply>& reply) {
    if (!reply.ok()) return done(reply.status());
    std::vector<std::string> edge_ids;
    for (size_t i = 0; i + 1 < reply->items.size(); i += 2) edge_ids.push_back(reply->items[i].text);
    done(std::move(edge_ids));
  });
}

void RedisEdges::Read() {
  if (std::exchange(watch_->reading, true)) {
    watch_->read_again = true;
    return;
  }
  client_.Eval(kEdgesScript, {},
               [this, named = std::exchange(watch_->named, {})](const absl::StatusOr<RedisReply>& reply) {
                 if (!watch_) return;
                 watch_->reading = false;
                 if (reply.ok()) OnRead(*reply, named);
                 if (std::exchange(watch_->read_again, false) && reply.ok()) Read();
               });
}

void RedisEdges::OnRead(const RedisReply& reply, const std::set<std::string>& named) {
  std::map<std::string, EdgeAddress> now;
  for (size_t i = 0; i + 1 < reply.items.size(); i += 2) {
    const std::string& edge_id = reply.items[i].text;
    watch_->missing_since.erase(edge_id);
    if (auto found = ReadAnnouncement(edge_id, reply.items[i + 1].text)) now.emplace(edge_id, *std::move(found));
  }
  const MonoTime present = clock_.Now();
  for (const auto& [edge_id, known] : watch_->edges) {
    if (now.count(edge_id) > 0 || named.count(edge_id) > 0) continue;
    const MonoTime since = watch_->missing_since.try_emplace(edge_id, present).first->second;
    if (present - since < options_.ttl) now.emplace(edge_id, known);
  }
  const bool same = now.size() == watch_->edges.size() &&
                    std::equal(now.begin(), now.end(), watch_->edges.begin(),
                               [](const auto& a, const auto& b) { return Same(a.second, b.second); });
  if (std::exchange(watch_->reported, true) && same) return;
  watch_->edges = std::move(now);
  std::vector<EdgeAddress> list;
  for (const auto& [edge_id, address] : watch_->edges) list.push_back(address);
  watch_->changed(std::move(list));
}

}  // namespace toolwire
