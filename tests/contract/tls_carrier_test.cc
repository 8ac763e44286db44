// Callers' TLS over real sockets, carried to a local socket in gRPC's place.
#include "control/tls_carrier.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <asio.hpp>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "tests/unit/tls/tls_fixture.h"

namespace toolwire {
namespace {

using asio::ip::tcp;
using Status = TlsStream::Status;

class TlsCarrierTest : public TlsFixture {
 protected:
  TlsCarrierTest() {
    signal(SIGPIPE, SIG_IGN);
    WritePair(Make({"127.0.0.1"}));
    files_ = *TlsFiles::Load(ServerOptions(), clock_);
    carrier_.emplace(*files_);
  }
  ~TlsCarrierTest() override {
    if (grpc_ >= 0) close(grpc_);
  }

  // A caller whose connection is carried to grpc_.
  void Connect(const std::string& first = "") {
    tcp::acceptor acceptor(io_, tcp::endpoint(asio::ip::address_v4::loopback(), 0));
    caller_.connect(acceptor.local_endpoint());
    tcp::socket accepted = acceptor.accept();
    caller_.native_non_blocking(true);
    accepted.native_non_blocking(true);
    tls_ = TlsStream::Connect(*client_files_->Current(), caller_.native_handle(), "127.0.0.1");
    auto server = TlsStream::Accept(*files_->Current(), accepted.native_handle());
    Until([&] {
      const Status ours = tls_->Handshake();
      return server->Handshake() == Status::kDone && ours == Status::kDone;
    });
    int ours = -1;
    ASSERT_TRUE(TlsCarrier::MakePair("tw-test-" + std::to_string(getpid()) + "/ipv4:127.0.0.1:80", &grpc_, &ours));
    carrier_->Carry({accepted.release(), std::move(server), ours, first, "127.0.0.1"});
  }
  static void Until(const std::function<bool()>& condition) {
    const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(120);
    while (!condition()) {
      ASSERT_LT(std::chrono::steady_clock::now(), give_up);
      poll(nullptr, 0, 1);
    }
  }
  // What the caller reads until it has so many bytes or its connection has ended.
  std::string CallerReads(size_t bytes) {
    std::string all;
    Until([&] {
      char part[16384];
      const TlsStream::Moved moved = tls_->Read(part, sizeof part);
      if (moved.status == Status::kDone) all.append(part, moved.bytes);
      last_ = moved.status;
      return all.size() >= bytes || moved.status == Status::kClosed || moved.status == Status::kFailed;
    });
    return all;
  }
  std::string GrpcReads(size_t bytes) {
    std::string all;
    Until([&] {
      char part[16384];
      const ssize_t got = recv(grpc_, part, sizeof part, MSG_DONTWAIT);
      if (got > 0) all.append(part, static_cast<size_t>(got));
      ended_ = got == 0;
      return all.size() >= bytes || ended_;
    });
    return all;
  }
  void GrpcWrites(const std::string& bytes) {
    size_t at = 0;
    Until([&] {
      const ssize_t sent = send(grpc_, bytes.data() + at, bytes.size() - at, MSG_DONTWAIT | MSG_NOSIGNAL);
      if (sent > 0) at += static_cast<size_t>(sent);
      return at == bytes.size();
    });
  }

