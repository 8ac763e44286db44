#include "control/watch_stream.h"

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "control/agent_directory.h"

namespace toolwire {
namespace {

constexpr size_t kUnreadMax = 100'000;

// gRPC keeps the writes of a stream that it has not begun yet: to us it is a watcher that reads nothing.
class WatchStreamTest : public ::testing::Test {
 protected:
  std::shared_ptr<WatchStream> Watcher(std::set<std::string> users = {}) {
    auto stream = std::make_shared<WatchStream>(directory_, counters_, all_, kUnreadMax, nullptr);
    stream->Begin(std::move(users), [this] { ++done_; });
    return stream;
  }
  // One event of about 60 bytes, and as much around it.
  void Change(const std::string& user_id = "user_1") {
    google::protobuf::RepeatedPtrField<v1::SessionEvent> one;
    v1::SessionEvent* const event = one.Add();
    event->set_user_id(user_id);
    event->set_connected(true);
    event->set_epoch(++epoch_);
    directory_.Apply("edge_a", one);
  }

  AgentDirectory directory_;
  StreamCounters counters_;
  CallerBytes all_{50'000};
  uint64_t epoch_ = 0;
  int done_ = 0;
};

TEST_F(WatchStreamTest, WatcherThatReadsNothingIsEndedPastItsLimitAndGivesTheMemoryBack) {
  const auto stream = Watcher({"user_1"});
  const size_t at_first = all_.total();
  int events = 0;
  for (; counters_.events_unread.value() == 0; ++events) Change();
  EXPECT_GT(events, 500);
  EXPECT_LT(events, 1000);
  EXPECT_EQ(all_.total(), at_first) << "the first message and its name";
  for (int i = 0; i < 1000; ++i) Change();
  EXPECT_EQ(all_.total(), at_first) << "it has ended: no more gather";
  EXPECT_EQ(counters_.events_unread.value(), 1u);
  stream->OnDone();
  EXPECT_EQ(done_, 1);
}

TEST_F(WatchStreamTest, WatchersOfEveryoneTakeAPointerForEachEvent) {
  std::vector<std::shared_ptr<WatchStream>> streams;
  for (int i = 0; i < 10; ++i) streams.push_back(Watcher());
  const size_t before = all_.total();
  for (int i = 0; i < 100; ++i) Change();
  EXPECT_EQ(all_.total() - before, 10 * 100 * 16u);
  for (const auto& stream : streams) stream->OnDone();
}

TEST_F(WatchStreamTest, WhileAllWatchersHoldTooMuchTheOneThatHoldsMostEnds) {
  const auto most = Watcher({"user_1"}), less = Watcher({"user_2"});
  while (all_.total() < 40'000) Change("user_1");
  for (int i = 0; i < 20; ++i) Change("user_2");
  all_.Tick();
  EXPECT_EQ(counters_.events_unread.value(), 0u);
  while (all_.total() <= 50'000) Change("user_2");
  all_.Tick();
  EXPECT_EQ(all_.counters().full.value(), 1u);
  EXPECT_EQ(counters_.events_unread.value(), 0u) << "it is not past its own limit";
  EXPECT_LT(all_.total(), 20'000u);
  const size_t before = all_.total();
  Change("user_1");
  EXPECT_EQ(all_.total(), before) << "its watcher has ended";
  Change("user_2");
  EXPECT_GT(all_.total(), before);
  most->OnDone();
  less->OnDone();
}

TEST_F(WatchStreamTest, WatcherThatWasEndedIsCutIfItDoesNotReadItsLastMessage) {
  constexpr Duration kLimit = std::chrono::seconds(10);
  const auto stream = Watcher();
  MonoTime now{};
  EXPECT_FALSE(stream->CutIfUnread(now, kLimit));
  EXPECT_FALSE(stream->CutIfUnread(now += 2 * kLimit, kLimit)) << "it was not ended";
  stream->End(grpc::Status(grpc::StatusCode::UNAUTHENTICATED, "the token has expired"));
  EXPECT_FALSE(stream->CutIfUnread(now, kLimit));
  EXPECT_FALSE(stream->CutIfUnread(now += kLimit - std::chrono::milliseconds(1), kLimit));
  EXPECT_TRUE(stream->CutIfUnread(now += std::chrono::milliseconds(1), kLimit));
  EXPECT_FALSE(stream->CutIfUnread(now += kLimit, kLimit));
  EXPECT_EQ(counters_.ended_unread.value(), 1u);
  stream->OnWriteDone(false);
  stream->OnDone();
  EXPECT_EQ(done_, 1);
}

TEST_F(WatchStreamTest, SnapshotThatIsNotReadTakesOneStep) {
  for (size_t i = 0; i < 3 * AgentDirectory::kSnapshotStep; ++i) Change("user_" + std::to_string(i));
  const auto stream = Watcher();
  EXPECT_LT(all_.total(), 100 * AgentDirectory::kSnapshotStep);
  stream->OnWriteDone(true);
  EXPECT_LT(all_.total(), 100 * AgentDirectory::kSnapshotStep);
  stream->OnDone();
}

}  // namespace
}  // namespace toolwire
