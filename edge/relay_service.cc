#include "edge/relay_service.h"

#include <algorithm>
#include <chrono>
#include <mutex>
#include <utility>

#include "common/frame_outbox.h"
#include "common/log.h"

namespace toolwire {
namespace {

// What may wait for one control before its link is cut: a control that does not read loses its calls anyway.
constexpr size_t kOutboxBytesMax = 512u << 20;

// Keeps itself alive until gRPC is done with it; the edge may hold it a little longer.
class RelayStream final : public grpc::ServerBidiReactor<v1::ControlFrame, v1::EdgeFrame>,
                          public ToControl,
                          public std::enable_shared_from_this<RelayStream> {
 public:
  RelayStream(Edge& edge, std::string peer, size_t frame_bytes_max)
      : edge_(edge), peer_(std::move(peer)), assembler_(frame_bytes_max) {}

  void Begin() {
    self_ = shared_from_this();
    link_ = edge_.Attach(self_);
    log::Info("control linked", {{"peer", peer_}, {"link", link_}});
    StartRead(&incoming_);
  }

  // ToControl
  void Send(v1::EdgeFrame&& frame) override {
    std::lock_guard<std::mutex> lock(mu_);
    if (ended_) return;
    if (!outbox_.Push(std::move(frame))) {
      return EndLocked(grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "control does not read"));
    }
    WriteNextLocked();
  }

  void EndWhenWritten() {
    std::lock_guard<std::mutex> lock(mu_);
    ending_ = true;
    if (!writing_) EndLocked(grpc::Status::OK);
  }

  void OnReadDone(bool ok) override {
    if (!ok) return Leave(grpc::Status::OK);
    if (incoming_.has_fragment()) {
      switch (assembler_.Add(&incoming_)) {
        case FrameAssembler<v1::ControlFrame>::Added::kBroken:
          return Leave(grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "broken fragment"));
        case FrameAssembler<v1::ControlFrame>::Added::kMore:
          return StartRead(&incoming_);
        case FrameAssembler<v1::ControlFrame>::Added::kComplete:
          break;
      }
    }
    edge_.Receive(link_, std::move(incoming_));
    incoming_.Clear();
    StartRead(&incoming_);
  }

  void OnWriteDone(bool ok) override {
    std::lock_guard<std::mutex> lock(mu_);
    writing_ = false;
    if (ended_) return FinishLocked();
    if (ok) WriteNextLocked();  // Otherwise the read fails as well, and ends it.
    if (ending_ && !writing_) EndLocked(grpc::Status::OK);
  }

  void OnDone() override {
    edge_.Detach(link_);
    log::Info("control unlinked", {{"peer", peer_}, {"link", link_}});
    self_.reset();  // May delete this.
  }

 private:
  void Leave(grpc::Status status) {
    edge_.Detach(link_);
    std::lock_guard<std::mutex> lock(mu_);
    EndLocked(std::move(status));
  }

  void WriteNextLocked() {
    if (writing_ || !outbox_.Next(&outgoing_)) return;
    writing_ = true;
    StartWrite(&outgoing_);
  }

  // No more frames are sent; the stream finishes when the write that is under way has ended.
  void EndLocked(grpc::Status status) {
    if (std::exchange(ended_, true)) return;
    status_ = std::move(status);
    outbox_.TakeUnsent();
    if (!writing_) FinishLocked();
  }

  void FinishLocked() {
    if (!std::exchange(finished_, true)) Finish(status_);
  }

  Edge& edge_;
  const std::string peer_;
  FrameAssembler<v1::ControlFrame> assembler_;  // Reader only.
  v1::ControlFrame incoming_;                   // Reader only.
  LinkId link_ = 0;                             // Constant after Begin.
  std::shared_ptr<RelayStream> self_;

  std::mutex mu_;
  // Guarded by mu_.
  FrameOutbox<v1::EdgeFrame> outbox_{kOutboxBytesMax};
  v1::EdgeFrame outgoing_;
  bool writing_ = false;
  bool ending_ = false;
  bool ended_ = false;
  bool finished_ = false;
  grpc::Status status_;
};

}  // namespace

grpc::ServerBidiReactor<v1::ControlFrame, v1::EdgeFrame>* RelayService::Link(grpc::CallbackServerContext* context) {
  auto stream = std::make_shared<RelayStream>(edge_, context->peer(), frame_bytes_max_);
  {
    std::lock_guard<std::mutex> lock(mu_);
    links_.erase(std::remove_if(links_.begin(), links_.end(), [](const auto& link) { return link.first.expired(); }),
                 links_.end());
    links_.emplace_back(stream, [weak = std::weak_ptr<RelayStream>(stream)] {
      if (const auto alive = weak.lock()) alive->EndWhenWritten();
    });
  }
  stream->Begin();
  return stream.get();
}

void RelayService::EndLinks() {
  decltype(links_) links;
  {
    std::lock_guard<std::mutex> lock(mu_);
    links.swap(links_);
  }
  for (const auto& [alive, end] : links) end();
}

absl::StatusOr<std::unique_ptr<RelayServer>> RelayServer::Start(const std::string& host, int port, Edge& edge,
                                                                size_t payload_bytes_max) {
  // A frame that comes in pieces holds one payload; several may be unfinished at once.
  std::unique_ptr<RelayServer> relay(new RelayServer(edge, 16 * payload_bytes_max + (1u << 20)));
  const std::string address = host + ":" + std::to_string(port);
  grpc::ServerBuilder builder;
  builder.AddListeningPort(address, grpc::InsecureServerCredentials(), &relay->port_);
  builder.RegisterService(&relay->service_);
  builder.SetMaxReceiveMessageSize(4 << 20);
  // Otherwise a second edge on the same port would start without a word and take half of the links.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  // Controls probe their links every second.
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 500);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  relay->server_ = builder.BuildAndStart();
  if (!relay->server_ || relay->port_ == 0) return absl::UnavailableError("relay: cannot listen on " + address);
  return relay;
}

RelayServer::~RelayServer() {
  if (!server_) return;
  service_.EndLinks();
  server_->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(2));
}

}  // namespace toolwire
