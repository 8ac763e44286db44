// How many threads gRPC runs its callbacks on, as seen by callbacks that wait for each other.
#include "control/grpc_threads.h"

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <functional>
#include <future>
#include <memory>
#include <set>
#include <thread>
#include <utility>
#include <vector>

namespace toolwire {
namespace {

// A call that fails at once; `done` runs on one of gRPC's threads.
struct FailingCall {
  FailingCall(const std::shared_ptr<grpc::Channel>& channel, std::function<void()> done) : stub(channel) {
    const grpc::Slice nothing;
    request = grpc::ByteBuffer(&nothing, 1);
    stub.UnaryCall(&context, "/", grpc::StubOptions(), &request, &response,
                   [done = std::move(done)](const grpc::Status& status) {
                     EXPECT_FALSE(status.ok());
                     done();
                   });
  }
  grpc::GenericStub stub;
  grpc::ClientContext context;
  grpc::ByteBuffer request, response;
};

class GrpcThreadsTest : public ::testing::Test {
 protected:
  // Keeps gRPC's threads, as a server does. Outlives the calls: its end joins these threads.
  std::shared_ptr<grpc::Channel> channel_ = grpc::CreateChannel("", nullptr);
  std::vector<std::unique_ptr<FailingCall>> calls_;

  void OnGrpc(std::function<void()> work) {
    calls_.push_back(std::make_unique<FailingCall>(channel_, std::move(work)));
  }

  std::set<std::thread::id> ThreadsOf(int calls) {
    std::set<std::thread::id> threads;
    for (int i = 0; i < calls; ++i) {
      std::promise<std::thread::id> ran;
      OnGrpc([&] { ran.set_value(std::this_thread::get_id()); });
      threads.insert(ran.get_future().get());
    }
    return threads;
  }
  // Passes only if two threads are there, as each callback waits for the other.
  void TwoMeet() {
    std::promise<void> here[2], over[2];
    for (int i = 0; i < 2; ++i) {
      OnGrpc([&, i] {
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
    EXPECT_EQ(GrpcThreads::Serving(count), GrpcThreads::Serving(0)) << "no more than gRPC has";
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
