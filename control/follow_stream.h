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
#include "control/life_signs.h"
#include "control/request_shape.h"
#include "toolwire/v1/dispatch.pb.h"

namespace toolwire {

// One request is taken at a time, in steps of which each locks the directory for a moment; while much waits to be read
// by the caller no step is made and no request read.
class FollowStream final : public EventStream<grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>> {
 public:
  // `from`: as of Call. The others as EventStream's.
  FollowStream(AgentDirectory& directory, CallerAuth& auth, const RequestBounds& bounds, StreamCounters& counters,
               CallerBytes& all, LifeSigns& signs, size_t unread_bytes_max, grpc::CallbackServerContext* context,
               std::shared_ptr<Caller> from = nullptr)
      : EventStream(directory, counters, all, unread_bytes_max, context),
        auth_(auth),
        bounds_(bounds),
        signs_(signs),
        from_(std::move(from)) {}

  // `hello`: the first response, as bytes, to a caller that asks for one, who is then also told that control lives.
  // Empty: the caller does not.
  void Begin(std::function<void()> on_done, std::string hello = {});
  void OnReadDone(bool ok) override;
  void OnDone() override;

 private:
  void More() override;
  // Whether this thread makes the next step; if not, it makes none any more.
  bool MayStep();
  void ReadNext();
  // Takes the request that has come. Not OK: what the stream must end with, as of the next two.
  grpc::Status Take();
  grpc::Status Check(const std::string& user_id);
  grpc::Status Step(bool* whole);
  grpc::Status TooMany();
  void Note(const AgentDirectory::Followed& followed);
  // Says that control lives, if nothing else was said.
  void SayAlive();
  void AwaitSign(MonoTime last);

  CallerAuth& auth_;
  const RequestBounds bounds_;
  LifeSigns& signs_;
  LifeSigns::Share sign_;
  bool greeted_ = false;  // Constant after Begin.
  const std::shared_ptr<Caller> from_;
  grpc::ByteBuffer incoming_;

  Mutex steps_mu_;
  bool stepping_ ABSL_GUARDED_BY(steps_mu_) = false;  // A thread makes steps.
  bool again_ ABSL_GUARDED_BY(steps_mu_) = false;     // It looks once more whether there is something to do.
  bool taking_ ABSL_GUARDED_BY(steps_mu_) = false;    // There is a request: of the thread that makes steps.
  bool sends_no_more_ ABSL_GUARDED_BY(steps_mu_) = false;  // The caller.
  size_t users_ ABSL_GUARDED_BY(steps_mu_) = 0;       // That are followed.
  bool sign_awaited_ ABSL_GUARDED_BY(steps_mu_) = false;
  v1::FollowRequest request_;
  int removed_ = 0, added_ = 0;  // So many of its names were taken.
  size_t request_bytes_ = 0, names_bytes_ = 0;  // Held.
};

}  // namespace toolwire

#endif  // TOOLWIRE_CONTROL_FOLLOW_STREAM_H_
