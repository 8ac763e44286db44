// Both ends of a link over a real TCP connection on loopback.
#include "common/link/relay_socket.h"

#include <gtest/gtest.h>

#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/await.h"

namespace toolwire {
namespace {

using tcp = asio::ip::tcp;

// One end and the events that it received.
template <typename Out, typename In>
struct End {
  using Socket = RelaySocket<Out, In>;
  explicit End(tcp::socket socket, Duration silence_max = std::chrono::seconds(30), size_t outbox = 64u << 20)
      : socket(std::make_shared<Socket>(std::move(socket), typename Socket::Options{outbox, 64u << 20, silence_max})) {}

  void Start() {
    typename Socket::Events events;
    events.opened = [this] { Locked([&] { opened = true; }); };
    events.frame = [this](In&& frame) {
      Locked([&] { frames.push_back(std::move(frame)); });
      return true;
    };
    events.closed = [this](const std::string& why) { Locked([&] { closed = why; }); };
    socket->Start(std::move(events));
  }
  template <typename F>
  auto Locked(F&& f) {
    std::lock_guard<std::mutex> lock(mu);
    return f();
  }
  bool is_open() {
    return Locked([&] { return opened; });
  }
  std::string why() {
    return Locked([&] { return closed; });
  }
  size_t count() {
    return Locked([&] { return frames.size(); });
  }

  const std::shared_ptr<Socket> socket;
  std::mutex mu;
  bool opened = false;
  std::string closed;
  std::vector<In> frames;
};
using ControlEnd = End<v1::ControlFrame, v1::EdgeFrame>;
using EdgeEnd = End<v1::EdgeFrame, v1::ControlFrame>;

class RelaySocketTest : public testing::Test {
 protected:
  RelaySocketTest() : listener_(io_, tcp::endpoint(asio::ip::address_v4::loopback(), 0)), near_(io_), far_(io_) {
    near_.connect(listener_.local_endpoint());
    listener_.accept(far_);
  }
  ~RelaySocketTest() override {
    asio::post(io_, [this] { io_.stop(); });
    if (thread_.joinable()) thread_.join();
  }
  void Run() {
    thread_ = std::thread([this] { io_.run(); });
  }

