// A command becomes a delivery to this edge's own session:
//
//   OnCommand -> kDelivered -> answer or refusal: settled
//                    |  ^
//                    |  +-- once it is -- kWaiting: the session is not open yet (NOT_SENT), for 2 s at most
//                    +------------------> kLost: sent, its session gone; an answer may come through any edge
//
// Whatever settles a call publishes its response, except that a second call of an id in flight gets none, and at a stop
// a call that was sent gets none, since its answer is still owed. An answer that comes through another edge settles a
// kLost call, and waits beside a kDelivered one, as the session here may answer first. A call of an id whose earlier
// call was sent and not answered is refused, since no answer says which of them it is to.
#include "edge/old_channels.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "common/audit/call_record.h"
#include "common/base/json_text.h"
#include "common/base/log.h"
#include "common/base/random_hex.h"
#include "common/wire/names.h"

namespace toolwire {

using E = v1::CallError;

namespace {

// How long one fetched answer may be on its way before the next one is fetched.
constexpr Duration kFetchMax = std::chrono::seconds(1);

// A question to Redis takes several round trips at most, each of 1 s at most; a user has hundreds of answers on the
// way.
constexpr size_t kLateUserBytesMax = 1u << 20;
constexpr size_t kLateBytesMax = 16u << 20;
constexpr LateAnswers::Options kLate{kLateUserBytesMax, kLateBytesMax, std::chrono::seconds(10)};

// The same for the same call whoever asks; no two calls have the same.
std::string OwedKey(const std::string& user_id, const std::string& request_id) {
  return "toolwire:owed:" + std::to_string(user_id.size()) + ":" + user_id + ":" + request_id;
}

std::string NotesChannel(const std::string& instance) { return std::string(kStrayNotesChannel) + ":" + instance; }

v1::StrayAnswer NamesOf(const std::string& user_id, const std::string& request_id) {
  v1::StrayAnswer names;
  names.set_user_id(user_id);
  names.set_request_id(request_id);
  return names;
}

// Names have the limits that they have in calls of controls; of longer ones the audit log keeps what it can.
void CheckNames(OldCommand* command) {
  for (const auto& [name, problem] : {std::pair(&command->request_id, "requestId is longer than 256 bytes"),
                                      std::pair(&command->tool, "tool is longer than 256 bytes")}) {
    if (CheckRequestId(*name) == nullptr) continue;
    if (command->why_bad.empty()) command->why_bad = problem;
    CutName(name);
  }
}

OldResponse FailureResponse(const std::string& user_id, std::string_view error) {
  OldResponse response;
  response.user_id = user_id;
  json::AppendQuoted(error, &response.error_json);
  return response;
}

OldResponse ResponseOf(const std::string& user_id, v1::Answer&& answer) {
  OldResponse response;
  response.user_id = user_id;
  response.success = answer.success();
  response.result_json = std::move(*answer.mutable_result_json());
  response.error_json = std::move(*answer.mutable_error_json());
  if (!answer.error().empty()) json::AppendQuoted(answer.error(), &response.error_json);
  response.execution_time_json = std::move(*answer.mutable_execution_time_json());
  if (response.execution_time_json.empty() && answer.has_execution_time_ms()) {
    response.execution_time_json = std::to_string(answer.execution_time_ms());
  }
  return response;
}

}  // namespace

struct OldChannels::Pending : TimerNode, CallRecord {
  MonoTime deadline;
  size_t bytes = 0;       // Of its params, once it is counted.
  MonoTime wait_until{};  // Waiting for a session ends here; unset until it first waits.
  Duration try_after = kTick;
  State state = State::kDelivered;
  // The answer that came through another edge, and the edge that offers one, until this edge has noticed that the agent
  // has moved there.
  std::optional<v1::Answer> answered_elsewhere;
  std::string offered_by;
};

class OldChannels::Work {
 public:
  explicit Work(OldChannels* channels) : channels_(channels) {}

