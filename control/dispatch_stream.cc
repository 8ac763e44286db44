// One message is read at a time and one written at a time. What settles meanwhile waits, serialized, in `replies_`, and
// goes out in the next reply, up to 256 KiB; past `unread_bytes_max_` of it reading pauses, and past four times as much
// the stream is broken. The stream ends once the caller sends no more, no call is in flight and every answer is
// written. A cancel drops the answers and cancels the calls.
#include "control/dispatch_stream.h"

#include <google/protobuf/io/coded_stream.h>

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "control/caller_check.h"
#include "control/raw_message.h"
#include "control/salvage.h"
#include "control/stream_hello.h"

namespace toolwire {

using E = v1::CallError;

namespace {

// A reply holds so much, or one larger answer: callers' receive limits are often a few MiB.
constexpr size_t kReplyBytesMax = 256u << 10;
// Of a reply that waits, beside its bytes.
constexpr size_t kWaitingBytes = sizeof(std::string) + 16;
// Past so many times the bytes at which reading pauses the stream ends.
constexpr size_t kEndFactor = 4;
// After a standstill reading goes on behind so many messages and bytes that wait: a cancel is small, and comes soon.
constexpr size_t kHeldMessagesMax = 256;
constexpr size_t kHeldBytesMax = 1u << 20;

std::string FieldOf(const v1::DispatchAnswer& answer) {
  using google::protobuf::io::CodedOutputStream;
  constexpr uint8_t kTag = v1::DispatchReply::kAnswersFieldNumber << 3 | 2;
  const size_t size = answer.ByteSizeLong();
  std::string field(1 + CodedOutputStream::VarintSize64(size) + size, '\0');
  auto* at = reinterpret_cast<uint8_t*>(field.data());
  *at++ = kTag;
  answer.SerializeWithCachedSizesToArray(CodedOutputStream::WriteVarint64ToArray(size, at));
  return field;
}

// A caller asks in this way whether control has taken the stream: older controls say no hello. Nobody's call, so no row
// of the audit log.
bool IsQuestion(const v1::DispatchCall& one) {
  return one.id() == 0 && one.call().user_id().empty() && one.call().tool() == kHelloMetadata;
}

v1::CallFailure FailureOf(v1::CallFailure failure, const std::string& request_id) {
  failure.mutable_detail()->set_request_id(request_id);
  return failure;
}

}  // namespace

void DispatchStream::Begin(std::function<void()> on_done, std::string hello) {
  on_done_ = std::move(on_done);
  self_ = shared_from_this();
  greeted_ = !hello.empty();
  Join(weak_from_this());
  bool write = false;
  if (greeted_) {
    MutexLock lock(mu_);
    QueueLocked(std::move(hello));
    write = TakeNextLocked();
  }
  if (write) Write();
  StartRead(&incoming_);
}

void DispatchStream::EndWhenIdle() {
  MutexLock lock(mu_);
  ending_ = true;
  FinishIfIdleLocked();
}

void DispatchStream::Drain() {
  bool write = false;
  {
    MutexLock lock(mu_);
    stopping_ = true;
    if (!greeted_ || ending_ || finished_ || broken_) return;
    ending_ = true;
    v1::DispatchReply reply;
    reply.set_draining(true);
    QueueLocked(reply.SerializeAsString());
    write = TakeNextLocked();
    FinishIfIdleLocked();
  }
  if (write) Write();
}

// With nothing to say for as long as the caller has not read what was said before: then it does not wait for a word.
void DispatchStream::SayAlive() {
  const MonoTime now = signs_.Now();
  MonoTime last{};
  bool write = false;
  {
    MutexLock lock(mu_);
    sign_awaited_ = !finished_ && !broken_ && !in_flight_.empty();
    if (!sign_awaited_) return;
    if (now - said_at_ >= signs_.interval() && !writing_) {
      QueueLocked(std::string());
      write = TakeNextLocked();
      counters_.life_signs.Add();
    }
    last = writing_ ? now : said_at_;
  }
  if (write) Write();
  AwaitSign(last);
}

void DispatchStream::AwaitSign(MonoTime last) {
  signs_.Await(&sign_, last, [weak = weak_from_this()] {
    if (const auto alive = weak.lock()) alive->SayAlive();
  });
}

// In good order: a call that the caller sends meanwhile is not read, which the end of the stream shows.
void DispatchStream::EndIfUnused(MonoTime now, Duration limit) {
  MutexLock lock(mu_);
  if (ending_) return;
  if (std::exchange(used_, false) || reading_ > 0 || writing_ || !in_flight_.empty() || !replies_.empty()) {
    unused_since_ = now;
  } else if (now - unused_since_ >= limit) {
    counters_.stream_idle.Add();
    ending_ = true;
    FinishIfIdleLocked();
  }
}

void DispatchStream::EndExpired() { EndWithFailure(CallerAuth::Expired()); }

void DispatchStream::EndRemoved() {
  calls_cancelled_ = true;
  EndWithFailure(CallerAuth::Removed());
  CancelCalls();
}

void DispatchStream::EndWithFailure(v1::CallFailure failure) {
  MutexLock lock(mu_);
  if (ended_by_ || broken_) return;
  ending_ = true;
  status_ = ToStatus(failure);
  ended_by_ = std::move(failure);
  FinishIfIdleLocked();
}

bool DispatchStream::CutIfUnread(MonoTime now, Duration limit) {
  MutexLock lock(mu_);
  if (!ended_by_ || finished_ || broken_ || !in_flight_.empty()) return false;
  if (!unread_since_) unread_since_ = now;
  if (now - *unread_since_ < limit) return false;
  counters_.ended_unread.Add();
  BreakLocked();
  if (context_ != nullptr) context_->TryCancel();
  return true;
}

void DispatchStream::EndWith(grpc::Status status) {
  MutexLock lock(mu_);
  ending_ = true;
  status_ = std::move(status);
  FinishIfIdleLocked();
}

void DispatchStream::OnReadDone(bool ok) {
  if (!ok) return EndWhenIdle();
  {
    MutexLock lock(mu_);
    ++reading_;
  }
  if (!HoldMessage(stalls_.MustWait())) TakeMessage();
}

bool DispatchStream::HoldMessage(uint64_t ticks) {
  bool first = false, full = false;
  {
    MutexLock lock(mu_);
    if (ticks == 0 && !holding_) return false;
    Hold(incoming_.Length());
    held_bytes_ += incoming_.Length();
    held_.emplace_back().Swap(&incoming_);
    first = !std::exchange(holding_, true);
    full = held_.size() >= kHeldMessagesMax || held_bytes_ >= kHeldBytesMax;
    held_paused_ = full;
  }
  if (first) stalls_.Wait(ticks, [self = shared_from_this()] { self->TakeHeld(); });
  if (!full) ReadNext();
  return true;
}

void DispatchStream::TakeHeld() {
  for (;;) {
    std::deque<grpc::ByteBuffer> messages;
    bool resume = false;
    {
      MutexLock lock(mu_);
      messages.swap(held_);
      Release(std::exchange(held_bytes_, 0));
      holding_ = !messages.empty();
      if (!holding_) resume = std::exchange(held_paused_, false);
    }
    if (resume) ReadNext();
    if (messages.empty()) return;
    NoteIfCancelled();
    const CancelledIn cancelled = CancelsOf(&messages);
    grpc::Status status;
    size_t calls = 0;
    for (size_t i = 0; i < messages.size() && status.ok(); ++i) {
      ReadingTurns::Message cost;
      status = StartCalls(&messages[i], &cost, cancelled, i);
      calls += cost.calls;
    }
    if (!status.ok()) EndWith(std::move(status));
    MutexLock lock(mu_);
    reading_ -= static_cast<int>(messages.size());
    if (calls > 0) used_ = true;
    FinishIfIdleLocked();
  }
}

DispatchStream::CancelledIn DispatchStream::CancelsOf(std::deque<grpc::ByteBuffer>* messages) {
  CancelledIn cancelled;
  for (size_t i = 1; i < messages->size(); ++i) {
    grpc::ByteBuffer copy = (*messages)[i];
    v1::DispatchRequest request;
    if (ShapeOf(ShapeOfDispatch, requests_.bounds(), &copy) != Shape::kFine || !FromBuffer(&copy, &request)) continue;
    for (const uint64_t id : request.cancels()) cancelled[id] = i;
  }
  return cancelled;
}

// gRPC knows it before OnCancel is called.
void DispatchStream::NoteIfCancelled() {
  MutexLock lock(mu_);
  if (context_ != nullptr && !broken_ && context_->IsCancelled()) BreakLocked();
}

void DispatchStream::TakeMessage() {
  const MonoTime began = turns_.Now();
  NoteIfCancelled();
  grpc::ByteBuffer bytes;
  bytes.Swap(&incoming_);
  ReadingTurns::Message message;
  grpc::Status status = StartCalls(&bytes, &message);
  {
    MutexLock lock(mu_);
    --reading_;
    if (message.calls > 0) used_ = true;  // One that only tells the caller's clock is no use.
    FinishIfIdleLocked();
  }
  if (!status.ok()) return EndWith(std::move(status));
  const auto resume = [weak = weak_from_this()] {
    if (const auto alive = weak.lock()) alive->ReadNext();
  };
  if (!turns_.MustWait(began, message, &share_, resume)) ReadNext();
}

void DispatchStream::ReadNext() {
  {
    MutexLock lock(mu_);
    if (finished_ || broken_) return;
    // Whose token is gone could go on for ever: what is not read yet learns why from the end of the stream.
    if (ended_by_ && in_flight_.empty()) return;
    reading_paused_ = unread_bytes_ > unread_bytes_max_;
    if (reading_paused_) {
      counters_.answers_unread.Add();
      return;
    }
    ++reading_;
  }
  StartRead(&incoming_);
  MutexLock lock(mu_);
  --reading_;
  FinishIfIdleLocked();
}

grpc::Status DispatchStream::CheckShape(Shape shape) {
  if (shape == Shape::kFine || shape == Shape::kLargeParams) return grpc::Status::OK;
  counters_.message_full.Add();
  const RequestBounds& bounds = requests_.bounds();
  return grpc::Status(
      grpc::StatusCode::INVALID_ARGUMENT,
      shape == Shape::kManyCalls     ? absl::StrCat("more than ", bounds.calls_max, " calls in one message")
      : shape == Shape::kManyCancels ? absl::StrCat("more than ", bounds.cancels_max, " cancels in one message")
      : shape == Shape::kManyParams  ? absl::StrCat("params are more than ", bounds.message_params_bytes_max(),
                                                    " bytes in one message: send params_json")
                                     : "too many repeated or unknown fields in one message");
}

grpc::Status DispatchStream::StartCalls(grpc::ByteBuffer* bytes, ReadingTurns::Message* cost,
                                        const CancelledIn& cancelled, size_t number) {
  v1::DispatchRequest request;
  std::vector<SalvagedCall> unreadable;
  const Shape shape = ShapeOf(ShapeOfDispatch, requests_.bounds(), bytes);
  if (grpc::Status status = CheckShape(shape); !status.ok()) return status;
  if ((shape == Shape::kLargeParams || !FromBuffer(bytes, &request)) &&
      !SalvageDispatch(BytesOf(*bytes), requests_.bounds().hand_form_bytes_max, &request, &unreadable)) {
    return grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "not a DispatchRequest");
  }
  cost->bytes = bytes->Length();
  cost->calls = static_cast<size_t>(request.calls_size()) + unreadable.size();
  cost->cancels = static_cast<size_t>(request.cancels_size());
  bytes->Clear();  // Not held beside what was read of it.
  // By one reading, as the process may be stopped between this and a call's.
  const MonoTime now = turns_.Now();
  const MonoTime sent_at = now - sender_clock_.Late(request.clock_ms(), now);
  if (greeted_ && request.clock_ms() != 0 && !std::exchange(clock_read_, true)) SayClockRead();
  for (SalvagedCall& one : unreadable) {
    Call call;
    call.caller_id = one.id;
    call.SetFrom(from_);
    v1::CallFailure failure = requests_.RefuseUnreadable(std::move(one), &call);
    Reject(std::move(call), std::move(failure));
    ++cost->rejected;
  }
  std::vector<Call> calls;
  calls.reserve(static_cast<size_t>(request.calls_size()));
  for (v1::DispatchCall& one : *request.mutable_calls()) {
    if (IsQuestion(one)) {
      AnswerQuestion();
      ++cost->rejected;
      continue;
    }
    Call call;
    call.call_id = dispatcher_.NextCallId();
    call.caller_id = one.id();
    call.sink = self_;
    call.cancelled_all = &calls_cancelled_;
    call.SetFrom(from_);
    if (one.call().has_params()) {
      cost->params = true;
      call.sink = std::make_shared<HandFormSink>(requests_, self_);
    }
    auto failure = requests_.Read(std::move(*one.mutable_call()), std::nullopt, &call, sent_at);
    if (const auto behind = cancelled.find(one.id());
        behind != cancelled.end() && behind->second > number && !failure) {
      failure = MakeFailure(E::CALLER_CANCELLED, E::NOT_SENT, call.request_id);
    }
    if (!failure) failure = Admit(call);
    if (failure) {
      Reject(std::move(call), std::move(*failure));
      ++cost->rejected;
    } else {
      calls.push_back(std::move(call));
    }
  }
  if (!calls.empty()) {
    dispatcher_.Begin(std::move(calls));
    AwaitSignOfCalls();
  }
  if (request.cancels_size() > 0) Cancel(request);
  return grpc::Status::OK;
}

