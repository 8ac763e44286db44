// Handshakes of agents' sockets on their thread, sockets that end anywhere in them, and bytes after them.
#include <gtest/gtest.h>

#include <asio.hpp>
#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "common/tls/tls_handshakes.h"
#include "common/tls/tls_stream.h"
#include "edge/ws_server.h"
#include "tests/unit/tls/tls_fixture.h"

namespace toolwire {
namespace {

using asio::ip::tcp;

class TlsSocketTest : public TlsFixture, protected WsServer::Handler {
 protected:
  TlsSocketTest() {
    WritePair(Make({"127.0.0.1"}));
    TlsOptions options = ServerOptions();
    options.protocol = "http/1.1";
    files_ = *TlsFiles::Load(options, clock_);
    handshakes_ = std::make_unique<TlsHandshakes>(*files_, HandshakeQueue::Options{1'000'000}, paced_.counter);
    server_.reset(new WsServer(io_, {1u << 20, 1u << 20, {}, nullptr}, *this));
  }
  ~TlsSocketTest() override {
    handshakes_.reset();
    server_.reset();
  }

  struct Client {
    explicit Client(asio::io_context& io) : socket(io) {}
    tcp::socket socket;
    std::unique_ptr<TlsStream> stream;
  };
  Client Connect(uint64_t id) {
    Client client(io_);
    client.socket.connect(acceptor_.local_endpoint());
    tcp::socket accepted = acceptor_.accept();
    accepted.native_non_blocking(true);
    server_->Adopt(id, accepted.release(), {"127.0.0.1", false, handshakes_.get()});
    client.socket.native_non_blocking(true);
    client.stream = TlsStream::Connect(*client_files_->Current(), client.socket.native_handle(), "127.0.0.1");
    return client;
  }
  // Runs the loop until this is true.
  template <typename Condition>
  void Until(Condition condition) {
    const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(120);
    while (!condition()) {
      ASSERT_LT(std::chrono::steady_clock::now(), give_up);
      io_.restart();
      io_.run_for(std::chrono::milliseconds(1));
    }
  }
  bool Shaken(Client* client) {
    Until([client] { return client->stream->Handshake() != TlsStream::Status::kWantsRead; });
    return client->stream->Handshake() == TlsStream::Status::kDone;
  }
  std::string ReadAll(Client* client) {
    std::string all;
    Until([&] {
      char bytes[4096];
      const auto moved = client->stream->Read(bytes, sizeof bytes);
      if (moved.status == TlsStream::Status::kDone) all.append(bytes, moved.bytes);
      return moved.status == TlsStream::Status::kClosed || moved.status == TlsStream::Status::kFailed;
    });
    return all;
  }

  asio::io_context io_{1};
  tcp::acceptor acceptor_{io_, tcp::endpoint(asio::ip::address_v4::loopback(), 0)};
  std::unique_ptr<TlsFiles> client_files_ = *TlsFiles::Load(ClientOptions(), clock_);
  std::unique_ptr<TlsFiles> files_;
  std::unique_ptr<WsServer> server_;
  struct Paced : CounterSet {
    Counter counter{this, "paced", ""};
  } paced_;
  std::unique_ptr<TlsHandshakes> handshakes_;
  std::map<uint64_t, int> closed_;

 private:
  void OnProxyHeader(uint64_t, const std::optional<std::string>&) override {}
  void OnRequest(uint64_t, const std::string&) override {}
  std::optional<WsServer::HttpReply> OnHttp(uint64_t, const std::string&) override {
    return WsServer::HttpReply{200, std::string(100'000, 'x')};
  }
  void OnOpen(uint64_t, const std::string&, const std::string&) override {}
  void OnFrame(uint64_t, std::string&) override {}
  bool NextFrame(uint64_t, std::string*) override { return false; }
  void OnWritable(uint64_t) override {}
  void OnEnd(uint64_t, bool) override {}
  void OnClosed(uint64_t id) override { ++closed_[id]; }
};

TEST_F(TlsSocketTest, AnswerArrivesWholeAndThenTheEndOfTls) {
  Client client = Connect(1);
  ASSERT_TRUE(Shaken(&client));
  const std::string request = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
  ASSERT_EQ(client.stream->Write(request.data(), request.size()).bytes, request.size());
  const std::string answer = ReadAll(&client);
  EXPECT_EQ(answer.substr(0, 12), "HTTP/1.1 200");
  EXPECT_EQ(answer.substr(answer.size() - 100'000), std::string(100'000, 'x'));
  client.socket.close();
  Until([&] { return closed_[1] == 1; });
  EXPECT_EQ(files_->counters().handshakes.value(), 1u);
}

TEST_F(TlsSocketTest, RequestInPiecesOfOneByteIsRead) {
  Client client = Connect(1);
  ASSERT_TRUE(Shaken(&client));
  for (const char byte : std::string("GET / HTTP/1.1\r\nHost: x\r\n\r\n")) {
    ASSERT_EQ(client.stream->Write(&byte, 1).bytes, 1u);
    io_.poll();
  }
  EXPECT_EQ(ReadAll(&client).substr(0, 12), "HTTP/1.1 200");
}

TEST_F(TlsSocketTest, SocketThatIsClosedAnywhereInItsHandshakeIsClosedOnce) {
  constexpr uint64_t kSockets = 300;
  for (uint64_t id = 1; id <= kSockets; ++id) {
    Client client = Connect(id);
    client.stream->Handshake();
    for (uint64_t i = 0; i < id % 9; ++i) io_.poll();
    if (id % 3 == 0) client.stream->Handshake();
    if (id % 4 == 0) client.socket.close();
    io_.poll();
    server_->Close(id, close_reason::kShuttingDown);
    server_->Cut(id);
    Until([&] { return closed_[id] == 1; });
  }
  Until([&] { return server_->Sockets().empty(); });
  for (uint64_t id = 1; id <= kSockets; ++id) EXPECT_EQ(closed_[id], 1) << id;
}

TEST_F(TlsSocketTest, HalfAHelloWaitsAndTakesNoTurn) {
  Client client = Connect(1);
  const unsigned char half[] = {0x16, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3};
  asio::write(client.socket, asio::buffer(half));
  for (int i = 0; i < 100; ++i) io_.poll();
  EXPECT_TRUE(closed_.empty());
  EXPECT_FALSE(server_->HasUnread(1)) << "it may have to make room";
  client.socket.shutdown(tcp::socket::shutdown_send);
  Until([&] { return closed_[1] == 1; });
  EXPECT_EQ(files_->counters().ended.value(), 1u);
}

TEST_F(TlsSocketTest, WhatIsNoTlsIsClosedWithoutAnAnswer) {
  Client client = Connect(1);
  asio::write(client.socket, asio::buffer(std::string("GET / HTTP/1.1\r\n\r\n")));
  Until([&] { return closed_[1] == 1; });
  char byte = 0;
  asio::error_code ec;
  client.socket.native_non_blocking(false);
  EXPECT_EQ(client.socket.read_some(asio::buffer(&byte, 1), ec), 0u);
  EXPECT_EQ(files_->counters().not_tls.value(), 1u);
}

}  // namespace
}  // namespace toolwire