  v1::ControlFrame* frame() { return &frame_; }
  void Publish(std::string_view request_id, const OldResponse& response, MonoTime until) {
    owed_.push_back({ResponseChannel(request_id), EncodeOldResponse(response), until});
  }
  void Note(std::string channel, v1::StrayNote::Kind kind, v1::StrayAnswer stray) {
    v1::StrayNote note;
    note.set_kind(kind);
    note.set_from(channels_->instance_);
    *note.mutable_stray() = std::move(stray);
    notes_.emplace_back(std::move(channel), note.SerializeAsString());
  }
  void Owe(std::string key, MonoTime until) { keys_.emplace_back(std::move(key), until); }
  void TakeOffered(v1::StrayAnswer names) { taken_.push_back(std::move(names)); }
  void AskOwed(v1::StrayAnswer names, bool offered) { asked_.emplace_back(std::move(names), offered); }
  void Audit(AuditTicket ticket, AuditRow&& row) { rows_.emplace_back(ticket, std::move(row)); }

  // With no lock held.
  void Run() {
    if (frame_.deliveries_size() > 0 || frame_.cancels_size() > 0) channels_->to_edge_(std::move(frame_));
    // Audit before the callers: if this process is killed, the row of a call that was answered says so.
    if (channels_->audit_ != nullptr) {
      for (auto& [ticket, row] : rows_) channels_->audit_->Settle(ticket, std::move(row));
    }
    for (const v1::StrayAnswer& names : taken_) {
      if (auto stray = channels_->take_stray_(names.user_id(), names.request_id()))
        channels_->OnTaken(*std::move(stray));
    }
    const Redis& redis = channels_->redis_;
    for (Owed& one : owed_) channels_->owed_.Add(std::move(one.channel), std::move(one.text), one.until);
    for (auto& [channel, message] : notes_) redis.publish(channel, std::move(message));
    for (auto& [key, until] : keys_) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - channels_->clock_.Now());
      channels_->keys_.Add(std::move(key), std::to_string(left.count()), until);
    }
    for (auto& [names, offered] : asked_) {
      // Redis may keep this for longer than the channels live.
      redis.take(OwedKey(names.user_id(), names.request_id()),
                 [weak = channels_->weak_from_this(), names = names, offered = offered](bool owed) {
                   if (const auto channels = weak.lock()) channels->OnOwed(names, owed, offered);
                 });
    }
  }

 private:
  struct Owed {
    std::string channel, text;
    MonoTime until;
  };

  OldChannels* const channels_;
  v1::ControlFrame frame_;
  std::vector<Owed> owed_;
  std::vector<std::pair<std::string, std::string>> notes_;
  std::vector<std::pair<AuditTicket, AuditRow>> rows_;
  std::vector<std::pair<std::string, MonoTime>> keys_;
  std::vector<v1::StrayAnswer> taken_;
  std::vector<std::pair<v1::StrayAnswer, bool>> asked_;
};

OldChannels::OldChannels(const Clock& clock, Redis redis, AuditLog* audit, Options options, PayloadOptions payload)
    : clock_(clock),
      redis_(std::move(redis)),
      audit_(audit),
      options_(options),
      payload_(payload),
      instance_(RandomHex(8)),
      owed_(clock, options.answers_bytes_max,
            [this](uint64_t number, const std::string& channel, std::string text) {
              // Redis may keep this for longer than the channels live.
              redis_.answer(instance_ + ":" + std::to_string(number), channel, std::move(text),
                            [weak = weak_from_this(), number](const absl::StatusOr<int64_t>& receivers) {
                              if (const auto channels = weak.lock()) channels->owed_.Published(number, receivers);
                            });
            }),
      keys_(clock, options.answers_bytes_max,
            [this](uint64_t number, const std::string& key, const std::string& life_ms) {
              redis_.set(key, std::chrono::milliseconds(std::stoll(life_ms)),
                         [weak = weak_from_this(), number](const absl::Status& status) {
                           const auto channels = weak.lock();
                           if (!channels) return;
                           if (status.ok()) channels->keys_.Published(number, 1);
                           if (!status.ok()) channels->keys_.Published(number, status);
                         });
            }),
      wheel_(kTick, 1024, clock.Now()),
      unanswered_({options.calls_max, UnansweredRequests::Options().kept}, &counters_.unanswered_full),
      late_(kLate) {}

