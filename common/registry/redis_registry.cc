// Every change of a lease is one script. Claims are RedisClaims'; while Redis is unavailable releases wait in
// `unreleased`. Refreshes go in batches. LeaseEvents puts answers, marks and messages
// into one order. Every `edge_refresh` an edge writes its key, and a control reads all edges (RedisEdges).

#include "common/registry/redis_registry.h"

#include <algorithm>
#include <atomic>
#include <future>
#include <optional>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "common/base/log.h"
#include "common/registry/lease_events.h"
#include "common/registry/redis_claims.h"
#include "common/registry/redis_client.h"
#include "common/registry/redis_edges.h"
#include "common/registry/redis_scripts.h"

namespace toolwire {
namespace {

constexpr size_t kRefreshBatch = 256;  // Users in one script: about 1 ms of Redis's time.
constexpr Duration kLeaveTimeout = std::chrono::seconds(1);
constexpr char kLeasesChannel[] = "toolwire:leases";
constexpr size_t kEnvironmentBytesMax = 64;

// As Options::environment says.
std::string EnvironmentOf(const RedisUrl& url, const std::string& environment) {
  return environment.empty() && url.db != 0 ? absl::StrCat("db", url.db) : environment;
}

std::string PrefixOf(const std::string& environment) {
  return environment.empty() ? "" : absl::StrCat("toolwire:", environment, ":");
}

std::string Milliseconds(Duration span) {
  return std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(span).count());
}

}  // namespace

// Everything but the client's Post runs on the client's thread.
struct RedisRegistry::Impl {
  struct KeptRelease {
    std::string user_id;
    std::string edge_id;
    uint64_t epoch = 0;
    ReleaseDone done;
  };
  struct Joined {
    std::string edge_id;
    std::string channel;  // Of "claimed" and "replaced".
    EdgeEvents events;
    bool listening = false;  // To the channel; claims made before could be replaced without our noticing.
  };

  Impl(RedisUrl url, std::unique_ptr<TlsFiles> tls_files, const Options& registry_options);
  ~Impl();

  // --- leases ---
  // Whether claims may be made; else why not.
  absl::Status Ready() const;
  void OnMayServe();
  void Refresh(const std::string& edge_id, std::vector<Held> held);
  void SendRefresh(const std::string& edge_id, std::vector<Held> batch);
  void OnRefreshed(const std::string& edge_id, const std::vector<Held>& batch, const RedisReply& reply, bool whole);
  void Release(const std::string& user_id, const std::string& edge_id, uint64_t epoch, ReleaseDone done);

  void Contested(const std::string& user_id, uint64_t epoch);
  void Sweep();

  // --- edges ---
  void Join(const EdgeAddress& self, EdgeEvents events);
  void ReportRestored();
  void Leave(const std::string& edge_id, const std::shared_ptr<std::promise<void>>& left);

  // --- what Redis sends unasked ---
  void OnUp(bool again);
  void OnInterrupted();
  void OnMessage(const std::string& channel, std::string message, MonoTime born);
  void OnLeaseMark(absl::string_view mark);
  void Tick();

  const Options options;
  const std::string environment;
  const std::string prefix;             // Of our channels.
  const std::unique_ptr<TlsFiles> tls;  // Null: the URL has no TLS.
  const std::string lease_ttl_ms;
  LeaseEvents lease_events;
  RedisClaims claims;
  std::vector<KeptRelease> unreleased;  // For when Redis is available again.
  uint64_t interruptions = 0;
  std::optional<Joined> edge;
  std::atomic<bool> is_refused{false};  // Another environment serves the old channels.
  RedisEdges edges;
  uint32_t swept = 0;          // The hash that was, last.
  bool sweep_refused = false;  // Logged.
  absl::flat_hash_map<std::string, MessageHandler> handlers;
  RedisClient client;  // Last: its thread uses the others.
};