void DispatchStream::Cancel(const v1::DispatchRequest& request) {
  std::vector<uint64_t> cancels;
  {
    MutexLock lock(mu_);
    for (const uint64_t id : request.cancels()) {
      auto found = in_flight_.find(id);
      if (found != in_flight_.end()) cancels.push_back(found->second.call_id);
    }
  }
  dispatcher_.Cancel(cancels);
}

void DispatchStream::AwaitSignOfCalls() {
  if (!greeted_ || !signs_.given()) return;
  {
    MutexLock lock(mu_);
    if (in_flight_.empty() || std::exchange(sign_awaited_, true)) return;
  }
  AwaitSign(signs_.Now());
}

void DispatchStream::Reject(Call&& call, v1::CallFailure failure) {
  v1::DispatchAnswer rejected;
  rejected.set_id(call.caller_id);
  dispatcher_.RecordRejected(std::move(call), failure);
  *rejected.mutable_failure() = std::move(failure);
  Say(rejected);
}

void DispatchStream::AnswerQuestion() {
  v1::DispatchAnswer answer;
  *answer.mutable_failure() = MakeFailure(E::INVALID_REQUEST, E::NOT_SENT, "", "user_id is empty", "user_id");
  Say(answer);
}

void DispatchStream::SayClockRead() {
  v1::DispatchReply reply;
  reply.set_clock_read(true);
  SayFields(reply.SerializeAsString());
}