OldChannels::~OldChannels() = default;

std::string OldChannels::notes_channel() const { return NotesChannel(instance_); }

// --- from backends ---------------------------------------------------------------------------------------------------

void OldChannels::OnCommand(const std::string& user_id, const std::string& message, MonoTime born) {
  OldCommand command = DecodeOldCommand(message, payload_.json_depth_max);
  if (command.why_bad.empty() && command.params_json.size() > payload_.payload_bytes_max) {
    command.why_bad = "params are too large";
    command.params_json.clear();
  }
  // Whoever waits, waits at the whole id.
  const std::string channel_id = command.request_id;
  CheckNames(&command);
  counters_.commands.Add();
  if (!command.why_bad.empty()) {
    counters_.bad_commands.Add();
    log::Warn("old command refused", {{"user", user_id}, {"why", std::string(command.why_bad)}});
    if (command.request_id.empty()) return;  // There is no channel for a response.
  }
  auto pending = std::make_unique<Pending>();
  Pending* const call = pending.get();
  call->user_id = user_id;
  call->request_id = std::move(command.request_id);
  call->tool = std::move(command.tool);
  call->params_json = std::move(command.params_json);
  const MonoTime now = clock_.Now();
  call->deadline = std::min(born, now) + options_.call_timeout;
  call->Begin(audit_, clock_.WallMs());
  Work work(this);
  {
    MutexLock lock(mu_);
    call->call_id = ++last_call_id_;
    if (!command.why_bad.empty()) {
      // A response on their common channel would end the wait for a good one of this id.
      const bool publish = by_request_.count(RequestKey(call->user_id, channel_id)) == 0;
      const std::string sentence =
          std::string(RowOf(E::INVALID_REQUEST).sentence) + ": " + std::string(command.why_bad);
      if (publish) work.Publish(channel_id, FailureResponse(call->user_id, sentence), call->deadline);
      FailLocked(call, E::INVALID_REQUEST, false, /*publish=*/false, &work, sentence);
    } else if (call->deadline <= now) {
      counters_.late_commands.Add();
      FailLocked(call, E::CALL_TIMEOUT, false, false, &work);
    } else if (unanswered_.Has(call->user_id, call->request_id, now)) {
      FailLocked(call, E::DUPLICATE_REQUEST, false, true, &work, kEarlierUnanswered);
    } else if (!by_request_.emplace(RequestKey(call->user_id, call->request_id), call).second) {
      // A response on their common channel would end the wait for the first.
      FailLocked(call, E::DUPLICATE_REQUEST, false, false, &work);
    } else if (!HasRoomLocked(*call)) {
      FailLocked(call, E::EDGE_UNAVAILABLE, false, true, &work);
    } else {
      calls_bytes_ += call->bytes = call->params_json.size();
      calls_.emplace(call->call_id, std::move(pending));
      DeliverLocked(call, &work);
    }
  }
  work.Run();
}

bool OldChannels::HasRoomLocked(const Pending& call) {
  if (calls_.size() >= static_cast<size_t>(options_.calls_max)) {
    counters_.calls_full.Add();
    return false;
  }
  if (!calls_.empty() && calls_bytes_ + call.params_json.size() > options_.calls_bytes_max) {
    counters_.calls_bytes_full.Add();
    return false;
  }
  return true;
}

void OldChannels::DeliverLocked(Pending* call, Work* work) {
  const Duration left = call->deadline - clock_.Now();
  if (left <= Duration::zero()) return FailLocked(call, E::CALL_TIMEOUT, false, true, work);
  call->state = State::kDelivered;
  waiting_.erase({call->user_id, call->call_id});
  wheel_.Disarm(call);  // The edge keeps the deadline.
  call->FillDeliver(left, work->frame()->add_deliveries());
}

