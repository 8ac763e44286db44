#include "common/link/dial_any.h"

#include <gtest/gtest.h>

#include <chrono>
#include <vector>

namespace toolwire {
namespace {

using asio::ip::tcp;

constexpr std::chrono::seconds kDeadline(120);

tcp::endpoint Loopback(uint16_t port = 0) { return {asio::ip::address_v4::loopback(), port}; }

class DialAnyTest : public ::testing::Test {
 protected:
  // Whether one of the addresses was reached; `*reached` is it.
  asio::error_code Dial(const std::vector<tcp::endpoint>& endpoints, tcp::endpoint* reached) {
    DialAny dial(io_);
    asio::error_code result;
    dial.Start(endpoints, [&](const asio::error_code& error, tcp::socket* socket) {
      result = error;
      if (socket != nullptr) *reached = socket->remote_endpoint();
      EXPECT_EQ(socket == nullptr, static_cast<bool>(error));
      io_.stop();
    });
    io_.restart();
    EXPECT_GT(io_.run_for(kDeadline), 0u);
    return result;
  }
  // Nobody listens there.
  tcp::endpoint Refusing() {
    tcp::acceptor acceptor(io_, Loopback());
    return acceptor.local_endpoint();
  }

  asio::io_context io_{1};
};

TEST_F(DialAnyTest, AddressThatRefusesIsFollowedByTheNextOne) {
  tcp::acceptor there(io_, Loopback());
  tcp::endpoint reached;
  EXPECT_FALSE(Dial({Refusing(), Refusing(), there.local_endpoint()}, &reached));
  EXPECT_EQ(reached, there.local_endpoint());
}

TEST_F(DialAnyTest, AddressThatSwallowsEverythingHidesNoOther) {
  // Its queue is full: more connects are not answered.
  tcp::acceptor full(io_, Loopback());
  full.listen(0);
  std::vector<tcp::socket> waiting;
  for (int i = 0; i < 4; ++i) waiting.emplace_back(io_).async_connect(full.local_endpoint(),
      [](const asio::error_code&) {});
  io_.run_for(std::chrono::milliseconds(20));
  tcp::acceptor there(io_, Loopback());
  tcp::endpoint reached;
  EXPECT_FALSE(Dial({full.local_endpoint(), full.local_endpoint(), there.local_endpoint()}, &reached));
  EXPECT_EQ(reached, there.local_endpoint());
}

TEST_F(DialAnyTest, OneErrorIsReportedWhenAllHaveFailed) {
  tcp::endpoint reached;
  EXPECT_EQ(Dial({Refusing(), Refusing()}, &reached), asio::error::connection_refused);
  EXPECT_TRUE(Dial({}, &reached));
}

TEST_F(DialAnyTest, NothingIsReportedAfterItIsCancelled) {
  tcp::acceptor there(io_, Loopback());
  {
    DialAny dial(io_);
    dial.Start({there.local_endpoint()}, [](const asio::error_code&, tcp::socket*) { ADD_FAILURE(); });
  }
  io_.run_for(kDeadline);  // Ends as soon as nothing is left to do.
}

}  // namespace
}  // namespace toolwire
