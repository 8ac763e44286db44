// One caller's WatchAgents stream.
#ifndef TOOLWIRE_CONTROL_WATCH_STREAM_H_
#define TOOLWIRE_CONTROL_WATCH_STREAM_H_

#include <grpcpp/grpcpp.h>

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "control/agent_directory.h"
#include "control/caller_bytes.h"
#include "control/stream_counters.h"

namespace toolwire {

// Keeps itself alive until gRPC is done with it. Events gather while a message is being written; a watcher that lets
// more than `unread_bytes_max` gather is ended with RESOURCE_EXHAUSTED and starts again from a snapshot, which it gets
// in steps as it reads.
class WatchStream final : public grpc::ServerWriteReactor<grpc::ByteBuffer>,
                          public CallerBytes::Holder,
                          public std::enable_shared_from_this<WatchStream> {
 public:
  // `context` is gRPC's of this stream; null in tests.
  WatchStream(AgentDirectory& directory, StreamCounters& counters, CallerBytes& all, size_t unread_bytes_max,
              grpc::CallbackServerContext* context)
      : Holder(all, context == nullptr ? std::string() : context->peer()),
        directory_(directory),
        counters_(counters),
        unread_bytes_max_(unread_bytes_max),
        context_(context) {}

  // `bound`: as AgentDirectory::Watch.
  void Begin(std::set<std::string> users, std::function<void()> on_done, UserBound bound = {});
  void End(grpc::Status status);
  // Once it has ended: gives up its last message if the caller has not read it for `limit`, as far as these calls have
  // seen. True: it was given up now.
  bool CutIfUnread(MonoTime now, Duration limit);

  void OnWriteDone(bool ok) override;
  void OnCancel() override { End(grpc::Status::CANCELLED); }
  void OnDone() override;
  void Drop() override;

 private:
  using Events = AgentDirectory::WatchBytes;

  void Add(const Events& events);
  // The memory that they take of this watcher alone.
  size_t CostOf(const Events& events) const;
  void WriteNextLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void TakeFirstLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void EndUnreadLocked(const char* why) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  AgentDirectory& directory_;
  StreamCounters& counters_;
  const size_t unread_bytes_max_;
  std::function<void()> on_done_;
  std::shared_ptr<WatchStream> self_;
  uint64_t watch_id_ = 0;  // Constant after Begin, as is the next.
  bool of_all_ = false;

  Mutex mu_;
  grpc::CallbackServerContext* context_ ABSL_GUARDED_BY(mu_);  // Null once gRPC is done.
  std::deque<Events> waiting_ ABSL_GUARDED_BY(mu_);
  size_t waiting_bytes_ ABSL_GUARDED_BY(mu_) = 0;  // As if they were not shared.
  grpc::ByteBuffer outgoing_ ABSL_GUARDED_BY(mu_);
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  bool ended_ ABSL_GUARDED_BY(mu_) = false;
  bool finished_ ABSL_GUARDED_BY(mu_) = false;
  std::optional<MonoTime> unread_since_ ABSL_GUARDED_BY(mu_);  // Of CutIfUnread.
  bool cut_ ABSL_GUARDED_BY(mu_) = false;
  grpc::Status status_ ABSL_GUARDED_BY(mu_);
};

}  // namespace toolwire

#endif  // TOOLWIRE_CONTROL_WATCH_STREAM_H_