// --- from the edge ---------------------------------------------------------------------------------------------------

void OldChannels::Send(v1::EdgeFrame&& frame) {
  Work work(this);
  {
    MutexLock lock(mu_);
    for (const v1::SessionEvent& event : frame.sessions()) {
      if (event.connected()) WakeLocked(event.user_id());
    }
    for (v1::Answer& answer : *frame.mutable_answers()) {
      if (Pending* call = FindLocked(answer.call_id())) AnswerLocked(call, std::move(answer), &work);
    }
    for (const v1::Refusal& refusal : frame.refusals()) {
      if (Pending* call = FindLocked(refusal.call_id())) RefuseLocked(call, refusal, &work);
    }
    for (v1::StrayAnswer& stray : *frame.mutable_strays()) StrayLocked(std::move(stray), &work);
    for (const v1::StrayOffer& offer : frame.stray_offers()) OfferLocked(offer, &work);
  }
  work.Run();
}

// In slices, by the next tick.
void OldChannels::WakeLocked(const std::string& user_id) {
  for (auto it = waiting_.lower_bound({user_id, 0}); it != waiting_.end() && it->first == user_id; ++it) {
    wheel_.Arm(FindLocked(it->second), clock_.Now());
  }
}

void OldChannels::AnswerLocked(Pending* call, v1::Answer&& answer, Work* work) {
  (answer.unreadable().empty() ? counters_.answered : counters_.failed).Add();
  AuditRow row = answer.unreadable().empty() ? RowOfAnswer(audit_, answer) : RowOfFailure(E::AGENT_LOST);
  work->Publish(call->request_id, ResponseOf(call->user_id, std::move(answer)), call->deadline);
  SettleLocked(call, std::move(row), work);
}

void OldChannels::RefuseLocked(Pending* call, const v1::Refusal& refusal, Work* work) {
  const bool sent = refusal.delivery() != E::NOT_SENT;
  if (!sent) {  // The answer was to an earlier call of this id.
    call->answered_elsewhere.reset();
    call->offered_by.clear();
  }
  switch (refusal.cause()) {
    case v1::Refusal::NOT_HERE:
    case v1::Refusal::SESSION_LOST:
      if (sent) return LoseLocked(call, work);
      // The lease is here, so the session is about to open, or to be opened again by an agent that comes back.
      call->state = State::kWaiting;
      if (call->wait_until == MonoTime{}) {
        call->wait_until = std::min(call->deadline, clock_.Now() + options_.session_wait);
      }
      waiting_.emplace(call->user_id, call->call_id);
      // The event of the session may have come before this refusal, through another loop: so it is tried again anyway.
      wheel_.Arm(call, std::min(call->wait_until, clock_.Now() + call->try_after));
      call->try_after *= 2;
      return;
    case v1::Refusal::PARAMS_REFUSED:
      return FailLocked(call, E::INVALID_REQUEST, sent, true, work,
                        std::string(RowOf(E::INVALID_REQUEST).sentence) + ": " + refusal.why());
    case v1::Refusal::EARLIER_UNANSWERED:
      return FailLocked(call, E::DUPLICATE_REQUEST, sent, true, work, kEarlierUnanswered);
    default:
      return FailLocked(call, ReasonOf(refusal.cause()), sent, true, work);
  }
}

void OldChannels::LoseLocked(Pending* call, Work* work) {
  if (SettleElsewhereLocked(call, work)) return;
  call->state = State::kLost;
  wheel_.Arm(call, call->deadline);
  if (call->offered_by.empty()) return;
  to_fetch_.push_back(call->call_id);
  FetchLocked(work);
}

// --- answers through other edges -------------------------------------------------------------------------------------

void OldChannels::StrayLocked(v1::StrayAnswer&& stray, Work* work) {
  if (Pending* call = FindSentLocked(stray)) {
    return AnswerLocked(call, std::move(*stray.mutable_answer()), work);
  }
  unanswered_.Remove(stray.user_id(), stray.request_id());
  work->AskOwed(NamesOf(stray.user_id(), stray.request_id()), false);
  work->Note(kStrayNotesChannel, v1::StrayNote::ANSWER, stray);
  counters_.late_full.Add(late_.Keep(std::move(stray), clock_.Now()));
  counters_.strays_sent.Add();
}