RedisRegistry::Impl::Impl(RedisUrl url, std::unique_ptr<TlsFiles> tls_files, const Options& registry_options)
    : options(registry_options),
      environment(EnvironmentOf(url, options.environment)),
      prefix(PrefixOf(environment)),
      tls(std::move(tls_files)),
      lease_ttl_ms(Milliseconds(options.lease_ttl)),
      lease_events({[this](const std::string& user_id, uint64_t epoch) {
                      if (edge && edge->events.replaced) edge->events.replaced(user_id, epoch);
                    },
                    [this](const std::string& user_id, std::string message, MonoTime born) {
                      if (edge && edge->events.command) edge->events.command(user_id, std::move(message), born);
                    },
                    [this](const std::string& user_id, uint64_t epoch) { Contested(user_id, epoch); },
                    [this](const std::string& user_id) {
                      if (options.command_channels) client.Unsubscribe(CommandChannel(user_id));
                    }}),
      claims(
          client, lease_events, interruptions,
          {Milliseconds(options.lease_ttl), options.command_channels, options.status_keys, options.claim_wait_max,
           options.command_timeout},
          {[this] { return Ready(); },
           [this](const std::string& edge_id, const Held& held) { SendRefresh(edge_id, {held}); },
           [this](const std::string& user_id, const std::string& edge_id, uint64_t epoch) {
             Release(user_id, edge_id, epoch, {});
           }}),
      edges(client,
            {options.edge_ttl, prefix,
             !options.command_channels ? ""
             : environment.empty()     ? "default"
                                       : environment,
             url.db},
            {[this] { ReportRestored(); }, [this] { OnMayServe(); }}),
      client({std::move(url), tls.get(), options.name, RegistryScripts(prefix), kProbeScript, options.ping_every,
              options.command_timeout, kRedisWaitingMax},
             {[this](bool again) { OnUp(again); }, [this] { OnInterrupted(); },
              [this](const std::string& channel, std::string message, MonoTime born) {
                OnMessage(channel, std::move(message), born);
              }}) {
  client.After(options.edge_refresh, [this] { Tick(); });
  client.Start();
}

RedisRegistry::Impl::~Impl() {
  client.Post([this] {
    edge.reset();
    edges.Stop();
    claims.EndAll(absl::UnavailableError("the registry is closing"));
  });
}

absl::Status RedisRegistry::Impl::Ready() const {
  if (!client.connected()) return client.why();
  if (edge && !edge->listening) return absl::UnavailableError("redis does not acknowledge a subscription");
  if (!edge || edges.may_serve()) return absl::OkStatus();
  return absl::UnavailableError(
      absl::StrCat("another environment serves the old channels of this Redis: ", edges.served_by()));
}

// --- refreshes and releases ------------------------------------------------------------------------------------------

void RedisRegistry::Impl::Refresh(const std::string& edge_id, std::vector<Held> held) {
  std::vector<Held> batch;
  for (Held& one : held) {
    if (lease_events.Remember(one.user_id, one.epoch) && options.command_channels) {
      client.Subscribe(CommandChannel(one.user_id), [this, edge_id, one] { SendRefresh(edge_id, {one}); });
      continue;
    }
    batch.push_back(std::move(one));
    if (batch.size() == kRefreshBatch) SendRefresh(edge_id, std::exchange(batch, {}));
  }
  if (!batch.empty()) SendRefresh(edge_id, std::move(batch));
}

void RedisRegistry::Impl::SendRefresh(const std::string& edge_id, std::vector<Held> batch) {
  RedisArgs args = {edge_id, lease_ttl_ms, options.command_channels ? "1" : "", options.status_keys ? "1" : ""};
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
  if (!edge || edge->edge_id != edge_id) return;
  for (size_t i = 0; i < batch.size() && i < reply.items.size(); ++i) {
    if (reply.items[i].type == RedisReply::Type::kText) {
      if (client.NoteRefusal(reply.items[i].text)) return;
      LogBrokenKeys("refresh", batch[i].user_id, reply.items[i].text);
      continue;
    }
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
                if (absl::IsUnavailable(reply.status()) && edge && unreleased.size() < kRedisWaitingMax) {
                  unreleased.push_back({user_id, edge_id, epoch, done});
                  return;
                }
                if (absl::IsInternal(reply.status())) LogBrokenKeys("release", user_id, reply.status().message());
                if (done) done(!reply.ok() || reply->integer != 0);
              });
}

// What Redis believes now is an older lease: what it answered before to refreshes proves nothing.
void RedisRegistry::Impl::Contested(const std::string& user_id, uint64_t epoch) {
  ++interruptions;
  if (edge) SendRefresh(edge->edge_id, {{user_id, epoch}});
}

