// A FollowAgents stream, without gRPC's threads: the test decides what the caller sends and reads.
#include "control/follow_stream.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "control/stream_hello.h"
#include "tests/fakes/caller_stream.h"
#include "tests/fakes/fake_clock.h"

namespace toolwire {
namespace {

using W = v1::WatchAgentsResponse;
using Strings = std::vector<std::string>;

constexpr size_t kUsersMax = 5000;
constexpr size_t kFollowUnreadMax = 4u << 20;

class FollowStreamTest : public ::testing::Test {
 protected:
  // `hello`: as of FollowStream::Begin.
  explicit FollowStreamTest(const std::string& hello = {}) {
    stream_->Begin([this] { done_ = true; }, hello);
    caller_ = std::make_unique<CallerStreamOf<W>>(stream_.get());
  }
  ~FollowStreamTest() override {
    stream_->OnCancel();
    caller_->Done();
    EXPECT_TRUE(done_);
    EXPECT_TRUE(caller_->finished());
    stream_.reset();
    EXPECT_EQ(all_.total(), 0u);
  }

  void Change(const std::string& user_id, bool connected, uint64_t epoch = 1, const std::string& edge_id = "edge_a") {
    google::protobuf::RepeatedPtrField<v1::SessionEvent> one;
    v1::SessionEvent* const event = one.Add();
    event->set_user_id(user_id);
    event->set_connected(connected);
    event->set_epoch(epoch);
    directory_.Apply(edge_id, one);
  }
  bool Ask(const Strings& add, const Strings& remove = {}) {
    v1::FollowRequest request;
    for (const std::string& user_id : add) request.add_add(user_id);
    for (const std::string& user_id : remove) request.add_remove(user_id);
    return caller_->Send(request);
  }
  static Strings Users(int count) {
    Strings users;
    for (int i = 0; i < count; ++i) users.push_back("user_" + std::to_string(i));
    return users;
  }
  // What was read since the last time.
  Strings Read() {
    caller_->ReadAll();
    Strings events;
    for (; read_ < caller_->replies().size(); ++read_) {
      for (const W::Event& event : caller_->replies()[read_].events()) {
        EXPECT_EQ(event.agent().connected(), event.kind() != W::DISCONNECTED);
        events.push_back(W::Kind_Name(event.kind()) + " " + event.agent().user_id());
      }
    }
    return events;
  }