void OldChannels::OfferLocked(const v1::StrayOffer& offer, Work* work) {
  v1::StrayAnswer names = NamesOf(offer.user_id(), offer.request_id());
  if (FindSentLocked(names) != nullptr) return work->TakeOffered(std::move(names));
  unanswered_.Remove(names.user_id(), names.request_id());
  work->Note(kStrayNotesChannel, v1::StrayNote::OFFER, names);
  work->AskOwed(std::move(names), true);
  counters_.strays_sent.Add();
}

void OldChannels::OnTaken(v1::StrayAnswer&& stray) {
  Work work(this);
  {
    MutexLock lock(mu_);
    if (Pending* call = FindSentLocked(stray)) AnswerLocked(call, std::move(*stray.mutable_answer()), &work);
  }
  work.Run();
}

void OldChannels::OnOwed(const v1::StrayAnswer& names, bool owed, bool offered) {
  if (!owed && offered) return;  // Another edge may fetch it.
  std::optional<v1::StrayAnswer> stray;
  if (offered) stray = take_stray_(names.user_id(), names.request_id());
  Work work(this);
  {
    MutexLock lock(mu_);
    if (!offered) stray = late_.Take(names.user_id(), names.request_id());
    if (!owed || !stray) return;
    counters_.strays_published.Add();
    work.Publish(names.request_id(), ResponseOf(names.user_id(), std::move(*stray->mutable_answer())),
                 clock_.Now() + options_.call_timeout);
  }
  work.Run();
}

void OldChannels::OnStrayNote(const std::string& message) {
  v1::StrayNote note;
  if (!note.ParseFromString(message) || note.from() == instance_) return;
  v1::StrayAnswer& stray = *note.mutable_stray();
  Work work(this);
  if (note.kind() == v1::StrayNote::FETCH) {
    if (auto kept = take_stray_(stray.user_id(), stray.request_id())) {
      work.Note(NotesChannel(note.from()), v1::StrayNote::ANSWER, *std::move(kept));
    }
  } else {
    MutexLock lock(mu_);
    if (Pending* call = FindSentLocked(stray)) {
      if (note.kind() == v1::StrayNote::ANSWER) {
        call->answered_elsewhere = std::move(*stray.mutable_answer());
        if (fetching_ == call->call_id) fetching_ = 0;
      } else if (note.kind() == v1::StrayNote::OFFER && call->offered_by.empty()) {
        call->offered_by = note.from();
      } else {
        return;
      }
      // As long as the session seems to be here, an answer of its own comes first.
      if (call->state == State::kLost) LoseLocked(call, &work);
      FetchLocked(&work);
    } else {
      unanswered_.Remove(stray.user_id(), stray.request_id());
    }
  }
  work.Run();
}

void OldChannels::FetchLocked(Work* work) {
  if (fetching_ != 0 && clock_.Now() < fetching_until_) return;
  fetching_ = 0;
  while (fetching_ == 0 && !to_fetch_.empty()) {
    Pending* const call = FindLocked(to_fetch_.front());
    to_fetch_.pop_front();
    if (call == nullptr) continue;
    work->Note(NotesChannel(std::exchange(call->offered_by, {})), v1::StrayNote::FETCH,
               NamesOf(call->user_id, call->request_id));
    fetching_ = call->call_id;
    fetching_until_ = clock_.Now() + kFetchMax;
  }
}

// --- settling --------------------------------------------------------------------------------------------------------

bool OldChannels::SettleElsewhereLocked(Pending* call, Work* work) {
  if (!call->answered_elsewhere) return false;
  counters_.strays_matched.Add();
  v1::Answer answer = *std::move(call->answered_elsewhere);
  AnswerLocked(call, std::move(answer), work);
  return true;
}