void DispatchStream::Say(const v1::DispatchAnswer& answer) { SayFields(FieldOf(answer)); }

void DispatchStream::SayFields(std::string fields) {
  bool write = false;
  {
    MutexLock lock(mu_);
    QueueLocked(std::move(fields));
    write = TakeNextLocked();
  }
  if (write) Write();
}

std::optional<v1::CallFailure> DispatchStream::Admit(const Call& call) {
  MutexLock lock(mu_);
  if (broken_) return MakeFailure(E::CALLER_CANCELLED, E::NOT_SENT, call.request_id);
  if (ended_by_) return FailureOf(*ended_by_, call.request_id);
  if (ending_) {
    return MakeFailure(E::EDGE_UNAVAILABLE, E::NOT_SENT, call.request_id,
                       stopping_ ? kControlStopping : "this control takes no more calls on this stream");
  }
  if (in_flight_.size() >= calls_in_flight_max_) {
    counters_.stream_calls_full.Add();
    return MakeFailure(E::CALLER_BUSY, E::NOT_SENT, call.request_id);
  }
  const size_t bytes = CallerBytes::kCallBytes + call.params_json.size();
  if (!in_flight_.try_emplace(call.caller_id, InFlight{call.call_id, bytes}).second) {
    return MakeFailure(E::DUPLICATE_REQUEST, E::NOT_SENT, call.request_id,
                       "a call with this id is in flight on this stream", "id");
  }
  Hold(bytes);
  return std::nullopt;
}

