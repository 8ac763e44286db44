// What the streams of callers who watch agents have in common: events that gather while one message is written.
#ifndef TOOLWIRE_CONTROL_EVENT_STREAM_H_
#define TOOLWIRE_CONTROL_EVENT_STREAM_H_

#include <grpcpp/grpcpp.h>

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "control/agent_directory.h"
#include "control/caller_bytes.h"
#include "control/life_signs.h"
#include "control/stream_counters.h"

namespace toolwire {

// Keeps itself alive until gRPC is done with it. Events gather while a message is being written; a watcher that lets
// more than `unread_bytes_max` gather is ended with RESOURCE_EXHAUSTED, and watches again. `Reactor` is gRPC's of a
// stream that writes: ServerWriteReactor or ServerBidiReactor.
template <typename Reactor>
class EventStream : public Reactor,
                    public CallerBytes::Holder,
                    public std::enable_shared_from_this<EventStream<Reactor>> {
 public:
  void End(grpc::Status status);
  // Once it has ended: gives up its last message if the caller has not read it for `limit`, as far as these calls have
  // seen. True: it was given up now.
  bool CutIfUnread(MonoTime now, Duration limit);

  void OnWriteDone(bool ok) override;
  void OnCancel() override { End(grpc::Status::CANCELLED); }
  void OnDone() override;
  void Drop() override;

 protected:
  using Events = AgentDirectory::WatchBytes;
  // A message holds so much, or one step of the directory's: callers receive 4 MiB by default. While more waits, no
  // further step is asked for.
  static constexpr size_t kMessageBytesMax = 64u << 10;
  // Of one name that is watched: in the watcher's set and in the directory's index.
  static constexpr size_t kNameBytes = 200;

  // `context` is gRPC's of this stream; null in tests.
  EventStream(AgentDirectory& directory, StreamCounters& counters, CallerBytes& all, size_t unread_bytes_max,
              grpc::CallbackServerContext* context)
      : Holder(all, context == nullptr ? std::string() : context->peer()),
        directory_(directory),
        counters_(counters),
        unread_bytes_max_(unread_bytes_max),
        context_(context) {}

  // The directory's of this stream; at once, and once. `of_all`: it is watched by those who share events with others.
  // `signs`: not null if it is to note when it writes, for SayAliveIfSilent.
  void Begin(uint64_t watch_id, bool of_all, std::function<void()> on_done, const LifeSigns* signs = nullptr);
  // Its first words, which are none of the directory's.
  void Say(std::string message) { Add(std::make_shared<const std::string>(std::move(message))); }
  // Writes an empty message if nothing was written for an interval of the `signs` that the stream was begun with.
  // Returns when the last message was written, or now if it is not read yet; nothing if the stream has ended.
  std::optional<MonoTime> SayAliveIfSilent();
  // Ends it with OK once what was added so far is written. What is added from now on is dropped.
  void EndWhenWritten();
  // With the directory's lock held: only queues, or hands a message to gRPC, which does not call back from there.
  void Add(const Events& events);
  // There is room for more. With no lock held.
  virtual void More() = 0;
  // False if the stream has ended. Else it does not finish before `LeaveReading`: reads may be started.
  bool Enter();
  void LeaveReading();
  // False if the stream has ended or so much waits that no more is to be asked for.
  bool HasRoom();

  AgentDirectory& directory_;
  StreamCounters& counters_;
  uint64_t watch_id_ = 0;  // Constant after Begin, as is the next.
  bool of_all_ = false;

 private:
  // The memory that they take of this watcher alone.
  size_t CostOf(const Events& events) const;
  void WriteNextLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void TakeFirstLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void WriteLocked(std::string message) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void EndIfWrittenLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void EndUnreadLocked(const char* why) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void FinishIfIdleLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const size_t unread_bytes_max_;
  std::function<void()> on_done_;
  const LifeSigns* signs_ = nullptr;  // Constant after Begin.
  std::shared_ptr<EventStream> self_;

  Mutex mu_;
  grpc::CallbackServerContext* context_ ABSL_GUARDED_BY(mu_);  // Null once gRPC is done.
  std::deque<Events> waiting_ ABSL_GUARDED_BY(mu_);
  size_t waiting_bytes_ ABSL_GUARDED_BY(mu_) = 0;  // As if they were not shared.
  grpc::ByteBuffer outgoing_ ABSL_GUARDED_BY(mu_);
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  MonoTime said_at_ ABSL_GUARDED_BY(mu_){};  // When the last message was written, with `signs_`.
  bool closing_ ABSL_GUARDED_BY(mu_) = false;  // It ends when what is there is written.
  int entered_ ABSL_GUARDED_BY(mu_) = 0;
  bool ended_ ABSL_GUARDED_BY(mu_) = false;
  bool finished_ ABSL_GUARDED_BY(mu_) = false;
  std::optional<MonoTime> unread_since_ ABSL_GUARDED_BY(mu_);  // Of CutIfUnread.
  bool cut_ ABSL_GUARDED_BY(mu_) = false;
  grpc::Status status_ ABSL_GUARDED_BY(mu_);
};

extern template class EventStream<grpc::ServerWriteReactor<grpc::ByteBuffer>>;
extern template class EventStream<grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>>;

}  // namespace toolwire

#endif  // TOOLWIRE_CONTROL_EVENT_STREAM_H_