  FakeClock clock_;
  AgentDirectory directory_;
  CallerAuth auth_{clock_};
  StreamCounters counters_;
  CallerBytes all_{1 << 30};
  LifeSigns signs_{clock_, std::chrono::milliseconds(500)};
  std::shared_ptr<FollowStream> stream_ = std::make_shared<FollowStream>(
      directory_, auth_, RequestBounds{10, 10, kUsersMax, 1024}, counters_, all_, signs_, kFollowUnreadMax, nullptr);
  std::unique_ptr<CallerStreamOf<W>> caller_;
  size_t read_ = 0;
  bool done_ = false;
};

TEST_F(FollowStreamTest, EachUserIsAnsweredByItsStateAndThenByItsChangesUntilItIsTakenAway) {
  Change("here", true);
  EXPECT_EQ(Read(), Strings());
  ASSERT_TRUE(Ask({"here", "away"}));
  EXPECT_EQ(Read(), (Strings{"CONNECTED here", "DISCONNECTED away"}));
  Change("away", true);
  Change("other", true);
  Change("here", true, 2, "edge_b");
  EXPECT_EQ(Read(), (Strings{"CONNECTED away", "MOVED here"}));
  ASSERT_TRUE(Ask({"away"}, {"here", "nobody"}));
  EXPECT_EQ(Read(), (Strings{"CONNECTED away"})) << "its state again";
  Change("here", false, 2, "edge_b");
  Change("away", false);
  EXPECT_EQ(Read(), (Strings{"DISCONNECTED away"}));
}

TEST_F(FollowStreamTest, UserIsNotSaidToBeAwayBeforeEveryEdgeHasReported) {
  directory_.Await("edge_a");
  directory_.Await("edge_b");
  ASSERT_TRUE(Ask({"late", "away", "gone"}, {}));
  EXPECT_EQ(Read(), Strings());
  Change("late", true);
  EXPECT_EQ(Read(), (Strings{"CONNECTED late"}));
  ASSERT_TRUE(Ask({}, {"gone"}));
  directory_.Settle("edge_a");
  EXPECT_EQ(Read(), Strings());
  directory_.Settle("edge_b");
  EXPECT_EQ(Read(), (Strings{"DISCONNECTED away"}));
}

TEST_F(FollowStreamTest, ThousandsOfUsersAreAnsweredInStepsAsTheCallerReads) {
  const Strings users = Users(kUsersMax);
  for (size_t i = 0; i < users.size(); i += 2) Change(users[i], true);
  ASSERT_TRUE(Ask(users));
  EXPECT_FALSE(caller_->reads()) << "the request is still taken";
  const Strings events = Read();
  EXPECT_EQ(events.size(), kUsersMax);
  EXPECT_EQ(std::count_if(events.begin(), events.end(), [](const std::string& one) { return one[0] == 'C'; }),
            static_cast<long>(kUsersMax / 2));
  EXPECT_TRUE(caller_->reads());
}

TEST_F(FollowStreamTest, AsManyUsersAsMayBeFollowedAreAndOneMoreEndsTheStream) {
  ASSERT_TRUE(Ask(Users(kUsersMax)));
  Read();
  ASSERT_TRUE(Ask({"user_0"}, {"user_1"})) << "known ones, and those that go, make no more";
  Read();
  ASSERT_TRUE(Ask({"user_1"}));
  EXPECT_EQ(Read(), (Strings{"DISCONNECTED user_1"}));
  EXPECT_FALSE(caller_->finished());
  ASSERT_TRUE(Ask({"one more"}));
  Read();
  ASSERT_TRUE(caller_->finished());
  EXPECT_EQ(caller_->finished()->error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(counters_.watch_users_full.value(), 1u);
}

TEST_F(FollowStreamTest, MessageWithTooManyNamesEndsTheStreamBeforeItIsRead) {
  ASSERT_TRUE(Ask({}, Strings(kUsersMax + 1, "user_1")));
  ASSERT_TRUE(caller_->finished());
  EXPECT_EQ(caller_->finished()->error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(counters_.watch_users_full.value(), 1u);
}

TEST_F(FollowStreamTest, NameThatIsNoneEndsTheStreamAndSaysWhy) {
  ASSERT_TRUE(Ask({""}));
  ASSERT_TRUE(caller_->finished());
  EXPECT_EQ(caller_->finished()->error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_FALSE(caller_->finished()->error_message().empty());
}

TEST_F(FollowStreamTest, EndsWithOkWhenTheCallerSendsNoMore) {
  ASSERT_TRUE(Ask({"away"}));
  caller_->End();
  EXPECT_EQ(Read(), (Strings{"DISCONNECTED away"}));
  ASSERT_TRUE(caller_->finished());
  EXPECT_TRUE(caller_->finished()->ok());
}

TEST_F(FollowStreamTest, CallerThatSendsNoMoreAtOnceStillGetsAllItsAnswers) {
  const Strings users = Users(kUsersMax);
  for (size_t i = 0; i < users.size(); i += 2) Change(users[i], true);
  ASSERT_TRUE(Ask(users));
  while (!caller_->reads()) caller_->WriteDone();
  caller_->End();
  EXPECT_FALSE(caller_->finished());
  Change("user_0", false);
  EXPECT_EQ(Read().size(), kUsersMax) << "a change that comes after the answers is not reported";
  ASSERT_TRUE(caller_->finished());
  EXPECT_TRUE(caller_->finished()->ok());
}

TEST_F(FollowStreamTest, CallerThatSendsNoMoreGetsAlsoTheAnswersThatWaitForAnEdge) {
  directory_.Await("edge_a");
  ASSERT_TRUE(Ask({"late", "away"}));
  caller_->End();
  EXPECT_FALSE(caller_->finished());
  Change("late", true);
  EXPECT_EQ(Read(), (Strings{"CONNECTED late"}));
  EXPECT_FALSE(caller_->finished());
  directory_.Settle("edge_a");
  EXPECT_EQ(Read(), (Strings{"DISCONNECTED away"}));
  ASSERT_TRUE(caller_->finished());
  EXPECT_TRUE(caller_->finished()->ok());
}

TEST_F(FollowStreamTest, CallerThatSendsNothingAtAllIsAnsweredByTheEnd) {
  caller_->End();
  ASSERT_TRUE(caller_->finished());
  EXPECT_TRUE(caller_->finished()->ok());
}

TEST_F(FollowStreamTest, CallerThatDoesNotAskIsToldNoSignsOfLife) {
  ASSERT_TRUE(Ask({"away"}));
  Read();
  clock_.Advance(std::chrono::seconds(10));
  signs_.Tick();
  EXPECT_EQ(caller_->replies().size(), 1u);
}

class GreetedFollowStreamTest : public FollowStreamTest {
 protected:
  GreetedFollowStreamTest() : FollowStreamTest(FollowHelloOf(StreamHelloOf(ControlOptions()))) {}

  // Lets time pass as control's ticker sees it. The caller reads all the time.
  void Pass(int ms) {
    for (int passed = 0; passed < ms; passed += 10) {
      clock_.Advance(std::chrono::milliseconds(10));
      signs_.Tick();
      caller_->ReadAll();
    }
  }
  size_t signs() const {
    const auto& all = caller_->replies();
    return static_cast<size_t>(
        std::count_if(all.begin(), all.end(), [](const W& one) { return one.ByteSizeLong() == 0; }));
  }
};

TEST_F(GreetedFollowStreamTest, ControlsFirstWordComesBeforeTheCallerHasWrittenAnything) {
  ASSERT_EQ(caller_->replies().size(), 1u);
  const v1::StreamHello& hello = caller_->replies()[0].hello();
  EXPECT_FALSE(hello.version().empty());
  EXPECT_EQ(hello.start_id().size(), 32u);
  EXPECT_EQ(hello.silence_ms(), 2000u);
  EXPECT_EQ(hello.calls_max(), 0u);
}

TEST_F(GreetedFollowStreamTest, SignOfLifeComesEachIntervalWhileUsersAreFollowedAndNoneBeforeAndAfter) {
  Pass(3000);
  EXPECT_EQ(signs(), 0u);
  ASSERT_TRUE(Ask({"user_1"}));
  Pass(490);
  EXPECT_EQ(signs(), 0u);
  Pass(30);
  EXPECT_EQ(signs(), 1u);
  Pass(2040);
  EXPECT_EQ(signs(), 5u);
  EXPECT_EQ(counters_.life_signs.value(), 5u);
  ASSERT_TRUE(Ask({}, {"user_1"}));
  Pass(3000);
  EXPECT_EQ(signs(), 5u);
  ASSERT_TRUE(Ask({"user_2"})) << "and again with the next one";
  Pass(520);
  EXPECT_EQ(signs(), 6u);
}

TEST_F(GreetedFollowStreamTest, AnEventIsAWordToo) {
  ASSERT_TRUE(Ask({"user_1"}));
  for (uint64_t epoch = 1; epoch < 5; ++epoch) {
    Pass(400);
    Change("user_1", true, epoch);
  }
  EXPECT_EQ(signs(), 0u);
}

TEST_F(GreetedFollowStreamTest, CallerThatReadsNothingGathersNoSigns) {
  ASSERT_TRUE(Ask({"user_1"}));  // The hello is not read.
  for (int i = 0; i < 1000; ++i) {
    clock_.Advance(std::chrono::milliseconds(10));
    signs_.Tick();
  }
  EXPECT_EQ(signs(), 0u);
  caller_->ReadAll();
  Pass(520);
  EXPECT_EQ(signs(), 1u);
}

TEST_F(FollowStreamTest, CallerThatReadsNothingIsEndedPastItsLimitAndGivesTheMemoryBack) {
  ASSERT_TRUE(Ask({"user_1"}));
  uint64_t epoch = 0;
  while (counters_.events_unread.value() == 0) Change("user_1", true, ++epoch);
  EXPECT_LT(all_.total(), 1000u);
  caller_->ReadAll();
  ASSERT_TRUE(caller_->finished());
  EXPECT_EQ(caller_->finished()->error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
}

}  // namespace
}  // namespace toolwire