// One hash at a time.
void RedisRegistry::Impl::Sweep() {
  swept = (swept + 1) % kEpochHashes;
  const auto life = std::chrono::duration_cast<std::chrono::microseconds>(options.record_life).count();
  client.Eval(kSweepScript, {std::to_string(swept), std::to_string(life)},
              [this](const absl::StatusOr<RedisReply>& reply) {
                const bool is_done = !reply.ok() || reply->type != RedisReply::Type::kText;
                if (is_done || std::exchange(sweep_refused, true)) return;
                log::Warn("redis does not let old records be removed", {{"why", reply->text}});
              });
}

// --- edges -----------------------------------------------------------------------------------------------------------

void RedisRegistry::Impl::Join(const EdgeAddress& self, EdgeEvents events) {
  edge = Joined{self.edge_id, absl::StrCat(prefix, "edge:", self.edge_id, ":leases"), std::move(events)};
  edges.Announce(self);
  client.Subscribe(prefix + kLeasesChannel, [] {});
  client.Subscribe(edge->channel, [this] {
    if (!edge) return;
    edge->listening = true;
    claims.RunQueued();
  });
}

void RedisRegistry::Impl::OnMayServe() {
  is_refused = !edges.may_serve();
  claims.RunQueued();
}

void RedisRegistry::Impl::ReportRestored() {
  if (edge && edge->events.restored) edge->events.restored();
}

void RedisRegistry::Impl::Leave(const std::string& edge_id, const std::shared_ptr<std::promise<void>>& left) {
  if (!edge || edge->edge_id != edge_id) return left->set_value();
  const Joined leaving = std::move(*edge);
  edge.reset();
  claims.EndAll(absl::UnavailableError("the edge is leaving"));
  // Whether these were replaced will not be known any more.
  for (const KeptRelease& kept : std::exchange(unreleased, {})) {
    if (kept.done) kept.done(true);
  }
  lease_events.ForgetAll();
  client.Unsubscribe(leaving.channel);
  client.Unsubscribe(prefix + kLeasesChannel);
  edges.Leave([left] { left->set_value(); });
}

// --- what Redis sends unasked ----------------------------------------------------------------------------------------

void RedisRegistry::Impl::OnUp(bool again) {
  edges.OnUp();
  for (KeptRelease& kept : std::exchange(unreleased, {})) {
    Release(kept.user_id, kept.edge_id, kept.epoch, std::move(kept.done));
  }
  claims.RunQueued();
  if (again) ReportRestored();
}

void RedisRegistry::Impl::OnInterrupted() {
  ++interruptions;
  lease_events.Interrupted();
}

