// One caller's WatchAgents stream.
#ifndef TOOLWIRE_CONTROL_WATCH_STREAM_H_
#define TOOLWIRE_CONTROL_WATCH_STREAM_H_

#include <grpcpp/grpcpp.h>

#include <functional>
#include <set>
#include <string>

#include "control/event_stream.h"

namespace toolwire {

// A watcher that is ended as it does not read starts again from a snapshot, which it gets in steps as it reads.
class WatchStream final : public EventStream<grpc::ServerWriteReactor<grpc::ByteBuffer>> {
 public:
  // As EventStream's.
  WatchStream(AgentDirectory& directory, StreamCounters& counters, CallerBytes& all, size_t unread_bytes_max,
              grpc::CallbackServerContext* context)
      : EventStream(directory, counters, all, unread_bytes_max, context) {}

  // `bound`: as AgentDirectory::Watch.
  void Begin(std::set<std::string> users, std::function<void()> on_done, UserBound bound = {});

 private:
  void More() override { directory_.Continue(watch_id_); }
};

}  // namespace toolwire

#endif  // TOOLWIRE_CONTROL_WATCH_STREAM_H_