void DispatchStream::Settle(v1::DispatchAnswer&& outcome) {
  const uint64_t id = outcome.id();
  std::string field = FieldOf(outcome);
  outcome.Clear();  // A large result is not held twice.
  MutexLock lock(mu_);
  auto found = in_flight_.find(id);
  Release(found->second.bytes);
  in_flight_.erase(found);
  used_ = true;
  QueueLocked(std::move(field));
}

void DispatchStream::QueueLocked(std::string answer) {
  if (broken_ || finished_) return;
  size_t before = 0;
  if (!replies_.empty() && replies_.back().size() + answer.size() <= kReplyBytesMax) {
    before = replies_.back().capacity();
    replies_.back() += answer;
  } else {
    replies_.push_back(std::move(answer));
  }
  const size_t more = replies_.back().capacity() - before + (before == 0 ? kWaitingBytes : 0);
  unread_bytes_ += more;
  Hold(more);
}

void DispatchStream::Flush() {
  bool write = false, too_much = false;
  {
    MutexLock lock(mu_);
    write = TakeNextLocked();
    too_much = unread_bytes_ > kEndFactor * unread_bytes_max_ && !broken_;
    FinishIfIdleLocked();
  }
  if (write) Write();
  if (too_much && EndNow("the caller does not read its answers")) counters_.stream_ended.Add();
}

