// One caller's Dispatch stream: many calls, answers in any order, coalesced.
#ifndef TOOLWIRE_CONTROL_DISPATCH_STREAM_H_
#define TOOLWIRE_CONTROL_DISPATCH_STREAM_H_

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "common/base/mutex.h"
#include "control/call_request.h"
#include "control/caller_bytes.h"
#include "control/dispatcher.h"
#include "control/life_signs.h"
#include "control/reading_turns.h"
#include "control/request_shape.h"
#include "control/sender_clock.h"
#include "control/stalls.h"
#include "control/stream_counters.h"
#include "toolwire/v1/dispatch.pb.h"

namespace toolwire {

// Keeps itself alive until gRPC is done with it. gRPC's threads and those that settle calls use it; mu_ guards what
// they share. Bounded: calls in flight by an option, and reading pauses while answers pile up unread.
class DispatchStream final : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>,
                             public CallSink,
                             public CallerBytes::Holder,
                             public std::enable_shared_from_this<DispatchStream> {
 public:
  // `context` is gRPC's of this stream; null in tests. `from`: as of Call.
  DispatchStream(Dispatcher& dispatcher, CallRequests& requests, const ControlOptions& options,
                 StreamCounters& counters, CallerBytes& all, ReadingTurns& turns, LifeSigns& signs, Stalls& stalls,
                 grpc::CallbackServerContext* context, std::shared_ptr<Caller> from = nullptr)
      : Holder(all, context == nullptr ? std::string() : context->peer()),
        dispatcher_(dispatcher),
        requests_(requests),
        calls_in_flight_max_(static_cast<size_t>(options.stream_calls_in_flight_max)),
        unread_bytes_max_(options.stream_unread_bytes_max),
        counters_(counters),
        turns_(turns),
        signs_(signs),
        stalls_(stalls),
        from_(std::move(from)),
        context_(context) {}

  // `hello`: the first reply, as bytes, to a caller that asks for one, who is then also told when control stops, and
  // that it lives. Empty: the caller does not.
  void Begin(std::function<void()> on_done, std::string hello = {});
  // No new calls; the stream ends when its calls have settled.
  void EndWhenIdle();
  // Control will stop: the same for a caller that knows what `draining` means, who is told it first; nothing for
  // others.
  void Drain();
  // The stream's token has expired: as EndWhenIdle, and it says so.
  void EndExpired();
  // The stream's token was removed: also cancels its calls, which are still answered.
  void EndRemoved();
  // Ends it if it has had nothing to do for `limit`, as far as these calls have seen: call each second.
  void EndIfUnused(MonoTime now, Duration limit);
  // Once the stream's token is gone and its calls have settled: gives up what is left if the caller has read nothing
  // for `limit`, as far as these calls have seen. True: it was given up now.
  bool CutIfUnread(MonoTime now, Duration limit);

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

  void Settle(v1::DispatchAnswer&& outcome) override;
  void Flush() override;
  void Drop() override;

 private:
  struct InFlight {
    uint64_t call_id = 0;
    size_t bytes = 0;  // That it holds.
  };

  // Of calls by their ids: the last of the messages that wait in which they are cancelled.
  using CancelledIn = absl::flat_hash_map<uint64_t, size_t>;

  // The message waits, as control stood still or others wait, and the next one is read meanwhile, if not too much does.
  // False: it need not wait.
  bool HoldMessage(uint64_t ticks);
  // Takes the messages that wait, until none is left, and reads on if reading had stopped.
  void TakeHeld();
  CancelledIn CancelsOf(std::deque<grpc::ByteBuffer>* messages);
  void NoteIfCancelled();
  void TakeMessage();
  // Says that control lives, if nothing else was said.
  void SayAlive();
  void AwaitSign(MonoTime last);
  void AwaitSignOfCalls();
  // Not OK: what the stream must end with, as the message is none that can be read.
  // `cancelled`, of which it counts what comes behind the message with this `number`: those calls are not begun.
  // Clears `bytes`.
  grpc::Status StartCalls(grpc::ByteBuffer* bytes, ReadingTurns::Message* cost, const CancelledIn& cancelled = {},
                          size_t number = 0);
  // The calls in flight among its `cancels`.
  void Cancel(const v1::DispatchRequest& request);
  grpc::Status CheckShape(Shape shape);
  // Takes the call in, unless the stream has too many or one with its id.
  std::optional<v1::CallFailure> Admit(const Call& call);
  void CancelCalls();
  // New calls are rejected with this failure, and the stream ends with it once it is idle.
  void EndWithFailure(v1::CallFailure failure);
  // The first time as if the caller had cancelled, but it reads why if it reads the message that is being written; the
  // second time that message is given up, too. False if the stream was ending so already.
  bool EndNow(const char* why);
  void BreakLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Counts, audits and answers a call that may not start.
  void Reject(Call&& call, v1::CallFailure failure);
  // Answers a caller that asks whether control has taken the stream.
  void AnswerQuestion();
  // Tells a greeted caller that its clock is known.
  void SayClockRead();
  void Say(const v1::DispatchAnswer& answer);
  // Queues fields of a DispatchReply, as bytes, and writes them as soon as can be.
  void SayFields(std::string fields);
  // `answer` is a field of a DispatchReply, as bytes.
  void QueueLocked(std::string answer) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void EndWith(grpc::Status status);
  void ReadNext();
  // Whether there is something to write now: then the caller calls Write, with the lock released.
  bool TakeNextLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Writes what was taken and, as long as gRPC is done with it before this returns, what is ready by then.
  void Write() ABSL_LOCKS_EXCLUDED(mu_);
  // A write is over when gRPC has said so and StartWrite has returned, whichever is later; then this is true, once.
  bool WriteIsOver() { return write_ends_.fetch_add(1, std::memory_order_acq_rel) == 1; }
  // Ends the write that is over. True: more is taken, and the caller calls Write.
  bool AfterWrite() ABSL_LOCKS_EXCLUDED(mu_);
  void FinishIfIdleLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  Dispatcher& dispatcher_;
  CallRequests& requests_;
  const size_t calls_in_flight_max_;
  const size_t unread_bytes_max_;
  StreamCounters& counters_;
  ReadingTurns& turns_;
  LifeSigns& signs_;
  Stalls& stalls_;
  const std::shared_ptr<Caller> from_;
  std::function<void()> on_done_;
  bool greeted_ = false;  // Constant after Begin.
  std::shared_ptr<DispatchStream> self_;
  grpc::ByteBuffer incoming_;  // Reader only, as is `share_`.
  // Of the thread that takes messages: the reader, or the one that takes those that are held.
  SenderClock sender_clock_;
  bool clock_read_ = false;
  ReadingTurns::Share share_;
  LifeSigns::Share sign_;
  grpc::ByteBuffer outgoing_;  // Owned by the thread that set `writing_`, until AfterWrite; so are the next two.
  bool write_ok_ = false;
  std::atomic<int> write_ends_{0};

  Mutex mu_;
  std::deque<grpc::ByteBuffer> held_ ABSL_GUARDED_BY(mu_);
  size_t held_bytes_ ABSL_GUARDED_BY(mu_) = 0;
  bool holding_ ABSL_GUARDED_BY(mu_) = false;                               // Some are held, or taken from there now.
  bool held_paused_ ABSL_GUARDED_BY(mu_) = false;                           // No message is read until they are taken.
  grpc::CallbackServerContext* context_ ABSL_GUARDED_BY(mu_);               // Null once gRPC is done.
  absl::flat_hash_map<uint64_t, InFlight> in_flight_ ABSL_GUARDED_BY(mu_);  // By the caller's id.
  // Replies that wait to be written, and the memory that they and the one which is being written take.
  std::deque<std::string> replies_ ABSL_GUARDED_BY(mu_);
  size_t unread_bytes_ ABSL_GUARDED_BY(mu_) = 0;
  size_t outgoing_bytes_ ABSL_GUARDED_BY(mu_) = 0;
  // Messages that are taken or wait, and threads that start the next read: until they are done the stream does not
  // finish.
  int reading_ ABSL_GUARDED_BY(mu_) = 0;
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  bool used_ ABSL_GUARDED_BY(mu_) = true;  // Since EndIfUnused was called.
  MonoTime unused_since_ ABSL_GUARDED_BY(mu_){};
  bool reading_paused_ ABSL_GUARDED_BY(mu_) = false;
  bool sign_awaited_ ABSL_GUARDED_BY(mu_) = false;
  MonoTime said_at_ ABSL_GUARDED_BY(mu_){};     // When the last reply was written to a caller that was greeted.
  bool ending_ ABSL_GUARDED_BY(mu_) = false;    // The caller sends no more, or control is stopping.
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;  // Control is.
  // The caller has cancelled: answers are dropped. Written with mu_ held.
  std::atomic<bool> broken_{false};
  std::atomic<bool> calls_cancelled_{false};  // All of them: those that have not begun do not.
  std::optional<v1::CallFailure> ended_by_ ABSL_GUARDED_BY(mu_);
  std::optional<MonoTime> unread_since_ ABSL_GUARDED_BY(mu_);  // Of CutIfUnread.
  bool finished_ ABSL_GUARDED_BY(mu_) = false;
  grpc::Status status_ ABSL_GUARDED_BY(mu_);  // What the stream ends with.
};

}  // namespace toolwire

#endif  // TOOLWIRE_CONTROL_DISPATCH_STREAM_H_
