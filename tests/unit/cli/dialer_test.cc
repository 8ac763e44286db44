// No sockets: the address is a number, and nobody connects to it. Only the timer of a round is real.
#include "cli/agent/dialer.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/fakes/fake_clock.h"

namespace toolwire {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class DialerTest : public testing::Test {
 protected:
  // Each writes its name when its turn comes, with the address, or "-" if the host could not be resolved.
  static void Enqueue(Dialer& dialer, const std::vector<std::string>& names, std::vector<std::string>* turns) {
    for (const std::string& name : names) {
      dialer.Enqueue([name, turns](const std::error_code& unresolved, const Dialer::Addresses& addresses) {
        turns->push_back(name + (unresolved ? "-" : "@" + addresses.begin()->endpoint().address().to_string()));
      });
    }
  }
  // The next round of the timer, with the clock at its time.
  void Round(Duration after) {
    clock_.Advance(after);
    io_.run_one();
  }

  FakeClock clock_;
  asio::io_context io_{1};
  std::vector<std::string> turns_;
};

TEST_F(DialerTest, FirstTurnComesAtOnce) {
  Dialer dialer(io_, clock_, "127.0.0.1", 80, 10);
  Enqueue(dialer, {"a"}, &turns_);
  EXPECT_EQ(turns_, std::vector<std::string>{"a@127.0.0.1"});
  EXPECT_EQ(io_.poll(), 0u) << "no timer runs for an empty queue";
}

TEST_F(DialerTest, TurnsComeInOrderAtThePace) {
  Dialer dialer(io_, clock_, "127.0.0.1", 80, 50);
  Enqueue(dialer, {"a", "b", "c"}, &turns_);
  ASSERT_EQ(turns_.size(), 1u);
  Round(milliseconds(10));  // Half a turn is earned.
  EXPECT_EQ(turns_.size(), 1u);
  Round(milliseconds(10));
  EXPECT_EQ(turns_.size(), 2u);
  Round(milliseconds(20));
  EXPECT_EQ(turns_, (std::vector<std::string>{"a@127.0.0.1", "b@127.0.0.1", "c@127.0.0.1"}));
}

TEST_F(DialerTest, PauseEarnsNoMoreThanOneRound) {
  Dialer dialer(io_, clock_, "127.0.0.1", 80, 200);
  Enqueue(dialer, {"a", "b", "c", "d"}, &turns_);
  EXPECT_EQ(turns_.size(), 2u) << "what a round brings";
  Enqueue(dialer, {"e", "f"}, &turns_);
  Round(seconds(60));
  EXPECT_EQ(turns_.size(), 4u);
  Round(milliseconds(10));
  EXPECT_EQ(turns_.size(), 6u);
}

TEST_F(DialerTest, AnAddressThatDoesNotAnswerIsPassedOverByTheNextTurns) {
  std::vector<asio::ip::tcp::endpoint> endpoints;
  for (const char* address : {"192.0.2.1", "192.0.2.2", "2001:db8::3"}) {
    endpoints.emplace_back(asio::ip::make_address(address), 80);
  }
  const auto all = Dialer::Addresses::create(endpoints.begin(), endpoints.end(), "edge.example", "80");
  const auto behind = [&](size_t passed_over) {
    std::string order;
    for (const auto& one : Dialer::Behind(all, passed_over)) order += one.endpoint().address().to_string() + " ";
    return order;
  };
  EXPECT_EQ(behind(0), "192.0.2.1 192.0.2.2 2001:db8::3 ");
  EXPECT_EQ(behind(1), "192.0.2.2 2001:db8::3 192.0.2.1 ");
  EXPECT_EQ(behind(5), "2001:db8::3 192.0.2.1 192.0.2.2 ");
  EXPECT_EQ(behind(6), behind(0));
  Dialer dialer(io_, clock_, "127.0.0.1", 80, 50);
  dialer.PassOverFirst();
  Enqueue(dialer, {"a"}, &turns_);
  EXPECT_EQ(turns_, std::vector<std::string>{"a@127.0.0.1"}) << "there is only one";
}

TEST_F(DialerTest, ClearForgetsTheTurnsThatWait) {
  Dialer dialer(io_, clock_, "::1", 80, 50);
  Enqueue(dialer, {"a", "b"}, &turns_);
  dialer.Clear();
  Round(seconds(1));
  EXPECT_EQ(turns_, std::vector<std::string>{"a@::1"});
}

TEST_F(DialerTest, UnresolvableHostFailsAllTurnsThatWait) {
  Dialer dialer(io_, clock_, std::string(64, 'a'), 80, 50);  // A label has at most 63 characters: no query is sent.
  Enqueue(dialer, {"a", "b", "c"}, &turns_);
  EXPECT_TRUE(turns_.empty());
  io_.run();
  EXPECT_EQ(turns_, (std::vector<std::string>{"a-", "b-", "c-"}));
}

}  // namespace
}  // namespace toolwire
