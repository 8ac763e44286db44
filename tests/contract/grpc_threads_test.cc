// How many threads gRPC runs its callbacks on, as seen by callbacks that wait for each other.
#include "control/grpc_threads.h"

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <set>
#include <thread>

namespace toolwire {
namespace {

// A call that fails at once; `done` runs on one of gRPC's threads. Keeps itself until then.
class FailingCall {
 public:
  static void Start(const std::shared_ptr<grpc::Channel>& channel, std::function<void()> done) {
    auto* call = new FailingCall(channel);
    call->stub_.UnaryCall(&call->context_, "/", grpc::StubOptions(), &call->request_, &call->response_,
                          [call, done = std::move(done)](const grpc::Status& status) {
                            EXPECT_FALSE(status.ok());
                            done();
                            delete call;
                          });
  }

 private:
  explicit FailingCall(const std::shared_ptr<grpc::Channel>& channel) : stub_(channel) {
    const grpc::Slice nothing;
    request_ = grpc::ByteBuffer(&nothing, 1);
  }
  grpc::GenericStub stub_;
  grpc::ClientContext context_;
  grpc::ByteBuffer request_, response_;
};

class GrpcThreadsTest : public ::testing::Test {
 protected:
  // Keeps gRPC's threads, as a server does.
  std::shared_ptr<grpc::Channel> channel_ = grpc::CreateChannel("", nullptr);

  std::set<std::thread::id> ThreadsOf(int calls) {
    std::set<std::thread::id> threads;
    for (int i = 0; i < calls; ++i) {
      std::promise<std::thread::id> ran;
      FailingCall::Start(channel_, [&] { ran.set_value(std::this_thread::get_id()); });
      threads.insert(ran.get_future().get());
    }
    return threads;
  }
  // Passes only if two threads are there, as each callback waits for the other.
  void TwoMeet() {
    std::promise<void> here[2], over[2];
    for (int i = 0; i < 2; ++i) {
      FailingCall::Start(channel_, [&, i] {
        here[i].set_value();
        here[1 - i].get_future().wait();
        over[i].set_value();
      });
    }
    for (auto& one : over) one.get_future().wait();
  }
};

TEST_F(GrpcThreadsTest, OneIsLeft) {
  const GrpcThreads threads(1);
  EXPECT_GT(threads.held(), 0);
  EXPECT_EQ(ThreadsOf(200).size(), 1u);
}

TEST_F(GrpcThreadsTest, TwoAreLeft) {
  const GrpcThreads threads(2);
  TwoMeet();
}

TEST_F(GrpcThreadsTest, NoneIsHeldIfAllAreWanted) {
  for (const int count : {0, 16}) {
    const GrpcThreads threads(count);
    EXPECT_EQ(threads.held(), 0);
    TwoMeet();
  }
}

TEST_F(GrpcThreadsTest, AllComeBackInTheEnd) {
  for (int i = 0; i < 20; ++i) {
    const GrpcThreads threads(1);
  }
  TwoMeet();
}

TEST_F(GrpcThreadsTest, MayBeTheLastThatUsesGrpc) {
  for (int i = 0; i < 20; ++i) {
    channel_.reset();
    const GrpcThreads threads(1);
    EXPECT_GT(threads.held(), 0);
  }
}

}  // namespace
}  // namespace toolwire
