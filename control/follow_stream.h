// One caller's FollowAgents stream.
#ifndef TOOLWIRE_CONTROL_FOLLOW_STREAM_H_
#define TOOLWIRE_CONTROL_FOLLOW_STREAM_H_

#include <grpcpp/grpcpp.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "common/base/mutex.h"
#include "control/caller_auth.h"
#include "control/event_stream.h"
#include "control/request_shape.h"
#include "toolwire/v1/dispatch.pb.h"

namespace toolwire {

// One request is taken at a time, in steps of which each locks the directory for a moment; while much waits to be read
// by the caller no step is made and no request read.
class FollowStream final : public EventStream<grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>> {
 public:
  // `from`: as of Call. The others as EventStream's.
  FollowStream(AgentDirectory& directory, CallerAuth& auth, const RequestBounds& bounds, StreamCounters& counters,
               CallerBytes& all, size_t unread_bytes_max, grpc::CallbackServerContext* context,
               std::shared_ptr<Caller> from = nullptr)
      : EventStream(directory, counters, all, unread_bytes_max, context),
        auth_(auth),
        bounds_(bounds),
        from_(std::move(from)) {}

  void Begin(std::function<void()> on_done);
  void OnReadDone(bool ok) override;

 private:
  void More() override;
  void ReadNext();
  // Takes the request that has come. Not OK: what the stream must end with, as of the next two.
  grpc::Status Take();
  grpc::Status Check(const std::string& user_id);
  grpc::Status Step(bool* whole);
  grpc::Status TooMany();
  void Note(const AgentDirectory::Followed& followed);

  CallerAuth& auth_;
  const RequestBounds bounds_;
  const std::shared_ptr<Caller> from_;
  grpc::ByteBuffer incoming_;

  Mutex steps_mu_;
  bool stepping_ ABSL_GUARDED_BY(steps_mu_) = false;  // A thread makes steps.
  bool again_ ABSL_GUARDED_BY(steps_mu_) = false;     // It looks once more whether there is something to do.
  bool taking_ ABSL_GUARDED_BY(steps_mu_) = false;    // There is a request: of the thread that makes steps.
  v1::FollowRequest request_;
  int removed_ = 0, added_ = 0;  // So many of its names were taken.
  size_t request_bytes_ = 0, names_bytes_ = 0;  // Held.
};

}  // namespace toolwire

#endif  // TOOLWIRE_CONTROL_FOLLOW_STREAM_H_
