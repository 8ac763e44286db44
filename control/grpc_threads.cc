// gRPC runs the callback of a client's call on its own threads. So this makes one call, on a channel without an
// address, for each thread that is to be held; its callback waits until the end. One more callback that returns shows
// that a thread is left. If the numbers differ, as they may with another version of gRPC, all threads are released.
#include "control/grpc_threads.h"

#include <grpc/support/cpu.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <utility>
#include <vector>

#include "common/base/log.h"
#include "common/base/mutex.h"

namespace toolwire {
namespace {

// As many as gRPC 1.51 starts.
int ThreadsOfGrpc() { return std::clamp(static_cast<int>(gpr_cpu_num_cores()) / 2, 2, 16); }

// Longer than it takes a thread to begin with a callback on a machine that is busy.
constexpr auto kBeginWait = std::chrono::seconds(5);

// A call that fails at once, since its channel leads nowhere; what counts is the thread that its callback is on.
struct LostCall {
  LostCall(const std::shared_ptr<grpc::Channel>& channel, std::function<void()> work) : stub(channel) {
    const grpc::Slice nothing;
    request = grpc::ByteBuffer(&nothing, 1);
    stub.UnaryCall(&context, "/", grpc::StubOptions(), &request, &response,
                   [work = std::move(work)](const grpc::Status&) { work(); });
  }
  grpc::GenericStub stub;
  grpc::ClientContext context;
  grpc::ByteBuffer request, response;
};

}  // namespace

struct GrpcThreads::Impl {
  ~Impl();
  void RunOnGrpc(std::function<void()> work);
  void Hold();
  // Waits until `held` threads are in Hold and one more callback has run. False if that takes too long.
  bool AwaitHeld(int wanted);
  void Release();

  // Destroyed after the callbacks: the last of gRPC's channels joins gRPC's threads, and so must not go on one of them.
  std::shared_ptr<grpc::Channel> channel = grpc::CreateChannel("", nullptr);
  std::vector<std::unique_ptr<LostCall>> calls;

  Mutex mu;
  CondVar changed;
  int callbacks ABSL_GUARDED_BY(mu) = 0;  // Not yet over.
  int held ABSL_GUARDED_BY(mu) = 0;
  bool released ABSL_GUARDED_BY(mu) = false;
};

GrpcThreads::Impl::~Impl() { Release(); }

void GrpcThreads::Impl::RunOnGrpc(std::function<void()> work) {
  {
    MutexLock lock(mu);
    ++callbacks;
  }
  calls.push_back(std::make_unique<LostCall>(channel, [this, work = std::move(work)] {
    work();
    MutexLock lock(mu);
    --callbacks;
    changed.NotifyAll();
  }));
}

void GrpcThreads::Impl::Hold() {
  MutexLock lock(mu);
  ++held;
  changed.NotifyAll();
  changed.Wait(mu, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) { return released; });
  --held;
}

bool GrpcThreads::Impl::AwaitHeld(int wanted) {
  {
    MutexLock lock(mu);
    if (!changed.WaitFor(mu, kBeginWait, [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) { return held == wanted; }))
      return false;
  }
  RunOnGrpc([] {});
  MutexLock lock(mu);
  return changed.WaitFor(mu, kBeginWait, [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) { return callbacks == wanted; });
}

void GrpcThreads::Impl::Release() {
  MutexLock lock(mu);
  released = true;
  changed.NotifyAll();
  changed.Wait(mu, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) { return callbacks == 0; });
}

GrpcThreads::GrpcThreads(int count) : impl_(std::make_unique<Impl>()) {
  const int wanted = ThreadsOfGrpc() - Serving(count);
  if (wanted == 0) return;
  for (int i = 0; i < wanted; ++i) impl_->RunOnGrpc([impl = impl_.get()] { impl->Hold(); });
  if (impl_->AwaitHeld(wanted)) return;
  // If gRPC has fewer threads than assumed, none would be left to serve callers.
  log::Warn("grpc has other threads than expected, so all of them serve callers", {{"expected", ThreadsOfGrpc()}});
  impl_->Release();
}

GrpcThreads::~GrpcThreads() = default;

int GrpcThreads::Serving(int count) { return count == 0 ? ThreadsOfGrpc() : std::min(count, ThreadsOfGrpc()); }

int GrpcThreads::held() const {
  MutexLock lock(impl_->mu);
  return impl_->held;
}

}  // namespace toolwire