bool DispatchStream::TakeNextLocked() {
  if (writing_ || finished_ || broken_ || replies_.empty()) return false;
  outgoing_bytes_ = replies_.front().capacity() + kWaitingBytes;
  outgoing_ = ToBuffer(std::move(replies_.front()));
  replies_.pop_front();
  writing_ = true;
  if (greeted_) said_at_ = signs_.Now();
  return true;
}

// With no lock held: StartWrite wakes gRPC's thread before it returns, which would find the lock taken. So gRPC may be
// done with the write while StartWrite still runs; the thread that ends last goes on.
void DispatchStream::Write() {
  do {
    write_ends_.store(0, std::memory_order_relaxed);
    StartWrite(&outgoing_);
  } while (WriteIsOver() && AfterWrite());
}

void DispatchStream::OnWriteDone(bool ok) {
  write_ok_ = ok;
  if (WriteIsOver() && AfterWrite()) Write();
}

bool DispatchStream::AfterWrite() {
  bool write = false, resume = false;
  {
    MutexLock lock(mu_);
    writing_ = false;
    unread_since_.reset();
    unread_bytes_ -= outgoing_bytes_;
    Release(outgoing_bytes_);
    outgoing_.Clear();
    write = write_ok_ && TakeNextLocked();
    if (unread_bytes_ <= unread_bytes_max_) resume = std::exchange(reading_paused_, false);
    FinishIfIdleLocked();
  }
  if (resume) ReadNext();
  return write;
}

// The caller has cancelled or disconnected: so its calls are cancelled, and the stream ends when the last has settled.
void DispatchStream::OnCancel() {
  {
    MutexLock lock(mu_);
    BreakLocked();
  }
  turns_.Leave(&share_);
  CancelCalls();
}

void DispatchStream::BreakLocked() {
  ending_ = broken_ = calls_cancelled_ = true;
  const size_t waiting = unread_bytes_ - (writing_ ? outgoing_bytes_ : 0);
  unread_bytes_ -= waiting;
  Release(waiting);
  std::deque<std::string>().swap(replies_);
  FinishIfIdleLocked();
}

void DispatchStream::Drop() { EndNow(CallerBytes::kFull); }

bool DispatchStream::EndNow(const char* why) {
  bool first = false;
  {
    MutexLock lock(mu_);
    first = !finished_ && !broken_;
    if (first) {
      status_ = grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, why);
      BreakLocked();
    } else if (context_ != nullptr) {
      context_->TryCancel();
    }
  }
  turns_.Leave(&share_);
  CancelCalls();
  return first;
}

void DispatchStream::CancelCalls() {
  std::vector<uint64_t> call_ids;
  {
    MutexLock lock(mu_);
    for (const auto& [id, one] : in_flight_) call_ids.push_back(one.call_id);
  }
  dispatcher_.Cancel(call_ids);
}

void DispatchStream::FinishIfIdleLocked() {
  if (!ending_ || finished_ || reading_ > 0 || writing_ || !in_flight_.empty() || !replies_.empty()) return;
  finished_ = true;
  Finish(status_);
}

void DispatchStream::OnDone() {
  {
    MutexLock lock(mu_);
    context_ = nullptr;
  }
  turns_.Leave(&share_);
  signs_.Leave(&sign_);
  Leave();
  on_done_();
  self_.reset();  // May delete this.
}

}  // namespace toolwire
