// Everything happens in rounds. The loop's thread handles whatever is ready (frames, completed writes, posted work);
// each event only marks what is left to do, and one Round at the end sends it: one frame to each control, one batch
// of writes to each agent. Under load rounds grow by themselves; alone, a call waits for nothing.
#include "edge/edge_loop.h"

#include <algorithm>
#include <asio/post.hpp>
#include <string_view>
#include <utility>

#include "common/base/log.h"

namespace toolwire {
namespace {

// A frame that takes a millisecond to decode and more: all agents of the loop would wait for it.
constexpr size_t kLargeFrameBytes = 256u << 10;

}  // namespace

EdgeLoop::EdgeLoop(uint32_t index, EdgeShared& shared)
    : index_(index),
      shared_(shared),
      slow_tick_(std::clamp<Duration>(shared.limits.heartbeat_timeout / 10, std::chrono::milliseconds(10),
                                      std::chrono::seconds(1))),
      table_(*shared.clock, shared.limits, *shared.counters, shared.server_id,
             [this](SessionId id) { return server_.SinceHeard(id); }),
      logins_(index, shared, *this),
      rechecks_(shared.secret_recheck_interval, shared.clock->Now()),
      server_(
          io_,
          {shared.frame_bytes_max, Logins::kEarlyBytesMax, shared.trusted_proxies.header_name(), shared.proxy_headers},
          *this),
      thread_([this] { Run(); }) {}

EdgeLoop::~EdgeLoop() { StopThread(); }

void EdgeLoop::StopThread() {
  if (!thread_.joinable()) return;
  asio::post(io_, [this] { io_.stop(); });
  thread_.join();
}

void EdgeLoop::Run() {
  ArmTick();
  while (!io_.stopped()) {
    try {
      io_.run();
    } catch (const std::exception& error) {
      // A handler of one connection failed; the others go on.
      log::Error("edge loop caught an exception", {{"loop", index_}, {"error", error.what()}});
    }
  }
}

// --- public methods: work from other threads -------------------------------------------------------------------------

void EdgeLoop::Post(std::function<void()> task) {
  MutexLock lock(inbox_mu_);
  inbox_tasks_.push_back(std::move(task));
  WakeInbox();
}

// Not as tasks: calls of one round come to the table without an allocation for each.
void EdgeLoop::Deliver(std::vector<CallForSession> deliveries) {
  MutexLock lock(inbox_mu_);
  if (inbox_deliveries_.empty()) {
    inbox_deliveries_ = std::move(deliveries);
  } else {
    std::move(deliveries.begin(), deliveries.end(), std::back_inserter(inbox_deliveries_));
  }
  WakeInbox();
}

void EdgeLoop::WakeInbox() {
  if (!std::exchange(inbox_posted_, true)) asio::post(io_, [this] { DrainInbox(); });
}

void EdgeLoop::Adopt(int fd, std::unique_ptr<Admission::Place> place, TlsHandshakes* tls) {
  // Shared, since tasks are copied; the task still is the only one that takes it.
  auto held = std::make_shared<std::unique_ptr<Admission::Place>>(std::move(place));
  Post([this, fd, held, tls] {
    const SessionId id = (*held)->id;
    WsServer::Arrival arrival{(*held)->address(), false, tls};
    arrival.proxy_header =
        shared_.trusted_proxies.protocol && shared_.trusted_proxies.networks.Contains(arrival.address);
    logins_.Accepted(std::move(*held));
    server_.Adopt(id, fd, arrival);
  });
}

void EdgeLoop::MakeRoom(SessionId id, bool is_closing) {
  Post([this, id, is_closing] {
    if (is_closing) return server_.Cut(id);
    // After a busy moment its request may wait here, unread.
    if (logins_.MakeRoom(id, server_.HasUnread(id))) Close(id, close_reason::kLoginTimedOut, false);
  });
}

void EdgeLoop::CancelCalls(LinkId link, std::vector<uint64_t> call_ids) {
  Post([this, link, call_ids = std::move(call_ids)] {
    table_.CancelLater(link, call_ids);
    ScheduleAdvance();
  });
}

void EdgeLoop::LinkDown(LinkId link) {
  Post([this, link] {
    table_.LinkDown(link);
    AdvanceTable();
  });
}

void EdgeLoop::Snapshot(LinkId link, std::function<void()> done) {
  Post([this, link, done = std::move(done)]() mutable { ReportSessions(link, table_.SessionIds(), std::move(done)); });
}

void EdgeLoop::ReportSessions(LinkId link, std::vector<SessionId> ids, std::function<void()> done) {
  table_.Snapshot(link, &ids);
  Round();  // Before `done` reports that it is complete.
  if (ids.empty()) return done();
  asio::post(io_, [this, link, ids = std::move(ids), done = std::move(done)]() mutable {
    ReportSessions(link, std::move(ids), std::move(done));
  });
}

void EdgeLoop::CloseSession(SessionId id, CloseReason reason, bool answers_lost, Confirmation confirmation) {
  Post([this, id, reason, answers_lost, confirmation] {
    Close(id, reason, answers_lost);
    if (confirmation.id != 0) table_.batches().For(confirmation.link)->add_disconnects_done(confirmation.id);
  });
}

void EdgeLoop::KeepSession(SessionId id, const SecretDigest& secret) {
  Post([this, id, secret] {
    table_.At(id, [&](Session& session, const Session::Context&) { session.set_secret(secret); });
  });
}

void EdgeLoop::CloseAll(CloseReason reason) {
  Post([this, reason] {
    for (const SessionId id : server_.Sockets()) table_.closing().emplace_back(id, reason);
  });
}

void EdgeLoop::Replaced(const std::string& user_id, uint64_t epoch) {
  Post([this, user_id, epoch] {
    const auto ref = shared_.directory->Find(user_id);
    if (!ref || ref->loop != index_ || ref->epoch >= epoch || table_.Find(ref->id) == nullptr) return;
    Close(ref->id, close_reason::kReplaced, false);
  });
}

void EdgeLoop::RefreshLeases(Duration unless_within) {
  Post([this, since = shared_.clock->Now() - unless_within] {
    std::vector<Registry::Held> held;
    table_.TakeUnrefreshed(since, [&](const std::string& user_id, uint64_t epoch) { AddHeld(user_id, epoch, &held); });
    if (!held.empty()) shared_.registry->Refresh(shared_.server_id, std::move(held));
  });
}

// --- rounds and time -------------------------------------------------------------------------------------------------

void EdgeLoop::DrainInbox() {
  std::vector<CallForSession> deliveries;
  std::vector<std::function<void()>> tasks;
  {
    MutexLock lock(inbox_mu_);
    deliveries.swap(inbox_deliveries_);
    tasks.swap(inbox_tasks_);
    inbox_posted_ = false;
  }
  for (CallForSession& one : deliveries) table_.Deliver(one.session, one.link, std::move(one.deliver));
  for (const std::function<void()>& task : tasks) {
    try {
      task();
    } catch (const std::exception& error) {
      // One socket's, most likely: verdicts, leases and descriptors of others wait behind it.
      log::Error("edge loop caught an exception", {{"loop", index_}, {"error", error.what()}});
    }
  }
  Round();
}

void EdgeLoop::ScheduleRound() {
  if (std::exchange(round_scheduled_, true)) return;
  // Behind everything that is ready now.
  asio::post(io_, [this] { Round(); });
}

void EdgeLoop::Round() {
  round_scheduled_ = false;
  // Controls first: they know of a session before its agent learns that it may expect calls.
  if (!table_.batches().empty()) {
    shared_.send_to_controls(&table_.batches());
    table_.batches().Clear();
  }
  for (const auto& [id, reason] : table_.TakeClosing()) Close(id, reason, false);
  if (!table_.closing().empty()) ScheduleRound();
  const auto writable = std::exchange(table_.writable(), {});
  for (const SessionId id : writable) server_.WriteFrames(id);
  ArmTick();
}

void EdgeLoop::ArmTick() {
  const Duration wait = table_.has_timers()    ? SessionTable::kTick
                        : logins_.has_timers() ? std::min(Logins::kTick, slow_tick_)
                                               : slow_tick_;
  if (tick_armed_for_ <= wait) return;  // To set it again would delay the tick.
  tick_armed_for_ = wait;
  tick_.expires_after(wait);
  tick_.async_wait([this](const asio::error_code& ec) {
    if (!ec) OnTick();
  });
}

void EdgeLoop::OnTick() {
  tick_armed_for_ = Duration::max();
  ArmTick();  // First: what follows may throw.
  AdvanceTable();
  logins_.Advance();
  if (index_ == 0) shared_.tick();
  RecheckSecrets();
  if (table_.has_heartbeats() && shared_.clock->Now() >= next_refresh_) RefreshHeard();
  Round();
}

void EdgeLoop::AdvanceTable() {
  if (!table_.Advance()) ScheduleAdvance();
}

void EdgeLoop::ScheduleAdvance() {
  if (std::exchange(advance_scheduled_, true)) return;
  asio::post(io_, [this] {
    advance_scheduled_ = false;
    AdvanceTable();
    Round();
  });
}

// Heartbeats extend leases, gathered for a while: one batch of the registry's instead of one command for each.
void EdgeLoop::RefreshHeard() {
  next_refresh_ = shared_.clock->Now() + slow_tick_;
  std::vector<Registry::Held> held;
  table_.TakeHeartbeats([&](const std::string& user_id, uint64_t epoch) { AddHeld(user_id, epoch, &held); });
  if (!held.empty()) shared_.registry->Refresh(shared_.server_id, std::move(held));
}

// The lease of the session with this epoch, unless that is no longer the user's.
void EdgeLoop::AddHeld(const std::string& user_id, uint64_t epoch, std::vector<Registry::Held>* held) {
  const uint64_t lease = shared_.directory->LeaseOf(user_id, epoch);
  if (lease != 0) held->push_back({user_id, lease});
}

void EdgeLoop::RecheckSecrets() {
  const std::vector<SessionId> sessions =
      rechecks_.Take(shared_.clock->Now(), [this](SessionId id) { return table_.Find(id) != nullptr; });
  if (sessions.empty()) return;
  std::vector<SecretCheck> checks;
  checks.reserve(sessions.size());
  for (const SessionId id : sessions) checks.push_back({table_.Find(id)->user_id(), table_.Find(id)->secret()});
  const auto shared_checks = std::make_shared<const std::vector<SecretCheck>>(checks);
  shared_.authenticator->Recheck(std::move(checks), [this, sessions, shared_checks](auto verdicts) {
    Post([this, sessions, shared_checks, verdicts = std::move(verdicts)] {
      OnRechecked(sessions, *shared_checks, verdicts);
    });
  });
}

void EdgeLoop::OnRechecked(const std::vector<SessionId>& sessions, const std::vector<SecretCheck>& checks,
                           const absl::StatusOr<std::vector<bool>>& verdicts) {
  if (!verdicts.ok()) return rechecks_.TryAgain(sessions, shared_.clock->Now());
  rechecks_.Done(sessions);
  for (size_t i = 0; i < sessions.size(); ++i) {
    const Session* const session = table_.Find(sessions[i]);
    // It may have ended meanwhile, or count as opened with another secret.
    if ((*verdicts)[i] || session == nullptr || session->secret() != checks[i].digest) continue;
    log::Info("session is ended", {{"user", session->user_id()}, {"epoch", session->epoch()}, {"rechecked", true}});
    Close(sessions[i], close_reason::kCredentialsRevoked, /*answers_lost=*/true);
  }
  RecheckSecrets();
}

// --- sockets, logins, sessions ---------------------------------------------------------------------------------------

std::optional<WsServer::HttpReply> EdgeLoop::OnHttp(SessionId id, const std::string& path) {
  if (path != "/health" && logins_.RefusesUnnamed(id)) {
    return WsServer::HttpReply{403, R"({"error":"PROXY header missing"})"};
  }
  return shared_.http(path, logins_.AddressOf(id), [this, id](WsServer::HttpReply reply) {
    Post([this, id, reply = std::move(reply)] { server_.Reply(id, reply); });
  });
}

void EdgeLoop::OnOpen(SessionId id, const std::string& target, const std::string& authorization) {
  logins_.Begin(id, target, authorization);
  ArmTick();
}

void EdgeLoop::OnFrame(SessionId id, std::string& text) {
  if (const auto found = decoding_.find(id); found != decoding_.end()) {
    found->second.behind.push_back(std::move(text));
    return;
  }
  if (text.size() > kLargeFrameBytes && table_.Find(id) != nullptr) return DecodeLarge(id, std::move(text));
  if (table_.Receive(id, text)) return ScheduleRound();
  logins_.KeepEarly(id, text);
}

// One at a time of each session, so that frames stay in their order and agents take turns.
void EdgeLoop::DecodeLarge(SessionId id, std::string text) {
  server_.HoldReads(id);
  const auto shared = std::make_shared<const std::string>(std::move(text));
  decoding_.emplace(id, Decoding{shared, {}});
  shared_.large_frames->Post(shared->size(), [this, id, shared] {
    const auto frame = std::make_shared<AgentFrame>();
    table_.decoder().Decode(*shared, frame.get());
    Post([this, id, shared, frame] { OnDecoded(id, *shared, frame.get()); });
  });
}

void EdgeLoop::OnDecoded(SessionId id, std::string_view text, AgentFrame* frame) {
  auto decoding = decoding_.extract(id);
  if (!decoding) return;  // The session has ended.
  if (table_.Receive(id, text, frame)) ScheduleRound();
  for (std::string& one : decoding.mapped().behind) OnFrame(id, one);
  if (decoding_.find(id) == decoding_.end()) server_.ReadOn(id);
}

// The session ends; what was read of it before counts.
void EdgeLoop::DecodeNow(SessionId id) {
  auto decoding = decoding_.extract(id);
  if (!decoding) return;
  table_.Receive(id, *decoding.mapped().text);
  for (const std::string& one : decoding.mapped().behind) table_.Receive(id, one);
}

void EdgeLoop::OpenSession(SessionId id, const std::string& user_id, uint64_t epoch, const SecretDigest& secret,
                           std::vector<std::string> early) {
  server_.TrustPeer(id);
  table_.Open(id, user_id, epoch, secret);
  rechecks_.Add(id);
  for (const std::string& text : early) table_.Receive(id, text);
  ScheduleRound();
}

bool EdgeLoop::NextFrame(SessionId id, std::string* text) {
  if (!table_.NextFrame(id, text)) return false;
  shared_.counters->frames_out.Add();
  return true;
}

void EdgeLoop::OnWritable(SessionId id) {
  if (!table_.HasFrames(id)) return;
  table_.writable().push_back(id);
  ScheduleRound();
}

void EdgeLoop::OnEnd(SessionId id, bool too_big) {
  if (too_big) shared_.counters->too_big.Add();
  EndSession(id, CloseReason{}, /*answers_lost=*/too_big);
}

void EdgeLoop::Close(SessionId id, const CloseReason& reason, bool answers_lost) {
  EndSession(id, reason, answers_lost);
  server_.Close(id, reason);
}

void EdgeLoop::EndSession(SessionId id, const CloseReason& reason, bool answers_lost) {
  logins_.Cancel(id);
  const Session* const session = table_.Find(id);
  if (session == nullptr) return;
  DecodeNow(id);
  const std::string user_id = session->user_id();
  const uint64_t epoch = session->epoch();
  // Here, where it is known that there was a session.
  const bool replaced = reason.code == CloseCode::kReplaced;
  if (replaced) shared_.counters->sessions_replaced.Add();
  if (reason.code == CloseCode::kByOperator) shared_.counters->sessions_ended_by_operator.Add();
  if (reason.text == std::string_view(close_reason::kCredentialsRevoked.text)) shared_.counters->sessions_revoked.Add();
  table_.Close(id, answers_lost, replaced);
  logins_.LogOut(id, user_id, epoch);
  ScheduleRound();
}

}  // namespace toolwire
