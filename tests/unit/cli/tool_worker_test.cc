#include "cli/agent/tool_worker.h"

#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/fakes/fake_clock.h"

namespace toolwire {
namespace {

// Blocks the worker until opened, and counts who came by.
class Gate {
 public:
  void Enter() {
    std::unique_lock<std::mutex> lock(mu_);
    ++entered_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return open_; });
  }
  void AwaitEntered(int count) {
    std::unique_lock<std::mutex> lock(mu_);
    changed_.wait(lock, [&] { return entered_ >= count; });
  }
  void Open() {
    const std::lock_guard<std::mutex> lock(mu_);
    open_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mu_;
  std::condition_variable changed_;
  int entered_ = 0;
  bool open_ = false;
};

class ToolWorkerTest : public testing::Test {
 protected:
  uint64_t Submit(ToolWorker& worker, std::function<void()> run) {
    return worker.Submit({std::move(run), [this] { ++refused_; }, nullptr});
  }

  FakeClock clock_;
  std::atomic<int> refused_{0};
};

TEST_F(ToolWorkerTest, JobsRunInTheirOrder) {
  Gate gate;
  ToolWorker worker(clock_, {16, 1, 0});
  std::vector<int> order;
  for (int i = 0; i < 10; ++i) ASSERT_NE(0u, Submit(worker, [&order, i] { order.push_back(i); }));
  ASSERT_NE(0u, Submit(worker, [&gate] { gate.Enter(); }));
  gate.AwaitEntered(1);
  EXPECT_EQ(order, (std::vector<int>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}));
  gate.Open();
}

TEST_F(ToolWorkerTest, JobThatHangsHoldsUpNoLaterJobs) {
  Gate hung, later;
  ToolWorker worker(clock_, {16, 3, 0});
  ASSERT_NE(0u, Submit(worker, [&hung] { hung.Enter(); }));
  ASSERT_NE(0u, Submit(worker, [&hung] { hung.Enter(); }));
  hung.AwaitEntered(2);
  later.Open();
  for (int i = 1; i <= 5; ++i) {
    ASSERT_NE(0u, Submit(worker, [&later] { later.Enter(); }));
    later.AwaitEntered(i);
  }
  hung.Open();
}

TEST_F(ToolWorkerTest, AtTheLimitOfThreadsJobsWait) {
  Gate gate;
  ToolWorker worker(clock_, {2, 2, 0});
  for (int i = 0; i < 2; ++i) ASSERT_NE(0u, Submit(worker, [&gate] { gate.Enter(); }));
  gate.AwaitEntered(2);
  std::atomic<int> ran{0};
  EXPECT_NE(0u, Submit(worker, [&ran] { ++ran; }));
  EXPECT_NE(0u, Submit(worker, [&ran] { ++ran; }));
  EXPECT_EQ(0u, Submit(worker, [&ran] { ++ran; }));
  EXPECT_EQ(ran, 0);
  gate.Open();
}

TEST_F(ToolWorkerTest, StopSaysWhetherAJobHangs) {
  Gate gate;
  {
    ToolWorker worker(clock_, {16, 2, 0});
    ASSERT_NE(0u, Submit(worker, [&gate] { gate.Enter(); }));
    gate.AwaitEntered(1);
    ASSERT_NE(0u, Submit(worker, [] {}));
    EXPECT_FALSE(worker.Stop(std::chrono::milliseconds(1)));
    EXPECT_EQ(0u, Submit(worker, [] { FAIL() << "refused jobs do not run"; }));
    gate.Open();
    EXPECT_TRUE(worker.Stop(std::chrono::hours(1)));
  }
  ToolWorker unused(clock_, {16, 2, 0});
  EXPECT_TRUE(unused.Stop(std::chrono::milliseconds(0)));
}

TEST_F(ToolWorkerTest, FullQueueRefusesAndLaterTakesMore) {
  Gate gate;
  ToolWorker worker(clock_, {2, 1, 0});
  ASSERT_NE(0u, Submit(worker, [&gate] { gate.Enter(); }));
  gate.AwaitEntered(1);  // At work, no longer in the queue.
  EXPECT_NE(0u, Submit(worker, [&gate] { gate.Enter(); }));
  EXPECT_NE(0u, Submit(worker, [&gate] { gate.Enter(); }));
  EXPECT_EQ(0u, Submit(worker, [] { FAIL() << "refused jobs do not run"; }));
  gate.Open();
  gate.AwaitEntered(3);
  EXPECT_NE(0u, Submit(worker, [] {}));
}