  asio::io_context io_{1};
  asio::executor_work_guard<asio::io_context::executor_type> work_{io_.get_executor()};
  tcp::acceptor listener_;
  tcp::socket near_, far_;
  std::thread thread_;
};

v1::ControlFrame Call(uint64_t call_id, size_t bytes = 10) {
  v1::ControlFrame frame;
  frame.add_deliveries()->set_call_id(call_id);
  frame.mutable_deliveries(0)->set_params_json(std::string(bytes, 'x'));
  return frame;
}

TEST_F(RelaySocketTest, FramesOfManyThreadsArriveOnceEachInTheOrderOfTheirSender) {
  ControlEnd control(std::move(near_));
  EdgeEnd edge(std::move(far_));
  control.Start();
  edge.Start();
  Run();
  constexpr uint64_t kThreads = 4, kEach = 2000;
  std::vector<std::thread> senders;
  for (uint64_t sender = 0; sender < kThreads; ++sender) {
    senders.emplace_back([&, sender] {
      for (uint64_t i = 0; i < kEach; ++i) EXPECT_TRUE(control.socket->Send(Call(sender * kEach + i)));
    });
  }
  for (std::thread& sender : senders) sender.join();
  const auto calls = [&] {
    return edge.Locked([&] {
      std::vector<uint64_t> ids;
      for (const auto& frame : edge.frames) {
        for (const auto& one : frame.deliveries()) ids.push_back(one.call_id());
      }
      return ids;
    });
  };
  ASSERT_TRUE(Await([&] { return calls().size() == kThreads * kEach; }));
  std::vector<uint64_t> next(kThreads, 0);
  for (const uint64_t id : calls()) EXPECT_EQ(id % kEach, next[id / kEach]++);
}

TEST_F(RelaySocketTest, ALargeFrameArrivesWholeAndSmallOnesPassIt) {
  ControlEnd control(std::move(near_));
  EdgeEnd edge(std::move(far_));
  control.Start();
  edge.Start();
  ASSERT_TRUE(control.socket->Send(Call(1, 16u << 20)));
  ASSERT_TRUE(control.socket->Send(Call(2)));
  Run();
  ASSERT_TRUE(Await([&] { return edge.count() == 2; }));
  EXPECT_EQ(edge.frames[0].deliveries(0).call_id(), 2u);
  EXPECT_EQ(edge.frames[1].deliveries(0).params_json().size(), 16u << 20);
}

TEST_F(RelaySocketTest, ASilentPeerIsCutAndAQuietOneIsNot) {
  ControlEnd control(std::move(near_), std::chrono::milliseconds(1000));
  control.Start();
  asio::ip::tcp::socket mute = std::move(far_);  // Takes what comes and sends nothing.
  Run();
  ASSERT_TRUE(Await([&] { return !control.why().empty(); }));
  EXPECT_EQ(control.why(), "the peer is silent");
  EXPECT_FALSE(control.socket->Send(Call(1)));

  near_ = tcp::socket(io_);
  far_ = tcp::socket(io_);
  near_.connect(listener_.local_endpoint());
  listener_.accept(far_);
  ControlEnd quiet(std::move(near_), std::chrono::milliseconds(1000));
  EdgeEnd edge(std::move(far_), std::chrono::milliseconds(1000));
  Answer<bool> later;
  asio::steady_timer timer(io_, std::chrono::milliseconds(3000));
  asio::post(io_, [&] {
    quiet.Start();
    edge.Start();
    timer.async_wait([later](const asio::error_code&) { later(true); });
  });
  later.Take();
  EXPECT_EQ(quiet.why() + edge.why(), "") << "probes are answered";
  EXPECT_TRUE(quiet.is_open() && edge.is_open());
}

TEST_F(RelaySocketTest, APeerThatSpeaksAnotherProtocolIsCut) {
  EdgeEnd edge(std::move(far_));
  edge.Start();
  Run();
  asio::write(near_, asio::buffer("GET / HTTP/1.1\r\n\r\n", 18));
  ASSERT_TRUE(Await([&] { return !edge.why().empty(); }));
  EXPECT_FALSE(edge.is_open());
}

TEST_F(RelaySocketTest, TheEndComesAfterWhatWaitsIsWritten) {
  ControlEnd control(std::move(near_));
  EdgeEnd edge(std::move(far_));
  control.Start();
  ASSERT_TRUE(control.socket->Send(Call(1, 8u << 20)));
  control.socket->EndWhenWritten();
  EXPECT_FALSE(control.socket->Send(Call(2)));
  edge.Start();
  Run();
  ASSERT_TRUE(Await([&] { return !edge.why().empty() && !control.why().empty(); }));
  ASSERT_EQ(edge.count(), 1u);
  EXPECT_EQ(edge.frames[0].deliveries(0).params_json().size(), 8u << 20);
}

TEST_F(RelaySocketTest, WhatAPeerDoesNotReadWaitsUpToTheLimitAndIsKnownAsUnsent) {
  ControlEnd control(std::move(near_), std::chrono::seconds(30), 32u << 20);
  control.Start();
  uint64_t taken = 0;
  while (control.socket->Send(Call(taken + 1, 100u << 10))) ++taken;
  EXPECT_GT(taken * (100u << 10), 31u << 20);
  Run();
  control.socket->Close("enough");
  ASSERT_TRUE(Await([&] { return control.why() == "enough"; }));
  const std::vector<v1::ControlFrame> unsent = control.socket->TakeUnsent();
  ASSERT_FALSE(unsent.empty());
  EXPECT_EQ(unsent.back().deliveries(0).call_id(), taken);
  EXPECT_GT(unsent.front().deliveries(0).call_id(), 1u) << "the first was handed to the kernel: it may have left";
}

}  // namespace
}  // namespace toolwire
