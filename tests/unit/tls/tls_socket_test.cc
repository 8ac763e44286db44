// The server's side of one connection on a loop that the test runs.
#include "common/tls/tls_socket.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/unit/tls/tls_fixture.h"

namespace toolwire {
namespace {

class TlsSocketTest : public TlsFixture {
 protected:
  TlsSocketTest() {
    asio::ip::tcp::acceptor listener(io_, {asio::ip::address_v4::loopback(), 0});
    client_.connect(listener.local_endpoint());
    listener.accept(socket_);
    socket_.non_blocking(true);
    client_.non_blocking(true);
    socket_tls_.emplace(io_, socket_, handshakes_, "127.0.0.1");
    socket_tls_->Handshake([this](TlsSocket::Shaken shaken) { shaken_ = shaken; });
  }

  static std::unique_ptr<TlsFiles> Load(const TlsOptions& options, const Clock& clock) {
    auto files = TlsFiles::Load(options, clock);
    EXPECT_TRUE(files.ok()) << files.status();
    return *std::move(files);
  }
  // What a client says first.
  std::string Hello() {
    asio::ip::tcp::acceptor listener(io_, {asio::ip::address_v4::loopback(), 0});
    asio::ip::tcp::socket one(io_), other(io_);
    one.connect(listener.local_endpoint());
    listener.accept(other);
    one.non_blocking(true);
    const auto files = Load(ClientOptions(), clock_);
    TlsStream::Connect(*files->Current(), one.native_handle(), "localhost")->Handshake();
    std::string bytes(16384, 0);
    bytes.resize(other.read_some(asio::buffer(bytes)));
    return bytes;
  }
  // The bytes are in the socket's queue when this returns.
  void Say(const std::string& bytes) {
    const size_t before = socket_.available();
    asio::write(client_, asio::buffer(bytes));
    while (socket_.available() < before + bytes.size()) socket_.wait(asio::socket_base::wait_read);
  }

  asio::io_context io_;
  asio::ip::tcp::socket client_{io_}, socket_{io_};
  const std::unique_ptr<TlsFiles> files_ = [this] {
    WritePair(Make({"localhost"}));
    return Load(ServerOptions(), clock_);
  }();
  struct Counters : CounterSet {
    Counter paced{this, "paced", ""};
  } counters_;
  TlsHandshakes handshakes_{*files_, {}, counters_.paced};
  std::optional<TlsSocket> socket_tls_;
  std::optional<TlsSocket::Shaken> shaken_;
};

// Who has to make room is asked that: the loop may be busy, or the process paused, when the message comes.
TEST_F(TlsSocketTest, WholeFirstMessageThatWaitsIsUnreadAndAPartOfItIsNot) {
  const std::string hello = Hello();
  EXPECT_FALSE(socket_tls_->HasUnread());
  Say(hello.substr(0, 100));
  EXPECT_FALSE(socket_tls_->HasUnread());
  Say(hello.substr(100));
  EXPECT_TRUE(socket_tls_->HasUnread());
}

TEST_F(TlsSocketTest, WhatIsNoTlsIsSaid) {
  Say("GET / HTTP/1.1\r\n");
  io_.run_one();
  EXPECT_EQ(shaken_, TlsSocket::Shaken::kNobody);
  EXPECT_EQ(socket_tls_->error(), "the other side does not speak TLS");
}

TEST_F(TlsSocketTest, LookAtThePortIsNoError) {
  client_.close();
  io_.run_one();
  EXPECT_EQ(shaken_, TlsSocket::Shaken::kNobody);
  EXPECT_EQ(socket_tls_->error(), "");
}

}  // namespace
}  // namespace toolwire
