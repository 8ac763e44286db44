// Finds the session or the call that an event is for, and passes the event on. After each event it notes what is left
// to do: sessions that have frames to write, and sessions to close. Two timer wheels drive the rest: one ends calls
// whose time is up, the other closes sessions that sent no heartbeat.
#include "edge/session_table.h"

#include <algorithm>

namespace toolwire {

using E = v1::CallError;

namespace {

// Heartbeats are checked to the second, or finer when the timeout itself is short.
Duration HeartbeatTick(const SessionLimits& limits) {
  return std::clamp<Duration>(limits.heartbeat_timeout / 10, std::chrono::milliseconds(10), std::chrono::seconds(1));
}

}  // namespace

SessionTable::SessionTable(const Clock& clock, const SessionLimits& limits, EdgeCounters& counters,
                           std::string server_id, SinceHeard since_heard)
    : clock_(clock),
      limits_(limits),
      counters_(counters),
      server_id_(std::move(server_id)),
      since_heard_(std::move(since_heard)),
      decoder_(limits.payload.json_depth_max + 1),  // The frame around a result is a level, too.
      call_wheel_(kTick, 4096, clock.Now()),
      unanswered_(limits.unanswered, &counters.unanswered_full),
      heartbeat_wheel_(HeartbeatTick(limits), 128, clock.Now()) {}

SessionTable::~SessionTable() = default;

Session::Context SessionTable::ContextNow() {
  Session::Context context;
  context.limits = &limits_;
  context.counters = &counters_;
  context.decoder = &decoder_;
  context.call_wheel = &call_wheel_;
  context.unanswered = &unanswered_;
  context.out = &batches_;
  context.calls = &calls_;
  context.links_down = &links_down_;
  context.heartbeats = &heartbeats_;
  context.now = clock_.Now();
  context.wall_ms = clock_.WallMs();
  return context;
}

void SessionTable::After(Entry* entry) {
  if (const CloseReason* close = entry->session.close()) {
    if (!entry->close_announced) closing_.emplace_back(entry->session.id(), *close);
    entry->close_announced = true;
  } else if (entry->session.has_frames()) {
    writable_.push_back(entry->session.id());
  }
}

void SessionTable::NoteWritable(const Session& session) {
  // Often many calls of one session end together.
  const bool noted = !writable_.empty() && writable_.back() == session.id();
  if (session.has_frames() && !noted) writable_.push_back(session.id());
}

void SessionTable::Open(SessionId id, const std::string& user_id, uint64_t epoch, const SecretDigest& secret) {
  const MonoTime now = clock_.Now();
  auto entry = std::make_unique<Entry>(id, user_id, epoch, now, clock_.WallMs(), secret);
  Entry* const raw = entry.get();
  sessions_.emplace(id, std::move(entry));
  heartbeat_wheel_.Arm(raw, now + limits_.heartbeat_timeout);
  counters_.sessions_opened.Add();
  batches_.sessions()->push_back(raw->session.Event(true));
  raw->session.Welcome(server_id_, ContextNow());
  After(raw);
}

void SessionTable::Close(SessionId id, bool answers_lost, bool replaced) {
  auto found = sessions_.find(id);
  if (found == sessions_.end()) return;
  found->second->session.Lose(answers_lost, ContextNow());
  counters_.sessions_closed.Add();
  batches_.sessions()->push_back(found->second->session.Event(false, replaced));
  sessions_.erase(found);
}

void SessionTable::Deliver(SessionId id, LinkId link, v1::Deliver&& deliver) {
  const bool here = At(id, [&](Session& session, const Session::Context& context) {
    session.Deliver(link, std::move(deliver), context);
  });
  if (here) return;
  counters_.refused.Add();
  Refuse(link, deliver.call_id(), v1::Refusal::NOT_HERE, E::NOT_SENT, &batches_);
}

void SessionTable::Cancel(LinkId link, uint64_t call_id) {
  auto found = calls_.find(std::make_pair(link, call_id));
  if (found == calls_.end()) return;
  Session* const session = found->second->session;
  session->Cancel(found->second, ContextNow());
  NoteWritable(*session);
}

void SessionTable::CancelLater(LinkId link, const std::vector<uint64_t>& call_ids) {
  for (const uint64_t call_id : call_ids) cancels_.emplace_back(link, call_id);
}

void SessionTable::CancelSome() {
  for (size_t i = 0; i < kAtOnce && !cancels_.empty(); ++i) {
    Cancel(cancels_.front().first, cancels_.front().second);
    cancels_.pop_front();
  }
}

// One walk over the keys, 0.3 ms for 100,000; to drop so many calls takes 50 ms. Sessions know meanwhile whose calls
// these are.
void SessionTable::LinkDown(LinkId link) {
  links_down_.push_back(link);
  for (const auto& [key, call] : calls_) {
    if (key.first == link) orphans_.push_back(key);
  }
  DropOrphans();
}

void SessionTable::DropOrphans() {
  const Session::Context context = ContextNow();
  for (size_t i = 0; i < kAtOnce && !orphans_.empty(); ++i) {
    auto found = calls_.find(orphans_.back());
    orphans_.pop_back();
    if (found != calls_.end()) found->second->session->Orphan(found->second, context);
  }
  if (!orphans_.empty() || links_down_.empty()) return;
  orphans_ = {};
  links_down_.clear();
}

std::vector<SessionId> SessionTable::SessionIds() const {
  std::vector<SessionId> ids;
  ids.reserve(sessions_.size());
  for (const auto& [id, entry] : sessions_) ids.push_back(id);
  return ids;
}

// Sessions that begin or end meanwhile are reported to every link.
void SessionTable::Snapshot(LinkId link, std::vector<SessionId>* ids) {
  v1::EdgeFrame* const frame = batches_.For(link);
  for (size_t i = 0; i < kAtOnce && !ids->empty(); ++i) {
    if (const Session* session = Find(ids->back())) *frame->add_sessions() = session->Event(true);
    ids->pop_back();
  }
}

std::vector<std::pair<SessionId, CloseReason>> SessionTable::TakeClosing() {
  std::vector<std::pair<SessionId, CloseReason>> now;
  for (size_t cost = 0; cost < kAtOnce && !closing_.empty(); closing_.pop_front()) {
    const Session* const session = Find(closing_.front().first);
    cost += kAtOnce / kClosesAtOnce + (session == nullptr ? 0 : session->calls_in_flight());
    now.push_back(closing_.front());
  }
  return now;
}

bool SessionTable::Advance() {
  CancelSome();
  DropOrphans();
  unanswered_.Expire(clock_.Now());
  const Session::Context context = ContextNow();
  const auto time_out = [&](TimerNode* node) {
    auto* call = static_cast<SessionCall*>(node);
    Session* const session = call->session;
    session->TimeOut(call, context);
    NoteWritable(*session);
  };
  const auto close_if_silent = [&](TimerNode* node) {
    auto* entry = static_cast<Entry*>(node);
    const MonoTime silent_at = entry->session.last_heard() + limits_.heartbeat_timeout;
    if (context.now < silent_at) return heartbeat_wheel_.Arm(entry, silent_at);
    // A part of a frame is a sign of life, and so are frames that wait unread because this process was paused or busy.
    const Duration silence = since_heard_(entry->session.id());
    if (silence < limits_.heartbeat_timeout) {
      return heartbeat_wheel_.Arm(entry, context.now + limits_.heartbeat_timeout - silence);
    }
    counters_.heartbeat_timeouts.Add();
    closing_.emplace_back(entry->session.id(), close_reason::kNoHeartbeat);
  };
  const bool calls_done = call_wheel_.Advance(context.now, time_out, kAtOnce);
  return heartbeat_wheel_.Advance(context.now, close_if_silent, kClosesAtOnce) && calls_done && orphans_.empty() &&
         cancels_.empty();
}

bool SessionTable::NextFrame(SessionId id, std::string* text) {
  auto found = sessions_.find(id);
  return found != sessions_.end() && found->second->session.NextFrame(text, &counters_);
}

bool SessionTable::HasFrames(SessionId id) const {
  auto found = sessions_.find(id);
  return found != sessions_.end() && found->second->session.has_frames();
}

const Session* SessionTable::Find(SessionId id) const {
  auto found = sessions_.find(id);
  return found == sessions_.end() ? nullptr : &found->second->session;
}

}  // namespace toolwire
