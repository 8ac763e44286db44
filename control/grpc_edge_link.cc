#include "control/grpc_edge_link.h"

#include <algorithm>
#include <chrono>
#include <utility>
#include <vector>

#include "common/frame_outbox.h"
#include "common/log.h"

namespace toolwire {
namespace {

// Calls that may wait for one edge: past it the edge counts as unavailable.
constexpr size_t kOutboxBytesMax = 256u << 20;
constexpr Duration kRedialMin = std::chrono::milliseconds(50);
constexpr Duration kRedialMax = std::chrono::milliseconds(2000);

grpc::ChannelArguments LinkArguments() {
  grpc::ChannelArguments arguments;
  // A crashed edge's calls must fail over within two seconds of the break.
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 1000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 1000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 50);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 1000);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 2000);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return arguments;
}

}  // namespace

// One stream, from dialling to its end. gRPC's threads and the dispatcher's callers come in; mu_ guards what they
// share.
class GrpcEdgeLink::Stream final : public grpc::ClientBidiReactor<v1::ControlFrame, v1::EdgeFrame>,
                                   public ToEdge,
                                   public std::enable_shared_from_this<Stream> {
 public:
  explicit Stream(GrpcEdgeLink* link) : link_(link), assembler_(16 * link->payload_bytes_max_ + (1u << 20)) {}

  void Begin() {
    self_ = shared_from_this();
    context_ = std::make_unique<grpc::ClientContext>();
    link_->stub_->async()->Link(context_.get(), this);
    AddHold();  // For writes that start outside of reactions; removed when reading ends.
    StartRead(&incoming_);
    StartCall();
  }
  void Cancel() { context_->TryCancel(); }
  // After WaitDone, on the link's own thread: the context holds the channel, and gRPC aborts when its last reference
  // goes on a thread of its own.
  void DropContext() { context_.reset(); }
  // Waits for the end. True if the edge had said hello.
  bool WaitDone() {
    std::unique_lock<std::mutex> lock(mu_);
    done_wake_.wait(lock, [this] { return done_; });
    return number_ != 0;
  }

  bool Send(v1::ControlFrame&& frame) override {
    std::lock_guard<std::mutex> lock(mu_);
    if (ended_ || !outbox_.Push(std::move(frame))) return false;
    WriteNextLocked();
    return true;
  }

  void OnReadDone(bool ok) override {
    if (ok && Handle()) {
      incoming_.Clear();
      return StartRead(&incoming_);
    }
    {
      std::lock_guard<std::mutex> lock(mu_);
      ended_ = true;
    }
    if (ok) Cancel();
    RemoveHold();
  }

  void OnWriteDone(bool ok) override {
    std::lock_guard<std::mutex> lock(mu_);
    writing_ = false;
    if (ok && !ended_) WriteNextLocked();
  }

  void OnDone(const grpc::Status& status) override {
    std::vector<uint64_t> unsent;
    {
      std::lock_guard<std::mutex> lock(mu_);
      for (const v1::ControlFrame& frame : outbox_.TakeUnsent()) {
        for (const v1::Deliver& deliver : frame.deliveries()) unsent.push_back(deliver.call_id());
      }
    }
    if (number_ != 0) {
      link_->up_ = false;
      log::Warn("edge unlinked", {{"edge", edge_id_}, {"address", link_->address_}, {"error", status.error_message()}});
      link_->dispatcher_.LinkDown(number_, unsent);
    }
    const auto self = std::move(self_);
    std::lock_guard<std::mutex> lock(mu_);
    done_ = true;
    done_wake_.notify_all();
  }

 private:
  // False: the stream must end.
  bool Handle() {
    if (incoming_.has_fragment()) {
      switch (assembler_.Add(&incoming_)) {
        case FrameAssembler<v1::EdgeFrame>::Added::kBroken:
          return false;
        case FrameAssembler<v1::EdgeFrame>::Added::kMore:
          return true;
        case FrameAssembler<v1::EdgeFrame>::Added::kComplete:
          break;
      }
    }
    if (number_ == 0) {
      if (!incoming_.has_hello()) return false;
      edge_id_ = incoming_.hello().server_id();
      if (!link_->wanted_edge_id_.empty() && edge_id_ != link_->wanted_edge_id_) return false;
      number_ = link_->dispatcher_.LinkUp(edge_id_, shared_from_this());
      link_->up_ = true;
      if (link_->on_edge_) link_->on_edge_(edge_id_);
      log::Info("edge linked", {{"edge", edge_id_}, {"address", link_->address_}});
    }
    link_->dispatcher_.Receive(number_, std::move(incoming_));
    return true;
  }

  void WriteNextLocked() {
    if (writing_ || !outbox_.Next(&outgoing_)) return;
    writing_ = true;
    StartWrite(&outgoing_);
  }

  GrpcEdgeLink* const link_;
  std::unique_ptr<grpc::ClientContext> context_;
  std::shared_ptr<Stream> self_;
  FrameAssembler<v1::EdgeFrame> assembler_;  // Reader only, as the three below.
  v1::EdgeFrame incoming_;
  uint64_t number_ = 0;  // The dispatcher's number of this link; 0 before the hello.
  std::string edge_id_;

  std::mutex mu_;
  std::condition_variable done_wake_;
  // Guarded by mu_.
  FrameOutbox<v1::ControlFrame> outbox_{kOutboxBytesMax};
  v1::ControlFrame outgoing_;
  bool writing_ = false;
  bool ended_ = false;
  bool done_ = false;
};

GrpcEdgeLink::GrpcEdgeLink(std::string edge_id, std::string address, Dispatcher& dispatcher, size_t payload_bytes_max,
                           std::function<void(const std::string& edge_id)> on_edge)
    : wanted_edge_id_(std::move(edge_id)),
      address_(std::move(address)),
      dispatcher_(dispatcher),
      payload_bytes_max_(payload_bytes_max),
      on_edge_(std::move(on_edge)),
      stub_(v1::EdgeRelay::NewStub(
          grpc::CreateCustomChannel(address_, grpc::InsecureChannelCredentials(), LinkArguments()))),
      thread_([this] { Run(); }) {}

GrpcEdgeLink::~GrpcEdgeLink() {
  {
    std::lock_guard<std::mutex> lock(mu_);
    stopping_ = true;
    if (stream_) stream_->Cancel();
  }
  wake_.notify_all();
  thread_.join();
}

void GrpcEdgeLink::Run() {
  Duration wait = kRedialMin;
  bool complained = false;
  while (true) {
    std::shared_ptr<Stream> stream;
    {
      std::lock_guard<std::mutex> lock(mu_);
      if (stopping_) return;
      stream = stream_ = std::make_shared<Stream>(this);
      stream->Begin();
    }
    const bool was_up = stream->WaitDone();
    std::unique_lock<std::mutex> lock(mu_);
    stream_.reset();
    stream->DropContext();
    if (was_up) {
      wait = kRedialMin;
      complained = false;
    } else if (!std::exchange(complained, true) && !stopping_) {
      log::Warn("edge cannot be reached; still trying", {{"address", address_}});
    }
    if (wake_.wait_for(lock, wait, [this] { return stopping_; })) return;
    wait = std::min(wait * 2, kRedialMax);
  }
}

}  // namespace toolwire
