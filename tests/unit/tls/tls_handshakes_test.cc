#include "common/tls/tls_handshakes.h"

#include <gtest/gtest.h>

#include <asio/io_context.hpp>
#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/fakes/fake_clock.h"

namespace toolwire {
namespace {

using std::chrono::milliseconds;

class HandshakeQueueTest : public ::testing::Test {
 protected:
  HandshakeQueue::Turn NewTurn(const std::string& name) {
    auto turn = std::make_shared<HandshakeTurn>(
        io_, [] { return TlsStream::Status::kDone; }, [](TlsStream::Status) {});
    names_[turn.get()] = name;
    return turn;
  }
  void Begin(const std::string& address, const std::string& name) {
    queue_.Begin(address, NewTurn(name), clock_.Now());
  }
  void Wait() { Begin("a", "waits"); }
  // The names of those that may run now.
  std::string Now() {
    std::string all;
    while (const auto turn = queue_.Next(clock_.Now(), &wait_)) all += names_[turn.get()] + " ";
    return all;
  }

  asio::io_context io_;
  FakeClock clock_;
  struct Counters : CounterSet {
    Counter paced{this, "paced", ""};
    Counter refused{this, "refused", ""};
  } counters_;
  HandshakeQueue queue_{{100}, counters_.paced};
  Duration wait_{};
  std::map<const HandshakeTurn*, std::string> names_;
};

TEST_F(HandshakeQueueTest, HandshakesBeginAtTheirPaceAndCountWhenTheyWait) {
  for (int i = 0; i < 5; ++i) Begin("a", std::to_string(i));
  EXPECT_EQ(Now(), "0 1 2 3 4 ") << "a twentieth of a second's worth may come at once";
  EXPECT_EQ(counters_.paced.value(), 0u);
  for (int i = 0; i < 3; ++i) Begin("a", std::to_string(i));
  EXPECT_EQ(Now(), "");
  EXPECT_EQ(counters_.paced.value(), 1u);
  EXPECT_GT(wait_, milliseconds(9));
  EXPECT_LT(wait_, milliseconds(11));
  clock_.Advance(wait_);
  EXPECT_EQ(Now(), "0 ");
  clock_.Advance(milliseconds(5));
  EXPECT_EQ(Now(), "");
  clock_.Advance(milliseconds(500));
  EXPECT_EQ(Now(), "1 2 ");
  EXPECT_EQ(counters_.paced.value(), 1u) << "one spell";
  EXPECT_EQ(wait_, Duration::max()) << "nothing waits";
}

TEST_F(HandshakeQueueTest, AddressesTakeTurns) {
  Now();
  for (int i = 0; i < 10; ++i) Begin("busy", "busy");
  Begin("a", "a");
  Begin("b", "b");
  clock_.Advance(milliseconds(40));
  EXPECT_EQ(Now(), "a b busy busy busy ");
  EXPECT_EQ(queue_.waiting(), 7u);
}

TEST_F(HandshakeQueueTest, HandshakeThatHasBegunGoesOnAtOnce) {
  for (int i = 0; i < 9; ++i) Begin("a", "begins");
  Now();
  queue_.GoOn(NewTurn("goes on"));
  EXPECT_EQ(Now(), "goes on ");
}

TEST_F(HandshakeQueueTest, TurnThatWasCancelledTakesNoPlace) {
  const auto cancelled = NewTurn("cancelled");
  queue_.Begin("a", cancelled, clock_.Now());
  Begin("a", "next");
  EXPECT_TRUE(cancelled->Cancel([] { FAIL() << "it does not run"; }));
  EXPECT_EQ(Now(), "next ");
  EXPECT_EQ(queue_.waiting(), 0u);
}

TEST_F(HandshakeQueueTest, TurnsThatWereCancelledDoNotPileUp) {
  HandshakeQueue::Turn last;
  for (int i = 0; i < 1000; ++i) {
    if (last) last->Cancel([] {});
    queue_.Begin("a", last = NewTurn("last"), clock_.Now());
  }
  EXPECT_EQ(queue_.waiting(), 1u);
  EXPECT_EQ(Now(), "last ");
}

TEST_F(HandshakeQueueTest, NoMoreWaitThanBeginInASecondOnThisMachine) {
  const auto begun = [this](int handshakes) {
    for (int i = 0; i < handshakes; ++i) {
      clock_.Advance(milliseconds(400) / handshakes);
      Wait();
      ASSERT_TRUE(queue_.Next(clock_.Now(), &wait_));
    }
  };
  for (int i = 0; i < 16; ++i) {
    EXPECT_FALSE(queue_.IsFull(clock_.Now())) << i;
    Wait();
  }
  EXPECT_TRUE(queue_.IsFull(clock_.Now())) << "nobody knows yet how fast it is";
  begun(20);
  EXPECT_FALSE(queue_.IsFull(clock_.Now())) << "40 in a second";
  for (int i = 16; i < 39; ++i) Wait();
  EXPECT_FALSE(queue_.IsFull(clock_.Now()));
  Wait();
  EXPECT_TRUE(queue_.IsFull(clock_.Now()));
  clock_.Advance(milliseconds(2000));
  EXPECT_TRUE(queue_.IsFull(clock_.Now())) << "it stands still";
}

class HandshakeCrowdTest : public HandshakeQueueTest {
 protected:
  HandshakeCrowdTest() { clock_.Advance(std::chrono::hours(1)); }
  bool Begin(const std::string& address) { return queue_.Begin(address, NewTurn(address), clock_.Now()); }
  bool IsFull() { return queue_.IsFull(clock_.Now()); }
  // As many as make it full.
  void Fill(const std::string& address) {
    while (queue_.waiting() < 16) EXPECT_TRUE(Begin(address));
  }