void RedisRegistry::Impl::OnMessage(const std::string& channel, std::string message, MonoTime born) {
  absl::string_view user_id = channel;
  if (absl::ConsumePrefix(&user_id, "agent:") && absl::ConsumeSuffix(&user_id, ":commands")) {
    lease_events.Message(std::string(user_id), std::move(message), born);
  } else if (edge && channel == edge->channel) {
    OnLeaseMark(message);
  } else if (channel == prefix + kLeasesChannel) {
    absl::string_view by = message;
    if (!absl::ConsumePrefix(&by, "emptied ")) return OnLeaseMark(message);
    if (edge && by != edge->edge_id) ReportRestored();  // That one knows from its own key.
  } else if (channel == prefix + kAnnouncedEdgesKey) {
    edges.Named(std::move(message));
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
  edges.Tick();
  if (edge) Sweep();
  client.After(options.edge_refresh, [this] { Tick(); });
}

// --- public methods --------------------------------------------------------------------------------------------------

RedisRegistry::RedisRegistry(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
RedisRegistry::~RedisRegistry() = default;

std::string RedisRegistry::EnvironmentProblem(const std::string& environment) {
  const bool is_name = std::all_of(environment.begin(), environment.end(), [](unsigned char c) {
    return absl::ascii_isalnum(c) || c == '-' || c == '_' || c == '.';
  });
  return is_name && environment.size() <= kEnvironmentBytesMax ? "" : "up to 64 letters, digits, -, _ and .";
}

absl::StatusOr<std::unique_ptr<RedisRegistry>> RedisRegistry::Create(const Options& options) {
  absl::StatusOr<RedisUrl> url = ParseRedisUrl(options.url);
  if (!url.ok()) return absl::InvalidArgumentError(absl::StrCat("--redis-url: ", url.status().message()));
  if (const std::string problem = EnvironmentProblem(options.environment); !problem.empty()) {
    return absl::InvalidArgumentError("--redis-environment: " + problem);
  }
  static const SystemClock clock;
  auto tls = LoadRedisTls(*url, options.tls, clock);
  if (!tls.ok()) return tls.status();
  return std::unique_ptr<RedisRegistry>(
      new RedisRegistry(std::make_unique<Impl>(*std::move(url), *std::move(tls), options)));
}

void RedisRegistry::Claim(const ClaimRequest& request, ClaimDone done) {
  impl_->client.Post([impl = impl_.get(), request, done = std::move(done)] { impl->claims.Add(request, done); });
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
    impl->client.Eval(kLookupScript, {user_id, EpochHash(user_id)}, [impl, done](absl::StatusOr<RedisReply> reply) {
      if (!reply.ok()) return done(reply.status());
      if (reply->items.size() != 2) {
        // Where edges cannot write, that there is no lease says nothing.
        if (!impl->client.connected()) return done(impl->client.why());
        return done(std::nullopt);
      }
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
  impl_->client.Post([impl = impl_.get(), changed = std::move(changed)] { impl->edges.Watch(changed); });
}

void RedisRegistry::ListEdges(ListDone done) {
  impl_->client.Post([impl = impl_.get(), done = std::move(done)] { impl->edges.List(done); });
}

bool RedisRegistry::connected() const { return impl_->client.connected() && !impl_->is_refused; }

std::string RedisRegistry::OwnChannel(const std::string& channel) const { return impl_->prefix + channel; }

void RedisRegistry::Publish(const std::string& channel, std::string message, PublishDone done) {
  impl_->client.Post([impl = impl_.get(), channel, message = std::move(message), done = std::move(done)] {
    impl->client.Command({"PUBLISH", channel, message}, [done](absl::StatusOr<RedisReply> reply) {
      if (!done) return;
      if (!reply.ok()) return done(reply.status());
      done(reply->integer);
    });
  });
}

void RedisRegistry::PublishOnce(const std::string& name, Duration life, const std::string& channel, std::string message,
                                PublishDone done) {
  impl_->client.Post([impl = impl_.get(), args = RedisArgs{name, channel, std::move(message), Milliseconds(life)},
                      done = std::move(done)] {
    impl->client.Eval(kAnswerScript, args, [done](absl::StatusOr<RedisReply> reply) {
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

void RedisRegistry::Set(const std::string& key, Duration life, std::function<void(const absl::Status&)> done) {
  const auto life_ms = std::chrono::duration_cast<std::chrono::milliseconds>(life).count();
  impl_->client.Post([impl = impl_.get(), key, life_text = std::to_string(std::max<int64_t>(life_ms, 1)),
                      done = std::move(done)] {
    impl->client.Command({"SET", key, "1", "PX", life_text},
                         [done](const absl::StatusOr<RedisReply>& reply) { done(reply.status()); });
  });
}

void RedisRegistry::Take(const std::string& key, std::function<void(bool there)> done) {
  impl_->client.Post([impl = impl_.get(), key, done = std::move(done)] {
    impl->client.Command({"DEL", key},
                         [done](absl::StatusOr<RedisReply> reply) { done(reply.ok() && reply->integer == 1); });
  });
}

void RedisRegistry::WaitAnswered(MonoTime until) {
  const auto answered = std::make_shared<std::promise<void>>();
  // Redis answers in order.
  impl_->client.Post([impl = impl_.get(), answered] {
    impl->client.Command({"PING"}, [answered](const absl::StatusOr<RedisReply>&) { answered->set_value(); });
  });
  answered->get_future().wait_until(std::min(until, std::chrono::steady_clock::now() + kLeaveTimeout));
}

std::function<void(bool)> RedisRegistry::LookAtFiles() {
  if (!impl_->tls) return nullptr;
  return [this](bool now) { impl_->tls->Look(now); };
}

const RedisCounters& RedisRegistry::counters() const { return impl_->client.counters(); }

void RedisRegistry::AddSamples(std::vector<Sample>* out) const {
  AddGauge(out, "toolwire_redis_connected", "Whether Redis is in reach.", connected());
  counters().AddSamples(out);
  impl_->lease_events.counters().AddSamples(out);
  if (impl_->tls) impl_->tls->AddSamples(out);
}

}  // namespace toolwire