void OldChannels::FailLocked(Pending* call, Reason reason, bool sent, bool publish, Work* work,
                             std::string_view sentence) {
  if (SettleElsewhereLocked(call, work)) return;
  counters_.failed.Add();
  if (sent) unanswered_.Add(call->user_id, call->request_id, 0, clock_.Now());
  if (sentence.empty()) sentence = RowOf(reason).sentence;
  if (publish) work->Publish(call->request_id, FailureResponse(call->user_id, sentence), call->deadline);
  SettleLocked(call, RowOfFailure(reason), work);
}

// The one way out. `call` may be gone when this returns.
void OldChannels::SettleLocked(Pending* call, AuditRow&& row, Work* work) {
  auto by_request = by_request_.find(RequestKey(call->user_id, call->request_id));
  if (by_request != by_request_.end() && by_request->second == call) by_request_.erase(by_request);
  const uint64_t call_id = call->call_id;
  waiting_.erase({call->user_id, call_id});
  calls_bytes_ -= call->bytes;
  call->MoveInto(&row, clock_.WallMs());
  work->Audit(call->ticket, std::move(row));
  calls_.erase(call_id);
}

void OldChannels::Tick() {
  owed_.Tick();
  keys_.Tick();
  const MonoTime now = clock_.Now();
  for (bool more = true; more;) {
    Work work(this);
    {
      MutexLock lock(mu_);
      const auto due = [&](TimerNode* node) {
        mu_.AssertHeld();
        auto* call = static_cast<Pending*>(node);
        if (call->state == State::kLost) return FailLocked(call, E::AGENT_LOST, true, true, &work);
        if (now >= call->wait_until) return FailLocked(call, E::AGENT_NOT_CONNECTED, false, true, &work);
        DeliverLocked(call, &work);
      };
      more = !wheel_.Advance(now, due, kAtOnce);
      late_.Expire(now);
      unanswered_.Expire(now);
      FetchLocked(&work);
    }
    work.Run();
  }
}

void OldChannels::FailAll() {
  std::vector<uint64_t> left;
  {
    MutexLock lock(mu_);
    for (const auto& [call_id, call] : calls_) left.push_back(call_id);
  }
  for (size_t i = 0; i < left.size();) {
    Work work(this);
    {
      MutexLock lock(mu_);
      for (const size_t end = std::min(left.size(), i + kAtOnce); i < end; ++i) {
        Pending* const call = FindLocked(left[i]);
        if (call == nullptr) continue;
        // An agent that comes back elsewhere may still answer a call that was sent: the caller waits for that.
        const bool sent = call->state != State::kWaiting;
        if (sent && !call->answered_elsewhere) {
          work.Owe(OwedKey(call->user_id, call->request_id), call->deadline);
        }
        FailLocked(call, sent ? E::AGENT_LOST : E::EDGE_UNAVAILABLE, sent, !sent, &work);
      }
    }
    work.Run();
  }
}

size_t OldChannels::in_flight() const {
  MutexLock lock(mu_);
  return calls_.size();
}

void OldChannels::AddSamples(std::vector<Sample>* out) const {
  AddGauge(out, "toolwire_edge_old_calls_in_flight", "Calls of the old Redis channels that are not settled.",
           static_cast<double>(in_flight()));
  AddGauge(out, "toolwire_edge_old_answer_bytes", "Answers of the old channels that Redis has not acknowledged.",
           static_cast<double>(owed_.bytes()));
  owed_.counters().AddSamples(out);
  counters_.AddSamples(out);
}

OldChannels::Pending* OldChannels::FindLocked(uint64_t call_id) {
  auto found = calls_.find(call_id);
  return found == calls_.end() ? nullptr : found->second.get();
}

OldChannels::Pending* OldChannels::FindSentLocked(const v1::StrayAnswer& stray) {
  const auto found = by_request_.find(RequestKey(stray.user_id(), stray.request_id()));
  return found == by_request_.end() || found->second->state == State::kWaiting ? nullptr : found->second;
}

}  // namespace toolwire
