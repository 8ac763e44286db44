// One caller's WatchAgents stream.
#ifndef TOOLWIRE_CONTROL_WATCH_STREAM_H_
#define TOOLWIRE_CONTROL_WATCH_STREAM_H_

#include <grpcpp/grpcpp.h>

#include <functional>
#include <memory>
#include <string>

#include "absl/container/flat_hash_set.h"
#include "common/base/mutex.h"
#include "control/agent_directory.h"
#include "control/stream_counters.h"
#include "toolwire/v1/dispatch.pb.h"

namespace toolwire {

// Keeps itself alive until gRPC is done with it. Events gather while a message is being written; a watcher that lets
// more than kEventsMax gather is ended with RESOURCE_EXHAUSTED and starts again from a snapshot.
class WatchStream final : public grpc::ServerWriteReactor<grpc::ByteBuffer>,
                          public std::enable_shared_from_this<WatchStream> {
 public:
  static constexpr int kEventsMax = 200000;       // About 20 MB.
  static constexpr int kEventsPerMessage = 2000;  // Well under the 4 MiB that callers receive by default.

  WatchStream(AgentDirectory& directory, StreamCounters& counters) : directory_(directory), counters_(counters) {}

  void Begin(absl::flat_hash_set<std::string> users, std::function<void()> on_done);
  void End(grpc::Status status);

  void OnWriteDone(bool ok) override;
  void OnCancel() override { End(grpc::Status::CANCELLED); }
  void OnDone() override;

 private:
  void Add(const AgentDirectory::WatchEvent& event);
  void WriteNextLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  AgentDirectory& directory_;
  StreamCounters& counters_;
  std::function<void()> on_done_;
  std::shared_ptr<WatchStream> self_;
  uint64_t watch_id_ = 0;  // Constant after Begin.

  Mutex mu_;
  v1::WatchAgentsResponse waiting_ ABSL_GUARDED_BY(mu_);
  grpc::ByteBuffer outgoing_ ABSL_GUARDED_BY(mu_);
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  bool ended_ ABSL_GUARDED_BY(mu_) = false;
  bool finished_ ABSL_GUARDED_BY(mu_) = false;
  grpc::Status status_ ABSL_GUARDED_BY(mu_);
};

}  // namespace toolwire

#endif  // TOOLWIRE_CONTROL_WATCH_STREAM_H_
