// gRPC's side of one stream that goes both ways, such as Dispatch: the test decides what the caller sends, and when a write is over.
#ifndef TOOLWIRE_TESTS_FAKES_CALLER_STREAM_H_
#define TOOLWIRE_TESTS_FAKES_CALLER_STREAM_H_

#include <grpcpp/grpcpp.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "control/raw_message.h"
#include "toolwire/v1/dispatch.pb.h"

namespace toolwire {

// One thread at a time, and none of gRPC's.
template <typename Reply>
class CallerStreamOf final : public grpc::ServerCallbackReaderWriter<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  using Reactor = grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>;

  // Call after the stream's Begin, as gRPC does.
  explicit CallerStreamOf(Reactor* reactor) : reactor_(reactor) { BindReactor(reactor); }
  // As gRPC ends it: all that is under way is over first.
  void Done() {
    if (reading_ != nullptr) End();
    if (writing_) WriteDone();
    reactor_->OnDone();
  }

  // A message of the caller's. False if the stream reads none now.
  bool Send(const google::protobuf::Message& message) { return Send(ToBuffer(message)); }
  bool Send(grpc::ByteBuffer message) {
    if (reading_ == nullptr) return false;
    *std::exchange(reading_, nullptr) = std::move(message);
    reactor_->OnReadDone(true);
    return true;
  }
  // The caller sends no more.
  void End() {
    reading_ = nullptr;
    reactor_->OnReadDone(false);
  }
  // The write that is under way is over.
  void WriteDone(bool ok = true) {
    writing_ = false;
    reactor_->OnWriteDone(ok);
  }
  // Ends writes until none is under way.
  void ReadAll() {
    while (writing_) WriteDone();
  }

  bool reads() const { return reading_ != nullptr; }
  bool writes() const { return writing_; }
  const std::optional<grpc::Status>& finished() const { return finished_; }
  // What was written, in its order.
  const std::vector<Reply>& replies() const { return replies_; }
  std::vector<v1::DispatchAnswer> answers() const {
    std::vector<v1::DispatchAnswer> all;
    for (const auto& reply : replies_) all.insert(all.end(), reply.answers().begin(), reply.answers().end());
    return all;
  }

  void Finish(grpc::Status status) override { finished_ = std::move(status); }
  void SendInitialMetadata() override {}
  void Read(grpc::ByteBuffer* message) override { reading_ = message; }
  void Write(const grpc::ByteBuffer* message, grpc::WriteOptions) override {
    writing_ = true;
    grpc::ByteBuffer copy(*message);
    parsed_ = FromBuffer(&copy, &replies_.emplace_back()) && parsed_;
  }
  void WriteAndFinish(const grpc::ByteBuffer*, grpc::WriteOptions, grpc::Status) override {}
  // Whether every reply was one.
  bool parsed() const { return parsed_; }

 private:
  grpc::internal::ServerReactor* reactor() override { return reactor_; }
  void CallOnDone() override {}

  Reactor* const reactor_;
  grpc::ByteBuffer* reading_ = nullptr;
  bool writing_ = false;
  bool parsed_ = true;
  std::optional<grpc::Status> finished_;
  std::vector<Reply> replies_;
};
using CallerStream = CallerStreamOf<v1::DispatchReply>;

}  // namespace toolwire

#endif  // TOOLWIRE_TESTS_FAKES_CALLER_STREAM_H_
