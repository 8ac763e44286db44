// Joins the parts of an edge: the acceptor spreads sockets over the loops in turn, and commands of controls go to the
// loop that the user's session is on, as the directory has it. What the loops gather in a round goes to the links of
// all controls that are attached. A thread of its own extends the leases of sessions that have no heartbeats.
#include "edge/edge.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/status/status.h"
#include "common/base/log.h"
#include "common/base/random_hex.h"
#include "common/process/metrics_endpoint.h"

namespace toolwire {

using E = v1::CallError;

// What agents that do not acknowledge their close may take of a stop's time.
constexpr Duration kCloseWaitMax = std::chrono::seconds(2);

namespace {

// Edges fetch answers to calls of the old channels from each other one at a time, through Redis.
constexpr Duration kOldStrayLife = std::chrono::seconds(10);

LateAnswers::Options StrayOptions(const EdgeOptions& options) {
  LateAnswers::Options strays;
  if (options.serve_old_channels) strays.life = kOldStrayLife;
  return strays;
}

}  // namespace

Edge::Edge(const EdgeOptions& options, const Clock& clock, Registry& registry, Store& store)
    : options_(options),
      clock_(clock),
      started_(clock.Now()),
      instance_id_(RandomHex(8)),
      revocations_(clock, options.login_timeout),
      admission_(options.admission,
                 [this](uint64_t id, bool is_closing) { loops_[EdgeLoop::LoopOf(id)]->MakeRoom(id, is_closing); }),
      login_limits_(options.login_limits),
      authenticator_(store),
      strays_(StrayOptions(options)) {
  shared_.server_id = options.server_id;
  shared_.limits = options.session;
  shared_.secret_recheck_interval = options.secret_recheck_interval;
  shared_.frame_bytes_max = options.frame_bytes_max();
  shared_.login_timeout = options.login_timeout;
  shared_.trusted_proxies = options.trusted_proxies;
  shared_.clock = &clock;
  shared_.registry = &registry;
  shared_.authenticator = &authenticator_;
  shared_.admission = &admission_;
  shared_.login_limits = &login_limits_;
  shared_.directory = &directory_;
  shared_.revocations = &revocations_;
  shared_.counters = &counters_;
  shared_.large_frames = &large_frames_;
  shared_.proxy_headers = &proxy_headers_;
  shared_.send_to_controls = [this](LinkBatches* batches) { SendToControls(batches); };
  shared_.tick = [this] {
    MutexLock lock(strays_mu_);
    strays_.Expire(clock_.Now());
  };
  shared_.close_displaced = [this](const SessionRef& ref, bool revoked) {
    if (revoked) return CloseRevoked(ref);
    loops_[ref.loop]->CloseSession(ref.id, close_reason::kReplaced);
  };
  shared_.http = [this](const std::string& path, const std::string& address, auto later) {
    return Http(path, address, std::move(later));
  };
  for (int i = 0; i < options.io_threads; ++i) {
    loops_.push_back(std::make_unique<EdgeLoop>(static_cast<uint32_t>(i), shared_));
  }
}

void Edge::Join(const std::string& relay_address, OnCommand on_command) {
  Registry::EdgeEvents events;
  events.replaced = [this](const std::string& user_id, uint64_t epoch) {
    for (const auto& loop : loops_) loop->Replaced(user_id, epoch);
  };
  events.restored = [this] {
    for (const auto& loop : loops_) loop->RefreshLeases(Duration::zero());
  };
  events.command = std::move(on_command);
  shared_.registry->Join({shared_.server_id, relay_address, instance_id_}, std::move(events));
}

absl::Status Edge::Listen(const ListenOptions& listen) {
  if (!options_.tls.certificate_file.empty()) {
    auto files = TlsFiles::Load(options_.tls, clock_);
    if (!files.ok()) return files.status();
    tls_files_ = *std::move(files);
    HandshakeQueue::Options handshakes = options_.tls_handshakes;
    handshakes.refused = &counters_.address_tls_handshakes_full;
    handshakes.never_refused = [this](const std::string& address) {
      return options_.trusted_proxies.networks.Contains(address);
    };
    tls_handshakes_ = std::make_unique<TlsHandshakes>(*tls_files_, handshakes, counters_.tls_handshakes_paced);
  }
  auto acceptor = Accept(listen.host, options_.port, tls_handshakes_.get());
  if (!acceptor.ok()) return acceptor.status();
  acceptor_ = *std::move(acceptor);
  if (options_.plain_port >= 0) {
    auto plain = Accept(listen.host, options_.plain_port, nullptr);
    if (!plain.ok()) return plain.status();
    plain_acceptor_ = *std::move(plain);
  }
  refresher_ = std::thread([this] { RefreshLeases(); });
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Acceptor>> Edge::Accept(const std::string& host, int port, TlsHandshakes* tls) {
  // As long as an agent may be silent it may also not read.
  const Duration user_timeout = std::max<Duration>(options_.session.heartbeat_timeout, std::chrono::seconds(30));
  const auto delay = [this, tls] {
    const Duration handshakes = tls == nullptr ? Duration::zero() : tls->AcceptDelay();
    return handshakes > Duration::zero() ? handshakes : admission_.AcceptDelay(clock_.Now());
  };
  return Acceptor::Listen({host, port, delay, &admission_.counters().accept_errors, user_timeout},
                          [this, tls](int fd, std::string address) {
                            const uint32_t turn = next_loop_.fetch_add(1, std::memory_order_relaxed);
                            EdgeLoop& loop = *loops_[turn % loops_.size()];
                            loop.Adopt(fd, admission_.Accepted(loop.NextId(), std::move(address), clock_.Now()), tls);
                          });
}

std::function<void(bool now)> Edge::LookAtFiles() {
  if (tls_files_ == nullptr) return {};
  return [this](bool now) { tls_files_->Look(now); };
}

Edge::~Edge() {
  const MonoTime until = std::chrono::steady_clock::now() + kStopGrace;
  Stop(until);
  WriteStatus(until);
  for (const auto& loop : loops_) loop->StopThread();  // All, before the first is gone.
}

// --- links -----------------------------------------------------------------------------------------------------------

v1::LinkHello Edge::Hello(const RecordSender::Limits& limits) const {
  v1::LinkHello hello = MakeHello(shared_.server_id, instance_id_, limits);
  hello.set_login_timeout_ms(
      static_cast<uint32_t>(std::chrono::duration_cast<std::chrono::milliseconds>(shared_.login_timeout).count()));
  return hello;
}

LinkId Edge::Attach(std::shared_ptr<ToControl> control) {
  LinkId link = 0;
  {
    MutexLock lock(links_mu_);
    link = ++last_link_;
    links_.emplace(link, control);
  }
  // Every loop reports its own sessions, so that the events of each stay in order; the last to finish ends the
  // snapshot.
  auto left = std::make_shared<std::atomic<size_t>>(loops_.size());
  for (const auto& loop : loops_) {
    loop->Snapshot(link, [control, left] {
      if (left->fetch_sub(1) != 1) return;
      v1::EdgeFrame complete;
      complete.add_sessions()->set_snapshot_complete(true);
      control->Send(std::move(complete));
    });
  }
  return link;
}

void Edge::Receive(LinkId link, v1::ControlFrame&& frame) {
  std::vector<std::vector<CallForSession>> for_loop(loops_.size());
  v1::EdgeFrame reply;
  for (v1::Deliver& deliver : *frame.mutable_deliveries()) {
    const auto ref = directory_.Find(deliver.user_id());
    const bool is_late = deliver.timeout_us() <= 0;  // It was on its way for longer than its caller waits.
    if (!ref || is_late || draining_.load(std::memory_order_relaxed)) {
      counters_.refused.Add();
      v1::Refusal* refusal = reply.add_refusals();
      refusal->set_call_id(deliver.call_id());
      refusal->set_cause(is_late ? v1::Refusal::TIMED_OUT
                         : ref   ? v1::Refusal::EDGE_UNAVAILABLE
                                 : v1::Refusal::NOT_HERE);
      refusal->set_delivery(E::NOT_SENT);
      continue;
    }
    for_loop[ref->loop].push_back(CallForSession{ref->id, link, std::move(deliver)});
  }
  for (size_t i = 0; i < for_loop.size(); ++i) {
    if (!for_loop[i].empty()) loops_[i]->Deliver(std::move(for_loop[i]));
  }
  if (frame.cancels_size() > 0) {
    // Which loop has a call is known to that loop only; the others do not know the id.
    const std::vector<uint64_t> call_ids(frame.cancels().begin(), frame.cancels().end());
    for (const auto& loop : loops_) loop->CancelCalls(link, call_ids);
  }
  for (const v1::Disconnect& disconnect : frame.disconnects()) {
    if (Disconnect(link, disconnect) && disconnect.id() != 0) reply.add_disconnects_done(disconnect.id());
  }
  for (const v1::KeptSession& kept : frame.kept_sessions()) KeepSession(kept);
  for (const v1::StrayName& name : frame.stray_fetches()) {
    if (auto stray = TakeStray(name.user_id(), name.request_id())) *reply.add_strays() = *std::move(stray);
  }
  if (reply.refusals_size() == 0 && reply.strays_size() == 0 && reply.disconnects_done_size() == 0) return;
  std::shared_ptr<ToControl> control;
  {
    MutexLock lock(links_mu_);
    auto found = links_.find(link);
    if (found != links_.end()) control = found->second;
  }
  if (control) control->Send(std::move(reply));
}

bool Edge::Disconnect(LinkId link, const v1::Disconnect& disconnect) {
  const std::string& user_id = disconnect.user_id();
  const bool revoked = disconnect.cause() == v1::Disconnect::CREDENTIAL_REVOKED;
  if (!revoked && disconnect.cause() != v1::Disconnect::BY_OPERATOR) return false;  // Of a newer control.
  // Before looking for the session: a login that becomes one after the look sees this. `epoch_max` does not spare
  // logins, since which secret theirs was is not known; an agent with a good one dials again.
  if (revoked) revocations_.Add(user_id);
  const auto ref = directory_.Find(user_id);
  if (!ref || (disconnect.epoch_max() != 0 && ref->epoch > disconnect.epoch_max())) return true;
  log::Info("session is ended", {{"user", user_id}, {"epoch", ref->epoch}, {"revoked", revoked}});
  const Confirmation confirmation{link, disconnect.id()};
  if (revoked) {
    CloseRevoked(*ref, confirmation);
  } else {
    loops_[ref->loop]->CloseSession(ref->id, close_reason::kByOperator, /*answers_lost=*/false, confirmation);
  }
  return false;
}

void Edge::CloseRevoked(const SessionRef& ref, Confirmation confirmation) {
  loops_[ref.loop]->CloseSession(ref.id, close_reason::kCredentialsRevoked, /*answers_lost=*/true, confirmation);
}

void Edge::KeepSession(const v1::KeptSession& kept) {
  SecretDigest digest;
  const auto ref = directory_.Find(kept.user_id());
  if (!ref || kept.secret_digest().size() != digest.size()) return;
  std::copy_n(kept.secret_digest().begin(), digest.size(), digest.begin());
  loops_[ref->loop]->KeepSession(ref->id, digest);
}

void Edge::Detach(LinkId link) {
  {
    MutexLock lock(links_mu_);
    if (links_.erase(link) == 0) return;
  }
  for (const auto& loop : loops_) loop->LinkDown(link);
}

asio::io_context& Edge::LinkLoop() {
  return loops_[next_link_loop_.fetch_add(1, std::memory_order_relaxed) % loops_.size()]->io();
}

std::vector<v1::StrayOffer> Edge::KeepLarge(std::vector<v1::StrayAnswer>* strays) {
  std::vector<v1::StrayOffer> offers;
  size_t whole = 0;
  for (v1::StrayAnswer& stray : *strays) {
    const size_t bytes = stray.ByteSizeLong();
    if (bytes <= kStrayWholeBytesMax) {
      (*strays)[whole++].Swap(&stray);
      continue;
    }
    v1::StrayOffer offer;
    offer.set_user_id(stray.user_id());
    offer.set_request_id(stray.request_id());
    offer.set_bytes(bytes);
    if (offer.ByteSizeLong() > kStrayWholeBytesMax) {  // No call has such an id.
      counters_.kept_strays_full.Add();
      continue;
    }
    MutexLock lock(strays_mu_);
    counters_.kept_strays_full.Add(strays_.Keep(std::move(stray), clock_.Now()));
    lock.Unlock();
    counters_.strays_offered.Add();
    offers.push_back(std::move(offer));
  }
  strays->resize(whole);
  return offers;
}

std::optional<v1::StrayAnswer> Edge::TakeStray(const std::string& user_id, const std::string& request_id) {
  MutexLock lock(strays_mu_);
  auto stray = strays_.Take(user_id, request_id);
  if (stray) counters_.strays_fetched.Add();
  return stray;
}

void Edge::SendToControls(LinkBatches* batches) {
  const std::vector<v1::StrayOffer> offers = KeepLarge(batches->strays());
  const bool for_all = !batches->strays()->empty() || !batches->sessions()->empty() || !offers.empty();
  std::vector<std::pair<std::shared_ptr<ToControl>, v1::EdgeFrame>> out;
  std::vector<std::pair<std::shared_ptr<ToControl>, v1::EdgeFrame>> done;  // Behind the ends of sessions.
  {
    MutexLock lock(links_mu_);
    for (auto& [link, frame] : *batches->frames()) {
      auto found = links_.find(link);
      if (found == links_.end()) continue;
      if (frame.disconnects_done_size() > 0) {
        done.emplace_back(found->second, v1::EdgeFrame());
        done.back().second.mutable_disconnects_done()->Swap(frame.mutable_disconnects_done());
        if (frame.ByteSizeLong() == 0) continue;
      }
      out.emplace_back(found->second, std::move(frame));
    }
    if (for_all) {
      for (const auto& [link, control] : links_) {
        v1::EdgeFrame frame;
        for (const v1::SessionEvent& event : *batches->sessions()) *frame.add_sessions() = event;
        for (const v1::StrayAnswer& stray : *batches->strays()) *frame.add_strays() = stray;
        for (const v1::StrayOffer& offer : offers) *frame.add_stray_offers() = offer;
        out.emplace_back(control, std::move(frame));
      }
    }
  }
  for (auto& [control, frame] : out) control->Send(std::move(frame));
  for (auto& [control, frame] : done) control->Send(std::move(frame));
}

// --- stopping --------------------------------------------------------------------------------------------------------

void Edge::StopAccepting() {
  draining_ = true;
  if (acceptor_) acceptor_->Stop();
  if (plain_acceptor_) plain_acceptor_->Stop();
}

bool Edge::WaitIdle(Duration limit) {
  const MonoTime until = clock_.Now() + limit;
  MutexLock lock(refresh_mu_);
  while (counters_.calls_in_flight.load() > 0) {
    if (clock_.Now() >= until) return false;
    refresh_wake_.WaitFor(refresh_mu_, std::chrono::milliseconds(5));
  }
  return true;
}

void Edge::Stop(MonoTime until) {
  StopAccepting();
  {
    MutexLock lock(refresh_mu_);
    if (std::exchange(stopped_, true)) return;
  }
  refresh_wake_.NotifyAll();
  metrics_page_.Stop();
  if (refresher_.joinable()) refresher_.join();
  for (const auto& loop : loops_) loop->CloseAll(close_reason::kShuttingDown);
  // Agents that do not acknowledge the close are cut off by the close timer; the stop waits for them no longer than
  // this.
  const auto now = [] { return std::chrono::steady_clock::now(); };
  const MonoTime closed_by = std::min(until, now() + kCloseWaitMax);
  MutexLock lock(refresh_mu_);
  while (admission_.sockets() > 0 && now() < closed_by) {
    refresh_wake_.WaitFor(refresh_mu_, std::chrono::milliseconds(5));
  }
  lock.Unlock();
  shared_.registry->Leave(shared_.server_id, until);
}

void Edge::RefreshLeases() {
  // Heartbeats extend leases. This is for agents that live by other frames, and for refreshes that were lost: three
  // tries within the lease's life.
  const Duration every = options_.lease_ttl / 3;
  MutexLock lock(refresh_mu_);
  while (!refresh_wake_.WaitFor(refresh_mu_, every,
                                [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(refresh_mu_) { return stopped_; })) {
    for (const auto& loop : loops_) loop->RefreshLeases(every);
  }
}

// --- statistics ------------------------------------------------------------------------------------------------------

int64_t Edge::connections() const {
  return static_cast<int64_t>(counters_.sessions_opened.value()) -
         static_cast<int64_t>(counters_.sessions_closed.value());
}

std::optional<WsServer::HttpReply> Edge::Http(const std::string& path, const std::string& address,
                                              std::function<void(WsServer::HttpReply)> later) {
  if (path == "/health") return WsServer::HttpReply{draining_ ? 503 : 200, HealthJson()};
  if (path != "/metrics") return WsServer::HttpReply{404, R"({"error":"Not found"})"};
  metrics_page_.Get(options_.may_list_users.Contains(address), [later = std::move(later)](MetricsPage::Text text) {
    later(text ? WsServer::HttpReply{200, *text} : WsServer::HttpReply{503, R"({"error":"Stopping"})"});
  });
  return std::nullopt;
}

std::string Edge::HealthJson() const {
  const bool registry = shared_.registry->connected();
  const bool store = !authenticator_.store_unavailable();
  // Degraded is no failure: agents that are connected stay and can be called.
  nlohmann::ordered_json health = {
      {"status", draining_           ? "draining"
                 : registry && store ? "healthy"
                                     : "degraded"},
      {"serverId", shared_.server_id},
      {"connections", connections()},
      {"uptime", std::chrono::duration_cast<std::chrono::seconds>(clock_.Now() - started_).count()}};
  if (!registry || !store) {
    health["registry"] = registry ? "connected" : "away";
    health["store"] = store ? "connected" : "away";
  }
  return health.dump();
}

void Edge::AddReadiness(Readiness* readiness) const {
  readiness->Add("agents", [this] { return draining_ ? "the edge is draining: it takes no more agents" : ""; });
  readiness->Add("logins", [this] {
    return authenticator_.store_unavailable() ? "the store is unavailable: logins cannot be checked" : "";
  });
  readiness->Add("registry", [this] {
    return shared_.registry->connected() ? "" : "the registry is unavailable: agents that connect wait";
  });
}

std::string Edge::MetricsJson(bool with_users) const {
  const HeapBytes heap = MeasureHeap();
  nlohmann::ordered_json metrics = {
      {"serverId", shared_.server_id},
      {"connections", connections()},
      {"connectedUsers", nullptr},  // Keeps the order.
      {"uptime", std::chrono::duration_cast<std::chrono::seconds>(clock_.Now() - started_).count()},
      // The names of the replaced server: Node's process.memoryUsage(), in bytes.
      {"memory", {{"rss", ResidentBytes()}, {"heapTotal", heap.total}, {"heapUsed", heap.used}}}};
  if (with_users) {
    metrics["connectedUsers"] = directory_.Users();
  } else {
    metrics.erase("connectedUsers");
  }
  return metrics.dump();
}

void Edge::AddSamples(std::vector<Sample>* out) const {
  AddGauge(out, "toolwire_edge_sessions", "Agents connected to this edge.", static_cast<double>(connections()));
  AddGauge(out, "toolwire_edge_registry_connected", "Whether the registry is in reach.", shared_.registry->connected());
  AddGauge(out, "toolwire_edge_sockets", "Sockets of agents, logged in or not.", admission_.sockets());
  AddGauge(out, "toolwire_edge_calls_in_flight", "Calls delivered to sessions and not settled.",
           static_cast<double>(counters_.calls_in_flight.load()));
  AddGauge(out, "toolwire_edge_queued_bytes", "Memory of the frames that wait for agents.",
           static_cast<double>(counters_.queued_bytes.load()));
  {
    MutexLock lock(strays_mu_);
    AddGauge(out, "toolwire_edge_kept_stray_bytes", "Memory of the answers that were offered and wait to be fetched.",
             static_cast<double>(strays_.bytes()));
  }
  {
    MutexLock lock(links_mu_);
    AddGauge(out, "toolwire_edge_links", "Controls linked to this edge.", static_cast<double>(links_.size()));
  }
  counters_.AddSamples(out);
  proxy_headers_.AddSamples(out);
  authenticator_.counters().AddSamples(out);
  admission_.counters().AddSamples(out);
  login_limits_.counters().AddSamples(out);
  if (tls_files_) tls_files_->AddSamples(out);
}

}  // namespace toolwire
