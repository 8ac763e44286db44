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

Edge::Edge(const EdgeOptions& options, const Clock& clock, Registry& registry, Store& store)
    : options_(options),
      clock_(clock),
      started_(clock.Now()),
      instance_id_(RandomHex(8)),
      revocations_(clock, options.login_timeout),
      admission_(options.admission,
                 [this](uint64_t id, bool is_closing) { loops_[EdgeLoop::LoopOf(id)]->MakeRoom(id, is_closing); }),
      authenticator_(store) {
  shared_.server_id = options.server_id;
  shared_.limits = options.session;
  shared_.frame_bytes_max = options.frame_bytes_max();
  shared_.login_timeout = options.login_timeout;
  shared_.clock = &clock;
  shared_.registry = &registry;
  shared_.authenticator = &authenticator_;
  shared_.admission = &admission_;
  shared_.directory = &directory_;
  shared_.revocations = &revocations_;
  shared_.counters = &counters_;
  shared_.large_frames = &large_frames_;
  shared_.send_to_controls = [this](LinkBatches* batches) { SendToControls(batches); };
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
  // As long as an agent may be silent it may also not read.
  const Duration user_timeout = std::max<Duration>(options_.session.heartbeat_timeout, std::chrono::seconds(30));
  auto acceptor = Acceptor::Listen(
      listen.host, options_.port, clock_, admission_, user_timeout, [this](int fd, std::string address) {
        const uint32_t turn = next_loop_.fetch_add(1, std::memory_order_relaxed);
        EdgeLoop& loop = *loops_[turn % loops_.size()];
        loop.Adopt(fd, admission_.Accepted(loop.NextId(), std::move(address), clock_.Now()));
      });
  if (!acceptor.ok()) return acceptor.status();
  acceptor_ = *std::move(acceptor);
  refresher_ = std::thread([this] { RefreshLeases(); });
  return absl::OkStatus();
}

Edge::~Edge() {
  const MonoTime until = std::chrono::steady_clock::now() + kStopGrace;
  Stop(until);
  WriteStatus(until);
  for (const auto& loop : loops_) loop->StopThread();  // All, before the first is gone.
}

// --- links -----------------------------------------------------------------------------------------------------------

LinkId Edge::Attach(std::shared_ptr<ToControl> control) {
  LinkId link = 0;
  {
    MutexLock lock(links_mu_);
    link = ++last_link_;
    links_.emplace(link, control);
  }
  v1::EdgeFrame hello;
  hello.mutable_hello()->set_server_id(shared_.server_id);
  hello.mutable_hello()->set_instance_id(instance_id_);
  hello.mutable_hello()->set_login_timeout_ms(
      static_cast<uint32_t>(std::chrono::duration_cast<std::chrono::milliseconds>(shared_.login_timeout).count()));
  control->Send(std::move(hello));
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
  v1::EdgeFrame refused;
  for (v1::Deliver& deliver : *frame.mutable_deliveries()) {
    const auto ref = directory_.Find(deliver.user_id());
    if (!ref || draining_.load(std::memory_order_relaxed)) {
      counters_.refused.Add();
      v1::Refusal* refusal = refused.add_refusals();
      refusal->set_call_id(deliver.call_id());
      refusal->set_cause(ref ? v1::Refusal::EDGE_UNAVAILABLE : v1::Refusal::NOT_HERE);
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
  for (const v1::Disconnect& disconnect : frame.disconnects()) Disconnect(disconnect);
  if (refused.refusals_size() == 0) return;
  std::shared_ptr<ToControl> control;
  {
    MutexLock lock(links_mu_);
    auto found = links_.find(link);
    if (found != links_.end()) control = found->second;
  }
  if (control) control->Send(std::move(refused));
}

void Edge::Disconnect(const v1::Disconnect& disconnect) {
  const std::string& user_id = disconnect.user_id();
  const bool revoked = disconnect.cause() == v1::Disconnect::CREDENTIAL_REVOKED;
  if (!revoked && disconnect.cause() != v1::Disconnect::BY_OPERATOR) return;  // Of a newer control.
  // Before looking for the session: a login that becomes one after the look sees this. `epoch_max` does not spare
  // logins, since which secret theirs was is not known; an agent with a good one dials again.
  if (revoked) revocations_.Add(user_id);
  const auto ref = directory_.Find(user_id);
  if (!ref || (disconnect.epoch_max() != 0 && ref->epoch > disconnect.epoch_max())) return;
  log::Info("session is ended", {{"user", user_id}, {"epoch", ref->epoch}, {"revoked", revoked}});
  if (revoked) return CloseRevoked(*ref);
  loops_[ref->loop]->CloseSession(ref->id, close_reason::kByOperator);
}

void Edge::CloseRevoked(const SessionRef& ref) {
  loops_[ref.loop]->CloseSession(ref.id, close_reason::kCredentialsRevoked, /*answers_lost=*/true);
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

void Edge::SendToControls(LinkBatches* batches) {
  const bool for_all = !batches->strays()->empty() || !batches->sessions()->empty();
  std::vector<std::pair<std::shared_ptr<ToControl>, v1::EdgeFrame>> out;
  {
    MutexLock lock(links_mu_);
    for (auto& [link, frame] : *batches->frames()) {
      auto found = links_.find(link);
      if (found != links_.end()) out.emplace_back(found->second, std::move(frame));
    }
    if (for_all) {
      for (const auto& [link, control] : links_) {
        v1::EdgeFrame frame;
        for (const v1::SessionEvent& event : *batches->sessions()) *frame.add_sessions() = event;
        for (const v1::StrayAnswer& stray : *batches->strays()) *frame.add_strays() = stray;
        out.emplace_back(control, std::move(frame));
      }
    }
  }
  for (auto& [control, frame] : out) control->Send(std::move(frame));
}

// --- stopping --------------------------------------------------------------------------------------------------------

void Edge::StopAccepting() {
  draining_ = true;
  if (acceptor_) acceptor_->Stop();
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
  // By the address of the socket: what a request says of who sent it is not to be trusted.
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
    MutexLock lock(links_mu_);
    AddGauge(out, "toolwire_edge_links", "Controls linked to this edge.", static_cast<double>(links_.size()));
  }
  counters_.AddSamples(out);
  authenticator_.counters().AddSamples(out);
  admission_.counters().AddSamples(out);
}

}  // namespace toolwire