  HandshakeQueue queue_{{100, &counters_.refused}, counters_.paced};
};

TEST_F(HandshakeCrowdTest, WhoHasMostIsRefusedAndKeepsNobodyElseOut) {
  EXPECT_TRUE(Begin("a"));
  Fill("crowd");
  EXPECT_FALSE(IsFull()) << "others are behind it in the kernel's queue";
  EXPECT_FALSE(Begin("crowd"));
  EXPECT_EQ(counters_.refused.value(), 1u);
  EXPECT_TRUE(Begin("a"));
  EXPECT_TRUE(Begin("b"));
  Duration wait{};
  clock_.Advance(milliseconds(500));
  int crowd = 0;
  for (int i = 0; i < 5; ++i) crowd += names_[queue_.Next(clock_.Now(), &wait).get()] == "crowd";
  EXPECT_EQ(crowd, 2) << "in turns";
}

TEST_F(HandshakeCrowdTest, StormFromOneAddressAloneWaits) {
  Fill("crowd");
  EXPECT_TRUE(IsFull());
  EXPECT_TRUE(Begin("crowd"));
  EXPECT_EQ(counters_.refused.value(), 0u);
}

TEST_F(HandshakeCrowdTest, WhoStandsForManyIsNotRefused) {
  HandshakeQueue queue{{100, &counters_.refused, [](const std::string& address) { return address == "proxy"; }},
                       counters_.paced};
  EXPECT_TRUE(queue.Begin("a", NewTurn("a"), clock_.Now()));
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(queue.Begin("proxy", NewTurn("proxy"), clock_.Now()));
  EXPECT_TRUE(queue.IsFull(clock_.Now()));
  EXPECT_EQ(counters_.refused.value(), 0u);
}

TEST_F(HandshakeCrowdTest, OthersAreExpectedForAMinute) {
  EXPECT_TRUE(Begin("a"));
  Fill("crowd");
  clock_.Advance(HandshakeQueue::kOthersComeFor);
  EXPECT_FALSE(IsFull());
  clock_.Advance(milliseconds(1));
  EXPECT_TRUE(IsFull());
  EXPECT_TRUE(Begin("crowd"));
}

TEST_F(HandshakeCrowdTest, WhereNobodyHasMostAllWait) {
  for (int i = 0; i < 8; ++i) {
    EXPECT_TRUE(Begin("a"));
    EXPECT_TRUE(Begin("b"));
  }
  EXPECT_TRUE(IsFull());
  EXPECT_TRUE(Begin("a"));
  EXPECT_TRUE(Begin("b"));
  EXPECT_EQ(counters_.refused.value(), 0u);
}

TEST_F(HandshakeQueueTest, TurnThatRunsIsNotCancelledBeforeItHasReported) {
  const auto running = NewTurn("running");
  queue_.GoOn(running);
  ASSERT_EQ(Now(), "running ");
  EXPECT_FALSE(running->Cancel([] {}));
}

}  // namespace
}  // namespace toolwire