TEST_F(ToolWorkerTest, DestructionWaitsForTheJobAtHand) {
  Gate gate;
  bool finished = false;
  std::thread opener;
  {
    ToolWorker worker(clock_, {2, 1, 0});
    ASSERT_NE(0u, Submit(worker, [&] {
      gate.Enter();
      finished = true;
    }));
    gate.AwaitEntered(1);
    opener = std::thread([&gate] { gate.Open(); });
  }
  EXPECT_TRUE(finished);
  opener.join();
}

TEST_F(ToolWorkerTest, CancelledJobLeavesTheQueue) {
  Gate gate;
  ToolWorker worker(clock_, {1, 1, 0});
  const uint64_t at_work = Submit(worker, [&gate] { gate.Enter(); });
  gate.AwaitEntered(1);
  const uint64_t waiting = Submit(worker, [] { FAIL() << "cancelled jobs do not run"; });
  EXPECT_EQ(Submit(worker, [] {}), 0u);
  EXPECT_FALSE(worker.Cancel(at_work));
  EXPECT_FALSE(worker.Cancel(waiting + 1));
  EXPECT_TRUE(worker.Cancel(waiting));
  EXPECT_FALSE(worker.Cancel(waiting));
  EXPECT_NE(Submit(worker, [] {}), 0u);
  gate.Open();
  EXPECT_TRUE(worker.Stop(std::chrono::hours(1)));
  EXPECT_EQ(refused_, 0);
}

TEST_F(ToolWorkerTest, JobsThatHangCostTheirThreadsAndOthersGoOnBesideThem) {
  Gate hung, later;
  later.Open();
  ToolWorker worker(clock_, {16, 2, 2});
  for (int i = 1; i <= 2; ++i) ASSERT_NE(0u, Submit(worker, [&hung] { hung.Enter(); }));
  hung.AwaitEntered(2);
  ASSERT_NE(0u, Submit(worker, [&later] { later.Enter(); })) << "it may be that they only take long";
  clock_.Advance(ToolWorker::Options().hung_after);
  worker.Look();
  later.AwaitEntered(1);
  for (int i = 2; i <= 5; ++i) {
    ASSERT_NE(0u, Submit(worker, [&later] { later.Enter(); }));
    later.AwaitEntered(i);
  }
  hung.Open();
}

TEST_F(ToolWorkerTest, JobThatHangsIsToldOfOnceAndOneThatEndsIsNot) {
  Gate gate;
  ToolWorker worker(clock_, {16, 1, 1});
  std::atomic<int> hung{0};
  ASSERT_NE(0u, worker.Submit({[&gate] { gate.Enter(); }, [] {}, [&hung] { ++hung; }}));
  gate.AwaitEntered(1);
  worker.Look();
  EXPECT_EQ(hung, 0);
  clock_.Advance(ToolWorker::Options().hung_after);
  worker.Look();
  worker.Look();
  EXPECT_EQ(hung, 1);
  gate.Open();
  ASSERT_NE(0u, worker.Submit({[&gate] { gate.Enter(); }, [] {}, [&hung] { ++hung; }}));
  gate.AwaitEntered(2);
  EXPECT_TRUE(worker.Stop(std::chrono::hours(1)));
  worker.Look();
  EXPECT_EQ(hung, 1);
}

TEST_F(ToolWorkerTest, WhenTooManyHangJobsAreRefusedAtOnceAndThoseThatWaitToo) {
  Gate hung;
  ToolWorker worker(clock_, {16, 2, 1});
  for (int i = 1; i <= 2; ++i) ASSERT_NE(0u, Submit(worker, [&hung] { hung.Enter(); }));
  hung.AwaitEntered(2);
  clock_.Advance(ToolWorker::Options().hung_after);
  ASSERT_NE(0u, Submit(worker, [&hung] { hung.Enter(); }));
  hung.AwaitEntered(3);
  std::atomic<int> ran{0};
  for (int i = 0; i < 3; ++i) ASSERT_NE(0u, Submit(worker, [&ran] { ++ran; })) << "the third may only take long";
  worker.Look();
  EXPECT_EQ(refused_, 0);
  clock_.Advance(ToolWorker::Options().hung_after);
  EXPECT_EQ(0u, Submit(worker, [&ran] { ++ran; }));
  worker.Look();
  EXPECT_EQ(refused_, 3);
  hung.Open();
  Gate after;
  after.Open();
  // They end, and everything is as before.
  while (Submit(worker, [&after] { after.Enter(); }) == 0) std::this_thread::yield();
  after.AwaitEntered(1);
  EXPECT_EQ(ran, 0);
}

}  // namespace
}  // namespace toolwire
