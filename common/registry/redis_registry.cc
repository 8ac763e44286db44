// Every change of a lease is one script. A claim subscribes to the user's channel (at edges that serve old channels),
// runs its script, and is made again if its connection was lost; while Redis is unavailable claims wait in `queued`,
// with a deadline, and releases in `unreleased`. Refreshes go in batches. LeaseEvents puts answers, marks and messages
// into one order. An edge writes its key, and a control reads all edges, every `edge_refresh` and when one is
// announced.

#include "common/registry/redis_registry.h"

#include <algorithm>
#include <deque>
#include <future>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <tuple>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "common/base/log.h"
#include "common/registry/lease_events.h"
#include "common/registry/redis_client.h"
#include "common/registry/redis_scripts.h"

namespace toolwire {
namespace {

constexpr size_t kRefreshBatch = 256;    // Users in one script: about 1 ms of Redis's time.
constexpr size_t kWaitingMax = 100'000;  // Claims under way, and releases kept.
constexpr Duration kLeaveTimeout = std::chrono::seconds(1);

// A listpack stays small up to 128 fields, so these hold 130,000 users in about 25 bytes each.
constexpr uint32_t kEpochHashes = 1024;

// The hash that has the user's epoch. FNV-1a: the same in every process, for ever.
std::string EpochHash(absl::string_view user_id) {
  uint32_t hash = 2166136261u;
  for (const char c : user_id) hash = (hash ^ static_cast<uint8_t>(c)) * 16777619u;
  return std::to_string((hash ^ hash >> 16) % kEpochHashes);
}

std::string CommandChannel(absl::string_view user_id) { return absl::StrCat("agent:", user_id, ":commands"); }

std::string Milliseconds(Duration span) {
  return std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(span).count());
}

absl::StatusOr<uint64_t> EpochOf(const RedisReply& reply) {
  uint64_t epoch = 0;
  if (absl::SimpleAtoi(reply.text, &epoch)) return epoch;
  return absl::InternalError("redis: an epoch that is no number");
}

std::string ValueOf(const EdgeAddress& edge) {
  const nlohmann::json value = {{"address", edge.relay_address}, {"instance", edge.instance_id}};
  return value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

bool Same(const EdgeAddress& a, const EdgeAddress& b) {
  return std::tie(a.edge_id, a.relay_address, a.instance_id) == std::tie(b.edge_id, b.relay_address, b.instance_id);
}

// What WatchEdges needs. Not in Impl: clang 14 would not make one there from its default values.
struct EdgesWatch {
  Registry::EdgesChanged changed;
  bool reading = false;
  bool read_again = false;
  bool reported = false;
  std::map<std::string, EdgeAddress> edges;       // As last reported.
  std::map<std::string, MonoTime> missing_since;  // Of these, those whose key is gone.
  std::set<std::string> named;                    // Announced since the last read was sent.
};

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

// Everything but the client's Post runs on the client's thread.
struct RedisRegistry::Impl {
  struct PendingClaim {
    std::string user_id;
    std::string edge_id;
    ClaimDone done;
    MonoTime deadline;
    bool sent = false;
    uint64_t interruptions = 0;  // Of the subscriptions, when it was sent.
  };
  struct KeptRelease {
    std::string user_id;
    std::string edge_id;
    uint64_t epoch = 0;
    ReleaseDone done;
  };
  struct Joined {
    EdgeAddress self;
    std::string value;    // Of the edge's key.
    std::string channel;  // Of "claimed" and "replaced".
    EdgeEvents events;
    bool listening = false;  // To the channel; claims made before could be replaced without our noticing.
    bool announced = false;  // Since Redis was last connected.
    MonoTime contested{};    // When another process last wrote the same key.
  };

  Impl(RedisUrl url, const Options& registry_options);
  ~Impl();

  // --- leases ---
  void Claim(PendingClaim claim);
  bool Ready() const { return client.connected() && (!edge || edge->listening); }
  void RunClaim(uint64_t id);
  void SendClaim(uint64_t id);
  void OnClaimReply(uint64_t id, const std::string& user_id, const std::string& edge_id,
                    const absl::StatusOr<RedisReply>& reply);
  void FinishClaim(uint64_t id, const absl::StatusOr<uint64_t>& epoch);
  void RunQueuedClaims();
  void ArmClaimExpiry();
  void Refresh(const std::string& edge_id, std::vector<Held> held);
  void SendRefresh(const std::string& edge_id, std::vector<Held> batch);
  void OnRefreshed(const std::string& edge_id, const std::vector<Held>& batch, const RedisReply& reply, bool whole);
  void Release(const std::string& user_id, const std::string& edge_id, uint64_t epoch, ReleaseDone done);

  // --- edges ---
  void Join(const EdgeAddress& self, EdgeEvents events);
  void Announce();
  void OnAnnounced(const RedisReply& before);
  void ReportRestored();
  void Leave(const std::string& edge_id, const std::shared_ptr<std::promise<void>>& left);
  void ReadEdges();
  void OnEdges(const RedisReply& reply, const std::set<std::string>& named);

  // --- what Redis sends unasked ---
  void OnUp(bool again);
  void OnInterrupted();
  void OnMessage(const std::string& channel, std::string message);
  void OnLeaseMark(absl::string_view mark);
  void Tick();

  const Options options;
  const SystemClock clock;
  const std::string lease_ttl_ms;
  LeaseEvents lease_events;
  absl::flat_hash_map<uint64_t, PendingClaim> claims;
  uint64_t claims_made = 0;
  std::deque<uint64_t> queued;                           // Claims that wait for Redis.
  std::deque<std::pair<MonoTime, uint64_t>> claims_due;  // In the order of their deadlines.
  bool expiry_armed = false;
  std::vector<KeptRelease> unreleased;  // For when Redis is available again.
  uint64_t interruptions = 0;
  std::optional<Joined> edge;
  std::optional<EdgesWatch> watch;
  absl::flat_hash_map<std::string, MessageHandler> handlers;
  RedisClient client;  // Last: its thread uses the others.
};

RedisRegistry::Impl::Impl(RedisUrl url, const Options& registry_options)
    : options(registry_options),
      lease_ttl_ms(Milliseconds(options.lease_ttl)),
      lease_events(options.command_channels, {[this](const std::string& user_id, uint64_t epoch) {
                                                if (edge && edge->events.replaced)
                                                  edge->events.replaced(user_id, epoch);
                                              },
                                              [this](const std::string& user_id, std::string message) {
                                                if (edge && edge->events.command)
                                                  edge->events.command(user_id, std::move(message));
                                              },
                                              [this](const std::string& user_id) {
                                                if (options.command_channels)
                                                  client.Unsubscribe(CommandChannel(user_id));
                                              }}),
      client({std::move(url), options.name, RegistryScripts(), options.command_timeout, kWaitingMax},
             {[this](bool again) { OnUp(again); }, [this] { OnInterrupted(); },
              [this](const std::string& channel, std::string message) { OnMessage(channel, std::move(message)); }}) {
  client.After(options.edge_refresh, [this] { Tick(); });
  client.Start();
}

RedisRegistry::Impl::~Impl() {
  client.Post([this] {
    edge.reset();
    watch.reset();
    while (!claims.empty()) FinishClaim(claims.begin()->first, absl::UnavailableError("the registry is closing"));
  });
}

// --- claims ----------------------------------------------------------------------------------------------------------

void RedisRegistry::Impl::Claim(PendingClaim claim) {
  if (claims.size() >= kWaitingMax) return claim.done(absl::UnavailableError("redis: too many claims wait"));
  const uint64_t id = ++claims_made;
  claim.deadline = clock.Now() + options.claim_wait_max;
  claims_due.emplace_back(claim.deadline, id);
  lease_events.ClaimBegun(claim.user_id);
  claims.emplace(id, std::move(claim));
  ArmClaimExpiry();
  RunClaim(id);
}

void RedisRegistry::Impl::RunClaim(uint64_t id) {
  const auto found = claims.find(id);
  if (found == claims.end()) return;
  if (!Ready()) return queued.push_back(id);
  if (!options.command_channels) return SendClaim(id);
  // Subscribed before the lease is visible: a backend that finds it may publish at once.
  client.Subscribe(CommandChannel(found->second.user_id), [this, id] { SendClaim(id); });
}

void RedisRegistry::Impl::SendClaim(uint64_t id) {
  const auto found = claims.find(id);
  if (found == claims.end()) return;
  if (!Ready()) return queued.push_back(id);
  PendingClaim& claim = found->second;
  claim.sent = true;
  claim.interruptions = interruptions;
  client.Eval(
      kClaimScript,
      {claim.user_id, EpochHash(claim.user_id), claim.edge_id, lease_ttl_ms, options.command_channels ? "1" : ""},
      [this, id, user_id = claim.user_id, edge_id = claim.edge_id](absl::StatusOr<RedisReply> reply) {
        OnClaimReply(id, user_id, edge_id, reply);
      });
}

void RedisRegistry::Impl::OnClaimReply(uint64_t id, const std::string& user_id, const std::string& edge_id,
                                       const absl::StatusOr<RedisReply>& reply) {
  const absl::StatusOr<uint64_t> epoch = reply.ok() ? EpochOf(*reply) : reply.status();
  const auto found = claims.find(id);
  if (found == claims.end()) {
    if (epoch.ok()) Release(user_id, edge_id, *epoch, {});  // The edge has left meanwhile.
    return;
  }
  // Lost with its connection. To make it again does no harm, if it was made: the newer lease is as good.
  PendingClaim& claim = found->second;
  claim.sent = false;
  const bool again = absl::IsUnavailable(epoch.status()) && !client.connected() && clock.Now() < claim.deadline;
  if (again) return queued.push_back(id);
  FinishClaim(id, epoch);
}

void RedisRegistry::Impl::FinishClaim(uint64_t id, const absl::StatusOr<uint64_t>& epoch) {
  const PendingClaim claim = std::move(claims.extract(id).mapped());
  claim.done(epoch);
  if (!epoch.ok()) return lease_events.ClaimFailed(claim.user_id);
  lease_events.Claimed(claim.user_id, *epoch, claim.interruptions == interruptions);
  if (client.subscribed() && lease_events.OwnershipUnknown(claim.user_id))
    SendRefresh(claim.edge_id, {{claim.user_id, *epoch}});
}

void RedisRegistry::Impl::RunQueuedClaims() {
  for (const uint64_t id : std::exchange(queued, {})) RunClaim(id);
}

// Fails the claims whose time is over, except those that Redis has now: these are answered within the command timeout.
void RedisRegistry::Impl::ArmClaimExpiry() {
  if (claims_due.empty() || std::exchange(expiry_armed, true)) return;
  client.After(claims_due.front().first - clock.Now(), [this] {
    expiry_armed = false;
    for (const MonoTime now = clock.Now(); !claims_due.empty() && claims_due.front().first <= now;) {
      const uint64_t id = claims_due.front().second;
      claims_due.pop_front();
      const auto found = claims.find(id);
      if (found == claims.end() || found->second.sent) continue;
      FinishClaim(
          id, client.why().ok() ? absl::UnavailableError("redis does not acknowledge a subscription") : client.why());
    }
    ArmClaimExpiry();
  });
}

// --- refreshes and releases ------------------------------------------------------------------------------------------

void RedisRegistry::Impl::Refresh(const std::string& edge_id, std::vector<Held> held) {
  std::vector<Held> batch;
  for (Held& one : held) {
    if (options.command_channels && lease_events.Remember(one.user_id, one.epoch)) {
      client.Subscribe(CommandChannel(one.user_id), [this, edge_id, one] { SendRefresh(edge_id, {one}); });
      continue;
    }
    batch.push_back(std::move(one));
    if (batch.size() == kRefreshBatch) SendRefresh(edge_id, std::exchange(batch, {}));
  }
  if (!batch.empty()) SendRefresh(edge_id, std::move(batch));
}

void RedisRegistry::Impl::SendRefresh(const std::string& edge_id, std::vector<Held> batch) {
  RedisArgs args = {edge_id, lease_ttl_ms, options.command_channels ? "1" : ""};
  for (const Held& one : batch) {
    args.push_back(one.user_id);
    args.push_back(EpochHash(one.user_id));
    args.push_back(std::to_string(one.epoch));
  }
  // Whether the answer can confirm that messages were ours all the time since the last interruption.
  const bool subscribed = client.subscribed();
  client.Eval(kRefreshScript, args,
              [this, edge_id, batch = std::move(batch), subscribed,
               then = interruptions](const absl::StatusOr<RedisReply>& reply) {
                if (reply.ok()) OnRefreshed(edge_id, batch, *reply, subscribed && then == interruptions);
              });
}

void RedisRegistry::Impl::OnRefreshed(const std::string& edge_id, const std::vector<Held>& batch,
                                      const RedisReply& reply, bool whole) {
  if (!edge || edge->self.edge_id != edge_id) return;
  for (size_t i = 0; i < batch.size() && i < reply.items.size(); ++i) {
    const int64_t outcome = reply.items[i].integer;
    if (outcome > kLeaseMadeAgain) {
      lease_events.Replaced(batch[i].user_id, static_cast<uint64_t>(outcome));
    } else if (outcome == kLeaseKept && whole) {
      lease_events.Confirmed(batch[i].user_id, batch[i].epoch);
    }
  }
}

void RedisRegistry::Impl::Release(const std::string& user_id, const std::string& edge_id, uint64_t epoch,
                                  ReleaseDone done) {
  lease_events.Released(user_id, epoch);
  client.Eval(kReleaseScript, {user_id, EpochHash(user_id), edge_id, std::to_string(epoch)},
              [this, user_id, edge_id, epoch, done = std::move(done)](const absl::StatusOr<RedisReply>& reply) {
                // Whether the agent has moved is not known until Redis is available again, so `done` waits.
                if (absl::IsUnavailable(reply.status()) && edge && unreleased.size() < kWaitingMax) {
                  unreleased.push_back({user_id, edge_id, epoch, done});
                } else if (done) {
                  done(!reply.ok() || reply->integer != 0);
                }
              });
}

// --- edges -----------------------------------------------------------------------------------------------------------

void RedisRegistry::Impl::Join(const EdgeAddress& self, EdgeEvents events) {
  edge = Joined{self, ValueOf(self), absl::StrCat("edge:", self.edge_id, ":leases"), std::move(events)};
  Announce();
  client.Subscribe(edge->channel, [this] {
    if (!edge) return;
    edge->listening = true;
    RunQueuedClaims();
  });
}

void RedisRegistry::Impl::Announce() {
  client.Eval(kAnnounceScript, {edge->self.edge_id, edge->value, Milliseconds(options.edge_ttl)},
              [this](const absl::StatusOr<RedisReply>& reply) {
                if (reply.ok() && edge) OnAnnounced(*reply);
              });
}

void RedisRegistry::Impl::OnAnnounced(const RedisReply& before) {
  if (!std::exchange(edge->announced, true)) return;
  // What we wrote is not there: Redis was emptied, or another process writes the same key.
  if (before.type == RedisReply::Type::kNil) return ReportRestored();
  if (before.text == edge->value) return;
  // Both read their own value now and then, so the conflict is over only after a pause.
  const MonoTime last = std::exchange(edge->contested, clock.Now());
  if (last != MonoTime() && edge->contested - last < 2 * options.edge_ttl) return;
  const auto other = ReadAnnouncement(edge->self.edge_id, before.text);
  log::Error("another edge has the same server id",
             {{"server_id", edge->self.edge_id}, {"its_address", other ? other->relay_address : before.text}});
}

void RedisRegistry::Impl::ReportRestored() {
  if (edge && edge->events.restored) edge->events.restored();
}

void RedisRegistry::Impl::Leave(const std::string& edge_id, const std::shared_ptr<std::promise<void>>& left) {
  if (!edge || edge->self.edge_id != edge_id) return left->set_value();
  const Joined leaving = std::move(*edge);
  edge.reset();
  std::vector<uint64_t> unanswered;
  for (const auto& [id, claim] : claims) {
    if (claim.edge_id == edge_id) unanswered.push_back(id);
  }
  for (const uint64_t id : unanswered) FinishClaim(id, absl::UnavailableError("the edge is leaving"));
  // Whether these were replaced will not be known any more.
  for (const KeptRelease& kept : std::exchange(unreleased, {})) {
    if (kept.done) kept.done(true);
  }
  lease_events.ForgetAll();
  client.Unsubscribe(leaving.channel);
  client.Eval(kLeaveScript, {edge_id, leaving.value}, [left](const absl::StatusOr<RedisReply>&) { left->set_value(); });
}

void RedisRegistry::Impl::ReadEdges() {
  if (std::exchange(watch->reading, true)) {
    watch->read_again = true;
    return;
  }
  client.Eval(kEdgesScript, {},
              [this, named = std::exchange(watch->named, {})](const absl::StatusOr<RedisReply>& reply) {
                if (!watch) return;
                watch->reading = false;
                if (reply.ok()) OnEdges(*reply, named);
                if (std::exchange(watch->read_again, false) && reply.ok()) ReadEdges();
              });
}

void RedisRegistry::Impl::OnEdges(const RedisReply& reply, const std::set<std::string>& named) {
  std::map<std::string, EdgeAddress> now;
  for (size_t i = 0; i + 1 < reply.items.size(); i += 2) {
    const std::string& edge_id = reply.items[i].text;
    watch->missing_since.erase(edge_id);
    if (auto found = ReadAnnouncement(edge_id, reply.items[i + 1].text)) now.emplace(edge_id, *std::move(found));
  }
  const MonoTime present = clock.Now();
  for (const auto& [edge_id, known] : watch->edges) {
    if (now.count(edge_id) > 0 || named.count(edge_id) > 0) continue;
    const MonoTime since = watch->missing_since.try_emplace(edge_id, present).first->second;
    if (present - since < options.edge_ttl) now.emplace(edge_id, known);
  }
  const bool same = now.size() == watch->edges.size() &&
                    std::equal(now.begin(), now.end(), watch->edges.begin(),
                               [](const auto& a, const auto& b) { return Same(a.second, b.second); });
  if (std::exchange(watch->reported, true) && same) return;
  watch->edges = std::move(now);
  std::vector<EdgeAddress> list;
  for (const auto& [edge_id, address] : watch->edges) list.push_back(address);
  watch->changed(std::move(list));
}

// --- what Redis sends unasked ----------------------------------------------------------------------------------------

void RedisRegistry::Impl::OnUp(bool again) {
  if (edge) {
    edge->announced = false;
    Announce();
  }
  for (KeptRelease& kept : std::exchange(unreleased, {})) {
    Release(kept.user_id, kept.edge_id, kept.epoch, std::move(kept.done));
  }
  RunQueuedClaims();
  if (again) ReportRestored();
  if (watch) ReadEdges();
}

void RedisRegistry::Impl::OnInterrupted() {
  ++interruptions;
  lease_events.Interrupted();
}

void RedisRegistry::Impl::OnMessage(const std::string& channel, std::string message) {
  absl::string_view user_id = channel;
  if (absl::ConsumePrefix(&user_id, "agent:") && absl::ConsumeSuffix(&user_id, ":commands")) {
    lease_events.Message(std::string(user_id), std::move(message));
  } else if (edge && channel == edge->channel) {
    OnLeaseMark(message);
  } else if (channel == kAnnouncedEdgesKey) {
    if (!watch) return;
    watch->named.insert(std::move(message));
    ReadEdges();
  } else if (const auto found = handlers.find(channel); found != handlers.end()) {
    found->second(std::move(message));
  }
}

// "claimed <epoch> <user>" or "replaced <epoch> <user>"; a user id may contain spaces.
void RedisRegistry::Impl::OnLeaseMark(absl::string_view mark) {
  const bool claimed = absl::ConsumePrefix(&mark, "claimed ");
  if (!claimed && !absl::ConsumePrefix(&mark, "replaced ")) return;
  const size_t space = mark.find(' ');
  uint64_t epoch = 0;
  if (space == absl::string_view::npos || !absl::SimpleAtoi(mark.substr(0, space), &epoch)) return;
  const std::string user_id(mark.substr(space + 1));
  if (claimed) {
    lease_events.Marked(user_id, epoch);
  } else {
    lease_events.MarkedReplaced(user_id, epoch);
  }
}

void RedisRegistry::Impl::Tick() {
  if (edge) Announce();
  if (watch) ReadEdges();
  client.After(options.edge_refresh, [this] { Tick(); });
}

// --- public methods --------------------------------------------------------------------------------------------------

RedisRegistry::RedisRegistry(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
RedisRegistry::~RedisRegistry() = default;

absl::StatusOr<std::unique_ptr<RedisRegistry>> RedisRegistry::Create(const Options& options) {
  absl::StatusOr<RedisUrl> url = ParseRedisUrl(options.url);
  if (!url.ok()) return url.status();
  return std::unique_ptr<RedisRegistry>(new RedisRegistry(std::make_unique<Impl>(*std::move(url), options)));
}

void RedisRegistry::Claim(const std::string& user_id, const std::string& edge_id, ClaimDone done) {
  impl_->client.Post([impl = impl_.get(), user_id, edge_id, done = std::move(done)] {
    impl->Claim({user_id, edge_id, done, {}});
  });
}

void RedisRegistry::Refresh(const std::string& edge_id, std::vector<Held> held) {
  impl_->client.Post([impl = impl_.get(), edge_id, held = std::move(held)] { impl->Refresh(edge_id, held); });
}

void RedisRegistry::Release(const std::string& user_id, const std::string& edge_id, uint64_t epoch, ReleaseDone done) {
  impl_->client.Post([impl = impl_.get(), user_id, edge_id, epoch, done = std::move(done)] {
    impl->Release(user_id, edge_id, epoch, done);
  });
}

void RedisRegistry::Lookup(const std::string& user_id, LookupDone done) {
  impl_->client.Post([impl = impl_.get(), user_id, done = std::move(done)] {
    impl->client.Eval(kLookupScript, {user_id, EpochHash(user_id)}, [done](absl::StatusOr<RedisReply> reply) {
      if (!reply.ok()) return done(reply.status());
      if (reply->items.size() != 2) return done(std::nullopt);
      const absl::StatusOr<uint64_t> epoch = EpochOf(reply->items[1]);
      if (!epoch.ok()) return done(epoch.status());
      done(Lease{std::move(reply->items[0].text), *epoch});
    });
  });
}

void RedisRegistry::Join(const EdgeAddress& self, EdgeEvents events) {
  impl_->client.Post([impl = impl_.get(), self, events = std::move(events)] { impl->Join(self, events); });
}

void RedisRegistry::Leave(const std::string& edge_id, MonoTime until) {
  const auto left = std::make_shared<std::promise<void>>();
  const auto begun = std::make_shared<std::promise<void>>();
  impl_->client.Post([impl = impl_.get(), edge_id, left, begun] {
    impl->Leave(edge_id, left);
    begun->set_value();
  });
  if (impl_->client.OnClientThread()) return;  // From a callback: no other one runs.
  begun->get_future().wait();
  left->get_future().wait_until(std::min(until, std::chrono::steady_clock::now() + kLeaveTimeout));
}

void RedisRegistry::WatchEdges(EdgesChanged changed) {
  impl_->client.Post([impl = impl_.get(), changed = std::move(changed)] {
    impl->watch.emplace().changed = changed;
    impl->client.Subscribe(kAnnouncedEdgesKey, [impl] {
      if (impl->watch) impl->ReadEdges();
    });
  });
}

bool RedisRegistry::connected() const { return impl_->client.connected(); }

void RedisRegistry::Publish(const std::string& channel, std::string message, PublishDone done) {
  impl_->client.Post([impl = impl_.get(), channel, message = std::move(message), done = std::move(done)] {
    impl->client.Command({"PUBLISH", channel, message}, [done](absl::StatusOr<RedisReply> reply) {
      if (!done) return;
      if (!reply.ok()) return done(reply.status());
      done(reply->integer);
    });
  });
}

void RedisRegistry::Subscribe(const std::string& channel, MessageHandler handler, std::function<void()> acknowledged) {
  impl_->client.Post(
      [impl = impl_.get(), channel, handler = std::move(handler), acknowledged = std::move(acknowledged)] {
        impl->handlers[channel] = handler;
        impl->client.Subscribe(channel, acknowledged);
      });
}

void RedisRegistry::Set(const std::string& key, Duration life) {
  const auto life_ms = std::chrono::duration_cast<std::chrono::milliseconds>(life).count();
  impl_->client.Post([impl = impl_.get(), key, life_text = std::to_string(std::max<int64_t>(life_ms, 1))] {
    impl->client.Command({"SET", key, "1", "PX", life_text}, [](const absl::StatusOr<RedisReply>&) {});
  });
}

void RedisRegistry::Take(const std::string& key, std::function<void(bool there)> done) {
  impl_->client.Post([impl = impl_.get(), key, done = std::move(done)] {
    impl->client.Command({"DEL", key},
                         [done](absl::StatusOr<RedisReply> reply) { done(reply.ok() && reply->integer == 1); });
  });
}

const RedisCounters& RedisRegistry::counters() const { return impl_->client.counters(); }

void RedisRegistry::AddSamples(std::vector<Sample>* out) const {
  AddGauge(out, "toolwire_redis_connected", "Whether Redis is in reach.", connected());
  counters().AddSamples(out);
  impl_->lease_events.counters().AddSamples(out);
}

}  // namespace toolwire