  asio::io_context io_;
  tcp::socket caller_{io_};
  std::unique_ptr<TlsFiles> client_files_ = *TlsFiles::Load(ClientOptions(), clock_);
  std::unique_ptr<TlsFiles> files_;
  std::optional<TlsCarrier> carrier_;
  std::unique_ptr<TlsStream> tls_;
  int grpc_ = -1;
  Status last_ = Status::kDone;
  bool ended_ = false;
};

TEST_F(TlsCarrierTest, BytesArriveBothWaysBehindThoseThatWereReadBefore) {
  Connect("first, ");
  ASSERT_EQ(tls_->Write("second", 6).bytes, 6u);
  EXPECT_EQ(GrpcReads(13), "first, second");
  GrpcWrites("answer");
  EXPECT_EQ(CallerReads(6), "answer");
}

TEST_F(TlsCarrierTest, PeerOfGrpcsEndIsTheName) {
  Connect();
  sockaddr_un peer{};
  socklen_t size = sizeof peer;
  ASSERT_EQ(getpeername(grpc_, reinterpret_cast<sockaddr*>(&peer), &size), 0);
  const std::string name(peer.sun_path + 1, size - offsetof(sockaddr_un, sun_path) - 1);
  EXPECT_EQ(name, "tw-test-" + std::to_string(getpid()) + "/ipv4:127.0.0.1:80");
  int ours = -1, other = -1;
  EXPECT_FALSE(TlsCarrier::MakePair(name, &ours, &other)) << "it is taken";
  EXPECT_FALSE(TlsCarrier::MakePair(std::string(108, 'x'), &ours, &other)) << "it is too long";
}

TEST_F(TlsCarrierTest, GrpcsLastBytesReachACallerThatReadsLate) {
  Connect();
  const std::string last(150'000, 'x');
  GrpcWrites(last);
  close(std::exchange(grpc_, -1));
  EXPECT_EQ(CallerReads(last.size()), last);
  CallerReads(1);
  EXPECT_EQ(last_, Status::kClosed);
  EXPECT_EQ(tls_->failure(), TlsFailure::kNone) << "TLS ends before TCP does";
}

TEST_F(TlsCarrierTest, CallersLastBytesReachGrpcAndThenTheEnd) {
  Connect();
  ASSERT_EQ(tls_->Write("last", 4).bytes, 4u);
  tls_->CloseNotify();
  caller_.shutdown(tcp::socket::shutdown_send);
  EXPECT_EQ(GrpcReads(100), "last");
  EXPECT_TRUE(ended_);
}

TEST_F(TlsCarrierTest, CallerThatIsLostIsLostForGrpc) {
  Connect();
  GrpcWrites("unread");
  caller_.set_option(asio::socket_base::linger(true, 0));
  caller_.close();
  GrpcReads(1);
  EXPECT_TRUE(ended_);
}

TEST_F(TlsCarrierTest, CallerThatIsLostWhileGrpcDoesNotReadIsLostForGrpc) {
  Connect();
  const std::string part(16384, 'x');
  size_t written = 0;
  // Until nothing more is taken: all buffers in between are full.
  for (int idle = 0; idle < 200;) {
    const TlsStream::Moved moved = tls_->Write(part.data(), part.size());
    written += moved.bytes;
    idle = moved.status == Status::kDone ? 0 : idle + 1;
    poll(nullptr, 0, 1);
  }
  EXPECT_GT(written, TlsCarrier::kHeldBytesMax);
  caller_.set_option(asio::socket_base::linger(true, 0));
  caller_.close();
  const size_t read = GrpcReads(written + 1).size();
  EXPECT_TRUE(ended_);
  EXPECT_LE(read, TlsCarrier::kToGrpcBytesMax + TlsCarrier::kHeldBytesMax) << "so much gRPC reads of one that was cut";
}

TEST_F(TlsCarrierTest, BytesThatAreNoTlsEndBothSidesAndAreCounted) {
  Connect();
  asio::write(caller_, asio::buffer(std::string(100, 'x')));
  GrpcReads(1);
  EXPECT_TRUE(ended_);
  EXPECT_EQ(files_->counters().not_tls.value() + files_->counters().protocol.value(), 1u);
}

TEST_F(TlsCarrierTest, MegabytesArriveAsTheyAreBothWaysAtOnce) {
  Connect();
  std::string up, down;
  for (int i = 0; i < (8 << 20); ++i) {
    up.push_back(static_cast<char>(i * 7 + i / 1000));
    down.push_back(static_cast<char>(i * 5 + i / 900));
  }
  std::string got_up, got_down;
  size_t up_at = 0, down_at = 0;
  char part[16384];
  Until([&] {
    for (int i = 0; i < 20; ++i) {
      if (up_at < up.size()) up_at += tls_->Write(up.data() + up_at, up.size() - up_at).bytes;
      if (const auto moved = tls_->Read(part, sizeof part); moved.bytes > 0) got_down.append(part, moved.bytes);
      const ssize_t sent = send(grpc_, down.data() + down_at, down.size() - down_at, MSG_DONTWAIT | MSG_NOSIGNAL);
      if (sent > 0) down_at += static_cast<size_t>(sent);
      const ssize_t got = recv(grpc_, part, sizeof part, MSG_DONTWAIT);
      if (got > 0) got_up.append(part, static_cast<size_t>(got));
    }
    return got_up.size() == up.size() && got_down.size() == down.size();
  });
  EXPECT_TRUE(got_up == up);
  EXPECT_TRUE(got_down == down);
}

TEST_F(TlsCarrierTest, StopWaitsForWhatGrpcHasEndedAndCutsTheRest) {
  Connect();
  GrpcWrites("answer");
  close(std::exchange(grpc_, -1));
  std::string read;
  std::thread caller([&] {
    read = CallerReads(6);
    caller_.close();
  });
  carrier_->Stop(std::chrono::steady_clock::now() + std::chrono::seconds(30));
  caller.join();
  EXPECT_EQ(read, "answer");
}

TEST_F(TlsCarrierTest, StopCutsWhatGrpcHasNotEnded) {
  Connect();
  carrier_->Stop(std::chrono::steady_clock::now());
  GrpcReads(1);
  EXPECT_TRUE(ended_);
}

}  // namespace
}  // namespace toolwire
